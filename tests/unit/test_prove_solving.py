"""What comparisons leave of a sum: one number, none, or more of them."""

from __future__ import annotations

import pytest

from stencilkit.prove import solving, terms
from stencilkit.prove.terms import FALSE, Term

X, Y, Z = (terms.sym(name) for name in ("x", "y", "z"))
GAP = terms.sub(X, Y)


def below(term: Term, number: int) -> Term:
    return terms.less(term, terms.const(number, term.width), is_signed=False)


def is_not(condition: Term) -> Term:
    return terms.invert(condition)


def test_a_distance_that_is_compared_in_two_ways_is_one_number_between_them() -> None:
    """Below 32, by LLVM 19, and not 1 to 31, by LLVM 23: then it is 0, and z - x is z - y."""
    rows = [below(GAP, 32), is_not(below(terms.offset(GAP, -1), 31)), below(terms.sub(Z, X), 5)]
    assert FALSE not in solving.solved([*rows, below(terms.sub(Z, Y), 5)])
    assert FALSE in solving.solved([*rows, is_not(terms.eq(X, Y))])
    assert FALSE in solving.solved([*rows, is_not(below(terms.sub(Z, Y), 5))])


def test_an_equation_is_one_whichever_way_round_it_is() -> None:
    for number, sign in ((3, 1), (-3, -1), (0, 1)):
        equal = terms.eq(terms.scale(GAP, sign), terms.const(number * sign))
        differ = is_not(terms.eq(terms.offset(Y, number), X))
        assert FALSE in solving.solved([equal, differ])
        assert FALSE not in solving.solved([equal, is_not(terms.eq(terms.offset(Y, number + 1), X))])


@pytest.mark.parametrize(
    "rows",
    [
        [below(GAP, 32), is_not(below(terms.offset(GAP, -1), 30))],  # 0 and 31
        [below(GAP, 2)],
        [is_not(below(GAP, 32)), is_not(below(terms.offset(GAP, -1), 31))],
        [terms.eq(X, terms.const(4))],  # the solver sees that itself
        [terms.eq(terms.scale(GAP, 2), terms.const(4))],  # or it is half of all numbers more
    ],
)
def test_what_leaves_more_numbers_stays_as_it_is(rows: list[Term]) -> None:
    assert solving.solved(rows) == rows


def test_what_leaves_no_number_is_false() -> None:
    assert solving.solved([is_not(below(GAP, 32)), below(terms.offset(GAP, -1), 31)]) == [FALSE]
    assert solving.solved([terms.eq(GAP, terms.const(1)), terms.eq(GAP, terms.const(2))]) == [FALSE]
    assert solving.solved([below(GAP, 4), below(terms.scale(GAP, -1), 4), is_not(terms.eq(X, Y))]) == [FALSE]


def test_an_unknown_that_the_rest_is_made_of_is_no_solution() -> None:
    """A word at x less x: in the place of x would come x again."""
    held = terms.word("memory", X)
    rows = [terms.eq(terms.sub(held, X), terms.const(8)), is_not(below(X, 16))]
    assert solving.solved(rows)[1] is rows[1]
