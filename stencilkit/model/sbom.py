"""A bill of materials: what stencils are, what they were made from and by what, and under which licences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["stencils", "source", "compiler", "headers", "generator"]
"""What something is in a build. Stencils are what is shipped; of the others, only the source ends up in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file that is shipped: its name, and its bytes' digests (SPDX 2.3 wants SHA-1 beside SHA-256)."""

    name: str
    sha1: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a bill. `licence` is an SPDX expression, "" where nothing is known.

    `sha256` is of one file (a program, a tarball). `facts` are what no field of the standards is for; `files` are
    shipped; `uses` names the keys of the items that this one was made from or with.
    """

    key: str
    part: Part
    name: str
    version: str = ""
    purl: str = ""
    sha256: str = ""
    licence: str = ""
    note: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    files: tuple[ListedFile, ...] = ()
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a bundle or an output folder holds; `digest` is over all of it, and makes serial numbers stable."""

    name: str
    version: str
    sha256: str
    digest: str
    items: tuple[Item, ...]
