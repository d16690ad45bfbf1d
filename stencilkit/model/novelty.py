"""What can be seen of a CPython's stencil generator without running it, and how it differs from a known one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Weight = Literal["harmless", "doubtful", "blocking"]
"""It reaches no stencil; upstream's generator may do something that stencilkit does not; no stencil can be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a tree's Tools/jit and Python/jit.c look like.

    `files` are those of Tools/jit with their SHA-256. `options` are build.py's, `flags` the compiler flags that its
    modules spell. `values` are the members of HoleValue, `symbols` the names _JIT_... that the C files use and do not
    define. `patches` are the patch functions and the structures of jit.c with the SHA-256 of their text, blanks aside;
    `called` those names of them that the generator's modules spell.
    """

    files: Mapping[str, str]
    options: frozenset[str]
    flags: frozenset[str]
    values: frozenset[str]
    symbols: frozenset[str]
    patches: Mapping[str, str]
    called: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference from the known generator, how much it weighs, and why."""

    what: str
    weight: Weight
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisional:
    """That a CPython is built as another, older one: which minor version, and how their generators differ."""

    series: str
    differences: tuple[Difference, ...]
