"""Take frames out of code, for LLVMs that cannot keep the frame pointer reserved.

CPython 3.15 compiles stencils with -mframe-pointer=reserved: no stencil touches the frame pointer, it keeps pointing
at the shim's frame, and unwinders step from any stencil straight to the shim's caller. LLVM knows that since 21. What
19 and 20 can do is give every function a frame (-mframe-pointer=all): the frame pointer then has one use, and all of
its uses have one of a few forms. The distance of the stack pointer from it is known at every place; so its uses become
uses of the stack pointer, and the frame goes. What is left does not mention the frame pointer, which is checked.

This module follows the stack through functions; x86_frames.py and aarch64_frames.py know the forms. docs/adr/0006
weighs this against leaving the frames in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit.asmopt.graph import Block, Code, Instruction, Kind, positions
from stencilkit.errors import AssemblyError

_FUNCTION: Final = re.compile(r"\s*\.type\s+(?P<label>[\w.$]+),\s*[@%]function")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Where control goes in a function.

    `successors` are, for each of its blocks, the places among them of the blocks that come next. `stencil` says that
    the function is the one that other stencils jump to.
    """

    successors: tuple[tuple[int, ...], ...]
    stencil: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an architecture's frames look like.

    `growth` returns by how many bytes an instruction makes the stack deeper. `call` matches calls of any kind, `leaves`
    jumps through a register, which end a function. `pointer` matches the frame pointer. `rewrite` takes a function's
    blocks, each with the depth of the stack at its top, and where control goes, and yields them without the frame.
    """

    growth: Callable[[Instruction], int]
    call: re.Pattern[str]
    leaves: re.Pattern[str]
    pointer: re.Pattern[str]
    rewrite: Callable[[Sequence[tuple[Block, int]], Flow], Iterator[Block]]


def drop(code: Code, rules: Rules) -> Code:
    """Rewrite every function so that it does not touch the frame pointer.

    Raises: AssemblyError for code of another shape.
    """
    blocks = list(code.blocks)
    where = positions(blocks)
    functions = _functions(code, where)
    for start in functions:
        stack = _Stack(blocks, where, functions, rules)
        depths = stack.follow(start)
        own = sorted(depths)
        flow = Flow(successors=stack.successors(own), stencil=blocks[start].label in code.entries)
        rewritten = rules.rewrite([(blocks[index], depths[index]) for index in own], flow)
        for index, block in zip(own, rewritten, strict=True):
            blocks[index] = block
    for block in blocks:
        for instruction in block.instructions:
            if rules.pointer.search(instruction.text):
                raise refused(instruction, "it belongs to no function whose frame is understood")
    return code.with_blocks(blocks)


def _functions(code: Code, where: dict[str, int]) -> list[int]:
    """List the blocks at which functions start, in order."""
    labels = [match["label"] for block in code.blocks for line in block.lines if (match := _FUNCTION.match(line))]
    return sorted(where[label] for label in labels if label in where)


class _Stack:
    """How deep the stack is at the top of each block of a function, in bytes below where it was on entry."""

    def __init__(self, blocks: Sequence[Block], where: dict[str, int], functions: Sequence[int], rules: Rules) -> None:
        self._blocks = blocks
        self._where = where
        self._functions = functions
        self._rules = rules

    def follow(self, start: int) -> dict[int, int]:
        """Follow the stack from the start of a function through all of it.

        Raises: AssemblyError where paths that meet disagree.
        """
        depths = {start: 0}
        todo = [start]
        # Blocks that are behind a call: a callee that does not return may have nothing in common with them, so any
        # other way to them counts first.
        doubtful: dict[int, int] = {}
        while todo or doubtful:
            if not todo:
                index = min(doubtful)
                depth = doubtful.pop(index)
                if index not in depths:
                    depths[index] = depth
                    todo.append(index)
                continue
            index = todo.pop()
            depth = depths[index] + sum(map(self._rules.growth, self._blocks[index].instructions))
            for successor in self._jumped_to(index):
                self._arrive(successor, depth, depths, todo)
            for behind in self._behind(index):
                if self._rules.call.match(self._blocks[index].last.text if self._blocks[index].instructions else ""):
                    doubtful.setdefault(behind, depth)
                else:
                    self._arrive(behind, depth, depths, todo)
        return depths

    def successors(self, own: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Find, for each of a function's blocks, the places among them to which control may go next."""
        place = {index: position for position, index in enumerate(own)}
        return tuple(
            tuple(place[other] for other in (*self._jumped_to(index), *self._behind(index)) if other in place)
            for index in own
        )

    def _arrive(self, index: int, depth: int, depths: dict[int, int], todo: list[int]) -> None:
        if index not in depths:
            depths[index] = depth
            todo.append(index)
        elif depths[index] != depth:
            raise AssemblyError(
                f"paths with different depths of the stack meet at {self._blocks[index].label}",
                fix="report this with the version of clang, or use LLVM 21 or newer",
            )

    def _jumped_to(self, index: int) -> list[int]:
        block = self._blocks[index]
        target = self._where.get(str(block.target))
        return [target] if target is not None and block.last.kind is not Kind.CALL else []

    def _behind(self, index: int) -> list[int]:
        """Return the block behind if control can reach it; to the layout passes, an indirect jump goes on."""
        block = self._blocks[index]
        jumps = bool(block.instructions) and self._rules.leaves.match(block.last.text) is not None
        goes_on = block.falls_through and not jumps and index + 1 < len(self._blocks)
        return [index + 1] if goes_on and index + 1 not in self._functions else []


def refused(instruction: Instruction, why: str) -> AssemblyError:
    """Make the error for an instruction that the pass cannot deal with."""
    return AssemblyError(
        f"a frame cannot be taken out: {why}",
        where=instruction.text.strip()[:100],
        fix="report this with the version of clang, or use LLVM 21 or newer",
    )
