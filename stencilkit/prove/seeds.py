"""The states that stencils are run on: each follows from a number, where the solver has not said what is there."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

HEAP: Final = 0x4000_0000
PAGE: Final = 0x1000
REACH: Final = {64: (HEAP, HEAP + (1 << 32)), 32: (HEAP, 0xF000_0000)}
"""Where memory is that a state gives words of, by the width of an address."""
_LETTERS: Final = {32: "I", 64: "Q"}


@dataclass(frozen=True, slots=True)
class Seed:
    """A state: what the solver says of registers, holes and words, and a number from which the rest follows.

    Two of three states are tame: registers are addresses at first, and numbers are small, so that a stencil reads where
    it may, and a loop that counts to a number comes to its end.
    """

    number: int
    values: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[int, int] = field(default_factory=dict)

    def value(self, name: str, width: int = 64) -> int:
        """Return the value of a register or hole."""
        if name in self.values:
            return self.values[name] & (1 << width) - 1
        return self._made(name) & (1 << width) - 1

    def _made(self, name: str) -> int:
        digest = hashlib.blake2b(f"{self.number} {name}".encode(), digest_size=8).digest()
        return self._plausible(int.from_bytes(digest, "little"))

    @property
    def tame(self) -> bool:
        """Whether the state is tame."""
        return self.number % 3 > 0

    def register(self, name: str, width: int) -> int:
        """Return the value of a register at first."""
        if self.tame and name not in self.values:
            return HEAP + 16 * (self._made(name) % 0x4000)
        return self.value(name, width)

    def operand(self, name: str, width: int) -> int:
        """Return the value of a hole that the uop's operand or target is in."""
        if self.tame and width < 64 and name not in self.values:
            return self._made(name) % 16
        return self.value(name, width)

    def page(self, start: int, word: int) -> bytes:
        """Return what a page of memory holds at first, where a word has so many bits."""
        raw = hashlib.shake_128(f"{self.number} page {start:#x}".encode()).digest(PAGE)
        layout = f"<{8 * PAGE // word}{_LETTERS[word]}"
        body = bytearray(struct.pack(layout, *map(self._plausible, struct.unpack(layout, raw))))
        for place, value in self.words.items():
            for address, byte in enumerate(value.to_bytes(word // 8, "little"), start=place):
                if start <= address < start + PAGE:
                    body[address - start] = byte
        return bytes(body)

    def _plausible(self, number: int) -> int:
        """Make what memory could hold: addresses (with tags) most often, then small numbers, then any."""
        kind, rest = number & 31, number >> 5
        if kind < 18:
            return HEAP + 16 * (rest % 0x4000) + (rest >> 20 & 3 if kind & 1 else 0)
        if kind < 26 or self.tame:
            return rest % (256 if kind & 1 else 8)
        return number if kind & 1 else rest & 0xFFFFFFFF
