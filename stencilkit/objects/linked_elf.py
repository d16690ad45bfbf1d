"""Is an ELF object the shim and nothing else? A closed list of sections, symbols and relocations (gABI, ELF-64)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.model.target import Target
from stencilkit.objects.bookkeeping import ENTRY, SOURCE, Account, Linked, Names, producer, refused, unpack

_HEADER: Final = struct.Struct("<16s2HI3QI6H")
_IDENT: Final = b"\x7fELF\x02\x01\x01"
# sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info, sh_addralign, sh_entsize
_SECTION: Final = struct.Struct("<2I4Q2I2Q")
# st_name, st_info, st_other, st_shndx, st_value, st_size
_SYMBOL: Final = struct.Struct("<I2BH2Q")
_RELOCATION: Final = struct.Struct("<2Qq")
_ET_REL: Final = 1
_ABSOLUTE: Final = 0xFFF1
_FILE, _SECTION_SYMBOL, _NO_TYPE, _GLOBAL_FUNCTION = 4, 3, 0, 0x12
_LARGEST_GAP: Final = 16
# More than are on the list: what follows must not be asked to make sense of thousands.
_MOST: Final = 64
_USUAL_ALIGNMENT: Final = 4
_ALIGNMENTS: Final = (4, 8, 16, 32, 64)
# GNU_PROPERTY_X86_FEATURE_1_AND and GNU_PROPERTY_AARCH64_FEATURE_1_AND, of -fcf-protection and -mbranch-protection.
_PROPERTY: Final = struct.Struct("<3I4s4I")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """A processor: e_machine, the types that .eh_frame may have, the one relocation in it, the tag of its property.

    `mapping` are the symbols that say where code and data begin, None where there are none.
    """

    number: int
    unwind: tuple[int, ...]
    relocation: int
    feature: int
    mapping: tuple[str, str] | None = None


# x86-64 psABI: SHT_X86_64_UNWIND, R_X86_64_PC32; AArch64 ELF ABI: SHT_PROGBITS, R_AARCH64_PREL32, $x and $d.
_MACHINES: Final = {
    "x86_64": _Machine(number=62, unwind=(0x70000001,), relocation=2, feature=0xC0000002),
    "aarch64": _Machine(number=183, unwind=(1,), relocation=261, feature=0xC0000000, mapping=("$x", "$d")),
}
# What e_ident says of the system behind that (gABI): ELFOSABI_NONE, ELFOSABI_FREEBSD.
_SYSTEMS: Final = {"": 0, "freebsd": 9}
# Name -> sh_type, sh_flags, sh_addralign, sh_entsize; the other fields follow from the rest of the file.
_SECTIONS: Final[Mapping[str, tuple[int, int, int, int]]] = {
    ".strtab": (3, 0, 1, 0),
    ".text": (1, 0x6, 0, 0),
    ".comment": (1, 0x30, 1, 1),
    ".note.GNU-stack": (1, 0, 1, 0),
    ".note.gnu.property": (7, 0x2, 8, 0),
    ".ARM.attributes": (0x70000003, 0, 1, 0),
    ".eh_frame": (1, 0x2, 8, 0),
    ".rela.eh_frame": (4, 0x40, 8, 24),
    ".llvm_addrsig": (0x6FFF4C03, 0x80000000, 1, 0),
    ".symtab": (2, 0, 8, 24),
}
_NEEDED: Final = (".strtab", ".text", ".comment", ".note.GNU-stack", ".eh_frame", ".rela.eh_frame", ".symtab")
_EMPTY: Final = (".note.GNU-stack", ".llvm_addrsig")


# "Build Attributes for the Arm 64-bit Architecture": size, vendor, optional, ULEB128, and tag with value thrice
_ATTRIBUTES: Final = struct.Struct("<I23s2B6B")


def _numbered(values: bytes) -> Iterator[int]:
    """Put the number of its tag before each of three values."""
    for tag, value in zip(range(3), values.ljust(3, b"\0"), strict=False):
        yield from (tag, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A section: its number, where it is in the file, its size, and what its header says beside."""

    number: int
    offset: int
    size: int
    kind: int
    link: int
    info: int
    alignment: int


def account(data: bytes, target: Target) -> Linked:
    """Check that an object is the shim and nothing else.

    Raises: ObjectError.
    """
    return _Object(data, _MACHINES[target.arch], _SYSTEMS[target.system]).account()


class _Object:
    """An object whose section table has been read."""

    def __init__(self, data: bytes, machine: _Machine, system: int) -> None:
        self._machine = machine
        self._book = Account(data)
        header = unpack(_HEADER, data, 0)
        place, count, names = header[6], header[12], header[13]
        fields = (_ET_REL, machine.number, 1, 0, 0, place, 0, _HEADER.size, 0, 0, _SECTION.size, count, names)
        ident = (_IDENT + bytes([system])).ljust(16, b"\0")
        self._book.expect(0, _HEADER.pack(ident, *fields), "the ELF header")
        if not names < count <= _MOST:
            raise refused(f"it has {count} sections")
        table = self._book.take(place, count * _SECTION.size, "the section table")
        rows = list(_SECTION.iter_unpack(table))
        self._names = Names(self._book.take(rows[names][4], rows[names][5], "the table of names"), start=1)
        self._sections = dict(self._read(rows))
        if self._sections[".strtab"].number != names or any(rows[0]):
            raise refused("its first section, or that of the names, is another one")

    def _read(self, rows: list[tuple[int, ...]]) -> Iterator[tuple[str, _Place]]:
        seen = set[str]()
        for number, row in enumerate(rows[1:], start=1):
            name_at, kind, flags, address, offset, size, link, info, alignment, entry_size = row
            name = self._names.at(name_at)
            if name not in _SECTIONS or name in seen:
                raise refused(f"section {name!r}")
            seen.add(name)
            of_kind, of_flags, of_alignment, of_entries = _SECTIONS[name]
            kinds = self._machine.unwind if name == ".eh_frame" else (of_kind,)
            fits = alignment in (_ALIGNMENTS if not of_alignment else (of_alignment,))
            if kind not in kinds or (flags, address, entry_size) != (of_flags, 0, of_entries) or not fits:
                raise refused(
                    f"section {name!r} has another type, flags, address or alignment than a compiler gives it"
                )
            if name in _EMPTY:
                if size:
                    raise refused(f"section {name!r} is not empty")
                self._book.take(offset, 0, f"section {name!r}")
            yield (
                name,
                _Place(number=number, offset=offset, size=size, kind=kind, link=link, info=info, alignment=alignment),
            )
        if missing := [name for name in _NEEDED if name not in seen]:
            raise refused(f"section {missing[0]!r} is missing")

    def account(self) -> Linked:
        """Account for the contents of every section.

        Raises: ObjectError.
        """
        places = self._sections
        text = places[".text"]
        self._contents(".text")
        self._contents(".eh_frame")
        comment = self._contents(".comment")
        if comment[:1] != b"\0" or comment[-1:] != b"\0" or len(comment) < 2:
            raise refused("section '.comment' is not the name of one compiler")
        name, _ = producer(comment[1:-1])
        first_global = self._symbols()
        symtab, frames = places[".symtab"].number, places[".eh_frame"].number
        links = {".symtab": (places[".strtab"].number, first_global), ".rela.eh_frame": (symtab, frames)}
        links[".llvm_addrsig"] = (symtab, 0)
        for section, place in places.items():
            if (place.link, place.info) != links.get(section, (0, 0)):
                raise refused(f"section {section!r} refers to other sections than it should")
        varying = [*self._property(), *self._attributes()]
        if text.alignment != _USUAL_ALIGNMENT:
            varying.append(f"alignment .text {text.alignment}")
        self._names.close()
        # The section table is aligned to 8, code to what it asks for.
        self._book.close(max(_LARGEST_GAP, text.alignment))
        return Linked(producer=name, varying=tuple(varying))

    def _contents(self, name: str) -> bytes:
        place = self._sections[name]
        return self._book.take(place.offset, place.size, f"section {name!r}")

    def _property(self) -> Iterator[str]:
        if ".note.gnu.property" in self._sections:
            place = self._sections[".note.gnu.property"]
            note = self._contents(".note.gnu.property")
            features = int.from_bytes(note[24:28], "little")
            written = _PROPERTY.pack(4, 16, 5, b"GNU\0", self._machine.feature, 4, features, 0)
            if note != written or place.link or place.info:
                raise refused("section '.note.gnu.property' is not one property of the processor")
            yield f"property {features:#x}"

    def _attributes(self) -> Iterator[str]:
        """Check aarch64's build attributes (-mbranch-protection with LLVM 21 and later): BTI, PAC and GCS."""
        if ".ARM.attributes" in self._sections:
            contents = self._contents(".ARM.attributes")
            values = contents[-5::2]
            written = b"A" + _ATTRIBUTES.pack(_ATTRIBUTES.size, b"aeabi_feature_and_bits", 1, 0, *_numbered(values))
            if contents != written or self._machine.mapping is None:
                raise refused("section '.ARM.attributes' is not the three features that a linker may rely on")
            yield f"attributes {values.hex()}"

    def _symbols(self) -> int:
        """Check the symbols and the relocation; return the number of the first global symbol."""
        rows = list(_SYMBOL.iter_unpack(self._whole(".symtab", _SYMBOL.size)))
        text = self._sections[".text"]
        seen = set[tuple[int, ...]]()
        section_symbol = 0
        if not rows or any(rows[0]):
            raise refused("its first symbol")
        for number, row in enumerate(rows[1:], start=1):
            name_at, info, other, section, value, size = row
            name = self._names.at(name_at) if name_at else ""
            if (name_at and not name) or row[1:] in seen or not self._is_known(name, info, other, section, value, size):
                raise refused(f"symbol {name!r}")
            seen.add(row[1:])
            if info == _SECTION_SYMBOL:
                section_symbol = number
        function = (_GLOBAL_FUNCTION, 0, text.number, 0, text.size)
        if function != rows[-1][1:]:
            raise refused(f"its last symbol is not {ENTRY}")
        relocations = self._whole(".rela.eh_frame", _RELOCATION.size)
        offset = int.from_bytes(relocations[:8], "little")
        wanted = _RELOCATION.pack(offset, section_symbol << 32 | self._machine.relocation, 0)
        if relocations != wanted or not section_symbol:
            raise refused("its relocations are not the one from .eh_frame to .text")
        return len(rows) - 1

    def _whole(self, name: str, size: int) -> bytes:
        contents = self._contents(name)
        if len(contents) % size or len(contents) // size > _MOST:
            raise refused(f"section {name!r} has {len(contents)} bytes")
        return contents

    def _is_known(self, name: str, info: int, other: int, section: int, value: int, size: int) -> bool:  # a record
        text = self._sections[".text"]
        known: dict[tuple[str, int, int], tuple[int, int]] = {
            (SOURCE, _FILE, _ABSOLUTE): (0, 0),
            ("", _SECTION_SYMBOL, text.number): (0, 0),
            (ENTRY, _GLOBAL_FUNCTION, text.number): (0, text.size),
        }
        if self._machine.mapping is not None:
            code, data = self._machine.mapping
            known[code, _NO_TYPE, text.number] = (0, 0)
            for place in (".comment", ".eh_frame", ".note.gnu.property", ".ARM.attributes"):
                if place in self._sections:
                    known[data, _NO_TYPE, self._sections[place].number] = (0, 0)
        return other == 0 and known.get((name, info, section)) == (value, size)
