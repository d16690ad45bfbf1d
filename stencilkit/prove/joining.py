"""Paths that come together behind a call: what was proved there is not proved again.

Behind a call both sides have forgotten much of how they came there, and many ways lead to one state. What a path knows
about what is in no register and no word any more is left out there, so that what is proved holds of all of these ways.
To know less proves nothing that is not so; where it is too little, the path goes on with all that it knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stencilkit.prove import objects, returning, terms
from stencilkit.prove.assumptions import HOLES
from stencilkit.prove.facts import Facts
from stencilkit.prove.machine import FRAMES, State, UnsupportedError
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Callee, Pair, StuckError, World

if TYPE_CHECKING:
    from stencilkit.prove.loops import Head, Invariant
    from stencilkit.prove.search import Search

Call = tuple[int, int, str]
"""Where both sides are behind a call, and the name of what was called."""
_Key = tuple[object, ...]
FEW: Final = 300
"""How many pairs of paths are looked at one by one: most stencils have no more."""
_LASTING: Final = frozenset((*(name for name, _, _ in HOLES.values()), *(str(one.extra[0]) for one in FRAMES.values())))


@dataclass(slots=True)
class Joins:
    """What was proved behind calls, by the state there, each time with what had to be known.

    `scopes` are what proofs stand on: each round of the search for a loop's invariant has its own. They are kept, so
    that no other one gets the number of one of them. `refused` are the places where what is left was too little once,
    `calls` the numbers of calls, by the place and how often a path came by, `passed` how often the path that is looked
    at did so, and `forgotten` what it has left out.
    """

    proved: dict[_Key, list[frozenset[Term]]] = field(default_factory=dict)
    scopes: dict[int, object] = field(default_factory=dict)
    refused: set[Call] = field(default_factory=set)
    calls: dict[tuple[Call, int], int] = field(default_factory=dict)
    passed: Counter[Call] = field(default_factory=Counter)
    forgotten: list[Term] = field(default_factory=list)

    @contextmanager
    def passing(self, call: Call) -> Iterator[int]:
        """Give the number of a call: no other call on this path has it, and other paths give it to this one."""
        self.passed[call] += 1
        try:
            yield self.calls.setdefault((call, self.passed[call]), len(self.calls) + 1)
        finally:
            self.passed[call] -= 1

    def explore(self, call: Call, pair: Pair, facts: Facts, scope: object, go_on: Callable[[Facts], None]) -> None:
        """Go on behind a call, unless it was proved what is found there in the same scope.

        Raises: whatever `go_on` raises with all facts.
        """
        if call in self.refused:
            go_on(facts)
            return
        less = _about(pair, facts)
        self.scopes[id(scope)] = scope
        key = id(scope), *_state(pair)
        if any(known <= less.known for known in self.proved.get(key, ())):
            return
        try:
            self._forgetting(facts, less, go_on)
        except (StuckError, UnsupportedError):
            if len(less.rows) == len(facts.rows):
                raise
            self.refused.add(call)
            go_on(facts)
        else:
            self.proved.setdefault(key, []).append(less.known)

    def _forgetting(self, facts: Facts, less: Facts, go_on: Callable[[Facts], None]) -> None:
        kept = len(self.forgotten)
        self.forgotten += [row for row in facts.rows if row not in less.known]
        try:
            go_on(less)
        finally:
            del self.forgotten[kept:]


def behind(
    search: Search, at: tuple[Pair, Callee], world: World, facts: Facts, assumed: dict[Head, Invariant], depth: int
) -> None:
    """Go on behind a call; within a loop, what is proved stands on what was assumed there, and on nothing else."""
    pair, callee = at
    call = pair[0].state.pc, pair[1].state.pc, callee.name
    with search.joins.passing(call) as serial:
        made = objects.made(search.world, search.left, callee.name, serial)
        search.made += tuple(one for one in made if one not in search.made)
        after = returning.after_call(pair, world, callee, serial)
        if search.pairs <= FEW:
            search.explore(after, facts, assumed, depth + 1)
            return
        search.joins.explore(call, after, facts, assumed, lambda less: search.explore(after, less, assumed, depth + 1))


def _state(pair: Pair) -> _Key:
    """Return all that what comes next depends on, beside what is known."""
    return tuple(row for side in pair for row in _rows(side.state))


def _rows(state: State) -> Iterator[object]:
    yield state.pc
    yield tuple(sorted(state.registers.items(), key=lambda row: row[0]))
    yield from ((memory.base, memory.writes) for memory in (state.heap, state.frame))
    yield state.kept
    yield state.counted
    yield state.leaving


def _about(pair: Pair, facts: Facts) -> Facts:
    """Leave out what is about anything that neither side has, or can read."""
    values = [term for side in pair for term in _values(side.state)]
    there = terms.below(values)
    names = {name for one in values for name in terms.symbols(one)}.union(
        _LASTING, *(terms.symbols(one) for side in pair for one in side.code.used)
    )
    memories = {memory.base for side in pair for memory in (side.state.heap, side.state.frame)}

    def known(one: Term) -> bool:
        if one.op == "word":
            return one in there or one.extra[0] in memories
        return one.extra[0] in names

    return Facts().plus(*(row for row in facts.rows if all(known(one) for one in _unknowns(row))))


def _values(state: State) -> Iterator[Term]:
    yield from state.registers.values()
    for memory in (state.heap, state.frame):
        for row in memory.writes:
            yield from row


def _unknowns(row: Term) -> Iterable[Term]:
    """List the symbols and words that a condition is about, but not what says where such a word is."""
    seen: set[Term] = set()
    todo = [row]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.op in ("sym", "word"):
            yield one
        else:
            todo += one.args
