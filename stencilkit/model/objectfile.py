"""An object file, reduced to what a stencil can be made of.

The parsers in `objects/` deliver this whatever the format was; nothing after them asks.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


@enum.unique
class SectionRole(enum.Enum):
    """Which part of a stencil a section goes into."""

    CODE = "code"
    DATA = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A name that a section defines; `offset` is in bytes from the start of the section."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """A place to patch.

    `offset` is in bytes from the start of the section; `kind` is the format's own name for it. `indirect` says
    that the format asks for the address of a slot holding the symbol's address although the kind alone does not
    (COFF's `__imp_` symbols).
    """

    offset: int
    kind: str
    symbol: str
    addend: int
    indirect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section that ends up in a stencil, with the symbols and relocations that belong to it.

    `padding` is how many zero bytes come before it in its part (Mach-O only: sections there have addresses).
    """

    name: str
    role: SectionRole
    data: bytes
    symbols: tuple[Symbol, ...] = ()
    relocations: tuple[Relocation, ...] = ()
    padding: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFile:
    """The sections that matter, in file order."""

    sections: tuple[Section, ...]
