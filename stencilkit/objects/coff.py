"""COFF objects, with lief.

Follows CPython's `_COFF._handle_section` in what it keeps: sections that are executed or read. Addends lie in the
bytes to be patched. Names that start with `__imp_` are slots that hold an address (dllimport). Refuses objects whose
counts and offsets the file does not bear out; lief would cut those short in silence.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import lief

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.objects import bounds

lief.logging.disable()

# PE/COFF specification, "COFF File Header (Object and Image)".
_HEADER: Final = struct.Struct("<2H3I2H")
_SECTION_BYTES: Final = 40
_SYMBOL_BYTES: Final = 18
_RELOCATION_BYTES: Final = 10
_MACHINES: Final = {0x014C: "I386", 0x8664: "AMD64", 0xAA64: "ARM64"}
_IMPORTED: Final = "__imp_"
# "clang version ..." and paths; since LLVM 21 they are there without -g, and would be in every stencil (#142052).
_DEBUG: Final = (".debug$S", ".debug$T", ".debug$F", ".debug$P", ".debug$H")
# State that debugging calls of printf bring along. A count that the file need not hold bytes for has to have an end.
_LARGEST_ZEROES: Final = 0x10000

# Where the addend is: the size in bytes, whether it is signed, and what is taken off, because a displacement counts
# from the end of its 4 bytes. ARM64 instructions hold none that is not zero.
_ADDENDS: Final = {
    "IMAGE_REL_I386_DIR32": (4, False, 0),
    "IMAGE_REL_I386_REL32": (4, True, 4),
    "IMAGE_REL_AMD64_REL32": (4, True, 4),
}

_Flags = lief.PE.Section.CHARACTERISTICS


def parse(data: bytes, symbol_prefix: str, _unwind: bool = False) -> ObjectFile:  # noqa: FBT001, FBT002  # an interface
    """Read a relocatable COFF object; `symbol_prefix` is taken off every symbol. Unwind tables are data here anyway.

    Raises: ObjectError.
    """
    bounds.check(data, 0, _HEADER.size, "the COFF header")
    number, sections, _, table, symbols, optional, _ = _HEADER.unpack_from(data)
    if number not in _MACHINES or optional:
        raise ObjectError(f"not a relocatable COFF object for a machine that has a JIT: machine {number:#x}")
    bounds.check(data, _HEADER.size, sections * _SECTION_BYTES, "the section table")
    bounds.check(data, table, symbols * _SYMBOL_BYTES, "the symbol table")
    binary = lief.COFF.parse(data)
    if binary is None:
        raise ObjectError("the COFF object is damaged: its tables make no sense")
    try:
        return _Reader(data, binary, symbol_prefix, sections, symbols).read()
    except bounds.NAMELESS:
        raise ObjectError("the COFF object has a section, symbol or relocation of a type without a name") from None


class _Reader:
    """One object file on its way to the model."""

    def __init__(self, data: bytes, binary: lief.COFF.Binary, prefix: str, sections: int, symbols: int) -> None:
        self._data = data
        self._prefix = prefix
        self._machine = _MACHINES[_HEADER.unpack_from(data)[0]]
        self._sections = list(binary.sections)
        self._symbols = list(binary.symbols)
        slots = len(self._symbols) + sum(len(symbol.auxiliary_symbols) for symbol in self._symbols)
        if len(self._sections) != sections or slots != symbols:
            raise ObjectError("the object is damaged: there are fewer sections or symbols than it says")
        # Of symbols with the same name (each .rdata of a constant is one), the first counts, as upstream has it.
        self._taken: set[str] = set()

    def read(self) -> ObjectFile:
        """Read the sections that matter."""
        return ObjectFile(
            sections=tuple(
                self._section(index, section, role)
                for index, section in enumerate(self._sections, start=1)
                if (role := _role(section)) is not None
            )
        )

    def _section(self, index: int, section: lief.COFF.Section, role: SectionRole) -> Section:
        name = _section_name(section)
        body = self._body(section, name)
        return Section(
            name=name,
            role=role,
            data=body,
            symbols=tuple(self._symbols_of(index)),
            relocations=tuple(self._relocations(section, name, body)),
        )

    def _body(self, section: lief.COFF.Section, name: str) -> bytes:
        size = section.sizeof_raw_data
        if section.has_characteristic(_Flags.CNT_UNINITIALIZED_DATA):
            if size > _LARGEST_ZEROES:
                raise ObjectError(f"section {name!r} has {size} zero bytes: a stencil has nowhere to keep state")
            return bytes(size)
        bounds.check(self._data, section.pointerto_raw_data, size, f"section {name!r}")
        return self._data[section.pointerto_raw_data : section.pointerto_raw_data + size]

    def _symbols_of(self, index: int) -> Iterator[Symbol]:
        for symbol in self._symbols:
            if symbol.section_idx == index:
                name = _text(symbol.name).removeprefix(self._prefix)
                if name not in self._taken:
                    self._taken.add(name)
                    yield Symbol(name=name, offset=symbol.value)

    def _relocations(self, section: lief.COFF.Section, name: str, body: bytes) -> Iterator[Relocation]:
        count = section.numberof_relocations
        bounds.check(
            self._data, section.pointerto_relocation, count * _RELOCATION_BYTES, f"the relocations of section {name!r}"
        )
        found = list(section.relocations)
        if section.has_extended_relocations or len(found) != count:
            raise ObjectError(f"section {name!r} has relocations that cannot be read")
        for relocation in found:
            symbol = relocation.symbol
            if symbol is None:
                raise ObjectError(f"the object is damaged: a relocation of section {name!r} has no symbol")
            yield self._relocation(relocation, _text(symbol.name), body)

    def _relocation(self, relocation: lief.COFF.Relocation, symbol: str, body: bytes) -> Relocation:
        kind = f"IMAGE_REL_{relocation.type.name}"
        offset = relocation.address
        size, signed, less = _ADDENDS.get(kind, (0, False, 0))
        return Relocation(
            offset=offset,
            kind=kind,
            symbol=symbol.removeprefix(_IMPORTED).removeprefix(self._prefix),
            addend=int.from_bytes(body[offset : offset + size], "little", signed=signed) - less,
            indirect=symbol.startswith(_IMPORTED),
        )


def _role(section: lief.COFF.Section) -> SectionRole | None:
    if _section_name(section) in _DEBUG:
        return None
    if section.has_characteristic(_Flags.MEM_EXECUTE):
        return SectionRole.CODE
    return SectionRole.DATA if section.has_characteristic(_Flags.MEM_READ) else None


def _section_name(section: lief.COFF.Section) -> str:
    """Spell a section's name; one of more than 8 bytes is in the string table."""
    long = section.coff_string
    return _text(section.name if long is None else long.string)


def _text(name: str | bytes) -> str:
    """Spell a name; lief gives bytes where it is not UTF-8."""
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
