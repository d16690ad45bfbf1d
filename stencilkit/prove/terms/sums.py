"""Sums: a number plus multiples of terms that are not sums.

`extra` is the number and the factors, in the order of args.
"""

from __future__ import annotations

from collections.abc import Mapping

from stencilkit.prove.terms.node import Term, call, const, make, mask, signed


def parts(term: Term) -> tuple[int, dict[Term, int]]:
    """Take a term as a sum: the number in it, and the factor of each other term."""
    if term.op == "const":
        return int(term.extra[0]), {}
    if term.op == "sum":
        return int(term.extra[0]), dict(zip(term.args, map(int, term.extra[1:]), strict=True))
    return 0, {term: 1}


def linear(number: int, factors: Mapping[Term, int], width: int) -> Term:
    """Make the sum of a number and multiples of terms."""
    bits = mask(width)
    if any(term.width != width for term in factors):
        raise TypeError("terms of several widths")
    kept: dict[Term, int] = {}
    live = {term: factor & bits for term, factor in factors.items() if factor & bits}
    if not number & bits and len(live) == 1 and 1 in live.values():
        return next(iter(live))
    for term, factor in live.items():
        chosen = _choice(term)
        if chosen is None:
            _add_scaled(kept, term, factor, width)
            continue
        least, more, bit = chosen
        number += least * factor
        _add_scaled(kept, bit, more * factor & bits, width)
    rows = sorted(((t, f & bits) for t, f in kept.items() if f & bits), key=lambda row: row[0].order)
    if not rows:
        return const(number, width)
    if not number & bits and len(rows) == 1 and rows[0][1] == 1:
        return rows[0][0]
    return make("sum", tuple(t for t, _ in rows), width, number & bits, *(f for _, f in rows))


def _choice(term: Term) -> tuple[int, int, Term] | None:
    """Take a choice between two numbers as the second one, how much more the first is, and a bit, widened.

    So multiples of choices have one form, whichever of choice and multiple is made first.
    """
    width, inner = term.width, _narrow(term)
    if width == 1:
        return None
    if inner.op == "ite":
        condition, (yes, no) = inner.args[0], (one.value for one in inner.args[1:])
    elif inner.width == 1:
        condition, yes, no = inner, 1, 0
    else:
        return None
    if yes is None or no is None:
        return None
    if term.op == "sext":
        yes, no = signed(yes, inner.width), signed(no, inner.width)
    if condition.op == "xor" and condition.args[-1].value == 1 and len(condition.args) == 2:
        condition, yes, no = condition.args[0], no, yes
    return no, yes - no, make("concat", (const(0, width - 1), condition), width)


def _narrow(term: Term) -> Term:
    """Return what was widened, or the term itself."""
    if term.op == "sext":
        return term.args[0]
    widened = term.op == "concat" and len(term.args) == 2 and term.args[0].value == 0
    return term.args[1] if widened else term


def _add_scaled(kept: dict[Term, int], term: Term, factor: int, width: int) -> None:
    """Add a multiple; bits at the top that the factor shifts out do not count, and are not part of the normal form."""
    lost = (factor & -factor).bit_length() - 1
    if lost and term.op == "concat" and term.args[0].op == "const" and term.args[0].width <= lost:
        rest = join(term.args[1:])
        if rest.op == "extract" and rest.extra[0] == 0 and rest.args[0].width == width:
            term = rest.args[0]
    kept[term] = kept.get(term, 0) + factor


def add(*terms: Term) -> Term:
    """Add terms of one width."""
    number = 0
    factors: dict[Term, int] = {}
    for term in terms:
        more, rest = parts(term)
        number += more
        for one, factor in rest.items():
            factors[one] = factors.get(one, 0) + factor
    return linear(number, factors, terms[0].width)


def scale(term: Term, factor: int) -> Term:
    """Multiply by a number."""
    number, rest = parts(term)
    return linear(number * factor, {one: by * factor for one, by in rest.items()}, term.width)


def sub(left: Term, right: Term) -> Term:
    """Subtract."""
    return add(left, scale(right, -1))


def offset(term: Term, number: int) -> Term:
    """Add a number."""
    return add(term, const(number, term.width)) if number else term


def mul(left: Term, right: Term) -> Term:
    """Multiply; of two unknowns it is an uninterpreted, commutative function."""
    for one, other in ((left, right), (right, left)):
        if one.value is not None:
            return scale(other, one.value)
    return call(f"mul{left.width}", (left, right), left.width, commutes=True)


def join(rows: tuple[Term, ...]) -> Term:
    """Put terms beside each other that nothing can be said of."""
    return rows[0] if len(rows) == 1 else make("concat", rows, sum(one.width for one in rows))
