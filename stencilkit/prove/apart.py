"""Writes that are elsewhere by the form of what is known on a path, without a question.

Before compilers copy several items in a round they compare the distance of the two places with a number. So of what is
read over writes, those are not looked at that this distance excludes: copies in rounds of two lengths get one form.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from stencilkit.prove import terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.terms import Term

Pairs = list[tuple[Term, Term]]


def tidied(facts: Facts, rows: Iterable[tuple[Term, Term]], *, whole: bool) -> Pairs:
    """List the pairs that differ in form without what is read over writes that facts say are elsewhere.

    They are in that form if it is asked for the `whole`: what was copied in rounds of two lengths was read over many
    writes.
    """
    tidy, found = _Tidy(_excluded(facts)), list(rows)
    if whole:
        known = _numbers(facts)
        found = [(terms.replaced(one, known), terms.replaced(other, known)) for one, other in found]
    if not tidy.changes(itertools.chain(*found)):
        return found
    done = [(tidy.term(one), tidy.term(other)) for one, other in found]
    return [new if whole else old for old, new in zip(found, done, strict=True) if new[0] is not new[1]]


def value(facts: Facts, condition: Term) -> bool | None:
    """Return whether a condition is true or false by its form in which such writes are left out, None if it is open."""
    tidy = _Tidy(_excluded(facts))
    reads = any(one.op in ("over", "word") for one in terms.below((condition,)))
    if not tidy.excluded or not reads or not tidy.changes([condition, *facts.rows]):
        return None
    return Facts().plus(*map(tidy.term, facts.rows)).value(tidy.term(condition))


def _numbers(facts: Facts) -> dict[Term, Term]:
    """List what facts say is a number: behind a loop whose rounds were counted, code can read the oparg again."""
    found: dict[Term, Term] = {}
    for row in facts.rows:
        number, factors = terms.parts(row.args[0]) if row.op == "zero" else (0, {})
        if len(factors) == 1 and 1 in factors.values():
            (term,) = factors
            found.setdefault(term, terms.const(-number, term.width))
    return found


def _excluded(facts: Facts) -> dict[Term, list[tuple[int, int]]]:
    """List which numbers sums are not, by the sum without the number in it: from one on, and how many."""
    found: dict[Term, list[tuple[int, int]]] = {}
    for row in facts.rows:
        bound = terms.bound(row)
        if bound is None or bound[2]:
            continue
        total, length, _ = bound
        number, _ = terms.parts(total)
        found.setdefault(terms.offset(total, -number), []).append((-number, length))
    return found


@dataclass(frozen=True, slots=True)
class _Tidy:
    excluded: dict[Term, list[tuple[int, int]]]
    done: dict[Term, Term] = field(default_factory=dict)

    def changes(self, rows: Iterable[Term]) -> bool:
        """Say whether anything is read over a write that is elsewhere."""
        return any(one.op == "over" and self.apart(one.args[0]) for one in terms.below(rows))

    def term(self, term: Term) -> Term:
        """Make a term anew, and all that is in it: a piece of what is read can be a part of what is written."""
        todo = [term]
        while todo:
            one = todo[-1]
            missing = [arg for arg in one.args if arg not in self.done]
            todo.extend(missing)
            if missing:
                continue
            todo.pop()
            if one.op == "over" and self.apart(one.args[0]):
                self.done[one] = self.done[one.args[2]]
            else:
                terms.replaced(one, self.done)
        return self.done[term]

    def apart(self, distance: Term) -> bool:
        """Say whether all distances of words that overlap are among the numbers that the sum is not."""
        return any(self._covered(one) for one in (distance, terms.scale(distance, -1)))

    def _covered(self, distance: Term) -> bool:
        number, _ = terms.parts(distance)
        nearest = distance.width // 8 - 1
        for start, length in self.excluded.get(terms.offset(distance, -number), ()):
            first = (-number - nearest - start) % (1 << distance.width)
            if first + 2 * nearest < length:
                return True
        return False
