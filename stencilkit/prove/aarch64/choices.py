"""What depends on a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove import terms
from stencilkit.prove.aarch64.flags import (
    Arithmetic,
    added,
    condition,
    subtracted,
)
from stencilkit.prove.aarch64.operands import (
    VIEWS,
    Step,
    read,
    target,
    write,
)
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Branch, Control, LazyFlag, State
from stencilkit.prove.terms import Term


def _same(value: Term) -> Term:
    return value


def _plus_one(value: Term) -> Term:
    return terms.offset(value, 1)


def _negated(value: Term) -> Term:
    return terms.scale(value, -1)


def _select(otherwise: Callable[[Term], Term]) -> Step:
    """Make a choice between two registers (csel), the second one changed (csinc, csinv, csneg)."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        yes, no = (read(state, op, operand, width) for operand in op.operands[1:3])
        truth = condition(state, op.condition)
        if (yes.frame or no.frame) and truth.value is None and width == terms.WORD:
            # An address is in the frame or it is not: go on in two ways.
            write(state, name, otherwise(no))
            return Branch(truth, op.end, VIEWS[name][0], yes)
        write(state, name, terms.ite(truth, yes, otherwise(no)))
        return None

    return step


def _conditional(change: Callable[[Term], Term]) -> Step:
    """Make a change of one register where a condition holds (cinc, cinv, cneg)."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        value = read(state, op, op.operands[1], width)
        write(state, name, terms.ite(condition(state, op.condition), change(value), value))
        return None

    return step


def _set(value: int) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = target(op)
        truth = condition(state, op.condition)
        write(state, name, terms.ite(truth, terms.const(value, width), terms.const(0, width)))
        return None

    return step


def _of_number(bits: int) -> dict[str, bool]:
    """Make the flags that a number of four bits says, with the comparisons that follow from them."""
    n, z, c, v = (bool(bits >> bit & 1) for bit in (3, 2, 1, 0))
    return {"n": n, "z": z, "c": c, "v": v, "lt": n != v, "le": z or n != v, "ls": z or not c}


def _conditional_compare(arithmetic: Arithmetic) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        width = target(op)[1]
        truth = condition(state, op.condition)
        _, found = arithmetic(*(read(state, op, operand, width) for operand in op.operands[:2]))
        bits = op.operands[2].number

        def flag(name: str, value: bool) -> LazyFlag:  # noqa: FBT001  # a flag
            return lambda: terms.ite(truth, found[name](), terms.const(value, 1))

        state.flags = {name: flag(name, value) for name, value in _of_number(bits).items() if name in found}
        return None

    return step


STEPS: Final[Mapping[str, Step]] = {
    "ccmp": _conditional_compare(subtracted),
    "ccmn": _conditional_compare(added),
    "csel": _select(_same),
    "csinc": _select(_plus_one),
    "csinv": _select(terms.invert),
    "csneg": _select(_negated),
    "cinc": _conditional(_plus_one),
    "cinv": _conditional(terms.invert),
    "cneg": _conditional(_negated),
    "cset": _set(1),
    "csetm": _set(-1),
}
