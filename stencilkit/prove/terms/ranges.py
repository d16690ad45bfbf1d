"""What is known of a number by what it is made of: the least and the most that it is, and low bits that are zero."""

from __future__ import annotations

from collections.abc import Mapping

from stencilkit.prove.terms.node import Term, const, mask, signed
from stencilkit.prove.terms.sums import parts


def highest(term: Term) -> int:
    """Return a number that a term is never above."""
    if term.op == "const":
        return int(term.extra[0])
    if term.op == "concat" and term.args[0].value == 0:
        return mask(term.width - term.args[0].width)
    return mask(term.width)


def reach(term: Term) -> tuple[int, int] | None:
    """Return the least and the most that a term can be, by what it is made of; None for a sum that can wrap."""
    number, factors = parts(term)
    least, most = added_up(number, factors, term.width)
    return (least, most) if least >= 0 and most <= mask(term.width) else None


def added_up(number: int, factors: Mapping[Term, int], width: int) -> tuple[int, int]:
    """Add the least and the most that multiples of terms can be to a number, without an end of numbers."""
    reaches = [signed(factor, width) * highest(one) for one, factor in factors.items()]
    return number + sum(min(one, 0) for one in reaches), number + sum(max(one, 0) for one in reaches)


def zeros(term: Term) -> int:
    """Count the low bits that are zero whatever a term is made of."""
    if term.op == "const":
        return low_zero(int(term.extra[0])) if term.extra[0] else term.width
    if term.op == "sum":
        number, rest = parts(term)
        return min(zeros(const(number, term.width)), *(zeros(one) + low_zero(by) for one, by in rest.items()))
    if term.op == "ite":
        return min(zeros(one) for one in term.args[1:])
    return zeros(term.args[-1]) if term.op == "concat" else 0


def low_zero(number: int) -> int:
    """Count the low bits of a number, which is not 0, that are zero."""
    return (number & -number).bit_length() - 1


def low_zeros(term: Term) -> int:
    """Count the low bits of a sum that are zero whatever its terms are."""
    number, rest = parts(term)
    bits = number
    for factor in rest.values():
        bits |= factor
    return low_zero(bits)
