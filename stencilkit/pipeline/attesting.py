"""From artifacts to what a builder says of them, and from files and a demand to the evidence that counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stencilkit import __version__, attest, ledger, pins
from stencilkit.errors import AttestationError, UsageError
from stencilkit.model import digest
from stencilkit.model.artifact import Artifact
from stencilkit.model.attestation import Build, Claim, Demand, Material, Signer, Statement
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import Manifest
from stencilkit.model.source import SourceTree
from stencilkit.model.verdict import Check
from stencilkit.support import resources


def describe(builder: str, artifacts: Sequence[Artifact], files: Mapping[str, str]) -> Statement:
    """Describe what was built, and from what; `files` are the SHA-256 of the files that hold the builds."""
    return Statement(builder=builder, builds=tuple(_build(item) for item in artifacts), files=files)


def _build(item: Artifact) -> Build:
    m = item.manifest
    return Build(
        claim=Claim.of(m),
        spelling=m.spelling,
        cflags=m.cflags,
        manifest=hashlib.sha256(item.manifest_text).hexdigest(),
        materials=tuple(_materials(m)),
    )


def _materials(m: Manifest) -> Iterator[Material]:
    """List what went in. Files are one material per origin: `sha256sum`'s lines, in the order of their names."""
    if m.source is not None:
        uri = f"https://www.python.org/ftp/python/{m.source.tarball}"
        yield Material(name="tarball", uri=uri, sha256=m.source.sha256)
    by_origin: dict[str, dict[str, str]] = {"tree": {file.name: file.sha256 for file in m.used}}
    for file in m.includes:
        by_origin.setdefault(file.origin, {})[file.name] = file.sha256
    for origin, named in by_origin.items():
        uri = f"pkg:generic/cpython@{m.cpython}" if origin == "tree" else ""
        yield Material(name=f"files of origin {origin}", uri=uri, sha256=digest.files_digest(named))
    yield Material(name="pyconfig.h", sha256=m.pyconfig_sha256)
    yield Material(name="clang", uri=f"pkg:generic/llvm@{m.toolchain.version}", sha256=m.toolchain.program)
    for name, sha256 in sorted(m.toolchain.libraries.items()):
        yield Material(name=f"clang's {name}", sha256=sha256)
    # The code that runs is known; that of another version is not.
    own = resources.code_digest(".") if m.provenance.stencilkit == __version__ else ""
    yield Material(name="stencilkit", uri=f"pkg:pypi/stencilkit@{m.provenance.stencilkit}", sha256=own)


def compare(
    said: Statement, artifacts: Sequence[Artifact], expected: Path | Entry
) -> tuple[Statement, tuple[Check, ...]]:
    """Compare builds with a ledger, or with one entry, and put the outcome into the statement.

    Raises: LedgerError.
    """
    builds, checks = [], list[Check]()
    for build, item in zip(said.builds, artifacts, strict=True):
        entry = ledger.find(expected, item.manifest) if isinstance(expected, Path) else expected
        found = tuple(ledger.check(Entry.of(item.manifest), entry))
        checks += found
        results = {"ledger": "same" if all(check.status == "passed" for check in found) else "different"}
        results |= {"ledger-content": entry.content} if entry else {}
        builds.append(replace(build, results=results))
    return replace(said, builds=tuple(builds)), tuple(checks)


def verify_source(tree: SourceTree, tarball: Path, root: Path | None) -> SourceTree:
    """Verify the sigstore bundle beside the tarball that a tree was unpacked from, by that series' release manager.

    Raises: AttestationError where it is not there, or not good; UsageError for a series whose manager is not known.
    """
    manager = pins.load().manager(tree.version.series)
    if manager is None:
        raise UsageError(f"it is not known who signs CPython {tree.version.series}", fix="leave --verify-source out")
    signer = Signer(name=manager.identity, identity=manager.identity, issuer=manager.issuer)
    signature = attest.verify_source(tarball, signer, root)
    return replace(tree, signature=signature)


def files_of(named: Iterable[Path], folders: Iterable[Path]) -> tuple[Path, ...]:
    """List attestations: those that were named, and every file with an attestation's name in the folders.

    Raises: AttestationError for a folder without one.
    """
    found = list(named)
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if path.name.endswith(attest.SUFFIXES))
        if not inside:
            raise AttestationError(
                f"{folder} has no attestations in it", fix=f"their names end in {' or '.join(attest.SUFFIXES)}"
            )
        found += inside
    return tuple(found)


def demand(signers: Sequence[Signer], threshold: int | None) -> Demand:
    """Return whose signature counts, and how many must agree: all of them, if no number is given.

    Raises: AttestationError for a number that so many signers cannot reach.
    """
    builders = attest.count(signers)
    if threshold is not None and not 1 <= threshold <= builders:
        raise AttestationError(
            f"{threshold} builders must say the same, and {builders} are named",
            fix="name more signers, or lower the threshold; copies of one key are one builder",
        )
    return Demand(signers=tuple(signers), threshold=threshold or builders)
