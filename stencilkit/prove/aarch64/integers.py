"""Moves and arithmetic of general registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove import terms
from stencilkit.prove.aarch64.flags import (
    Arithmetic,
    added,
    bits,
    subtracted,
)
from stencilkit.prove.aarch64.operands import (
    MOVES,
    Step,
    hole,
    read,
    register,
    target,
    write,
)
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError
from stencilkit.prove.terms import Term

_LOWS: Final = ("patch_aarch64_12", "patch_aarch64_12x")


def _three(arithmetic: Arithmetic, *, flags: bool = False) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        name, width = target(op)
        low = hole(code, op, _LOWS) if op.name == "add" else None
        left, right = (read(state, op, operand, width) for operand in op.operands[1:3])
        if low is not None:
            right = terms.zext(terms.extract(code.value(low), 0, 12), width)
        result, found = arithmetic(left, right)
        write(state, name, result)
        if flags:
            state.flags = found
        return None

    return step


def _compare(arithmetic: Arithmetic) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        width = target(op)[1]
        _, state.flags = arithmetic(*(read(state, op, operand, width) for operand in op.operands[:2]))
        return None

    return step


def _mov(state: State, code: Code, op: Operation) -> Control:
    name, width = target(op)
    patch = hole(code, op, tuple(MOVES))
    if patch is None:
        write(state, name, read(state, op, op.operands[1], width))
        return None
    # movz of the lowest bits: jit.c checks the shift that is encoded.
    if MOVES[patch.func] or op.operands[1].kind != "number" or op.operands[1].shift[1] or op.operands[1].number:
        raise UnsupportedError(f"{patch.func} in {op.text}")
    write(state, name, terms.zext(terms.extract(code.value(patch), 0, 16), width))
    return None


def _movk(state: State, code: Code, op: Operation) -> Control:
    name, width = target(op)
    low = op.operands[1].shift[1]
    patch = hole(code, op, tuple(MOVES))
    if patch is None:
        piece = terms.const(op.operands[1].number, 16)
    else:
        if MOVES[patch.func] != low:
            raise UnsupportedError(f"{patch.func} in {op.text}")
        piece = terms.extract(code.value(patch), low, 16)
    old = register(state, name)
    rows = [piece]
    if low:
        rows.append(terms.extract(old, 0, low))
    if low + 16 < width:
        rows.insert(0, terms.extract(old, low + 16, width - low - 16))
    write(state, name, terms.concat(*rows))
    return None


def _one(by: Callable[[Term], Term]) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        write(state, name, by(read(state, op, op.operands[1], width)))
        return None

    return step


def _extend(size: int, *, is_signed: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        value = terms.extract(register(state, op.operands[1].register), 0, size)
        write(state, name, terms.sext(value, width) if is_signed else terms.zext(value, width))
        return None

    return step


def _shift(kind: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        value, count = (read(state, op, operand, width) for operand in op.operands[1:3])
        write(state, name, terms.shift(kind, value, terms.bitwise("and", count, terms.const(width - 1, width))))
        return None

    return step


def _field(*, is_signed: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        low, size = (operand.number for operand in op.operands[2:4])
        value = terms.extract(register(state, op.operands[1].register), low, size)
        write(state, name, terms.sext(value, width) if is_signed else terms.zext(value, width))
        return None

    return step


def _field_up(*, is_signed: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        low, size = (operand.number for operand in op.operands[2:4])
        value = terms.extract(register(state, op.operands[1].register), 0, size)
        value = terms.sext(value, width) if is_signed else terms.zext(value, width)
        write(state, name, terms.shift("shl", value, terms.const(low, width)))
        return None

    return step


def _insert(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    """Write the low bits of a register over some bits of another, which keeps the rest."""
    name, width = target(op)
    low, size = (operand.number for operand in op.operands[2:4])
    old = register(state, op.operands[0].register)
    rows = [terms.extract(register(state, op.operands[1].register), 0, size)]
    if low:
        rows.append(terms.extract(old, 0, low))
    if low + size < width:
        rows.insert(0, terms.extract(old, low + size, width - low - size))
    write(state, name, terms.concat(*rows))
    return None


def _multiply(sign: int, widen: Callable[[Term, int], Term] | None = None) -> Step:
    """Make a multiplication, with what is added to it, or what it is subtracted from (`sign` is -1)."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        factors = [register(state, operand.register) for operand in op.operands[1:3]]
        if widen is not None:
            factors = [widen(factor, width) for factor in factors]
        result = terms.scale(terms.mul(factors[0], factors[1]), sign)
        if len(op.operands) == 4:
            result = terms.add(result, register(state, op.operands[3].register))
        write(state, name, result)
        return None

    return step


def _reversed(value: Term) -> Term:
    """Put the bits in the other order."""
    return terms.concat(*(terms.extract(value, bit, 1) for bit in range(value.width)))


def _leading_zeros(value: Term) -> Term:
    width = value.width
    result = terms.const(width, width)
    for bit in range(width):
        result = terms.ite(terms.extract(value, bit, 1), terms.const(width - 1 - bit, width), result)
    return result


STEPS: Final[Mapping[str, Step]] = {
    "mov": _mov,
    "movk": _movk,
    "mvn": _one(terms.invert),
    "rbit": _one(_reversed),
    "clz": _one(_leading_zeros),
    "neg": _one(lambda value: terms.scale(value, -1)),
    "add": _three(added),
    "adds": _three(added, flags=True),
    "sub": _three(subtracted),
    "subs": _three(subtracted, flags=True),
    "and": _three(bits("and")),
    "ands": _three(bits("and"), flags=True),
    "orr": _three(bits("or")),
    "orn": _three(bits("or", inverted=True)),
    "eor": _three(bits("xor")),
    "eon": _three(bits("xor", inverted=True)),
    "bic": _three(bits("and", inverted=True)),
    "bics": _three(bits("and", inverted=True), flags=True),
    "cmp": _compare(subtracted),
    "cmn": _compare(added),
    "tst": _compare(bits("and")),
    "lsl": _shift("shl"),
    "lsr": _shift("lshr"),
    "asr": _shift("ashr"),
    "ubfx": _field(is_signed=False),
    "sbfx": _field(is_signed=True),
    "ubfiz": _field_up(is_signed=False),
    "sbfiz": _field_up(is_signed=True),
    "bfi": _insert,
    "sxtb": _extend(8, is_signed=True),
    "sxth": _extend(16, is_signed=True),
    "sxtw": _extend(32, is_signed=True),
    "uxtb": _extend(8, is_signed=False),
    "uxth": _extend(16, is_signed=False),
    "mul": _multiply(1),
    "madd": _multiply(1),
    "msub": _multiply(-1),
    "mneg": _multiply(-1),
    "umull": _multiply(1, terms.zext),
    "umaddl": _multiply(1, terms.zext),
    "umsubl": _multiply(-1, terms.zext),
    "smull": _multiply(1, terms.sext),
    "smaddl": _multiply(1, terms.sext),
    "smsubl": _multiply(-1, terms.sext),
}
