"""One form for what is the same in registers of both sides, by what is known."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from stencilkit.prove import asking, terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Pair, Side

if TYPE_CHECKING:
    from stencilkit.prove.search import Search

_QUESTIONS: Final = 24
"""How many terms are asked whether they are another one."""


def unified(search: Search, pair: Pair, facts: Facts) -> Pair:
    """Write what is in registers in the shortest form of what facts say is the same, on both sides.

    So what is made of it in the loop has one form.
    """
    rows = dict.fromkeys(term for side in pair for term in side.state.registers.values() if _may_be_another(term))
    # What is worth a question is seen from one case, which need not be of the whole path.
    if not asking.sampled(search, facts):
        return pair
    alike: dict[tuple[int, int], list[Term]] = {}
    for term in sorted(rows, key=lambda one: (len(terms.below((one,))), one.order)):
        alike.setdefault((term.width, search.solver.value(term)), []).append(term)
    guesses = [(one, other) for group in alike.values() for other, one in itertools.combinations(group, 2)]
    same: dict[Term, Term] = {}
    for one, other in guesses[:_QUESTIONS]:
        if one not in same and other not in same and asking.same(search, facts, one, other):
            same[one] = other
    return _rewritten(pair[0], same), _rewritten(pair[1], same)


def _rewritten(side: Side, same: dict[Term, Term]) -> Side:
    state = side.state.copy()
    state.registers = {name: same.get(term, term) for name, term in state.registers.items()}
    return Side(side.code, state)


def _may_be_another(term: Term) -> bool:
    return term.width <= terms.WORD and not term.frame and term.op not in ("const", "sym", "word")
