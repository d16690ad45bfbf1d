"""Progress for people: bars and spinners on a terminal, plain lines in a log, nothing where a machine reads."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Literal

from stencilkit.support import environ, escape
from stencilkit.support.progress import SILENT, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Live
    from rich.progress import ProgressColumn, TaskID

# What took this long is worth a second line, in seconds: in a log, and on a terminal, where the first one moved.
_LONG: Final = 10.0
_NOTABLE: Final = 1.0


Manner = Literal["silent", "lines", "terminal"]


def manner(form: str) -> Manner:
    """Decide how progress is shown: on stderr, and only beside text; with bars where that is a terminal."""
    if form != "text":
        return "silent"
    return "terminal" if sys.stderr.isatty() and environ.variable("TERM") != "dumb" else "lines"


def choose(form: str) -> Progress:
    """Choose how to show progress."""
    shown: dict[Manner, Callable[[], Progress]] = {"silent": lambda: SILENT, "lines": _Lines, "terminal": _Terminal}
    return shown[manner(form)]()


def say(text: str) -> None:
    """Print a line for people, beside the answer."""
    print(f"stencilkit: {escape.terminal(text)}", file=sys.stderr, flush=True)


class _Lines(Progress):
    """One line when something begins and one when it ends, for logs."""

    def __init__(self) -> None:
        self._what = ""
        self._total = 0
        self._done = 0
        self._started = 0.0
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        say(text)

    @contextlib.contextmanager
    def during(self, text: str) -> Iterator[None]:
        started = environ.seconds()
        self.say(text)
        yield
        seconds = environ.seconds() - started
        if seconds >= _LONG:
            self.say(f"{text}: {seconds:.0f} s")

    def begin(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._started = what, total, 0, environ.seconds()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count

    def end(self) -> None:
        seconds = environ.seconds() - self._started
        self.say(f"{self._what}: {self._done} of {self._total} in {seconds:.1f} s")


class _Terminal(Progress):
    """A bar with the count and the time left, or a spinner with the time that went by; of two, the inner one."""

    def __init__(self) -> None:
        self._shown: list[Live] = []
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        # A bar or spinner that is shown moves down.
        say(text)

    @contextlib.contextmanager
    def during(self, text: str) -> Iterator[None]:
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        started = environ.seconds()
        spinner = live(SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        spinner.add_task(escape.terminal(text), total=None)
        self._push(spinner)
        try:
            yield
        finally:
            self._pop()
            seconds = environ.seconds() - started
            self.say(f"{text}: {seconds:.0f} s" if seconds >= _NOTABLE else text)

    def begin(self, what: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        text = TextColumn("{task.description}", markup=False)
        bar = live(text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._task = bar.add_task(escape.terminal(what), total=total or None)
        self._push(bar)

    def advance(self, count: int = 1) -> None:
        if self._shown and self._task is not None:
            self._shown[-1].advance(self._task, count)

    def end(self) -> None:
        self._task = None
        self._pop()

    def _push(self, live: Live) -> None:
        if self._shown:
            self._shown[-1].stop()
        self._shown.append(live)
        live.start()

    def _pop(self) -> None:
        if self._shown:
            self._shown.pop().stop()
        if self._shown:
            self._shown[-1].start()


def live(*columns: ProgressColumn, transient: bool = True) -> Live:
    """Make bars for the terminal; what is not transient stays there when it ends."""
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    return RichProgress(*columns, console=Console(stderr=True), transient=transient)


def width() -> int:
    """Return how many columns there are for bars."""
    from rich.console import Console

    return Console(stderr=True).width
