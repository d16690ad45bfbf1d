"""Floating point: values that are moved are bits, those that are computed are uninterpreted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove import terms
from stencilkit.prove.aarch64.operands import (
    VECTORS,
    VIEWS,
    Step,
    register,
    target,
    width_of,
    write,
)
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError


def _float(name: str, *, commutes: bool = False) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name_of, width = target(op)
        values = [register(state, operand.register) for operand in op.operands[1:]]
        if width != 64 or any(value.width != 64 for value in values):
            raise UnsupportedError(op.text)
        write(state, name_of, terms.call(name, values, 64, commutes=commutes))
        return None

    return step


def _float_negated(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name, width = target(op)
    value = register(state, op.operands[1].register)
    write(state, name, terms.bitwise("xor", value, terms.const(1 << (width - 1), width)))
    return None


def _float_compare(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    left = register(state, op.operands[0].register)
    second = op.operands[1] if len(op.operands) > 1 else None
    right = register(state, second.register) if second and second.register in VIEWS else terms.const(0)
    if left.width != 64 or right.width != 64 or (right.value == 0 and not op.text.endswith("#0.0")):
        raise UnsupportedError(op.text)
    below, above = terms.call("float less", (left, right), 1), terms.call("float less", (right, left), 1)
    unordered = terms.call("float unordered", (left, right), 1, commutes=True)
    equal = terms.invert(terms.either(below, above, unordered))
    # Less is n, equal z and c, greater c, unordered c and v.
    state.flags = {
        "n": lambda: terms.both(below, terms.invert(unordered)),
        "z": lambda: equal,
        "c": lambda: terms.either(terms.invert(below), unordered),
        "v": lambda: unordered,
    }
    return None


def _movi(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name = op.operands[0].register.replace("v", "q")
    if op.operands[1].number or name.replace("d", "q") not in VECTORS:
        raise UnsupportedError(op.text)
    state.registers[name.replace("d", "q")] = terms.const(0, 128)
    return None


def _fmov(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name, width = target(op)
    if op.operands[1].kind != "register" or width_of(op.operands[1].register) != width:
        raise UnsupportedError(op.text)
    write(state, name, register(state, op.operands[1].register))
    return None


STEPS: Final[Mapping[str, Step]] = {
    "fadd": _float("float add", commutes=True),
    "fsub": _float("float sub"),
    "fmul": _float("float mul", commutes=True),
    "fdiv": _float("float div"),
    "fneg": _float_negated,
    "fcmp": _float_compare,
    "movi": _movi,
    "fmov": _fmov,
}
