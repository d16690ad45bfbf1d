"""Machine code -> readable instructions, with capstone.

For people, and for the stages that judge what code does: nothing that is hashed comes from here.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from stencilkit.model.audit import Argument, Decoded
from stencilkit.model.comparison import Line
from stencilkit.model.machine import Operand, Operation
from stencilkit.model.stencil import PatchForm, Stencil

# The names of capstone's architecture and mode.
_ENGINES: Final = {
    "x86_64": ("CS_ARCH_X86", "CS_MODE_64"),
    "i686": ("CS_ARCH_X86", "CS_MODE_32"),
    "aarch64": ("CS_ARCH_ARM64", "CS_MODE_ARM"),
}
# Where operands have a size of their own, and the disassembler says where they are in an instruction.
_VARIABLE_LENGTH: Final = {"x86_64": True, "i686": True, "aarch64": False}
# A jump within the stencil, whose last operand is where to; and where a patch lies.
_JUMP: Final = re.compile(r"^((?:j\w+|callq?|loop\w*|b(?:\.\w+)?|bl|cbn?z|tbn?z) (?:.*, )?)#?(?:0x[0-9a-f]+|\d)$")
_JUMPS: Final = re.compile(r"(?:j\w+|callq?|loop\w*|b(?:\.\w+)?|bl|cbn?z|tbn?z)$")
_GOES: Final = re.compile(r"(?:^|, )#?(-?0x[0-9a-f]+|\d+)$")
# capstone's CS_OP_REG, CS_OP_MEM, the kinds of numbers (CS_OP_IMM, ARM64_OP_CIMM), CS_AC_READ and CS_AC_WRITE.
_REGISTER: Final = 1
_MEMORY: Final = 3
_NUMBERS: Final = (2, 64)
_READ: Final = 1
_WRITE: Final = 2
# Registers by the name of the whole: rax for eax, ax, al and ah; x0 for w0; xmm0 for ymm0 and zmm0; v0 for q0 and b0.
_WHOLE_X86: Final = {
    **{f"{prefix}{name}{suffix}": f"r{name}{suffix}" for prefix in "er" for name in "abcd" for suffix in "x"},
    **{f"{name}{part}": f"r{name}x" for name in "abcd" for part in "xlh"},
    **{f"{prefix}{name}": f"r{name}" for prefix in ("e", "r", "") for name in ("si", "di", "bp", "sp")},
    **{f"{name}l": f"r{name}" for name in ("si", "di", "bp", "sp")},
    "eip": "rip",
}
_WHOLE: Final = {
    "x86_64": _WHOLE_X86,
    "i686": _WHOLE_X86,
    "aarch64": {"wsp": "sp", "fp": "x29", "lr": "x30", "wzr": "xzr"},
}
_NUMBERED: Final = re.compile(r"(?P<file>r|[xyz]mm|mm|[wx]|[vqdshb])(?P<number>\d+)[bwd]?")
_FILES: Final = {
    "r": "r",
    **dict.fromkeys(("xmm", "ymm", "zmm"), "xmm"),
    "mm": "mm",
    **dict.fromkeys("wx", "x"),
    **dict.fromkeys("vqdshb", "v"),
}
_PLACE: Final = re.compile(r"(?:code|data) \+ 0x[0-9a-f]+(?:, )?")
# Of these, capstone says that they read what they write, as BFM does (Arm ARM, C6.2, SBFM and UBFM: zero or the sign is
# put where no bits go).
_OVERWRITES: Final = {"aarch64": re.compile(r"[su]xt[bhw]|asr|ls[lr]|[su]bf(?:x|iz)")}
_CALLS: Final = ("call", "callq", "blr")
_LONGEST_INSTRUCTION: Final = 15
_PREFIXES: Final = b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3"
# Which opcodes behind 0F these prefixes belong to, and opcode and /digit of what is not taken for plain.
_SCALAR: Final = (0x10, 0x11, 0x2A, 0x2C, 0x2D, 0x51, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E, 0x5F)
_MANDATORY: Final = {b"\xf2": _SCALAR, b"\xf3": (*_SCALAR, 0x5B, 0x6F, 0x7E, 0x7F, 0xBC)}
_EXTENSIONS: Final = {"x86_64": range(0x40, 0x50), "i686": range(0)}
_ALIASES: Final = ((0xFF, 3), (0xFF, 5), (0xF6, 1), (0xF7, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: where, its bytes, its text, and the indices of the patches that are in it."""

    offset: int
    encoding: bytes
    text: str
    patches: tuple[int, ...]


def _engine(arch: str) -> Any:  # noqa: ANN401  # capstone has no annotations
    # Loaded on first use: it is a tenth of the time that verifying a header takes.
    capstone = importlib.import_module("capstone")
    return capstone.Cs(*(getattr(capstone, name) for name in _ENGINES[arch]))


def _detailed(code: bytes, arch: str) -> Iterator[Any]:
    """Yield capstone's instructions with all that it knows of them; bytes that are no instruction are among them."""
    engine = _engine(arch)
    engine.detail = True
    engine.skipdata = True
    yield from engine.disasm(code, 0)


def version() -> str:
    """Name the disassembler that is installed."""
    return f"capstone {importlib.import_module('capstone').__version__}"


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

    What is not an instruction is stepped over, so that a call behind it counts.
    """
    engine = _engine(arch)
    engine.skipdata = True
    return [offset for offset, _, mnemonic, _ in engine.disasm_lite(code, 0) if mnemonic in _CALLS]


def decode(stencil: Stencil, arch: str) -> tuple[Decoded, ...]:
    """Disassemble a stencil with what each instruction reads and writes; bytes that are no instruction are in it."""
    return tuple(_decoded(item, stencil, arch) for item in _detailed(stencil.body, arch))


def _decoded(item: Any, stencil: Stencil, arch: str) -> Decoded:  # noqa: ANN401  # capstone has no annotations
    known = item.id != 0
    goes = _GOES.search(item.op_str) if known and _JUMPS.match(item.mnemonic) else None
    # Bytes that are no instruction have no details to ask for.
    encoding = item.encoding if known and _VARIABLE_LENGTH[arch] else None
    read, written = item.regs_access() if known else ((), ())
    arguments = tuple(_argument(item, operand, arch) for operand in item.operands) if known else ()
    reads = frozenset(_register(item.reg_name(register), arch) for register in read)
    if (overwrites := _OVERWRITES.get(arch)) and overwrites.fullmatch(item.mnemonic):
        first, *rest = arguments
        arguments = (replace(first, read=False), *rest)
        reads = frozenset(argument.register for argument in rest if argument.register)
    return Decoded(
        offset=item.address,
        encoding=stencil.body[item.address : item.address + item.size],
        mnemonic=item.mnemonic,
        operands=item.op_str,
        arguments=arguments,
        reads=reads,
        writes=frozenset(_register(item.reg_name(register), arch) for register in written),
        groups=frozenset(item.group_name(group) for group in item.groups) if known else frozenset(),
        displacement=(encoding.disp_offset, encoding.disp_size) if encoding else (0, 0),
        immediate=(encoding.imm_offset, encoding.imm_size) if encoding else (0, 0),
        goes=int(goes[1], 0) if goes else None,
        known=known,
    )


def operations(stencil: Stencil, arch: str) -> tuple[Operation, ...]:
    """Disassemble a stencil into operands; what is not an instruction has the name "" and is one byte long, or four."""
    return tuple(_operation(item, stencil, arch) for item in _detailed(stencil.body, arch))


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
            (offset - item.address, patch)
            for patch in stencil.patches
            for offset in patch.offsets
            if offset in inside and patch.form is not PatchForm.VOID
        ),
        **(_DETAILS[arch](item, arch) if known else {}),
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


def _x86_details(item: Any, arch: str) -> dict[str, Any]:  # noqa: ANN401  # capstone has no annotations
    found = item.encoding
    places = (found.imm_offset, found.imm_size), (found.disp_offset, found.disp_size)
    plain = item.mnemonic == "nop" or _is_plain(bytes(item.bytes), item.mnemonic, _EXTENSIONS[arch])
    return {"places": places, "odd": not plain}


def _is_plain(body: bytes, mnemonic: str, extensions: range) -> bool:
    """Say whether an instruction does what its name and operands show, on every processor.

    Not plain are a repetition, a segment, an address or a jump of other widths, a far jump, an alias that no
    manual lists, and prefixes of which processors and disassemblers may each take another. Intel SDM volume 2, 2.1.1.
    `extensions` are the bytes that may be the last prefix (REX).
    """
    count = next(number for number, byte in enumerate(body) if byte not in _PREFIXES)
    prefixes, rest = body[:count], body[count:]
    if rest[0] in extensions:
        rest = rest[1:]
    if len(rest) > 1 and (rest[0], rest[1] >> 3 & 7) in _ALIASES:
        return False
    if prefixes == b"\xf0":
        return mnemonic.startswith("lock ")
    if prefixes == b"\x66":
        return mnemonic not in ("push", "pop", "ret", "call") and not mnemonic.startswith("j")
    return not prefixes or (rest[0] == 0x0F and rest[1] in _MANDATORY.get(prefixes, ()))


def _aarch64_operand(item: Any, operand: Any) -> Operand:  # noqa: ANN401  # capstone has no annotations
    shift = (_SHIFTS.get(operand.shift.type, "?"), operand.shift.value) if operand.shift.type else ("", 0)
    extend = _EXTENDS.get(operand.ext, "?") if operand.ext else ""
    if (
        operand.type == _REGISTER
        and (operand.vas == 0 or item.mnemonic == "movi")
        and operand.vector_index in (-1, None)
    ):
        return Operand(kind="register", size=0, register=item.reg_name(operand.reg), shift=shift, extend=extend)
    if operand.type == _NUMBER:
        return Operand(kind="number", size=0, number=operand.imm, shift=shift)
    if operand.type == _MEMORY:
        base, index = (item.reg_name(number) or "" for number in (operand.mem.base, operand.mem.index))
        return Operand(
            kind="memory", size=0, number=operand.mem.disp, base=base, index=index, shift=shift, extend=extend
        )
    return Operand(kind="register", size=0, register="?")


def _aarch64_details(item: Any, _: str) -> dict[str, Any]:  # noqa: ANN401  # capstone has no annotations
    condition = _CONDITIONS[item.cc] if item.cc < len(_CONDITIONS) else "?"
    after = item.writeback and len(item.operands) > 1 and item.operands[-1].type == _NUMBER
    return {"condition": condition, "writeback": "after" if after else "before" if item.writeback else ""}


# By capstone's numbers: ARM64_SFT_*, ARM64_EXT_*, ARM64_CC_* (0 is none; 15 and 16 are al and nv).
_SHIFTS: Final = {1: "lsl", 2: "msl", 3: "lsr", 4: "asr", 5: "ror"}
_EXTENDS: Final = {1: "uxtb", 2: "uxth", 3: "uxtw", 4: "uxtx", 5: "sxtb", 6: "sxth", 7: "sxtw", 8: "sxtx"}
_CONDITIONS: Final = ("", *["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"], "", "")
_NUMBER: Final = 2
_OPERANDS: Final = {"x86_64": _x86_operand, "i686": _x86_operand, "aarch64": _aarch64_operand}
_DETAILS: Final = {"x86_64": _x86_details, "i686": _x86_details, "aarch64": _aarch64_details}


def _argument(item: Any, operand: Any, arch: str) -> Argument:  # noqa: ANN401  # capstone has no annotations
    # capstone knows no access of some operands (0): fail closed, and take both.
    access = operand.access or _READ | _WRITE
    size = (
        operand.size
        if _VARIABLE_LENGTH[arch]
        else _size(item.reg_name(operand.reg) if operand.type == _REGISTER else "")
    )
    common: dict[str, Any] = {"size": size, "read": bool(access & _READ), "written": bool(access & _WRITE)}
    if operand.type == _REGISTER:
        return Argument(kind="register", register=_register(item.reg_name(operand.reg), arch), **common)
    if operand.type == _MEMORY:
        return Argument(
            kind="memory",
            register=_register(item.reg_name(operand.mem.base), arch),
            index=_register(item.reg_name(operand.mem.index), arch),
            number=operand.mem.disp,
            **common,
        )
    if operand.type in _NUMBERS:
        return Argument(kind="number", number=operand.imm, **common)
    return Argument(kind="other", **common)


def _size(register: str) -> int:
    """Return the size of a register of aarch64; vectors (v0 with an arrangement) are taken whole."""
    if register == "sp":
        return 8
    return {"w": 4, "s": 4, "h": 2, "b": 1, "q": 16, "v": 16}.get(register[:1], 8)


@functools.cache
def _register(name: str | None, arch: str) -> str:
    """Name the whole register that a register is a part of, "" for none; the 64-bit names stand for i686's, too."""
    if name is None:
        return ""
    whole = _WHOLE[arch]
    if name in whole:
        return whole[name]
    if match := _NUMBERED.fullmatch(name):
        return f"{_FILES[match['file']]}{match['number']}"
    return name


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
