"""Take frames out of x86-64 code (see frames.py).

    pushq %rbp                                      subq $40, %rsp
    movq  %rsp, %rbp                                movq %rax, 24(%rsp)
    subq  $32, %rsp                 becomes         ...
    movq  %rax, -8(%rbp)                            addq $40, %rsp
    ...                                             jmp  _JIT_CONTINUE
    addq  $32, %rsp
    popq  %rbp
    jmp   _JIT_CONTINUE

Anything else that touches rbp or rsp is refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from stencilkit.asmopt import frames
from stencilkit.asmopt.graph import Block, Code, Instruction, Kind

_RBP: Final = re.compile(r"%(?:rbp|ebp|bpl?)\b")
_RSP: Final = re.compile(r"%(?:rsp|esp|spl?)\b")
_SAVE: Final = re.compile(r"\s*pushq\s+%rbp\s*(?:#.*)?$")
_SET: Final = re.compile(r"\s*movq\s+%rsp, %rbp\s*(?:#.*)?$")
_RESTORE: Final = re.compile(r"\s*popq\s+%rbp\s*(?:#.*)?$")
_PUSH: Final = re.compile(r"\s*pushq\s+%\w+\s*(?:#.*)?$")
_POP: Final = re.compile(r"\s*popq\s+%\w+\s*(?:#.*)?$")
_ADJUST: Final = re.compile(r"\s*(?P<op>subq|addq)\s+\$(?P<size>-?\d+), %rsp\s*(?:#.*)?$")
_LEA: Final = re.compile(r"\s*leaq\s+(?P<size>-?\d+)\(%rsp\), %rsp\s*(?:#.*)?$")
_LOCAL: Final = re.compile(r"(?P<offset>-?\d*)\(%rbp\)")
# These move rsp without naming it.
_IMPLICIT: Final = re.compile(r"\s*(?:push|pop(?!cnt)|leave|enter)")
_CALL: Final = re.compile(r"\s*callq?\s")
_INDIRECT_JUMP: Final = re.compile(r"\s*jmpq?\s+\*")
_MEMORY: Final = re.compile(r"-?\d*\(%rsp(?:,[^)]*)?\)")
_WORD: Final = 8
_RED_ZONE: Final = 128
# Nothing is passed in these across a jump to another stencil (preserve_none's first seven arguments are elsewhere), nor
# returned, nor kept for a caller.
_SCRATCH: Final = ("rcx", "r8", "r9", "r11")
_ANY_WIDTH: Final = {"rcx": r"%(?:rcx|ecx|cx|cl)\b", **{name: rf"%{name}[dwb]?\b" for name in _SCRATCH[1:]}}


def drop_frames(code: Code) -> Code:
    """Rewrite every function so that it does not touch rbp.

    Raises: AssemblyError for code of another shape.
    """
    return frames.drop(
        code, frames.Rules(growth=_growth, call=_CALL, leaves=_INDIRECT_JUMP, pointer=_RBP, rewrite=_rewrite)
    )


def _rewrite(blocks: Sequence[tuple[Block, int]]) -> Iterator[Block]:
    slot = _needs_slot([block for block, _ in blocks])
    for block, depth in blocks:
        yield replace(block, instructions=tuple(_rewrite_block(block.instructions, depth, slot=slot)))


def _rewrite_block(instructions: Sequence[Instruction], depth: int, *, slot: bool) -> list[Instruction]:
    out: list[Instruction] = []
    for instruction in instructions:
        text = instruction.text
        if _SAVE.match(text):
            out += [_adjusted("subq", _WORD)] if slot else []
        elif _RESTORE.match(text):
            out += [_adjusted("addq", _WORD)] if slot else []
        elif not _SET.match(text):
            # rbp is one word below the return address; without the slot for it, rsp is a word higher than it was.
            distance = depth - _WORD - (0 if slot else _WORD)
            out.append(replace(instruction, text=_LOCAL.sub(functools.partial(_to_rsp, distance), text)))
        _join_adjustments(out)
        depth += _growth(instruction)
    return [_as_push_or_pop(out, index) for index in range(len(out))]


def _to_rsp(distance: int, match: re.Match[str]) -> str:
    return f"{int(match['offset'] or 0) + distance or ''}(%rsp)"


def _growth(instruction: Instruction) -> int:
    """Return by how many bytes an instruction makes the stack deeper.

    Raises: AssemblyError for anything that treats rsp as an ordinary register.
    """
    text = instruction.text
    if _PUSH.match(text):
        return _WORD
    if _POP.match(text):
        return -_WORD
    if match := _ADJUST.match(text):
        return int(match["size"]) * (1 if match["op"] == "subq" else -1)
    if match := _LEA.match(text):
        return -int(match["size"])
    if _IMPLICIT.match(text) or (_RSP.search(_MEMORY.sub("", text)) and not _SET.match(text)):
        raise frames.refused(instruction, "it uses rsp in a way that the stack cannot be followed through")
    return 0


def _needs_slot(blocks: Iterable[Block]) -> bool:
    """Tell whether the word that rbp was saved in must stay: calls need the alignment, and locals their place."""
    texts = [instruction.text for block in blocks for instruction in block.instructions]
    lowest = min((int(match["offset"] or 0) for text in texts for match in _LOCAL.finditer(text)), default=0)
    moves = any(
        _RSP.search(text) or _PUSH.match(text) or _POP.match(text)
        for text in texts
        if not (_SAVE.match(text) or _SET.match(text) or _RESTORE.match(text))
    )
    return moves or any(_CALL.match(text) for text in texts) or lowest - _WORD < -_RED_ZONE


def _adjusted(mnemonic: str, size: int) -> Instruction:
    return Instruction(Kind.OTHER, mnemonic, f"\t{mnemonic}\t${size}, %rsp")


def _join_adjustments(out: list[Instruction]) -> None:
    """Make one of two adjustments of rsp in the same direction at the end of a list."""
    matches = [_ADJUST.match(instruction.text) for instruction in out[-2:]]
    first, last = matches if len(matches) == 2 else (None, None)
    if first and last and first["op"] == last["op"]:
        out[-2:] = [_adjusted(first["op"], int(first["size"]) + int(last["size"]))]


def _as_push_or_pop(out: Sequence[Instruction], index: int) -> Instruction:
    """Spell moving by one word as compilers do: as a push or pop of a register that holds nothing."""
    instruction = out[index]
    if instruction.text == _adjusted("subq", _WORD).text:
        return Instruction(Kind.OTHER, "pushq", "\tpushq\t%rax")
    if instruction.text == _adjusted("addq", _WORD).text:
        rest = " ".join(later.text for later in out[index + 1 :])
        free = next((name for name in _SCRATCH if not re.search(_ANY_WIDTH[name], rest)), None)
        if free is not None:
            return Instruction(Kind.OTHER, "popq", f"\tpopq\t%{free}")
    return instruction
