"""ELF objects, with pyelftools.

Follows CPython's `_ELF._handle_section` in what it keeps: PROGBITS sections that are loaded, and the RELA sections
that apply to them. Refuses section types that no stencil can hold, instead of dropping them.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.callframe import FDE, RegisterRule
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_RELOC_TYPE_AARCH64, ENUM_RELOC_TYPE_x64
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section as ElfSection
from elftools.elf.sections import SymbolTableSection

from stencilkit.errors import REPORT, ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.model.unwind import FrameRow, FrameTable
from stencilkit.objects.structures import WRITABLE, WRITABLE_FIX, Reader

# Elf64_Ehdr: e_ident; of the rest, e_shoff, e_shentsize and e_shnum are of interest here
_HEADER: Final = struct.Struct("<6s10x24xQ10xHH2x")
# Elf64_Shdr: sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info, sh_addralign, sh_entsize
_SECTION: Final = struct.Struct("<4xI16x2Q16xQ")
_LITTLE_64: Final = b"\x7fELF\x02\x01"
_SHT_SYMTAB: Final = 2
_SHT_NOBITS: Final = 8
_SYMBOL_SIZE: Final = 24
# Of these, pyelftools reads what their contents say, not their headers.
_HASHES: Final = {0x5: "SHT_HASH", 0x6FFFFFF6: "SHT_GNU_HASH"}
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
_RELOCATION_NAMES: Final = {
    "EM_X86_64": {number: name for name, number in ENUM_RELOC_TYPE_x64.items()} | _NEWER_X86_64,
    "EM_AARCH64": {number: name for name, number in ENUM_RELOC_TYPE_AARCH64.items()} | _NEWER_AARCH64,
}
# Section types without content for a stencil; anything else is an error.
_SKIPPED: Final = {
    "SHT_NULL": "the reserved first entry",
    "SHT_STRTAB": "names",
    "SHT_SYMTAB": "read as a table of its own",
    "SHT_NOTE": "notes for the linker",
    "SHT_GROUP": "COMDAT membership, for the linker",
    "SHT_AARCH64_ATTRIBUTES": "build attributes, for the linker (-mbranch-protection with LLVM 21 and later)",
    "SHT_LLVM_ADDRSIG": "address significance, for the linker (.addrsig)",
}
_SHT_LLVM_ADDRSIG: Final = 0x6FFF4C03  # LLVM's BinaryFormat/ELF.h; pyelftools has no name for it
_EH_FRAME: Final = ".eh_frame"
# Constants that hold addresses: written by whoever relocates them, by no code. GNU's assembler writes an empty .data.
_CONSTANT: Final = re.compile(r"\.l?data\.rel\.ro(\..+)?")
_MEANINGS: Final = {
    "SHT_NOBITS": "zero-initialised writable data; a stencil has nowhere to keep state",
    "SHT_AMD64_UNWIND": "unwind tables; -fno-asynchronous-unwind-tables is missing from the flags",
    "SHT_INIT_ARRAY": "constructors, which nobody would run",
    "SHT_FINI_ARRAY": "destructors, which nobody would run",
}


_Tables = Mapping[int, list[tuple[str, int, int]]]


def parse(data: bytes, symbol_prefix: str, unwind: bool = False) -> ObjectFile:  # noqa: FBT001, FBT002  # an interface
    """Read a relocatable ELF object; `symbol_prefix` is taken off every symbol, `unwind` keeps unwind tables.

    Raises: ObjectError.
    """
    try:
        return _parse(data, symbol_prefix, unwind=unwind)
    except _DAMAGE as error:
        raise ObjectError(f"the ELF object is damaged: {str(error) or type(error).__name__}") from None


def _parse(data: bytes, prefix: str, *, unwind: bool) -> ObjectFile:
    reader = _survey(data)
    elf = ELFFile(io.BytesIO(data))
    machine = str(elf["e_machine"])
    if elf["e_type"] != "ET_REL" or machine not in _RELOCATION_NAMES:
        raise ObjectError(f"not a relocatable object for a machine that has a JIT: {elf['e_type']}, {machine}")
    sections = []
    for section in elf.iter_sections():
        reader.spend(len(section.name))
        sections.append(section)
    roles = [SectionRole.DATA if unwind and section.name == _EH_FRAME else _role(section) for section in sections]
    # Read once, by the index of its section: symbols and relocations want it.
    tables = {
        index: list(_symbol_names(reader, sections, section, prefix))
        for index, section in enumerate(sections)
        if isinstance(section, SymbolTableSection)
    }
    symbols = _symbols(tables)
    relocations = _relocations(sections, tables, _RELOCATION_NAMES[machine])
    kept = []
    for index, (section, role) in enumerate(zip(sections, roles, strict=True)):
        if role is not None:
            kept.append(
                Section(
                    name=section.name,
                    role=role,
                    data=section.data(),
                    symbols=tuple(symbols.get(index, ())),
                    relocations=tuple(relocations.get(index, ())),
                )
            )
    return ObjectFile(sections=tuple(kept))


def _survey(data: bytes) -> Reader:
    """Check all places and sizes in the headers before a library believes them; what is read later is small.

    Raises: ObjectError.
    """
    reader = Reader(data)
    ident, place, entry_size, count = reader.record(_HEADER, 0, "the ELF header")
    if ident != _LITTLE_64 or entry_size != _SECTION.size:
        raise ObjectError("not an ELF object of 64 bits, lowest byte first, or a damaged one")
    if place and not count:
        # "Extended" numbering, where the first section's size is the count.
        _, _, count, _ = reader.record(_SECTION, place, "the section table")
    for kind, offset, size, row_size in reader.table(_SECTION, place, count, "the section table"):
        if kind != _SHT_NOBITS:
            reader.part(offset, size, "a section")
        if kind == _SHT_SYMTAB and row_size != _SYMBOL_SIZE:
            raise ObjectError(f"the object is damaged: symbols of {row_size} bytes")
        if kind in _HASHES:
            raise ObjectError(f"a section is {_HASHES[kind]}: no relocatable object has such a section")
    return reader


def _role(section: ElfSection) -> SectionRole | None:
    # A string where pyelftools has a name for the type, a number where not:
    kind: str | int = section["sh_type"]
    if kind in _SKIPPED or kind == _SHT_LLVM_ADDRSIG or isinstance(section, RelocationSection):
        return None
    if kind == "SHT_NOBITS" and not section["sh_size"]:
        # GNU's assembler writes an empty .bss always.
        return None
    if kind != "SHT_PROGBITS":
        shown = kind if isinstance(kind, str) else f"type {kind:#x}"
        meaning = _MEANINGS.get(str(kind), "no stencil has such a section")
        raise ObjectError(f"section {section.name!r} is {shown}: {meaning}")
    if not section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
        return None
    if section["sh_flags"] & SH_FLAGS.SHF_COMPRESSED:
        raise ObjectError(f"section {section.name!r} is compressed, which only debug information can be")
    if section["sh_flags"] & SH_FLAGS.SHF_WRITE and section["sh_size"] and not _CONSTANT.fullmatch(section.name):
        raise ObjectError(f"section {section.name!r} is writable: {WRITABLE}", fix=WRITABLE_FIX)
    return SectionRole.CODE if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR else SectionRole.DATA


def _symbol_names(
    reader: Reader, sections: list[ElfSection], table: SymbolTableSection, prefix: str
) -> Iterator[tuple[str, int, int]]:
    """Yield name, section index (-1: none) and value of every symbol, in table order."""
    for symbol in table.iter_symbols():
        index = symbol["st_shndx"]
        index = index if isinstance(index, int) else -1
        name = symbol.name
        reader.spend(len(name))
        # Section symbols have no name of their own; llvm-readobj shows the section's.
        if symbol["st_info"]["type"] == "STT_SECTION" and 0 <= index < len(sections):
            name = sections[index].name
        yield name.removeprefix(prefix), index, symbol["st_value"]


def _symbols(tables: _Tables) -> dict[int, list[Symbol]]:
    found: dict[int, list[Symbol]] = {}
    for table in tables.values():
        for name, index, value in table:
            if index > 0:
                found.setdefault(index, []).append(Symbol(name=name, offset=value))
    return found


def _relocations(sections: list[ElfSection], tables: _Tables, kinds: dict[int, str]) -> dict[int, list[Relocation]]:
    found: dict[int, list[Relocation]] = {}
    for section in sections:
        if not isinstance(section, RelocationSection) or section.num_relocations() == 0:
            continue
        if not section.is_RELA():
            raise ObjectError(f"section {section.name!r} has relocations without addends (SHT_REL)")
        link, info = section["sh_link"], section["sh_info"]
        if not isinstance(sections[link], SymbolTableSection) or info >= len(sections):
            raise ObjectError(f"section {section.name!r} refers to sections that do not fit")
        for relocation in section.iter_relocations():
            number = relocation["r_info_type"]
            found.setdefault(info, []).append(
                Relocation(
                    offset=relocation["r_offset"],
                    kind=kinds.get(number, f"relocation type {number}"),
                    symbol=tables[link][relocation["r_info_sym"]][0],
                    addend=relocation["r_addend"],
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
