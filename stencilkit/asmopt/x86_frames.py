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
_ADJUST: Final = re.compile(r"\s*(?P<op>subq|addq)\s+\$(?P<size>-?\d{1,9}), %rsp\s*(?:#.*)?$")
_LEA: Final = re.compile(r"\s*leaq\s+(?P<size>-?\d{1,9})\(%rsp\), %rsp\s*(?:#.*)?$")
# A number alone: of `sym-4(%rbp)` or `0x10(%rbp)` the digits are a part, and what keeps rbp is refused.
_LOCAL: Final = re.compile(r"(?:(?<=[\s,:])|(?<=\s\*))(?P<offset>(?:-?\d{1,9})?)\(%rbp\)")
# These move rsp without naming it.
_IMPLICIT: Final = re.compile(r"\s*(?:push|pop(?!cnt)|leave|enter)")
_CALL: Final = re.compile(r"\s*callq?\s")
_INDIRECT_JUMP: Final = re.compile(r"\s*jmpq?\s+\*")
_MEMORY: Final = re.compile(r"-?\d{0,9}\(%rsp(?:,[^)]*)?\)")
_WORD: Final = 8
_RED_ZONE: Final = 128
# Nothing is passed in these across a jump to another stencil (preserve_none's first seven arguments are elsewhere), nor
# returned, nor kept for a caller.
_SCRATCH: Final = ("rcx", "r8", "r9", "r11")
_SPELLINGS: Final = {"rcx": r"%(?:rcx|ecx|cx|cl)\b", **{name: rf"%{name}[dwb]?\b" for name in _SCRATCH[1:]}}
# These use rcx without naming it.
_COUNTERS: Final = r"^\s*(?:rep|loop|j[er]cxz\b|cmpxchg(?:8|16)b\b|xgetbv\b)"
_MENTIONS: Final = {
    name: re.compile(f"{spelling}|{_COUNTERS}" if name == "rcx" else spelling) for name, spelling in _SPELLINGS.items()
}
# C functions take their fourth to sixth argument in these (x86-64 psABI, section 3.2.3).
_ARGUMENTS: Final = frozenset({"rcx", "r8", "r9"})
# Writing 32 bits of a register clears the rest; narrower writes keep it.
_FULL: Final = {"rcx": "rcx", "ecx": "rcx", **{name + width: name for name in _SCRATCH[1:] for width in ("", "d")}}
_WRITES: Final = re.compile(r"\s*(?:mov[a-z]*|lea[lq]|popq)\s+(?P<source>.+, )?%(?P<register>\w+)\s*(?:#.*)?$")
_CLEARS: Final = re.compile(r"\s*xor[lq]\s+%(?P<register>\w+), %(?P=register)\s*(?:#.*)?$")
# A jump to another stencil: by name, or to the address of a trace.
_TO_STENCIL: Final = re.compile(r"\s*j\w+\s+(?:\*(?:%|-?\d*\()|\S*_JIT_)")
# Takes the word back in which rbp was saved. popq changes no flags, so nor does this.
_RELEASE: Final = Instruction(Kind.OTHER, "leaq", f"\tleaq\t{_WORD}(%rsp), %rsp")


def drop_frames(code: Code) -> Code:
    """Rewrite every function so that it does not touch rbp.

    Raises: AssemblyError for code of another shape.
    """
    return frames.drop(
        code, frames.Rules(growth=_growth, call=_CALL, leaves=_INDIRECT_JUMP, pointer=_RBP, rewrite=_rewrite)
    )


def _rewrite(blocks: Sequence[tuple[Block, int]], flow: frames.Flow) -> Iterator[Block]:
    slot = _needs_slot([block for block, _ in blocks])
    live = _live_behind([block for block, _ in blocks], flow)
    for (block, depth), behind in zip(blocks, live, strict=True):
        out = _rewrite_block(block.instructions, depth, slot=slot)
        yield replace(block, instructions=tuple(_as_push_or_pop(out, index, behind) for index in range(len(out))))


def _rewrite_block(instructions: Sequence[Instruction], depth: int, *, slot: bool) -> list[Instruction]:
    out: list[Instruction] = []
    for instruction in instructions:
        text = instruction.text
        if _SAVE.match(text):
            out += [_adjusted("subq", _WORD)] if slot else []
        elif _RESTORE.match(text):
            out += [_RELEASE] if slot else []
        elif not _SET.match(text):
            # rbp is one word below the return address; without the slot for it, rsp is a word higher than it was.
            distance = depth - _WORD - (0 if slot else _WORD)
            out.append(replace(instruction, text=_LOCAL.sub(functools.partial(_to_rsp, distance), text)))
        _join_adjustments(out)
        depth += _growth(instruction)
    return out


def _live_behind(blocks: Sequence[Block], flow: frames.Flow) -> list[frozenset[str]]:
    """Find the scratch registers that are read behind each block before they are written."""
    ends = [_read_elsewhere(block, flow, index) for index, block in enumerate(blocks)]
    behind, before = list(ends), [frozenset[str]()] * len(blocks)
    changed = True
    while changed:
        changed = False
        for index in reversed(range(len(blocks))):
            behind[index] = ends[index].union(*(before[other] for other in flow.successors[index]))
            live = _live(blocks[index].instructions, behind[index])
            changed = changed or live != before[index]
            before[index] = live
    return behind


def _read_elsewhere(block: Block, flow: frames.Flow, index: int) -> frozenset[str]:
    """Return the scratch registers that hold arguments where a block's last instruction leaves the function."""
    last = block.last if block.instructions else None
    leaves = last is not None and (
        _INDIRECT_JUMP.match(last.text)
        or (block.target is not None and last.kind is not Kind.CALL and not _stays(block, flow, index))
    )
    to_stencil = flow.stencil and last is not None and _TO_STENCIL.match(last.text)
    return _ARGUMENTS if leaves and not to_stencil else frozenset()


def _stays(block: Block, flow: frames.Flow, index: int) -> bool:
    """Return whether a jump or branch goes to a block of the same function."""
    return len(flow.successors[index]) > (1 if block.falls_through else 0)


def _live(instructions: Sequence[Instruction], behind: frozenset[str]) -> frozenset[str]:
    """Find the scratch registers that are read before they are written, from before some instructions on."""
    live = behind
    for instruction in reversed(instructions):
        text = instruction.text
        if _CALL.match(text):
            live = _ARGUMENTS
        match = _CLEARS.match(text) or _WRITES.match(text)
        written = _FULL.get(match["register"]) if match else None
        read = {name for name, pattern in _MENTIONS.items() if pattern.search(text)}
        if match and written and not (match.re is _WRITES and _MENTIONS[written].search(match["source"] or "")):
            read.discard(written)
            live -= {written}
        live |= read
    return live


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
    """Return whether the word that rbp was saved in must stay: calls need the alignment, and locals their place."""
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
    joined = [_adjusted("addq", _WORD) if instruction is _RELEASE else instruction for instruction in out[-2:]]
    matches = [_ADJUST.match(instruction.text) for instruction in joined]
    first, last = matches if len(matches) == 2 else (None, None)
    if first and last and first["op"] == last["op"]:
        out[-2:] = [_adjusted(first["op"], int(first["size"]) + int(last["size"]))]


def _as_push_or_pop(out: Sequence[Instruction], index: int, behind: frozenset[str]) -> Instruction:
    """Spell moving by one word as compilers do: as a push or pop of a register that holds nothing."""
    instruction = out[index]
    if instruction.text == _adjusted("subq", _WORD).text:
        return Instruction(Kind.OTHER, "pushq", "\tpushq\t%rax")
    if instruction is _RELEASE or instruction.text == _adjusted("addq", _WORD).text:
        rest = out[index + 1 :]
        live = _live(rest, behind)
        for name in _SCRATCH:
            if name not in live and not any(_MENTIONS[name].search(later.text) for later in rest):
                return Instruction(Kind.OTHER, "popq", f"\tpopq\t%{name}")
    return instruction
