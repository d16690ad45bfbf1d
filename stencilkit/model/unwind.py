"""Call frame information of the shim, and what CPython 3.15 makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """The rule from a place in the code on: CFA = register + offset, and where registers are saved.

    `pc` is in bytes from the start of the function; `saved` maps a DWARF register number to an offset from the CFA.
    """

    pc: int
    cfa_register: int
    cfa_offset: int
    saved: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTable:
    """The call frame information of one function (DWARF 5, section 6.4.1)."""

    code_alignment: int
    data_alignment: int
    return_register: int
    rows: tuple[FrameRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwindInfo:
    """The rule at the shim's call of an executor; offsets of saved registers are in units of the data alignment."""

    code_alignment: int
    data_alignment: int
    return_register: int
    cfa_register: int
    cfa_offset: int
    frame_pointer_register: int
    frame_pointer_offset: int
    return_offset: int
