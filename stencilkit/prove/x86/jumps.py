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
from stencilkit.prove.x86.operands import STACK, Step, read, write


def _push(state: State, code: Code, op: Operation) -> Control:
    _whole(code, op)
    _pushed(state, code, read(state, code, op, op.operands[0]))
    return None


def _whole(code: Code, op: Operation) -> None:
    """Refuse an operand that is not a word."""
    if 8 * op.operands[0].size != code.word:
        raise UnsupportedError(op.text)


def _pushed(state: State, code: Code, value: Term) -> None:
    """Put a word on the stack."""
    stack = STACK[code.word]
    state.registers[stack] = terms.offset(state.registers[stack], -code.word // 8)
    store(state, state.registers[stack], value)


def _popped(state: State, code: Code) -> Term:
    """Take a word from the stack."""
    stack = STACK[code.word]
    value = load(state, state.registers[stack], code.word // 8)
    state.registers[stack] = terms.offset(state.registers[stack], code.word // 8)
    return value


def _pop(state: State, code: Code, op: Operation) -> Control:
    _whole(code, op)
    write(state, code, op, op.operands[0], _popped(state, code))
    return None


def _ret(state: State, code: Code, op: Operation) -> Control:
    if op.operands:
        raise UnsupportedError("ret with a count")
    back = _back(state, code)
    address = _popped(state, code)
    return Return(address) if back is None else Jump(back)


def _back(state: State, code: Code) -> int | None:
    """Return where in the stencil the word on top of the stack returns to; None if that is the stencil's caller."""
    address = load(state, state.registers[STACK[code.word]], code.word // 8)
    return terms.sub(address, code.start).value


def _target(state: State, code: Code, op: Operation) -> int | Term:
    """Work out where a jump or call goes."""
    operand = op.operands[0]
    if operand.kind != "number":
        _whole(code, op)  # a far one is not
        return read(state, code, op, operand)
    hole = code.hole(op, op.places[0], relative=True)
    return operand.number if hole is None else terms.offset(hole, op.size - op.places[0][0])


def _jmp(state: State, code: Code, op: Operation) -> Control:
    target = _target(state, code, op)
    back = None if isinstance(target, int) else _back(state, code)
    if isinstance(target, int) or back is None:
        return Jump(target)
    # The last call of a function of the stencil's own: what is called returns to where that would.
    _popped(state, code)
    state.pc = back
    return Call(target)


def _call(state: State, code: Code, op: Operation) -> Control:
    target = _target(state, code, op)
    if isinstance(target, int):
        # What a compiler has kept as a function of its own is run as the rest of the stencil.
        _pushed(state, code, terms.offset(code.start, op.end))
        return Jump(target)
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
