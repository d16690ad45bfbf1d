"""ELF objects (gABI, "Object Files"); frames with pyelftools.

Follows CPython's `_ELF._handle_section` in what it keeps: PROGBITS sections that are loaded, and the RELA sections
that apply to them. Refuses section types that no stencil can hold, instead of dropping them.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.callframe import FDE, RegisterRule
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import (
    ENUM_RELOC_TYPE_AARCH64,
    ENUM_SH_TYPE_AARCH64,
    ENUM_SH_TYPE_AMD64,
    ENUM_RELOC_TYPE_x64,
)

from stencilkit.errors import REPORT, ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.model.unwind import FrameRow, FrameTable
from stencilkit.objects.structures import WRITABLE, WRITABLE_FIX, Reader

# Elf64_Ehdr: e_ident, e_type, e_machine, e_shoff, e_shentsize, e_shnum, e_shstrndx; the rest is not of interest here
_HEADER: Final = struct.Struct("<6s10x2H20xQ10x3H")
# Elf64_Shdr: sh_name, sh_type, sh_flags, sh_offset, sh_size, sh_link, sh_info, sh_entsize
_SECTION: Final = struct.Struct("<2IQ8x2Q2I8xQ")
# Elf64_Sym: st_name, st_info, st_shndx, st_value
_SYMBOL: Final = struct.Struct("<IBxHQ8x")
# Elf64_Rela: r_offset, type and symbol of r_info, r_addend
_RELOCATION: Final = struct.Struct("<Q2Iq")
_LITTLE_64: Final = b"\x7fELF\x02\x01"
_RELOCATABLE: Final = 1
_STT_SECTION: Final = 3
# From here on, an index is not that of a section; or there are so many that it is in a table of its own.
_RESERVED: Final = 0xFF00
# The shim's has less than 100 bytes; rows of a table of frames are as wide as all rows before them together.
_LARGEST_FRAMES: Final = 0x1000
# What pyelftools raises on damaged input, beside its own errors:
_DAMAGE: Final = (
    DWARFError,
    ELFError,
    ArithmeticError,
    RecursionError,
    ConstructError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)
# Not in pyelftools' tables (x86-64 psABI 1.0, table 4.9; AArch64 ELF ABI, sections 5.7.6 and 5.7.11):
_NEWER_X86_64: Final = {
    41: "R_X86_64_GOTPCRELX",
    42: "R_X86_64_REX_GOTPCRELX",
    # Of instructions with the prefixes of APX, 4 to 6 bytes before the displacement (llvm/llvm-project#106681).
    43: "R_X86_64_CODE_4_GOTPCRELX",
    44: "R_X86_64_CODE_4_GOTTPOFF",
    45: "R_X86_64_CODE_4_GOTPC32_TLSDESC",
    46: "R_X86_64_CODE_5_GOTPCRELX",
    47: "R_X86_64_CODE_5_GOTTPOFF",
    48: "R_X86_64_CODE_5_GOTPC32_TLSDESC",
    49: "R_X86_64_CODE_6_GOTPCRELX",
    50: "R_X86_64_CODE_6_GOTTPOFF",
    51: "R_X86_64_CODE_6_GOTPC32_TLSDESC",
}
_NEWER_AARCH64: Final = {
    299: "R_AARCH64_LDST128_ABS_LO12_NC",
    562: "R_AARCH64_TLSDESC_ADR_PAGE21",
    563: "R_AARCH64_TLSDESC_LD64_LO12",
    564: "R_AARCH64_TLSDESC_ADD_LO12",
    569: "R_AARCH64_TLSDESC_CALL",
}
# By e_machine:
_RELOCATION_NAMES: Final[Mapping[int, Mapping[int, str]]] = {
    62: {number: name for name, number in ENUM_RELOC_TYPE_x64.items()} | _NEWER_X86_64,
    183: {number: name for name, number in ENUM_RELOC_TYPE_AARCH64.items()} | _NEWER_AARCH64,
}
_SECTION_TYPES: Final[Mapping[int, Mapping[int, str]]] = {
    62: {number: name for name, number in ENUM_SH_TYPE_AMD64.items()},
    183: {number: name for name, number in ENUM_SH_TYPE_AARCH64.items()},
}
# Section types without content for a stencil; anything else is an error.
_SKIPPED: Final = {
    "SHT_NULL": "the reserved first entry",
    "SHT_STRTAB": "names",
    "SHT_SYMTAB": "read as a table of its own",
    "SHT_RELA": "read with the section that it is for",
    "SHT_REL": "refused, if it has anything in it",
    "SHT_NOTE": "notes for the linker",
    "SHT_GROUP": "COMDAT membership, for the linker",
    "SHT_AARCH64_ATTRIBUTES": "build attributes, for the linker (-mbranch-protection with LLVM 21 and later)",
}
_SHT_LLVM_ADDRSIG: Final = 0x6FFF4C03  # .addrsig, for the linker; LLVM's BinaryFormat/ELF.h, no name in pyelftools
_EH_FRAME: Final = ".eh_frame"
# Constants that hold addresses: written by whoever relocates them, by no code. GNU's assembler writes an empty .data.
_CONSTANT: Final = re.compile(r"\.l?data\.rel\.ro(\..+)?")
_MEANINGS: Final = {
    "SHT_HASH": "no relocatable object has such a section",
    "SHT_GNU_HASH": "no relocatable object has such a section",
    "SHT_NOBITS": "zero-initialised writable data; a stencil has nowhere to keep state",
    "SHT_AMD64_UNWIND": "unwind tables; -fno-asynchronous-unwind-tables is missing from the flags",
    "SHT_INIT_ARRAY": "constructors, which nobody would run",
    "SHT_FINI_ARRAY": "destructors, which nobody would run",
}


class _Section(NamedTuple):
    """A row of the section table; `kind` is the name of its type, or the number of one without a name."""

    name: str
    kind: str | int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


_Names = Sequence[tuple[str, int, int]]


def parse(data: bytes, symbol_prefix: str, unwind: bool = False) -> ObjectFile:  # noqa: FBT001, FBT002  # an interface
    """Read a relocatable ELF object; `symbol_prefix` is taken off every symbol, `unwind` keeps unwind tables.

    Raises: ObjectError.
    """
    reader = Reader(data)
    ident, kind, machine, place, entry_size, count, names = reader.record(_HEADER, 0, "the ELF header")
    if ident != _LITTLE_64 or entry_size != _SECTION.size:
        raise ObjectError("not an ELF object of 64 bits, lowest byte first, or a damaged one")
    if kind != _RELOCATABLE or machine not in _RELOCATION_NAMES:
        raise ObjectError(f"not a relocatable object for a machine that has a JIT: type {kind}, machine {machine}")
    sections = _sections(reader, place, count, names, _SECTION_TYPES[machine])
    roles = [SectionRole.DATA if unwind and section.name == _EH_FRAME else _role(section) for section in sections]
    # Read once, by the index of its section: symbols and relocations want it.
    tables = {
        index: tuple(_symbol_names(reader, sections, section, symbol_prefix))
        for index, section in enumerate(sections)
        if section.kind == "SHT_SYMTAB"
    }
    symbols = _symbols(tables)
    relocations = _relocations(reader, sections, tables, _RELOCATION_NAMES[machine])
    return ObjectFile(
        sections=tuple(
            Section(
                name=section.name,
                role=role,
                data=reader.part(section.offset, section.size, f"section {section.name!r}"),
                symbols=tuple(symbols.get(index, ())),
                relocations=tuple(relocations.get(index, ())),
            )
            for index, (section, role) in enumerate(zip(sections, roles, strict=True))
            if role is not None
        )
    )


def _sections(reader: Reader, place: int, count: int, names: int, types: Mapping[int, str]) -> list[_Section]:
    """Read the section table; the file holds all of every section.

    Raises: ObjectError.
    """
    if place and not count:
        # "Extended" numbering, where the first section's size is the count.
        _, _, _, _, count, _, _, _ = reader.record(_SECTION, place, "the section table")
    rows = list(reader.table(_SECTION, place, count, "the section table"))
    if names >= len(rows):
        raise ObjectError("the object is damaged: its table of names is not among its sections")
    _, _, _, start, length, *_ = rows[names]
    strings = reader.part(start, length, "the table of names")
    found = []
    for name, number, flags, offset, size, *rest in rows:
        kind = types.get(number, number)
        if kind != "SHT_NOBITS":
            reader.part(offset, size, "a section")
        found.append(_Section(_name(reader, strings, name), kind, flags, offset, size, *rest))
    return found


def _name(reader: Reader, strings: bytes, offset: int) -> str:
    """Read a name; 0 is that of what has none, also where there is no table (gABI, "String Table")."""
    return reader.name(strings, offset) if offset else ""


def _role(section: _Section) -> SectionRole | None:
    if section.kind in _SKIPPED or section.kind == _SHT_LLVM_ADDRSIG:
        return None
    if section.kind == "SHT_NOBITS" and not section.size:
        # GNU's assembler writes an empty .bss always.
        return None
    if section.kind != "SHT_PROGBITS":
        shown = section.kind if isinstance(section.kind, str) else f"type {section.kind:#x}"
        meaning = _MEANINGS.get(str(section.kind), "no stencil has such a section")
        raise ObjectError(f"section {section.name!r} is {shown}: {meaning}")
    if not section.flags & SH_FLAGS.SHF_ALLOC:
        return None
    if section.flags & SH_FLAGS.SHF_COMPRESSED:
        raise ObjectError(f"section {section.name!r} is compressed, which only debug information can be")
    if section.flags & SH_FLAGS.SHF_WRITE and section.size and not _CONSTANT.fullmatch(section.name):
        raise ObjectError(f"section {section.name!r} is writable: {WRITABLE}", fix=WRITABLE_FIX)
    return SectionRole.CODE if section.flags & SH_FLAGS.SHF_EXECINSTR else SectionRole.DATA


def _rows(reader: Reader, section: _Section, layout: struct.Struct) -> Iterator[tuple[Any, ...]]:
    """Unpack the records of a section.

    Raises: ObjectError.
    """
    if section.entry_size != layout.size or section.size % layout.size:
        what = f"section {section.name!r} has records of {section.entry_size} bytes in {section.size}"
        raise ObjectError(f"the object is damaged: {what}")
    return reader.table(layout, section.offset, section.size // layout.size, f"section {section.name!r}")


def _symbol_names(
    reader: Reader, sections: Sequence[_Section], table: _Section, prefix: str
) -> Iterator[tuple[str, int, int]]:
    """Yield name, section index (-1: none) and value of every symbol, in table order."""
    rows = _rows(reader, table, _SYMBOL)
    names = sections[table.link] if table.link < len(sections) else table
    if names.kind != "SHT_STRTAB":
        raise ObjectError(f"the object is damaged: the names of section {table.name!r} are in no table of names")
    strings = reader.part(names.offset, names.size, "a table of names")
    for start, info, index, value in rows:
        # Section symbols have no name of their own; llvm-readobj shows the section's.
        own = info & 0xF == _STT_SECTION and 0 < index < len(sections)
        name = sections[index].name if own else _name(reader, strings, start)
        yield name.removeprefix(prefix), index if 0 < index < _RESERVED else -1, value


def _symbols(tables: Mapping[int, _Names]) -> dict[int, list[Symbol]]:
    found: dict[int, list[Symbol]] = {}
    for table in tables.values():
        for name, index, value in table:
            if index > 0:
                found.setdefault(index, []).append(Symbol(name=name, offset=value))
    return found


def _relocations(
    reader: Reader, sections: Sequence[_Section], tables: Mapping[int, _Names], kinds: Mapping[int, str]
) -> dict[int, list[Relocation]]:
    found: dict[int, list[Relocation]] = {}
    for section in sections:
        if section.kind not in ("SHT_RELA", "SHT_REL") or not section.size:
            continue
        if section.kind == "SHT_REL":
            raise ObjectError(f"section {section.name!r} has relocations without addends (SHT_REL)")
        names = tables.get(section.link)
        if names is None or section.info >= len(sections):
            raise ObjectError(f"the object is damaged: section {section.name!r} refers to sections that do not fit")
        for offset, number, symbol, addend in _rows(reader, section, _RELOCATION):
            if symbol >= len(names):
                raise ObjectError(f"the object is damaged: a relocation wants symbol {symbol}, which does not exist")
            found.setdefault(section.info, []).append(
                Relocation(
                    offset=offset,
                    kind=kinds.get(number, f"relocation type {number}"),
                    symbol=names[symbol][0],
                    addend=addend,
                )
            )
    return found


def frame_table(data: bytes) -> FrameTable:
    """Read .eh_frame, which must describe one function.

    Raises: ObjectError.
    """
    parse(data, "", unwind=True)
    try:
        return _frame_table(ELFFile(io.BytesIO(data)))
    except _DAMAGE as error:
        raise ObjectError(f"the ELF object's .eh_frame is damaged: {str(error) or type(error).__name__}") from None


def _frame_table(elf: ELFFile) -> FrameTable:
    section = elf.get_section_by_name(_EH_FRAME)
    if section is not None and section["sh_size"] > _LARGEST_FRAMES:
        raise ObjectError(f"the object's .eh_frame has {section['sh_size']} bytes: too many for one function")
    dwarf = elf.get_dwarf_info(relocate_dwarf_sections=False)
    entries = [entry for entry in dwarf.EH_CFI_entries() if isinstance(entry, FDE)] if dwarf.has_EH_CFI() else []
    if len(entries) != 1:
        raise ObjectError(f"the object's .eh_frame describes {len(entries)} functions, not one")
    cie = entries[0].cie
    if cie is None:
        raise ObjectError("the object's .eh_frame has no common information entry")
    start = entries[0]["initial_location"]
    return FrameTable(
        code_alignment=cie["code_alignment_factor"],
        data_alignment=cie["data_alignment_factor"],
        return_register=cie["return_address_register"],
        rows=tuple(_frame_row(row, start) for row in entries[0].get_decoded().table),
    )


def _frame_row(row: Mapping[Any, Any], start: int) -> FrameRow:
    if row["cfa"].reg is None:
        raise ObjectError("the shim's frame is described by an expression, not by a register and an offset", fix=REPORT)
    saved = {
        register: rule.arg
        for register, rule in row.items()
        if isinstance(register, int) and rule.type == RegisterRule.OFFSET
    }
    return FrameRow(pc=row["pc"] - start, cfa_register=row["cfa"].reg, cfa_offset=row["cfa"].offset, saved=saved)
