"""Flags and conditions.

Beside n, z, c and v there may be "lt" (less, signed), "le" (less or equal, signed) and "ls" (lower or same): a
comparison in one piece, so that "less or equal" one way is "not less" the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.prove import terms
from stencilkit.prove.machine import LazyFlag, State, UnsupportedError
from stencilkit.prove.terms import FALSE, Term

Flags = dict[str, LazyFlag]


def of_result(result: Term) -> Flags:
    """Make the flags that follow from a result alone."""
    width = result.width
    return {"z": lambda: terms.eq(result, terms.const(0, width)), "n": lambda: terms.extract(result, width - 1, 1)}


def top(term: Term) -> Term:
    """Take the highest bit."""
    return terms.extract(term, term.width - 1, 1)


def added(left: Term, right: Term) -> tuple[Term, Flags]:
    """Add, with flags; to add a number is to compare with the negative one, which the lowest number has not."""
    result, number = terms.add(left, right), right.value
    negative = terms.const(-(number or 0), right.width)
    compared: Flags = {
        "lt": lambda: terms.less(left, negative, is_signed=True),
        "le": lambda: terms.invert(terms.less(negative, left, is_signed=True)),
    }
    return result, {
        **(compared if number is not None and number != 1 << right.width - 1 else {}),
        **of_result(result),
        "c": lambda: terms.less(result, left, is_signed=False),
        "v": lambda: terms.both(
            terms.bitwise("xor", top(left), top(result)), terms.bitwise("xor", top(right), top(result))
        ),
    }


def subtracted(left: Term, right: Term) -> tuple[Term, Flags]:
    """Subtract, with flags."""
    result = terms.sub(left, right)
    return result, {
        **of_result(result),
        "z": lambda: terms.eq(left, right),
        "c": lambda: terms.invert(terms.less(left, right, is_signed=False)),
        "v": lambda: terms.both(
            terms.bitwise("xor", top(left), top(right)), terms.bitwise("xor", top(left), top(result))
        ),
        "lt": lambda: terms.less(left, right, is_signed=True),
        "le": lambda: terms.invert(terms.less(right, left, is_signed=True)),
        "ls": lambda: terms.invert(terms.less(right, left, is_signed=False)),
    }


Arithmetic = Callable[[Term, Term], tuple[Term, Flags]]


def bits(name: str, *, inverted: bool = False) -> Callable[[Term, Term], tuple[Term, Flags]]:
    """Make an operation on bits, with flags."""

    def arithmetic(left: Term, right: Term) -> tuple[Term, Flags]:
        result = terms.bitwise(name, left, terms.invert(right) if inverted else right)
        return result, {**of_result(result), "c": lambda: FALSE, "v": lambda: FALSE}

    return arithmetic


def _less(state: State) -> Term:
    if "lt" in state.flags:
        return state.flag("lt")
    return terms.bitwise("xor", state.flag("n"), state.flag("v"))


def _less_or_equal(state: State) -> Term:
    if "le" in state.flags:
        return state.flag("le")
    return terms.either(state.flag("z"), _less(state))


def _lower_or_same(state: State) -> Term:
    if "ls" in state.flags:
        return state.flag("ls")
    return terms.either(terms.invert(state.flag("c")), state.flag("z"))


_CONDITIONS: Final[Mapping[str, Callable[[State], Term]]] = {
    "eq": lambda state: state.flag("z"),
    "hs": lambda state: state.flag("c"),
    "mi": lambda state: state.flag("n"),
    "vs": lambda state: state.flag("v"),
    "ls": _lower_or_same,
    "lt": _less,
    "le": _less_or_equal,
}
_OPPOSITE: Final = {"ne": "eq", "lo": "hs", "pl": "mi", "vc": "vs", "hi": "ls", "ge": "lt", "gt": "le"}


def condition(state: State, name: str) -> Term:
    """Work out a condition from the flags."""
    if name in _OPPOSITE:
        return terms.invert(condition(state, _OPPOSITE[name]))
    if name not in _CONDITIONS:
        raise UnsupportedError(f"condition {name}")
    return _CONDITIONS[name](state)


CODES: Final = (*_CONDITIONS, *_OPPOSITE)
