"""COFF objects ("PE Format", Microsoft; sections "COFF File Header", "Section Table", "COFF Symbol Table").

Follows CPython's `_COFF._handle_section` in what it keeps: sections that are executed or read. Addends are in the
bytes to be patched. Names that start with `__imp_` are slots that hold an address (dllimport). docs/adr/0100 says why
there is no library here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.objects.structures import WRITABLE, WRITABLE_FIX, Reader, spelt

# Machine, NumberOfSections, TimeDateStamp, PointerToSymbolTable, NumberOfSymbols, SizeOfOptionalHeader, Characteristics
_HEADER: Final = struct.Struct("<2H3I2H")
# Name, 8 bytes of no use, SizeOfRawData, PointerToRawData, PointerToRelocations, 4 of no use, NumberOfRelocations,
# 2 of no use, Characteristics
_SECTION: Final = struct.Struct("<8s8x3I4xH2xI")
# Name, Value, SectionNumber, Type, StorageClass, NumberOfAuxSymbols
_SYMBOL: Final = struct.Struct("<8sIhH2B")
# VirtualAddress, SymbolTableIndex, Type
_RELOCATION: Final = struct.Struct("<2IH")
_SIZE: Final = struct.Struct("<I")
_UNINITIALIZED: Final = 0x80
_MORE_RELOCATIONS: Final = 0x01000000
_EXECUTE: Final = 0x20000000
_READ: Final = 0x40000000
_WRITE: Final = 0x80000000
_IMPORTED: Final = "__imp_"
# "clang version ..." and paths; since LLVM 21 they are there without -g, and would be in every stencil (#142052).
_DEBUG: Final = (".debug$S", ".debug$T", ".debug$F", ".debug$P", ".debug$H")
# State that debugging calls of printf bring along, all zero. The file holds no bytes for it: its size must have an end.
_LARGEST_ZEROES: Final = 0x10000

# Relocation types by number ("COFF Relocations (Object Only)").
_I386: Final = {
    0x06: "DIR32",
    0x07: "DIR32NB",
    0x0A: "SECTION",
    0x0B: "SECREL",
    0x0C: "TOKEN",
    0x0D: "SECREL7",
    0x14: "REL32",
}
_AMD64: Final = {
    **dict(enumerate(("ABSOLUTE", "ADDR64", "ADDR32", "ADDR32NB", "REL32"))),
    **{4 + more: f"REL32_{more}" for more in range(1, 6)},
    **{0x0A + number: name for number, name in enumerate(("SECTION", "SECREL", "SECREL7", "TOKEN", "SREL32"))},
}
_ARM64: Final = dict(
    enumerate(
        (
            *("ABSOLUTE", "ADDR32", "ADDR32NB", "BRANCH26", "PAGEBASE_REL21", "REL21", "PAGEOFFSET_12A"),
            *("PAGEOFFSET_12L", "SECREL", "SECREL_LOW12A", "SECREL_HIGH12A", "SECREL_LOW12L", "TOKEN"),
            *("SECTION", "ADDR64", "BRANCH19", "BRANCH14", "REL32"),
        )
    )
)
_MACHINES: Final = {0x014C: ("I386", _I386), 0x8664: ("AMD64", _AMD64), 0xAA64: ("ARM64", _ARM64)}

# Where the addend is: the size in bytes, whether it is signed, and what is taken off, because a displacement counts
# from the end of its 4 bytes. Instructions of aarch64 hold none but zero.
_ADDENDS: Final = {
    "IMAGE_REL_I386_DIR32": (4, False, 0),
    "IMAGE_REL_I386_REL32": (4, True, 4),
    "IMAGE_REL_AMD64_REL32": (4, True, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Name:
    """A symbol without its prefix; `section` counts from 1, and is 0 or less for what no section of this file defines.

    `defined` is the name to define it by, `wanted` the one to want it by: without `__imp_`, if it is `imported`.
    """

    defined: str
    wanted: str
    imported: bool
    section: int
    value: int


def parse(data: bytes, symbol_prefix: str, _unwind: bool = False) -> ObjectFile:  # noqa: FBT001, FBT002  # an interface
    """Read a relocatable COFF object; `symbol_prefix` is taken off every symbol. Unwind tables are data here anyway.

    Raises: ObjectError.
    """
    reader = Reader(data)
    machine, sections, _, table, symbols, optional, _ = reader.record(_HEADER, 0, "the COFF header")
    if machine not in _MACHINES or optional:
        raise ObjectError(f"not a relocatable COFF object for a machine that has a JIT: machine {machine:#x}")
    strings = _strings(reader, table + symbols * _SYMBOL.size) if table else b""
    names = _names(reader, table, symbols, strings, symbol_prefix)
    return _Object(reader, machine, strings, names).read(sections)


def _strings(reader: Reader, offset: int) -> bytes:
    """Return the table of long names; offsets count from its size field."""
    (size,) = reader.record(_SIZE, offset, "the symbol table")
    return reader.part(offset, max(size, _SIZE.size), "the table of names")


def _names(reader: Reader, offset: int, count: int, strings: bytes, prefix: str) -> dict[int, _Name]:
    """Map indices to symbols; auxiliary records take an index, but are none."""
    found: dict[int, _Name] = {}
    following = 0
    for index, row in enumerate(reader.table(_SYMBOL, offset, count, "the symbol table")):
        name, value, section, _, _, auxiliary = row
        if index == following:
            text = spelt(name) if name[:4] != bytes(4) else reader.name(strings, int.from_bytes(name[4:], "little"))
            found[index] = _name(text, section, value, prefix)
            following = index + 1 + auxiliary
    return found


def _name(text: str, section: int, value: int, prefix: str) -> _Name:
    return _Name(
        defined=text.removeprefix(prefix),
        wanted=text.removeprefix(_IMPORTED).removeprefix(prefix),
        imported=text.startswith(_IMPORTED),
        section=section,
        value=value,
    )


class _Object:
    """An object file whose symbols have been read."""

    def __init__(self, reader: Reader, machine: int, strings: bytes, names: dict[int, _Name]) -> None:
        self._reader = reader
        self._machine, self._kinds = _MACHINES[machine]
        self._strings = strings
        self._names = names
        self._defined: dict[int, list[_Name]] = {}
        for name in names.values():
            self._defined.setdefault(name.section, []).append(name)
        # Of symbols with the same name (each .rdata of a constant is one), the first counts, as upstream has it.
        self._taken: set[str] = set()

    def read(self, count: int) -> ObjectFile:
        """Read the sections that matter.

        Raises: ObjectError.
        """
        rows = self._reader.table(_SECTION, _HEADER.size, count, "the section table")
        kept = []
        for number, (short, size, offset, relocations, relocation_count, flags) in enumerate(rows, start=1):
            name = self._section_name(short)
            role = _role(name, flags)
            if role is not None:
                body = self._body(name, size, offset, flags)
                if flags & _MORE_RELOCATIONS:
                    raise ObjectError(f"section {name!r} has more than 65535 relocations: no stencil has")
                kept.append(
                    Section(
                        name=name,
                        role=role,
                        data=body,
                        symbols=tuple(self._symbols_of(number)),
                        relocations=tuple(self._relocations(name, body, relocations, relocation_count)),
                    )
                )
        return ObjectFile(sections=tuple(kept))

    def _section_name(self, short: bytes) -> str:
        """Spell a section's name; "/65" is at offset 65 of the table of names."""
        name = spelt(short)
        long = name.startswith("/") and name[1:].isascii() and name[1:].isdigit()
        return self._reader.name(self._strings, int(name[1:])) if long else name

    def _body(self, name: str, size: int, offset: int, flags: int) -> bytes:
        if not flags & _UNINITIALIZED:
            if flags & _WRITE and size:
                raise ObjectError(f"section {name!r} is writable: {WRITABLE}", fix=WRITABLE_FIX)
            return self._reader.part(offset, size, f"section {name!r}")
        if size > _LARGEST_ZEROES:
            raise ObjectError(f"section {name!r} has {size} zero bytes: a stencil has nowhere to keep state")
        self._reader.spend(size)
        return bytes(size)

    def _symbols_of(self, number: int) -> Iterator[Symbol]:
        for name in self._defined.get(number, ()):
            if name.defined not in self._taken:
                self._taken.add(name.defined)
                yield Symbol(name=name.defined, offset=name.value)

    def _relocations(self, name: str, body: bytes, place: int, count: int) -> Iterator[Relocation]:
        for offset, index, number in self._reader.table(_RELOCATION, place, count, f"a relocation of section {name!r}"):
            symbol = self._names.get(index)
            if symbol is None:
                raise ObjectError(f"the object is damaged: a relocation wants symbol {index}, which does not exist")
            kind = f"IMAGE_REL_{self._machine}_{self._kinds.get(number, f'type {number}')}"
            size, signed, less = _ADDENDS.get(kind, (0, False, 0))
            yield Relocation(
                offset=offset,
                kind=kind,
                symbol=symbol.wanted,
                addend=int.from_bytes(body[offset : offset + size], "little", signed=signed) - less,
                indirect=symbol.imported,
            )


def _role(name: str, flags: int) -> SectionRole | None:
    if name in _DEBUG:
        return None
    if flags & _EXECUTE:
        return SectionRole.CODE
    return SectionRole.DATA if flags & _READ else None
