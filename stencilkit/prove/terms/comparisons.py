"""Comparisons: terms of one bit."""

from __future__ import annotations

from stencilkit.prove.terms.bits import bitwise, both, extract, higher, invert, ite, sext
from stencilkit.prove.terms.node import FALSE, TRUE, Term, by_order, const, make, mask, signed
from stencilkit.prove.terms.ranges import low_zeros, reach
from stencilkit.prove.terms.sums import offset, parts, scale, sub


def eq(left: Term, right: Term) -> Term:
    """Compare for equality: the difference, with the sign that comes first in order, is zero."""
    if left is right:
        return TRUE
    if left.value is not None and right.value is not None:
        return FALSE
    if left.width == 1:
        return bitwise("xor", left, right, TRUE)
    for one, other in ((left, right), (right, left)):
        if other.value is not None and one.op != "sum":
            return _equals(one, other.value)
    return _is_zero(sub(left, right))


def _is_zero(gap: Term) -> Term:
    """Compare a difference with zero: it has the sign that comes first in order."""
    if gap.value is not None:
        return const(gap.value == 0, 1)
    shift = _masked(gap)
    if shift:
        # References to objects, compared without their tags.
        return eq(higher(gap, shift), const(0, gap.width - shift))
    return make("zero", (min(gap, scale(gap, -1), key=by_order),), 1)


def _masked(term: Term) -> int:
    """Return how many low bits were masked out of all that is added up, if there is nothing else; 0 if there is."""
    number, rest = parts(term)
    shift = low_zeros(term)
    fits = number == 0 and all(
        one.op == "concat" and one.args[0].value == 0 and one.args[0].width == shift and one.args[1].op == "extract"
        for one in rest
    )
    return shift if fits else 0


def _equals(term: Term, number: int) -> Term:
    if term.op == "concat":
        low, facts = 0, []
        for one in reversed(term.args):
            facts.append(eq(one, const(number >> low, one.width)))
            low += one.width
        return both(*facts)
    if term.op == "ite" and (term.args[1].value is not None or term.args[2].value is not None):
        return ite(term.args[0], *(eq(one, const(number, one.width)) for one in term.args[1:]))
    if term.op == "sext":
        inner = term.args[0]
        narrow = const(number, inner.width)
        return eq(inner, narrow) if sext(narrow, term.width).value == number else FALSE
    if term.op == "xor" and term.args[-1].value is not None:
        return eq(bitwise("xor", term, term.args[-1]), const(number ^ term.args[-1].value, term.width))
    if term.op == "xor" and len(term.args) == 2 and not number:
        return eq(*term.args)
    return _is_zero(offset(term, -number))


def bound(row: Term) -> tuple[Term, int, bool] | None:
    """Read a condition that compares with a number: what is compared, the number, and whether it says "less"."""
    is_less = row.op == "ult"
    found = row if is_less else invert(row)
    number = found.args[1].value if found.op == "ult" else None
    return None if number is None else (found.args[0], number, is_less)


def less(left: Term, right: Term, *, is_signed: bool) -> Term:
    """Compare for order."""
    if left is right:
        return FALSE
    if left.value is not None and right.value is not None:
        values = [signed(one.value or 0, one.width) if is_signed else one.value or 0 for one in (left, right)]
        return const(values[0] < values[1], 1)
    return _less_signed(left, right) if is_signed else _less_unsigned(left, right)


def _less_unsigned(left: Term, right: Term) -> Term:
    zero = const(0, left.width)
    if right is zero or left.value == mask(left.width):
        return FALSE
    if right.value == 1:
        return eq(left, zero)
    if left.op == "xor" and right.value is not None and right.value & right.value - 1 == 0:
        # What differs in low bits alone. Of all else, a bound says more as it is: see `cases` and `apart`.
        low = right.value.bit_length() - 1
        return eq(extract(left, low, left.width - low), const(0, left.width - low))
    if left is zero:
        return invert(eq(right, zero))
    if left.value is not None:
        return invert(_less_unsigned(right, const(left.value + 1, right.width)))
    apart = _apart(left, right)
    return make("ult", (left, right), 1) if apart is None else const(apart, 1)


def _apart(left: Term, right: Term) -> bool | None:
    """Compare for order by how little and how much each can be; None where that does not say."""
    one, other = reach(left), reach(right)
    if one is None or other is None:
        return None
    if one[1] < other[0]:
        return True
    return False if one[0] >= other[1] else None


def _less_signed(left: Term, right: Term) -> Term:
    width = left.width
    if right.value == 0:
        return extract(left, width - 1, 1)
    if left.value == mask(width):
        return invert(extract(right, width - 1, 1))
    if left.value is not None and left.value != mask(width) >> 1:
        return invert(less(right, const(left.value + 1, width), is_signed=True))
    return make("slt", (left, right), 1)
