"""What is asked of the solver about a path, the cheap questions first.

A question without some of the facts has more answers, so a "no" to it is a "no" to the whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stencilkit.prove import facts as knowledge
from stencilkit.prove import objects, solving, tags, terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.solver import Answer
from stencilkit.prove.terms import Term

if TYPE_CHECKING:
    from stencilkit.prove.search import Search

_DECIDING: Final = 2_000_000
"""What it may cost to find that a branch goes one way only."""
_REACHING: Final = 3


def ask(search: Search, facts: Facts, *more: Term) -> Answer:
    """Ask whether facts and more conditions can be true together with what holds of symbols, and what is given.

    Raises: LimitError.
    """
    if search.solver.impossible(knowledge.counted(search.given, search.left.name, facts.plus(*more))):
        return "no"
    rows = _rows(search, facts, more)
    return "no" if _closed(search, facts, more, rows) else search.solver.satisfiable(rows)


def reached(search: Search, facts: Facts) -> bool:
    """Ask whether some values lead to an exit: to find them may cost more than other answers.

    Raises: LimitError.
    """
    return search.solver.satisfiable(_rows(search, facts, ()), _REACHING * search.solver.step) == "yes"


def decided(search: Search, facts: Facts, condition: Term) -> bool | None:
    """Ask which way a branch goes; None where both may be open.

    A way that is not known to be closed is taken, and what comes of it is asked about again. So this is cheap: first
    both ways without some of the facts, and then with all of them.

    Raises: LimitError.
    """
    ways = ((condition, False), (terms.invert(condition), True))
    if knowledge.is_counted(condition):
        # What is known of objects says nothing of an oparg, and would cost most.
        known = knowledge.counted(search.given, search.left.name, facts)
        return next((truth for way, truth in ways if search.solver.impossible([*known, way])), None)
    by_form = knowledge.is_null((*search.left.used, *search.right.used), condition)
    by_form = tags.decided(facts, condition) if by_form is None else by_form
    if by_form is not None:
        return by_form
    asked = [((way,), _rows(search, facts, (way,)), truth) for way, truth in ways]
    for more, rows, truth in asked:
        if _closed(search, facts, more, rows):
            return truth
    if condition in search.undecided and search.cases:
        return None  # with cases there are many ways to one branch, and to find it open costs most
    for _, rows, truth in asked:
        if search.solver.satisfiable(rows, min(_DECIDING, search.solver.step)) == "no":
            return truth
    search.undecided.add(condition)
    return None


def near(search: Search, facts: Facts, condition: Term) -> bool | None:
    """Ask which way a branch goes by the facts about what it counts alone; None where they do not say, or it reads.

    Raises: LimitError.
    """
    if any(one.op in ("over", "word") for one in terms.below((condition,))):
        return None
    for way, truth in ((condition, False), (terms.invert(condition), True)):
        rows = knowledge.near(facts, (way,))
        if len(rows) > 1 and search.solver.impossible(rows):
            return truth
    return None


def same(search: Search, facts: Facts, one: Term, other: Term) -> bool:
    """Ask whether facts say that two terms are equal, in so far as that is cheap to find.

    Raises: LimitError.
    """
    return search.solver.impossible([*facts.rows, terms.invert(terms.eq(one, other))])


def sampled(search: Search, facts: Facts) -> bool:
    """Find values for what is easy of some facts, which the solver then has; they prove nothing.

    Raises: LimitError.
    """
    easy = [row for row in facts.rows if all(one.op != "over" for one in terms.below((row,)))]
    return search.solver.satisfiable(easy, min(_DECIDING, search.solver.step)) == "yes"


def _rows(search: Search, facts: Facts, more: tuple[Term, ...]) -> list[Term]:
    rows = [*facts.rows, *more]
    used = dict.fromkeys((*search.left.used, *search.right.used))
    rows += knowledge.of_sizes(search.given, search.left.name, rows)
    rows += knowledge.of_opargs(search.given, search.left.name)
    there = search.there(Facts().plus(*rows))
    if objects.FACT in search.given:
        rows += objects.apart(there, rows)
    if objects.ALIGNED in search.given:
        rows += objects.aligned(there, rows)
    return rows + knowledge.of_symbols(used, rows)


def _closed(search: Search, facts: Facts, more: tuple[Term, ...], rows: list[Term]) -> bool:
    """Say whether a "no" is cheap to find: from the facts that are near, or whatever is read over other writes."""
    if terms.FALSE in rows:
        return True
    # What is given is about where objects are, which is what code compares before it copies.
    near = knowledge.near(facts.plus(*rows[len(facts.rows) + len(more) :]), more)
    if len(near) > len(more) and search.solver.impossible(near):
        return True
    below = terms.below(rows)
    # Ranges of sums of products: adding up is what is slow, and both sides add up the same.
    if any(_is_product(one) for one in below) and search.solver.impossible(rows, sums=True):
        return True
    if any(one.op == "over" for one in below) and search.solver.impossible(rows):
        return True
    without = solving.solved(rows)
    return without != rows and search.solver.impossible(without)


def _is_product(term: Term) -> bool:
    return term.op == "call" and str(term.extra[0]).startswith("mul")
