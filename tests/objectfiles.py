"""Small object files, assembled here: ELF, Mach-O and COFF, as their specifications lay them out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

MACHO_X86_64, MACHO_ARM64 = 0x01000007, 0x0100000C
COFF_I386, COFF_AMD64, COFF_ARM64 = 0x014C, 0x8664, 0xAA64
ELF_X86_64, ELF_AARCH64 = 62, 183

# Mach-O section attributes and types
PURE_INSTRUCTIONS, SOME_INSTRUCTIONS, DEBUG = 0x80000000, 0x400, 0x02000000
CODE = PURE_INSTRUCTIONS | SOME_INSTRUCTIONS
ZEROFILL = 1
# COFF section characteristics
COFF_CODE, COFF_RDATA, COFF_REMOVED = 0x60500020, 0x40300040, 0x00100800
COFF_BSS, COFF_DATA, COFF_DISCARDABLE = 0xC0300080, 0xC0300040, 0x42100040


@dataclass(frozen=True)
class Part:
    """A section: relocations are 8 bytes each in Mach-O, 10 in COFF, and ready to be written."""

    name: str
    data: bytes = b""
    flags: int = 0
    relocations: Sequence[bytes] = ()
    address: int = 0
    size: int | None = None
    segment: str = "__TEXT"


@dataclass(frozen=True)
class Name:
    """A symbol; `section` counts from 1, and 0 says that it is defined elsewhere."""

    text: str
    section: int = 0
    value: int = 0
    auxiliary: Sequence[bytes] = field(default=())


def macho_relocation(address: int, number: int, kind: int, *, external: bool = True, pcrel: bool = False) -> bytes:
    return struct.pack("<iI", address, number | pcrel << 24 | 2 << 25 | external << 27 | kind << 28)


def coff_relocation(address: int, symbol: int, kind: int) -> bytes:
    return struct.pack("<IIH", address, symbol, kind)


def macho(cpu: int, parts: Sequence[Part], names: Sequence[Name]) -> bytes:
    """Assemble a Mach-O object: header, LC_SEGMENT_64, LC_SYMTAB, contents, relocations, symbols, strings."""
    segment_size = 72 + 80 * len(parts)
    content = 32 + segment_size + 24
    bodies, relocations, headers = b"", b"", b""
    start = content + sum(len(part.data) for part in parts)
    for part in parts:
        size = len(part.data) if part.size is None else part.size
        headers += struct.pack(
            "<16s16sQQ8I", part.name.encode(), part.segment.encode(), part.address, size, content + len(bodies), 0,
            start + len(relocations) if part.relocations else 0, len(part.relocations), part.flags, 0, 0, 0,
        )  # fmt: skip
        bodies += part.data
        relocations += b"".join(part.relocations)
    symbols, strings = b"", b"\0"
    for name in names:
        symbols += struct.pack("<IBBHQ", len(strings), 0x0F if name.section else 0x01, name.section, 0, name.value)
        strings += name.text.encode() + b"\0"
    table = start + len(relocations)
    segment = struct.pack(
        "<2I16s4Q4I", 0x19, segment_size, b"", 0, len(bodies), content, len(bodies), 7, 7, len(parts), 0
    )
    symtab = struct.pack("<6I", 2, 24, table, len(names), table + len(symbols), len(strings))
    header = struct.pack("<8I", 0xFEEDFACF, cpu, 0, 1, 2, segment_size + 24, 0, 0)
    return header + segment + headers + symtab + bodies + relocations + symbols + strings


def coff(machine: int, parts: Sequence[Part], names: Sequence[Name]) -> bytes:
    """Assemble a COFF object: header, section table, contents with their relocations, symbols, strings."""
    strings = b""

    def offset_of(text: str) -> int:
        nonlocal strings
        strings += text.encode() + b"\0"
        return 4 + len(strings) - len(text) - 1

    position = 20 + 40 * len(parts)
    headers, bodies = b"", b""
    for part in parts:
        short = part.name.encode() if len(part.name) <= 8 else f"/{offset_of(part.name)}".encode()
        size = len(part.data) if part.size is None else part.size
        raw = position + len(bodies)
        bodies += part.data
        relocations = position + len(bodies)
        bodies += b"".join(part.relocations)
        headers += struct.pack(
            "<8s6I2HI", short, 0, 0, size, raw if part.data else 0, relocations if part.relocations else 0, 0,
            len(part.relocations), 0, part.flags,
        )  # fmt: skip
    symbols, count = b"", 0
    for name in names:
        text = name.text.encode()
        spelt = text.ljust(8, b"\0") if len(text) <= 8 else struct.pack("<II", 0, offset_of(name.text))
        storage = 2 if not name.auxiliary else 3
        symbols += spelt + struct.pack("<IhHBB", name.value, name.section, 0, storage, len(name.auxiliary))
        symbols += b"".join(name.auxiliary)
        count += 1 + len(name.auxiliary)
    header = struct.pack("<2H3I2H", machine, len(parts), 0, position + len(bodies), count, 0, 0)
    return header + headers + bodies + symbols + struct.pack("<I", 4 + len(strings)) + strings


def elf(
    machine: int,
    code: bytes,
    relocations: Sequence[tuple[int, int, int, int]],
    names: Sequence[Name],
    title: str = ".text",
) -> bytes:
    """Assemble an ELF object with .text (or what `title` says), its relocations, .symtab, .strtab, .shstrtab.

    A relocation is (offset, index of the symbol from 1, type, addend).
    """
    titles = ["", title, f".rela{title}", ".symtab", ".strtab", ".shstrtab"]
    strings = b"\0" + b"".join(name.text.encode() + b"\0" for name in names)
    symbols, position = bytes(24), 1
    for name in names:
        symbols += struct.pack("<IBBHQQ", position, 0x10, 0, name.section, name.value, 0)
        position += len(name.text) + 1
    rela = b"".join(struct.pack("<QQq", offset, symbol << 32 | kind, add) for offset, symbol, kind, add in relocations)
    shstr = b"".join(title.encode() + b"\0" for title in titles)
    bodies = [b"", code, rela, symbols, strings, shstr]
    # type, flags, link, info, entry size
    rows = [(0, 0, 0, 0, 0), (1, 6, 0, 0, 0), (4, 0x40, 3, 1, 24), (2, 0, 4, 1, 24), (3, 0, 0, 0, 0), (3, 0, 0, 0, 0)]
    content, headers, place = b"", b"", 0
    for text, body, (kind, flags, link, info, entry) in zip(titles, bodies, rows, strict=True):
        headers += struct.pack("<2I4Q2I2Q", place, kind, flags, 0, 64 + len(content), len(body), link, info, 1, entry)
        content += body
        place += len(text) + 1
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<2HI3QI6H", 1, machine, 1, 0, 0, 64 + len(content), 0, 64, 0, 0, 64, len(rows), 5)
    return header + content + headers
