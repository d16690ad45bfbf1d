"""From targets.toml, pins.toml and a ledger to tables: what a CI should build, and what was built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stencilkit import ledger, pins
from stencilkit.errors import LedgerError, UsageError
from stencilkit.model.ledger import Entry
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.pipeline import knowing
from stencilkit.support import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One build: `wheel` says that PyPI has this LLVM, `pinned` that upstream's generator asks for it."""

    cpython: str
    llvm: int
    target: str
    wheel: bool
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Supported:
    """One entry of the ledger; `same` counts the stencils that equal those of upstream's LLVM, None if not known."""

    entry: Entry
    pinned: bool
    same: int | None


def cells(patterns: Iterable[str] = ("*",)) -> tuple[Cell, ...]:
    """List every pinned CPython with every LLVM and every target (fnmatch) that it supports.

    Raises: UsageError where that is nothing.
    """
    found = tuple(_cells(tuple(patterns)))
    if not found:
        near = [triple for word in patterns for triple in suggest.triples(word, _triples())]
        lists = "stencilkit targets lists the triples"
        raise UsageError("--target matches no target", fix=f"{suggest.question(near)} {lists}".strip())
    return found


def _triples() -> list[str]:
    return [target.triple for target in knowing.known_targets()]


def _cells(patterns: tuple[str, ...]) -> Iterator[Cell]:
    pythons, pinned = knowing.pythons(), pins.load()
    for source in pinned.sources:
        version = PythonVersion.parse(source.version)
        python = pythons.get(version.series) if version else None
        if python is None:
            continue
        support = python.support
        for triple in support.targets:
            if not any(fnmatchcase(triple, pattern) for pattern in patterns):
                continue
            for major in support.llvm:
                wheel = pinned.wheel(major) is not None
                chosen = major == support.pinned
                yield Cell(cpython=source.version, llvm=major, target=triple, wheel=wheel, pinned=chosen)


def supported(folder: Path) -> tuple[Supported, ...]:
    """Read a ledger: by CPython, target, flavour and LLVM.

    Raises: LedgerError.
    """
    entries = sorted(ledger.read_all(folder), key=_order)
    reference = {entry.group: entry for entry in reversed(entries) if _is_pinned(entry)}
    return tuple(
        Supported(entry=entry, pinned=_is_pinned(entry), same=_same(entry, reference.get(entry.group)))
        for entry in entries
    )


def _order(entry: Entry) -> tuple[object, ...]:
    version, llvm = PythonVersion.parse(entry.cpython), LlvmVersion.parse(entry.llvm)
    if version is None or llvm is None:
        raise LedgerError(f"{entry.cpython} or {entry.llvm} is no version", where=str(entry.place))
    return version.age, entry.triple, entry.flavour, llvm


def _is_pinned(entry: Entry) -> bool:
    return knowing.is_upstreams(entry.series, entry.llvm)


def _same(entry: Entry, reference: Entry | None) -> int | None:
    if reference is None:
        return None
    return sum(reference.stencils.get(name) == digest for name, digest in entry.stencils.items())
