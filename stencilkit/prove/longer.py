"""Loops where some rounds of one side are one of the other, and what each round finds before it goes on.

How far registers step in a round says how many rounds of one side are one of the other. Where one side has peeled items
off before its loop, the other side first does as many rounds. And the condition under which a loop goes on, written for
the round before, is a guess: it is taken for true only where it holds at the first round, and at the end of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from stencilkit.prove import asking, terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.machine import UnsupportedError
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Pair, Side

if TYPE_CHECKING:
    from stencilkit.prove.search import Search

DIFFER: Final = "loops differ"
_PASSES: Final = 8
"""How many rounds of one side may be one of the other."""
_LOOKED: Final = 64
"""How many ways through a round are looked at for a guess: there can be as many as no budget counts."""
_RETRIES: Final = 600
"""How many times loops are tried once more in one search."""
Starts = Iterator[tuple[Pair, Facts]]


def tries(search: Search, pair: Pair, facts: Facts) -> Iterator[tuple[tuple[int, int], Starts]]:
    """Yield how many rounds of each side may be one, and each time what to begin with, by what one side does first."""
    passes = _passes(search, pair, facts)
    for phase in range(max(passes) if passes else 0):
        search.retries += 1
        if search.retries > _RETRIES:
            return
        yield passes or (1, 1), _starts(search, pair, facts, passes or (1, 1), phase)


def _passes(search: Search, pair: Pair, facts: Facts) -> tuple[int, int] | None:
    """Say how many rounds of each side are as long as one of the other, by how far they step; None where none do."""
    one, other = (max(_steps(search, side, facts), default=0) for side in pair)
    if not one or not other:
        return None
    passes = (max(other // one, 1), max(one // other, 1))
    return passes if one * passes[0] == other * passes[1] and max(passes) <= _PASSES else None


def _steps(search: Search, side: Side, facts: Facts) -> list[int]:
    """List how far registers step in a round, on the first way around."""
    before = side.state.registers
    for event in islice(search.paths(side, facts, decide=False), _LOOKED):
        if event.kind == "loop" and event.place == side.state.pc:
            after = event.state.registers
            gaps = [(terms.sub(term, before[name]).value, term.width) for name, term in after.items()]
            return [abs(terms.signed(gap, width)) for gap, width in gaps if gap]
    return []


def _starts(search: Search, pair: Pair, facts: Facts, passes: tuple[int, int], phase: int) -> Starts:
    """Yield both sides, and what is known, where the side with shorter rounds has done some of these.

    Raises: UnsupportedError where it may go elsewhere, or has not written what the other side has.
    """
    number = 0 if passes[0] > 1 else 1
    for side, more in _advanced(search, pair[number], facts, phase) if phase else [(pair[number], facts)]:
        now = (side, pair[1]) if number == 0 else (pair[0], side)
        if passes != (1, 1) and now[0].state.heap != now[1].state.heap:
            raise UnsupportedError(DIFFER)
        yield now, more


def _advanced(search: Search, side: Side, facts: Facts, rounds: int) -> Iterator[tuple[Side, Facts]]:
    """Run one side, which is at a loop's head, for some rounds, to where it is there again."""
    state = side.state.copy()
    state.passing = rounds - 1
    for event in search.paths(Side(side.code, state), facts, decide=True):
        if event.kind == "loop" and event.place == side.state.pc:
            yield Side(side.code, event.state), event.facts
        elif asking.ask(search, event.facts) != "no":
            raise UnsupportedError(DIFFER)


def found(search: Search, pair: Pair, facts: Facts, ghost: Term) -> tuple[Term, ...]:
    """Run a round of both sides and guess what all rounds find, whatever else is on the way."""
    heads = [side.state.pc for side in pair]
    for one in islice(search.paths(pair[0], facts, decide=False), _LOOKED):
        if one.kind != "loop" or one.place != heads[0]:
            continue
        for other in islice(search.paths(pair[1], one.facts, decide=True), _LOOKED):
            if other.kind == "loop" and other.place == heads[1]:
                return guessed(search, facts, other.facts, ghost)
    return ()


def guessed(search: Search, before: Facts, facts: Facts, ghost: Term) -> tuple[Term, ...]:
    """Guess what facts behind a round say of all rounds; it has to hold the first time too, with none before."""
    last = {ghost: terms.offset(ghost, -1)}
    rows = [row for row in facts.rows if row not in before.known and _is_count(row, ghost)]
    guesses = [terms.replaced(row, dict(last)) for row in rows]
    return tuple(one for one in guesses if _holds(search, before, one, terms.const(0), ghost))


def kept(search: Search, facts: Facts, guesses: tuple[Term, ...], ghost: Term) -> tuple[Term, ...]:
    """Leave out what does not hold behind a round."""
    return tuple(one for one in guesses if _holds(search, facts, one, terms.offset(ghost, 1), ghost))


def _is_count(row: Term, ghost: Term) -> bool:
    """Say whether a fact is about the number of the round, and reads nothing."""
    below = terms.below((row,))
    return ghost in below and not any(one.op in ("over", "word") for one in below)


def _holds(search: Search, facts: Facts, guess: Term, number: Term, ghost: Term) -> bool:
    """Ask whether a guess holds for a number of rounds, by facts that read nothing."""
    wanted = terms.replaced(guess, {ghost: number})
    return facts.value(wanted) is True or asking.near(search, facts, wanted) is True
