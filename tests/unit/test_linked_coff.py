"""Shim objects for COFF, made here field by field: the shim alone is accepted, and all that is more is named."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from stencilkit import objects, targets
from stencilkit.errors import ObjectError
from stencilkit.objects.bookkeeping import ENTRY, SOURCE
from tests.shims import assert_more_than_the_shim

TARGET = targets.resolve(targets.load(), "x86_64-pc-windows-msvc").target
SECTION, SYMBOL, RELOCATION = struct.Struct("<8s6I2HI"), struct.Struct("<8sIhH2B"), struct.Struct("<2IH")
AUXILIARY = struct.Struct("<I2HIHB3x")
CODE = bytes.fromhex("554889e5 5dc3")
# Three relocations against .text, .text and .xdata: begin, end, and unwind codes.
PDATA = ((0, ".text", 3), (4, ".text", 3), (8, ".xdata", 3))


@dataclass(slots=True)
class Section:
    """A section: its name, its flags, its content, and what its relocations are against."""

    name: str
    flags: int
    data: bytes = b""
    relocations: tuple[tuple[int, str, int], ...] = ()
    # What the header says of their place where there are none.
    place: int = 0


@dataclass(slots=True)
class Shim:
    """What clang writes for Tools/jit/shim.c."""

    sections: list[Section] = field(default_factory=list)
    feature: int = 0
    source: str = SOURCE
    more_symbols: int = 0
    header_place: int = 0

    def find(self, name: str) -> Section:
        return next(section for section in self.sections if section.name == name)

    def write(self) -> bytes:
        strings = bytearray(4)

        def spelt(name: str, prefix: str = "") -> bytes:
            if len(name) <= 8:
                return name.encode()
            strings.extend(name.encode() + b"\0")
            at = len(strings) - len(name) - 1
            return f"/{at}".encode() if prefix else struct.pack("<II", 0, at)

        start = 20 + 40 * len(self.sections)
        headers, body = b"", b""
        for section in self.sections:
            place = start + len(body)
            body += section.data
            relocations = start + len(body)
            for at, against, kind in section.relocations:
                index = 2 * [one.name for one in self.sections].index(against)
                body += RELOCATION.pack(at, index, kind)
            headers += SECTION.pack(
                *(spelt(section.name, "/"), 0, 0, len(section.data), place if section.data else self.header_place),
                *(relocations if section.relocations else section.place, 0, len(section.relocations), 0, section.flags),
            )
        symbols = b""
        for number, section in enumerate(self.sections, start=1):
            symbols += SYMBOL.pack(spelt(section.name), 0, number, 0, 3, 1)
            checksum = zlib.crc32(section.data, 0xFFFFFFFF) ^ 0xFFFFFFFF
            symbols += AUXILIARY.pack(len(section.data), len(section.relocations), 0, checksum, number, 0)
        symbols += SYMBOL.pack(b"@feat.00", self.feature, -1, 0, 3, 0)
        symbols += SYMBOL.pack(spelt(ENTRY), 0, 1, 0x20, 2, 0)
        symbols += SYMBOL.pack(b".file", 0, -2, 0, 0x67, 1) + self.source.encode().ljust(18, b"\0")
        symbols += bytes(18) * self.more_symbols
        struct.pack_into("<I", strings, 0, len(strings))
        count = len(symbols) // 18
        header = struct.pack("<2H3I2H", 0x8664, len(self.sections), 0, start + len(body), count, 0, 0)
        return header + headers + body + symbols + bytes(strings)


def codeview(name: bytes = b"clang version 19.1.7", flags: int = 0x4000) -> bytes:
    """Record a compiler (microsoft-pdb, cvinfo.h: S_OBJNAME and S_COMPILE3)."""
    layout = struct.Struct("<3I 2H2I 2HI H8H")
    record = layout.size - 26 + len(name) + 1
    record += -(record + 2) % 4
    numbers = (4, 0xF1, 14 + record, 10, 0x1101, 0, 0, record, 0x113C, flags, 0xD0, 19, 1, 7, 0, 19017, 0, 0, 0)
    return (layout.pack(*numbers) + name).ljust(26 + record, b"\0")


@pytest.fixture
def shim() -> Shim:
    sections = [
        Section(".text", 0x60300020, CODE),
        Section(".data", 0xC0300040),
        Section(".bss", 0xC0300080),
        Section(".xdata", 0x40300040, bytes.fromhex("0105 0203 0503 0150")),
        Section(".debug$S", 0x42300040, codeview()),
        Section(".pdata", 0x40300040, bytes(12), PDATA),
        Section(".llvm_addrsig", 0x00100800),
    ]
    return Shim(sections=sections)


def test_the_shim_alone_is_accepted(shim: Shim) -> None:
    found = objects.account(shim.write(), TARGET)
    assert (found.producer, found.varying) == ("clang version 19.1.7", ())
    shim.find(".text").flags = 0x60500020
    assert objects.account(shim.write(), TARGET).varying == ("alignment .text 16",)


Change = Callable[[Shim], object]


def section(title: str, /, **fields: object) -> Change:
    def change(shim: Shim) -> None:
        found = shim.find(title)
        for key, value in fields.items():
            setattr(found, key, value)

    return change


def shift(**fields: object) -> Change:
    def change(shim: Shim) -> None:
        for key, value in fields.items():
            setattr(shim, key, value)

    return change


MORE: dict[str, tuple[Change, str]] = {
    "a section more": (lambda shim: shim.sections.append(Section(".CRT$XCU", 0x40300040, b"x")), "section '.CRT$XCU'"),
    "a section twice": (lambda shim: shim.sections.append(Section(".xdata", 0x40300040, b"x")), "section '.xdata'"),
    "many sections": (lambda shim: shim.sections.extend([Section(".x", 0)] * 10), "it has 17 sections"),
    "no sections": (lambda shim: shim.sections.clear(), "it has 0 sections"),
    "code behind data": (lambda shim: shim.sections.reverse(), "its first section is not the code"),
    "no code": (section(".text", data=b""), "its first section is not the code"),
    "data": (section(".data", data=b"x"), "section '.data' has characteristics 0xc0300040 and 1 bytes"),
    "writable code": (section(".text", flags=0xE0300020), "section '.text' has characteristics 0xe0300020"),
    "data aligned to a page": (section(".xdata", flags=0x40D00040), "section '.xdata' has characteristics 0x40d00040"),
    "zeroes with a place": (shift(header_place=20), "section '.bss' has a place in the file"),
    "a name with more": (section(".data", name=".data\0x"), "section '.data' has more in its name"),
    "a name that is no number": (section(".data", name="/x"), "section '/x'"),
    "a name with zeroes before": (section(".data", name="/04"), "section '/04'"),
    "relocations of code": (section(".text", relocations=((0, ".text", 4),)), "section '.text' has 1 relocations"),
    "a relocation less": (section(".pdata", relocations=PDATA[1:]), "a relocation of section '.pdata' has"),
    "a place for relocations": (section(".xdata", place=300), "section '.xdata' names a place for relocations"),
    "another relocation": (
        section(".pdata", relocations=(*PDATA[:2], (8, ".text", 3))),
        "a relocation of section '.pdata' has",
    ),
    "other features": (shift(feature=1), "symbol '@feat.00' has"),
    "another source": (shift(source="evil.c"), "symbol '.file' has"),
    "a symbol more": (shift(more_symbols=1), "symbols"),
    "flags of a compiler": (section(".debug$S", data=codeview(flags=1)), "section '.debug$S' has flags 0x1"),
    "more behind the compiler": (
        section(".debug$S", data=codeview() + b"more"),
        "section '.debug$S' is not the name of one compiler",
    ),
    "another compiler": (section(".debug$S", data=codeview(b"GCC: 14")), "its compiler is named"),
}


@pytest.mark.parametrize("name", MORE)
def test_what_is_more_or_other_is_refused(name: str, shim: Shim) -> None:
    change, what = MORE[name]
    change(shim)
    assert_more_than_the_shim(shim.write(), TARGET, what)


def test_every_changed_byte_is_refused(shim: Shim) -> None:
    """What is loaded has a checksum beside it."""
    data = shim.write()
    accepted = []
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            objects.account(changed, TARGET)
        except ObjectError:
            continue
        accepted.append(place)
    assert accepted == []
