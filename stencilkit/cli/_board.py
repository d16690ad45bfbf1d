"""How far a run over many cells is: rows of its matrix on a terminal, plain lines in a log."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from stencilkit.cli import _progress
from stencilkit.model.qualification import Cell, Result
from stencilkit.pipeline.scheduling import Board
from stencilkit.support import environ, escape, words

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_ALL: Final = "all"
# Verdicts whose reasons are shown at once.
_EXPLAINED: Final = ("not qualified", "not finished")
# In columns: how wide a terminal with bars is, and what a bar, the counts and the shortest name take.
_WIDE: Final = 70
_BAR: Final = 10
_COUNTS: Final = len("999 done, 99 running, 999 left ")
_NAME: Final = 9


def choose(form: str) -> Board:
    """Choose how to show progress, as `_progress.choose` does."""
    boards: dict[_progress.Manner, type[_Nothing]] = {"silent": _Nothing, "lines": _Lines, "terminal": _Terminal}
    return boards[_progress.manner(form)]()


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


class _Pace:
    """How many cells there are, how many are done, and how long the others take if they are like those of this run."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self._earlier, self._begun = done, environ.seconds()

    def advance(self) -> None:
        self.done += 1

    @property
    def left(self) -> str:
        here = self.done - self._earlier
        if not here or self.done == self.total:
            return ""
        seconds = round((environ.seconds() - self._begun) / here * (self.total - self.done))
        return f"{seconds} s to go" if seconds < 100 else f"{round(seconds / 60)} min to go"


class _Lines(_Nothing):
    """One line for each cell that is done, for logs."""

    _pace: _Pace

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        self._pace = _Pace(len(cells), len(done))
        _progress.say(words.counted(len(cells), "cell") + (f", {len(done)} of them done already" if done else ""))

    def say(self, text: str) -> None:
        _progress.say(text)

    def ended(self, result: Result) -> None:
        self._pace.advance()
        left = self._pace.left
        far = f"{self._pace.done} of {self._pace.total}" + (f", {left}" if left else "")
        _progress.say(f"{far}: {_line(result)}")


class _Terminal(_Nothing):
    """A row for each CPython and target, and one for all: a bar, cells done, running and left. All has the time left.

    The row for all is the first: where a terminal has fewer lines than there are rows, the last ones are cut off.
    """

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._rows: dict[str, TaskID] = {}
        self._totals: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._pace = _Pace(0, 0)
        self._lock = threading.Lock()

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.table import Column

        width = _progress.width()
        bars, counts = [BarColumn(bar_width=_BAR)] if width >= _WIDE else [], Column(no_wrap=True)
        named = Column(
            no_wrap=True, overflow="ellipsis", max_width=max(_NAME, width - _COUNTS - len(bars) * (_BAR + 1))
        )
        self._bars = _progress.live(
            TextColumn("{task.description}", markup=False, table_column=named),
            *bars,
            TextColumn("{task.fields[counts]}", markup=False, table_column=counts),
            transient=False,
        )
        self._totals.update(map(_row, cells))
        self._done.update(map(_row, done))
        self._pace = _Pace(len(cells), len(done))
        for name in (_ALL, *self._totals):
            total = self._totals[name] if name != _ALL else len(cells)
            self._rows[name] = self._bars.add_task(escape.terminal(name), total=total, counts="")
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
            self._pace.advance()
            self._show(name)
        if result.verdict in _EXPLAINED:
            self.say(_line(result))

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _show(self, *names: str) -> None:
        for name in names:
            self._update(name, self._done[name], self._running[name], self._totals[name])
        left = self._pace.left
        name = f"{_ALL}, {left}" if left else _ALL
        self._update(_ALL, self._done.total(), self._running.total(), self._totals.total(), name)

    def _update(self, name: str, done: int, running: int, total: int, shown: str = "") -> None:
        if self._bars is not None:
            # Nobody knows which cells the workers of a cluster are at.
            parts = [f"{done} done", *([f"{running} running"] if running else []), f"{total - done - running} left"]
            text = escape.terminal(shown or name)
            self._bars.update(self._rows[name], completed=done, description=text, counts=", ".join(parts))


def _row(cell: Cell) -> str:
    return f"{cell.cpython} {cell.target}"


def _line(result: Result) -> str:
    why = f" ({result.why})" if result.verdict in _EXPLAINED else ""
    return f"{result.cell.label}: {result.verdict}{why}"
