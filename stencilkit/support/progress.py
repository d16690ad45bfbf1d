"""How long work tells that it is going on: an injected object whose default says nothing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What the stages tell while they work. Calls may come from several threads."""

    def say(self, text: str) -> None:
        """Tell about one thing that takes a while, in one line."""

    def begin(self, what: str, total: int) -> None:
        """Start counting `total` things."""

    def advance(self, count: int = 1) -> None:
        """Count some of them as done."""

    def end(self) -> None:
        """Stop counting."""


class Silent:
    """Tell nothing."""

    def say(self, text: str) -> None:
        """Ignore it."""

    def begin(self, what: str, total: int) -> None:
        """Ignore it."""

    def advance(self, count: int = 1) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""


SILENT: Progress = Silent()
