"""Loads, stores and addresses; a pair that jit.c makes other instructions of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.model.stencil import HoleValue, Patch, PatchForm
from stencilkit.prove import terms
from stencilkit.prove.aarch64.operands import (
    VIEWS,
    Step,
    hole,
    register,
    shifted,
    target,
    width_of,
    write,
)
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError, store
from stencilkit.prove.terms import Term

_PAGES: Final = ("patch_aarch64_21r", "patch_aarch64_21rx")
_LOWS: Final = ("patch_aarch64_12", "patch_aarch64_12x")
_PAIR: Final = "patch_aarch64_33rx"
_SLOT: Final = 8


def _address(state: State, code: Code, op: Operation, size: int) -> Term:
    """Work out an address, and write it back where the instruction does."""
    operand = next((one for one in op.operands if one.kind == "memory"), None)
    if operand is None:
        raise UnsupportedError(op.text)
    if op.writeback:
        _check_written_back(op, operand.base)
    base = register(state, operand.base)
    low = hole(code, op, _LOWS)
    if low is not None:
        return terms.add(base, _low_bits(code, low, size))
    place = base
    if op.writeback != "after":
        place = terms.offset(base, operand.number)
        if operand.index:
            place = terms.add(place, shifted(register(state, operand.index), operand, 64))
    if op.writeback:
        by = op.operands[-1].number if op.writeback == "after" else operand.number
        write(state, operand.base, terms.offset(base, by))
    return place


def _check_written_back(op: Operation, base: str) -> None:
    """Refuse a base that is loaded or stored too: processors may do either (Arm ARM, CONSTRAINED UNPREDICTABLE)."""
    moved = {VIEWS[one.register][0] for one in op.operands if one.register in VIEWS}
    if VIEWS[base][0] in moved:
        raise UnsupportedError(f"{op.text}, which writes one register twice")


def _low_bits(code: Code, patch: Patch, size: int) -> Term:
    """Return what patch_aarch64_12 puts in: it drops the bits below the size of what is loaded, which must be zero.

    A stencil's data and slots of symbols are aligned to 8 bytes (DATA_ALIGN in Python/jit.c).
    """
    value = code.value(patch)
    aligned = patch.value is HoleValue.DATA or (patch.form is PatchForm.GOT_SLOT and size == _SLOT)
    low = terms.const(patch.addend, terms.WORD) if aligned else value
    if size > _SLOT or (size > 1 and terms.extract(low, 0, size.bit_length() - 1).value != 0):
        raise UnsupportedError("a load at the low bits of an address that may not be aligned")
    return terms.zext(terms.extract(value, 0, 12), 64)


def _load(size: int, *, is_signed: bool = False) -> Callable[[State, Code, Operation], Control]:
    """Make a load of `size` bytes, 0 for the register's."""

    def step(state: State, code: Code, op: Operation) -> Control:
        name, width = target(op)
        pair = hole(code, op, (_PAIR,))
        if pair is not None:
            write(state, name, _relaxed(state, code, op, pair))
            return None
        count = size or width // 8
        value = code.load(state, _address(state, code, op, count), count)
        write(state, name, terms.sext(value, width) if is_signed else terms.zext(value, width))
        return None

    return step


def _relaxed(state: State, code: Code, op: Operation, pair: Patch) -> Term:
    """Load what the pair's slot holds; jit.c has one register for both instructions, which must be so."""
    name = op.operands[0].register
    fits = op.name == "ldr" and width_of(name) == 64 and op.operands[1].base == name and not op.operands[1].index
    if not fits or op.writeback or op.offset != pair.offsets[1]:
        raise UnsupportedError(f"jit.c would take {op.text} for a load into one register")
    if register(state, name) is not _half(code, pair):
        raise UnsupportedError("a half of a pair that jit.c relaxes")
    return code.load(state, code.value(pair), 8)


def _half(code: Code, pair: Patch) -> Term:
    return terms.sym(f"undefined page {pair.offsets[0]} of {code.side}")


def _store(size: int) -> Callable[[State, Code, Operation], Control]:
    def step(state: State, code: Code, op: Operation) -> Control:
        name, width = target(op)
        count = size or width // 8
        value = terms.extract(register(state, name), 0, 8 * count)
        store(state, _address(state, code, op, count), value)
        return None

    return step


def _load_pair(state: State, code: Code, op: Operation) -> Control:
    names = [operand.register for operand in op.operands[:2]]
    narrow = op.name == "ldpsw"
    if names[0] == names[1]:
        raise UnsupportedError(f"{op.text}, which writes one register twice")
    size = 4 if narrow else width_of(names[0]) // 8
    place = _address(state, code, op, size)
    values = [code.load(state, terms.offset(place, size * number), size) for number in (0, 1)]
    for name, value in zip(names, values, strict=True):
        write(state, name, terms.sext(value, 64) if narrow else value)
    return None


def _store_pair(state: State, code: Code, op: Operation) -> Control:
    names = [operand.register for operand in op.operands[:2]]
    values = [register(state, name) for name in names]
    place = _address(state, code, op, values[0].width // 8)
    for number, value in enumerate(values):
        store(state, terms.offset(place, number * value.width // 8), value)
    return None


def _adrp(state: State, code: Code, op: Operation) -> Control:
    name, _ = target(op)
    pair = hole(code, op, (_PAIR,))
    if pair is not None:
        if op.offset != pair.offsets[0]:
            raise UnsupportedError("a pair of holes in the wrong order")
        write(state, name, _half(code, pair))
        return None
    patch = hole(code, op, _PAGES)
    if patch is None:
        raise UnsupportedError("an address in the code")
    value = code.value(patch)
    write(state, name, terms.sub(value, terms.zext(terms.extract(value, 0, 12), 64)))
    return None


STEPS: Final[Mapping[str, Step]] = {
    **dict.fromkeys(("ldr", "ldur"), _load(0)),
    **dict.fromkeys(("ldrb", "ldurb"), _load(1)),
    **dict.fromkeys(("ldrh", "ldurh"), _load(2)),
    **dict.fromkeys(("ldrsb", "ldursb"), _load(1, is_signed=True)),
    **dict.fromkeys(("ldrsh", "ldursh"), _load(2, is_signed=True)),
    **dict.fromkeys(("ldrsw", "ldursw"), _load(4, is_signed=True)),
    **dict.fromkeys(("str", "stur"), _store(0)),
    **dict.fromkeys(("strb", "sturb"), _store(1)),
    **dict.fromkeys(("strh", "sturh"), _store(2)),
    **dict.fromkeys(("ldp", "ldpsw"), _load_pair),
    "stp": _store_pair,
    "adrp": _adrp,
}
