"""Flags and conditions.

Beside c, z, s, o and p there may be "l" (less, signed), "le" (less or equal, signed) and "be" (below or equal): a
comparison in one piece, so that "less or equal" one way is "not less" the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove import terms
from stencilkit.prove.machine import LazyFlag, State, UnsupportedError
from stencilkit.prove.terms import FALSE, Term


def _parity(result: Term) -> Term:
    bits = [terms.extract(result, bit, 1) for bit in range(8)]
    return terms.bitwise("xor", *bits, terms.TRUE)


def of_result(result: Term) -> dict[str, LazyFlag]:
    """Make the flags that follow from a result alone."""
    width = result.width
    return {
        "z": lambda: terms.eq(result, terms.const(0, width)),
        "s": lambda: terms.extract(result, width - 1, 1),
        "p": lambda: _parity(result),
    }


def top(term: Term) -> Term:
    """Take the highest bit."""
    return terms.extract(term, term.width - 1, 1)


def unknown(op: Operation, *names: str) -> dict[str, LazyFlag]:
    """Make flags that nobody may read."""

    def raised() -> Term:
        raise UnsupportedError(f"a flag that {op.name} leaves undefined")

    return dict.fromkeys(names, raised)


def added(left: Term, right: Term, carry: Term | None = None) -> tuple[Term, dict[str, LazyFlag]]:
    """Add, with flags."""
    width = left.width
    more = [terms.zext(carry, width)] if carry is not None else []
    result = terms.add(left, right, *more)

    def carried() -> Term:
        if carry is None:
            return terms.less(result, left, is_signed=False)
        wide = terms.add(*(terms.zext(one, width + 1) for one in (left, right, carry)))
        return terms.extract(wide, width, 1)

    def overflowed() -> Term:
        one, other = (terms.bitwise("xor", top(side), top(result)) for side in (left, right))
        return terms.both(one, other)

    return result, {**of_result(result), "c": carried, "o": overflowed}


def subtracted(left: Term, right: Term, borrow: Term | None = None) -> tuple[Term, dict[str, LazyFlag]]:
    """Subtract, with flags."""
    width = left.width
    result = terms.sub(left, right)
    if borrow is not None:
        result = terms.sub(result, terms.zext(borrow, width))

    def overflowed() -> Term:
        return terms.both(terms.bitwise("xor", top(left), top(right)), terms.bitwise("xor", top(left), top(result)))

    flags: dict[str, LazyFlag] = {**of_result(result), "o": overflowed}
    if borrow is None:
        return result, flags | {
            "z": lambda: terms.eq(left, right),
            "c": lambda: terms.less(left, right, is_signed=False),
            "l": lambda: terms.less(left, right, is_signed=True),
            "le": lambda: terms.invert(terms.less(right, left, is_signed=True)),
            "be": lambda: terms.invert(terms.less(right, left, is_signed=False)),
        }
    wide = terms.sub(
        terms.sub(terms.zext(left, width + 1), terms.zext(right, width + 1)), terms.zext(borrow, width + 1)
    )
    return result, flags | {"c": lambda: terms.extract(wide, width, 1)}


def logical(result: Term) -> dict[str, LazyFlag]:
    """Make the flags of an operation on bits."""
    return {
        **of_result(result),
        "c": lambda: FALSE,
        "o": lambda: FALSE,
        "l": lambda: top(result),
        "le": lambda: terms.invert(terms.less(terms.const(0, result.width), result, is_signed=True)),
        "be": lambda: terms.eq(result, terms.const(0, result.width)),
    }


def _less(state: State) -> Term:
    if "l" in state.flags:
        return state.flag("l")
    return terms.bitwise("xor", state.flag("s"), state.flag("o"))


def _less_or_equal(state: State) -> Term:
    return state.flag("le") if "le" in state.flags else terms.either(_less(state), state.flag("z"))


def _below_or_equal(state: State) -> Term:
    return state.flag("be") if "be" in state.flags else terms.either(state.flag("c"), state.flag("z"))


_CONDITIONS: Final[Mapping[str, Callable[[State], Term]]] = {
    "o": lambda state: state.flag("o"),
    "b": lambda state: state.flag("c"),
    "e": lambda state: state.flag("z"),
    "be": _below_or_equal,
    "s": lambda state: state.flag("s"),
    "p": lambda state: state.flag("p"),
    "l": _less,
    "le": _less_or_equal,
}
_OPPOSITE: Final = {"no": "o", "ae": "b", "ne": "e", "a": "be", "ns": "s", "np": "p", "ge": "l", "g": "le"}


def condition(state: State, name: str) -> Term:
    """Work out a condition from the flags."""
    if name in _OPPOSITE:
        return terms.invert(_CONDITIONS[_OPPOSITE[name]](state))
    return _CONDITIONS[name](state)


CODES: Final = (*_CONDITIONS, *_OPPOSITE)
