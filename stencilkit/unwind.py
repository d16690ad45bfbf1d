"""The shim's call frame information -> the constants of jit_unwind_info.h (CPython 3.15).

Stands for Tools/jit/_dwarf.py: the rule that holds at the shim's one call of an executor describes how to unwind from
any stencil, because stencils do not touch the frame pointer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stencilkit.errors import ObjectError
from stencilkit.model.unwind import FrameTable, UnwindInfo

SHIM: Final = "Tools/jit/shim.c"
FIX: Final = "compare this file with the release's, or report this with the version of clang and the flags"
# DWARF numbers of the frame pointer and the return address: x86-64 psABI figure 3.36, DWARF for the Arm 64-bit
# Architecture section 4.1.
_REGISTERS: Final = {"x86_64": (6, 16), "aarch64": (29, 30)}


def derive(table: FrameTable, calls: Sequence[int], arch: str) -> UnwindInfo:
    """Take the rule that holds at the call; `calls` are the offsets of the shim's call instructions.

    Raises: ObjectError where the shim is not the function that it should be.
    """
    frame_pointer, return_address = _REGISTERS[arch]
    if len(calls) != 1:
        raise ObjectError(f"the shim should call an executor once, but it has {len(calls)} calls", where=SHIM, fix=FIX)
    active = [row for row in table.rows if row.pc <= calls[0]]
    if not active:
        raise ObjectError(f"the shim has no frame information at its call ({calls[0]:#x})", where=SHIM, fix=FIX)
    row = max(active, key=lambda candidate: candidate.pc)
    if frame_pointer not in row.saved or return_address not in row.saved:
        raise ObjectError(
            "the shim does not save frame pointer and return address before its call",
            where=SHIM,
            fix="leave -fomit-frame-pointer out of --cflags",
        )
    if row.cfa_register != frame_pointer:
        # Upstream has no name for any other register; and stencils move the stack pointer.
        raise ObjectError(
            f"the shim's frame is not found from the frame pointer, but from register {row.cfa_register}",
            where=SHIM,
            fix=FIX,
        )
    return UnwindInfo(
        code_alignment=table.code_alignment,
        data_alignment=table.data_alignment,
        return_register=table.return_register,
        cfa_register=row.cfa_register,
        cfa_offset=row.cfa_offset,
        frame_pointer_register=frame_pointer,
        frame_pointer_offset=_in_units(row.saved[frame_pointer], table.data_alignment),
        return_offset=_in_units(row.saved[return_address], table.data_alignment),
    )


def _in_units(offset: int, unit: int) -> int:
    if not unit or offset % unit:
        raise ObjectError(f"offset {offset} is not a multiple of the data alignment factor {unit}", where=SHIM, fix=FIX)
    return offset // unit


def rows(info: UnwindInfo | None) -> tuple[tuple[str, int], ...]:
    """Name the constants, or the absence of unwind information."""
    if info is None:
        return (("JIT_UNWIND_INFO_SUPPORTED", 0),)
    return (
        ("JIT_UNWIND_INFO_SUPPORTED", 1),
        ("JIT_UNWIND_CODE_ALIGNMENT_FACTOR", info.code_alignment),
        ("JIT_UNWIND_DATA_ALIGNMENT_FACTOR", info.data_alignment),
        ("JIT_UNWIND_RA_REG", info.return_register),
        ("JIT_UNWIND_CFA_REG", info.cfa_register),
        ("JIT_UNWIND_CFA_OFFSET", info.cfa_offset),
        ("JIT_UNWIND_FP_REG", info.frame_pointer_register),
        ("JIT_UNWIND_FP_OFFSET", info.frame_pointer_offset),
        ("JIT_UNWIND_RA_OFFSET", info.return_offset),
    )
