"""Floating point and vectors: values that are moved are bits, those that are computed are uninterpreted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError
from stencilkit.prove.terms import FALSE, Term
from stencilkit.prove.x86.operands import VECTORS, Step, address, read, write


def _move_vector(size: int, *, clears: bool) -> Step:
    """Make a step that moves the low `size` bytes; a load clears the rest (movsd, movq), a register move does not."""

    def step(state: State, code: Code, op: Operation) -> Control:
        target, source = op.operands
        value = terms.extract(_vector(state, code, op, source, size), 0, 8 * size)
        if target.register in VECTORS and size < 16:
            old = state.registers[target.register]
            zero = clears or source.kind == "memory"
            high = terms.const(0, 128 - 8 * size) if zero else terms.extract(old, 8 * size, 128 - 8 * size)
            value = terms.concat(high, value)
        write(state, code, op, target, value)
        return None

    return step


def _move_low(state: State, code: Code, op: Operation) -> Control:
    target, source = op.operands
    if target.kind == "memory":
        write(state, code, op, target, terms.extract(_whole(state, source.register), 0, 64))
        return None
    old = _whole(state, target.register)
    write(state, code, op, target, terms.concat(terms.extract(old, 64, 64), _vector(state, code, op, source, 8)))
    return None


def _vector(state: State, code: Code, op: Operation, operand: Operand, size: int) -> Term:
    if operand.kind == "memory":
        return code.load(state, address(state, code, op, operand), size)
    return read(state, code, op, operand)


def _whole(state: State, name: str) -> Term:
    """Read a vector register.

    Raises: UnsupportedError for those of MMX.
    """
    if name not in VECTORS:
        raise UnsupportedError(f"register {name}")
    return state.registers[name]


def _scalar(name: str, *, commutes: bool = False) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        old = read(state, code, op, op.operands[0])
        left, right = terms.extract(old, 0, 64), terms.extract(_vector(state, code, op, op.operands[1], 8), 0, 64)
        result = terms.call(name, (left, right), 64, commutes=commutes)
        write(state, code, op, op.operands[0], terms.concat(terms.extract(old, 64, 64), result))
        return None

    return step


def _compare_scalar(state: State, code: Code, op: Operation) -> Control:
    left, right = (terms.extract(_vector(state, code, op, one, 8), 0, 64) for one in op.operands)
    below, above = terms.call("float less", (left, right), 1), terms.call("float less", (right, left), 1)
    unordered = terms.call("float unordered", (left, right), 1, commutes=True)
    # Equal is: neither less, nor greater, nor unordered. Unordered sets z, p and c.
    equal = terms.invert(terms.either(below, above, unordered))
    state.flags = {
        "z": lambda: terms.either(equal, unordered),
        "p": lambda: unordered,
        "c": lambda: terms.either(below, unordered),
        "o": lambda: FALSE,
        "s": lambda: FALSE,
    }
    return None


def _vector_bits(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (_vector(state, code, op, one, 16) for one in op.operands)
        write(state, code, op, op.operands[0], terms.bitwise(name, left, right))
        return None

    return step


def _convert(state: State, code: Code, op: Operation) -> Control:
    source = read(state, code, op, op.operands[1])
    old = _whole(state, op.operands[0].register)
    value = terms.call(f"{op.name}{source.width}", (source,), 64)
    write(state, code, op, op.operands[0], terms.concat(terms.extract(old, 64, 64), value))
    return None


def _unpack(width: int, *, high: bool) -> Step:
    """Make a step that interleaves the halves of two vectors."""

    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (_vector(state, code, op, one, 16) for one in op.operands)
        base = 64 if high else 0
        rows = []
        for low in range(base, base + 64, width):
            rows += [terms.extract(left, low, width), terms.extract(right, low, width)]
        write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
        return None

    return step


def _lanes(width: int, by: Callable[[Term, Term], Term]) -> Step:
    """Make a step on each lane of two vectors."""

    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (_vector(state, code, op, one, 16) for one in op.operands)
        rows = [by(terms.extract(left, low, width), terms.extract(right, low, width)) for low in range(0, 128, width)]
        write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
        return None

    return step


def _shuffle(state: State, code: Code, op: Operation) -> Control:
    value = _vector(state, code, op, op.operands[1], 16)
    order = op.operands[2].number
    rows = [terms.extract(value, 32 * (order >> 2 * lane & 3), 32) for lane in range(4)]
    write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
    return None


def _shift_lanes(name: str, width: int) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        value, count = _whole(state, op.operands[0].register), op.operands[1]
        if count.kind != "number":
            raise UnsupportedError(f"{op.name} by a variable")
        by = terms.const(count.number & 255, width)
        rows = [terms.shift(name, terms.extract(value, low, width), by) for low in range(0, 128, width)]
        write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
        return None

    return step


STEPS: Final[Mapping[str, Step]] = {
    "movsd": _move_vector(8, clears=False),
    "movq": _move_vector(8, clears=True),
    "movd": _move_vector(4, clears=True),
    "movss": _move_vector(4, clears=False),
    **dict.fromkeys(("movups", "movaps", "movupd", "movapd", "movdqu", "movdqa"), _move_vector(16, clears=False)),
    **dict.fromkeys(("movlps", "movlpd"), _move_low),
    "addsd": _scalar("float add", commutes=True),
    "subsd": _scalar("float sub"),
    "mulsd": _scalar("float mul", commutes=True),
    "divsd": _scalar("float div"),
    "ucomisd": _compare_scalar,
    "comisd": _compare_scalar,
    "cvtsi2sd": _convert,
    **dict.fromkeys(("xorps", "xorpd", "pxor"), _vector_bits("xor")),
    **dict.fromkeys(("andps", "andpd", "pand"), _vector_bits("and")),
    **dict.fromkeys(("orps", "orpd", "por"), _vector_bits("or")),
    "punpcklqdq": _unpack(64, high=False),
    "unpcklpd": _unpack(64, high=False),
    "unpckhpd": _unpack(64, high=True),
    "punpckhqdq": _unpack(64, high=True),
    "punpckldq": _unpack(32, high=False),
    "unpcklps": _unpack(32, high=False),
    "paddd": _lanes(32, terms.add),
    "paddq": _lanes(64, terms.add),
    "psubd": _lanes(32, terms.sub),
    "psubq": _lanes(64, terms.sub),
    "pcmpeqd": _lanes(32, lambda left, right: terms.sext(terms.eq(left, right), 32)),
    "pshufd": _shuffle,
    "pslld": _shift_lanes("shl", 32),
    "psllq": _shift_lanes("shl", 64),
    "psrld": _shift_lanes("lshr", 32),
    "psrlq": _shift_lanes("lshr", 64),
}
