"""Shim objects for ELF, made here field by field: the shim alone is accepted, and all that is more is named."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from stencilkit import objects, targets
from stencilkit.errors import ObjectError
from stencilkit.objects.bookkeeping import ENTRY, SOURCE
from tests.shims import assert_more_than_the_shim

TARGET = targets.resolve(targets.load(), "x86_64-unknown-linux-gnu").target
ARM = targets.resolve(targets.load(), "aarch64-unknown-linux-gnu").target
HEADER, SECTION = struct.Struct("<16s2HI3QI6H"), struct.Struct("<2I4Q2I2Q")
CODE = bytes.fromhex("f30f1efa c3")


@dataclass(slots=True)
class Section:
    """A section: gABI's fields, with its content in place of offset and size."""

    name: str
    kind: int
    flags: int
    data: bytes
    align: int = 1
    entry: int = 0
    link: str = ""
    info: int = 0


@dataclass(slots=True)
class Shim:
    """What clang writes for Tools/jit/shim.c."""

    sections: dict[str, Section] = field(default_factory=dict)
    symbols: list[tuple[str, int, str, int, int]] = field(default_factory=list)
    relocation: tuple[int, int, int] = (32, 2, 0)

    def add(self, *sections: Section) -> None:
        self.sections |= {section.name: section for section in sections}

    def write(self) -> bytes:
        names = ["", *self.sections]
        strings = b"\0" + b"".join(name.encode() + b"\0" for name in (*names[1:], SOURCE, ENTRY))
        number = {name: index for index, name in enumerate(names)} | {"*": 0xFFF1}
        symbols = bytes(24)
        for name, info, where, value, size in self.symbols:
            at = strings.index(b"\0" + name.encode() + b"\0") + 1 if name else 0
            symbols += struct.pack("<I2BH2Q", at, info, 0, number[where], value, size)
        offset, kind, addend = self.relocation
        held = {
            ".strtab": strings,
            ".symtab": symbols,
            ".rela.eh_frame": struct.pack("<2Qq", offset, 2 << 32 | kind, addend),
        }
        body, rows = b"", bytes(64)
        for section in self.sections.values():
            data = section.data or held.get(section.name, b"")
            body += bytes(-(64 + len(body)) % section.align)
            rows += SECTION.pack(
                strings.index(b"\0" + section.name.encode() + b"\0") + 1,
                *(section.kind, section.flags, 0, 64 + len(body), len(data)),
                *(number.get(section.link, 0), section.info, section.align, section.entry),
            )
            body += data
        body += bytes(-len(body) % 8)
        ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
        fields = (1, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(names), number[".strtab"])
        return HEADER.pack(ident, *fields) + body + rows


@pytest.fixture
def shim() -> Shim:
    made = Shim()
    made.add(
        Section(".strtab", 3, 0, b""),
        Section(".text", 1, 6, CODE, align=4),
        Section(".comment", 1, 0x30, b"\0clang version 19.1.7\0", entry=1),
        Section(".note.GNU-stack", 1, 0, b""),
        Section(".eh_frame", 0x70000001, 2, bytes(range(1, 57)), align=8),
        Section(".rela.eh_frame", 4, 0x40, b"", align=8, entry=24, link=".symtab", info=5),
        Section(".symtab", 2, 0, b"", align=8, entry=24, link=".strtab", info=3),
    )
    made.symbols = [(SOURCE, 4, "*", 0, 0), ("", 3, ".text", 0, 0), (ENTRY, 0x12, ".text", 0, len(CODE))]
    return made


def test_the_shim_alone_is_accepted(shim: Shim) -> None:
    found = objects.account(shim.write(), TARGET)
    assert (found.producer, found.varying) == ("clang version 19.1.7", ())


def test_what_may_vary_is_listed(shim: Shim) -> None:
    shim.sections[".text"].align = 16
    shim.add(Section(".note.gnu.property", 7, 2, struct.pack("<3I4s4I", 4, 16, 5, b"GNU\0", 0xC0000002, 4, 3, 0), 8))
    assert objects.account(shim.write(), TARGET).varying == ("property 0x3", "alignment .text 16")


Change = Callable[[Shim], object]


def section(name: str, **fields: object) -> Change:
    def change(shim: Shim) -> None:
        for key, value in fields.items():
            setattr(shim.sections[name], key, value)

    return change


MORE: dict[str, tuple[Change, str]] = {
    "a section more": (lambda shim: shim.add(Section(".init", 1, 6, b"\xc3")), "section '.init'"),
    "many sections": (
        lambda shim: shim.add(*(Section(f".s{number}", 1, 0, b"") for number in range(64))),
        "it has 72 sections",
    ),
    "a section less": (lambda shim: shim.sections.pop(".note.GNU-stack"), "section '.note.GNU-stack' is missing"),
    "writable code": (section(".text", flags=7), "'.text' has another type, flags, address or alignment"),
    "an odd alignment": (section(".text", align=3), "'.text' has another type, flags, address or alignment"),
    "what should be empty": (section(".note.GNU-stack", data=b"x"), "section '.note.GNU-stack' is not empty"),
    "another comment": (section(".comment", data=b"xclang version 19.1.7\0"), "not the name of one compiler"),
    "two compilers": (section(".comment", data=b"\0clang version 19.1.7\0GCC\0"), "its compiler is named"),
    "another link": (section(".rela.eh_frame", link=".strtab"), "'.rela.eh_frame' refers to other sections"),
    "another property": (
        lambda shim: shim.add(Section(".note.gnu.property", 7, 2, struct.pack("<8I", 4, 16, 5, 1, 2, 4, 3, 0), 8)),
        "'.note.gnu.property' is not one property of the processor",
    ),
    "attributes of another processor": (
        lambda shim: shim.add(Section(".ARM.attributes", 0x70000003, 0, b"A" * 36)),
        "'.ARM.attributes' is not the three features",
    ),
    "no symbols": (section(".symtab", data=b"\1" * 24), "its first symbol"),
    "half a symbol": (section(".symtab", data=bytes(25)), "section '.symtab' has 25 bytes"),
    "a constructor": (
        lambda shim: shim.symbols.insert(0, (ENTRY, 0x12, ".comment", 0, 4)),
        f"symbol '{ENTRY}'",
    ),
    "a symbol twice": (lambda shim: shim.symbols.insert(0, shim.symbols[0]), f"symbol '{SOURCE}'"),
    "an entry elsewhere": (
        lambda shim: shim.symbols.__setitem__(2, (ENTRY, 0x12, ".text", 4, 1)),
        f"symbol '{ENTRY}'",
    ),
    "no entry": (lambda shim: shim.symbols.pop(), f"its last symbol is not {ENTRY}"),
    "another relocation": (lambda shim: setattr(shim, "relocation", (32, 1, 0)), "its relocations are not the one"),
    "an addend": (lambda shim: setattr(shim, "relocation", (32, 2, 8)), "its relocations are not the one"),
}


@pytest.mark.parametrize("name", MORE)
def test_what_is_more_or_other_is_refused(name: str, shim: Shim) -> None:
    change, what = MORE[name]
    change(shim)
    assert_more_than_the_shim(shim.write(), TARGET, what)


def test_the_shim_of_another_processor_is_refused(shim: Shim) -> None:
    with pytest.raises(ObjectError, match="the ELF header has"):
        objects.account(shim.write(), ARM)


def test_every_changed_byte_is_refused_or_is_code_or_a_frame(shim: Shim) -> None:
    """Code and frames are digested by themselves; the compiler's name may be anybody's."""
    data = shim.write()
    free = [data.index(part) + at for part in (CODE, bytes(range(1, 57))) for at in range(len(part))]
    accepted = []
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            objects.account(changed, TARGET)
        except ObjectError:
            continue
        accepted.append(place)
    comment = data.index(b"clang version")
    relocated = data.index(struct.pack("<2Q", 32, 2 << 32 | 2))
    others = [place for place in accepted if place not in free and not comment <= place < comment + 20]
    # Where in .eh_frame the relocation is, is digested with it.
    assert all(relocated <= place < relocated + 8 for place in others), others
