"""A linked program or library, as far as `identify` looks at it: what kind it is, and where its constants are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stencilkit.model.target import ObjectFormat

# What a program with the JIT's runtime has: the format of jit_error's warning (CPython's Python/jit.c), in 3.13, 3.14
# and 3.15 alike.
JIT_TEXT: Final = b"JIT %s (%d)\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of a program that is loaded from its file and is not code: its name, its offset in the file, its size.

    Both numbers are in bytes.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """A protection that a platform gives a whole program: what it is called, and whether it is on.

    `why` names what decides it: the note, flag or load command.
    """

    name: str
    on: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One linked program or library for one architecture.

    `arch` is that of targets.toml, "" for others; `label` names the file, the member of a package, and the slice of a
    universal file. `regions` are in the order of the file and do not overlap; `content` is the bytes they are in.
    """

    label: str
    format: ObjectFormat
    arch: str
    content: bytes
    regions: tuple[Region, ...]
    protections: tuple[Protection, ...]

    def contains(self, text: bytes) -> bool:
        """Return whether some bytes occur in what is loaded."""
        return any(self.content.find(text, region.offset, region.offset + region.size) >= 0 for region in self.regions)
