"""What differs between two sets of stencils."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Likeness = Literal["identical", "same-holes", "other-holes", "gone", "new"]
"""Same bytes and holes; other bytes with the same holes; other holes; only in the first; only in the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One instruction of a stencil: its text, with patches, and what of it is compared when lines are aligned."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of two listings side by side; "" where one side has nothing there. `same` says whether they agree."""

    left: str
    right: str
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one stencil differs: sizes in bytes before and after, None where there is none.

    `instructions` is an aligned diff of the code, each line led by "  ", "- " or "+ "; `holes` and `symbols` list what
    is gone ("- ") and added ("+ "), `data` what the bytes of the data were and are.
    """

    name: str
    likeness: Likeness
    code: tuple[int | None, int | None]
    data_size: tuple[int | None, int | None]
    instructions: tuple[str, ...] = ()
    holes: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the things compared.

    `label` is how the user named it, `made_by` the toolchain where that is known. Sizes are in bytes, of all stencils.
    `extras` are the digests of what is beside the header, where that is known.
    """

    label: str
    made_by: str
    series: str
    triple: str
    stencils: int
    code: int
    data: int
    line1: str
    content: str
    interface: str
    extras: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sides, the changes in name order, how many stencils are of each likeness, and why line 1 differs."""

    first: Side
    second: Side
    counts: Mapping[Likeness, int]
    changes: tuple[Change, ...]
    extras: tuple[str, ...]
    causes: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Return whether the content is the same: every stencil, and what is beside them."""
        return not self.changes and not self.extras
