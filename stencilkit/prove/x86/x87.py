"""The x87: a stack of registers. What is moved or negated is bits, what is computed is uninterpreted.

`fp` counts what is on the stack, so that what was there at the start, if anything, is below `fp0`: nothing of that can
be reached. Which precision and rounding its control word asks for is part of what is uninterpreted; no instruction that
reads or writes the control or status word is here. Source: Intel SDM, volume 1, 8.1 to 8.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError, store
from stencilkit.prove.terms import Term
from stencilkit.prove.x86.flags import unknown
from stencilkit.prove.x86.operands import REGISTERS, Step, address

WIDTH: Final = 80
_COUNT: Final = terms.sym("fp", REGISTERS[32]["fp"])
_MOST: Final = 8
_PLACES: Final = {f"st({number})": number for number in range(_MOST)}
_ONE: Final = 0x3FFF_8000_0000_0000_0000


def _depth(state: State) -> int:
    """Count what the stencil has put on the stack.

    Raises: UnsupportedError where that depends on something.
    """
    depth = terms.sub(state.registers["fp"], _COUNT).value
    if depth is None or depth > _MOST:
        raise UnsupportedError("a stack of floating point registers of unknown depth")
    return depth


def _name(state: State, place: int) -> str:
    """Name the register that is `place` below the top.

    Raises: UnsupportedError where that was put there before the stencil.
    """
    number = _depth(state) - 1 - place
    if number < 0:
        raise UnsupportedError(f"st({place}) as it was before the stencil")
    return f"fp{number}"


def _push(state: State, value: Term) -> None:
    if _depth(state) == _MOST:
        raise UnsupportedError("more floating point registers than there are")
    state.registers["fp"] = terms.offset(state.registers["fp"], 1)
    state.registers[_name(state, 0)] = value


def _pop(state: State) -> None:
    _name(state, 0)
    state.registers["fp"] = terms.offset(state.registers["fp"], -1)


def _place(op: Operation, operand: Operand) -> int:
    place = _PLACES.get(operand.register)
    if place is None:
        raise UnsupportedError(op.text)
    return place


def _read(state: State, code: Code, op: Operation, operand: Operand) -> Term:
    """Read a register of the stack, or memory, as wide as a register."""
    if operand.kind == "register":
        return state.registers[_name(state, _place(op, operand))]
    value = code.load(state, address(state, code, op, operand), operand.size)
    return value if value.width == WIDTH else terms.call(f"x87 of float{value.width}", (value,), WIDTH)


def _load(state: State, code: Code, op: Operation) -> Control:
    _push(state, _read(state, code, op, op.operands[0]))
    return None


def _load_integer(state: State, code: Code, op: Operation) -> Control:
    (operand,) = op.operands
    value = code.load(state, address(state, code, op, operand), operand.size)
    _push(state, terms.call(f"x87 of int{value.width}", (value,), WIDTH))
    return None


def _load_number(number: int) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        _push(state, terms.const(number, WIDTH))
        return None

    return step


def _store(*, pops: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        (operand,) = op.operands
        value = state.registers[_name(state, 0)]
        if operand.kind == "register":
            state.registers[_name(state, _place(op, operand))] = value
        else:
            width = 8 * operand.size
            stored = value if width == WIDTH else terms.call(f"float{width} of x87", (value,), width)
            store(state, address(state, code, op, operand), stored)
        if pops:
            _pop(state)
        return None

    return step


def _arithmetic(name: str, *, backwards: bool = False, commutes: bool = False, pops: bool = False) -> Step:
    """Make a step that combines two values; `backwards` takes the target for the second."""

    def step(state: State, code: Code, op: Operation) -> Control:
        # Of one operand, it is the source, and the top is the target; where it pops, the other way round.
        target = _place(op, op.operands[0]) if pops or len(op.operands) > 1 else 0
        top = state.registers[_name(state, 0)]
        source = top if pops or len(op.operands) > 1 else _read(state, code, op, op.operands[0])
        where = _name(state, target)
        rows = [state.registers[where], source]
        state.registers[where] = terms.call(name, reversed(rows) if backwards else rows, WIDTH, commutes=commutes)
        if pops:
            _pop(state)
        return None

    return step


def _compare(*, pops: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = state.registers[_name(state, 0)], _read(state, code, op, op.operands[-1])
        below = terms.call("x87 less", (left, right), 1)
        above = terms.call("x87 less", (right, left), 1)
        unordered = terms.call("x87 unordered", (left, right), 1, commutes=True)
        equal = terms.invert(terms.either(below, above, unordered))
        state.flags = {
            "z": lambda: terms.either(equal, unordered),
            "p": lambda: unordered,
            "c": lambda: terms.either(below, unordered),
            # Manuals disagree on these.
            **unknown(op, "o", "s"),
        }
        if pops:
            _pop(state)
        return None

    return step


def _exchange(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    one, other = _name(state, 0), _name(state, _place(op, op.operands[-1]))
    state.registers[one], state.registers[other] = state.registers[other], state.registers[one]
    return None


def _sign(by: Callable[[Term], Term]) -> Step:
    """Make a step that changes the sign of the top, whatever it is."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name = _name(state, 0)
        value = state.registers[name]
        sign = terms.extract(value, WIDTH - 1, 1)
        state.registers[name] = terms.concat(by(sign), terms.extract(value, 0, WIDTH - 1))
        return None

    return step


def _both(name: str, function: str, *, backwards: bool = False, commutes: bool = False) -> dict[str, Step]:
    """Make the rows of an operation and of the one that pops."""
    return {
        name: _arithmetic(function, backwards=backwards, commutes=commutes),
        f"{name}p": _arithmetic(function, backwards=backwards, commutes=commutes, pops=True),
    }


STEPS: Final[Mapping[str, Step]] = {
    "fld": _load,
    "fild": _load_integer,
    "fldz": _load_number(0),
    "fld1": _load_number(_ONE),
    "fst": _store(pops=False),
    "fstp": _store(pops=True),
    **_both("fadd", "x87 add", commutes=True),
    **_both("fmul", "x87 mul", commutes=True),
    **_both("fsub", "x87 sub"),
    **_both("fsubr", "x87 sub", backwards=True),
    **_both("fdiv", "x87 div"),
    **_both("fdivr", "x87 div", backwards=True),
    **dict.fromkeys(("fucomi", "fcomi"), _compare(pops=False)),
    **dict.fromkeys(("fucompi", "fcompi"), _compare(pops=True)),
    "fxch": _exchange,
    "fchs": _sign(terms.invert),
    "fabs": _sign(lambda _: terms.FALSE),
}
