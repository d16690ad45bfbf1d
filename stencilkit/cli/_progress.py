"""Progress for people: a bar on a terminal, plain lines in a log, nothing where a machine reads."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from stencilkit.support import environ, escape
from stencilkit.support.progress import SILENT, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


def choose(form: str) -> Progress:
    """Choose how to show progress: on stderr, and only beside text."""
    if form != "text":
        return SILENT
    return _Terminal() if sys.stderr.isatty() else _Lines()


class _Lines:
    """One line when something begins and one when it ends, for logs."""

    def __init__(self) -> None:
        self._what = ""
        self._total = 0
        self._done = 0
        self._started = 0.0
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        print(f"stencilkit: {escape.terminal(text)}", file=sys.stderr, flush=True)

    def begin(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._started = what, total, 0, environ.seconds()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count

    def end(self) -> None:
        seconds = environ.seconds() - self._started
        self.say(f"{self._what}: {self._done} of {self._total} in {seconds:.1f} s")


class _Terminal:
    """A bar with the count and the time left."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        print(f"stencilkit: {escape.terminal(text)}", file=sys.stderr, flush=True)

    def begin(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichBar

        self._bar = RichBar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total or None)
        self._bar.start()

    def advance(self, count: int = 1) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, count)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
