"""Machine code as operands: what the semantics of an instruction are written over, without the disassembler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stencilkit.model.stencil import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One operand, of `size` bytes.

    A register has its name in `register`; a number is `number`; an address is base + index * scale + number, where
    `shift` and `extend` are what aarch64 does to the index, or to a register.
    """

    kind: Literal["register", "number", "memory"]
    size: int
    register: str = ""
    number: int = 0
    base: str = ""
    index: str = ""
    scale: int = 1
    segment: str = ""
    shift: tuple[str, int] = ("", 0)
    extend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One instruction: `name` is the mnemonic, `patches` the holes that are in it, by their offset from its start.

    `places` are the offset and size of the number and of the displacement within the bytes (x86; 0 where there is
    none). `condition` is that of a name which leaves it out, `writeback` when the address is written to its register
    (aarch64); `odd` says that it does more than name and operands show (x86).
    """

    offset: int
    size: int
    name: str
    text: str
    operands: tuple[Operand, ...]
    patches: tuple[tuple[int, Patch], ...]
    places: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    condition: str = ""
    writeback: Literal["", "before", "after"] = ""
    odd: bool = False

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.size
