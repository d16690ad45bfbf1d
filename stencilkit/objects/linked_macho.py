"""Is a Mach-O object the shim and nothing else? A closed list of load commands, sections, symbols and relocations."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.model.target import Target
from stencilkit.objects.bookkeeping import ENTRY, Account, Linked, Names, refused, unpack
from stencilkit.objects.structures import spelt

_HEADER: Final = struct.Struct("<8I")
_SEGMENT: Final = struct.Struct("<2I16s4Q4I")
_SECTION: Final = struct.Struct("<16s16s2Q8I")
_BUILD_VERSION: Final = struct.Struct("<6I")
_VERSION_MIN: Final = struct.Struct("<4I")
_SYMTAB: Final = struct.Struct("<6I")
_DYSYMTAB: Final = struct.Struct("<20I")
_SYMBOL: Final = struct.Struct("<I2BHQ")
_RELOCATION: Final = struct.Struct("<2I")
_MAGIC: Final = 0xFEEDFACF
_OBJECT: Final = 1
_SUBSECTIONS_VIA_SYMBOLS: Final = 0x2000
_READ_WRITE_EXECUTE: Final = 7
_MACOS: Final = 1
_DEFINED, _DEFINED_EXTERNAL = 0x0E, 0x0F
# Commands, in their order (<mach-o/loader.h>):
_LC_SEGMENT_64, _LC_VERSION_MIN_MACOSX, _LC_BUILD_VERSION, _LC_SYMTAB, _LC_DYSYMTAB = 0x19, 0x24, 0x32, 0x2, 0xB
_LARGEST_GAP: Final = 16
_MOST: Final = 16
_USUAL_ALIGNMENTS: Final = (0, 2)
_LARGEST_ALIGNMENT: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """A processor: cputype, cpusubtype, the macOS that clang names by itself, and each section's relocations.

    A relocation is what <mach-o/reloc.h> packs into its second word, with "text", "entry" or "frames" for the number of
    a section or symbol.
    """

    cpu: int
    subtype: int
    least: str
    relocations: Mapping[str, tuple[tuple[str, int], ...]]


# r_pcrel << 24 | r_length << 25 | r_extern << 27 | r_type << 28
_UNSIGNED_64: Final = 3 << 25
_EXTERNAL: Final = 1 << 27
_SUBTRACTOR: Final = 1 << 28
_COMPACT: Final = "__compact_unwind"
_FRAMES: Final = "__eh_frame"
_MACHINES: Final = {
    "x86_64": _Machine(
        cpu=0x01000007, subtype=3, least="macos 10.4.0", relocations={_COMPACT: (("text", _UNSIGNED_64),)}
    ),
    "aarch64": _Machine(
        cpu=0x0100000C,
        subtype=0,
        least="macos 11.0.0",
        relocations={
            _COMPACT: (("text", _UNSIGNED_64),),
            _FRAMES: (("frames", _UNSIGNED_64 | _EXTERNAL | _SUBTRACTOR), ("entry", _UNSIGNED_64 | _EXTERNAL)),
        },
    ),
}
# Name -> segment, flags, alignment (a power of two, None where the compiler's flags choose it).
_SECTIONS: Final[Mapping[str, tuple[str, int, int | None]]] = {
    "__text": ("__TEXT", 0x80000400, None),
    _COMPACT: ("__LD", 0x02000000, 3),
    _FRAMES: ("__TEXT", 0x6800000B, 3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A section: its number from 1, and what its header says."""

    number: int
    name: str
    address: int
    size: int
    offset: int
    alignment: int
    relocations: int
    relocation_count: int


def account(data: bytes, target: Target) -> Linked:
    """Check that an object is the shim and nothing else.

    Raises: ObjectError.
    """
    return _Object(data, _MACHINES[target.arch]).account()


class _Object:
    """An object whose load commands have not been read yet."""

    def __init__(self, data: bytes, machine: _Machine) -> None:
        self._data = data
        self._machine = machine
        self._book = Account(data)

    def account(self) -> Linked:
        """Read the commands in their order, and account for what each describes.

        Raises: ObjectError.
        """
        segment = unpack(_SEGMENT, self._data, _HEADER.size)
        count = segment[9]
        if not 1 <= count <= _MOST:
            raise refused(f"it has {count} sections")
        after = _HEADER.size + _SEGMENT.size + count * _SECTION.size
        places = list(self._sections(count))
        version_size, version = self._version(after)
        end = after + version_size + _SYMTAB.size + _DYSYMTAB.size
        fields = (self._machine.cpu, self._machine.subtype, _OBJECT, 4, end - _HEADER.size, _SUBSECTIONS_VIA_SYMBOLS, 0)
        self._book.expect(0, _HEADER.pack(_MAGIC, *fields), "the Mach-O header")
        self._segment(places, count)
        self._symbols(after + version_size, places)
        self._book.close(1 << max(4, places[0].alignment))
        usual = places[0].alignment in _USUAL_ALIGNMENTS
        varying = [] if version == self._machine.least else [version]
        varying += [] if usual else [f"alignment __text {1 << places[0].alignment}"]
        return Linked(producer="", varying=tuple(varying))

    def _sections(self, count: int) -> Iterator[_Place]:
        seen = set[str]()
        end = 0
        for number in range(1, count + 1):
            offset = _HEADER.size + _SEGMENT.size + (number - 1) * _SECTION.size
            row = unpack(_SECTION, self._data, offset)
            name, address, size, place, alignment, relocations, relocation_count = spelt(row[0]), *row[2:8]
            if name not in _SECTIONS or name in seen or (number == 1) is not (name == "__text"):
                raise refused(f"section {name!r}")
            seen.add(name)
            segment, flags, usual = _SECTIONS[name]
            if alignment > _LARGEST_ALIGNMENT or alignment != (alignment if usual is None else usual):
                raise refused(f"section {name!r} is aligned to 2**{alignment}")
            written = (name.encode(), segment.encode(), _aligned(end, alignment), size, place, alignment)
            rest = (relocations, relocation_count, flags, 0, 0, 0)
            self._book.expect(offset, _SECTION.pack(*written, *rest), f"section {name!r}'s header")
            self._book.take(place, size, f"section {name!r}")
            end = address + size
            yield _Place(
                number=number,
                name=name,
                address=address,
                size=size,
                offset=place,
                alignment=alignment,
                relocations=relocations,
                relocation_count=relocation_count,
            )

    def _segment(self, places: list[_Place], count: int) -> None:
        end = places[-1].address + places[-1].size
        size = _SEGMENT.size + count * _SECTION.size
        fields = (0, end, places[0].offset, end, _READ_WRITE_EXECUTE, _READ_WRITE_EXECUTE, count, 0)
        self._book.expect(_HEADER.size, _SEGMENT.pack(_LC_SEGMENT_64, size, b"", *fields), "the segment")
        for place in places:
            if place.offset != places[0].offset + place.address:
                raise refused(f"section {place.name!r} is not where its address puts it")

    def _version(self, offset: int) -> tuple[int, str]:
        """Account for the command that names the system; return its size, and how it is spelt."""
        command, _, *fields = unpack(_BUILD_VERSION, self._data, offset)
        if command == _LC_BUILD_VERSION:
            least = fields[1]
            written = _BUILD_VERSION.pack(_LC_BUILD_VERSION, _BUILD_VERSION.size, _MACOS, least, 0, 0)
        else:
            least = fields[0]
            written = _VERSION_MIN.pack(_LC_VERSION_MIN_MACOSX, _VERSION_MIN.size, least, 0)
        self._book.expect(offset, written, "the command that names the system")
        return len(written), f"macos {least >> 16}.{least >> 8 & 0xFF}.{least & 0xFF}"

    def _symbols(self, offset: int, places: list[_Place]) -> None:
        row = unpack(_SYMTAB, self._data, offset)
        symbols, count, strings, size = row[2:6]
        if not 1 <= count <= _MOST:
            raise refused(f"it has {count} symbols")
        command = _SYMTAB.pack(_LC_SYMTAB, _SYMTAB.size, symbols, count, strings, size)
        self._book.expect(offset, command, "the command for the symbols")
        # All symbols but the last are local, none is undefined; there are no other tables.
        numbers = (0, count - 1, count - 1, 1, count, 0, *[0] * 12)
        self._book.expect(
            offset + _SYMTAB.size, _DYSYMTAB.pack(_LC_DYSYMTAB, _DYSYMTAB.size, *numbers), "the second one"
        )
        names = Names(self._book.take(strings, size, "the table of names"), start=1, padding=8)
        rows = list(_SYMBOL.iter_unpack(self._book.take(symbols, count * _SYMBOL.size, "the symbol table")))
        for number, (name_at, kind, section, description, value) in enumerate(rows):
            name = names.at(name_at)
            # LLVM gives each section a label on aarch64.
            if number == count - 1:
                expected = (f"_{ENTRY}", _DEFINED_EXTERNAL, 1, 0, 0)
            elif number < len(places):
                expected = (f"ltmp{number}", _DEFINED, number + 1, 0, places[number].address)
            else:
                raise refused(f"symbol {name!r}")
            if (name, kind, section, description, value) != expected:
                raise refused(f"symbol {name!r}")
        names.close()
        frames = next((place.number - 1 for place in places if place.name == _FRAMES), 0)
        self._relocations(places, {"text": 1, "entry": count - 1, "frames": frames})

    def _relocations(self, places: list[_Place], numbers: Mapping[str, int]) -> None:
        for place in places:
            rows = self._machine.relocations.get(place.name, ())
            if place.relocation_count != len(rows) or (place.relocations and not rows):
                raise refused(f"section {place.name!r} has {place.relocation_count} relocations")
            if not rows:
                continue
            address = unpack(_RELOCATION, self._data, place.relocations)[0]
            at = 0 if place.name == _COMPACT else address
            written = b"".join(_RELOCATION.pack(at, word | numbers[what]) for what, word in rows)
            self._book.expect(place.relocations, written, f"section {place.name!r}'s relocations")


def _aligned(address: int, power: int) -> int:
    return address + -address % (1 << power)
