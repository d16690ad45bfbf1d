"""Cells for people and machines: how far a run is, and what came of it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stencilkit import results
from stencilkit.cli import _progress, _render
from stencilkit.model.qualification import Cell, Result
from stencilkit.pipeline.scheduling import Board
from stencilkit.support import environ, escape

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

HEAD = ["CPython", "LLVM", "target", "flavour", "stencils", "as upstream's LLVM", "code", "verdict", "why"]


def board(form: str) -> Board:
    """Choose how to show progress: on stderr, and only beside text."""
    if form != "text":
        return _Nothing()
    return _Terminal() if sys.stderr.isatty() else _Lines()


class _Nothing:
    """Show nothing."""

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        """Ignore it."""

    def say(self, text: str) -> None:
        """Ignore it."""

    def started(self, cell: Cell) -> None:
        """Ignore it."""

    def ended(self, result: Result) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Ignore it."""


class _Lines(_Nothing):
    """One line for each cell that is done, for logs."""

    def __init__(self) -> None:
        self._total = 0
        self._done = 0
        self._begun = 0.0
        self._earlier = 0

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        self._total, self._done, self._earlier = len(cells), len(done), len(done)
        self._begun = environ.seconds()
        _progress.say(f"{len(cells)} cells, of which {len(done)} are done already")

    def say(self, text: str) -> None:
        _progress.say(text)

    def ended(self, result: Result) -> None:
        self._done += 1
        here, spent = self._done - self._earlier, environ.seconds() - self._begun
        left = spent / here * (self._total - self._done)
        why = f" ({result.why})" if result.verdict == "not qualified" else ""
        _progress.say(
            f"{self._done} of {self._total}, about {left:.0f} s left: {result.cell.label}: {result.verdict}{why}"
        )


class _Terminal(_Nothing):
    """A row for each CPython and target: a bar, cells done, running and left, and the time left."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._rows: dict[str, TaskID] = {}
        self._totals: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._totals.update(map(_row, cells))
        self._done.update(map(_row, done))
        for name in (*self._totals, "all"):
            total = self._totals[name] if name != "all" else len(cells)
            self._rows[name] = self._bars.add_task(name, total=total, counts="")
        self._show(*self._totals)
        self._bars.start()

    def say(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(escape.terminal(text), markup=False, highlight=False)

    def started(self, cell: Cell) -> None:
        with self._lock:
            self._running[_row(cell)] += 1
            self._show(_row(cell))

    def ended(self, result: Result) -> None:
        with self._lock:
            name = _row(result.cell)
            self._running[name] = max(0, self._running[name] - 1)
            self._done[name] += 1
            self._show(name)
        if result.verdict == "not qualified":
            self.say(f"{result.cell.label}: {result.verdict} ({result.why})")

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _show(self, *names: str) -> None:
        if self._bars is None:
            return
        for name in names:
            done, running = self._done[name], self._running[name]
            left = self._totals[name] - done - running
            counts = f"{done} done, {running} running, {left} left"
            self._bars.update(self._rows[name], completed=done, counts=counts)
        done, running = self._done.total(), self._running.total()
        counts = f"{done} done, {running} running, {self._totals.total() - done - running} left"
        self._bars.update(self._rows["all"], completed=done, counts=counts)


def _row(cell: Cell) -> str:
    return f"CPython {cell.cpython}, {cell.target}"


def show(found: Sequence[Result], form: str) -> None:
    """Print what came of cells."""
    if form == "json":
        _render.print_json("qualification", {"cells": [as_json(result) for result in found]})
    elif form == "markdown":
        _render.say(_render.markdown_table(HEAD, [row(result) for result in found]))
    else:
        _render.print_table(HEAD, [row(result) for result in found])


def row(result: Result) -> list[str]:
    """Lay a result out as a row of a table."""
    cell, sizes = result.cell, result.sizes
    figures = ["", "", ""]
    if sizes is not None:
        figures = [str(sizes.stencils), "" if result.identical is None else str(result.identical), str(sizes.code)]
    return [cell.cpython, cell.llvm, cell.target, cell.flavour, *figures, _render.Word(result.verdict), result.why]


def as_json(result: Result) -> dict[str, Any]:
    """Say what came of a cell, with the names of the stencils that differ, for JSON."""
    names = [item.name for item in result.differing]
    return {**results.summary(result), "why": result.why, "differing": names}
