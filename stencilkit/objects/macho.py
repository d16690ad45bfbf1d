"""Mach-O objects: load commands, sections and symbols with lief, relocation entries by hand.

lief 1.0 files relocations that name a section (not a symbol) under that section instead of under the one that they
patch (docs/adr/0100), so the 8 bytes of each entry are read here. Follows CPython's `_MachO._handle_section` in what
it keeps. Refuses what no stencil can hold: zero-filled sections, and code behind data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import lief

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.objects import bounds

lief.logging.disable()

# <mach-o/loader.h>, <mach/machine.h>
_HEADER: Final = struct.Struct("<8I")
_MAGIC: Final = 0xFEEDFACF
_MH_OBJECT: Final = 1
_COMMAND: Final = struct.Struct("<2I")
_SYMBOL_BYTES: Final = 16
# Sections are aligned to pages at most.
_LARGEST_GAP: Final = 0x4000
# <mach-o/reloc.h>: r_address; r_symbolnum, 24 bits, then pcrel, length, extern and type.
_RELOCATION: Final = struct.Struct("<iI")
_ZERO_FILLED: Final = (
    lief.MachO.Section.TYPE.ZEROFILL,
    lief.MachO.Section.TYPE.GB_ZEROFILL,
    lief.MachO.Section.TYPE.THREAD_LOCAL_ZEROFILL,
)
# Tables for unwinding have the attribute of debug information, but the shim needs them.
_UNWIND: Final = "__compact_unwind"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """A processor: the names of its relocation types by number, and which types keep the addend in the code.

    For those, the bytes to be patched hold the addend, from which CPython takes 4, because a displacement counts from
    the end of its 4 bytes. `prefix_type` is a type that is no place to patch but carries the next entry's addend.
    """

    kinds: tuple[str, ...]
    in_place: frozenset[str]
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
        in_place=frozenset(),
        prefix_kind="ARM64_RELOC_ADDEND",
    ),
}


def parse(data: bytes, symbol_prefix: str, unwind: bool = False) -> ObjectFile:  # noqa: FBT001, FBT002  # an interface
    """Read a relocatable Mach-O object; `symbol_prefix` is taken off every symbol, `unwind` keeps unwind tables.

    Raises: ObjectError.
    """
    machine = _check_header(data)
    fat = lief.MachO.parse(data)
    binary = fat.at(0) if fat is not None and fat.size else None
    if binary is None:
        raise ObjectError("the Mach-O object is damaged: its load commands make no sense")
    try:
        return _Reader(data, binary, machine, symbol_prefix, unwind=unwind).read()
    except bounds.NAMELESS:
        raise ObjectError("the Mach-O object has a section or symbol of a type without a name") from None


def _check_header(data: bytes) -> _Machine:
    """Check the header and the chain of load commands, which lief would cut short in silence."""
    bounds.check(data, 0, _HEADER.size, "the Mach-O header")
    magic, cpu, _, kind, count, size, _, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC or kind != _MH_OBJECT or cpu not in _MACHINES:
        raise ObjectError(f"not a relocatable Mach-O object for a machine that has a JIT: type {kind}, cpu {cpu:#x}")
    bounds.check(data, _HEADER.size, size, "the list of load commands")
    position, end = _HEADER.size, _HEADER.size + size
    for _ in range(count):
        if position + _COMMAND.size > end:
            raise ObjectError("the object is damaged: there are fewer load commands than it says")
        _, length = _COMMAND.unpack_from(data, position)
        if length < _COMMAND.size or position + length > end:
            raise ObjectError("the object is damaged: a load command is larger than the list of them")
        position += length
    return _MACHINES[cpu]


class _Reader:
    """One object file on its way to the model."""

    def __init__(self, data: bytes, binary: lief.MachO.Binary, machine: _Machine, prefix: str, *, unwind: bool) -> None:
        self._data = data
        self._machine = machine
        self._prefix = prefix
        self._sections = list(binary.sections)
        if len(self._sections) != sum(segment.numberof_sections for segment in binary.segments):
            raise ObjectError("the object is damaged: there are fewer sections than it says")
        self._roles = [_role(section, unwind=unwind) for section in self._sections]
        self._symbols = self._read_symbols(binary)

    def _read_symbols(self, binary: lief.MachO.Binary) -> list[tuple[str, int, int]]:
        """List name, section number from 1 (0: none) and value of every symbol, in table order."""
        table = binary.symbol_command
        if table is None:
            return []
        bounds.check(self._data, table.symbol_offset, table.numberof_symbols * _SYMBOL_BYTES, "the symbol table")
        bounds.check(self._data, table.strings_offset, table.strings_size, "the table of names")
        found = [(self._name(symbol), symbol.numberof_sections, symbol.value) for symbol in binary.symbols]
        if len(found) != table.numberof_symbols:
            raise ObjectError("the object is damaged: there are fewer symbols than it says")
        return found

    def _name(self, item: lief.MachO.Section | lief.MachO.Symbol) -> str:
        return _text(item.name).removeprefix(self._prefix)

    def read(self) -> ObjectFile:
        """Read the sections that matter.

        Sections have addresses in one space: the code comes first, and the data follows, with gaps for alignment.
        """
        kept: list[Section] = []
        end = 0
        for number, (section, role) in enumerate(zip(self._sections, self._roles, strict=True), start=1):
            if role is None:
                continue
            if role is SectionRole.CODE and any(earlier.role is SectionRole.DATA for earlier in kept):
                raise ObjectError(f"section {section.name!r} has code behind data: no stencil can hold that")
            padding = section.virtual_address - end
            if not 0 <= padding < _LARGEST_GAP:
                raise ObjectError(f"section {section.name!r} is at {section.virtual_address:#x}, behind {end:#x}")
            kept.append(self._section(number, section, role, padding))
            end = section.virtual_address + section.size
        return ObjectFile(sections=tuple(kept))

    def _section(self, number: int, section: lief.MachO.Section, role: SectionRole, padding: int) -> Section:
        bounds.check(self._data, section.offset, section.size, f"section {section.name!r}")
        base = section.virtual_address
        own = [Symbol(name=self._name(section), offset=0)]
        own += [Symbol(name=name, offset=value - base) for name, index, value in self._symbols if index == number]
        body = self._data[section.offset : section.offset + section.size]
        return Section(
            name=_text(section.name),
            role=role,
            data=body,
            symbols=tuple(own),
            relocations=tuple(self._relocations(section, body)),
            padding=padding,
        )

    def _relocations(self, section: lief.MachO.Section, body: bytes) -> Iterator[Relocation]:
        count, start = section.numberof_relocations, section.relocation_offset
        bounds.check(self._data, start, count * _RELOCATION.size, f"the relocations of section {section.name!r}")
        prefixed = 0
        for index in range(count):
            offset, word = _RELOCATION.unpack_from(self._data, start + index * _RELOCATION.size)
            number, kind = word & 0xFFFFFF, self._kind(word >> 28)
            if kind == self._machine.prefix_kind:
                prefixed = number - ((number & 0x800000) << 1)
                continue
            addend = prefixed
            if kind in self._machine.in_place and offset >= 0:
                addend += int.from_bytes(body[offset : offset + 4], "little", signed=True) - 4
            symbol = self._symbol(number) if word >> 27 & 1 else self._name(self._section_at(number))
            if not word >> 27 & 1:
                addend += self._section_quirk(number)
            yield Relocation(offset=offset, kind=kind, symbol=symbol, addend=addend)
            prefixed = 0

    def _kind(self, number: int) -> str:
        kinds = self._machine.kinds
        return kinds[number] if number < len(kinds) else f"relocation type {number}"

    def _symbol(self, index: int) -> str:
        if index >= len(self._symbols):
            raise ObjectError(f"the object is damaged: a relocation wants symbol {index} of {len(self._symbols)}")
        return self._symbols[index][0]

    def _section_at(self, number: int) -> lief.MachO.Section:
        if not 1 <= number <= len(self._sections):
            raise ObjectError(f"the object is damaged: a relocation wants section {number} of {len(self._sections)}")
        return self._sections[number - 1]

    def _section_quirk(self, number: int) -> int:
        """Return what upstream adds to a displacement into a section of data.

        Upstream puts the name of every such section at (size of the code) in the data, wherever it starts.
        """
        if self._roles[number - 1] is not SectionRole.DATA:
            return 0
        code = sum(s.size for s, role in zip(self._sections, self._roles, strict=True) if role is SectionRole.CODE)
        return 2 * code - self._sections[number - 1].virtual_address


def _role(section: lief.MachO.Section, *, unwind: bool) -> SectionRole | None:
    if section.type in _ZERO_FILLED:
        raise ObjectError(f"section {section.name!r} is zero-filled: a stencil has nowhere to keep state")
    if section.has(lief.MachO.Section.FLAGS.DEBUG_INFO) and not (unwind and section.name == _UNWIND):
        return None
    # Upstream's 3.13 and 3.14 look for "some instructions", 3.15 for "pure": compilers set both on code.
    return SectionRole.CODE if section.has(lief.MachO.Section.FLAGS.PURE_INSTRUCTIONS) else SectionRole.DATA


def _text(name: str | bytes) -> str:
    """Spell a name; lief gives bytes where it is not UTF-8."""
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
