"""The rule at the shim's call -> the constants for unwinders."""

from __future__ import annotations

import struct

import pytest

from stencilkit import targets, unwind
from stencilkit.errors import ObjectError
from stencilkit.model.unwind import FrameRow, FrameTable
from stencilkit.pipeline import companions
from tests import objectfiles as of

# What a shim's prologue looks like: push rbp; mov rbp, rsp; ...; call
ROWS = (
    FrameRow(pc=0, cfa_register=7, cfa_offset=8, saved={16: -8}),
    FrameRow(pc=1, cfa_register=7, cfa_offset=16, saved={6: -16, 16: -8}),
    FrameRow(pc=4, cfa_register=6, cfa_offset=16, saved={6: -16, 16: -8}),
    FrameRow(pc=40, cfa_register=7, cfa_offset=8, saved={6: -16, 16: -8}),
)


def table(rows: tuple[FrameRow, ...] = ROWS, data_alignment: int = -8) -> FrameTable:
    return FrameTable(code_alignment=1, data_alignment=data_alignment, return_register=16, rows=rows)


def test_the_rule_at_the_call_is_taken() -> None:
    assert dict(unwind.rows(unwind.derive(table(), [30], "x86_64"))) == {
        "JIT_UNWIND_INFO_SUPPORTED": 1,
        "JIT_UNWIND_CODE_ALIGNMENT_FACTOR": 1,
        "JIT_UNWIND_DATA_ALIGNMENT_FACTOR": -8,
        "JIT_UNWIND_RA_REG": 16,
        "JIT_UNWIND_CFA_REG": 6,
        "JIT_UNWIND_CFA_OFFSET": 16,
        "JIT_UNWIND_FP_REG": 6,
        "JIT_UNWIND_FP_OFFSET": 2,
        "JIT_UNWIND_RA_OFFSET": 1,
    }
    assert unwind.derive(table(), [4], "x86_64").cfa_register == 6


def test_each_architecture_has_its_registers() -> None:
    row = FrameRow(pc=0, cfa_register=29, cfa_offset=16, saved={29: -16, 30: -8})
    info = unwind.derive(table((row,)), [8], "aarch64")
    assert (info.frame_pointer_register, info.frame_pointer_offset, info.return_offset) == (29, 2, 1)
    with pytest.raises(ObjectError, match="does not save frame pointer") as caught:
        unwind.derive(table((row,)), [8], "x86_64")
    assert caught.value.where == "Tools/jit/shim.c"


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert unwind.derive(table(ROWS[::-1]), [30], "x86_64") == unwind.derive(table(), [30], "x86_64")


@pytest.mark.parametrize("calls", [[], [10, 30]])
def test_the_shim_calls_once(calls: list[int]) -> None:
    with pytest.raises(ObjectError, match=f"has {len(calls)} calls"):
        unwind.derive(table(), calls, "x86_64")


def test_a_shim_without_frame_is_refused() -> None:
    with pytest.raises(ObjectError, match="does not save frame pointer") as caught:
        unwind.derive(table(), [0], "x86_64")
    assert "-fomit-frame-pointer" in caught.value.fix
    with pytest.raises(ObjectError, match="no frame information at its call"):
        unwind.derive(table(ROWS[1:]), [0], "x86_64")


def test_the_frame_is_found_from_the_frame_pointer() -> None:
    """Before the prologue's end it is found from rsp, which stencils move."""
    with pytest.raises(ObjectError, match="from register 7") as caught:
        unwind.derive(table(), [3], "x86_64")
    assert caught.value.where == "Tools/jit/shim.c"


@pytest.mark.parametrize("alignment", [0, -7])
def test_offsets_are_whole_units(alignment: int) -> None:
    with pytest.raises(ObjectError, match="not a multiple"):
        unwind.derive(table(data_alignment=alignment), [30], "x86_64")


def test_no_information_is_said_to_be_none() -> None:
    assert unwind.rows(None) == (("JIT_UNWIND_INFO_SUPPORTED", 0),)


def test_a_shim_that_cannot_be_read_is_named_with_the_next_step() -> None:
    target = targets.resolve(targets.load(), "x86_64-unknown-linux-gnu").target
    shim = of.elf(of.ELF_X86_64, bytes(16), [], [of.Name("_JIT_ENTRY", 1)])
    with pytest.raises(ObjectError, match="the object is damaged") as caught:
        companions.derive(target, shim[:100])
    assert caught.value.where == "Tools/jit/shim.c"
    assert "report this with the version of clang and the flags" in caught.value.fix
    # What has a next step of its own keeps it: clang was asked for data that is written to.
    writable = bytearray(of.elf(of.ELF_X86_64, bytes(16), [], [of.Name("_JIT_ENTRY", 1)], ".data"))
    # e_shoff is at 40; a header has 64 bytes, and its flags (SHF_ALLOC, SHF_WRITE) are at 8.
    struct.pack_into("<Q", writable, struct.unpack_from("<Q", writable, 40)[0] + 64 + 8, 3)
    with pytest.raises(ObjectError, match="writable") as caught:
        companions.derive(target, bytes(writable))
    assert "CFLAGS_JIT" in caught.value.fix
