"""Is a COFF object the shim and nothing else? A closed list of sections, symbols and relocations ("PE Format")."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit.model.target import Target
from stencilkit.objects.bookkeeping import ENTRY, SOURCE, Account, Linked, Names, producer, refused, unpack
from stencilkit.objects.structures import spelt

_HEADER: Final = struct.Struct("<2H3I2H")
_SECTION: Final = struct.Struct("<8s6I2HI")
_SYMBOL: Final = struct.Struct("<8sIhH2B")
# Length, NumberOfRelocations, NumberOfLinenumbers, CheckSum, Number, Selection, and padding
_AUXILIARY: Final = struct.Struct("<I2HIHB3x")
_RELOCATION: Final = struct.Struct("<2IH")
_STATIC, _EXTERNAL, _FILE = 3, 2, 0x67
_ABSOLUTE, _DEBUG = -1, -2
_FUNCTION: Final = 0x20
_MOST: Final = 10
_LARGEST_GAP: Final = 4
_ALIGNMENT: Final = 0x00F00000
_USUAL_ALIGNMENT: Final = 0x00300000
# CodeView (microsoft-pdb, cvinfo.h): the signature; a subsection of symbols with S_OBJNAME (no name) and S_COMPILE3.
_CODEVIEW: Final = struct.Struct("<3I 2H2I 2HI H8H")
_C13, _SYMBOLS, _OBJECT_NAME, _COMPILE = 4, 0xF1, 0x1101, 0x113C
_HOT_PATCH: Final = 0x4000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """A processor: Machine, CodeView's number, the prefix of symbols, the value of @feat.00, and the relocations.

    `relocations` maps a section to offset (None: anywhere), name of the symbol, and type; the last one of .pdata is
    there if the unwind codes are in .xdata.
    """

    number: int
    codeview: int
    prefix: str
    features: int
    relocations: Mapping[str, tuple[tuple[int | None, str, int], ...]]


_MACHINES: Final = {
    "x86_64": _Machine(
        number=0x8664,
        codeview=0xD0,
        prefix="",
        features=0,
        relocations={".pdata": ((0, ".text", 3), (4, ".text", 3), (8, ".xdata", 3))},
    ),
    # SafeSEH: the object has no handlers that it would have to register.
    "i686": _Machine(
        number=0x14C, codeview=7, prefix="_", features=1, relocations={".eh_frame": ((None, ".text", 6),)}
    ),
    "aarch64": _Machine(
        number=0xAA64,
        codeview=0xF6,
        prefix="",
        features=0,
        relocations={".pdata": ((0, ".text", 2), (4, ".xdata", 2))},
    ),
}
# Name -> Characteristics without the alignment, whether it must be empty.
_SECTIONS: Final[Mapping[str, tuple[int, bool]]] = {
    ".text": (0x60000020, False),
    ".data": (0xC0000040, True),
    ".bss": (0xC0000080, True),
    ".xdata": (0x40000040, False),
    ".debug$S": (0x42000040, False),
    ".pdata": (0x40000040, False),
    ".eh_frame": (0x40000040, False),
    ".llvm_addrsig": (0x00000800, True),
}
_UNALIGNED: Final = (".llvm_addrsig",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A section: its contents, and where its relocations are."""

    name: str
    contents: bytes
    relocations: int
    relocation_count: int
    alignment: int


def account(data: bytes, target: Target) -> Linked:
    """Check that an object is the shim and nothing else.

    Raises: ObjectError.
    """
    return _Object(data, _MACHINES[target.arch]).account()


class _Object:
    """An object whose header has been read."""

    def __init__(self, data: bytes, machine: _Machine) -> None:
        self._data = data
        self._machine = machine
        self._book = Account(data)
        header = unpack(_HEADER, data, 0)
        self._count, self._symbols_at, self._symbol_count = header[1], header[3], header[4]
        fields = (machine.number, self._count, 0, self._symbols_at, self._symbol_count, 0, 0)
        self._book.expect(0, _HEADER.pack(*fields), "the COFF header")
        if not 1 <= self._count <= _MOST:
            raise refused(f"it has {self._count} sections")
        strings = self._symbols_at + self._symbol_count * _SYMBOL.size
        (size,) = unpack(struct.Struct("<I"), data, strings)
        table = self._book.take(strings, max(size, 4), "the table of names")
        self._names = Names(table, start=4)

    def account(self) -> Linked:
        """Account for sections, symbols and relocations.

        Raises: ObjectError.
        """
        places = list(self._sections())
        if places[0].name != ".text" or not places[0].contents:
            raise refused("its first section is not the code")
        self._symbols(places)
        made_by = next((_made_by(p.contents, self._machine) for p in places if p.name == ".debug$S"), "")
        self._names.close()
        self._book.close(_LARGEST_GAP)
        text = places[0].alignment
        varying = () if text == _USUAL_ALIGNMENT else (f"alignment .text {1 << (text >> 20) - 1}",)
        return Linked(producer=made_by, varying=varying)

    def _sections(self) -> Iterator[_Place]:
        seen = set[str]()
        for number in range(self._count):
            offset = _HEADER.size + number * _SECTION.size
            short, _, _, size, place, relocations, _, count, _, flags = unpack(_SECTION, self._data, offset)
            name = self._section_name(short)
            if name not in _SECTIONS or name in seen:
                raise refused(f"section {name!r}")
            seen.add(name)
            usual, empty = _SECTIONS[name]
            alignment = flags & _ALIGNMENT
            if flags & ~_ALIGNMENT != usual or (empty and size):
                raise refused(f"section {name!r} has characteristics {flags:#x} and {size} bytes")
            least = 0x00100000 if name in _UNALIGNED else _USUAL_ALIGNMENT
            if alignment != least and not (name == ".text" and least < alignment <= 0x00700000):
                raise refused(f"section {name!r} has characteristics {flags:#x}")
            written = (short, 0, 0, size, place, relocations, 0, count, 0, flags)
            self._book.expect(offset, _SECTION.pack(*written), f"section {name!r}'s header")
            if name == ".bss" and place:
                raise refused("section '.bss' has a place in the file")
            contents = self._book.take(place, size, f"section {name!r}") if name != ".bss" else b""
            yield _Place(
                name=name, contents=contents, relocations=relocations, relocation_count=count, alignment=alignment
            )

    def _section_name(self, short: bytes) -> str:
        name = spelt(short)
        if not name.startswith("/"):
            if short != name.encode("utf-8", "replace").ljust(8, b"\0"):
                raise refused(f"section {name!r} has more in its name")
            return name
        digits = name[1:]
        if not (digits.isascii() and digits.isdigit()) or short != f"/{int(digits)}".encode().ljust(8, b"\0"):
            raise refused(f"section {name!r}")
        return self._names.at(int(digits))

    def _symbols(self, places: Sequence[_Place]) -> None:
        """Compare the symbols with those that there must be, in LLVM's order: sections, features, entry, file."""
        offset = self._symbols_at
        indices: dict[str, int] = {}
        for number, place in enumerate(places, start=1):
            indices[place.name] = (offset - self._symbols_at) // _SYMBOL.size
            auxiliary = _AUXILIARY.pack(
                len(place.contents), place.relocation_count, 0, _checksum(place.contents), number, 0
            )
            offset = self._symbol(offset, place.name, 0, number, 0, _STATIC, auxiliary)
        offset = self._symbol(offset, "@feat.00", self._machine.features, _ABSOLUTE, 0, _STATIC)
        offset = self._symbol(offset, f"{self._machine.prefix}{ENTRY}", 0, 1, _FUNCTION, _EXTERNAL)
        offset = self._symbol(offset, ".file", 0, _DEBUG, 0, _FILE, SOURCE.encode().ljust(_SYMBOL.size, b"\0"))
        if (offset - self._symbols_at) // _SYMBOL.size != self._symbol_count:
            raise refused(f"it has {self._symbol_count} symbols")
        for place in places:
            self._relocations(place, indices)

    def _symbol(
        self, offset: int, name: str, value: int, section: int, kind: int, storage: int, auxiliary: bytes = b""
    ) -> int:
        """Account for one symbol, and return where the next one is."""
        short = unpack(_SYMBOL, self._data, offset)[0]
        found = self._names.at(int.from_bytes(short[4:], "little")) if short[:4] == bytes(4) else spelt(short)
        if found != name:
            raise refused(f"symbol {found!r}, not {name!r}")
        written = short if short[:4] == bytes(4) else name.encode()
        row = _SYMBOL.pack(written, value, section, kind, storage, bool(auxiliary))
        self._book.expect(offset, row + auxiliary, f"symbol {name!r}")
        return offset + len(row) + len(auxiliary)

    def _relocations(self, place: _Place, indices: Mapping[str, int]) -> None:
        rows = self._machine.relocations.get(place.name, ())
        # Packed unwind codes of aarch64 need no .xdata.
        if place.relocation_count == len(rows) - 1:
            rows = tuple(row for row in rows if row[1] != ".xdata")
        if place.relocation_count != len(rows) or any(what not in indices for _, what, _ in rows):
            raise refused(f"section {place.name!r} has {place.relocation_count} relocations")
        if place.relocations and not rows:
            raise refused(f"section {place.name!r} names a place for relocations that it does not have")
        for number, (at, what, kind) in enumerate(rows):
            offset = place.relocations + number * _RELOCATION.size
            found = unpack(_RELOCATION, self._data, offset)[0]
            written = _RELOCATION.pack(found if at is None else at, indices[what], kind)
            self._book.expect(offset, written, f"a relocation of section {place.name!r}")


def _checksum(contents: bytes) -> int:
    """Compute what LLVM writes beside a section (JamCRC from zero: llvm/lib/MC/WinCOFFObjectWriter.cpp)."""
    return zlib.crc32(contents, 0xFFFFFFFF) ^ 0xFFFFFFFF


def _made_by(contents: bytes, machine: _Machine) -> str:
    """Check that a record of the compiler is one, and return the compiler's name for itself.

    Raises: ObjectError.
    """
    name = contents[_CODEVIEW.size :].split(b"\0", 1)[0]
    text, (major, minor, patch) = producer(name)
    flags = unpack(_CODEVIEW, contents, 0)[9]
    if flags & ~_HOT_PATCH:
        raise refused(f"section '.debug$S' has flags {flags:#x}")
    # Its length counts neither itself nor that a record ends at a multiple of 4.
    record = _CODEVIEW.size - 26 + len(name) + 1
    record += -(record + 2) % 4
    backend = min(major * 1000 + minor * 10 + patch, 0xFFFF)
    written = _CODEVIEW.pack(
        *(_C13, _SYMBOLS, 12 + 2 + record, 10, _OBJECT_NAME, 0, 0, record, _COMPILE, flags),
        *(machine.codeview, major, minor, patch, 0, backend, 0, 0, 0),
    )
    if contents != (written + name).ljust(26 + record, b"\0"):
        raise refused("section '.debug$S' is not the name of one compiler")
    return text
