"""The stack, jumps, calls and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Branch, Call, Control, Jump, Return, State, UnsupportedError, load, store
from stencilkit.prove.terms import Term
from stencilkit.prove.x86.flags import CODES, condition
from stencilkit.prove.x86.operands import Step, read, write


def _push(state: State, code: Code, op: Operation) -> Control:
    if op.operands[0].size != 8:
        raise UnsupportedError(op.text)
    value = read(state, code, op, op.operands[0])
    state.registers["rsp"] = terms.offset(state.registers["rsp"], -8)
    store(state, state.registers["rsp"], value)
    return None


def _pop(state: State, code: Code, op: Operation) -> Control:
    if op.operands[0].size != 8:
        raise UnsupportedError(op.text)
    value = load(state, state.registers["rsp"], 8)
    state.registers["rsp"] = terms.offset(state.registers["rsp"], 8)
    write(state, code, op, op.operands[0], value)
    return None


def _ret(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    if op.operands:
        raise UnsupportedError("ret with a count")
    back = load(state, state.registers["rsp"], 8)
    state.registers["rsp"] = terms.offset(state.registers["rsp"], 8)
    return Return(back)


def _target(state: State, code: Code, op: Operation) -> int | Term:
    """Work out where a jump or call goes."""
    operand = op.operands[0]
    if operand.kind != "number":
        if operand.size != 8:
            raise UnsupportedError(op.text)  # a far one, among others
        return read(state, code, op, operand)
    hole = code.hole(op, op.places[0], relative=True)
    return operand.number if hole is None else terms.offset(hole, op.size - op.places[0][0])


def _jmp(state: State, code: Code, op: Operation) -> Control:
    return Jump(_target(state, code, op))


def _call(state: State, code: Code, op: Operation) -> Control:
    target = _target(state, code, op)
    if isinstance(target, int):
        raise UnsupportedError("a call within the stencil")
    return Call(target)


def _jump_if(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        return Branch(condition(state, name), _target(state, code, op))

    return step


def _nop(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return None


STEPS: Final[Mapping[str, Step]] = {
    "push": _push,
    "pop": _pop,
    "ret": _ret,
    "jmp": _jmp,
    "call": _call,
    "nop": _nop,
    **{f"j{name}": _jump_if(name) for name in CODES},
}
