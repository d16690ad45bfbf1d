"""From trees, versions of LLVM, targets and flavours to the jobs of a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from stencilkit import configure, ledger, toolchain
from stencilkit.errors import LedgerError, UsageError
from stencilkit.model.ledger import place
from stencilkit.model.qualification import Cell, Depth, Job
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, PythonSupport, SpelledTarget
from stencilkit.model.toolchain import Toolchain, Wanted
from stencilkit.model.version import MajorRange
from stencilkit.pipeline import knowing, matrix, recalling, requesting
from stencilkit.support import environ, files
from stencilkit.support.cache import Store
from stencilkit.support.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of a matrix is asked for.

    `patterns` are triples, in whatever spelling, patterns of them (fnmatch), or "all". `jobs` is how many compilers one
    cell may start.
    """

    llvm: str | None
    patterns: tuple[str, ...]
    flavours: tuple[Flavour, ...]
    depth: Depth
    ledger: Path | None
    pyconfig: Path | None
    sample: int
    jobs: int
    cached: bool
    skip_missing: bool


def plan(trees: Sequence[SourceTree], asked: Asked, store: Store, progress: Progress) -> tuple[Job, ...]:
    """List the jobs: of each CPython, target and flavour, the LLVM that upstream pins first, which others build, too.

    Raises: UsageError where that is nothing; ToolchainError for an LLVM that is not here; ConfigureError; LedgerError.
    """
    for pattern in asked.patterns:
        if _is_pattern(pattern):
            matrix.check_pattern(pattern)
    if asked.ledger is not None:
        ledger.entries(asked.ledger)
    machine = requesting.machine(store)
    planned = [job for tree in trees for job in _of_tree(tree, asked, machine, progress)]
    cells = [job.cell for job in planned]
    if not cells:
        raise UsageError(
            "none of these LLVMs builds any of these CPythons for any of these targets",
            fix="stencilkit targets lists which LLVMs build which CPythons, for each target",
        )
    doubled = [cell.label for cell in cells if cells.count(cell) > 1]
    if doubled:
        raise UsageError(f"{doubled[0]} is asked for twice", fix="name each CPython and each LLVM once")
    return tuple(sorted(planned, key=lambda job: job.program != job.reference))


def _of_tree(tree: SourceTree, asked: Asked, machine: toolchain.Machine, progress: Progress) -> Iterator[Job]:
    support = tree.python.support
    tools = _tools(support, asked, machine)
    named = [tool for tool in (*tools, *machine) if tool.version.major == support.pinned]
    for target in _targets(support, asked.patterns) if tools else ():
        for flavour in asked.flavours:
            folder = asked.pyconfig or (
                configure.configured(tree, target, flavour, machine, environ.cache_root(), progress=progress).folder
            )
            for tool in tools:
                cell = Cell(
                    cpython=str(tree.version),
                    llvm=str(tool.version),
                    target=target.target.triple,
                    flavour=flavour,
                )
                job = Job(
                    cell=cell,
                    depth=asked.depth,
                    tree=str(tree.root),
                    pyconfig=str(folder),
                    program=str(tool.program),
                    reference=str(named[0].program) if named else "",
                    ledger=_entries(asked.ledger, cell) if asked.ledger is not None else {},
                    sample=asked.sample,
                    jobs=asked.jobs,
                    cached=asked.cached,
                )
                yield replace(job, inputs=recalling.inputs(job, machine.store))


def _tools(support: PythonSupport, asked: Asked, machine: toolchain.Machine) -> list[Toolchain]:
    """Choose the LLVMs of one CPython: what its range does not have is left out, not refused."""
    wanted = toolchain.parse_wanted(str(support.pinned) if asked.llvm is None else asked.llvm)
    fitting = [
        Wanted(majors=MajorRange(major, major))
        for want in wanted
        for major in want.majors or ()
        if major in support.llvm
    ]
    fitting += [want for want in wanted if want.majors is None]
    chosen = toolchain.select(fitting, machine, skip_missing=asked.skip_missing) if fitting else ()
    return [tool for tool in chosen if tool.version.major in support.llvm]


def _targets(support: PythonSupport, patterns: Sequence[str]) -> list[SpelledTarget]:
    """Find the targets that are meant, of those that one CPython has.

    Raises: TargetError.
    """
    found: dict[str, SpelledTarget] = {}
    for pattern in patterns:
        if _is_pattern(pattern):
            spelled = [knowing.target(triple) for triple in support.targets if fnmatchcase(triple, pattern)]
        else:
            spelled = list(knowing.targets_of(pattern, support.series))
        found |= {item.target.triple: item for item in spelled if item.target.triple in support.targets}
    return list(found.values())


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _entries(folder: Path, cell: Cell) -> dict[str, str]:
    """Read the entries of a cell's CPython, target and flavour: one may be the base of another."""
    wanted = place(cell.cpython, cell.target, cell.flavour, "*")
    return {path.name: files.read_text(path, error=LedgerError) for path in sorted(folder.glob(str(wanted)))}
