"""Find stencils in programs by their signatures, and say which build they come from.

CPython's `Python/jit.c` includes `jit_stencils.h`, so every `code_body` array is constant data of the program, with
zeros for holes: the code of a stencil is in a shipped file byte for byte, unless the C compiler turned a short array
into instructions. Judges values; reads no file.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from stencilkit.model.program import JIT_TEXT, Program, Region
from stencilkit.model.signature import (
    SHORTEST,
    SURE,
    SURE_WITHOUT_PGO,
    Candidate,
    Coverage,
    Identification,
    Missing,
    Signature,
    Verdict,
)

# Compilers align arrays of this size and more so: the first pass looks there, in the whole program.
_ALIGNMENT: Final = 16
# The second pass looks at every offset, this near to what the first one found. In bytes.
_NEAR: Final = 1 << 14
# So many places that look like one body are noted.
_PLACES: Final = 16
# So many bodies at one alignment are where the stencils are.
_ENOUGH: Final = 3
# Fewer stencils than this are chance, or an example in a text.
_FEWEST: Final = 8
# A place that has less than this part of what the best place has is not where the stencils are, but where a compiler
# put the constants that it made of some.
_PART: Final = 0.1
# A candidate that explains less than this part of what can be found does not explain a program.
_LEAST: Final = 0.1
# Up to this part of a release's stencils may have been changed by somebody; more are another release or other flags.
_CHANGED: Final = 0.1
_SHOWN: Final = 5
_VERSION: Final = re.compile(rb"(?<![0-9A-Za-z.])(3\.[0-9]{1,3}\.[0-9]{1,3}(?:(?:a|b|rc)[0-9]{1,3})?\+?)\0")
_TAG: Final = re.compile(rb"(?<![0-9A-Za-z-])cpython-3([0-9]{1,3})\0")


@dataclass(frozen=True, slots=True)
class Index:
    """All signatures that are looked for, by the CRCs of both their ends.

    Each is the distance from the place of those 32 bytes to the body's start, the body's size, and its SHA-256.
    """

    ends: Mapping[int, tuple[tuple[int, int, str], ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """Where bodies are in a program, by SHA-256: offsets in the file.

    `near` are places that begin or end like a body, and are not it.
    """

    whole: Mapping[str, int]
    near: Mapping[str, tuple[int, ...]]


def index(candidates: Iterable[Candidate]) -> Index:
    """Gather the signatures of all candidates."""
    ends: dict[int, set[tuple[int, int, str]]] = {}
    for candidate in candidates:
        for signature in candidate.signatures.values():
            for crc, distance in ((signature.head, 0), (signature.tail, SHORTEST - signature.size)):
                ends.setdefault(crc, set()).add((distance, signature.size, signature.sha256))
    return Index(ends={crc: tuple(sorted(bodies)) for crc, bodies in ends.items()})


def find(program: Program, signatures: Index) -> Found:
    """Find bodies in a program: all in one region, as a C compiler places the constants of one file."""
    regions = [_find_in(program, region, signatures) for region in program.regions]
    return max(regions, key=lambda found: len(found.whole), default=Found({}, {}))


def _find_in(program: Program, region: Region, signatures: Index) -> Found:
    """Find bodies near each other: a few that stand alone are chance, or constants that a compiler made of them."""
    view = memoryview(program.content)[region.offset : region.offset + region.size]
    anchors = _anchors(view, -region.offset % _ALIGNMENT, signatures)
    places = [_search(view, range(start, stop), signatures) for start, stop in _windows(anchors, region.size)]
    most = max((len(place.whole) for place in places), default=0)
    kept = [place for place in places if len(place.whole) >= max(_FEWEST, most * _PART)]
    return Found(
        whole={sha256: region.offset + offset for place in kept for sha256, offset in place.whole.items()},
        near={
            sha256: tuple(region.offset + offset for offset in offsets)
            for place in kept
            for sha256, offsets in place.near.items()
        },
    )


def _anchors(view: memoryview, first: int, signatures: Index) -> list[int]:
    """Find the first bodies: where compilers align arrays, else at each of the other offsets in turn.

    Where arrays are not aligned and all their sizes are even, none may be at a multiple of 16.
    """
    for phase in range(_ALIGNMENT):
        offsets = range((first + phase) % _ALIGNMENT, len(view) - SHORTEST + 1, _ALIGNMENT)
        anchors = [offset for offset in offsets if _look(view, offset, signatures, {}, {})]
        if len(anchors) >= _ENOUGH:
            return anchors
    return []


def _search(view: memoryview, offsets: range, signatures: Index) -> Found:
    """Look at every offset of a window."""
    whole: dict[str, int] = {}
    near: dict[str, list[int]] = {}
    for offset in offsets[: len(offsets) - SHORTEST + 1]:
        _look(view, offset, signatures, whole, near)
    sizes = {sha256: size for bodies in signatures.ends.values() for _, size, sha256 in bodies}
    ordered = sorted((start, -sizes[sha256], sha256) for sha256, start in whole.items())
    # One that is a part of a longer one is not there for itself.
    ends = accumulate((start - negative for start, negative, _ in ordered), max, initial=0)
    whole = {
        sha256: start for (start, negative, sha256), end in zip(ordered, ends, strict=False) if start - negative > end
    }
    return Found(whole=whole, near={sha256: tuple(offsets) for sha256, offsets in near.items()})


def _look(view: memoryview, offset: int, signatures: Index, whole: dict[str, int], near: dict[str, list[int]]) -> bool:
    """Note what is at one offset; return whether a whole body is."""
    bodies = signatures.ends.get(zlib.crc32(view[offset : offset + SHORTEST]), ())
    hit = False
    for distance, size, sha256 in bodies:
        start = offset + distance
        if start < 0 or start + size > len(view) or sha256 in whole:
            continue
        if hashlib.sha256(view[start : start + size]).hexdigest() == sha256:
            whole[sha256] = start
            hit = True
        elif len(places := near.setdefault(sha256, [])) < _PLACES:
            places.append(start)
    return hit


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


def judge(program: Program, candidates: Sequence[Candidate], found: Found, setting: str) -> Identification:
    """Say which of the candidates a program contains; they are for its format and architecture."""
    python = version(program)
    ranked = sorted((_cover(item, found) for item in candidates), key=lambda item: _rank(item, python))
    best = [item for item in ranked if _explains(item)][:1]
    if best:
        # Builds whose findable stencils are the same cannot be told apart; those of this very release come first.
        best = [item for item in ranked if _same(item, best[0])]
        exact = [item for item in best if item.candidate.made.cpython == python]
        best = [_located(program, item, found) for item in (exact or best)]
    others = [item for item in ranked if _explains(item) and not any(_same(item, one) for one in best)]
    jit = program.contains(JIT_TEXT) or bool(best)
    verdict = _verdict(python, jit=jit, best=best)
    return Identification(
        program=program,
        python=python,
        jit=jit,
        jit_setting=setting if jit else "",
        verdict=verdict,
        best=tuple(best),
        others=tuple(others[:_SHOWN]),
        telling=tuple(_telling(best, others, found)),
        notes=tuple(_notes(program, python, best, _sure(best[0].candidate, found) if best else SURE)),
    )


def version(program: Program) -> str:
    """Return the CPython version that a program says it is, "" if it does not say one.

    PY_VERSION is a string of its own, like the versions of libraries that are linked in; CPython's cache tag says which
    series it is of.
    """
    tags, versions = set[bytes](), set[bytes]()
    for region in program.regions:
        end = region.offset + region.size
        tags |= set(_TAG.findall(program.content, region.offset, end))
        versions |= set(_VERSION.findall(program.content, region.offset, end))
    fitting = sorted(text.decode() for text in versions if text.split(b".")[1] in tags)
    return fitting[0] if len(fitting) == 1 else ""


def _cover(candidate: Candidate, found: Found) -> Coverage:
    signatures = candidate.signatures.values()
    there = [item for item in signatures if item.sha256 in found.whole]
    sure = _sure(candidate, found)
    findable = [item for item in signatures if item.sha256 in found.whole or item.size >= sure]
    return Coverage(
        candidate=candidate,
        stencils=len(there),
        of_stencils=len(findable),
        size=sum(item.size for item in there),
        of_size=sum(item.size for item in findable),
        hidden=len(signatures) - len(findable),
    )


def _sure(candidate: Candidate, found: Found) -> int:
    """Return the size in bytes from which code is in this program as arrays, judging by the shortest that was found.

    A few that are shorter may be chance, or copied in a place that the compiler takes to be cold.
    """
    sizes = sorted(item.size for item in candidate.signatures.values() if item.sha256 in found.whole)
    shortest = sizes[_ENOUGH - 1] if len(sizes) >= _ENOUGH else 0
    return SURE_WITHOUT_PGO if shortest >= SURE_WITHOUT_PGO else SURE


def _rank(item: Coverage, python: str) -> tuple[object, ...]:
    made = item.candidate.made
    return (
        -item.share,
        -item.size,
        made.cpython != python,
        made.cpython,
        made.flavour,
        made.llvm,
        item.candidate.source,
    )


def _explains(item: Coverage) -> bool:
    return item.stencils >= _FEWEST and item.share >= _LEAST


def _same(one: Coverage, other: Coverage) -> bool:
    return one.candidate.signatures == other.candidate.signatures


def _verdict(python: str, *, jit: bool, best: Sequence[Coverage]) -> Verdict:
    if not best:
        return "no JIT" if python and not jit else "unknown"
    if best[0].whole:
        return "identified"
    made, missing = best[0].candidate.made, best[0].missing
    few = len(missing) <= max(1, _CHANGED * best[0].of_stencils)
    if few and python in ("", made.cpython) and any(item.offset >= 0 for item in missing):
        return "changed"
    return "nearest"


def _located(program: Program, item: Coverage, found: Found) -> Coverage:
    """Name what is missing of a candidate, with the places where other bytes are in its stead.

    A short stencil that has no such place was stored as instructions.
    """
    signatures = item.candidate.signatures
    layout, sure = _Layout(signatures, found), _sure(item.candidate, found)
    missing = []
    for name, signature in sorted(signatures.items()):
        # Where no short code is an array, no place can be that of one.
        if signature.sha256 in found.whole or signature.size < sure == SURE_WITHOUT_PGO:
            continue
        code = item.candidate.codes.get(name, b"")
        offset = _nearest(program, layout.places(name), code)
        if offset >= 0 or signature.size >= sure:
            differing = _differing(program, offset, code) if offset >= 0 else ()
            missing.append(Missing(name=name, size=signature.size, offset=offset, differing=differing))
    short = [one for one in missing if one.size < sure]
    return replace(
        item,
        missing=tuple(missing),
        hidden=item.hidden - len(short),
        of_stencils=item.of_stencils + len(short),
        of_size=item.of_size + sum(one.size for one in short),
    )


class _Layout:
    """Where the stencils of a candidate are in a program, in the order of the file."""

    def __init__(self, signatures: Mapping[str, Signature], found: Found) -> None:
        self._signatures = signatures
        self._found = found
        self._names = sorted(signatures)
        there = {signature for signature in signatures.values() if signature.sha256 in found.whole}
        self._taken = sorted((found.whole[signature.sha256], signature.size) for signature in there)

    def places(self, name: str) -> range:
        """Return where other bytes may be in a stencil's stead: empty if nowhere.

        That is a place that begins or ends like it, or a gap of its size between its neighbours in the header.
        """
        signature = self._signatures[name]
        for offset in self._found.near.get(signature.sha256, ()):
            if self._is_free(offset, signature.size):
                return range(offset, offset + 1)
        return self._gap(name, signature.size)

    def _is_free(self, offset: int, size: int) -> bool:
        after = bisect_left(self._taken, (offset + size, 0))
        return after == 0 or sum(self._taken[after - 1]) <= offset

    def _gap(self, name: str, size: int) -> range:
        position = bisect_left(self._names, name)
        neighbours = (self._names[position - 1 :: -1] if position else [], self._names[position + 1 :])
        offsets = [next((place for place in map(self._offset, names) if place >= 0), -1) for names in neighbours]
        low, high = sorted(offsets)
        # Neighbours with the same code are one array, with nothing between them.
        if low < 0 or not 0 < high - low <= _NEAR:
            return range(0)
        inside = [(offset, length) for offset, length in self._taken if low <= offset < high]
        ends = [offset + length for offset, length in inside]
        starts = [*(offset for offset, _ in inside[1:]), high]
        for end, start in zip(ends, starts, strict=True):
            # An array of another kind may be in a gap that is larger.
            if size <= start - end < size + 2 * _ALIGNMENT:
                return range(end, start - size + 1)
        return range(0)

    def _offset(self, name: str) -> int:
        return self._found.whole.get(self._signatures[name].sha256, -1)


def _nearest(program: Program, places: range, code: bytes) -> int:
    """Choose the place whose bytes differ least, or the first if the code is not known; -1 if there is none."""
    return min(places, key=lambda offset: (len(_differing(program, offset, code)), offset), default=-1)


def _differing(program: Program, offset: int, code: bytes) -> tuple[int, ...]:
    there = program.content[offset : offset + len(code)]
    return tuple(number for number, (one, two) in enumerate(zip(there, code, strict=False)) if one != two)


def _telling(best: Sequence[Coverage], others: Sequence[Coverage], found: Found) -> Iterator[str]:
    """Name stencils that were found, and are others in the next candidate."""
    if not best or not others:
        return
    ours, theirs = best[0].candidate, others[0].candidate
    for name, signature in sorted(ours.signatures.items()):
        if signature.sha256 in found.whole and theirs.signatures.get(name) != signature:
            yield name


def _notes(program: Program, python: str, best: Sequence[Coverage], sure: int) -> Iterator[str]:
    if not best:
        return
    made, hidden = best[0].candidate.made, best[0].hidden
    if python and all(item.candidate.made.cpython != python for item in best):
        yield f"no signatures of CPython {python} are known; these are those of {made.cpython}"
    if hidden:
        yield f"{hidden} stencils of less than {sure} bytes are no arrays in it (instructions, or changed): not counted"
    if not program.contains(JIT_TEXT):
        yield "the stencils are there, but not the text with which Python/jit.c warns"
