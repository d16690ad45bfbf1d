"""Machine code as instructions."""

from __future__ import annotations

import pytest

from stencilkit import disassemble

CALL_RAX, NOT_IN_64_BITS = b"\xff\xd0", b"\x06"
BLR_X8, BL, UNALLOCATED = b"\x00\x01\x3f\xd6", b"\x00\x00\x00\x94", b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("code", "arch", "calls"),
    [
        (CALL_RAX + b"\xe8\0\0\0\0" + b"\xff\x15\0\0\0\0" + b"\xff\xe0\xc3", "x86_64", [0, 2, 7]),
        (BLR_X8 + BL, "aarch64", [0]),
        # A second call behind bytes that are no instruction counts, or the shim would seem to have one:
        (CALL_RAX + NOT_IN_64_BITS + CALL_RAX, "x86_64", [0, 3]),
        (BLR_X8 + UNALLOCATED + BLR_X8, "aarch64", [0, 8]),
    ],
    ids=["x86_64", "aarch64", "x86_64, bad bytes", "aarch64, bad bytes"],
)
def test_calls_are_counted_as_upstream_counts_them(code: bytes, arch: str, calls: list[int]) -> None:
    assert disassemble.calls(code, arch) == calls
