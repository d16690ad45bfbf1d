"""ELF objects: what is kept, what is dropped, and what no stencil can hold."""

from __future__ import annotations

import struct

import pytest

from stencilkit import objects, targets
from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import Relocation, SectionRole, Symbol
from stencilkit.model.unwind import FrameRow
from stencilkit.objects import elf
from tests import objectfiles as of

GOOD = of.elf(of.ELF_X86_64, bytes(16), [(4, 2, 4, -4)], [of.Name("_JIT_ENTRY", 1), of.Name("_PyFoo")])
TARGET = targets.resolve(targets.load(), "x86_64-unknown-linux-gnu").target
TABLE = struct.unpack_from("<Q", GOOD, 40)[0]


def patched(index: int, field: int, form: str, value: int) -> bytes:
    """Change one field of a section's header."""
    data = bytearray(GOOD)
    struct.pack_into(form, data, TABLE + 64 * index + field, value)
    return bytes(data)


TYPE, FLAGS, OFFSET, SIZE, LINK, INFO, ENTSIZE = 4, 8, 24, 32, 40, 44, 56


def test_an_object_is_read() -> None:
    obj = elf.parse(GOOD, "")
    (text,) = obj.sections
    assert (text.name, text.role, text.data) == (".text", SectionRole.CODE, bytes(16))
    assert text.symbols == (Symbol(name="_JIT_ENTRY", offset=0),)
    assert text.relocations == (Relocation(offset=4, kind="R_X86_64_PLT32", symbol="_PyFoo", addend=-4),)
    assert elf.parse(GOOD, "_").sections[0].symbols[0].name == "JIT_ENTRY"


@pytest.mark.parametrize(
    ("number", "name", "machine"),
    [
        (9, "R_X86_64_GOTPCREL", of.ELF_X86_64),
        (41, "R_X86_64_GOTPCRELX", of.ELF_X86_64),
        (42, "R_X86_64_REX_GOTPCRELX", of.ELF_X86_64),
        (299, "R_AARCH64_LDST128_ABS_LO12_NC", of.ELF_AARCH64),
        (562, "R_AARCH64_TLSDESC_ADR_PAGE21", of.ELF_AARCH64),
        (569, "R_AARCH64_TLSDESC_CALL", of.ELF_AARCH64),
        (200, "relocation type 200", of.ELF_X86_64),
    ],
)
def test_relocation_kinds_are_named(number: int, name: str, machine: int) -> None:
    data = of.elf(machine, bytes(16), [(4, 1, number, 0)], [of.Name("f")])
    assert elf.parse(data, "").sections[0].relocations[0].kind == name


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (b"\x7fELF", "damaged"),
        (b"!<arch>\n" + bytes(64), "damaged"),
        (b"BC\xc0\xde" + bytes(64), "damaged"),
        (GOOD[:16] + b"\x02\0" + GOOD[18:], "not a relocatable object"),
        (GOOD[:18] + struct.pack("<H", 8) + GOOD[20:], "not a relocatable object"),
        (patched(1, TYPE, "<I", 8), "zero-initialised writable data"),
        (patched(1, TYPE, "<I", 14), "constructors"),
        (patched(1, TYPE, "<I", 0x70000001), "-fno-asynchronous-unwind-tables"),
        (patched(1, TYPE, "<I", 0x12345), "no stencil has such a section"),
        (patched(1, TYPE, "<I", 5), "a section is SHT_HASH: no relocatable object"),
        (patched(1, OFFSET, "<Q", 1 << 40), "outside the file"),
        (patched(1, SIZE, "<Q", 1 << 63), "outside the file"),
        (patched(1, FLAGS, "<Q", 0x806), "damaged|compressed"),
        (patched(2, ENTSIZE, "<Q", 0), "damaged"),
        (patched(2, LINK, "<I", 1), "do not fit"),
        (patched(2, LINK, "<I", 99), "damaged"),
        (patched(2, INFO, "<I", 99), "do not fit"),
        (patched(2, TYPE, "<I", 9), "without addends|SHT_REL"),
        (patched(3, ENTSIZE, "<Q", 0), "damaged"),
        (GOOD.replace(b"_JIT_ENTRY\0", b"_JIT_ENTRY\0") [:-1], "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_stencil_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(ObjectError, match=message):
        elf.parse(data, "")


def test_a_symbol_outside_its_section_is_an_error() -> None:
    data = of.elf(of.ELF_X86_64, bytes(16), [], [of.Name("_JIT_ENTRY", 1, 17)])
    with pytest.raises(ObjectError, match="_JIT_ENTRY is outside"):
        objects.parse(data, TARGET)
    objects.parse(of.elf(of.ELF_X86_64, bytes(16), [], [of.Name("end", 1, 16)]), TARGET)


def test_a_relocation_outside_its_section_is_an_error() -> None:
    with pytest.raises(ObjectError, match="R_X86_64_PLT32 at 0x4 is outside section"):
        objects.parse(patched(1, SIZE, "<Q", 4), TARGET)


def test_sections_that_are_not_loaded_are_dropped() -> None:
    """Debug information and comments (CPython #130673)."""
    assert elf.parse(patched(1, FLAGS, "<Q", 0), "").sections == ()


def test_an_empty_bss_and_build_attributes_are_dropped() -> None:
    """GNU's assembler writes the one, clang 21 the others, which say what a linker may assume."""
    attributes = bytearray(patched(1, TYPE, "<I", 0x70000003))
    struct.pack_into("<H", attributes, 18, 183)
    assert elf.parse(bytes(attributes), "").sections == ()
    empty = bytearray(patched(1, TYPE, "<I", 8))
    struct.pack_into("<Q", empty, TABLE + 64 + SIZE, 0)
    assert elf.parse(bytes(empty), "").sections == ()


def test_writable_data_is_refused() -> None:
    with pytest.raises(ObjectError, match=r"'.text' is writable: a stencil has nowhere to keep state"):
        elf.parse(patched(1, FLAGS, "<Q", 3), "")
    with pytest.raises(ObjectError, match="is writable"):
        elf.parse(patched(1, FLAGS, "<Q", 7), "")


@pytest.mark.parametrize("name", [".data.rel.ro", ".data.rel.ro.local", ".ldata.rel.ro"])
def test_constants_that_hold_addresses_are_data(name: str) -> None:
    data = bytearray(of.elf(of.ELF_X86_64, bytes(8), [], [of.Name("table", 1)], name))
    struct.pack_into("<Q", data, struct.unpack_from("<Q", data, 40)[0] + 64 + FLAGS, 3)
    assert [(section.name, section.role) for section in elf.parse(bytes(data), "").sections] == [
        (name, SectionRole.DATA)
    ]


def test_an_empty_data_section_is_none_that_is_written() -> None:
    data = bytearray(of.elf(of.ELF_X86_64, b"", [], [], ".data"))
    struct.pack_into("<Q", data, struct.unpack_from("<Q", data, 40)[0] + 64 + FLAGS, 3)
    assert [section.data for section in elf.parse(bytes(data), "").sections] == [b""]


def test_frame_tables_of_objects_without_any() -> None:
    with pytest.raises(ObjectError, match="describes 0 functions"):
        elf.frame_table(GOOD)
    with pytest.raises(ObjectError, match="damaged"):
        elf.frame_table(GOOD[:100])


def eh_frame(*, functions: int = 1, set_up: bytes = b"\x0d\x06") -> bytes:
    """Describe a shim: push rbp; mov rbp, rsp; ...; pop rbp (DWARF 5, section 6.4; LSB, ".eh_frame")."""
    # "zR": pointers are relative and have four bytes. Units of 1 and -8, return address in r16.
    common = b"\0\0\0\0\x01zR\0\x01\x78\x10\x01\x1b" + b"\x0c\x07\x08\x90\x01" + bytes(2)
    steps = b"\x41\x0e\x10\x86\x02" + b"\x43" + set_up + b"\x64\x0c\x07\x08"
    steps += bytes(-(1 + len(steps)) % 4)
    out = struct.pack("<I", len(common)) + common
    for _ in range(functions):
        body = struct.pack("<Iii", len(out) + 4, 0, 48) + b"\0" + steps
        out += struct.pack("<I", len(body)) + body
    return out + bytes(4)


def test_frame_tables_are_read() -> None:
    table = elf.frame_table(of.elf(of.ELF_X86_64, eh_frame(), [], [of.Name("f", 1)], ".eh_frame"))
    assert (table.code_alignment, table.data_alignment, table.return_register) == (1, -8, 16)
    assert table.rows == (
        FrameRow(pc=0, cfa_register=7, cfa_offset=8, saved={16: -8}),
        FrameRow(pc=1, cfa_register=7, cfa_offset=16, saved={6: -16, 16: -8}),
        FrameRow(pc=4, cfa_register=6, cfa_offset=16, saved={6: -16, 16: -8}),
        FrameRow(pc=40, cfa_register=7, cfa_offset=8, saved={6: -16, 16: -8}),
    )


def test_a_frame_that_is_described_by_an_expression_is_refused() -> None:
    """DW_CFA_def_cfa_expression: there is no register to name, and upstream would take the rule before."""
    table = eh_frame(set_up=b"\x0f\x02\x76\x10")
    with pytest.raises(ObjectError, match="described by an expression"):
        elf.frame_table(of.elf(of.ELF_X86_64, table, [], [of.Name("f", 1)], ".eh_frame"))


def test_a_frame_table_of_absurd_size_is_not_decoded() -> None:
    with pytest.raises(ObjectError, match="8192 bytes: too many for one function"):
        elf.frame_table(of.elf(of.ELF_X86_64, bytes(8192), [], [of.Name("f", 1)], ".eh_frame"))


def test_many_sections_are_counted_in_the_first_one() -> None:
    """gABI, "ELF Header": where e_shnum is 0, the count is sh_size of section 0."""
    data = bytearray(GOOD)
    (count,) = struct.unpack_from("<H", data, 60)
    struct.pack_into("<H", data, 60, 0)
    struct.pack_into("<Q", data, TABLE + SIZE, count)
    assert elf.parse(bytes(data), "").sections == elf.parse(GOOD, "").sections
    struct.pack_into("<Q", data, TABLE + SIZE, 1 << 40)
    with pytest.raises(ObjectError, match="section table"):
        elf.parse(bytes(data), "")


def test_a_shim_is_one_function() -> None:
    with pytest.raises(ObjectError, match="describes 2 functions, not one"):
        elf.frame_table(of.elf(of.ELF_X86_64, eh_frame(functions=2), [], [of.Name("f", 1)], ".eh_frame"))


@pytest.mark.parametrize("cut", range(4, 60, 5))
def test_damaged_frame_tables_are_errors(cut: int) -> None:
    with pytest.raises(ObjectError, match=r"eh_frame|damaged"):
        elf.frame_table(of.elf(of.ELF_X86_64, eh_frame()[:cut], [], [of.Name("f", 1)], ".eh_frame"))
