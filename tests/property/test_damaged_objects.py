"""Whatever bytes a parser is given, it answers with an object or a typed error, soon and in little memory."""

from __future__ import annotations

import contextlib
import resource
import struct
import time
from collections.abc import Iterable

import objectfiles as of
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilkit import dialects, holes, objects, targets
from stencilkit.errors import StencilkitError

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
TARGETS = {target.triple: target for target in targets.load().targets}
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
    before, started, count = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic(), 0
    for data in damaged:
        survive(triple, data)
        count += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 512 * 1024, f"{grown} KiB more"
    assert count
    assert (time.monotonic() - started) / count < 1


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
    places = range(0, len(data) - 8, 2)
    survive_all(triple, (data[:at] + value + data[at + len(value) :] for at in places for value in ABSURD))


@pytest.mark.parametrize("triple", sorted(TARGETS))
@settings(max_examples=150, deadline=60_000)
@given(flips=st.lists(st.integers(min_value=0, max_value=(1 << 14) - 1), min_size=1, max_size=8))
def test_flipped_bits(triple: str, flips: list[int]) -> None:
    data = bytearray(OBJECTS[triple])
    for flip in flips:
        data[flip // 8 % len(data)] ^= 1 << flip % 8
    survive_all(triple, [bytes(data)])


@pytest.mark.parametrize("triple", sorted(TARGETS))
@settings(max_examples=50, deadline=60_000)
@given(junk=st.binary(max_size=300))
def test_anything_behind_the_magic(triple: str, junk: bytes) -> None:
    survive_all(triple, [OBJECTS[triple][:20] + junk])
