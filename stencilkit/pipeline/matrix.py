"""From targets.toml, pins.toml and a ledger to tables: what a CI should build, and what was built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stencilkit import ledger, pins, toolchain
from stencilkit.errors import LedgerError, UsageError
from stencilkit.model.ledger import Entry
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.pipeline import knowing
from stencilkit.support import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One build of a CI: `wheel` says that PyPI has this LLVM, `pinned` that upstream's generator asks for it.

    `upstream` is the LLVM that it asks for.
    """

    cpython: str
    llvm: int
    target: str
    wheel: bool
    pinned: bool
    upstream: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Supported:
    """One entry of the ledger, and that of upstream's LLVM, None if the ledger has none."""

    entry: Entry
    pinned: bool
    reference: Entry | None

    @property
    def same(self) -> int | None:
        """Count the stencils that equal those of upstream's LLVM, None if that is not known."""
        if self.reference is None:
            return None
        known = self.reference.stencils
        return sum(known.get(name) == digest for name, digest in self.entry.stencils.items())


def combinations(patterns: Iterable[str] = ("*",)) -> tuple[Combination, ...]:
    """List every pinned CPython with every LLVM and every target (fnmatch) that it supports.

    Raises: UsageError for a pattern that no target has.
    """
    wanted = tuple(patterns)
    for pattern in wanted:
        check_pattern(pattern)
    return tuple(_combinations(wanted))


def check_pattern(pattern: str) -> None:
    """Refuse a pattern (fnmatch) of triples that no target has: it is misspelt, and its cells would just be missing.

    Raises: UsageError.
    """
    triples = [target.triple for target in knowing.known_targets()]
    if not any(fnmatchcase(triple, pattern) for triple in triples):
        near, lists = suggest.question(suggest.triples(pattern, triples)), "stencilkit targets lists the triples"
        raise UsageError(f"--target {pattern!r} matches no target", fix=f"{near} {lists}".strip())


def _combinations(patterns: tuple[str, ...]) -> Iterator[Combination]:
    pythons, pinned = knowing.pythons(), pins.load()
    for source in pinned.sources:
        python = pythons.get(source.version.series)
        if python is None:
            continue
        support = python.support
        for triple in support.targets:
            if not any(fnmatchcase(triple, pattern) for pattern in patterns):
                continue
            for major in support.llvm:
                wheel = pinned.wheel(major) is not None
                yield Combination(
                    cpython=str(source.version),
                    llvm=major,
                    target=triple,
                    wheel=wheel,
                    pinned=major == support.pinned,
                    upstream=support.pinned,
                )


def is_in(major: int, asked: str | None) -> bool:
    """Return whether an LLVM is among those that --llvm asks for; None asks for all.

    Raises: UsageError.
    """
    return asked is None or major in toolchain.majors(toolchain.parse_wanted(asked))


def supported(folder: Path) -> tuple[Supported, ...]:
    """Read a ledger: by CPython, target, flavour and LLVM.

    Raises: LedgerError.
    """
    entries = sorted(ledger.read_all(folder), key=_order)
    reference = {entry.group: entry for entry in reversed(entries) if _is_pinned(entry)}
    return tuple(
        Supported(entry=entry, pinned=_is_pinned(entry), reference=reference.get(entry.group)) for entry in entries
    )


def _order(entry: Entry) -> tuple[object, ...]:
    version, llvm = PythonVersion.parse(entry.cpython), LlvmVersion.parse(entry.llvm)
    if version is None or llvm is None:
        raise LedgerError(
            f"{entry.cpython} or {entry.llvm} is not a version", where=str(entry.place), fix=ledger.RESTORE
        )
    return version.age, entry.triple, entry.flavour, llvm


def _is_pinned(entry: Entry) -> bool:
    return knowing.is_upstreams(entry.series, entry.llvm)
