"""Machine code -> readable instructions, with capstone.

For people only: nothing that is compared or hashed comes from here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from stencilkit.model.audit import Decoded
from stencilkit.model.comparison import Line
from stencilkit.model.machine import Operand, Operation
from stencilkit.model.stencil import Stencil

# The names of capstone's architecture and mode.
_ENGINES: Final = {
    "x86_64": ("CS_ARCH_X86", "CS_MODE_64"),
    "i686": ("CS_ARCH_X86", "CS_MODE_32"),
    "aarch64": ("CS_ARCH_ARM64", "CS_MODE_ARM"),
}
# A jump within the stencil, whose last operand is where to; and where a patch lies.
_JUMP: Final = re.compile(r"^((?:j\w+|callq?|loop\w*|b(?:\.\w+)?|bl|cbn?z|tbn?z) (?:.*, )?)#?(?:0x[0-9a-f]+|\d)$")
_JUMPS: Final = re.compile(r"(?:j\w+|callq?|loop\w*|b(?:\.\w+)?|bl|cbn?z|tbn?z)$")
_GOES: Final = re.compile(r"(?:^|, )#?(-?0x[0-9a-f]+|\d+)$")
# capstone's CS_OP_MEM and CS_AC_WRITE.
_MEMORY: Final = 3
_WRITE: Final = 2
_PLACE: Final = re.compile(r"(?:code|data) \+ 0x[0-9a-f]+(?:, )?")
_CALLS: Final = ("call", "callq", "blr")
_LONGEST_INSTRUCTION: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: where, its bytes, its text, and the indices of the patches that lie in it."""

    offset: int
    encoding: bytes
    text: str
    patches: tuple[int, ...]


def _engine(arch: str) -> Any:  # noqa: ANN401  # capstone has no annotations
    # Loaded on first use: it is a tenth of the time that verifying a header takes.
    capstone = importlib.import_module("capstone")
    return capstone.Cs(*(getattr(capstone, name) for name in _ENGINES[arch]))


def instructions(stencil: Stencil, arch: str) -> Iterator[Instruction]:
    """Disassemble a stencil; bytes that are no instruction are shown as data, and nothing is left out."""
    engine = _engine(arch)
    engine.skipdata = True
    for address, size, mnemonic, operands in engine.disasm_lite(stencil.body, 0):
        yield Instruction(
            offset=address,
            encoding=stencil.body[address : address + size],
            text=f"{mnemonic} {operands}".strip(),
            patches=tuple(
                index
                for index, patch in enumerate(stencil.patches)
                if any(address <= offset < address + size for offset in patch.offsets)
            ),
        )


def calls(code: bytes, arch: str) -> list[int]:
    """List the offsets of a function's calls, as upstream counts them: on aarch64, those through a register only.

    What is no instruction is stepped over, so that a call behind it counts.
    """
    engine = _engine(arch)
    engine.skipdata = True
    return [offset for offset, _, mnemonic, _ in engine.disasm_lite(code, 0) if mnemonic in _CALLS]


def decode(stencil: Stencil, arch: str) -> tuple[Decoded, ...]:
    """Disassemble a stencil with what each instruction does to registers and memory."""
    engine = _engine(arch)
    engine.detail = True
    engine.skipdata = True
    return tuple(_decoded(item, stencil) for item in engine.disasm(stencil.body, 0))


def _decoded(item: Any, stencil: Stencil) -> Decoded:  # noqa: ANN401  # capstone has no annotations
    inside = range(item.address, item.address + item.size)
    known = item.id != 0
    goes = _GOES.search(item.op_str) if known and _JUMPS.match(item.mnemonic) else None
    # Bytes that are no instruction have no details to ask for.
    written = item.regs_access()[1] if known else ()
    return Decoded(
        offset=item.address,
        mnemonic=item.mnemonic,
        operands=item.op_str,
        writes=frozenset(item.reg_name(register) for register in written),
        writes_memory=known and any(operand.type == _MEMORY and operand.access & _WRITE for operand in item.operands),
        goes=int(goes[1], 0) if goes else None,
        known=known,
        patches=tuple(patch for patch in stencil.patches if any(offset in inside for offset in patch.offsets)),
    )


def operations(stencil: Stencil, arch: str) -> tuple[Operation, ...]:
    """Disassemble a stencil into operands; what is no instruction has the name "" and is one byte long, or four."""
    engine = _engine(arch)
    engine.detail = True
    engine.skipdata = True
    return tuple(_operation(item, stencil, arch) for item in engine.disasm(stencil.body, 0))


def _operation(item: Any, stencil: Stencil, arch: str) -> Operation:  # noqa: ANN401  # capstone has no annotations
    inside = range(item.address, item.address + item.size)
    known = item.id != 0
    return Operation(
        offset=item.address,
        size=item.size,
        name=item.mnemonic if known else "",
        text=f"{item.mnemonic} {item.op_str}".strip(),
        operands=tuple(_OPERANDS[arch](item, operand) for operand in item.operands) if known else (),
        patches=tuple(
            (offset - item.address, patch) for patch in stencil.patches for offset in patch.offsets if offset in inside
        ),
        **(_DETAILS[arch](item) if known else {}),
    )


def _x86_operand(item: Any, operand: Any) -> Operand:  # noqa: ANN401  # capstone has no annotations
    if operand.type == _REGISTER:
        return Operand(kind="register", size=operand.size, register=item.reg_name(operand.reg))
    if operand.type == _NUMBER:
        return Operand(kind="number", size=operand.size, number=operand.imm)
    base, index, segment = (
        item.reg_name(number) or "" for number in (operand.mem.base, operand.mem.index, operand.mem.segment)
    )
    return Operand(
        kind="memory",
        size=operand.size,
        number=operand.mem.disp,
        base=base,
        index=index,
        scale=operand.mem.scale,
        segment=segment,
    )


def _x86_details(item: Any) -> dict[str, Any]:  # noqa: ANN401  # capstone has no annotations
    found = item.encoding
    places = (found.imm_offset, found.imm_size), (found.disp_offset, found.disp_size)
    # A lock or a repeat; the others are part of the mnemonic or of the sizes.
    return {"places": places, "prefixed": item.mnemonic.split()[0] in ("lock", "rep", "repe", "repne")}


def _aarch64_operand(item: Any, operand: Any) -> Operand:  # noqa: ANN401  # capstone has no annotations
    shift = (_SHIFTS.get(operand.shift.type, "?"), operand.shift.value) if operand.shift.type else ("", 0)
    extend = _EXTENDS.get(operand.ext, "?") if operand.ext else ""
    if operand.type == _REGISTER and operand.vas == 0 and operand.vector_index in (-1, None):
        return Operand(kind="register", size=0, register=item.reg_name(operand.reg), shift=shift, extend=extend)
    if operand.type == _NUMBER:
        return Operand(kind="number", size=0, number=operand.imm, shift=shift)
    if operand.type == _MEMORY:
        base, index = (item.reg_name(number) or "" for number in (operand.mem.base, operand.mem.index))
        return Operand(
            kind="memory", size=0, number=operand.mem.disp, base=base, index=index, shift=shift, extend=extend
        )
    return Operand(kind="register", size=0, register="?")


def _aarch64_details(item: Any) -> dict[str, Any]:  # noqa: ANN401  # capstone has no annotations
    condition = _CONDITIONS[item.cc] if item.cc < len(_CONDITIONS) else "?"
    after = item.writeback and len(item.operands) > 1 and item.operands[-1].type == _NUMBER
    return {"condition": condition, "writeback": "after" if after else "before" if item.writeback else ""}


# By capstone's numbers: ARM64_SFT_*, ARM64_EXT_*, ARM64_CC_* (0 is none; 15 and 16 are al and nv).
_SHIFTS: Final = {1: "lsl", 2: "msl", 3: "lsr", 4: "asr", 5: "ror"}
_EXTENDS: Final = {1: "uxtb", 2: "uxth", 3: "uxtw", 4: "uxtx", 5: "sxtb", 6: "sxth", 7: "sxtw", 8: "sxtx"}
_CONDITIONS: Final = ("", *["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"], "", "")
_REGISTER: Final = 1
_NUMBER: Final = 2
_OPERANDS: Final = {"x86_64": _x86_operand, "i686": _x86_operand, "aarch64": _aarch64_operand}
_DETAILS: Final = {"x86_64": _x86_details, "i686": _x86_details, "aarch64": _aarch64_details}


def lines(stencil: Stencil, arch: str, calls: tuple[str, ...]) -> list[Line]:
    """Lay out a disassembly to be aligned with another: where an instruction lies, or jumps to, does not count."""
    return [
        Line(
            key="; ".join((_JUMP.sub(r"\1", item.text), *(_PLACE.sub("", calls[index]) for index in item.patches))),
            text=f"{item.offset:4x}:  " + "  ; ".join((item.text, *(calls[index] for index in item.patches))),
        )
        for item in instructions(stencil, arch)
    ]


def listing(stencil: Stencil, arch: str, calls: tuple[str, ...]) -> list[str]:
    """Lay out a disassembly; `calls` are the texts of the stencil's patches, shown below their instruction."""
    lines = []
    for instruction in instructions(stencil, arch):
        encoding = instruction.encoding.hex(" ")
        lines.append(f"{instruction.offset:4x}:  {encoding:<{_LONGEST_INSTRUCTION * 2}}  {instruction.text}")
        lines.extend(f"{'':8}^ {calls[index]}" for index in instruction.patches)
    return lines
