"""The types of LLVM IR: how large they are, and where their elements start (LLVM's LangRef, "Type System")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_NAMED: Final = re.compile(r"\n(%[\w.]+|%\"[^\"]+\") = type (.+)")
_SPLIT: Final = re.compile(r"[\[\]{}<>(),]")
_ARRAY: Final = re.compile(r"\[(\d+) x (.+)\]")
_VECTOR: Final = re.compile(r"<(\d+) x (.+)>")
_INTEGER: Final = re.compile(r"i(\d+)")
_FLOATS: Final[Mapping[str, tuple[int, int]]] = {
    "half": (2, 2),
    "float": (4, 4),
    "double": (8, 8),
    "x86_fp80": (16, 16),
    "fp128": (16, 16),
}


@dataclass(frozen=True, slots=True)
class Types:
    """The named types of a module, and the size of its pointers in bytes."""

    named: Mapping[str, str]
    pointer: int
    _extents: dict[str, tuple[int, int]] = field(default_factory=dict)

    def extent(self, spelt: str) -> tuple[int, int]:
        """Return size and alignment in bytes.

        Raises: LookupError for a type that has none.
        """
        known = self._extents.get(spelt)
        if known is None:
            known = self._extents[spelt] = self._extent(spelt)
        return known

    def _extent(self, spelt: str) -> tuple[int, int]:
        if spelt in self.named:
            return self.extent(self.named[spelt])
        if spelt == "ptr":
            return self.pointer, self.pointer
        if spelt in _FLOATS:
            return _FLOATS[spelt]
        if match := _INTEGER.fullmatch(spelt):
            size = 1 << max(0, (int(match[1]) + 7) // 8 - 1).bit_length()
            return size, size
        if match := _ARRAY.fullmatch(spelt) or _VECTOR.fullmatch(spelt):
            size, alignment = self.extent(match[2])
            return int(match[1]) * size, alignment
        _, size, alignment = self._struct(spelt)
        return size, alignment

    def element(self, spelt: str, index: int) -> tuple[int, str]:
        """Return the offset in bytes and the type of an element of a structure or an array.

        Raises: LookupError for what has no such element.
        """
        body = self.named.get(spelt, spelt)
        if match := _ARRAY.fullmatch(body):
            return index * self.extent(match[2])[0], match[2]
        offsets, _, _ = self._struct(body)
        return offsets[index], _elements(body)[index]

    def _struct(self, body: str) -> tuple[list[int], int, int]:
        packed = body.startswith("<{")
        if not packed and not body.startswith("{"):
            raise LookupError(body)
        offsets, end, widest = [], 0, 1
        for element in _elements(body):
            size, alignment = self.extent(element)
            alignment = 1 if packed else alignment
            end = -(-end // alignment) * alignment
            offsets.append(end)
            end += size
            widest = max(widest, alignment)
        return offsets, -(-end // widest) * widest, widest


def read(text: str, pointer: int) -> Types:
    """Read the named types of a module."""
    return Types({match[1]: match[2] for match in _NAMED.finditer(f"\n{text}")}, pointer)


def _elements(body: str) -> list[str]:
    """Split the inside of a structure at its own commas."""
    inside = body.removeprefix("<").removesuffix(">").strip()[1:-1].strip()
    found, depth, start = [], 0, 0
    for match in _SPLIT.finditer(inside):
        depth += (match[0] in "[{<(") - (match[0] in "]}>)")
        if match[0] == "," and depth == 0:
            found.append(inside[start : match.start()].strip())
            start = match.end()
    return [*found, inside[start:].strip()] if inside else []
