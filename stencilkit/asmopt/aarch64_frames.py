"""Take frames out of aarch64 code (see frames.py).

    stp x29, x30, [sp, #-16]!                       str x30, [sp, #-16]!
    mov x29, sp                     becomes         ...
    ...                                             ldr x30, [sp], #16
    ldp x29, x30, [sp], #16

    sub sp, sp, #48                                 sub  sp, sp, #48
    stp x29, x30, [sp, #32]                         str  x30, [sp, #40]
    add x29, sp, #32                becomes         str  x8, [sp, #24]
    stur x8, [x29, #-8]                             ...
    ...

A function that calls nothing keeps its return address in x30, and needs neither the store nor the load. Anything else
that touches x29 or moves sp is refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from stencilkit.asmopt import frames
from stencilkit.asmopt.graph import Block, Code, Instruction, Kind

_X29: Final = re.compile(r"\b[xw]29\b")
_X30: Final = re.compile(r"\b[xw]30\b|\blr\b")
_SP: Final = re.compile(r"\bw?sp\b")
_IMMEDIATE: Final = r"#(?P<size>-?\d{1,9})"
_SAVE_PUSH: Final = re.compile(rf"\s*stp\s+x29, x30, \[sp, {_IMMEDIATE}\]!")
_SAVE: Final = re.compile(rf"\s*stp\s+x29, x30, \[sp, {_IMMEDIATE}\]")
_RESTORE_POP: Final = re.compile(rf"\s*ldp\s+x29, x30, \[sp\], {_IMMEDIATE}")
_RESTORE: Final = re.compile(rf"\s*ldp\s+x29, x30, \[sp, {_IMMEDIATE}\]")
_SET: Final = re.compile(r"\s*(?:mov\s+x29, sp|add\s+x29, sp, #(?P<size>\d{1,9}))\s*(?://.*)?$")
_MOVE: Final = re.compile(rf"\s*(?P<op>sub|add)\s+sp, sp, {_IMMEDIATE}\s*(?://.*)?$")
_ACCESS: Final = re.compile(
    r"(?P<head>\s*)(?P<op>stur|ldur|str|ldr)(?P<width>[bh]?)(?P<operand>\s+\w+, )\[x29(?:, #(?P<offset>-?\d{1,9}))?\]"
)
_ADDRESS: Final = re.compile(r"(?P<head>\s*)(?P<op>sub|add)(?P<operand>\s+x\d+, )x29, #(?P<size>\d{1,9})")
_CALL: Final = re.compile(r"\s*blr?\s")
_INDIRECT_JUMP: Final = re.compile(r"\s*br\s")
# sp in a memory operand without write-back, or as a source: it stays where it is.
_HARMLESS: Final = re.compile(r"\[sp(?:, #-?\d+)?\](?!!|, #)|\b(?:mov|add|sub)\s+x\d+, sp\b")


def drop_frames(code: Code) -> Code:
    """Rewrite every function so that it does not touch x29.

    Raises: AssemblyError for code of another shape.
    """
    return frames.drop(
        code, frames.Rules(growth=_growth, call=_CALL, leaves=_INDIRECT_JUMP, pointer=_X29, rewrite=_rewrite)
    )


def _growth(instruction: Instruction) -> int:
    """Return by how many bytes an instruction makes the stack deeper.

    Raises: AssemblyError for anything else that moves sp.
    """
    text = instruction.text
    if match := _SAVE_PUSH.match(text):
        return -int(match["size"])
    if match := _RESTORE_POP.match(text):
        return -int(match["size"])
    if match := _MOVE.match(text):
        return int(match["size"]) * (1 if match["op"] == "sub" else -1)
    known = _SAVE.match(text) or _RESTORE.match(text) or _SET.match(text)
    if not known and _SP.search(_HARMLESS.sub("", text)):
        raise frames.refused(instruction, "it uses sp in a way that the stack cannot be followed through")
    return 0


def _rewrite(blocks: Sequence[tuple[Block, int]], _flow: frames.Flow) -> Iterator[Block]:
    texts = [instruction.text for block, _ in blocks for instruction in block.instructions]
    _check_pairs(blocks)
    saved = not _is_leaf(texts)
    level = _frame_level(blocks)
    for block, depth in blocks:
        yield replace(block, instructions=tuple(_rewrite_block(block.instructions, depth, level, saved=saved)))


def _is_leaf(texts: Sequence[str]) -> bool:
    """Return whether x30 holds the return address throughout, and nothing is kept beside it in the frame."""
    pairs = (_SAVE_PUSH, _SAVE, _RESTORE_POP, _RESTORE, _SET)
    rest = [text for text in texts if not any(pair.match(text) for pair in pairs)]
    return not any(_CALL.match(text) or _X30.search(text) or _X29.search(text) for text in rest)


def _check_pairs(blocks: Sequence[tuple[Block, int]]) -> None:
    """Refuse a function that saves the pair in one way and restores it in another.

    Raises: AssemblyError.
    """
    ways: dict[tuple[str, int], Instruction] = {}
    for block, _ in blocks:
        for instruction in block.instructions:
            for way, pattern in (("push", _SAVE_PUSH), ("push", _RESTORE_POP), ("slot", _SAVE), ("slot", _RESTORE)):
                if match := pattern.match(instruction.text):
                    ways[way, abs(int(match["size"]))] = instruction
                    break
    if len(ways) > 1:
        raise frames.refused(next(iter(ways.values())), "x29 and x30 are saved in one way and restored in another")


def _frame_level(blocks: Sequence[tuple[Block, int]]) -> int:
    """Return how far below the entry's sp x29 points, which must be the same wherever it is set.

    Raises: AssemblyError.
    """
    levels: dict[int, Instruction] = {}
    for block, start in blocks:
        depth = start
        for instruction in block.instructions:
            if match := _SET.match(instruction.text):
                levels[depth - int(match["size"] or 0)] = instruction
            depth += _growth(instruction)
    if len(levels) > 1:
        raise frames.refused(next(iter(levels.values())), "x29 is set in more than one way")
    return next(iter(levels), 0)


def _rewrite_block(
    instructions: Sequence[Instruction], depth: int, level: int, *, saved: bool
) -> Iterator[Instruction]:
    for instruction in instructions:
        text = _without_pair(instruction.text, saved=saved)
        # x29 is `level` below the entry's sp, and sp is `depth` below it.
        text = _ACCESS.sub(functools.partial(_access, depth - level), text)
        text = _ADDRESS.sub(functools.partial(_address, depth - level), text)
        depth += _growth(instruction)
        if text and not _SET.match(text):
            kind = Kind.OTHER if instruction.text != text else instruction.kind
            yield replace(instruction, kind=kind, text=text)


def _without_pair(text: str, *, saved: bool) -> str:
    """Save and restore x30 alone, or only move sp where it need not be saved; "" where nothing is left to do."""
    if match := _SAVE_PUSH.match(text):
        size = -int(match["size"])
        return f"\tstr\tx30, [sp, #-{size}]!" if saved else _moved("sub", size)
    if match := _RESTORE_POP.match(text):
        return f"\tldr\tx30, [sp], #{match['size']}" if saved else _moved("add", int(match["size"]))
    for pattern, mnemonic in ((_SAVE, "str"), (_RESTORE, "ldr")):
        if match := pattern.match(text):
            return f"\t{mnemonic}\tx30, [sp, #{int(match['size']) + 8}]" if saved else ""
    return text


def _moved(mnemonic: str, size: int) -> str:
    # Sixteen bytes held the pair and nothing else.
    return f"\t{mnemonic}\tsp, sp, #{size}" if size > 16 else ""


def _access(distance: int, match: re.Match[str]) -> str:
    offset = int(match["offset"] or 0) + distance
    # sp-relative offsets are positive, and then the scaled form is the one to use.
    mnemonic = {"stur": "str", "ldur": "ldr"}.get(match["op"], match["op"])
    return f"{match['head']}{mnemonic}{match['width']}{match['operand']}[sp, #{offset}]"


def _address(distance: int, match: re.Match[str]) -> str:
    offset = distance + int(match["size"]) * (1 if match["op"] == "add" else -1)
    return f"{match['head']}add{match['operand']}sp, #{offset}"
