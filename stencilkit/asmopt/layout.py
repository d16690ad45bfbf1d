"""The passes that every architecture has: in which order blocks come, and which jumps that takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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

# A name; a leading $ marks an immediate on x86, and behind an @ there may be a modifier (@PAGE) or more of the name.
_WORD: Final = re.compile(r'"[^"]*"|[\w.?@][\w.$?@]*')
_DATA: Final = re.compile(
    r"\s*\.(?:byte|short|hword|word|long|quad|xword|octa|[248]byte|zero|space|fill|asciz|ascii|string)\b"
)


def insert_continue_label(code: Code, syntax: Syntax) -> Code:
    """Put the label of the next uop behind the last instruction, so that the assembler encodes jumps to it.

    Before: `jmp FOO`. After: `jmp FOO`, `_JIT_CONTINUE:`.

    Raises: AssemblyError where there is no instruction.
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

    Raises: AssemblyError where a direct call stands in the place of the branch.
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

    What follows the label is data and directives, and stays. So does the first block (upstream's quirk), and constants
    before the code: those that reachable code refers to, and those before the first instruction, where the first block
    has left .text for them and the last of them is followed by the way back. Upstream drops them, and then cannot
    assemble what is left.
    """
    where = positions(code.blocks)
    live = _reachable(code, where, syntax)
    last = where[syntax.continue_label]
    return code.with_blocks(
        block for index, block in enumerate(code.blocks) if index in live or index == 0 or index >= last
    )


def _reachable(code: Code, where: dict[str, int], syntax: Syntax) -> set[int]:
    live: set[int] = set()
    constants: set[int] = set()
    todo = [where[label] for label in code.entries if label in where]
    first = _without_instructions(code.blocks, 0)
    if any(_is_data(code.blocks[index]) for index in first):
        constants.update(first)
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
        for referred in _referred(block, code.blocks, where, syntax):
            if _is_data(code.blocks[referred]):
                # The directives that lead to a section and back are in the blocks around.
                constants.update(_without_instructions(code.blocks, referred))
            else:
                todo.append(referred)
    return live | constants


def _referred(block: Block, blocks: Sequence[Block], where: dict[str, int], syntax: Syntax) -> Iterator[int]:
    """Find what a block's instructions refer to, but for code under a name that others may know, too.

    Such code is a function whose address is taken, which upstream does not follow; jit.c has one of that name.
    """
    for instruction in block.instructions:
        if instruction.kind is Kind.OTHER:
            for word in _WORD.findall(instruction.text):
                for name in dict.fromkeys((word, word.partition("@")[0])):
                    if name in where and (name.startswith(syntax.label_prefix) or _is_data(blocks[where[name]])):
                        yield where[name]


def _is_data(block: Block) -> bool:
    return not block.instructions and any(_DATA.match(line) for line in block.lines)


def _without_instructions(blocks: Sequence[Block], index: int) -> range:
    """Find the blocks without instructions around one of them, and it."""
    start, end = index, index
    while start > 0 and not blocks[start - 1].instructions:
        start -= 1
    while end < len(blocks) and not blocks[end].instructions:
        end += 1
    return range(start, end)


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
