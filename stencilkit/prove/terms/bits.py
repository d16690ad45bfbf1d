"""Pieces of terms, put beside each other, combined bit by bit, shifted, or chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.prove.terms.node import FALSE, TRUE, Term, by_order, const, make, mask, signed, sym
from stencilkit.prove.terms.ranges import added_up, highest, low_zero, low_zeros, reach, zeros
from stencilkit.prove.terms.sums import add, join, mul, parts, scale, sub


def concat(*terms: Term) -> Term:
    """Put terms beside each other, the highest first; zeroes at the bottom are a multiplication."""
    rows: list[Term] = []
    for term in terms:
        for one in term.args if term.op == "concat" else (term,):
            _append(rows, one)
    if len(rows) == 1:
        return rows[0]
    if rows[-1].value == 0:
        low = rows.pop()
        top = join(tuple(rows))
        return scale(zext(top, top.width + low.width), 1 << low.width)
    return make("concat", tuple(rows), sum(one.width for one in rows))


def _append(rows: list[Term], term: Term) -> None:
    """Add a part at the bottom; two numbers, or two neighbouring pieces of one term, become one."""
    last = rows[-1] if rows else None
    if last is not None:
        width = last.width + term.width
        if last.value is not None and term.value is not None:
            rows[-1] = const(last.value << term.width | term.value, width)
            return
        if last.op == term.op == "extract" and last.args == term.args and last.extra[0] == _low(term) + term.width:
            rows[-1] = extract(term.args[0], _low(term), width)
            return
        # The lowest bits of a sum are no piece of it (they are a narrower sum): see `extract`.
        if last.op == "extract" and _low(last) == term.width and extract(last.args[0], 0, term.width) is term:
            rows[-1] = extract(last.args[0], 0, width)
            return
    rows.append(term)


def _low(term: Term) -> int:
    return int(term.extra[0])


def extract(term: Term, low: int, width: int) -> Term:
    """Take `width` bits from bit `low` on."""
    if low == 0 and width == term.width:
        return term
    through = _EXTRACTIONS.get(term.op)
    return _piece(term, low, width) if through is None else through(term, low, width)


def _piece(term: Term, low: int, width: int) -> Term:
    return make("extract", (term,), width, low)


def _extract_each(term: Term, low: int, width: int) -> Term:
    return bitwise(term.op, *(extract(one, low, width) for one in term.args))


def _extract_choice(term: Term, low: int, width: int) -> Term:
    yes, no = (extract(one, low, width) for one in term.args[1:])
    return ite(term.args[0], yes, no)


def _extract_signed(term: Term, low: int, width: int) -> Term:
    inner = term.args[0]
    if low + width <= inner.width:
        return extract(inner, low, width)
    return sext(inner, width) if low == 0 else _piece(term, low, width)


def _extract_call(term: Term, low: int, width: int) -> Term:
    if low == 0 and term.extra[0] == f"mul{term.width}":
        return mul(*(extract(one, 0, width) for one in term.args))
    return _piece(term, low, width)


def _extract_concat(term: Term, low: int, width: int) -> Term:
    found: list[Term] = []
    base = 0
    for one in reversed(term.args):
        start, end = max(low, base), min(low + width, base + one.width)
        if start < end:
            found.append(extract(one, start - base, end - start))
        base += one.width
    return concat(*reversed(found))


def _extract_sum(term: Term, low: int, width: int) -> Term:
    number, rest = parts(term)
    if low == 0:
        return linear_of(number, rest, width)
    high = _without_low(term, low)
    if high is not term:
        return extract(high, low, width)
    shift = low_zeros(term)
    if shift and low >= shift and len(rest) == 1 and number == 0:
        ((one, factor),) = rest.items()
        if factor == 1 << shift:
            return extract(one, low - shift, width)
    return _piece(term, low, width)


def linear_of(number: int, factors: Mapping[Term, int], width: int) -> Term:
    """Make a narrower sum of the low bits of terms."""
    total = const(number, width)
    for one, factor in factors.items():
        if factor & mask(width):
            total = add(total, scale(extract(one, 0, width), factor))
    return total


def _without_low(term: Term, low: int) -> Term:
    """Leave out of a sum what only changes bits below `low`, and fits where the rest has none."""
    number, rest = parts(term)
    small = {one: factor for one, factor in rest.items() if factor * highest(one) < 1 << low}
    least = min((zeros(one) + low_zero(factor) for one, factor in rest.items() if one not in small), default=low)
    low_number = number & (1 << min(least, low)) - 1
    most = low_number + sum(factor * highest(one) for one, factor in small.items())
    if not most or most >= 1 << min(least, low):
        return term
    total = const(number - low_number, term.width)
    return add(total, *(scale(one, factor) for one, factor in rest.items() if one not in small))


def higher(term: Term, low: int) -> Term:
    """Divide a sum by a power of two that all its factors are multiples of, to so many bits less."""
    number, rest = parts(term)
    return linear_of(number >> low, {one: factor >> low for one, factor in rest.items()}, term.width - low)


_EXTRACTIONS: Final[Mapping[str, Callable[[Term, int, int], Term]]] = {
    "const": lambda term, low, width: const(int(term.extra[0]) >> low, width),
    "extract": lambda term, low, width: extract(term.args[0], low + _low(term), width),
    "concat": _extract_concat,
    "sum": _extract_sum,
    "ite": _extract_choice,
    "sext": _extract_signed,
    "call": _extract_call,
    **dict.fromkeys(("and", "or", "xor"), _extract_each),
}


def zext(term: Term, width: int) -> Term:
    """Widen with zeroes; a sum of numbers that were narrower, and cannot wrap, is one of wider numbers."""
    if width == term.width:
        return term
    if term.op == "sum" and reach(term) is not None:
        number, factors = parts(term)
        rows = (scale(zext(one, width), signed(factor, term.width)) for one, factor in factors.items())
        return add(const(number, width), *rows)
    return concat(const(0, width - term.width), term)


def multiple(name: str, width: int, size: int) -> Term:
    """Make an unknown of which nothing is known but that it is a multiple of a size, which is a power of two."""
    bits = size.bit_length() - 1
    return scale(zext(sym(name, width - bits), width), 1 << bits)


def sext(term: Term, width: int) -> Term:
    """Widen with copies of the sign bit."""
    if width == term.width:
        return term
    if term.value is not None:
        return const(signed(term.value, term.width), width)
    if term.op == "sext":
        return sext(term.args[0], width)
    if term.op == "concat" and term.args[0].value is not None and term.args[0].value >> (term.args[0].width - 1) == 0:
        return zext(term, width)
    wide = _wide_sum(term, width)
    return make("sext", (term,), width) if wide is None else wide


def _wide_sum(term: Term, width: int) -> Term | None:
    """Widen with copies of the sign bit what is counted up or down from a number and cannot wrap, None for all else.

    That is a sum of numbers that were narrower. And all bits of one, inverted, are -1 minus it.
    """
    if term.op == "concat" and len(term.args) == 2 and term.args[0].value == mask(term.args[0].width):
        rest = term.args[1]
        if rest.op == "xor" and rest.args[-1].value == mask(rest.width):
            return sub(const(-1, width), zext(invert(rest), width))
    number, factors = parts(term)
    if any(one.op != "concat" or one.args[0].value != 0 for one in factors):
        return None
    least, most = added_up(signed(number, term.width), factors, term.width)
    if not -(1 << term.width - 1) <= least <= most < 1 << term.width - 1:
        return None
    rows = (scale(zext(one, width), signed(factor, term.width)) for one, factor in factors.items())
    return add(const(signed(number, term.width), width), *rows)


def bitwise(op: str, *terms: Term) -> Term:
    """And, or, exclusive or."""
    width = terms[0].width
    if any(term.width != width for term in terms):
        raise TypeError("terms of several widths")
    flat = [one for term in terms for one in (term.args if term.op == op else (term,))]
    number = mask(width) if op == "and" else 0
    rest: dict[Term, int] = {}
    for one in flat:
        if one.value is None:
            rest[one] = rest.get(one, 0) + 1
        else:
            number = {"and": number & one.value, "or": number | one.value, "xor": number ^ one.value}[op]
    kept = [one for one, times in rest.items() if op != "xor" or times % 2]
    kept.sort(key=by_order)
    total = _added(kept, number, width) if op == "or" else None
    return _bitwise(op, kept, number, width) if total is None else total


def _bitwise(op: str, kept: list[Term], number: int, width: int) -> Term:
    absorbing = {"and": 0, "or": mask(width)}.get(op)
    if number == absorbing or not kept:
        return const(number, width)
    if op != "xor" and width == 1 and any(invert(one) in kept for one in kept):
        return const(0 if op == "and" else 1, 1)
    rest = kept[0] if len(kept) == 1 else _split(op, kept, width)
    if number == (mask(width) if op == "and" else 0):
        return rest
    if op != "xor":
        return _masked(op, rest, number)
    if len(kept) == 1 and rest.op in ("concat", "ite"):
        return _split(op, [rest, const(number, width)], width)
    return make(op, (*(rest.args if rest.op == op else (rest,)), const(number, width)), width)


def _added(kept: list[Term], number: int, width: int) -> Term | None:
    """Add what is put into the low bits of an address, which are zero: compilers write that as either."""
    bases = [one for one in kept if one.op in ("sum", "ite") and zeros(one)]
    if len(bases) != 1:
        return None
    rest = [one for one in kept if one is not bases[0]]
    if len(rest) > 1 or max(number, *map(highest, rest), 0) >= 1 << min(zeros(bases[0]), width):
        return None
    return add(bases[0], bitwise("or", *rest, const(number, width)))


def _split(op: str, kept: list[Term], width: int) -> Term:
    """Combine piece by piece where a term has pieces of numbers."""
    cuts = {0, width}
    worth = False
    for term in kept:
        base = 0
        for one in reversed(term.args if term.op == "concat" else (term,)):
            worth |= one.value is not None and term.op == "concat"
            base += one.width
            cuts.add(base)
    if not worth or len(cuts) == 2:
        return make(op, tuple(kept), width)
    marks = sorted(cuts)
    pieces = [
        bitwise(op, *(extract(term, low, high - low) for term in kept)) for low, high in itertools.pairwise(marks)
    ]
    return concat(*reversed(pieces))


def _masked(op: str, term: Term, number: int) -> Term:
    """And or or with a number: runs of bits that stay, between runs of zeroes or ones."""
    rows: list[Term] = []
    low = 0
    while low < term.width:
        bit = number >> low & 1
        high = low
        while high < term.width and number >> high & 1 == bit:
            high += 1
        stays = bit == (1 if op == "and" else 0)
        rows.append(extract(term, low, high - low) if stays else const(-bit, high - low))
        low = high
    return concat(*reversed(rows))


def invert(term: Term) -> Term:
    """Flip all bits."""
    return bitwise("xor", term, const(-1, term.width))


def both(*terms: Term) -> Term:
    """And of booleans."""
    return bitwise("and", *terms)


def either(*terms: Term) -> Term:
    """Or of booleans."""
    return bitwise("or", *terms)


def shift(op: str, term: Term, count: Term) -> Term:
    """Shift by a count of the same width: `shl`, `lshr` or `ashr`; counts beyond the width give what z3 gives."""
    width, by = term.width, count.value
    if by is None:
        return make(op, (term, count), width)
    if by == 0:
        return term
    if op == "shl":
        return scale(term, 1 << by) if by < width else const(0, width)
    if op == "lshr":
        return zext(extract(term, by, width - by), width) if by < width else const(0, width)
    by = min(by, width - 1)
    return sext(extract(term, by, width - by), width)


def ite(condition: Term, yes: Term, no: Term) -> Term:
    """Choose."""
    if condition.value is not None:
        return yes if condition.value else no
    if yes is no:
        return yes
    if condition.op == "xor" and condition.args[-1] is TRUE:
        return ite(invert(condition), no, yes)
    if yes.width == 1:
        if yes is TRUE or no is FALSE:
            return either(condition, no) if yes is TRUE else both(condition, yes)
        if yes is FALSE or no is TRUE:
            return both(invert(condition), no) if yes is FALSE else either(invert(condition), yes)
    return make("ite", (condition, yes, no), yes.width)
