"""`stencilkit pack`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

from stencilkit import artifact
from stencilkit.cli import _attestations, _bundles, _options, _progress, _render, _verdicts
from stencilkit.errors import ExitCode, UsageError
from stencilkit.model.artifact import Artifact
from stencilkit.model.attestation import Statement
from stencilkit.model.verdict import Verdict
from stencilkit.pipeline import admitting, attesting, bundling, installing, placing, verifying
from stencilkit.pipeline.evidence import Subject
from stencilkit.support import files


@click.command()
@click.argument("folders", metavar="OUT-DIR...", nargs=-1, required=True, type=_options.EXISTING_PATH)
@_options.shared("--output", "-o", required=True, help="Bundle to write (.tar.gz, .tgz or .tar).")
@click.option(
    "--names", type=click.Choice(["bundle", "fedora"]), default="bundle", show_default=True, help="Naming of the files."
)
@click.option(
    "--stamp",
    "stamps",
    type=_options.ANY_PATH,
    metavar="BUILD-DIR",
    multiple=True,
    help="Put the digest that this configured folder's make expects on line 1, so that it needs no stencilkit. "
    "Repeatable.",
)
@_options.shared("--cpython", help="Source, for --stamp. [default: the current folder]")
@_options.shared("--allow-mingw")
@_options.shared("--provisional")
@click.option("--attest", "wanted", is_flag=True, help="Also write a signed statement beside the bundle.")
@_options.shared("--ledger", help="Folder of expected digests; the statement says whether they agree.")
@_attestations.signing_options
@_options.format_option("text", "json")
def command(
    folders: tuple[Path, ...],
    output: Path,
    names: str,
    stamps: tuple[Path, ...],
    cpython: str | None,
    allow_mingw: bool,
    provisional: bool,
    wanted: bool,
    ledger: Path | None,
    signing: _attestations.Signing,
    form: str,
) -> int:
    """Pack the output folders of stencilkit build into one bundle.

    All targets, flavours and LLVMs of one CPython go in. The same folders always give the same tar, and the same
    .tar.gz with the same zlib. Windows stencils that were compiled with mingw's headers are refused: they are good for
    checks, but not for an msvc build.

    With --names fedora, OUTPUT is a folder, and headers get the names that Fedora's sources have:
    Python-<version>-<arch>-<debug|optimized>-jit_stencils.h. Each must be stamped.

    --stamp prepares the headers for one source (--cpython) and configuration. If the stencils do not fit both, it exits
    with 1. A bundle for stencilkit install needs no stamp.

    With --attest and --sign-key or --sigstore, everything is verified first, and a signed statement is written beside
    the bundle: who built, from what, and the content and interface digests of every build. With --ledger, the statement
    also says that the ledger expects them; if it does not, nothing is packed, and pack exits with 1.
    """
    _check_output(output, names)
    _check_signing(signing, names, ledger, wanted=wanted)
    if cpython and not stamps:
        raise UsageError("--cpython is for --stamp", fix="leave it out, or name the configured folders with --stamp")
    artifacts = tuple(item for folder in folders for item in bundling.open_all(folder))
    bundling.check_marks(artifacts, mingw=allow_mingw, provisional=provisional)
    stamped = artifacts
    if stamps:
        tree = _options.open_tree(cpython, _progress.choose(form))
        stamped, verdicts = installing.stamp([placing.look_at(tree, folder) for folder in stamps], artifacts)
        if not all(verdict.accepted for verdict in verdicts):
            _verdicts.show(verdicts, form, quiet=True)
            return ExitCode.DIFFERENT
    if names == "fedora":
        left = [item.title for item, before in zip(stamped, artifacts, strict=True) if item is before]
        if left:
            raise UsageError(
                f"line 1 of these would fit no build: {'; '.join(left)}",
                fix="name the folder that each is for with --stamp, or leave them out",
            )
        contents = artifact.fedora_names(stamped)
        files.write_together(output, contents, stamps=artifact.stamps(contents))
    else:
        packed = bundling.pack(stamped, compress=not output.name.endswith(".tar"))
        attestation: dict[str, bytes] = {}
        if signing.wanted:
            said, found = _statement(artifacts, output, packed, signing.builder or "", ledger)
            if not all(verdict.accepted for verdict in found):
                _verdicts.show(found, form, quiet=True)
                return ExitCode.DIFFERENT
            attestation = {f"{output.name}{signing.suffix}": signing.sign(said)}
            _render.say(f"writing {output}{signing.suffix}", err=True)
        # Together: a key that cannot be used leaves no bundle without its signature.
        files.write_together(output.parent, {output.name: packed, **attestation}, stamps=attestation)
    _bundles.show(output, stamped, form)
    return ExitCode.OK


def _statement(
    artifacts: Sequence[Artifact], output: Path, packed: bytes, builder: str, ledger: Path | None
) -> tuple[Statement, list[Verdict]]:
    """Make a statement about what is in the bundle, after verifying it; that its marks are allowed was checked."""
    subject = Subject(path=output, policy=admitting.ITSELF)
    verdicts = [verifying.run_artifact(item, subject) for item in artifacts]
    said = attesting.describe(builder, artifacts, {output.name: hashlib.sha256(packed).hexdigest()})
    if ledger is not None:
        said, checks = attesting.compare(said, artifacts, ledger)
        verdicts.append(Verdict(subject=str(ledger), checks=checks, digests={}))
    return said, verdicts


def _check_signing(signing: _attestations.Signing, names: str, ledger: Path | None, *, wanted: bool) -> None:
    if ledger and not wanted:
        raise UsageError("--ledger is for the signed statement", fix="leave it out, or add --attest")
    if wanted != signing.wanted:
        raise UsageError(
            "--attest goes together with --sign-key or --sigstore",
            fix="give --attest with --sign-key FILE, or with --sigstore; or leave out both",
        )
    if signing.wanted and names != "bundle":
        raise UsageError("a signed statement is about a bundle", fix="pack a bundle, or leave the signature out")


def _check_output(output: Path, names: str) -> None:
    bundle = output.name.endswith((".tar.gz", ".tgz", ".tar"))
    if names == "fedora" and bundle:
        raise UsageError(f"--names fedora writes a folder, and {output} is the name of a bundle", fix="name a folder")
    if names != "fedora" and not bundle:
        raise UsageError(f"--output {output} is not the name of a bundle", fix="name a .tar.gz, .tgz or .tar")
