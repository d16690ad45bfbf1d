"""A candidate and what was found of it -> how its compiler stored stencils, and which bytes nothing explains.

The arrays of one C file are next to each other. So what is between two that were found is another array, the data of a
stencil, code too short to be looked for, or padding. Anything else is bytes in the stead of a stencil that was not
found, or constants of other code.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from stencilkit.identify.searching import Found
from stencilkit.model.program import Program
from stencilkit.model.signature import SHORTEST, SURE, SURE_WITHOUT_PGO, Candidate, Filler, fill

# The alignments that compilers give arrays, in bytes: up to the largest, zeros are padding.
_ALIGNMENTS: Final = (2, 4, 8, 16, 32)
_PADDING: Final = max(_ALIGNMENTS)
# What is further apart than this, in bytes, is not the arrays of one file.
_APART: Final = 1024
# Where gcc stores code by pieces, it does so up to this size, in bytes, and sometimes with one piece more.
_BY_PIECES: Final = 257
# So many bodies show how a compiler stores those of their size.
_ENOUGH: Final = 3
_MANY: Final = 12
# Of the sizes that gcc may store by pieces, no larger part than this is there as arrays where it does.
_FEW_OF_SIZE: Final = 0.25
# Code that is shorter than this may be gathered apart from the rest (`.rodata.cst16`), in bytes.
_TOGETHER: Final = 17


@dataclass(frozen=True, slots=True)
class Between:
    """What is between two neighbours.

    `fillers` were recognised. `unexplained` is from the first byte that nothing explains to the last, empty if all are
    explained; `room` is that with the zeros around it, `all` everything between the neighbours.
    """

    fillers: frozenset[Filler]
    unexplained: range
    room: range
    all: range


class Layout:
    """How the stencils of a candidate are stored in a program."""

    def __init__(self, program: Program, candidate: Candidate, found: Found) -> None:
        self._program = program
        self._signatures = candidate.signatures
        self._short = candidate.short
        self._small = candidate.short | candidate.data
        self._found = found
        self._names = sorted(candidate.signatures)
        self._count = Counter(item.sha256 for item in candidate.signatures.values())
        self._sizes = {item.sha256: item.size for item in candidate.signatures.values()}
        self._fillers: dict[int, set[str]] = {}
        for filler in self._small:
            self._fillers.setdefault(filler.size, set()).add(filler.sha256)
        # What is found of shorter code where such a compiler works is pieces that happen to be next to each other.
        there = (self._sizes[sha256] for sha256 in found.whole if sha256 in self._sizes)
        least = sure_size(there, self._sizes.values())
        self._least = _BY_PIECES if least == SURE_WITHOUT_PGO else SHORTEST
        self._taken = self._places(found.whole)
        self._between = self._look_between()
        if self.keeps_all:
            # Without pieces of constants, what is gathered apart is arrays, too.
            self._taken = sorted(self._taken + self._places(found.loose))
            self._between = self._look_between()

    def _places(self, found: Mapping[str, tuple[int, ...]]) -> list[tuple[int, int]]:
        """List where bodies begin and end; a body that is there too often is not taken for one."""
        return sorted(
            (offset, offset + self._sizes[sha256])
            for sha256, offsets in found.items()
            if len(offsets) <= self._count[sha256] and self._sizes[sha256] >= self._least
            for offset in offsets
        )

    def _look_between(self) -> tuple[Between, ...]:
        pairs = zip(self._taken, self._taken[1:], strict=False)
        return tuple(
            explain(self._program.content, end, start, self._fillers)
            for (_, end), (start, _) in pairs
            if 0 < start - end <= _APART
        )

    @cached_property
    def keeps_all(self) -> bool:
        """Return whether the compiler stores all code as arrays, however short it is: clang does, gcc does not."""
        short = {filler for filler in self._short if filler.size >= _TOGETHER}
        there = set[Filler]().union(*(between.fillers for between in self._between)) & short
        return len(there) >= _ENOUGH and 2 * len(there) >= len(short)

    @cached_property
    def sure(self) -> int:
        """Return the size in bytes from which code is in this program as arrays, judging by what was found."""
        if self.keeps_all:
            return SHORTEST
        there = sorted(item.size for item in self._signatures.values() if item.sha256 in self._found.whole)
        if sure_size(there, (item.size for item in self._signatures.values())) == SURE_WITHOUT_PGO:
            return SURE_WITHOUT_PGO
        # Where many bodies are arrays, the compiler has not made instructions of a larger one.
        previous = SHORTEST - 1
        for size in sorted({size for size in self._hidden() if size < SURE}):
            if bisect_right(there, size) - bisect_right(there, previous) >= _MANY:
                return previous + 1
            previous = size
        return SURE

    def _hidden(self) -> Iterator[int]:
        return (item.size for item in self._signatures.values() if not self._found.has(item.sha256))

    def place(self, name: str) -> range:
        """Return where other bytes may be in a stencil's stead, as the offsets of its start: empty if nowhere.

        That is a place that begins or ends like it, or unexplained bytes of its size between its neighbours in the
        header.
        """
        signature = self._signatures[name]
        for offset in self._found.near.get(signature.sha256, ()):
            if self._is_free(offset, signature.size) and (signature.size >= self.sure or self._is_beside(offset, name)):
                return range(offset, offset + 1)
        return self._gap(name, signature.size)

    def _is_free(self, offset: int, size: int) -> bool:
        after = bisect_left(self._taken, (offset + size, 0))
        return after == 0 or self._taken[after - 1][1] <= offset

    def _is_beside(self, offset: int, name: str) -> bool:
        """Return whether an array is next to a place; code that is not stored as an array is elsewhere.

        Where code is stored by pieces, the last one of them may be before the first array by chance: there, arrays must
        be on both sides.
        """
        end = offset + self._signatures[name].size
        after = bisect_left(self._taken, (end, 0))
        before_it = after > 0 and offset - self._taken[after - 1][1] < _PADDING
        behind_it = after < len(self._taken) and self._taken[after][0] - end < _PADDING
        return before_it and behind_it if self._least == _BY_PIECES else before_it or behind_it

    def _gap(self, name: str, size: int) -> range:
        before, low = self._neighbour(name, -1)
        after, high = self._neighbour(name, 1)
        run = self._names[before + 1 : after]
        total = sum(self._signatures[one].size for one in run)
        for between in self._between:
            bytes_, room = between.unexplained, between.room
            if low is None or high is None or not min(low, high) <= bytes_.start < max(low, high):
                continue
            alone = len(bytes_) <= size <= len(room) < size + _PADDING
            if bytes_ and (alone or total <= len(room) < total + _PADDING * len(run)):
                return _starts(bytes_, room, size)
        # A body that several stencils have is one array, and not next to the neighbours of all of them. It may begin or
        # end like a short one.
        fitting = (one for one in self._between if one.unexplained and len(one.unexplained) <= size <= len(one.all))
        return next((_starts(one.unexplained, one.all, size) for one in fitting if self.keeps_all), range(0))

    def _neighbour(self, name: str, step: int) -> tuple[int, int | None]:
        """Find the next stencil in the header that was found: its position there, its offset in the program."""
        position = bisect_left(self._names, name) + step
        while 0 <= position < len(self._names):
            offsets = self._found.whole.get(self._signatures[self._names[position]].sha256)
            if offsets is not None:
                return position, offsets[0]
            position += step
        return position, None

    def _neighbours(self, between: Between) -> set[int]:
        """Return the sizes of the arrays on both sides."""
        edges = (between.all.start, between.all.stop)
        return {end - start for start, end in self._taken if end == edges[0] or start == edges[1]}

    def strangers(self, missing: Collection[int]) -> Iterator[range]:
        """Yield the places of unexplained bytes that belong to no missing stencil, where all code is stored as arrays.

        Other constants of the file may be there: only what has room for short code or data that is nowhere counts, and
        not where linkers gather everybody's constants of 32 bytes.
        """
        if not self.keeps_all:
            return
        known = set[Filler]().union(*(between.fillers for between in self._between))
        absent = {filler.size for filler in self._small - known if filler.size >= _TOGETHER and not _is_zeros(filler)}
        for between in self._between:
            bytes_, room = between.unexplained, between.room
            fits = any(len(bytes_) <= size <= len(room) for size in absent)
            apart = {SHORTEST} == self._neighbours(between)
            if bytes_ and fits and not apart and not any(offset in room for offset in missing):
                yield bytes_


def sure_size(found: Iterable[int], known: Iterable[int]) -> int:
    """Return the size in bytes from which a compiler stores all code as arrays.

    That is judged by the sizes of what was found, and of all that is known: a few that are shorter may be chance, or
    copied in a place that the compiler takes to be cold, if most of their size are not there.
    """
    sizes, middle = sorted(found), sum(SURE <= size < _BY_PIECES for size in known)
    few = max(_ENOUGH - 1, len(sizes) // 8)
    there = bisect_left(sizes, _BY_PIECES) - bisect_left(sizes, SURE)
    long = len(sizes) - bisect_left(sizes, _BY_PIECES)
    if len(sizes) > few and sizes[few] >= _BY_PIECES:
        return SURE_WITHOUT_PGO
    return SURE_WITHOUT_PGO if long >= _MANY and there <= _FEW_OF_SIZE * middle else SURE


def _starts(unexplained: range, room: range, size: int) -> range:
    """List where code of a size may begin that unexplained bytes are of; code begins with bytes that are not zeros."""
    last = min(unexplained.start, room.stop - size)
    return range(last, max(room.start, unexplained.stop - size) - 1, -1)


def _is_zeros(filler: Filler) -> bool:
    return filler == fill(bytes(filler.size))


def explain(content: bytes, start: int, stop: int, fillers: Mapping[int, Collection[str]]) -> Between:
    """Account for the bytes from `start` to `stop`, with as few unexplained ones as can be."""
    if stop - start < _PADDING and not any(content[start:stop]):
        return Between(fillers=frozenset(), unexplained=range(0), room=range(0), all=range(start, stop))
    # For each place: how many bytes before it are unexplained, where the last step came from, and what it was over.
    steps: dict[int, tuple[int, int, Filler | None]] = {start: (0, start, None)}
    for offset in range(start, stop):
        for end, filler, cost in _onwards(content, offset, stop, fillers):
            total = steps[offset][0] + cost
            if end not in steps or total < steps[end][0]:
                steps[end] = (total, offset, filler)
    path: list[tuple[range, Filler | None, bool]] = []
    end = stop
    while end > start:
        total, offset, filler = steps[end]
        path.insert(0, (range(offset, end), filler, total > steps[offset][0]))
        end = offset
    return _summarised(path, start, stop)


def _summarised(path: Sequence[tuple[range, Filler | None, bool]], start: int, stop: int) -> Between:
    """Join what is unexplained: what is recognised within is there by chance, as zeros are."""
    strange = [place for place, _, is_strange in path if is_strange]
    unexplained = range(strange[0].start, strange[-1].stop) if strange else range(0)
    known = [(place, filler) for place, filler, _ in path if filler is not None]
    if not unexplained:
        return Between(
            fillers=frozenset(filler for _, filler in known),
            unexplained=unexplained,
            room=unexplained,
            all=range(start, stop),
        )
    before = [(place, filler) for place, filler in known if place.stop <= unexplained.start]
    after = [(place, filler) for place, filler in known if place.start >= unexplained.stop]
    # Zeros behind are the end of code whose last hole is there, or of data.
    solid = [place.start for place, filler in after if not _is_zeros(filler)]
    return Between(
        fillers=frozenset(filler for _, filler in before + after),
        unexplained=unexplained,
        room=range(before[-1][0].stop if before else start, solid[0] if solid else stop),
        all=range(start, stop),
    )


def _onwards(
    content: bytes, offset: int, stop: int, fillers: Mapping[int, Collection[str]]
) -> Iterator[tuple[int, Filler | None, int]]:
    """Yield the steps from a place: the end, the filler that it is over, and how many bytes stay unexplained."""
    for size, known in fillers.items():
        if offset + size <= stop:
            sha256 = hashlib.sha256(content[offset : offset + size]).hexdigest()[:32]
            if sha256 in known:
                yield offset + size, Filler(size=size, sha256=sha256), 0
    for alignment in _ALIGNMENTS:
        end = min(offset + -offset % alignment, stop)
        if end > offset and not any(content[offset:end]):
            yield end, None, 0
    yield offset + 1, None, 1
