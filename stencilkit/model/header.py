"""How a CPython's stencil header spells things, and what was read from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stencilkit.model.stencil import HoleValue, StencilSet

Mask = Literal["trampoline", "got"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFormat:
    """The parts of a header's grammar that differ between CPython versions.

    `state` is the last parameter of every emit function. `values` maps each hole value that this CPython has to
    its C expression; `functions` are the patch functions that its jit.c has. `strip_zeros` says that trailing zero
    bytes of a body are left to C's initialisation rules. `masks` are the columns that follow the sizes in a group's
    row. `largest` is the macro for the largest number of a uop; `entry` names the group that is not a uop.
    """

    series: str
    largest: str
    state: str
    values: Mapping[HoleValue, str]
    functions: frozenset[str]
    masks: tuple[Mask, ...]
    strip_zeros: bool
    entry: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHeader:
    """A header that follows the grammar.

    `line1` and `line2` are the texts of the first two comments; `comments` counts the other comment lines.
    """

    format: HeaderFormat
    line1: str
    line2: str
    stencils: StencilSet
    comments: int
