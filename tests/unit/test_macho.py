"""Mach-O objects -> the model."""

from __future__ import annotations

import struct

import pytest

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import Relocation, SectionRole
from stencilkit.objects import macho
from tests import objectfiles as of

BRANCH26, PAGE21, ADDEND = 2, 3, 10


def code(data: bytes = bytes(8), relocations: tuple[bytes, ...] = ()) -> of.Part:
    return of.Part("__text", data, of.CODE, relocations)


def test_sections_symbols_and_relocations_come_without_the_prefix() -> None:
    data = of.macho(
        of.MACHO_ARM64,
        [code(relocations=(of.macho_relocation(4, 1, BRANCH26, pcrel=True),))],
        [of.Name("__JIT_ENTRY", 1), of.Name("_PyFoo")],
    )
    (section,) = macho.parse(data, "_").sections
    assert (section.name, section.role, section.data, section.padding) == ("__text", SectionRole.CODE, bytes(8), 0)
    assert [(symbol.name, symbol.offset) for symbol in section.symbols] == [("_text", 0), ("_JIT_ENTRY", 0)]
    assert section.relocations == (Relocation(offset=4, kind="ARM64_RELOC_BRANCH26", symbol="PyFoo", addend=0),)


def test_an_addend_entry_belongs_to_the_next_relocation_only() -> None:
    minus_four = 0xFFFFFC
    relocations = (
        of.macho_relocation(0, minus_four, ADDEND, external=False),
        of.macho_relocation(0, 0, PAGE21, pcrel=True),
        of.macho_relocation(4, 0, PAGE21, pcrel=True),
    )
    (section,) = macho.parse(of.macho(of.MACHO_ARM64, [code(relocations=relocations)], [of.Name("_x")]), "_").sections
    assert [relocation.addend for relocation in section.relocations] == [-4, 0]


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_displacements_of_x86_hold_their_addend_and_count_from_their_end(kind: int) -> None:
    body = bytes(2) + struct.pack("<i", 12) + bytes(2)
    data = of.macho(of.MACHO_X86_64, [code(body, (of.macho_relocation(2, 0, kind, pcrel=True),))], [of.Name("_x")])
    assert macho.parse(data, "_").sections[0].relocations[0].addend == 12 - 4


def test_data_follows_code_with_a_gap_for_its_alignment() -> None:
    data = of.macho(
        of.MACHO_ARM64,
        [code(bytes(12)), of.Part("__const", b"abcd", address=16), of.Part("__cstring", b"x\0", address=20)],
        [of.Name("_a", 2, 18)],
    )
    _, const, strings = macho.parse(data, "_").sections
    assert (const.role, const.padding, strings.padding) == (SectionRole.DATA, 4, 0)
    assert [(symbol.name, symbol.offset) for symbol in const.symbols] == [("_const", 0), ("a", 2)]


def refers_to(section: str) -> bytes:
    """Make an object whose code refers to data by the number of its section."""
    relocation = of.macho_relocation(2, 2, 1, external=False, pcrel=True)
    body = bytes(2) + struct.pack("<i", 10) + bytes(2)
    return of.macho(of.MACHO_X86_64, [code(body, (relocation,)), of.Part(section, bytes(8), address=16)], [])


def test_a_relocation_against_a_section_carries_upstreams_displacement() -> None:
    """CPython puts a section of data at the size of the code, wherever it is: the addend says the difference."""
    text, strings = macho.parse(refers_to("__cstring"), "_").sections
    (found,) = text.relocations
    start_in_data = strings.padding
    assert found.symbol == "_cstring"
    assert start_in_data + found.addend == len(text.data) + 10 - 4


@pytest.mark.parametrize("section", ["__literal4", "__literal8", "__literal16", "__const"])
def test_numbers_that_a_stencil_would_read_from_elsewhere_are_refused(section: str) -> None:
    """LLVM 19 negates floats so for x86_64 macOS: _UNARY_NEGATIVE_FLOAT_INPLACE of CPython 3.15."""
    with pytest.raises(ObjectError, match=f"reads constants in section '{section}', .* from beside its data"):
        macho.parse(refers_to(section), "_")


def test_debug_sections_are_dropped_and_compact_unwind_is_kept_for_the_shim() -> None:
    data = of.macho(of.MACHO_ARM64, [code(), of.Part("__compact_unwind", bytes(32), of.DEBUG, address=8)], [])
    assert [section.name for section in macho.parse(data, "_").sections] == ["__text"]
    kept = macho.parse(data, "_", unwind=True).sections
    assert [section.name for section in kept] == ["__text", "__compact_unwind"]


@pytest.mark.parametrize(
    ("parts", "names", "message"),
    [
        ([of.Part("__const", b"abcd"), of.Part("__text", bytes(8), of.CODE, address=4)], [], "code behind data"),
        ([of.Part("__bss", b"", of.ZEROFILL, size=8)], [], "zero-filled"),
        ([code(), of.Part("__data", b"abcd", address=8, segment="__DATA")], [], "'__data' is writable"),
        ([code(relocations=(of.macho_relocation(0, 7, BRANCH26),))], [], "wants symbol 7 of 0"),
        ([code(relocations=(of.macho_relocation(0, 3, 0, external=False),))], [], "wants section 3 of 1"),
        ([of.Part("__text", bytes(8), of.CODE, size=1 << 40)], [], "is outside the file"),
        ([of.Part("__text", bytes(8), of.CODE, address=1 << 40)], [], "is at 0x10000000000"),
    ],
)
def test_what_no_stencil_can_hold_is_refused(parts: list[of.Part], names: list[of.Name], message: str) -> None:
    with pytest.raises(ObjectError, match=message):
        macho.parse(of.macho(of.MACHO_ARM64, parts, names), "_")


@pytest.mark.parametrize(("name", "data"), [("__const", b"abcd"), ("__data", b"")])
def test_constants_with_addresses_and_empty_sections_lie_in_a_writable_segment_too(name: str, data: bytes) -> None:
    part = of.Part(name, data, address=8, segment="__DATA")
    _, section = macho.parse(of.macho(of.MACHO_ARM64, [code(), part], []), "_").sections
    assert (section.role, section.data) == (SectionRole.DATA, data)


def test_other_machines_and_formats_are_refused() -> None:
    with pytest.raises(ObjectError, match="for a machine that has a JIT"):
        macho.parse(of.macho(18, [code()], []), "_")
    with pytest.raises(ObjectError, match="the Mach-O header is outside"):
        macho.parse(b"\xcf\xfa\xed\xfe", "_")
