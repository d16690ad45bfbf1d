"""Memory as a base and a list of writes, both in words as wide as an address, in a normal order where there is one.

An address is a sum: a number and the rest. Words are counted from the rest, so two accesses at the same rest never
overlap by a part of a word. Of words at other rests nothing is assumed, unless their distance is in bounds, or they are
known to be in objects of different kinds: reading over such a write is a choice (`over`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from stencilkit.prove import terms
from stencilkit.prove.terms import Term


def _bytes(address: Term) -> int:
    """Return how many bytes a word has."""
    return address.width // 8


def split(address: Term) -> tuple[Term, int]:
    """Take an address apart: the word's address, and the byte within the word."""
    number, _ = terms.parts(address)
    byte = number % _bytes(address)
    return terms.offset(address, -byte), byte


def _any(address: Term) -> str:  # noqa: ARG001  # of no address is anything known
    return ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What memory holds: `base` names it as it was, `writes` are words by their address, oldest first.

    `kind` names what the word at an address is a part of, "" where that is not known: words of two kinds do not
    overlap.
    """

    base: str
    writes: tuple[tuple[Term, Term], ...] = ()
    kind: Callable[[Term], str] = field(default=_any, compare=False, repr=False)

    def renamed(self, base: str) -> Memory:
        """Return a memory of which nothing is known but the kinds of its words."""
        return Memory(base, kind=self.kind)

    def word(self, address: Term) -> Term:
        """Read the word at an address that is the start of one."""
        above: list[tuple[Term, Term]] = []
        found = None
        for place, value in reversed(self.writes):
            distance = terms.sub(address, place)
            if distance.value == 0:
                found = value
                break
            if not self._apart(distance, address, place):
                above.append((distance, value))
        result = terms.word(self.base, address) if found is None else found
        for distance, value in reversed(above):
            result = terms.over(distance, value, result)
        return result

    def _apart(self, distance: Term, address: Term, place: Term) -> bool:
        """Say whether two words cannot overlap, given the distance between them, which is not nothing."""
        if distance.value is not None:
            return True
        if _beyond(distance):
            return True
        kinds = self.kind(address), self.kind(place)
        return all(kinds) and kinds[0] != kinds[1]

    def read(self, address: Term, size: int) -> Term:
        """Read `size` bytes; the first is the lowest."""
        start, byte = split(address)
        whole = _bytes(address)
        found: list[Term] = []
        left = size
        while left:
            here = min(left, whole - byte)
            found.append(terms.extract(self.word(start), 8 * byte, 8 * here))
            start, byte, left = terms.offset(start, whole), 0, left - here
        return terms.concat(*reversed(found))

    def write(self, address: Term, value: Term) -> Memory:
        """Write a value of whole bytes."""
        start, byte = split(address)
        memory, done, size, whole = self, 0, value.width // 8, _bytes(address)
        while done < size:
            here = min(size - done, whole - byte)
            piece = terms.extract(value, 8 * done, 8 * here)
            if here < whole:
                old = memory.word(start)
                rows = [piece]
                if byte:
                    rows.append(terms.extract(old, 0, 8 * byte))
                if byte + here < whole:
                    rows.insert(0, terms.extract(old, 8 * (byte + here), 8 * (whole - byte - here)))
                piece = terms.concat(*rows)
            memory = memory._with(start, piece)  # of this class
            start, byte, done = terms.offset(start, whole), 0, done + here
        return memory

    def _with(self, address: Term, value: Term) -> Memory:
        """Add a write: it takes the place of an older one, or sinks below those that it cannot touch, in order."""
        rows = list(self.writes)
        at = len(rows)
        for number in reversed(range(len(rows))):
            place = rows[number][0]
            distance = terms.sub(place, address)
            if distance.value == 0:
                rows[number] = (address, value)
                return replace(self, writes=tuple(rows))
            if not self._apart(distance, address, place):
                break
            if address.order < place.order:
                at = number
        rows.insert(at, (address, value))
        return replace(self, writes=tuple(rows))


def _beyond(distance: Term) -> bool:
    """Say whether a distance is that of words that do not overlap, whatever its parts are that have a top of zeroes.

    As a number that does not wrap it is between two others. Those are a word or more from zero, on one side of it, and
    less than the whole of memory.
    """
    width, size = distance.width, _bytes(distance)
    number, factors = terms.parts(distance)
    least = most = terms.signed(number, width)
    for one, factor in factors.items():
        top = one.args[0].width if one.op == "concat" and one.args[0].value == 0 else 0
        reach = terms.signed(factor, width) * ((1 << width - top) - 1)
        least, most = least + min(reach, 0), most + max(reach, 0)
    room = (1 << width) - size
    return size <= least <= most <= room or -room <= least <= most <= -size


def byte_at(memory: Memory, address: Term) -> Term:
    """Read one byte at an address that can be anything: exact whatever the distance from each write is."""
    whole = _bytes(address)
    start = terms.bitwise("and", address, terms.const(-whole, address.width))
    result = _byte_of(terms.word(memory.base, start), terms.sub(address, start))
    for place, value in memory.writes:
        distance = terms.sub(address, place)
        within = terms.less(distance, terms.const(whole, address.width), is_signed=False)
        result = terms.ite(within, _byte_of(value, distance), result)
    return result


def _byte_of(word: Term, byte: Term) -> Term:
    return terms.extract(terms.shift("lshr", word, terms.scale(byte, 8)), 0, 8)


def common(memories: Iterable[Memory]) -> int:
    """Count the oldest writes that all have, so that only the rest need be compared."""
    rows = [memory.writes for memory in memories]
    shared = 0
    for row in zip(*rows, strict=False):
        if any(one != row[0] for one in row):
            break
        shared += 1
    return shared
