"""Jumps, calls and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove import terms
from stencilkit.prove.aarch64.flags import (
    CODES,
    condition,
)
from stencilkit.prove.aarch64.operands import (
    MOVES,
    Step,
    hole,
    register,
)
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Branch, Call, Control, Jump, Return, State, UnsupportedError
from stencilkit.prove.terms import Term

_NEAR: Final = ("patch_aarch64_19r",)
_FAR: Final = ("patch_aarch64_26r", "patch_aarch64_trampoline")
# What 3.13's generator puts behind a stencil for a call that may be out of reach: an address in four pieces, and a jump
# there through x8, which callees may overwrite (CPython: _stencils.py, Stencil.emit_aarch64_trampoline).
_TRAMPOLINE: Final = tuple(("movk" if shift else "mov", function, shift) for function, shift in MOVES.items())


def _goal(code: Code, op: Operation, functions: tuple[str, ...]) -> int | Term:
    patch = hole(code, op, functions)
    return code.value(patch) if patch is not None else op.operands[-1].number


def _branch(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return Jump(_goal(code, op, _FAR))


def _branch_if(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        return Branch(condition(state, name), _goal(code, op, _NEAR))

    return step


def _branch_zero(*, zero: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        value = register(state, op.operands[0].register)
        truth = terms.eq(value, terms.const(0, value.width))
        return Branch(truth if zero else terms.invert(truth), _goal(code, op, _NEAR))

    return step


def _branch_bit(*, zero: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        bit = terms.extract(register(state, op.operands[0].register), op.operands[1].number, 1)
        return Branch(terms.invert(bit) if zero else bit, _goal(code, op, ()))

    return step


def _link(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    target = _goal(code, op, _FAR)
    return Call(_trampoline(code, target) if isinstance(target, int) else target)


def _trampoline(code: Code, place: int) -> Term:
    """Return where a trampoline within the stencil leads to."""
    found: dict[Term, None] = {}
    for number, (name, function, shift) in enumerate(_TRAMPOLINE):
        op = code.operations.get(place + 4 * number)
        patch = next((patch for start, patch in op.patches if start == 0), None) if op is not None else None
        if op is None or patch is None or (op.name, patch.func, op.operands[0].register) != (name, function, "x8"):
            raise UnsupportedError("a call within the stencil")
        if op.operands[1].number or op.operands[1].shift[1] != shift:
            raise UnsupportedError(f"{function} in {op.text}")
        found[code.value(patch)] = None
    last = code.operations.get(place + 4 * len(_TRAMPOLINE))
    if last is None or (last.name, [one.register for one in last.operands]) != ("br", ["x8"]) or len(found) != 1:
        raise UnsupportedError("a call within the stencil")
    return next(iter(found))


def _link_register(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return Call(register(state, op.operands[0].register))


def _jump_register(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return Jump(register(state, op.operands[0].register))


def _ret(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    if op.operands:
        raise UnsupportedError(op.text)
    return Return(state.registers["x30"])


def _nop(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return None


STEPS: Final[Mapping[str, Step]] = {
    "b": _branch,
    "bl": _link,
    "br": _jump_register,
    "blr": _link_register,
    "ret": _ret,
    "nop": _nop,
    "cbz": _branch_zero(zero=True),
    "cbnz": _branch_zero(zero=False),
    "tbz": _branch_bit(zero=True),
    "tbnz": _branch_bit(zero=False),
    **{f"b.{name}": _branch_if(name) for name in CODES},
}
