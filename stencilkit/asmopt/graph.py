"""The control-flow graph that the passes work on: blocks in the order of the text.

A block is an optional label, then lines that are not instructions, then instructions, of which only the last may leave
the block. Everything is frozen; a pass returns a new graph.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace


@enum.unique
class Kind(enum.Enum):
    """What an instruction means to the passes."""

    JUMP = "unconditional jump to a symbol"
    BRANCH = "conditional branch that reaches anywhere in a trace"
    SHORT_BRANCH = "conditional branch that may not reach beyond its uop"
    CALL = "direct call of a symbol"
    RETURN = "return"
    SMALL_CONST_1 = "aarch64: first half of loading a 16 or 32-bit operand"
    SMALL_CONST_2 = "aarch64: second half of it"
    SMALL_CONST_MASK = "aarch64: masking such an operand"
    LARGE_CONST_1 = "aarch64: adrp of a slot"
    LARGE_CONST_2 = "aarch64: load from that slot"
    LABEL = "a label that a pass puts between instructions"
    OTHER = "everything else; control goes to the next instruction"


BRANCHES = (Kind.BRANCH, Kind.SHORT_BRANCH)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction line. `target` is the symbol that it goes to or loads, `register` what it loads into."""

    kind: Kind
    mnemonic: str
    text: str
    target: str | None = None
    register: str | None = None

    def retarget(self, target: str) -> Instruction:
        """Go somewhere else."""
        return replace(self, text=self.text.replace(str(self.target), target), target=target)

    def become(self, mnemonic: str, target: str) -> Instruction:
        """Be another instruction of the same shape that goes somewhere else."""
        text = self.text.replace(self.mnemonic, mnemonic, 1).replace(str(self.target), target)
        return replace(self, mnemonic=mnemonic, text=text, target=target)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code that is entered at its top.

    `target` is where its last instruction may go, `falls_through` whether control can reach the block after it, `hot`
    whether it can reach the next uop.
    """

    label: str | None = None
    lines: tuple[str, ...] = ()
    instructions: tuple[Instruction, ...] = ()
    target: str | None = None
    falls_through: bool = True
    hot: bool = False

    @property
    def last(self) -> Instruction:
        """Return the last instruction."""
        return self.instructions[-1]

    def with_last(self, instruction: Instruction) -> Block:
        """Replace the last instruction, and the target with its own."""
        instructions = (*self.instructions[:-1], instruction)
        return replace(self, instructions=instructions, target=instruction.target)


@dataclass(frozen=True, slots=True)
class Code:
    """The assembly of one uop. `entries` are the labels that are known outside."""

    blocks: tuple[Block, ...]
    entries: frozenset[str]

    def with_blocks(self, blocks: Iterable[Block]) -> Code:
        """Replace the blocks."""
        return replace(self, blocks=tuple(blocks))


def positions(blocks: Iterable[Block]) -> dict[str, int]:
    """Map labels to where their blocks are."""
    return {block.label: index for index, block in enumerate(blocks) if block.label is not None}


def resolve(blocks: list[Block] | tuple[Block, ...], index: int) -> int:
    """Skip blocks without instructions."""
    while not blocks[index].instructions and index + 1 < len(blocks):
        index += 1
    return index


def predecessors(blocks: list[Block] | tuple[Block, ...], index: int) -> list[int]:
    """List the blocks from which control can come to a block, in order."""
    label = blocks[index].label
    return [
        other
        for other, block in enumerate(blocks)
        if (label is not None and block.target == label) or (block.falls_through and other + 1 == index)
    ]


def text(code: Code) -> str:
    """Write the assembly."""
    lines: list[str] = []
    for block in code.blocks:
        lines.extend(block.lines)
        lines.extend(instruction.text for instruction in block.instructions)
    return "\n".join(lines) + "\n"
