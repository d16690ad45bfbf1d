"""Loops, by coinduction: what holds at both loops' heads is guessed from the first rounds, then shown to hold always.

A place (a register or a word of the frame, of either side) keeps its value, or the low half of it, or steps by a number
each round, or is one of a class of places that are equal, or is unknown. The guess starts with "keeps" and is weakened
until a round leaves it true. Facts on the way to the loop stay true: the symbols in them never change.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from stencilkit.prove import cases, longer, meeting, terms, unifying
from stencilkit.prove.facts import ROUND, Facts
from stencilkit.prove.longer import DIFFER
from stencilkit.prove.machine import FRAMES, UnsupportedError
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Obligation, Pair, Side, StuckError

if TYPE_CHECKING:
    from stencilkit.prove.search import Search

Head = tuple[int, int]
"""Where both sides are: two offsets."""
Place = tuple[int, str, Term | None]
"""The side's number, a register's name or "frame", and the address of a word there."""
Kind = tuple[str, int, int]
"""What a place does from round to round, the step, and in how many of its low bits."""
_KEEPS: Final[Kind] = ("keeps", 0, 0)
_CLASS: Final[Kind] = ("class", 0, 0)
_ROUNDS: Final = 40


class WeakerError(Exception):
    """An invariant does not hold after a round; a weaker one is in its place."""

    def __init__(self, head: Head, serial: int) -> None:
        super().__init__(head)
        self.head = head
        self.serial = serial


@dataclass(slots=True)
class Invariant:
    """What is guessed to hold at a loop's heads whenever both sides are there.

    `passes` is how many rounds of each side are one of these, `bounds` what each round of these has found of its number
    before it went on, if it is `bounded` by that.
    """

    pair: Pair
    facts: Facts
    serial: int
    kinds: dict[Place, Kind] = field(default_factory=dict)
    classes: dict[Place, bytes] = field(default_factory=dict)
    heap_changes: bool = False
    frame_changes: bool = False
    rounds: int = 0
    passes: tuple[int, int] = (1, 1)
    bounded: bool = False
    bounds: tuple[Term, ...] | None = None

    def ghost(self) -> Term:
        """Count the rounds: an unknown number."""
        return terms.sym(f"{ROUND} {self.serial}")


def enter(search: Search, pair: Pair, facts: Facts, assumed: dict[Head, Invariant], depth: int) -> None:
    """Go on from a pair of loop heads: the invariant holds here again, or a new one is looked for."""
    head = pair[0].state.pc, pair[1].state.pc
    known = assumed.get(head)
    if known is not None:
        _check(search, known, pair, facts)
        return
    found = cases.split(search, pair, facts)
    if found:
        search.cases += 1
        for one, more in found:
            search.explore(one, more, assumed, depth + 1)
        return
    _prove(search, pair, facts, assumed, depth)


def _prove(search: Search, pair: Pair, facts: Facts, assumed: dict[Head, Invariant], depth: int) -> None:
    """Look for an invariant: first the plain one, then one with bounds, for rounds of several lengths."""
    exits, made = len(search.exits), search.made
    try:
        _hold(search, Invariant(unifying.unified(search, pair, facts), facts, search.fresh()), assumed, depth)
    except (StuckError, UnsupportedError) as error:
        if not search.longer or (isinstance(error, UnsupportedError) and str(error) != DIFFER):
            raise
        for passes, starts in longer.tries(search, pair, facts):
            del search.exits[exits:]
            search.made = made
            try:
                for one, more in starts:
                    known = Invariant(
                        unifying.unified(search, one, more), more, search.fresh(), passes=passes, bounded=True
                    )
                    _hold(search, known, assumed, depth)
            except (StuckError, UnsupportedError):
                continue
            return
        raise


def _hold(search: Search, invariant: Invariant, assumed: dict[Head, Invariant], depth: int) -> None:
    """Weaken an invariant until it holds, and go on from all states that it describes.

    Raises: StuckError, UnsupportedError, LimitError.
    """
    pair, facts = invariant.pair, invariant.facts
    head = pair[0].state.pc, pair[1].state.pc
    while True:
        if invariant.rounds > _ROUNDS:
            raise UnsupportedError(DIFFER)
        exits, made, serial = len(search.exits), search.made, search.serial
        # It has to hold the first time too; what is a class of equal places is so by its making.
        search.require(_equal_memories(invariant, pair), facts)
        try:
            known = facts.plus(*invariant.bounds or ())
            search.explore(_general(invariant), known, {**assumed, head: invariant}, depth + 1)
        except WeakerError as weaker:
            if weaker.serial != invariant.serial:
                raise
            del search.exits[exits:]
            # Another call may get a number that is free again, and nothing is known of what that one makes.
            search.serial, search.made = serial, made
        except (StuckError, UnsupportedError):
            # The way out of the loops may come before the way back, which says what is left there.
            if not invariant.bounded or invariant.bounds is not None:
                raise
            del search.exits[exits:]
            invariant.bounds = longer.found(search, _general(invariant), facts, invariant.ghost())
        else:
            return
        invariant.rounds += 1


def _places(pair: Pair) -> dict[Place, Term]:
    found: dict[Place, Term] = {}
    for number, side in enumerate(pair):
        for name, term in side.state.registers.items():
            found[number, name, None] = term
        for address, term in side.state.frame.writes:
            if terms.sub(address, FRAMES[address.width]).value is not None:
                found[number, "frame", address] = term
    return found


def _check(search: Search, known: Invariant, pair: Pair, facts: Facts) -> None:
    """Ask whether the invariant holds after a round; weaken it where it does not.

    Raises: WeakerError.
    """
    if [side.state.kept for side in known.pair] != [side.state.kept for side in pair]:
        raise UnsupportedError(DIFFER)
    before, now = _places(known.pair), _places(pair)
    changed = False
    for place in dict.fromkeys((*before, *now)):
        changed |= _weaken(known, place, pair, before, now)
    changed |= _split(known, now, pair)
    for attribute, memories in (("heap_changes", "heap"), ("frame_changes", "frame")):
        changed |= _memory(known, pair, attribute, memories)
    changed = changed or (known.bounded and _bound(search, known, facts))
    if changed:
        raise WeakerError((0, 0), known.serial)
    # What is no equality of form has been weakened; the memories that changed must still be equal on both sides.
    search.require(_equal_memories(known, pair), facts)


def _bound(search: Search, known: Invariant, facts: Facts) -> bool:
    """Guess from the first round what all find before they go on, and leave out what another does not; say if so."""
    if known.bounds is None:
        known.bounds = longer.guessed(search, known.facts, facts, known.ghost())
        return bool(known.bounds)
    kept = longer.kept(search, facts, known.bounds, known.ghost())
    changed = kept != known.bounds
    known.bounds = kept
    return changed


def _value(pair: Pair, place: Place, values: dict[Place, Term]) -> Term:
    """Return what is at a place; a word of the frame that was not written is as it was at entry."""
    if place in values:
        return values[place]
    number, _, address = place
    if address is None:
        raise TypeError("registers are always among the values")
    return pair[number].state.frame.word(address)


def _weaken(known: Invariant, place: Place, pair: Pair, before: dict[Place, Term], now: dict[Place, Term]) -> bool:
    first, value = _value(known.pair, place, before), _value(pair, place, now)
    kind, step, width = known.kinds.get(place, _KEEPS)
    if kind == "class":
        return False
    if kind == "half":
        holds = terms.extract(value, 0, width) is terms.extract(first, 0, width)
    else:
        holds = value is (first if kind == "keeps" else _stepped(first, step, terms.offset(known.ghost(), 1), width))
    if holds:
        return False
    known.kinds[place] = _weaker(first, value) if kind == "keeps" else _CLASS
    if known.kinds[place] == _CLASS:
        known.classes[place] = first.order
    return True


def _weaker(first: Term, value: Term) -> Kind:
    """Guess what a place does that had a value first, and has another one after a round."""
    least = _narrow(first)
    # A number that was widened is counted up in its own width, in 32 bits or in a whole register.
    for width in sorted({least, 32, terms.WORD}):
        if not least <= width <= min(first.width, terms.WORD):
            continue
        gap = terms.sub(terms.extract(value, 0, width), terms.extract(first, 0, width)).value
        if gap and value is _stepped(first, gap, terms.const(1), width):
            return "steps", terms.signed(gap, width), width
    # Of some vectors, a callee keeps the low half.
    if first.width > terms.WORD and terms.extract(value, 0, terms.WORD) is terms.extract(first, 0, terms.WORD):
        return "half", 0, terms.WORD
    return _CLASS


def _narrow(term: Term) -> int:
    """Return the width of a counter: without the zeroes at its top."""
    if term.op == "concat" and term.args[0].value == 0:
        return term.width - term.args[0].width
    return term.width


def _stepped(first: Term, step: int, rounds: Term, width: int) -> Term:
    value = terms.add(terms.extract(first, 0, width), terms.scale(terms.extract(rounds, 0, width), step))
    return terms.zext(value, first.width)


def _split(known: Invariant, now: dict[Place, Term], pair: Pair) -> bool:
    """Split the classes of equal places by what is in them now."""
    fresh = {place: old + _value(pair, place, now).order for place, old in known.classes.items()}
    groups = {
        old: {fresh[place] for place in known.classes if known.classes[place] == old} for old in known.classes.values()
    }
    if all(len(rows) == 1 for rows in groups.values()):
        return False
    known.classes = fresh
    return True


def _memory(known: Invariant, pair: Pair, attribute: str, memories: str) -> bool:
    if getattr(known, attribute):
        return False
    for old, new in zip(known.pair, pair, strict=True):
        first, now = (_free(getattr(side.state, memories), memories) for side in (old, new))
        if first != now:
            setattr(known, attribute, True)
            return True
    return False


def _free(memory: Memory, name: str) -> Memory:
    """Leave out the words of the frame that are places of their own."""
    if name == "heap":
        return memory
    kept = tuple(row for row in memory.writes if terms.sub(row[0], FRAMES[row[0].width]).value is None)
    return replace(memory, writes=kept)


def _equal_memories(known: Invariant, pair: Pair) -> list[Obligation]:
    rows: list[Obligation] = []
    left, right = (side.state for side in pair)
    if known.heap_changes:
        rows += meeting.memories(left.heap, right.heap, "memory at a loop's head")
    if known.frame_changes:
        rows += meeting.memories(*_level(known, pair), "the frame at a loop's head")
    return rows


def _level(known: Invariant, pair: Pair) -> tuple[Memory, Memory]:
    """Write the same over the words of the frames that are places of their own, to compare the rest."""
    places = {address for _, name, address in (*_places(known.pair), *_places(pair)) if name == "frame" and address}
    frames = [side.state.frame for side in pair]
    for address in sorted(places, key=lambda one: one.order):
        frames = [frame.write(address, terms.const(0, address.width)) for frame in frames]
    return frames[0], frames[1]


def _general(known: Invariant) -> Pair:
    """Make the states of both sides that the invariant describes."""
    states = [side.state.copy() for side in known.pair]
    values = {place: _guess(known, place, term) for place, term in _places(known.pair).items()}
    names = sorted(set(known.classes.values()))
    for place, signature in known.classes.items():
        width = values[place].width if place in values else _width(place)
        values[place] = terms.sym(f"class {names.index(signature)} of {known.serial}", width)
    for number, state in enumerate(states):
        state.flags = {}
        state.steps = 0
        state.passing = known.passes[number] - 1
        if known.heap_changes:
            state.heap = state.heap.renamed(f"memory in loop {known.serial}")
        if known.frame_changes:
            state.frame = Memory(f"frame in loop {known.serial}")
        for (owner, name, address), value in values.items():
            if owner != number:
                continue
            if address is None:
                state.registers[name] = value
            else:
                state.frame = state.frame.write(address, value)
    return Side(known.pair[0].code, states[0]), Side(known.pair[1].code, states[1])


def _width(place: Place) -> int:
    """Return how wide a word of the frame is that was not there at first: as wide as its address."""
    return place[2].width if place[2] is not None else terms.WORD


def _guess(known: Invariant, place: Place, first: Term) -> Term:
    kind, step, width = known.kinds.get(place, _KEEPS)
    if kind == "half":
        # Nothing is known of the rest, and not that it is the same on both sides.
        top = terms.sym(f"undefined top of {place[1]} of {place[0]} in loop {known.serial}", first.width - width)
        return terms.concat(top, terms.extract(first, 0, width))
    return _stepped(first, step, known.ghost(), width) if kind == "steps" else first
