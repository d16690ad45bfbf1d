"""Loops by the number of their rounds, where a round of one side is not a round of the other.

Compilers copy several items in a round from some number of items on, and each compiler from another number. Between the
two numbers, one side copies four items in a round and the other side one. There, the conditions on the way to the loops
leave a few numbers only. Each is a case: with it in the place of what is counted, all rounds of both sides are run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stencilkit.prove import terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.machine import Branch, State, UnsupportedError
from stencilkit.prove.memory import Memory
from stencilkit.prove.solver import LimitError
from stencilkit.prove.terms import FALSE, TRUE, Term
from stencilkit.prove.world import Pair, Side

if TYPE_CHECKING:
    from stencilkit.prove.search import Search

_MOST: Final = 8
"""How many numbers may be left."""
_PARTING: Final = 8
Cases = list[tuple[Pair, Facts]]


def split(search: Search, pair: Pair, facts: Facts) -> Cases:
    """Split a pair of loop heads into all the cases of one term that facts leave; none where that is of no use.

    It is of use where all rounds can be run in all cases, and where in one of these the sides do not write as much in a
    round, or where there is one case only.
    """
    for term, numbers in _ranges(facts).items():
        found = _cases(pair, facts, term, numbers)
        try:
            rounds = [tuple(_rounds(search, side) for side in one) for one, _ in found]
        except (UnsupportedError, LimitError):
            continue
        if not any(None in row for row in rounds) and (len(found) == 1 or any(one != other for one, other in rounds)):
            return found
    return []


def _rounds(search: Search, side: Side) -> list[int] | None:
    """Count the words that are written at each head of a loop up to the next event; None where ways part before.

    Behind the last head, a few ways may part: code can assert something there.
    """
    heads, found, parted = search.heads[side.code.side], list[int](), 0
    todo = [side.state.copy()]
    while todo:
        state = todo.pop()
        control = search.straight(side.code, state, start=True)
        ways = [state] if control is None else []
        if isinstance(control, Branch):
            truth = control.condition.value
            parted += truth is None
            ways = [state.copy() for way in (False, True) if truth is None or bool(truth) is way]
            if truth != 0:
                search.go(ways[-1], control)
        for way in ways:
            if way.leaving is None and way.pc in heads:
                found.append(len(way.heap.writes))
                if parted:
                    return None
        if parted > _PARTING:
            return None
        todo += ways
    return found


def _ranges(facts: Facts) -> dict[Term, range]:
    """List what is compared with numbers, and the few numbers that it can be by these facts."""
    least: dict[Term, int] = {}
    most: dict[Term, int] = {}
    for row in facts.rows:
        bound = terms.bound(row)
        if bound is None:
            continue
        whole, number, is_less = bound
        term = _narrow(whole, number)
        if is_less:
            most[term] = min(most.get(term, number), number)
        else:
            least[term] = max(least.get(term, 0), number)
    return {
        term: range(least[term], most[term])
        for term in least
        if term in most and 0 < most[term] - least[term] <= _MOST and most[term] <= 1 << term.width
    }


def _narrow(term: Term, number: int) -> Term:
    """Leave out the zeroes at the top of what is compared with a number, or copies of its sign.

    With these, what is below zero is above the number, as it is without them if the number has no sign there.
    """
    if term.op == "sext" and number <= 1 << term.args[0].width - 1:
        return term.args[0]
    return term.args[1] if term.op == "concat" and len(term.args) == 2 and term.args[0].value == 0 else term


def _cases(pair: Pair, facts: Facts, term: Term, numbers: range) -> Cases:
    """Put each number in the place of a term; what a fact says that it is not is left out."""
    found: Cases = []
    for number in numbers:
        done = terms.known(term, number)
        rows = [terms.replaced(row, done) for row in facts.rows]
        if FALSE in rows:
            continue
        left, right = (Side(side.code, _replaced(side.state, done)) for side in pair)
        is_it = terms.eq(term, terms.const(number, term.width))
        found.append(((left, right), Facts().plus(*(row for row in rows if row is not TRUE), is_it)))
    return found


def _replaced(state: State, done: dict[Term, Term]) -> State:
    found = state.copy()
    found.registers = {name: terms.replaced(term, done) for name, term in state.registers.items()}
    found.heap, found.frame = (_written(memory, done) for memory in (state.heap, state.frame))
    # Nothing is known of flags that were set before the loop.
    found.flags = {}
    found.counted = True
    return found


def _written(memory: Memory, done: dict[Term, Term]) -> Memory:
    found = memory.renamed(memory.base)
    for address, value in memory.writes:
        found = found.write(terms.replaced(address, done), terms.replaced(value, done))
    return found
