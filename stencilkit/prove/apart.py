"""Writes that are elsewhere by the form of what is known on a path, without a question.

Before compilers copy several items in a round they compare the distance of the two places with a number. So of what is
read over writes, those are not looked at that this distance excludes: copies in rounds of two lengths get one form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stencilkit.prove import terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.terms import Term

Pairs = list[tuple[Term, Term]]


def tidied(facts: Facts, rows: Iterable[tuple[Term, Term]]) -> Pairs:
    """Leave out of what is read over writes those that facts say are elsewhere."""
    tidy = _Tidy(_excluded(facts))
    return [(tidy.term(one), tidy.term(other)) for one, other in rows]


def _excluded(facts: Facts) -> dict[Term, list[tuple[int, int]]]:
    """List which numbers sums are not, by the sum without the number in it: from one on, and how many."""
    found: dict[Term, list[tuple[int, int]]] = {}
    for row in facts.rows:
        below = terms.invert(row)
        length = below.args[1].value if below.op == "ult" else None
        if length is not None:
            number, _ = terms.parts(below.args[0])
            found.setdefault(terms.offset(below.args[0], -number), []).append((-number, length))
    return found


@dataclass(frozen=True, slots=True)
class _Tidy:
    excluded: dict[Term, list[tuple[int, int]]]
    done: dict[Term, Term] = field(default_factory=dict)

    def term(self, term: Term) -> Term:
        if term.op != "over":
            return term
        if term not in self.done:
            distance, written, under = term.args
            under = self.term(under)
            self.done[term] = under if self.apart(distance) else terms.over(distance, self.term(written), under)
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
