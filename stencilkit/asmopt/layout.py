"""The passes that every architecture has: where code lies, and which jumps that takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from stencilkit.asmopt.graph import (
    BRANCHES,
    Block,
    Code,
    Instruction,
    Kind,
    positions,
    predecessors,
    resolve,
)
from stencilkit.asmopt.syntax import Syntax
from stencilkit.errors import REPORT, AssemblyError

_WORD: Final = re.compile(r"[\w.$]+")


def insert_continue_label(code: Code, syntax: Syntax) -> Code:
    """Put the label of the next uop behind the last instruction, so that the assembler encodes jumps to it.

    Before: `jmp FOO`. After: `jmp FOO`, `_JIT_CONTINUE:`.
    """
    ends = [index for index, block in enumerate(code.blocks) if block.instructions]
    if not ends:
        raise AssemblyError("there is no instruction in the code of this uop", fix=REPORT)
    after = ends[-1] + 1
    label = syntax.continue_label
    continuation = Block(label=label, lines=(f"{label}:",))
    return code.with_blocks((*code.blocks[:after], continuation, *code.blocks[after:]))


def mark_hot(code: Code) -> Code:
    """Mark the blocks that can reach the end of the text, which is where the next uop is."""
    hot: set[int] = set()
    todo = [len(code.blocks) - 1]
    while todo:
        index = todo.pop()
        hot.add(index)
        todo.extend(other for other in predecessors(code.blocks, index) if other not in hot)
    return code.with_blocks(replace(block, hot=index in hot) for index, block in enumerate(code.blocks))


def invert_hot_branches(code: Code, syntax: Syntax) -> Code:
    """Let the hot path fall through.

    Before: `je HOT`, `jmp COLD`. After: `jne COLD`, `jmp HOT`. The jump must be alone in its block, and be reached
    from the branch only.
    """
    blocks = list(code.blocks)
    where = positions(blocks)
    for index in range(len(blocks) - 1):
        branch = blocks[index]
        after = resolve(blocks, index + 1)
        jump = blocks[after]
        if (
            branch.target is not None
            and branch.falls_through
            and _is_hot(branch.target, blocks, where)
            and jump.target is not None
            and not jump.falls_through
            and not _is_hot(jump.target, blocks, where)
            and len(jump.instructions) == 1
            and predecessors(blocks, after) == [index]
        ):
            inverted = _invert(branch.last, jump.target, syntax)
            if inverted is not None:
                blocks[index] = branch.with_last(inverted)
                blocks[after] = replace(jump.with_last(jump.last.retarget(branch.target)), hot=True)
    return code.with_blocks(blocks)


def _is_hot(label: str, blocks: list[Block], where: dict[str, int]) -> bool:
    return label in where and blocks[where[label]].hot


def _invert(instruction: Instruction, target: str, syntax: Syntax) -> Instruction | None:
    """Return the branch with the opposite condition, or None where there is none that reaches the target."""
    if instruction.kind not in BRANCHES:
        raise AssemblyError(
            "a direct call is followed by a jump to cold code, which the passes cannot turn around",
            where=instruction.text.strip(),
            fix=REPORT,
        )
    if instruction.kind is Kind.SHORT_BRANCH and syntax.is_far(target):
        return None
    inverse = syntax.instructions.inverses.get(instruction.mnemonic)
    return instruction.become(inverse, target) if inverse else None


def remove_redundant_jumps(code: Code, syntax: Syntax) -> Code:
    """Drop jumps to the next instruction, and go straight to where a jump would jump on to.

    Upstream's quirk: a direct call counts as a jump here, too.
    """
    blocks = list(code.blocks)
    where = positions(blocks)
    for index, block in enumerate(blocks):
        if block.target is None or block.target not in where:
            continue
        target = resolve(blocks, where[block.target])
        if index + 1 < len(blocks) and target == resolve(blocks, index + 1):
            kept = block.instructions[:-1]
            blocks[index] = replace(block, instructions=kept, target=None, falls_through=True)
            continue
        onward = blocks[target].instructions
        if len(onward) == 1 and onward[0].kind is Kind.JUMP:
            label = str(blocks[target].target)
            if block.last.kind is not Kind.SHORT_BRANCH or not syntax.is_far(label):
                blocks[index] = block.with_last(block.last.retarget(label))
    return code.with_blocks(blocks)


def remove_unreachable(code: Code, syntax: Syntax) -> Code:
    """Drop the blocks before the next uop's label that no path from an entry reaches.

    What follows the label is data and directives, and stays. So does the first block (upstream's quirk), and data
    before the code that reachable code refers to (upstream drops it, and then cannot assemble what is left).
    """
    where = positions(code.blocks)
    live = _reachable(code, where, syntax)
    last = where[syntax.continue_label]
    return code.with_blocks(
        block for index, block in enumerate(code.blocks) if index in live or index == 0 or index >= last
    )


def _reachable(code: Code, where: dict[str, int], syntax: Syntax) -> set[int]:
    live: set[int] = set()
    todo = [where[label] for label in code.entries if label in where]
    while todo:
        index = todo.pop()
        if index in live:
            continue
        live.add(index)
        block = code.blocks[index]
        if block.falls_through and index + 1 < len(code.blocks):
            todo.append(index + 1)
        if block.target in where:
            todo.append(where[block.target])
        todo.extend(_data_of(block, where, syntax))
    return live


def _data_of(block: Block, where: dict[str, int], syntax: Syntax) -> Iterator[int]:
    """Find the constants that a block's instructions refer to."""
    for instruction in block.instructions:
        if instruction.kind is Kind.OTHER and syntax.label_prefix in instruction.text:
            yield from (where[word] for word in _WORD.findall(instruction.text) if word in where)


def check_frame_pointer(code: Code, syntax: Syntax) -> None:
    """Refuse code that sets up a frame pointer although it is reserved.

    Raises: AssemblyError.
    """
    for block in code.blocks:
        for instruction in block.instructions:
            if syntax.instructions.frame_pointer.match(instruction.text):
                raise AssemblyError(
                    "the frame pointer is modified although it is reserved, so frames would not unwind",
                    where=instruction.text.strip(),
                    fix="use LLVM 21 or newer, or leave -fno-omit-frame-pointer out of --cflags",
                )
