"""From a header or an output folder to what a careful packager would object to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilkit import audit, disassemble, ledger, references, source
from stencilkit.audit import isa as instruction_sets
from stencilkit.errors import UsageError
from stencilkit.model import digest
from stencilkit.model.audit import Audit, Audited, References, Waiver, total_bytes
from stencilkit.model.source import SourceTree
from stencilkit.pipeline import admitting, surveying
from stencilkit.pipeline.opening import Opened
from stencilkit.support import environ


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a header is to be audited.

    `against` are the stencils that it would replace, `growth` what it may grow, in percent. `isa` is the instruction
    set that it may use, "" for that of its target. The names that it may use are those that the sources of `tree`
    reach, or those of the ledger `expected`.
    """

    waivers: Sequence[Waiver] = ()
    demanded: Sequence[str] = ()
    against: Path | None = None
    growth: float = 0.0
    triple: str | None = None
    isa: str = ""
    tree: SourceTree | None = None
    expected: Path | None = None


def run(path: Path, asked: Asked = Asked()) -> Audit:  # frozen
    """Audit one header, which is verified first.

    Raises: RefusedError, UsageError, HeaderError, ManifestError, TargetError, SourceError, LedgerError.
    """
    return of(admitting.header(path, asked.triple), asked)


def of(opened: Opened, asked: Asked) -> Audit:
    """Audit one header that has been verified.

    Raises: UsageError, HeaderError, ManifestError, TargetError, SourceError, LedgerError.
    """
    baseline = _baseline(opened, asked.against, asked.triple) if asked.against is not None else None
    arch = opened.target.arch
    cpu = opened.manifest.cpu if opened.manifest is not None else None
    audited = Audited(
        stencils=opened.header.stencils,
        target=opened.target,
        line2=opened.header.line2,
        decode=lambda stencil: disassemble.decode(stencil, arch),
        reserved_frame_pointer=_reserves_frame_pointer(opened),
        isa=_isa(opened, asked.isa),
        cpu=(cpu.name, cpu.features) if cpu is not None else None,
        references=_references(opened, asked.tree, asked.expected),
        baseline=baseline,
        allowed_growth=asked.growth,
        entered=frozenset(item.name for item in opened.python.dialect.ENTERED),
    )
    return audit.run(opened.label, audited, asked.waivers, asked.demanded, environ.today())


def _reserves_frame_pointer(opened: Opened) -> bool:
    support = opened.python.support.targets.get(opened.target.triple)
    return support is not None and support.reserved_frame_pointer


def _isa(opened: Opened, asked: str) -> str:
    known = instruction_sets.LEVELS[opened.target.arch]
    if asked and asked not in known:
        raise UsageError(f"--isa {asked} is not known for {opened.target.arch}", fix=f"there are {', '.join(known)}")
    return asked or opened.target.isa


def _references(opened: Opened, tree: SourceTree | None, expected: Path | None) -> References:
    """Return which external names the stencils may use, by the best witness that there is."""
    header, described = opened.header, opened.manifest
    if tree is not None:
        problem = ""
        if tree.version.series != header.format.series:
            problem = f"the stencils are of CPython {header.format.series}, and --cpython is {tree.version}"
        symbols = references.reachable(tree, source.uops(tree))
        return References(by=f"its sources in CPython {tree.version}", proven=True, symbols=symbols, problem=problem)
    found = digest.interface_digest(header.stencils)
    if expected is not None and described is not None:
        entry = ledger.find(expected, described)
        if entry is not None:
            problem = (
                "" if entry.interface == found else "its uops, patch functions or symbols are not those of the ledger"
            )
            return References(by="the ledger", proven=True, problem=problem)
    if described is None:
        return References(by="no tree (--cpython), ledger or manifest says which names its uops use", proven=False)
    problem = (
        "" if described.interface_digest == found else "its uops, patch functions or symbols are not the manifest's"
    )
    by = "only its own manifest says which names its uops use (--cpython or --ledger would prove it)"
    return References(by=by, proven=False, problem=problem)


def _baseline(opened: Opened, against: Path, triple: str | None) -> int:
    """Return the bytes of the stencils that a header would replace: of a folder above several, of the ones like it."""
    found = [admitting.header(path, triple) for path in surveying.demand(against)]
    place = (opened.header.format.series, opened.target.triple)
    like = [other for other in found if (other.header.format.series, other.target.triple) == place]
    if len(like) > 1:
        like = [other for other in like if _kind(other) == _kind(opened)] or like
    if not like:
        raise UsageError(
            f"{against} is of another CPython or target than {opened.label}",
            fix="give --against the stencils that these replace",
        )
    if len(like) > 1:
        raise UsageError(
            f"below {against} are {len(like)} builds that {opened.label} could replace",
            details="\n".join(other.label for other in like),
            fix="give --against one of them",
        )
    return total_bytes(like[0].header.stencils)


def _kind(opened: Opened) -> str:
    return opened.manifest.kind if opened.manifest else ""
