"""Long lists in messages: their start, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

_SHOWN: Final = 8


def some(lines: Sequence[str]) -> Iterator[str]:
    """Yield the first lines, and one that counts the others."""
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {len(lines) - _SHOWN} more"
