"""Two sets of stencils -> what differs, stencil by stencil, in words for people.

Judges values, and reads no file. Equality is that of the content digests: code, data and holes.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from stencilkit.model import digest
from stencilkit.model.comparison import Change, Comparison, Likeness, Line, Row, Side
from stencilkit.model.manifest import Manifest
from stencilkit.model.stencil import Patch, PatchForm, Stencil, StencilGroup, StencilSet

_CONTEXT: Final = 2
_ROW: Final = 16
# Where instructions repeat, aligning takes time by the product of the lengths (half a second here). The longest stencil
# of a release has about a thousand.
_ALIGNABLE: Final = 2048 * 2048

Listing = Callable[[StencilGroup], Sequence[Line]]
"""Disassembles the code of a stencil."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One side with its stencils, and the function that disassembles them."""

    side: Side
    stencils: StencilSet
    listing: Listing


def compare(first: Held, second: Held, causes: Iterable[str] = ()) -> Comparison:
    """Compare two sets of stencils of one CPython and target; `causes` say why line 1 differs."""
    old, new = first.stencils, second.stencils
    counts: Counter[Likeness] = Counter()
    changes = []
    for name in sorted({group.name for group in (*old.groups, *new.groups)}):
        before, after = old.find(name), new.find(name)
        likeness = _likeness(before, after)
        counts[likeness] += 1
        if likeness != "identical":
            changes.append(_change(name, likeness, before, after, (first.listing, second.listing)))
    return Comparison(
        first=first.side,
        second=second.side,
        counts=dict(sorted(counts.items())),
        changes=tuple(changes),
        extras=tuple(_extras(first.side, second.side)),
        causes=tuple(causes),
    )


def _likeness(before: StencilGroup | None, after: StencilGroup | None) -> Likeness:
    if before is None:
        return "new"
    if after is None:
        return "gone"
    if digest.canonical_group(before) == digest.canonical_group(after):
        return "identical"
    return "same-holes" if _holes(before) == _holes(after) else "other-holes"


def _holes(group: StencilGroup) -> Counter[str]:
    """Count the holes of each kind, wherever they are."""
    return Counter(
        _hole(part, patch)
        for part, stencil in (("code", group.code), ("data", group.data))
        for patch in stencil.patches
        if patch.form is not PatchForm.VOID
    )


def _hole(part: str, patch: Patch) -> str:
    terms = [patch.value.value] if patch.value.value not in ("ZERO", "GOT") else []
    terms += [patch.symbol] if patch.symbol else []
    terms += [f"{patch.addend:#x}"] if patch.addend else []
    return f"{part}: {patch.func} {' + '.join(terms) or '0'}"


def _change(
    name: str,
    likeness: Likeness,
    before: StencilGroup | None,
    after: StencilGroup | None,
    listings: tuple[Listing, Listing],
) -> Change:
    sizes = [(len(group.code.body), len(group.data.body)) if group else (None, None) for group in (before, after)]
    (code_a, data_a), (code_b, data_b) = sizes
    if before is None or after is None:
        return Change(name=name, likeness=likeness, code=(code_a, code_b), data_size=(data_a, data_b))
    return Change(
        name=name,
        likeness=likeness,
        code=(code_a, code_b),
        data_size=(data_a, data_b),
        instructions=tuple(_aligned(listings[0](before), listings[1](after))) if before.code != after.code else (),
        holes=tuple(_gone_and_added(_holes(before), _holes(after))),
        symbols=tuple(_gone_and_added(_symbols(before), _symbols(after))),
        data=tuple(_data(before.data, after.data)),
    )


def _symbols(group: StencilGroup) -> Counter[str]:
    return Counter({patch.symbol for patch in group.patches if patch.symbol})


def _gone_and_added(before: Counter[str], after: Counter[str]) -> Iterator[str]:
    for mark, items in (("- ", before - after), ("+ ", after - before)):
        for item, count in sorted(items.items()):
            yield f"{mark}{item}" + (f" ({count} times)" if count > 1 else "")


def _aligned(before: Sequence[Line], after: Sequence[Line]) -> Iterator[str]:
    """Align two listings by what the instructions do; where they agree, the second's text is shown."""
    if len(before) * len(after) > _ALIGNABLE:
        yield f"  {len(before)} and {len(after)} instructions: too many to be aligned"
        return
    groups = list(_matcher(before, after).get_grouped_opcodes(_CONTEXT))
    if not groups:
        yield "  the instructions are the same; their encodings, or the distances of jumps, differ"
    for number, group in enumerate(groups):
        if number:
            yield "  ..."
        for kind, a1, a2, b1, b2 in group:
            if kind == "equal":
                yield from (f"  {line.text}" for line in after[b1:b2])
            else:
                yield from (f"- {line.text}" for line in before[a1:a2])
                yield from (f"+ {line.text}" for line in after[b1:b2])


def beside(before: Sequence[Line], after: Sequence[Line]) -> tuple[Row, ...]:
    """Lay two whole listings side by side, aligned by what the instructions do."""
    if len(before) * len(after) > _ALIGNABLE:
        return tuple(_together(before, after, same=False))
    rows: list[Row] = []
    for kind, a1, a2, b1, b2 in _matcher(before, after).get_opcodes():
        rows += _together(before[a1:a2], after[b1:b2], same=kind == "equal")
    return tuple(rows)


def _together(before: Sequence[Line], after: Sequence[Line], *, same: bool) -> list[Row]:
    pairs = zip_longest((line.text for line in before), (line.text for line in after), fillvalue="")
    return [Row(left, right, same) for left, right in pairs]


def _matcher(before: Sequence[Line], after: Sequence[Line]) -> difflib.SequenceMatcher[str]:
    return difflib.SequenceMatcher(None, [line.key for line in before], [line.key for line in after], autojunk=False)


def _data(before: Stencil, after: Stencil) -> Iterator[str]:
    if before.body == after.body:
        return
    for start in range(0, max(len(before.body), len(after.body)), _ROW):
        old, new = before.body[start : start + _ROW], after.body[start : start + _ROW]
        if old != new:
            yield from (f"{mark} {start:4x}:  {row.hex(' ')}" for mark, row in (("-", old), ("+", new)) if row)


def _extras(first: Side, second: Side) -> Iterator[str]:
    """Name what is beside both headers and differs; what is known of one side only is not compared."""
    for role in sorted(first.extras.keys() & second.extras.keys()):
        if first.extras[role] != second.extras[role]:
            yield role


def causes(first: Manifest, second: Manifest) -> Iterator[str]:
    """List which of the things that line 1 covers differ between two builds."""
    for what, before, after in (
        ("CPython", first.cpython, second.cpython),
        ("triple", first.spelling, second.spelling),
        ("flavour", first.flavour, second.flavour),
        ("CFLAGS_JIT", first.cflags, second.cflags),
    ):
        if before != after:
            yield f"{what}: {before!r} and {after!r}"
    used = [{file.name: file.sha256 for file in item.used if file.use == "line-1"} for item in (first, second)]
    for name in sorted(used[0].keys() | used[1].keys()):
        if used[0].get(name) != used[1].get(name):
            yield f"{name}: other content"
    if first.pyconfig_sha256 != second.pyconfig_sha256:
        yield from _config_causes(first, second)


def _config_causes(first: Manifest, second: Manifest) -> Iterator[str]:
    seen = False
    before, after = first.visible, second.visible
    for name in sorted(before.macros.keys() | after.macros.keys()):
        if before.macros.get(name) != after.macros.get(name):
            seen = True
            yield f"pyconfig.h: {name}, which stencils can see"
    for text in sorted(set(before.guarded) ^ set(after.guarded)):
        seen = True
        yield f"pyconfig.h: {text}, which stencils can see"
    for text in sorted(set(before.hidden) ^ set(after.hidden)):
        seen = True
        yield f"pyconfig.h: {text}, which no stencil can see"
    if not seen:
        yield "pyconfig.h: comments, or names that are not defined"
