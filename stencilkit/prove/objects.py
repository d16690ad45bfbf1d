"""Where objects of CPython are, for the facts `objects-do-not-overlap` and `objects-are-aligned`.

Addresses are terms over what a stencil gets and memory as it was at entry: both sides share them, and whatever either
does, they stay what they were. Memory that a stencil has written, or a callee, says nothing of where objects are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from stencilkit.prove import returning, terms
from stencilkit.prove.assumptions import ASSERTING_FACT, SUFFIX
from stencilkit.prove.code import Code, address
from stencilkit.prove.conventions import ARGUMENTS
from stencilkit.prove.facts import Facts
from stencilkit.prove.memory import Memory
from stencilkit.prove.placement import OBJECTS, TAGS
from stencilkit.prove.placing import Condition, Index, Object
from stencilkit.prove.terms import TRUE, Term
from stencilkit.prove.world import World

FACT: Final = "objects-do-not-overlap"
ALIGNED: Final = ASSERTING_FACT
ENTRY: Final = "memory"
"""The name of memory as it was at entry."""
_OPARG: Final = 16
_INT: Final = 32
"""How many bits an int has, of which the last is 0 if it is not negative."""


@dataclass(frozen=True, slots=True)
class Region:
    """Some bytes of memory that are one object, or a part of one: no other kind has any of them.

    So it is where the condition `where` is true.
    """

    kind: str
    start: Term
    size: Term
    where: Term = TRUE


def regions(world: World, code: Code) -> tuple[Region, ...]:
    """Find what is known of a uop; nothing where the layout of CPython's types is not known, or in the shim."""
    finder = _Finder(world, code, {} if world.entry else _arguments(world))
    for row, oparg in _rows(world, code):
        if not row.call:
            finder.add(row, oparg)
    return tuple(finder.found.values())


def made(world: World, code: Code, callee: str, serial: int) -> tuple[Region, ...]:
    """Find what is known behind a call, the one of this number, beside what was known before it."""
    finder = _Finder(world, code, {})
    for row, oparg in () if world.entry else _rows(world, code):
        if row.call and row.call == callee and row.size in world.layout:
            finder.found[row.name] = _made(row, world, serial)
        elif row.within in finder.found:
            finder.add(row, oparg)
    return tuple(finder.found.values())


def _made(row: Object, world: World, serial: int) -> Region:
    """Make the region of what a callee has made: it wrote where that is, or returned it."""
    word = world.convention.word
    size = terms.const(world.layout[row.size], word)
    if not row.new:
        return Region(row.kind, returning.written(row.out, 0, word, serial), size, returning.positive(serial))
    start = returning.pointer(serial, word)
    return Region(row.kind, start, size, terms.invert(terms.eq(start, terms.const(0, word))))


def _rows(world: World, code: Code) -> Iterator[tuple[Object, str | None]]:
    """Yield the rows that are about a uop, with the oparg that its name says."""
    for row in OBJECTS:
        match = row.uops.fullmatch(SUFFIX.sub("", code.name)) if row.uops is not None else None
        here = world.series in (row.series or (world.series,)) and code.name.endswith(row.suffix)
        if here and (row.uops is None or match is not None):
            yield row, match.groupdict().get("oparg") if match is not None else None


def _arguments(world: World) -> dict[str, Term]:
    """Return what a stencil gets, by name, as it is at entry."""
    word, popped = world.convention.word, world.convention.popped
    return {
        name: terms.sym(place, word)
        if isinstance(place, str)
        else terms.word("frame", terms.offset(world.frame, popped + place))
        for name, place in zip(ARGUMENTS.get(world.series, ()), world.passing.live, strict=False)
    }


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds the regions of one uop, row by row."""

    world: World
    code: Code
    arguments: Mapping[str, Term]
    found: dict[str, Region] = field(default_factory=dict)

    def add(self, row: Object, oparg: str | None) -> None:
        """Find the region of a row, if all that it needs is known; `oparg` is the one that the uop's name says."""
        start = self._items(row, oparg) if row.items else self._start(row)
        size = self._size(row, oparg)
        whole = self.found[row.within].where if row.within in self.found else TRUE
        where = self._where(row.where) if row.where is not None else whole
        if start is not None and size is not None and where is not None:
            self.found[row.name] = Region(row.kind, start, size, where)

    def _where(self, condition: Condition) -> Term | None:
        word = self.world.convention.word
        found = self._read(condition.of, condition.field, condition.bits or word)
        if found is None:
            return None
        if condition.symbol:
            return terms.eq(found, address(condition.symbol, self.code.alignments, word))
        return terms.eq(found, terms.const(condition.number, condition.bits))

    def _start(self, row: Object) -> Term | None:
        word = self.world.convention.word
        if row.behind:
            start = self._read(row.behind, row.field, word)
            return self._item(self._without_tag(start) if row.tagged else start, row)
        if row.within:
            return self._item(self.found[row.within].start if row.within in self.found else None, row)
        if not self.arguments:
            return None
        if row.symbol:
            return address(row.symbol, self.code.alignments, word)
        if row.hole:
            return terms.extract(terms.sym(row.hole), 0, word)
        start, within = self.arguments.get(row.argument), self._within(row)
        start = self._without_tag(start) if row.tagged else start
        return terms.offset(start, within) if start is not None and within is not None else None

    def _without_tag(self, start: Term | None) -> Term | None:
        tags = terms.const(~TAGS[self.world.series], self.world.convention.word)
        return terms.bitwise("and", start, tags) if start is not None else None

    def _within(self, row: Object) -> int | None:
        """Return how far behind the address that is given an object begins."""
        if not row.before:
            return self._first(row)
        before = self.world.layout.get(row.before)
        return -before if before is not None else None

    def _first(self, row: Object) -> int | None:
        """Return how far from the start of its type an object begins."""
        return self.world.layout.get(row.start) if row.start else 0

    def _item(self, start: Term | None, row: Object) -> Term | None:
        """Go on to the item that a row is about, if it is about one."""
        if start is None or not row.item:
            return start
        first = self.world.layout.get(row.item)
        rest = self._rest(row.index) if row.index is not None else terms.const(0, start.width)
        return terms.offset(terms.add(start, rest), first) if first is not None and rest is not None else None

    def _rest(self, index: Index) -> Term | None:
        """Count how many bytes are in front of an item."""
        word = self.world.convention.word
        step = self.world.layout.get(index.step) if index.step else word // 8
        if index.of:
            number = self._read(index.of, index.field, index.bits)
        else:
            number = terms.extract(terms.sym("oparg", _OPARG), index.shift, _OPARG - index.shift)
        if number is None or step is None:
            return None
        return terms.scale(terms.sext(number, word) if index.signed else terms.zext(number, word), step)

    def _read(self, name: str, what: str, bits: int) -> Term | None:
        """Read a number of an object that is at a field, or at its start, as it is at entry."""
        place = self.world.layout.get(what) if what else 0
        if name not in self.found or place is None:
            return None
        return Memory(ENTRY).read(terms.offset(self.found[name].start, place), bits // 8)

    def _items(self, row: Object, oparg: str | None) -> Term | None:
        word, top = self.world.convention.word, self.arguments.get(row.argument)
        return terms.sub(top, terms.scale(self._count(row, oparg), word // 8)) if top is not None else None

    def _count(self, row: Object, oparg: str | None) -> Term:
        word = self.world.convention.word
        if not row.counted:
            return terms.const(row.items, word)
        more = terms.zext(terms.sym("oparg", _OPARG), word) if oparg is None else terms.const(int(oparg), word)
        return terms.offset(more, row.items)

    def _size(self, row: Object, oparg: str | None) -> Term | None:
        word = self.world.convention.word
        if row.items:
            return terms.scale(self._count(row, oparg), word // 8)
        if row.item and not row.size:
            return terms.const(word // 8, word)
        if row.size not in self.world.layout:
            return None
        size = terms.const(self.world.layout[row.size] - (self._first(row) or 0) & -(word // 8), word)
        if not row.words:
            return size
        words = self._read(row.owner, row.words, _INT)
        if words is None:
            return None
        # No object has more than half of all addresses (Py_ssize_t), so a sum of sizes does not wrap.
        bits = min(_INT, word - (word // 8).bit_length() + 1) - 1
        return terms.add(size, terms.scale(terms.zext(terms.extract(words, 0, bits), word), word // 8))


def sure(known: Iterable[Region], facts: Facts) -> list[Region]:
    """List the regions that are there given some facts, whatever else is true."""
    return [replace(one, where=TRUE) for one in known if facts.value(one.where)]


def apart(known: Iterable[Region], rows: Iterable[Term]) -> list[Term]:
    """List that regions do not overlap whose addresses occur in some terms."""
    return all_apart(_met(known, rows))


def aligned(known: Iterable[Region], rows: Iterable[Term]) -> list[Term]:
    """List that objects begin at words whose addresses occur in some terms."""
    return all_aligned(_met(known, rows))


def _met(known: Iterable[Region], rows: Iterable[Term]) -> list[Region]:
    occurring = terms.below(rows)
    return [one for one in known if occurring.issuperset(terms.parts(one.start)[1])]


def all_aligned(known: Iterable[Region]) -> list[Term]:
    """List that objects begin at words, as far as they are known from there on."""
    return [fact for one in known for fact in _aligned(one)]


def _aligned(region: Region) -> Iterator[Term]:
    word = region.start.width // 8
    if terms.parts(region.start)[0] % word == 0:
        low = terms.extract(region.start, 0, word.bit_length() - 1)
        yield terms.either(terms.invert(region.where), terms.eq(low, terms.const(0, low.width)))


def all_apart(known: Sequence[Region]) -> list[Term]:
    """List that regions of different kinds do not overlap."""
    pairs = itertools.combinations(known, 2)
    return [fact for one, other in pairs if one.kind != other.kind for fact in _apart(one, other)]


def _apart(one: Region, other: Region) -> Iterator[Term]:
    """Say that neither starts within the other: the gap is counted upwards, around the end of memory if need be."""
    unless = [terms.invert(region.where) for region in (one, other)]
    for left, right in ((one, other), (other, one)):
        gap = terms.sub(left.start, right.start)
        yield terms.either(*unless, terms.invert(terms.less(gap, right.size, is_signed=False)))


def kinds(known: Sequence[Region]) -> Callable[[Term], str]:
    """Make the function that names the kind of object that a word is in, "" where that is not sure."""
    seen: dict[Term, str] = {}

    def kind(address: Term) -> str:
        if address not in seen:
            seen[address] = next((one.kind for one in known if _within(address, one)), "")
        return seen[address]

    return kind


def _within(address: Term, region: Region) -> bool:
    """Say whether a word is in the first bytes of a region, which are there however long the rest is."""
    gap, least = terms.sub(address, region.start).value, terms.parts(region.size)[0]
    return gap is not None and gap + address.width // 8 <= least
