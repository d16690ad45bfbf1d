"""What pages show, with words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stencilkit.model.qualification import QUESTIONS, Cell, Differing, Outcome, Result
from stencilkit.report import _measures

Kind = Literal["yes", "notes", "no", "open"]
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
        percent = _measures.growth(self.result)
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


def title(name: object) -> str:
    """Say what a check asks."""
    return next((question.title for key, question in QUESTIONS.items() if key == name), str(name))
