"""COFF objects -> the model."""

from __future__ import annotations

import struct

import pytest

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import Relocation, Section, SectionRole
from stencilkit.objects import coff
from tests import objectfiles as of

REL32, I386_DIR32, I386_REL32, ARM64_PAGE21 = 4, 6, 20, 4


def code(data: bytes = bytes(8), relocations: tuple[bytes, ...] = ()) -> of.Part:
    return of.Part(".text", data, of.COFF_CODE, relocations)


def one(machine: int, parts: list[of.Part], names: list[of.Name], prefix: str = "") -> Section:
    (section,) = coff.parse(of.coff(machine, parts, names), prefix).sections
    return section


def test_addends_lie_in_the_code_and_displacements_count_from_their_end() -> None:
    body = struct.pack("<ii", 100, -100)
    relocations = (of.coff_relocation(0, 0, REL32), of.coff_relocation(4, 0, REL32))
    section = one(of.COFF_AMD64, [code(body, relocations)], [of.Name("x")])
    assert [relocation.addend for relocation in section.relocations] == [96, -104]


def test_addresses_of_i686_are_unsigned() -> None:
    body = struct.pack("<I", 0xFFFFFFFF) + bytes(4)
    relocations = (of.coff_relocation(0, 0, I386_DIR32), of.coff_relocation(4, 0, I386_REL32))
    section = one(of.COFF_I386, [code(body, relocations)], [of.Name("_x")], "_")
    assert [(r.kind, r.symbol, r.addend) for r in section.relocations] == [
        ("IMAGE_REL_I386_DIR32", "x", 0xFFFFFFFF),
        ("IMAGE_REL_I386_REL32", "x", -4),
    ]


@pytest.mark.parametrize(("machine", "prefix", "kind"), [(of.COFF_AMD64, "", REL32), (of.COFF_I386, "_", I386_DIR32)])
def test_imported_symbols_are_slots(machine: int, prefix: str, kind: int) -> None:
    section = one(
        machine, [code(relocations=(of.coff_relocation(0, 0, kind),))], [of.Name(f"__imp_{prefix}Py")], prefix
    )
    assert (section.relocations[0].symbol, section.relocations[0].indirect) == ("Py", True)


def test_instructions_of_aarch64_hold_no_addend() -> None:
    section = one(
        of.COFF_ARM64, [code(b"\x01\x00\x00\x90" * 2, (of.coff_relocation(4, 0, ARM64_PAGE21),))], [of.Name("x")]
    )
    assert section.relocations == (Relocation(offset=4, kind="IMAGE_REL_ARM64_PAGEBASE_REL21", symbol="x", addend=0),)


def test_long_names_come_from_the_string_table_and_auxiliary_records_are_no_symbols() -> None:
    parts = [code(), of.Part(".rdata$long", b"abcd", of.COFF_RDATA)]
    names = [of.Name(".text", 1, auxiliary=(bytes(18),)), of.Name("_PyLong_AddOne", 1, 4), of.Name("c", 2, 2)]
    text, rdata = coff.parse(of.coff(of.COFF_AMD64, parts, names), "").sections
    assert [(symbol.name, symbol.offset) for symbol in text.symbols] == [(".text", 0), ("_PyLong_AddOne", 4)]
    assert (rdata.name, rdata.role) == (".rdata$long", SectionRole.DATA)
    assert [(symbol.name, symbol.offset) for symbol in rdata.symbols] == [("c", 2)]


def test_of_sections_with_one_name_the_first_counts() -> None:
    parts = [of.Part(".rdata", b"a", of.COFF_RDATA), of.Part(".rdata", b"b", of.COFF_RDATA)]
    first, second = coff.parse(of.coff(of.COFF_AMD64, parts, [of.Name(".rdata", 1), of.Name(".rdata", 2)]), "").sections
    assert [symbol.name for symbol in first.symbols] == [".rdata"]
    assert not second.symbols


def test_debug_information_and_removed_sections_are_dropped() -> None:
    parts = [
        code(),
        of.Part(".debug$S", b"clang version", of.COFF_DISCARDABLE),
        of.Part(".llvm_addrsig", b"\1", of.COFF_REMOVED),
    ]
    assert one(of.COFF_AMD64, parts, []).name == ".text"


def test_uninitialised_data_is_zeroes() -> None:
    section = one(of.COFF_AMD64, [of.Part(".bss", b"", of.COFF_BSS, size=24)], [])
    assert section.data == bytes(24)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (of.Part(".bss", b"", of.COFF_BSS, size=0xFFFFFFF0), "nowhere to keep state"),
        (of.Part(".data", b"abcd", of.COFF_DATA), "'.data' is writable"),
        (of.Part(".text", bytes(8), of.COFF_CODE | 0x80000000), "'.text' is writable"),
        (of.Part(".text", bytes(8), of.COFF_CODE, size=0xFFFFFFF0), "is outside the file"),
        (code(relocations=(of.coff_relocation(0, 99, REL32),)), "wants symbol 99"),
    ],
)
def test_what_the_file_does_not_bear_out_is_refused(part: of.Part, message: str) -> None:
    with pytest.raises(ObjectError, match=message):
        coff.parse(of.coff(of.COFF_AMD64, [part], [of.Name("x")]), "")


def test_the_empty_sections_of_every_object_are_kept() -> None:
    assert one(of.COFF_AMD64, [of.Part(".data", b"", of.COFF_DATA)], []).data == b""


def test_other_machines_and_formats_are_refused() -> None:
    with pytest.raises(ObjectError, match="for a machine that has a JIT"):
        coff.parse(of.coff(0x1C0, [code()], []), "")
    with pytest.raises(ObjectError, match="the COFF header is outside"):
        coff.parse(b"\x64\x86", "")
