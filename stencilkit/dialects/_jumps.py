"""Jumps to the next stencil at the end of one, which are left out: the forms that versions share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit.model.stencil import Hole, HoleValue, signed64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallthrough:
    """A jump to the next stencil that, as the last instruction, jumps nowhere and is left out.

    `encoding` is the whole instruction, whose hole is `back` bytes after its start.
    """

    kinds: frozenset[str]
    value: HoleValue
    symbol: str | None
    addend: int
    encoding: bytes
    back: int

    def matches(self, hole: Hole) -> bool:
        """Return whether a hole is that of such a jump."""
        return (
            hole.kind in self.kinds
            and hole.value is self.value
            and hole.symbol == self.symbol
            and signed64(hole.addend) == self.addend
        )


THROUGH_SLOT: Final = Fallthrough(  # jmp qword ptr [rip]
    kinds=frozenset({"IMAGE_REL_AMD64_REL32"}),
    value=HoleValue.GOT,
    symbol="_JIT_CONTINUE",
    addend=-4,
    encoding=b"\x48\xff\x25\0\0\0\0",
    back=3,
)
RELATIVE: Final = Fallthrough(  # jmp 5
    kinds=frozenset({"IMAGE_REL_I386_REL32", "R_X86_64_PLT32", "X86_64_RELOC_BRANCH"}),
    value=HoleValue.CONTINUE,
    symbol=None,
    addend=-4,
    encoding=b"\xe9\0\0\0\0",
    back=1,
)
AARCH64: Final = Fallthrough(  # b #4
    kinds=frozenset({"R_AARCH64_JUMP26"}),
    value=HoleValue.CONTINUE,
    symbol=None,
    addend=0,
    encoding=b"\0\0\0\x14",
    back=0,
)


def removed(
    code: bytes, holes: Sequence[Hole], jumps: Iterable[Fallthrough], *, alignment: int = 1
) -> tuple[bytes, list[Hole]]:
    """Drop a final jump to the next stencil (CPython: `_stencils.Stencil.remove_jump`).

    The jump is kept where the code would then not end at a multiple of `alignment`.
    """
    last = max(holes, key=lambda hole: hole.offset, default=None)
    for jump in jumps:
        if last is not None and jump.matches(last):
            start = last.offset - jump.back
            if code[start:] == jump.encoding and start % alignment == 0:
                return code[:start], [hole for hole in holes if hole is not last]
            break
    return code, list(holes)
