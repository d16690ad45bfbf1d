"""Results -> what pages show: sorted, grouped, with names of files and words for people."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from stencilkit.model.qualification import QUESTIONS, Cell, Differing, Outcome, Result
from stencilkit.model.version import LlvmVersion, PythonVersion

Value = Callable[[Result], float | None]
Kind = Literal["yes", "notes", "no", "open"]
_KINDS: Final[Mapping[str, Kind]] = {"qualified": "yes", "qualified, with notes": "notes", "not qualified": "no"}
WORDS: Final[Mapping[Kind, str]] = {
    "yes": "qualified",
    "notes": "with notes",
    "no": "not qualified",
    "open": "not finished",
}
# May it be used? What the start page says first.
ANSWERS: Final[Mapping[Kind, str]] = {"yes": "yes", "notes": "yes, with notes", "no": "no", "open": "not known"}
_WORST_FIRST: Final[tuple[Kind, ...]] = ("no", "open", "notes", "yes")
# Shapes that differ without colour.
GLYPHS: Final[Mapping[Kind, str]] = {"yes": "\u2713", "notes": "\u25d0", "no": "\u2717", "open": "\u2026"}
OUTCOMES: Final[Mapping[Outcome, Kind]] = {"passed": "yes", "noted": "notes", "failed": "no", "not asked": "open"}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot: what it shows, in which unit, and a value for each LLVM (None: not known) of each line."""

    title: str
    unit: str
    llvms: tuple[str, ...]
    lines: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A result in the heat map and the tables: where its page is, and what colour, shape and word it has."""

    result: Result
    page: str
    kind: Kind

    @property
    def word(self) -> str:
        """Say the verdict in a word or two."""
        return WORDS[self.kind]

    @property
    def glyph(self) -> str:
        """Show the verdict as a shape."""
        return GLYPHS[self.kind]

    @property
    def share(self) -> str:
        """Say how many stencils are those of upstream's LLVM."""
        found = self.result
        if found.identical is None or found.sizes is None:
            return ""
        return f"{found.identical} of {found.sizes.stencils}"

    @property
    def growth(self) -> str:
        """Say how much more code there is than with upstream's LLVM, in percent."""
        percent = _code(self.result)
        return "" if percent is None else f"{percent:+.2f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of the heat map: a target and flavour, and a square for each LLVM, None where there is none."""

    target: str
    flavour: str
    squares: tuple[Square | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The answer for one CPython and LLVM: the worst of its targets and flavours, and for which of them it is that."""

    squares: tuple[Square, ...]

    @property
    def kind(self) -> Kind:
        """Name the worst verdict."""
        return min((square.kind for square in self.squares), key=_WORST_FIRST.index)

    @property
    def detail(self) -> str:
        """Say which targets the answer is about."""
        worst = [square for square in self.squares if square.kind == self.kind]
        if self.kind in ("yes", "notes"):
            return "upstream\u2019s LLVM" if self.squares[0].result.pinned else ""
        cell = worst[0].result.cell
        name = cell.target if cell.flavour == "release" else f"{cell.target}, {cell.flavour}"
        return f"for {name}" if len(worst) == 1 else f"for {len(worst)} of {len(self.squares)} targets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The answers for each CPython by LLVM; None where that was not asked."""

    llvms: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Brief | None, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All of one CPython: its heat map and its plots, by a name for each."""

    cpython: str
    llvms: tuple[str, ...]
    lines: tuple[Line, ...]
    plots: Mapping[str, Plot]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way in which a stencil differs, and every cell where it differs so."""

    item: Differing
    page: str
    reference: str
    squares: tuple[Square, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All that there is to show; `variants` are by page, `pages` by cell and name of stencil.

    `overview` is None where the only heat map says the same. `notes` are reasons, with the cells that have them.
    """

    squares: tuple[Square, ...]
    overview: Overview | None
    notes: Mapping[str, tuple[Square, ...]]
    groups: tuple[Group, ...]
    counts: Mapping[Kind, int]
    variants: tuple[Variant, ...]
    pages: Mapping[tuple[Cell, str], str]


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
        kind=_KINDS[result.verdict] if result.finished else "open",
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
        name: Plot(title=title_, unit=unit, llvms=llvms, lines=_lines(lines, value))
        for name, (title_, unit, value) in _PLOTS.items()
    }
    known = {name: plot for name, plot in made.items() if any(map(_is_known, plot.lines.values()))}
    return {slug("plot", version, name): plot for name, plot in known.items()}


def _is_known(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _lines(lines: Sequence[Line], value: Value) -> dict[str, tuple[float | None, ...]]:
    return {
        f"{line.target}, {line.flavour}": tuple(value(square.result) if square else None for square in line.squares)
        for line in lines
    }


def _same(result: Result) -> float | None:
    if result.identical is None or result.sizes is None or not result.sizes.stencils:
        return None
    return 100 * result.identical / result.sizes.stencils


def _code(result: Result) -> float | None:
    if result.sizes is None or result.before is None or not result.before.code:
        return None
    return 100 * (result.sizes.code / result.before.code - 1)


def _seconds(result: Result) -> float | None:
    return (result.seconds or {}).get("built")


def _speed(result: Result) -> float | None:
    """Compare with what ran beside it: a minute later, the same machine is not as fast."""
    speed = result.speed or {}
    own, other = speed.get(result.cell.llvm), speed.get(result.reference)
    return 100 * own / other if own and other else None


_PLOTS: Final[Mapping[str, tuple[str, str, Value]]] = {
    "same": ("Stencils identical to upstream\u2019s LLVM", "%", _same),
    "code": ("Code, against that of upstream\u2019s LLVM", "%", _code),
    "build": ("Time of one build without cache", "s", _seconds),
    "speed": ("Speed of the JIT, against that with upstream\u2019s LLVM", "%", _speed),
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


def title(name: object) -> str:
    """Say what a check asks."""
    return next((question.title for key, question in QUESTIONS.items() if key == name), str(name))
