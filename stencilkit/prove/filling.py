"""The bytes of a stencil with its holes filled, as the patch functions of `Python/jit.c` do it; nothing is relaxed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.stencil import Patch, PatchForm, Stencil
from stencilkit.prove.machine import UnsupportedError

Fill = Callable[[bytearray, int, int, int], None]
"""Fills a hole at an offset of a body that is at an address, with a value."""
_PAIR: Final = "patch_aarch64_33rx"


def filled(part: Stencil, start: int, value: Callable[[Patch], int]) -> bytes:
    """Fill the holes of a stencil that is at an address.

    Raises: UnsupportedError for a patch function that is not known.
    """
    body = bytearray(part.body)
    for patch in (one for one in part.patches if one.form is not PatchForm.VOID):
        # Of a pair, the first instruction gets the page, the second the rest.
        names = ("patch_aarch64_21rx", "patch_aarch64_12x") if patch.func == _PAIR else (patch.func,)
        for name, place in zip(names, patch.offsets, strict=False):
            fill = _FILLS.get(name)
            if fill is None:
                raise UnsupportedError(f"{name} in a run")
            fill(body, place, start, value(patch))
    return bytes(body)


def _absolute(size: int) -> Fill:
    def fill(body: bytearray, place: int, start: int, value: int) -> None:  # noqa: ARG001  # a row like the others
        body[place : place + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    return fill


def _relative(body: bytearray, place: int, start: int, value: int) -> None:
    body[place : place + 4] = (value - (start + place) & 0xFFFFFFFF).to_bytes(4, "little")


def _set(body: bytearray, place: int, low: int, width: int, value: int) -> None:
    """Set bits of a word."""
    word, mask = int.from_bytes(body[place : place + 4], "little"), (1 << width) - 1
    word = word & ~(mask << low) | (value & mask) << low
    body[place : place + 4] = word.to_bytes(4, "little")


def _branch(low: int, width: int) -> Fill:
    def fill(body: bytearray, place: int, start: int, value: int) -> None:
        _set(body, place, low, width, value - (start + place) >> 2)

    return fill


def _page(body: bytearray, place: int, start: int, value: int) -> None:
    pages = (value >> 12) - (start + place >> 12)
    _set(body, place, 29, 2, pages)
    _set(body, place, 5, 19, pages >> 2)


def _low(body: bytearray, place: int, start: int, value: int) -> None:  # noqa: ARG001  # a row like the others
    word = int.from_bytes(body[place : place + 4], "little")
    # A load or store has its offset in units of what it loads.
    shift = word >> 30 if word & 0x3B000000 == 0x39000000 else 0
    _set(body, place, 10, 12, (value & 0xFFF) >> shift)


def _move(part: int) -> Fill:
    def fill(body: bytearray, place: int, start: int, value: int) -> None:  # noqa: ARG001  # a row like the others
        _set(body, place, 5, 16, value >> 16 * part)

    return fill


_FILLS: Final[Mapping[str, Fill]] = {
    "patch_64": _absolute(8),
    "patch_32": _absolute(4),
    **dict.fromkeys(("patch_32r", "patch_x86_64_32rx", "patch_x86_64_trampoline"), _relative),
    **dict.fromkeys(("patch_aarch64_12", "patch_aarch64_12x"), _low),
    **{f"patch_aarch64_16{letter}": _move(part) for part, letter in enumerate("abcd")},
    "patch_aarch64_19r": _branch(5, 19),
    **dict.fromkeys(("patch_aarch64_21r", "patch_aarch64_21rx"), _page),
    **dict.fromkeys(("patch_aarch64_26r", "patch_aarch64_trampoline"), _branch(0, 26)),
}
