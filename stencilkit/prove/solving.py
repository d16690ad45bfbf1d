"""Sums that comparisons leave one number for: one of what is added up is then the rest of it.

Compilers compare a distance with numbers, each in its own way. Between the two ways, one distance may be left, and what
is known of the addresses excludes it. Cheap questions take every sum for an unknown of its own, and do not see that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stencilkit.prove import terms
from stencilkit.prove.terms import FALSE, Term

_MOST: Final = 8
"""How many equations are made use of."""
Span = tuple[int, int]
"""Numbers that a sum can be: the first, and how many; behind the last number comes 0."""


def solved(rows: list[Term]) -> list[Term]:
    """Write rows without the unknowns that they say to be sums of others; the same rows where they say of none.

    Whatever makes the rows true makes the new ones true.
    """
    for _ in range(_MOST):
        left = {total: _common(spans, total.width) for total, spans in _spans(rows).items()}
        if any(not length for _, length in left.values()):
            return [FALSE]
        found = _solution({total: number for total, (number, length) in left.items() if length == 1})
        if not found:
            break
        rows = [terms.replaced(row, found) for row in rows]
    return rows


def _solution(equations: Mapping[Term, int]) -> dict[Term, Term]:
    """Find an unknown, and what it is a sum of; nothing where there is none."""
    for total, number in equations.items():
        unknown = _unknown(total)
        if unknown is not None:
            rest = terms.offset(total, -number)
            factor = terms.signed(terms.parts(rest)[1][unknown], rest.width)
            return {unknown: terms.add(unknown, terms.scale(rest, -factor))}
    return {}


def _unknown(total: Term) -> Term | None:
    """Choose what a sum has once or minus once, and what nothing else in it is made of."""
    _, factors = terms.parts(total)
    for one, factor in factors.items():
        others = terms.below(other for other in factors if other is not one)
        if terms.signed(factor, total.width) in (1, -1) and one not in others:
            return one
    return None


def _spans(rows: Iterable[Term]) -> dict[Term, list[Span]]:
    """List what sums can be by the rows that compare them with numbers; each without the number in it."""
    found: dict[Term, list[Span]] = {}
    for row in rows:
        read = terms.bound(row) or _zero(row)
        if read is None or read[0].op != "sum" or len(read[0].args) == 1:
            continue
        below, length, holds = read
        number, _ = terms.parts(below)
        total, span = terms.offset(below, -number), (-number, length)
        size = 1 << total.width
        span = span if holds else (length - number, size - length)
        negated = terms.scale(total, -1)
        if negated.order < total.order:
            total, span = negated, (1 - span[0] - span[1], span[1])
        found.setdefault(total, []).append((span[0] % size, span[1]))
    return found


def _zero(row: Term) -> tuple[Term, int, bool] | None:
    """Read an equation with 0, or that something is not 0, as `terms.bound` would read "less than 1"."""
    holds = row.op == "zero"
    found = row if holds else terms.invert(row)
    return (found.args[0], 1, holds) if found.op == "zero" else None


def _common(spans: list[Span], width: int) -> Span:
    """Cut what the other spans exclude off both ends of the shortest one."""
    size = 1 << width
    start, length = min(spans, key=lambda span: span[1])
    changed = True
    while changed and length:
        changed = False
        for first, count in spans:
            low = (start - first) % size
            if low >= count:
                cut = min(size - low, length)
                start, length, changed = start + cut, length - cut, True
            elif low + length > count and low + length <= size:
                length, changed = count - low, True
    return start % size, length
