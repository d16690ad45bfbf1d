"""Mach-O objects (<mach-o/loader.h>, <mach-o/reloc.h>).

Follows CPython's `_MachO._handle_section` in what it keeps: all sections but those of debug information. Refuses what
no stencil can hold: zero-filled sections, and code behind data. docs/adr/0100 says why there is no library here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.objects.structures import WRITABLE, WRITABLE_FIX, Reader, spelt

# magic, cputype, cpusubtype, filetype, ncmds, sizeofcmds, flags, reserved
_HEADER: Final = struct.Struct("<8I")
_COMMAND: Final = struct.Struct("<2I")
# cmd, cmdsize, segname, vmaddr, vmsize, fileoff, filesize, maxprot, initprot, nsects, flags
_SEGMENT: Final = struct.Struct("<2I16s4Q4I")
# sectname, segname, addr, size, offset, align, reloff, nreloc, flags, and three reserved
_SECTION: Final = struct.Struct("<16s16s2Q5I12x")
# cmd, cmdsize, symoff, nsyms, stroff, strsize
_SYMTAB: Final = struct.Struct("<6I")
# n_strx, n_type, n_sect, n_desc, n_value
_SYMBOL: Final = struct.Struct("<I2BHQ")
# r_address; r_symbolnum (24 bits), r_pcrel, r_length (2), r_extern, r_type (4)
_RELOCATION: Final = struct.Struct("<iI")
_MAGIC: Final = 0xFEEDFACF
_MH_OBJECT: Final = 1
_LC_SYMTAB: Final = 0x2
_LC_SEGMENT_64: Final = 0x19
_PURE_INSTRUCTIONS: Final = 0x80000000
_DEBUG: Final = 0x02000000
# S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL
_ZERO_FILLED: Final = (0x01, 0x0C, 0x12)
_STRINGS: Final = "__cstring"
# Tables for unwinding have the attribute of debug information, but the shim needs them.
_UNWIND: Final = "__compact_unwind"
# Mach-O protects segments; which one a section of an object becomes part of, the section says. `__const` of this one
# holds constants with addresses, which only the dynamic linker writes.
_WRITABLE_SEGMENT: Final = "__DATA"
_CONSTANT: Final = "__const"
# Sections are aligned to pages at most.
_LARGEST_GAP: Final = 0x4000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """A processor: the names of its relocation types by number, and which types keep the addend in the code.

    Of the addends in the code, CPython takes 4, because a displacement counts from the end of its 4 bytes.
    `prefix_kind` is a type that names no place to patch, and carries the next entry's addend.
    """

    kinds: tuple[str, ...]
    in_place: frozenset[str] = frozenset()
    prefix_kind: str = ""


# <mach-o/x86_64/reloc.h>, <mach-o/arm64/reloc.h>: the index is the number.
_MACHINES: Final = {
    0x01000007: _Machine(
        kinds=tuple(
            f"X86_64_RELOC_{name}"
            for name in (
                *("UNSIGNED", "SIGNED", "BRANCH", "GOT_LOAD", "GOT"),
                *("SUBTRACTOR", "SIGNED_1", "SIGNED_2", "SIGNED_4", "TLV"),
            )
        ),
        in_place=frozenset({f"X86_64_RELOC_{name}" for name in ("SIGNED", "BRANCH", "GOT_LOAD", "GOT")}),
    ),
    0x0100000C: _Machine(
        kinds=tuple(
            f"ARM64_RELOC_{name}"
            for name in (
                *("UNSIGNED", "SUBTRACTOR", "BRANCH26", "PAGE21", "PAGEOFF12", "GOT_LOAD_PAGE21"),
                *("GOT_LOAD_PAGEOFF12", "POINTER_TO_GOT", "TLVP_LOAD_PAGE21", "TLVP_LOAD_PAGEOFF12", "ADDEND"),
            )
        ),
        prefix_kind="ARM64_RELOC_ADDEND",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A section as its header describes it; `role` is None for one that is left out."""

    name: str
    address: int
    size: int
    offset: int
    relocations: int
    relocation_count: int
    role: SectionRole | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Name:
    """A symbol; `section` counts from 1, 0 says that it is defined elsewhere."""

    text: str
    section: int
    value: int


def parse(data: bytes, symbol_prefix: str, unwind: bool = False) -> ObjectFile:  # noqa: FBT001, FBT002  # an interface
    """Read a relocatable Mach-O object; `symbol_prefix` is taken off every symbol, `unwind` keeps unwind tables.

    Raises: ObjectError.
    """
    reader = Reader(data)
    magic, cpu, _, kind, count, size, _, _ = reader.record(_HEADER, 0, "the Mach-O header")
    if magic != _MAGIC or kind != _MH_OBJECT or cpu not in _MACHINES:
        raise ObjectError(f"not a relocatable Mach-O object for a machine that has a JIT: type {kind}, cpu {cpu:#x}")
    entries: list[_Entry] = []
    names: list[_Name] = []
    for command, offset in _commands(reader, count, size):
        if command == _LC_SEGMENT_64:
            entries += _entries(reader, offset, unwind=unwind)
        elif command == _LC_SYMTAB:
            names += _names(reader, offset, symbol_prefix)
    return _Object(reader, _MACHINES[cpu], symbol_prefix, entries, names).read()


def _commands(reader: Reader, count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield type and offset of every load command."""
    reader.part(_HEADER.size, size, "the list of load commands")
    position, end = _HEADER.size, _HEADER.size + size
    for _ in range(count):
        command, length = reader.record(_COMMAND, position, "a load command")
        if length < _COMMAND.size or position + length > end:
            raise ObjectError("the object is damaged: a load command reaches beyond the list of them")
        yield command, position
        position += length


def _entries(reader: Reader, offset: int, *, unwind: bool) -> Iterator[_Entry]:
    _, length, *_, count, _ = reader.record(_SEGMENT, offset, "a segment")
    if _SEGMENT.size + count * _SECTION.size > length:
        raise ObjectError("the object is damaged: a segment's sections reach beyond its load command")
    for row in reader.table(_SECTION, offset + _SEGMENT.size, count, "the section table"):
        name, segment, address, size, place, _, relocations, relocation_count, flags = row
        text = spelt(name)
        role = _role(text, flags, unwind=unwind)
        if role is SectionRole.DATA and size and spelt(segment) == _WRITABLE_SEGMENT and text != _CONSTANT:
            raise ObjectError(f"section {text!r} is writable: {WRITABLE}", fix=WRITABLE_FIX)
        yield _Entry(
            name=text,
            address=address,
            size=size,
            offset=place,
            relocations=relocations,
            relocation_count=relocation_count,
            role=role,
        )


def _role(name: str, flags: int, *, unwind: bool) -> SectionRole | None:
    if flags & 0xFF in _ZERO_FILLED:
        raise ObjectError(f"section {name!r} is zero-filled: a stencil has nowhere to keep state")
    if flags & _DEBUG and not (unwind and name == _UNWIND):
        return None
    # Upstream's 3.13 and 3.14 look for "some instructions", 3.15 for "pure": compilers set both on code.
    return SectionRole.CODE if flags & _PURE_INSTRUCTIONS else SectionRole.DATA


def _names(reader: Reader, offset: int, prefix: str) -> list[_Name]:
    _, _, symbols, count, place, size = reader.record(_SYMTAB, offset, "the description of the symbol table")
    strings = reader.part(place, size, "the table of names")
    return [
        _Name(text=reader.name(strings, position).removeprefix(prefix), section=section, value=value)
        for position, _, section, _, value in reader.table(_SYMBOL, symbols, count, "the symbol table")
    ]


class _Object:
    """An object file whose tables have been read."""

    def __init__(
        self, reader: Reader, machine: _Machine, prefix: str, entries: list[_Entry], names: list[_Name]
    ) -> None:
        self._reader = reader
        self._machine = machine
        self._prefix = prefix
        self._entries = entries
        self._names = names
        self._defined: dict[int, list[_Name]] = {}
        for name in names:
            self._defined.setdefault(name.section, []).append(name)
        self._code_size = sum(entry.size for entry in entries if entry.role is SectionRole.CODE)

    def read(self) -> ObjectFile:
        """Read the sections that matter.

        Sections have addresses in one space: the code comes first, and the data follows, with gaps for alignment.

        Raises: ObjectError.
        """
        kept: list[Section] = []
        end = 0
        for number, entry in enumerate(self._entries, start=1):
            if entry.role is None:
                continue
            # So far, all is code or the last section is data:
            if entry.role is SectionRole.CODE and kept and kept[-1].role is SectionRole.DATA:
                raise ObjectError(f"section {entry.name!r} has code behind data: no stencil can hold that")
            padding = entry.address - end
            if not 0 <= padding < _LARGEST_GAP:
                raise ObjectError(f"section {entry.name!r} is at {entry.address:#x}, behind {end:#x}")
            self._reader.spend(padding)
            kept.append(self._section(number, entry, entry.role, padding))
            end = entry.address + entry.size
        return ObjectFile(sections=tuple(kept))

    def _section(self, number: int, entry: _Entry, role: SectionRole, padding: int) -> Section:
        body = self._reader.part(entry.offset, entry.size, f"section {entry.name!r}")
        symbols = [Symbol(name=self._plain(entry), offset=0)]
        symbols += [Symbol(name=n.text, offset=n.value - entry.address) for n in self._defined.get(number, ())]
        return Section(
            name=entry.name,
            role=role,
            data=body,
            symbols=tuple(symbols),
            relocations=tuple(self._relocations(entry, body)),
            padding=padding,
        )

    def _plain(self, entry: _Entry) -> str:
        return entry.name.removeprefix(self._prefix)

    def _relocations(self, entry: _Entry, body: bytes) -> Iterator[Relocation]:
        prefixed = 0
        what = f"a relocation of section {entry.name!r}"
        for offset, word in self._reader.table(_RELOCATION, entry.relocations, entry.relocation_count, what):
            number, kind = word & 0xFFFFFF, self._kind(word >> 28)
            if kind == self._machine.prefix_kind:
                prefixed = number - ((number & 0x800000) << 1)
                continue
            addend = prefixed
            if kind in self._machine.in_place and offset >= 0:
                addend += int.from_bytes(body[offset : offset + 4], "little", signed=True) - 4
            if word >> 27 & 1:
                symbol = self._symbol(number)
            else:
                symbol = self._plain(self._entry(number))
                addend += self._section_quirk(self._entry(number))
            yield Relocation(offset=offset, kind=kind, symbol=symbol, addend=addend)
            prefixed = 0

    def _kind(self, number: int) -> str:
        kinds = self._machine.kinds
        return kinds[number] if number < len(kinds) else f"relocation type {number}"

    def _symbol(self, index: int) -> str:
        if index >= len(self._names):
            raise ObjectError(f"the object is damaged: a relocation wants symbol {index} of {len(self._names)}")
        return self._names[index].text

    def _entry(self, number: int) -> _Entry:
        if not 1 <= number <= len(self._entries):
            raise ObjectError(f"the object is damaged: a relocation wants section {number} of {len(self._entries)}")
        return self._entries[number - 1]

    def _section_quirk(self, entry: _Entry) -> int:
        """Return what upstream adds to a displacement into a section of data.

        Upstream puts the name of every such section at (size of the code) in the data, wherever it starts, and takes
        a displacement between addresses for an offset (docs/adr/0102). Message strings are missed, which upstream's own
        stencils do, too. Numbers that are missed are computed with, and refused.

        Raises: ObjectError.
        """
        if entry.role is not SectionRole.DATA:
            return 0
        if entry.name != _STRINGS:
            raise ObjectError(
                f"the code reads constants in section {entry.name!r}, which a stencil would read from beside its data: "
                "CPython's Tools/jit takes the distance to them for an offset",
                fix="use another LLVM, best the one that upstream uses: it may need no constant there",
            )
        return 2 * self._code_size - entry.address
