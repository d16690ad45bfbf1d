"""What is known to be true on a path: conditions taken, and what holds of every symbol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from stencilkit.prove import terms
from stencilkit.prove.assumptions import (
    ASSERTING_FACT,
    ASSUMPTIONS,
    BEHIND_SYMBOLS,
    OPARGS,
    OPARGS_FACT,
    OPARGS_SERIES,
    SIZES,
    SUFFIX,
)
from stencilkit.prove.terms import TRUE, Term

OPARG: Final = "oparg"
ROUND: Final = "round of"
"""What the name of a number of rounds begins with; the loop's number is behind it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Booleans that are true, in the order in which they were learnt."""

    rows: tuple[Term, ...] = ()
    known: frozenset[Term] = frozenset()

    def plus(self, *conditions: Term) -> Facts:
        """Add facts; a conjunction is taken apart."""
        rows = list(self.rows)
        todo = list(reversed(conditions))
        seen = set(self.known)
        while todo:
            one = todo.pop()
            if one.op == "and":
                todo.extend(reversed(one.args))
            elif one.op == "xor" and one.args[-1] is TRUE and one.args[0].op == "or" and len(one.args) == 2:
                todo.extend(terms.invert(arg) for arg in reversed(one.args[0].args))
            elif one not in seen and one is not TRUE:
                rows.append(one)
                seen.add(one)
        return Facts(tuple(rows), frozenset(seen))

    def value(self, condition: Term) -> bool | None:
        """Return whether a condition is true or false by its form alone, None where that does not say."""
        if condition.value is not None:
            return bool(condition.value)
        if condition in self.known:
            return True
        if terms.invert(condition) in self.known:
            return False
        if condition.op in ("and", "or"):
            rows = [self.value(arg) for arg in condition.args]
            absorbing = condition.op == "or"
            if absorbing in rows:
                return absorbing
            return None if None in rows else not absorbing
        return None

    def chosen(self, term: Term) -> Term:
        """Return what a choice comes to, in so far as the form of its condition says it."""
        while term.op == "ite" and (truth := self.value(term.args[0])) is not None:
            term = term.args[1 if truth else 2]
        return term


def near(facts: Facts, conditions: Iterable[Term]) -> list[Term]:
    """List conditions and the facts about no other symbols, if none reads memory: often these contradict already."""
    asked = list(conditions)
    about = frozenset[str]().union(*map(terms.symbols, asked))
    rows = [row for row in facts.rows if terms.symbols(row) <= about]
    rows = [row for row in rows if not any(one.op in ("over", "word") for one in terms.below((row,)))]
    return [*rows, *asked] if asked else []


def is_counted(condition: Term) -> bool:
    """Say whether a condition is about the oparg and rounds of loops alone."""
    names = terms.symbols(condition)
    reads = any(one.op in ("over", "word") for one in terms.below((condition,)))
    return bool(names) and not reads and all(name == OPARG or name.startswith(ROUND) for name in names)


def counted(given: Iterable[str], uop: str, facts: Facts) -> list[Term]:
    """List what is known of the oparg and of rounds of loops."""
    return [*filter(is_counted, facts.rows), *of_opargs(given, uop)]


def of_symbols(used: Iterable[Term], rows: Iterable[Term]) -> list[Term]:
    """List what holds of the addresses of symbols that occur in some terms: they are not null, and differ."""
    occurring = frozenset().union(*(terms.symbols(row) for row in rows))
    here = [one for one in sorted(used, key=lambda one: one.order) if terms.symbols(one) <= occurring]
    found = [terms.invert(terms.eq(one, terms.const(0, one.width))) for one in here]
    return found + [
        terms.invert(terms.eq(one, other)) for number, one in enumerate(here) for other in here[number + 1 :]
    ]


def is_null(used: Iterable[Term], condition: Term) -> bool | None:
    """Return False for the condition that some bytes behind a symbol are at null, True for its contrary, else None."""
    row = condition if condition.op == "zero" else terms.invert(condition)
    if row.op != "zero" or row.args[0].width != terms.WORD:
        return None
    behind = (terms.reach(terms.sub(row.args[0], one)) for one in used)
    is_inside = any(reach is not None and reach[1] < BEHIND_SYMBOLS for reach in behind)
    return row is not condition if is_inside else None


def of_sizes(given: Iterable[str], uop: str, rows: Iterable[Term]) -> list[Term]:
    """List what optional facts say of the words that occur in some terms."""
    found: list[Term] = []
    for name, place in (SIZES[fact] for fact in given if fact in SIZES):
        if not uop.startswith(name):
            continue
        words = (
            one
            for one in sorted(terms.below(rows), key=lambda one: one.order)
            if one.op == "word" and terms.parts(one.args[0])[0] == place * (one.width // 8)
        )
        found += [terms.invert(terms.less(one, terms.const(0, one.width), is_signed=True)) for one in words]
    return found


def of_opargs(given: Iterable[str], uop: str) -> list[Term]:
    """List what the optional fact about opargs says of a uop's: it is one of some numbers."""
    numbers = OPARGS.get(SUFFIX.sub("", uop), ()) if OPARGS_FACT in given else ()
    oparg = terms.sym(OPARG, 16)
    return [terms.either(*(terms.eq(oparg, terms.const(one, 16)) for one in numbers))] if numbers else []


def optional(uop: str, series: str, *, asserts: bool) -> Iterator[tuple[str, ...]]:
    """Yield the optional facts that can help in a uop: one at a time, then all."""
    here = [one.name for one in ASSUMPTIONS if one.optional and _is_about(one.name, uop, series, asserts=asserts)]
    yield from ((name,) for name in here)
    if len(here) > 1:
        yield tuple(here)


def _is_about(fact: str, uop: str, series: str, *, asserts: bool) -> bool:
    if fact == ASSERTING_FACT:
        return asserts
    if fact == OPARGS_FACT:
        return SUFFIX.sub("", uop) in OPARGS and series in OPARGS_SERIES
    return uop.startswith(SIZES.get(fact, ("", 0))[0])
