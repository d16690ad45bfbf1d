"""Relocations -> holes, by table.

A row says what patching such a place means (`Operation`) and whether it wants the address of a slot that holds the
symbol's address. Which patch function does it is the dialect's row. A kind without a row, or with a refusal, is an
error that names uop, section, offset and kind: there is no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.errors import REPORT, ObjectError, RelocationError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole
from stencilkit.model.stencil import Hole, HoleValue, LoweredUnit, Operation, symbol_value


@dataclass(frozen=True, slots=True)
class Row:
    """What a relocation kind means.

    `got` says that the symbol's slot is meant, not the symbol. `values` limits what may be patched in (None: no
    limit); `otherwise` is the reason, with the flag that causes it.
    """

    operation: Operation
    got: bool = False
    values: frozenset[HoleValue] | None = None
    otherwise: str = ""


# Values that always fit into 31 bits (Include/internal/pycore_uop.h: uint16_t oparg, uint16_t exit_index).
_SMALL: Final = frozenset({HoleValue.OPARG, HoleValue.OPARG_16, HoleValue.EXIT_INDEX})
# uint32_t target fits into 32 bits, but not when sign-extended.
_UNSIGNED_32: Final = _SMALL | {HoleValue.TARGET}
_ABSOLUTE_32: Final = (
    "an absolute 32-bit address cannot reach JIT memory; the small or kernel code model causes it "
    "(-mcmodel=small, -mcmodel=kernel or -fplt in the flags; upstream uses -mcmodel=medium -mlarge-data-threshold=0)"
)

# Offsets and addends: x86-64 psABI section 4.4, AArch64 ELF ABI section 5.7; <mach-o/x86_64/reloc.h>,
# <mach-o/arm64/reloc.h>; PE/COFF specification, "COFF Relocations".
TABLE: Final[Mapping[str, Row]] = {
    # x86_64 ELF.
    "R_X86_64_64": Row(Operation.ABS64),
    "R_X86_64_32": Row(Operation.ABS32, values=_UNSIGNED_32, otherwise=_ABSOLUTE_32),
    "R_X86_64_32S": Row(Operation.ABS32, values=_SMALL, otherwise=_ABSOLUTE_32),
    # PC32 and PLT32 differ only for a linker that makes PLTs; LLVM before 19 emits PC32 for local calls.
    "R_X86_64_PC32": Row(Operation.REL32),
    "R_X86_64_PLT32": Row(Operation.REL32),
    # A load from the slot that must stay a load (an addend into arithmetic, say): not relaxable (#135690).
    "R_X86_64_GOTPCREL": Row(Operation.REL32, got=True),
    "R_X86_64_GOTPCRELX": Row(Operation.GOT_REL32, got=True),
    "R_X86_64_REX_GOTPCRELX": Row(Operation.GOT_REL32, got=True),
    # aarch64 ELF.
    "R_AARCH64_ABS64": Row(Operation.ABS64),
    "R_AARCH64_ADD_ABS_LO12_NC": Row(Operation.LO12),
    "R_AARCH64_ADR_GOT_PAGE": Row(Operation.GOT_PAGE21, got=True),
    "R_AARCH64_ADR_PREL_PG_HI21": Row(Operation.PAGE21),
    "R_AARCH64_CALL26": Row(Operation.BRANCH26),
    "R_AARCH64_CONDBR19": Row(Operation.BRANCH19),
    "R_AARCH64_JUMP26": Row(Operation.BRANCH26),
    "R_AARCH64_LD64_GOT_LO12_NC": Row(Operation.GOT_LO12, got=True),
    # Loads and stores whose low 12 bits are scaled by the access size: patch_aarch64_12 reads the scale from the
    # instruction.
    "R_AARCH64_LDST8_ABS_LO12_NC": Row(Operation.LO12),
    "R_AARCH64_LDST16_ABS_LO12_NC": Row(Operation.LO12),
    "R_AARCH64_LDST32_ABS_LO12_NC": Row(Operation.LO12),
    "R_AARCH64_LDST64_ABS_LO12_NC": Row(Operation.LO12),
    "R_AARCH64_MOVW_UABS_G0_NC": Row(Operation.MOVW0),
    "R_AARCH64_MOVW_UABS_G1_NC": Row(Operation.MOVW1),
    "R_AARCH64_MOVW_UABS_G2_NC": Row(Operation.MOVW2),
    "R_AARCH64_MOVW_UABS_G3": Row(Operation.MOVW3),
    # x86_64 Mach-O. Displacements whose 4 bytes end the instruction; those with an immediate behind them are refused.
    "X86_64_RELOC_BRANCH": Row(Operation.REL32),
    "X86_64_RELOC_GOT": Row(Operation.GOT_REL32, got=True),
    "X86_64_RELOC_GOT_LOAD": Row(Operation.GOT_REL32, got=True),
    "X86_64_RELOC_SIGNED": Row(Operation.REL32),
    "X86_64_RELOC_UNSIGNED": Row(Operation.ABS64),
    # aarch64 Mach-O. The addend of the entry before (ARM64_RELOC_ADDEND) is in the relocation already.
    "ARM64_RELOC_BRANCH26": Row(Operation.BRANCH26),
    "ARM64_RELOC_GOT_LOAD_PAGE21": Row(Operation.GOT_PAGE21, got=True),
    "ARM64_RELOC_GOT_LOAD_PAGEOFF12": Row(Operation.GOT_LO12, got=True),
    "ARM64_RELOC_PAGE21": Row(Operation.PAGE21),
    "ARM64_RELOC_PAGEOFF12": Row(Operation.LO12),
    "ARM64_RELOC_UNSIGNED": Row(Operation.ABS64),
    # COFF has one kind for a symbol and for its __imp_ slot: `indirect` says which it is.
    "IMAGE_REL_AMD64_REL32": Row(Operation.COFF_REL32),
    # i686 addresses everything absolutely, and its builds import nothing (-DPy_NO_ENABLE_SHARED).
    "IMAGE_REL_I386_DIR32": Row(Operation.ABS32),
    "IMAGE_REL_I386_REL32": Row(Operation.GOT_REL32),
    "IMAGE_REL_ARM64_BRANCH19": Row(Operation.BRANCH19),
    "IMAGE_REL_ARM64_BRANCH26": Row(Operation.BRANCH26),
    "IMAGE_REL_ARM64_PAGEBASE_REL21": Row(Operation.COFF_PAGE21),
    "IMAGE_REL_ARM64_PAGEOFFSET_12A": Row(Operation.COFF_LO12_ADD),
    "IMAGE_REL_ARM64_PAGEOFFSET_12L": Row(Operation.COFF_LO12_LOAD),
}

# Python/jit.c: patch_aarch64_12 takes the scale from bits 30 and 31 of a load or store (IS_AARCH64_LDR_OR_STR), and
# asserts that bits 23 and 26 are not both set. They are in LDR and STR of a Q register, whose scale is 4 (Arm ARM,
# C4.1 "Load/store register (unsigned immediate)": size 00, VR 1, opc 1x).
_LOW_12: Final = frozenset({Operation.LO12, Operation.GOT_LO12, Operation.COFF_LO12_LOAD, Operation.COFF_LO12_ADD})
_ANY_ACCESS: Final = (0x3B000000, 0x39000000)
_WIDE_ACCESS: Final = (0x3F800000, 0x3D800000)
_NO_WIDE_ACCESS: Final = "patch_aarch64_12 cannot scale 128-bit accesses (Python/jit.c says so in its assertion)"

# To what jit.c aligns the parts of a stencil on aarch64 (3.15: DATA_ALIGN; before, all stencils' sizes are multiples).
_ALIGNED: Final = {HoleValue.CODE: 4, HoleValue.DATA: 8}

_OTHER_FLAG: Final = f"change the flag that is named, or {REPORT}"
# Kinds that compilers emit and that no patch function can do; the reason names the flag.
REFUSED: Final[Mapping[str, str]] = {
    kind: why
    for why, kinds in {
        "position-independent code in the medium or large code model addresses data from the GOT's base, which a "
        "stencil has not got (-fPIC or -fPIE with -mcmodel=medium; leave them out)": (
            "R_X86_64_GOTOFF64",
            "R_X86_64_GOTPC32",
            "R_X86_64_GOTPC64",
            "R_X86_64_GOT64",
            "R_X86_64_GOTPCREL64",
            "R_X86_64_PLTOFF64",
            "R_X86_64_PC64",
        ),
        "it is of an instruction of APX, whose prefix the patch functions of Python/jit.c do not know "
        "(-mapx-features or an -march that has them; leave it out)": (
            *(f"R_X86_64_CODE_{size}_GOTPCRELX" for size in (4, 5, 6)),
            *(f"R_X86_64_CODE_{size}_GOTTPOFF" for size in (4, 5, 6)),
            *(f"R_X86_64_CODE_{size}_GOTPC32_TLSDESC" for size in (4, 5, 6)),
        ),
        "thread-local storage needs the linker; upstream's sources declare none that a stencil uses "
        "(a -D flag that turns a variable into __thread one?)": (
            "R_X86_64_TPOFF32",
            "R_X86_64_GOTTPOFF",
            "R_X86_64_TLSGD",
            "R_X86_64_TLSLD",
            "R_X86_64_DTPOFF32",
            "R_X86_64_GOTPC32_TLSDESC",
            "R_X86_64_TLSDESC_CALL",
            "R_AARCH64_TLSLE_ADD_TPREL_HI12",
            "R_AARCH64_TLSLE_ADD_TPREL_LO12_NC",
            "R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21",
            "R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC",
            "R_AARCH64_TLSDESC_ADR_PAGE21",
            "R_AARCH64_TLSDESC_LD64_LO12",
            "R_AARCH64_TLSDESC_ADD_LO12",
            "R_AARCH64_TLSDESC_CALL",
            "X86_64_RELOC_TLV",
            "ARM64_RELOC_TLVP_LOAD_PAGE21",
            "ARM64_RELOC_TLVP_LOAD_PAGEOFF12",
            "IMAGE_REL_AMD64_SECREL",
            "IMAGE_REL_I386_SECREL",
            "IMAGE_REL_ARM64_SECREL",
            "IMAGE_REL_ARM64_SECREL_LOW12A",
            "IMAGE_REL_ARM64_SECREL_HIGH12A",
            "IMAGE_REL_ARM64_SECREL_LOW12L",
        ),
        "the displacement is followed by an immediate, which patch_32r of Python/jit.c does not reckon with": (
            *("X86_64_RELOC_SIGNED_1", "X86_64_RELOC_SIGNED_2", "X86_64_RELOC_SIGNED_4"),
            *(f"IMAGE_REL_AMD64_REL32_{more}" for more in range(1, 6)),
        ),
        "a difference of two symbols is left to the linker; unwind tables and jump tables have such "
        "(-fasynchronous-unwind-tables or -fjump-tables in the flags?)": (
            "X86_64_RELOC_SUBTRACTOR",
            "ARM64_RELOC_SUBTRACTOR",
            "ARM64_RELOC_POINTER_TO_GOT",
            "IMAGE_REL_AMD64_ADDR32NB",
            "IMAGE_REL_I386_DIR32NB",
            "IMAGE_REL_ARM64_ADDR32NB",
        ),
        # Of the formats, ELF alone has a kind of its own for these.
        _NO_WIDE_ACCESS: ("R_AARCH64_LDST128_ABS_LO12_NC",),
    }.items()
    for kind in kinds
}


def lower(name: str, obj: ObjectFile, values: frozenset[HoleValue]) -> LoweredUnit:
    """Lay the sections of an object out as code and data, and understand its relocations.

    `values` are the hole values that this CPython has.

    Raises: RelocationError.
    """
    parts = {HoleValue.CODE: bytearray(), HoleValue.DATA: bytearray()}
    holes: dict[HoleValue, list[Hole]] = {HoleValue.CODE: [], HoleValue.DATA: []}
    symbols: dict[str, tuple[HoleValue, int]] = {}
    for section in obj.sections:
        part = HoleValue.CODE if section.role is SectionRole.CODE else HoleValue.DATA
        parts[part].extend(bytes(section.padding))
        base = len(parts[part])
        parts[part].extend(section.data)
        for symbol in section.symbols:
            symbols[symbol.name] = part, base + symbol.offset
        for relocation in section.relocations:
            holes[part].append(_hole(name, section, relocation, base, values))
    unit = LoweredUnit(
        name=name,
        code=bytes(parts[HoleValue.CODE]),
        data=bytes(parts[HoleValue.DATA]),
        code_holes=tuple(holes[HoleValue.CODE]),
        data_holes=tuple(holes[HoleValue.DATA]),
        symbols=symbols,
    )
    _check_scaled(unit)
    return unit


def _check_scaled(unit: LoweredUnit) -> None:
    """Refuse a load or store whose place in the stencil is not a multiple of its size.

    Sections follow each other as they come, without regard to their alignment (upstream's quirk). Most accesses do not
    mind; but these count their place in units of their size, and what is left over is lost: jit.c asserts that nothing
    is, in debug builds only.

    Raises: RelocationError.
    """
    for hole in unit.code_holes:
        target = unit.symbols.get(str(hole.symbol)) if hole.value is HoleValue.ZERO else None
        if target and hole.operation in _LOW_12 and _is(_ANY_ACCESS, unit.code, hole.offset):
            part, offset = target
            size = 1 << (unit.code[hole.offset + 3] >> 6)
            place = offset + hole.addend
            if place % size or size > _ALIGNED[part]:
                raise RelocationError(
                    f"{hole.kind} against {hole.symbol} cannot be patched: {size} bytes at {place:#x} of the stencil's "
                    f"{part.value.lower()} are not aligned, and patch_aarch64_12 counts in units of their size",
                    where=f"uop {unit.name}, offset {hole.offset:#x}",
                    fix=_OTHER_FLAG,
                )


def check_entry(unit: LoweredUnit, *names: str) -> None:
    """Refuse a unit whose entry point is not at the start of its code.

    Raises: ObjectError.
    """
    if not any(unit.symbols.get(name) == (HoleValue.CODE, 0) for name in names):
        raise ObjectError(f"{names[0]} is not the first thing in the code", where=f"uop {unit.name}", fix=REPORT)


def _hole(name: str, section: Section, relocation: Relocation, base: int, values: frozenset[HoleValue]) -> Hole:
    row = TABLE.get(relocation.kind)
    if row is None:
        if relocation.kind in REFUSED:
            raise _unpatchable(name, section, relocation, REFUSED[relocation.kind], _OTHER_FLAG)
        raise _unpatchable(name, section, relocation, "stencilkit has no row for it (stencilkit/holes.py)", REPORT)
    width = 8 if row.operation is Operation.ABS64 else 4
    if not 0 <= relocation.offset <= len(section.data) - width:
        raise _unpatchable(name, section, relocation, f"its {width} bytes reach outside its section", REPORT)
    if row.operation in _LOW_12 and _is(_WIDE_ACCESS, section.data, relocation.offset):
        raise _unpatchable(name, section, relocation, _NO_WIDE_ACCESS, _OTHER_FLAG)
    value: HoleValue
    symbol: str | None
    if row.got or relocation.indirect:
        value, symbol = HoleValue.GOT, relocation.symbol
    else:
        value, symbol = symbol_value(relocation.symbol, values)
    if row.values is not None and value not in row.values:
        raise _unpatchable(name, section, relocation, row.otherwise, _OTHER_FLAG)
    return Hole(
        offset=base + relocation.offset,
        kind=relocation.kind,
        operation=row.operation,
        value=value,
        symbol=symbol,
        addend=relocation.addend,
    )


def _is(encoding: tuple[int, int], data: bytes, offset: int) -> bool:
    """Return whether the bits under a mask say that a word is a certain instruction."""
    mask, bits = encoding
    return int.from_bytes(data[offset : offset + 4], "little") & mask == bits


def _unpatchable(name: str, section: Section, relocation: Relocation, why: str, fix: str) -> RelocationError:
    return RelocationError(
        f"{relocation.kind} against {relocation.symbol or '(no symbol)'} cannot be patched: {why}",
        where=f"uop {name}, section {section.name}, offset {relocation.offset:#x}",
        fix=fix,
    )
