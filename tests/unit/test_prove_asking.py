"""Cheap questions come first, and their "no" is never about more than is there."""

from __future__ import annotations

from stencilkit.pipeline import proving
from stencilkit.prove import conventions, facts, terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.solver import Solver

X, Y = terms.sym("x", 64), terms.sym("y", 64)


def equals(one: terms.Term, number: int) -> terms.Term:
    return terms.eq(one, terms.const(number, one.width))


def solver() -> Solver:
    return Solver(budget=1_000_000, step=1_000_000)


def test_what_is_read_over_other_writes_is_one_unknown_wherever_it_is_read() -> None:
    read = terms.over(terms.sub(X, Y), terms.const(5, 64), terms.word("memory", X))
    assert solver().impossible([equals(read, 1), equals(read, 2)])
    assert not solver().impossible([equals(read, 1), equals(terms.word("memory", X), 2)])


def test_what_only_the_distance_of_writes_rules_out_is_left_to_the_whole_question() -> None:
    read = terms.over(terms.sub(X, Y), terms.const(5, 64), terms.word("memory", X))
    rows = [terms.eq(X, Y), terms.invert(equals(read, 5))]
    assert not solver().impossible(rows)
    assert solver().satisfiable(rows) == "no"
    assert solver().satisfiable([terms.eq(X, Y), equals(read, 5)]) == "yes"


def test_what_is_added_up_is_one_unknown_but_for_its_number() -> None:
    """A range check of a sum of products, once as two comparisons and once as one: LLVM 21 and 23 on aarch64."""
    total = terms.add(terms.mul(X, Y), terms.sub(X, Y))
    within = terms.less(terms.offset(total, 5), terms.const(10, 64), is_signed=False)
    below = terms.less(total, terms.const(-5, 64), is_signed=False)
    above = terms.less(terms.const(4, 64), total, is_signed=False)
    assert solver().impossible([within, below, above], sums=True)
    assert not solver().impossible([within, below], sums=True)
    assert not solver().impossible([within, above], sums=True)
    other = terms.add(total, X)
    assert not solver().impossible([equals(total, 1), equals(other, 2), equals(X, 0)], sums=True)
    assert solver().satisfiable([equals(total, 1), equals(other, 2), equals(X, 0)]) == "no"


def test_a_sum_and_its_negation_are_one_unknown() -> None:
    """The same range check, once of a sum of products and once of the negated sum: LLVM 23 and 21 on aarch64."""
    for factor in (1, -1):  # whichever comes first in order
        total = terms.scale(terms.sub(terms.mul(X, Y), terms.add(X, Y)), factor)
        negated = terms.scale(total, -1)
        within = terms.less(terms.offset(total, 5), terms.const(10, 64), is_signed=False)  # -5 to 4
        also = terms.less(terms.offset(negated, 4), terms.const(10, 64), is_signed=False)  # -(-4 to 5)
        assert solver().impossible([within, terms.invert(also)], sums=True)
        assert solver().impossible([also, terms.invert(within)], sums=True)
        shifted = terms.less(terms.offset(negated, 5), terms.const(10, 64), is_signed=False)
        assert not solver().impossible([within, terms.invert(shifted)], sums=True)
        assert not solver().impossible([shifted, terms.invert(within)], sums=True)
        # The sum with another sign in it is another one.
        other = terms.scale(terms.add(terms.mul(X, Y), terms.sub(X, Y)), factor)
        assert not solver().impossible([equals(total, 1), equals(other, 1)], sums=True)
        assert not solver().impossible([equals(total, 1), equals(other, -1)], sums=True)


def test_every_question_costs_something() -> None:
    one = solver()
    one.impossible([equals(X, 1)])
    before = one.spent
    one.satisfiable([equals(X, 1)])
    assert 0 < before < one.spent


def test_a_solver_is_not_charged_with_what_another_one_asked() -> None:
    first, second = solver(), solver()
    for number in range(20):
        first.satisfiable([equals(terms.mul(X, Y), number)])
    second.satisfiable([equals(X, 1)])
    assert 20 * second.spent < 2 * first.spent


def test_near_are_the_facts_about_the_same_symbols() -> None:
    about_x, about_both = equals(X, 1), terms.eq(X, Y)
    read = equals(terms.word("memory", X), 3)
    known = Facts().plus(about_x, about_both, read)
    asked = equals(X, 2)
    assert facts.near(known, (asked,)) == [about_x, asked]
    assert facts.near(known, (terms.less(X, Y, is_signed=False),))[:2] == [about_x, about_both]
    assert facts.near(known, ()) == []


def test_what_debug_builds_call_is_declared_for_every_cpython() -> None:
    for series in conventions.ARGUMENTS:
        functions, objects = proving._known(series)  # what `prove` looks up
        assert functions["__assert_fail"].arguments == ("ptr", "ptr", "i32", "ptr")
        assert not functions["__assert_fail"].returns
        assert functions["_Py_INCREF_IncRefTotal"].returns
        assert objects["PyCode_Type"] == 8
