"""How long work reports that it is going on: an injected object whose default says nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Progress(Protocol):
    """What the stages report while they work. Calls may come from several threads."""

    def say(self, text: str) -> None:
        """Report one thing that happens, in one line."""

    @contextlib.contextmanager
    def during(self, text: str) -> Iterator[None]:
        """Report one thing that takes a while, and that it goes on until the block ends."""
        self.say(text)
        yield

    def begin(self, what: str, total: int) -> None:
        """Start counting `total` things."""

    def advance(self, count: int = 1) -> None:
        """Count some of them as done."""

    def end(self) -> None:
        """Stop counting."""


class Silent(Progress):
    """Report nothing."""

    def say(self, text: str) -> None:
        """Ignore it."""

    def begin(self, what: str, total: int) -> None:
        """Ignore it."""

    def advance(self, count: int = 1) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""


SILENT: Progress = Silent()


@contextlib.contextmanager
def counting(progress: Progress, what: str, total: int) -> Iterator[None]:
    """Count things while the block runs. A bar on a terminal ends with it, also where it fails."""
    progress.begin(what, total)
    try:
        yield
    finally:
        progress.end()
