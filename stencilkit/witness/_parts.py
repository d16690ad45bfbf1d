"""What uops use <-> text for the cache: JSON in which each name is spelt once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stencilkit.model.layout import Span

Row = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a part of a unit uses: the names of types, members and bit-fields with their place, and enumerators."""

    types: frozenset[str]
    members: Mapping[str, Span]
    bits: Mapping[str, Span]
    enumerators: frozenset[str]

    def rows(self) -> Iterator[Row]:
        """List what it uses: kind, name, start and size."""
        yield from (("type", name, 0, 0) for name in sorted(self.types))
        yield from (("member", name, span.start, span.size) for name, span in sorted(self.members.items()))
        yield from (("bits", name, span.start, span.size) for name, span in sorted(self.bits.items()))
        yield from (("enumerator", name, 0, 0) for name in sorted(self.enumerators))


def dump(parts: Mapping[str, Part]) -> str:
    """Write parts, by what they are called."""
    numbers: dict[Row, int] = {}
    found = {name: [numbers.setdefault(row, len(numbers)) for row in part.rows()] for name, part in parts.items()}
    return json.dumps([list(numbers), found])


def load(text: str) -> Mapping[str, Part]:
    """Read parts.

    Raises: ValueError, TypeError, LookupError, AttributeError for what `dump` does not write.
    """
    rows, parts = json.loads(text)
    return {name: _part([rows[number] for number in numbers]) for name, numbers in parts.items()}


def _part(rows: list[list[object]]) -> Part:
    names: dict[str, dict[str, Span]] = {"type": {}, "member": {}, "bits": {}, "enumerator": {}}
    for kind, name, start, size in rows:
        if not isinstance(start, int) or not isinstance(size, int):
            raise TypeError("a place is a number")
        names[str(kind)][str(name)] = Span(start=start, size=size)
    return Part(
        types=frozenset(names["type"]),
        members=names["member"],
        bits=names["bits"],
        enumerators=frozenset(names["enumerator"]),
    )
