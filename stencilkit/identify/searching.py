"""Program and signatures -> where bodies of code are in it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from stencilkit.model.program import Program, Region
from stencilkit.model.signature import SHORTEST, SURE, Candidate

# Compilers align arrays of this size and more so: the first pass looks there, in the whole program.
_ALIGNMENT: Final = 16
# The second pass looks at every offset, this near to what the first one found. In bytes: gcc -Os aligns nothing, and by
# chance, 46 kB of a debug build of 3.14 have no stencil at a multiple of 16.
_NEAR: Final = 1 << 16
# Where they are not aligned, they are next to each other, and so many bytes of so many are looked at first: in what is
# larger than this.
_SAMPLE: Final = 512
_SAMPLE_EVERY: Final = 4096
_SMALL: Final = 1 << 20
# No more than this is looked at closely, in bytes: the stencils of the largest build have 200 kB.
_MOST: Final = 16 << 20
# So many places of one body, and so many that look like it, are noted.
_PLACES: Final = 64
_LIKE: Final = 16
# So many bodies at one alignment are where the stencils are.
_ENOUGH: Final = 3
# Fewer stencils than this are chance, or an example in a text.
FEWEST: Final = 8
# Code may end in a hole of at most this many bytes, which are zeros.
_HOLE: Final = 8
# A place that has less than this part of what the best place has is not where the stencils are, but where a compiler
# put the constants that it made of some; unless a body there is too long for that.
_PART: Final = 0.1


@dataclass(frozen=True, slots=True)
class Index:
    """All signatures that are looked for, by the CRCs of both their ends.

    Each is the distance from the place of those 32 bytes to the body's start, the body's size, and its SHA-256.
    """

    ends: Mapping[int, tuple[tuple[int, int, str], ...]]
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """Where bodies are in a program, by SHA-256: offsets in the file, in order.

    `loose` are bodies of 32 bytes that linkers gather apart from the others (`.rodata.cst32` of ELF); `near` are places
    that begin or end like a body, and are not it. `cut` are bodies that are there but for zeros at their end, which gcc
    -Os writes by instructions; `tails` are there as the end of a longer one, as linkers store strings that end alike.
    """

    whole: Mapping[str, tuple[int, ...]]
    loose: Mapping[str, tuple[int, ...]]
    near: Mapping[str, tuple[int, ...]]
    cut: frozenset[str] = frozenset()
    tails: frozenset[str] = frozenset()

    def has(self, sha256: str) -> bool:
        """Return whether a body is in the program."""
        return sha256 in self.whole or sha256 in self.loose


def index(candidates: Iterable[Candidate]) -> Index:
    """Gather the signatures of all candidates."""
    ends: dict[int, set[tuple[int, int, str]]] = {}
    sizes: dict[str, int] = {}
    for candidate in candidates:
        for signature in candidate.signatures.values():
            sizes[signature.sha256] = signature.size
            for crc, distance in ((signature.head, 0), (signature.tail, SHORTEST - signature.size)):
                ends.setdefault(crc, set()).add((distance, signature.size, signature.sha256))
    return Index(ends={crc: tuple(sorted(bodies)) for crc, bodies in ends.items()}, sizes=sizes)


def find(program: Program, signatures: Index) -> Found:
    """Find bodies in a program: all in one region, as a C compiler places the constants of one file."""
    regions = [_find_in(program, region, signatures) for region in program.regions]
    return max(regions, key=lambda found: len(found.whole), default=Found({}, {}, {}))


def _find_in(program: Program, region: Region, signatures: Index) -> Found:
    """Find bodies near each other: a few that stand alone are chance, or constants that a compiler made of them."""
    data = program.content[region.offset : region.offset + region.size]
    anchors = _anchors(data, -region.offset % _ALIGNMENT, signatures)
    windows = [range(start, stop) for start, stop in _windows(anchors, region.size)]
    sizes = accumulate(len(window) for window in windows)
    places = [
        _search(data, window, signatures, region.offset)
        for window, size in zip(windows, sizes, strict=True)
        if size <= _MOST
    ]
    most = max((len(place.whole) for place in places), default=0)
    least = max(FEWEST, most * _PART)
    kept = [place for place in places if len(place.whole) >= least]
    others = [place for place in places if len(place.whole) < least] if kept else []
    kept += _parts(kept, others, signatures)
    return Found(
        whole=_together(place.whole for place in kept),
        loose=_together(place.loose for place in others if len(place.loose) >= _ENOUGH),
        near=_together(place.near for place in kept),
        cut=frozenset().union(*(place.cut for place in kept)),
        tails=frozenset().union(*(place.tails for place in kept)),
    )


def _parts(kept: Sequence[Found], others: Iterable[Found], signatures: Index) -> Iterator[Found]:
    """Yield other places that have long bodies which are in none that is kept.

    With a profile, gcc keeps the constants of functions that ran apart from those of functions that did not, and jit.c
    has a function for each stencil.
    """
    known = set[str]().union(*(place.whole for place in kept))
    for place in others:
        if any(signatures.sizes[sha256] >= SURE for sha256 in place.whole.keys() - known):
            yield place


def _together(parts: Iterable[Mapping[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for part in parts:
        for sha256, offsets in part.items():
            found[sha256] = found.get(sha256, ()) + offsets
    return found


def _anchors(data: bytes, first: int, signatures: Index) -> list[int]:
    """Find the first bodies: where compilers align arrays, else at every offset of samples.

    Where arrays are not aligned and all their sizes are even, none may be at a multiple of 16.
    """
    last = len(data) - SHORTEST + 1
    aligned = _hits(data, range(first, last, _ALIGNMENT), signatures)
    if len(aligned) >= _ENOUGH:
        return aligned
    every = _SAMPLE_EVERY if last > _SMALL else _SAMPLE
    samples = (range(start, min(start + _SAMPLE, last)) for start in range(0, last, every))
    return [offset for sample in samples for offset in _hits(data, sample, signatures)]


def _hits(data: bytes, offsets: range, signatures: Index) -> list[int]:
    crc32, ends = zlib.crc32, signatures.ends
    likely = [offset for offset in offsets if crc32(data[offset : offset + SHORTEST]) in ends]
    return [offset for offset in likely if any(_bodies(data, offset, signatures, {}, set()))]


def _search(data: bytes, offsets: range, signatures: Index, base: int) -> Found:
    """Look at every offset of a window; `base` is where the data begins in the file."""
    whole: set[tuple[int, int, str]] = set()
    near: dict[str, list[int]] = {}
    cut: set[str] = set()
    for offset in offsets[: len(offsets) - SHORTEST + 1]:
        if zlib.crc32(data[offset : offset + SHORTEST]) in signatures.ends:
            whole.update(_bodies(data, offset, signatures, near, cut))
    # One that is a part of a longer one is not there for itself.
    ordered = sorted((start, -size, sha256) for start, size, sha256 in whole)
    ends = accumulate((start - negative for start, negative, _ in ordered), max, initial=0)
    there: dict[str, tuple[int, ...]] = {}
    tails: set[str] = set()
    for (start, negative, sha256), end in zip(ordered, ends, strict=False):
        places = there.get(sha256, ())
        if start - negative > end and len(places) < _PLACES:
            there[sha256] = (*places, base + start)
        elif start - negative == end and 0 not in data[start:end]:
            tails.add(sha256)
    return Found(
        whole=there,
        loose={sha256: starts for sha256, starts in there.items() if signatures.sizes[sha256] == SHORTEST},
        near={sha256: tuple(base + start for start in starts) for sha256, starts in near.items()},
        cut=frozenset(cut),
        tails=frozenset(tails),
    )


def _bodies(
    data: bytes, offset: int, signatures: Index, near: dict[str, list[int]], cut: set[str]
) -> Iterator[tuple[int, int, str]]:
    """Yield the bodies that begin or end with the 32 bytes at an offset: start, size, SHA-256. Note those alike."""
    for distance, size, sha256 in signatures.ends.get(zlib.crc32(data[offset : offset + SHORTEST]), ()):
        start = offset + distance
        if start < 0 or start + size > len(data):
            continue
        body = data[start : start + size]
        if hashlib.sha256(body).hexdigest() == sha256:
            yield start, size, sha256
            continue
        if distance == 0 and _is_cut(body, sha256):
            cut.add(sha256)
        if len(places := near.setdefault(sha256, [])) < _LIKE:
            places.append(start)


def _is_cut(body: bytes, sha256: str) -> bool:
    """Return whether a body is that of a digest, with something else in the place of zeros at its end."""
    kept = range(max(SHORTEST, len(body) - _HOLE), len(body))
    return any(hashlib.sha256(body[:size].ljust(len(body), b"\0")).hexdigest() == sha256 for size in kept)


def _windows(anchors: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    """Join the neighbourhoods of the anchors, in order; `end` is the size of the region that they are in."""
    current: tuple[int, int] | None = None
    for anchor in anchors:
        low, high = max(0, anchor - _NEAR), min(end, anchor + _NEAR)
        if current is not None and low <= current[1]:
            current = (current[0], high)
            continue
        if current is not None:
            yield current
        current = (low, high)
    if current is not None:
        yield current
