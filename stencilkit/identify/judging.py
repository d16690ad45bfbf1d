"""What was found of each candidate -> which of them a program contains."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stencilkit.identify.explaining import Layout, sure_size
from stencilkit.identify.searching import FEWEST, Found
from stencilkit.model.program import JIT_TEXT, Program
from stencilkit.model.signature import SMALL, SURE, Candidate, Coverage, Identification, Missing, Verdict

# A candidate that explains less than this part of what can be found does not explain a program.
_LEAST: Final = 0.1
# Up to this part of a release's stencils may have been changed by somebody; more are another release or other flags.
_CHANGED: Final = 0.1
_SHOWN: Final = 5
# So many candidates that explain as much are looked at closer.
_CLOSER: Final = 4
_VERSION: Final = re.compile(rb"(?<![0-9A-Za-z.])(3\.[0-9]{1,3}\.[0-9]{1,3}(?:(?:a|b|rc)[0-9]{1,3})?\+?)\0")
_TAG: Final = re.compile(rb"(?<![0-9A-Za-z-])cpython-3([0-9]{1,3})\0")


def judge(program: Program, candidates: Sequence[Candidate], found: Found, setting: str) -> Identification:
    """Decide which of the candidates a program contains; they are for its format and architecture."""
    python = version(program)
    ranked = sorted((_cover(item, found) for item in candidates), key=lambda item: _rank(item, python))
    best, sure = _best(program, python, [item for item in ranked if _explains(item)], found)
    # Of builds that cannot be distinguished, those of this very release are meant.
    exact = [item for item in best if item.candidate.made.cpython == python]
    others = [item for item in ranked if _explains(item) and not any(item.is_like(one) for one in best)]
    best = exact or best
    jit = program.contains(JIT_TEXT) or bool(best)
    return Identification(
        program=program,
        python=python,
        jit=jit,
        jit_setting=setting if jit else "",
        verdict=_verdict(python, jit=jit, best=best),
        best=tuple(best),
        others=tuple(others[:_SHOWN]),
        telling=tuple(_telling(best, others, found)),
        notes=tuple(_notes(program, python, best, sure)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Closer:
    """A candidate that was looked at closer: `counted` by what was found, `located` with the places of the rest."""

    counted: Coverage
    located: Coverage
    layout: Layout


def _best(program: Program, python: str, ranked: Sequence[Coverage], found: Found) -> tuple[list[Coverage], int]:
    """Look closer at those that explain most, and take the first that explains all, else the first.

    Return it with all that cannot be distinguished from it, which have the same findable stencils, or explain all as
    well and differ in hidden ones; and from which size in bytes its code is arrays.
    """
    closer: list[_Closer] = []
    whole: Coverage | None = None
    for item in ranked:
        if item.share < ranked[0].share or (whole is None and len(closer) == _CLOSER):
            break
        if any(item.is_like(one.counted) for one in closer) or (whole and not _rivals(item, whole, python)):
            continue
        layout = Layout(program, item.candidate, found)
        one = _Closer(counted=item, located=_located(program, item, found, layout), layout=layout)
        closer.append(one)
        whole = whole or (item if one.located.whole else None)
    if not closer:
        return [], SURE
    equal = [one for one in closer if one.located.whole] or closer[:1]
    best = [
        replace(one.located, candidate=item.candidate) for item in ranked for one in equal if item.is_like(one.counted)
    ]
    return best, equal[0].layout.sure


def _rivals(one: Coverage, other: Coverage, python: str) -> bool:
    """Return whether as much of one as of the other was found, and both may be of the program's release."""
    made, others = one.candidate.made, other.candidate.made
    return (one.stencils, one.size) == (other.stencils, other.size) and (not python or made.cpython == others.cpython)


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
    """Count what was found, without a look at where it is."""
    signatures = candidate.signatures.values()
    there = [item for item in signatures if found.has(item.sha256)]
    sure = sure_size((item.size for item in there), (item.size for item in signatures))
    findable = [item for item in signatures if found.has(item.sha256) or item.size >= sure]
    return Coverage(
        candidate=candidate,
        stencils=len(there),
        of_stencils=len(findable),
        size=sum(item.size for item in there),
        of_size=sum(item.size for item in findable),
        hidden=len(signatures) - len(findable),
    )


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
    return item.stencils >= FEWEST and item.share >= _LEAST


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


def _located(program: Program, item: Coverage, found: Found, layout: Layout) -> Coverage:
    """Name what is missing of a candidate, with the places where other bytes are in its stead.

    A short stencil that has no such place was stored as instructions, wholly or but for its first bytes; one that ends
    like a longer one may be stored as that one's end.
    """
    missing = []
    absent = [(name, one) for name, one in item.candidate.signatures.items() if not found.has(one.sha256)]
    for name, signature in sorted(absent):
        is_array = signature.size >= layout.sure
        if signature.sha256 in found.cut and not is_array:
            continue
        is_array = is_array and (layout.keeps_all or signature.sha256 not in found.tails)
        code = item.candidate.codes.get(name, b"")
        offset = _nearest(program, layout.place(name), code)
        if offset >= 0 or is_array:
            differing = _differing(program, offset, code) if offset >= 0 else ()
            missing.append(Missing(name=name, size=signature.size, offset=offset, differing=differing))
    strangers = layout.strangers([one.offset for one in missing])
    return replace(
        item,
        missing=(*missing, *(Missing(name=SMALL, size=len(place), offset=place.start) for place in strangers)),
        hidden=len(absent) - len(missing),
        of_stencils=item.stencils + len(missing),
        of_size=item.size + sum(one.size for one in missing),
    )


def _nearest(program: Program, places: range, code: bytes) -> int:
    """Choose the place whose bytes differ least, or the first if the code is not known; -1 if there is none."""
    return min(places, key=lambda offset: len(_differing(program, offset, code)), default=-1)


def _differing(program: Program, offset: int, code: bytes) -> tuple[int, ...]:
    there = program.content[offset : offset + len(code)]
    return tuple(number for number, (one, two) in enumerate(zip(there, code, strict=False)) if one != two)


def _telling(best: Sequence[Coverage], others: Sequence[Coverage], found: Found) -> Iterator[str]:
    """Name stencils that were found, and are others in the next candidate."""
    if not best or not others:
        return
    ours, theirs = best[0].candidate, others[0].candidate
    for name, signature in sorted(ours.signatures.items()):
        if found.has(signature.sha256) and theirs.signatures.get(name) != signature:
            yield name


def _notes(program: Program, python: str, best: Sequence[Coverage], sure: int) -> Iterator[str]:
    if not best:
        return
    made, hidden = best[0].candidate.made, best[0].hidden
    # A header alone says which series it is for.
    if python and not any(f"{python}.".startswith(f"{item.candidate.made.cpython}.") for item in best):
        yield f"no signatures of CPython {python} are known; these are those of {made.cpython}"
    if not all(item.is_like(best[0]) for item in best):
        yield "the builds named differ only in stencils that cannot be seen in it"
    if hidden:
        yield f"{hidden} stencils of less than {sure} bytes are not arrays in it (instructions, or changed)"
    if not program.contains(JIT_TEXT):
        yield "the stencils are there, but not the text with which Python/jit.c warns"
