"""The rule that a hole is the operand of one instruction, so that no patched value makes other code.

Python/jit.c writes holes without looking at what they are a part of (its checks are asserts); the shapes of aarch64's
instructions are those of its IS_AARCH64_* macros, only closer: IS_AARCH64_BRANCH_COND takes SVC, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from stencilkit.audit import machine
from stencilkit.audit.examined import Examined
from stencilkit.audit.machine import RELAXED_PAIR, WIDTHS, WORD
from stencilkit.model.audit import Decoded
from stencilkit.model.stencil import Patch, PatchForm

_RELAXING: Final = "patch_x86_64_32rx"
# What patch_x86_64_32rx rewrites before its place: the opcode of a load, or the opcode and ModRM of a call or a jump.
_LOAD, _INDIRECT = 0x8B, 0xFF
_MODRM: Final[Mapping[int, str]] = {0x15: "call", 0x25: "jmp"}


def _is(mask: int, value: int) -> Callable[[int], bool]:
    return lambda word: word & mask == value


def _any(*tests: Callable[[int], bool]) -> Callable[[int], bool]:
    return lambda word: any(test(word) for test in tests)


def _wide(part: int) -> Callable[[int], bool]:
    return _any(*(_is(0xFFE00000, opcode | part << 21) for opcode in (0x92800000, 0xD2800000, 0xF2800000)))


# Arm ARM, sections C4.1.92 (branches), C4.1.93 (immediates) and C4.1.94 (loads and stores).
_BRANCH: Final = _is(0x7C000000, 0x14000000)
_PAGE: Final = _is(0x9F000000, 0x90000000)
_LOW_12: Final = _any(_is(0x3B000000, 0x39000000), _is(0x7FC00000, 0x11000000))
_SHAPES: Final[Mapping[str, Callable[[int], bool]]] = {
    "patch_aarch64_26r": _BRANCH,
    "patch_aarch64_trampoline": _BRANCH,
    "patch_aarch64_19r": _any(_is(0xFF000010, 0x54000000), _is(0x7E000000, 0x34000000)),
    "patch_aarch64_12": _LOW_12,
    "patch_aarch64_12x": _LOW_12,
    "patch_aarch64_16a": _wide(0),
    "patch_aarch64_16b": _wide(1),
    "patch_aarch64_16c": _wide(2),
    "patch_aarch64_16d": _wide(3),
    "patch_aarch64_21r": _PAGE,
    "patch_aarch64_21rx": _PAGE,
}


def check(stencil: Examined) -> Iterator[str]:
    """Find holes that are not one operand of one instruction."""
    yield from _overlaps(stencil)
    yield from _CHECKS[stencil.arch](stencil)


def _x86(stencil: Examined) -> Iterator[str]:
    places = {place: item for item in stencil.code for place in range(item.offset, item.end)}
    for place, patch in stencil.patches:
        item = places.get(place)
        width = WIDTHS.get(patch.func, WORD)
        if item is None or not item.known or (place - item.offset, width) not in (item.displacement, item.immediate):
            text = f" of {item.text} at {item.offset:#x}" if item else ""
            yield f"{patch.func} at {place:#x} writes {width} bytes that are not one operand{text}"
        elif patch.func == _RELAXING and not _relaxes_well(stencil, item, place):
            yield f"{patch.func} at {place:#x} would rewrite what is not the opcode of {item.text}"
        elif patch.func == _RELAXING and patch.symbol and patch.form is PatchForm.ADDRESS and item.mnemonic == "mov":
            # jit.c takes a variable for a slot that holds an address, and reads it when it makes the code.
            yield f"{patch.func} at {place:#x} would make what {patch.symbol} holds a constant of the code"


def _overlaps(stencil: Examined) -> Iterator[str]:
    written: dict[int, Patch] = {}
    for place, patch in stencil.patches:
        for byte in range(place, place + WIDTHS.get(patch.func, WORD)):
            if byte in written:
                yield f"{patch.func} at {place:#x} writes where {written[byte].func} does"
                break
            written[byte] = patch


def _relaxes_well(stencil: Examined, item: Decoded, place: int) -> bool:
    """Return whether the two bytes before a place are left alone, or are an opcode that may be rewritten."""
    body = stencil.group.code.body
    opcode, modrm = (body[place - 2], body[place - 1]) if place > 1 else (0, body[place - 1] if place else 0)
    if opcode != _LOAD and not (opcode == _INDIRECT and modrm in _MODRM):
        return True
    inside = place - 2 >= item.offset and place - item.offset == item.displacement[0]
    mnemonic = "mov" if opcode == _LOAD else _MODRM[modrm]
    return inside and item.mnemonic.endswith(mnemonic) and not item.immediate[1]


def _arm(stencil: Examined) -> Iterator[str]:
    for patch in dict.fromkeys(patch for _, patch in stencil.patches):
        words = [_word(stencil, place) for place in machine.places(patch)]
        if patch.func == RELAXED_PAIR:
            good = _is_pair(words)
        else:
            good = patch.func in _SHAPES and all(word is not None and _SHAPES[patch.func](word) for word in words)
        if not good:
            yield f"{patch.func} at {patch.offsets[0]:#x} does not fit the instruction there"


def _word(stencil: Examined, place: int) -> int | None:
    body = stencil.group.code.body
    if place % WORD or place + WORD > len(body):
        return None
    return int.from_bytes(body[place : place + WORD], "little")


def _is_pair(words: list[int | None]) -> bool:
    """Return whether it is adrp and ldr of one register, which both of them need."""
    if len(words) != 2 or None in words:
        return False
    first, second = (word or 0 for word in words)
    register = first & 31
    return _PAGE(first) and second & 0xFFC003FF == 0xF9400000 | register << 5 | register


_CHECKS: Final = {"x86_64": _x86, "i686": _x86, "aarch64": _arm}
