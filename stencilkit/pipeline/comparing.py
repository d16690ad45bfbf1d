"""From two to six headers or output folders to what differs between the first and each of the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit import compare, disassemble, emit, manifest
from stencilkit.errors import UsageError
from stencilkit.model.comparison import Comparison, Line, Row, Side
from stencilkit.model.stencil import StencilGroup
from stencilkit.pipeline import admitting, opening, surveying
from stencilkit.pipeline.opening import Opened

MOST: Final = 6


def groups(paths: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Find what is to be compared: one group, or one for each output folder where folders above several are named.

    One folder above several stands for those. Of two and more, those with the same place below them are compared; the
    LLVM's folder may have another name.

    Raises: UsageError where what is below one is not below the others; ManifestError.
    """
    below = [surveying.read_only(path) for path in paths]
    if len(paths) == 1:
        return (below[0],)
    if all(len(found) == 1 for found in below):
        return (tuple(found[0] for found in below),)
    places = [_places(path, found) for path, found in zip(paths, below, strict=True)]
    first = places[0]
    for path, other in zip(paths[1:], places[1:], strict=True):
        if other.keys() != first.keys():
            alone = sorted(first.keys() ^ other.keys())
            raise UsageError(
                f"{paths[0]} and {path} do not hold the same builds",
                details="\n".join(f"only in one of them: {place}" for place in alone),
                fix="name output folders that correspond to each other",
            )
    return tuple(tuple(found[place] for found in places) for place in first)


def _places(root: Path, found: Sequence[Path]) -> dict[str, Path]:
    """Name output folders by their place below a folder, without the LLVM's where that is enough."""
    whole = {path.relative_to(root).as_posix(): path for path in found}
    short = {re.sub(r"(^|/)llvm-[^/]*$", "", place): path for place, path in whole.items()}
    return short if len(short) == len(whole) else whole


def run(paths: Sequence[Path], triple: str | None = None) -> tuple[Comparison, ...]:
    """Compare the first with each of the others.

    Raises: UsageError where they cannot be compared; HeaderError, ManifestError, TargetError.
    """
    if not 2 <= len(paths) <= MOST:
        raise UsageError(f"compare takes 2 to {MOST} paths, not {len(paths)}", fix="name headers or output folders")
    first, *others = (admitting.header(path, triple) for path in paths)
    for other in others:
        opening.check_comparable(first, other)
    return tuple(pair(first, other) for other in others)


def pair(first: Opened, second: Opened) -> Comparison:
    """Compare two of one CPython and target."""
    causes: tuple[str, ...] = ()
    if first.header.line1 != second.header.line1:
        causes = ("not known: one of them has no manifest",)
        if first.manifest is not None and second.manifest is not None:
            causes = tuple(compare.causes(first.manifest, second.manifest)) or ("line 1 alone was changed",)
    return compare.compare(_side(first), _side(second), causes)


def _side(opened: Opened) -> compare.Held:
    header, described = opened.header, opened.manifest
    summary = manifest.summarise(header.stencils, described.extras if described else {})
    side = Side(
        label=opened.label,
        made_by=f"LLVM {described.toolchain.version}" if described else "",
        series=header.format.series,
        triple=opened.target.triple,
        stencils=len(summary.stencils),
        code=sum(record.code for record in summary.stencils),
        data=sum(record.data for record in summary.stencils),
        line1=header.line1,
        content=summary.content,
        interface=summary.interface,
        extras=summary.extras,
    )
    return compare.Held(side=side, stencils=header.stencils, listing=_listing(opened))


def _listing(opened: Opened) -> compare.Listing:
    ordinals = opened.header.stencils.ordinals

    def listing(group: StencilGroup) -> Sequence[Line]:
        calls = emit.patch_calls(group.code, "code", opened.header.format, ordinals)
        return disassemble.lines(group.code, opened.target.arch, calls)

    return listing


def beside(first: Opened, second: Opened, name: str) -> tuple[Row, ...]:
    """Lay the code of one stencil of both side by side; one that is not there has no lines."""
    listings = [
        _listing(opened)(group) if (group := opened.header.stencils.find(name)) else () for opened in (first, second)
    ]
    return compare.beside(*listings)
