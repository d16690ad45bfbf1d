"""From configurations to outcomes: build as it is and under variations, and compare what comes out with the ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from stencilkit import ledger, signatures
from stencilkit.errors import CompileError, ManifestError, OutputError
from stencilkit.model.gate import Configuration, Examined, Settlement, Variation, Varied
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.target import split_kind
from stencilkit.model.verdict import Policy
from stencilkit.pipeline import admitting, comparing, identifying, knowing, opening, varying, verifying
from stencilkit.pipeline.evidence import Subject
from stencilkit.support import environ, files, limits, process, words

# Whether it is the same, not what it is good for:
_POLICY = Policy(require=("canonical", "manifest", "ledger"), mingw=True)
_PROVENANCE = b"\n[provenance]\n"
_SHOWN = 8
_TIMEOUT = 1800.0


def load(path: Path) -> tuple[Variation, ...]:
    """Read a variations.toml.

    Raises: LedgerError.
    """
    return varying.load(path)


def groups(configurations: Iterable[Configuration]) -> tuple[tuple[Configuration, ...], ...]:
    """Gather what is settled together: the LLVMs of a CPython for a target, also where a CPython is named twice."""
    found: dict[tuple[str, str, str], list[Configuration]] = {}
    for item in configurations:
        found.setdefault(item.group, []).append(item)
    return tuple(map(tuple, found.values()))


def examine(configuration: Configuration, variations: Sequence[Variation], folder: Path | None) -> Examined:
    """Build once plainly and once with everything varied; if that differs, with each variation alone, to name it.

    `folder` is the ledger's; it is read, not written. None: there is no ledger yet, so nothing is as expected.

    Raises: LedgerError; CompileError where a build fails, since then nothing was compared.
    """
    started = environ.seconds()
    with files.scratch("gate") as scratch:
        plain = build(configuration, scratch)
        varied = vary(configuration, variations, plain, scratch)
        path = plain / MANIFEST_NAME
        described = opening.read_manifest(
            files.read_text(path, error=ManifestError, limit=limits.MANIFEST), str(path)
        ).manifest
        unexpected = tuple(unexpected_of(plain, folder))
        candidate = identifying.candidate(admitting.header(plain))
    return Examined(
        entry=Entry.of(described),
        candidate=candidate,
        vendor=described.toolchain.vendor,
        unstable=varied.unstable,
        unexpected=unexpected,
        varied=varied.varied,
        not_varied=varied.not_varied,
        seconds=environ.seconds() - started,
    )


def build(configuration: Configuration, scratch: Path) -> Path:
    """Build once as it is, in a process of its own and without the cache; return the output folder, below `scratch`.

    Raises: CompileError.
    """
    return _build(configuration, (), scratch / "plain")


def build_reference(configuration: Configuration, scratch: Path) -> Path:
    """Build what others are compared with, from the cache of compiled uops where it is there; return the folder.

    Raises: CompileError.
    """
    return _build(configuration, (), scratch / "reference", cached=True)


def vary(configuration: Configuration, variations: Sequence[Variation], plain: Path, scratch: Path) -> Varied:
    """Build once more with everything varied, and compare; if that differs, with each variation alone.

    Raises: CompileError.
    """
    works, fails = varying.usable(variations)
    unstable: tuple[str, ...] = ()
    if works:
        differences = tuple(_differences(plain, _build(configuration, works, scratch / "varied")))
        if differences:
            alone = tuple(_alone(configuration, works, plain, scratch))
            unstable = alone or (f"only with all variations at once: {'; '.join(differences)}",)
    return Varied(unstable=unstable, varied=tuple(variation.name for variation in works), not_varied=fails)


def unexpected_of(plain: Path, folder: Path | None) -> Iterator[str]:
    """List how an output folder differs from what a ledger expects.

    Raises: LedgerError.
    """
    if folder is None:
        yield "there is no ledger yet"
        return
    verdict = verifying.run(Subject(path=plain, ledger=folder, policy=_POLICY))
    for check in verdict.checks:
        if check.status == "failed":
            yield "; ".join((check.what, *check.details))


def _build(
    configuration: Configuration, variations: Sequence[Variation], scratch: Path, *, cached: bool = False
) -> Path:
    """Build in a process of its own; return the output folder."""
    scratch.mkdir()
    temporary = scratch / "tmp"
    temporary.mkdir()
    tree = varying.tree(configuration.tree.root, variations, scratch)
    words = ["build", "--cpython", tree, "--target", configuration.asked.spelling]
    words += [] if cached else ["--no-cache"]
    words += ["--llvm", configuration.toolchain.program, "--pyconfig-dir", configuration.pyconfig]
    words += ["--debug"] if configuration.flavour == "debug" else []
    words += ["--hardened"] if configuration.hardened else []
    words += ["--out", scratch / "out", *(word for variation in variations for word in variation.arguments)]
    # The places of trees and toolchains must not depend on HOME, which varies.
    environment = {
        "STENCILKIT_DATA": str(environ.data_root()),
        "STENCILKIT_CACHE": str(environ.cache_root()),
        "TMPDIR": str(temporary),
    }
    for variation in variations:
        environment |= variation.environment
    command = varying.prefixed([sys.executable, "-m", "stencilkit", *map(str, words)], variations)
    done = process.run(command, env=environment, timeout=_TIMEOUT)
    if done.returncode and done.lacked_room:
        raise OutputError(
            "there is no room for a build", where=str(scratch), details=done.err[-2000:], fix="free some space"
        )
    if done.returncode:
        varied = ", ".join(variation.name for variation in variations) or "nothing"
        raise CompileError(f"a build ({varied} varied) {done.ending}", details=done.err[-2000:], fix="see above")
    (described,) = (scratch / "out").rglob(MANIFEST_NAME)
    return described.parent


def _alone(configuration: Configuration, variations: Sequence[Variation], plain: Path, scratch: Path) -> Iterator[str]:
    for variation in variations:
        found = tuple(_differences(plain, _build(configuration, (variation,), scratch / variation.name)))
        if found:
            yield f"{variation.name} ({variation.why}): {'; '.join(found)}"


def _differences(one: Path, other: Path) -> Iterator[str]:
    """Compare two output folders byte by byte, but for [provenance] of the manifest."""
    left, right = _contents(one), _contents(other)
    differing = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    for name in differing:
        yield f"{name} differs"
    if differing and left.keys() == right.keys():
        (comparison,) = comparing.run((one, other), None)
        yield from (f"{change.name}: {change.likeness}" for change in comparison.changes[:_SHOWN])


def _contents(folder: Path) -> dict[str, bytes]:
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files.walk(folder)}
    if MANIFEST_NAME in contents:
        contents[MANIFEST_NAME] = contents[MANIFEST_NAME].partition(_PROVENANCE)[0]
    return contents


def settle(outcomes: Sequence[Examined], folder: Path) -> Settlement:
    """Make what was built the ledger, but not what is unstable or differs by vendor.

    Raises: LedgerError, OutputError.
    """
    entries, left = dict[PurePosixPath, Entry](), dict[PurePosixPath, None]()
    signed = []
    for outcome in outcomes:
        entry = outcome.entry
        same = all(other.entry == entry for other in outcomes if other.entry.place == entry.place)
        if outcome.unstable or not same:
            left[entry.place] = None
            continue
        if is_signed(entry):
            signed.append(replace(outcome.candidate, source="", codes={}))
        if outcome.unexpected:
            entries[entry.place] = entry
    # An entry comes after its signatures: whoever finds it there finds them, too.
    signatures.write(folder, signed)
    for entry in entries.values():
        ledger.write(folder, entry, knowing.python(entry.series).support.pinned)
    return Settlement(written=tuple(entries), left=tuple(left))


def is_signed(entry: Entry) -> bool:
    """Say whether a ledger has signatures of a build: debug builds by other LLVMs are not shipped (adr/0600)."""
    flavour, _ = split_kind(entry.flavour)
    shipped = flavour == "release" or knowing.is_upstreams(entry.series, entry.llvm)
    return shipped and not knowing.target(entry.triple).target.unsigned


def unproved(outcomes: Sequence[Examined], folder: Path) -> Iterator[str]:
    """Name the builds of other LLVMs than upstream's for which the ledger has no proofs.

    Raises: LedgerError.
    """
    for entry in dict.fromkeys(outcome.entry.place for outcome in outcomes):
        known = ledger.read(folder / entry) if (folder / entry).is_file() else None
        if known is None or known.proofs is not None:
            continue
        base = ledger.base_of(folder, known, knowing.python(known.series).support.pinned)
        differing = sum(base.stencils.get(name) != digest for name, digest in known.stencils.items())
        if differing:
            what = words.counted(differing, "stencil", "differ")
            yield f"{entry}: {what} from those of LLVM {base.llvm}; none is known to be proved"


def disagreements(outcomes: Sequence[Examined]) -> tuple[str, ...]:
    """Name the LLVMs of one version that do not make the same, by their vendors."""
    return tuple(dict.fromkeys(_disagreements(outcomes)))


def _disagreements(outcomes: Sequence[Examined]) -> Iterator[str]:
    for number, outcome in enumerate(outcomes):
        for other in outcomes[:number]:
            if other.entry.place == outcome.entry.place and other.entry != outcome.entry:
                yield f"{outcome.entry.place}: {other.vendor} and {outcome.vendor} do not make the same"
