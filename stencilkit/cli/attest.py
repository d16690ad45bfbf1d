"""`stencilkit attest`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from stencilkit import ledger
from stencilkit.cli import _attestations, _options, _render, _verdicts
from stencilkit.errors import ExitCode, UsageError
from stencilkit.model.attestation import Claim
from stencilkit.pipeline import attesting, bundling, verifying
from stencilkit.pipeline.evidence import Subject


@click.command()
@click.argument("entry", metavar="LEDGER-ENTRY", type=_options.EXISTING_FILE)
@click.option(
    "--built", required=True, type=_options.EXISTING_FOLDER, metavar="OUT-DIR", help="Output folder of your own build."
)
@_options.shared("--output", "-o", required=True, help="Attestation to write (.intoto.json or .sigstore.json).")
@_attestations.signing_options
@_options.format_option("text", "json")
def command(entry: Path, built: Path, output: Path, signing: _attestations.Signing, form: str) -> int:
    """Sign a statement that you rebuilt an entry of the ledger, and with what result.

    OUT-DIR, the output folder of your own stencilkit build, is verified first. The statement has its content and
    interface digests, what went in, and whether the ledger expects it. The documentation (attestations) describes the
    format.

    Exits with 1 if your result is not what the ledger expects; the statement is written, and says so. Exits with 1,
    too, if your build is refused, as one with mingw's headers is; nothing is signed then.
    """
    if not signing.wanted:
        raise UsageError("an attestation is signed", fix="add --sign-key FILE, or --sigstore")
    if not output.name.endswith(signing.suffix):
        raise UsageError(f"{output} must end in {signing.suffix}", fix="others find attestations by their names")
    expected = ledger.read(entry)
    artifacts = bundling.open_all(built)
    if len(artifacts) != 1:
        raise UsageError(f"{built} has {len(artifacts)} builds", fix="name the output folder of one, and attest each")
    (item,) = artifacts
    # What is signed is what was verified: the same bytes, in memory.
    verdict = verifying.run_artifact(item, Subject(path=built))
    if not verdict.accepted:
        _verdicts.show([verdict], form, quiet=False)
        return ExitCode.DIFFERENT
    claim = Claim.of(item.manifest)
    if claim.place != str(expected.place).removesuffix(".toml"):
        raise UsageError(f"{built} is {claim.place}, and the entry is {expected.place}", fix="name the entry of that")
    said, checks = attesting.compare(attesting.describe(signing.builder or "", [item], {}), [item], expected)
    signing.write(output, said)
    same = all(check.status == "passed" for check in checks)
    if form == "json":
        digest = hashlib.sha256(output.read_bytes()).hexdigest()
        answer = {"path": str(output), "sha256": digest, "what": claim.place, "content": claim.content, "same": same}
        _render.print_json("attestation", answer)
    else:
        for check in checks:
            _render.say("\n  ".join((check.what, *check.details)))
    return ExitCode.OK if same else ExitCode.DIFFERENT
