"""Results -> what pages show: sorted, grouped, with names of files."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from stencilkit.model.qualification import Differing, Result, Verdict
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.report._measures import PLOTS, Measure
from stencilkit.report._views import WORDS, Brief, Group, Kind, Line, Overview, Plot, Site, Square, Variant

_KINDS: Final[Mapping[Verdict, Kind]] = {
    "qualified": "yes",
    "qualified, with notes": "notes",
    "not qualified": "no",
    "not finished": "open",
}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST: Final = 120


def site(results: Sequence[Result]) -> Site:
    """Arrange results."""
    squares = tuple(_square(result) for result in sorted(results, key=_order))
    newest = {square.result.cell.series: square.result.cell.cpython for square in squares}
    versions = dict.fromkeys(square.result.cell.cpython for square in squares)
    variants = _variants(squares)
    counts = Counter(square.kind for square in squares)
    groups = tuple(_group(version, squares, plotted=version in newest.values()) for version in versions)
    return Site(
        squares=squares,
        overview=_overview(groups) if len(groups) > 1 or len(groups[0].lines) > 1 else None,
        notes=_notes(squares),
        groups=groups,
        counts={kind: counts[kind] for kind in WORDS},
        variants=variants,
        pages={
            (square.result.cell, variant.item.name): variant.page for variant in variants for square in variant.squares
        },
    )


def _overview(groups: Sequence[Group]) -> Overview:
    llvms = tuple(sorted({llvm for group in groups for llvm in group.llvms}, key=_llvm_order))
    rows = []
    for group in groups:
        found = [square for line in group.lines for square in line.squares if square]
        own = [tuple(square for square in found if square.result.cell.llvm == llvm) for llvm in llvms]
        rows.append((group.cpython, tuple(Brief(squares=squares) if squares else None for squares in own)))
    return Overview(llvms=llvms, rows=tuple(rows))


def _notes(squares: Sequence[Square]) -> Mapping[str, tuple[Square, ...]]:
    """Group the cells with notes by reason, the most frequent first."""
    found: dict[str, list[Square]] = {}
    for square in squares:
        for reason in square.result.reasons() if square.kind == "notes" else ():
            found.setdefault(reason, []).append(square)
    return {reason: tuple(where) for reason, where in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))}


def _order(result: Result) -> tuple[object, ...]:
    cell = result.cell
    version = PythonVersion.parse(cell.cpython)
    age: tuple[object, ...] = version.age if version else (0, 0, 0, cell.cpython, 0)
    return age, cell.target, cell.flavour, _llvm_order(cell.llvm)


def _llvm_order(text: str) -> tuple[object, ...]:
    version = LlvmVersion.parse(text)
    return (version.major, version.minor, version.patch, "") if version else (0, 0, 0, text)


def slug(*words: str) -> str:
    """Make a file's name of words that may be anybody's; where that changes them, a digest keeps names apart."""
    text = "-".join(words)
    safe = _UNSAFE.sub("_", text)[:_LONGEST].lstrip(".")
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _square(result: Result) -> Square:
    cell = result.cell
    return Square(
        result=result,
        page=f"cells/{slug(cell.cpython, 'llvm', cell.llvm, cell.target, cell.flavour)}",
        kind=_KINDS[result.verdict],
    )


def _group(version: str, squares: Sequence[Square], *, plotted: bool) -> Group:
    own = [square for square in squares if square.result.cell.cpython == version]
    llvms = tuple(sorted({square.result.cell.llvm for square in own}, key=_llvm_order))
    kept = {(square.result.cell.target, square.result.cell.flavour, square.result.cell.llvm): square for square in own}
    rows = dict.fromkeys((target, flavour) for target, flavour, _ in kept)
    lines = tuple(
        Line(target=row[0], flavour=row[1], squares=tuple(kept.get((*row, llvm)) for llvm in llvms)) for row in rows
    )
    return Group(cpython=version, llvms=llvms, lines=lines, plots=_plots(version, llvms, lines) if plotted else {})


def _plots(version: str, llvms: tuple[str, ...], lines: Sequence[Line]) -> dict[str, Plot]:
    made = {
        name: Plot(title=title, unit=unit, llvms=llvms, lines=_values(lines, measure))
        for name, (title, unit, measure) in PLOTS.items()
    }
    known = {name: plot for name, plot in made.items() if any(map(_is_known, plot.lines.values()))}
    return {slug("plot", version, name): plot for name, plot in known.items()}


def _is_known(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _values(lines: Sequence[Line], measure: Measure) -> dict[str, tuple[float | None, ...]]:
    return {
        f"{line.target}, {line.flavour}": tuple(measure(square.result) if square else None for square in line.squares)
        for line in lines
    }


def _variants(squares: Sequence[Square]) -> tuple[Variant, ...]:
    """Put what differs in the same way in several cells onto one page."""
    found: dict[str, tuple[Differing, str, list[Square]]] = {}
    for square in squares:
        cell = square.result.cell
        for item in square.result.differing:
            rows = [[row.left, row.right, row.same] for row in item.rows]
            key = [cell.series, cell.target, cell.flavour, square.result.reference, item.name, item.likeness]
            parts = [*key, item.code, item.data_size, rows, item.holes, item.symbols, item.data, item.proof, item.why]
            digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
            page = f"stencils/{slug(item.name, digest)}"
            found.setdefault(page, (item, square.result.reference, []))[2].append(square)
    return tuple(
        Variant(item=item, page=page, reference=reference, squares=tuple(where))
        for page, (item, reference, where) in found.items()
    )
