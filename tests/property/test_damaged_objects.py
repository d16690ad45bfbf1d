"""Whatever bytes a parser is given, it answers with an object or a typed error, soon and in little memory."""

from __future__ import annotations

import contextlib
import resource
import struct
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilkit import dialects, holes, objects, targets
from stencilkit.errors import ObjectError, StencilkitError
from tests import objectfiles as of

RELOCATED = 4


def _elf(machine: int, kind: int) -> bytes:
    return of.elf(machine, bytes(16), [(4, 2, kind, -4)], [of.Name("_JIT_ENTRY", 1), of.Name("_PyFoo")])


def _macho(cpu: int, kind: int) -> bytes:
    parts = [
        of.Part("__text", bytes(16), of.CODE, [of.macho_relocation(RELOCATED, 1, kind, pcrel=True)]),
        of.Part("__const", bytes(8), address=16),
    ]
    return of.macho(cpu, parts, [of.Name("__JIT_ENTRY", 1), of.Name("__PyFoo"), of.Name("lC", 2, 16)])


def _coff(machine: int, kind: int, prefix: str = "") -> bytes:
    parts = [
        of.Part(".text", bytes(16), of.COFF_CODE, [of.coff_relocation(RELOCATED, 2, kind)]),
        of.Part(".rdata$long", bytes(8), of.COFF_RDATA),
        of.Part(".bss", b"", of.COFF_BSS, size=8),
    ]
    names = [
        of.Name(".text", 1, auxiliary=(bytes(18),)),
        of.Name(f"__imp_{prefix}_PyFoo"),
        of.Name(f"{prefix}_JIT_ENTRY", 1),
    ]
    return of.coff(machine, parts, names)


OBJECTS = {
    "x86_64-unknown-linux-gnu": _elf(of.ELF_X86_64, 4),
    "aarch64-unknown-linux-gnu": _elf(of.ELF_AARCH64, 282),
    "x86_64-apple-darwin": _macho(of.MACHO_X86_64, 2),
    "aarch64-apple-darwin": _macho(of.MACHO_ARM64, 2),
    "x86_64-pc-windows-msvc": _coff(of.COFF_AMD64, 4),
    "i686-pc-windows-msvc": _coff(of.COFF_I386, 20, "_"),
    "aarch64-pc-windows-msvc": _coff(of.COFF_ARM64, 3),
}
# musl's objects are those of glibc's targets.
TARGETS = {target.triple: target for target in targets.load().targets if target.triple in OBJECTS}
VALUES = frozenset(dialects.dialect_for("3.14").HEADER.values)
ABSURD = [struct.pack("<I", value) for value in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFF, 0x10000000)]
ABSURD += [b"\xff" * 8, struct.pack("<Q", 1 << 62)]
MEGABYTE = 1 << 20


def survive(triple: str, data: bytes) -> None:
    """Parse and lower an object; whatever is not a typed error ends the test."""
    for unwind in (False, True):
        with contextlib.suppress(StencilkitError):
            parsed = objects.parse(data, TARGETS[triple], unwind=unwind)
            size = sum(len(section.data) + section.padding for section in parsed.sections)
            assert size < MEGABYTE
            holes.lower("_UOP", parsed, VALUES)
    with contextlib.suppress(StencilkitError):
        objects.frame_table(data, TARGETS[triple])


def survive_all(triple: str, damaged: Iterable[bytes]) -> None:
    # The time that the processor spent, so that a busy machine does not matter.
    before, started, count = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), 0
    for data in damaged:
        survive(triple, data)
        count += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 512 * 1024, f"{grown} KiB more"
    assert count
    assert (time.process_time() - started) / count < 1


@pytest.mark.parametrize("triple", sorted(TARGETS))
def test_the_undamaged_object_is_read(triple: str) -> None:
    unit = holes.lower("_UOP", objects.parse(OBJECTS[triple], TARGETS[triple]), VALUES)
    holes.check_entry(unit, "_JIT_ENTRY")
    (hole,) = unit.code_holes
    assert (hole.offset, hole.symbol) == (RELOCATED, "_PyFoo")


@pytest.mark.parametrize("triple", sorted(TARGETS))
def test_truncated_anywhere(triple: str) -> None:
    data = OBJECTS[triple]
    survive_all(triple, (data[:end] for end in range(len(data))))


@pytest.mark.parametrize("triple", sorted(TARGETS))
def test_absurd_counts_and_offsets_anywhere(triple: str) -> None:
    data = OBJECTS[triple]
    # Behind ELF's header, every field is at a multiple of four.
    places = [*range(0, 64, 2), *range(64, len(data) - 8, 4 if TARGETS[triple].format == "elf" else 2)]
    survive_all(triple, (data[:at] + value + data[at + len(value) :] for at in places for value in ABSURD))


@pytest.mark.parametrize("triple", sorted(TARGETS))
@settings(max_examples=150)
@given(flips=st.lists(st.integers(min_value=0, max_value=(1 << 14) - 1), min_size=1, max_size=8))
def test_flipped_bits(triple: str, flips: list[int]) -> None:
    data = bytearray(OBJECTS[triple])
    for flip in flips:
        data[flip // 8 % len(data)] ^= 1 << flip % 8
    survive_all(triple, [bytes(data)])


@pytest.mark.parametrize("triple", sorted(TARGETS))
@settings(max_examples=50)
@given(junk=st.binary(max_size=300))
def test_anything_behind_the_magic(triple: str, junk: bytes) -> None:
    survive_all(triple, [OBJECTS[triple][:20] + junk])


# Parts on top of each other: small files that describe large ones. Each would cost hundreds of megabytes, or minutes.


def _coff_file(sections: bytes, count: int, symbols: bytes = b"", rest: bytes = b"") -> bytes:
    place = 20 + len(sections)
    header = struct.pack("<2H3I2H", of.COFF_AMD64, count, 0, place, len(symbols) // 18, 0, 0)
    return header + sections + symbols + struct.pack("<I", 4 + len(rest)) + rest


def _coff_contents() -> bytes:
    count = 5000
    size = 40 * count
    row = struct.pack("<8s6I2HI", b".text", 0, 0, size, 1, 0, 0, 0, 0, of.COFF_CODE)
    return _coff_file(row * count, count)


def _coff_zeroes() -> bytes:
    row = struct.pack("<8s6I2HI", b".bss", 0, 0, 0x10000, 0, 0, 0, 0, 0, of.COFF_BSS)
    return _coff_file(row * 10_000, 10_000)


def _coff_relocations() -> bytes:
    count = 60
    place = 20 + 40 * count + 18 + 4
    row = struct.pack("<8s6I2HI", b".text", 0, 0, 0, 0, place, 0, 65535, 0, of.COFF_CODE)
    symbol = struct.pack("<8sIhHBB", b"x", 0, 0, 0, 2, 0)
    return _coff_file(row * count, count, symbol, bytes(655_350))


def _coff_names() -> bytes:
    symbols = b"".join(struct.pack("<IIIhHBB", 0, 4 + index, 0, 0, 0, 2, 0) for index in range(10_000))
    return _coff_file(b"", 0, symbols, b"x" * 200_000 + b"\0")


def _macho_file(rows: Iterable[tuple[int, int, int]], count: int) -> bytes:
    """Make an object with sections (address, size, offset)."""
    size = 72 + 80 * count
    sections = b"".join(
        struct.pack("<16s16s2Q8I", b"__text", b"__TEXT", address, length, offset, 0, 0, 0, of.CODE, 0, 0, 0)
        for address, length, offset in rows
    )
    segment = struct.pack("<2I16s4Q4I", 0x19, size, b"", 0, 0, 0, 0, 7, 7, count, 0)
    return struct.pack("<8I", 0xFEEDFACF, of.MACHO_X86_64, 0, 1, 1, size, 0, 0) + segment + sections


def _macho_contents() -> bytes:
    size = 80 * 5000
    return _macho_file(((index * size, size, 1) for index in range(5000)), 5000)


def _macho_padding() -> bytes:
    return _macho_file(((0x3FFF * index, 0, 0) for index in range(5000)), 5000)


def _elf_file(rows: bytes, names: int = 0) -> bytes:
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<2HI3QI6H", 1, of.ELF_X86_64, 1, 0, 0, 64, 0, 64, 0, 0, 64, len(rows) // 64, names)
    return head + rows


def _elf_row(kind: int, offset: int, size: int, entry: int = 0) -> bytes:
    return struct.pack("<2I4Q2I2Q", 0, kind, 6, 0, offset, size, 1, 0, 1, entry)


def _elf_contents() -> bytes:
    return _elf_file(bytes(64) + _elf_row(1, 1, 64 * 5000) * 5000)


def _elf_names() -> bytes:
    count, length = 4000, 200_000
    symbols = b"".join(struct.pack("<IBBHQQ", 1 + index, 0, 0, 0, 0, 0) for index in range(count))
    place = 64 * 4
    rows = bytes(64) + _elf_row(3, place + len(symbols), length + 2) + _elf_row(2, place, len(symbols), 24)
    return _elf_file(rows, 1) + symbols + b"\0" + b"x" * length + b"\0"


@pytest.mark.parametrize(
    ("triple", "make"),
    [
        ("x86_64-pc-windows-msvc", _coff_contents),
        ("x86_64-pc-windows-msvc", _coff_zeroes),
        ("x86_64-pc-windows-msvc", _coff_relocations),
        ("x86_64-pc-windows-msvc", _coff_names),
        ("x86_64-apple-darwin", _macho_contents),
        ("x86_64-apple-darwin", _macho_padding),
        ("x86_64-unknown-linux-gnu", _elf_contents),
        ("x86_64-unknown-linux-gnu", _elf_names),
    ],
)
def test_parts_on_top_of_each_other(triple: str, make: Callable[[], bytes]) -> None:
    with pytest.raises(ObjectError, match="on top of each other"):
        objects.parse(make(), TARGETS[triple])


@pytest.mark.parametrize("triple", sorted(TARGETS))
def test_a_file_larger_than_any_uop_is_not_read(triple: str) -> None:
    with pytest.raises(ObjectError, match="no uop's has more"):
        objects.parse(OBJECTS[triple] + bytes(5 * MEGABYTE), TARGETS[triple])


@pytest.mark.parametrize("triple", sorted(TARGETS))
def test_an_object_for_another_machine_is_refused(triple: str) -> None:
    target = TARGETS[triple]
    for other in TARGETS.values():
        if (other.format, other.arch) != (target.format, target.arch):
            with pytest.raises(ObjectError):
                objects.parse(OBJECTS[other.triple], target)
        if other.format == target.format and other.arch != target.arch:
            with pytest.raises(ObjectError, match=f"the object is not for {target.arch}"):
                objects.parse(OBJECTS[other.triple], target)


@pytest.mark.parametrize(("kind", "name"), [(5, "SHT_HASH"), (0x6FFFFFF6, "SHT_GNU_HASH")])
def test_tables_of_the_dynamic_linker_are_refused_unread(kind: int, name: str) -> None:
    with pytest.raises(ObjectError, match=name):
        objects.parse(_elf_file(bytes(64) + _elf_row(kind, 0, 64)), TARGETS["x86_64-unknown-linux-gnu"])


def test_symbols_of_an_odd_size_are_refused() -> None:
    with pytest.raises(ObjectError, match="symbols of 1 bytes"):
        objects.parse(_elf_file(bytes(64) + _elf_row(2, 0, 64, 1)), TARGETS["x86_64-unknown-linux-gnu"])


@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "x86_64-apple-darwin", "x86_64-pc-windows-msvc"])
def test_a_relocation_outside_its_section_is_refused(triple: str) -> None:
    outside = {
        "elf": of.elf(of.ELF_X86_64, bytes(16), [(16, 2, 4, -4)], [of.Name("_JIT_ENTRY", 1), of.Name("_PyFoo")]),
        "macho": of.macho(
            of.MACHO_X86_64, [of.Part("__text", bytes(16), of.CODE, [of.macho_relocation(-4, 0, 2)])], [of.Name("x")]
        ),
        "coff": of.coff(
            of.COFF_AMD64, [of.Part(".text", bytes(16), of.COFF_CODE, [of.coff_relocation(16, 0, 4)])], [of.Name("x")]
        ),
    }
    with pytest.raises(ObjectError, match="is outside section"):
        objects.parse(outside[TARGETS[triple].format], TARGETS[triple])
