"""How CPython's own generator is run as a judge, and what its files say of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.model.target import Flavour

DEFAULT_SEED: Final = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some of the uops of a tree: how many, and what chooses them. The same seed and tree give the same uops."""

    count: int
    seed: str = DEFAULT_SEED


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run of a tree's Tools/jit/build.py.

    `spelling` is the triple in the user's words. `clang` are the words that start the clang of major version `llvm`,
    `programs` are LLVM's others, by name. `pyconfig` is the folder of pyconfig.h. `cflags` are the user's flags,
    `headers` those that find the C library's headers, and `more` those that the generator does not have and is to use
    all the same, in which {tree} is its tree. The sections of `leaves_out` are to be left out of the stencils.
    """

    spelling: str
    flavour: Flavour
    llvm: int
    clang: Sequence[str]
    programs: Mapping[str, Path]
    pyconfig: Path
    cflags: Sequence[str] = ()
    headers: Sequence[str] = ()
    more: Sequence[str] = ()
    leaves_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Something that the generator was made to do as stencilkit does it, and why stencilkit does."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The files that a tree's generator wrote, by name, and what it was allowed once it had stopped."""

    files: Mapping[str, bytes]
    allowed: tuple[Allowed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFile:
    """One file of both generators; `lines` are the first lines of the difference, none where they are equal."""

    name: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a build compares with what its tree's own generator makes.

    `uops` of the tree's `of` were compared. `different` are those whose stencils differ; a file may differ without
    them, in the order of its lines. `seed` chose the uops, "" where all were compared. `programs` are what
    the generator used beside clang.
    """

    uops: int
    of: int
    files: tuple[ComparedFile, ...]
    different: tuple[str, ...]
    allowed: tuple[Allowed, ...]
    programs: Mapping[str, Path]
    seed: str = ""

    @property
    def equal(self) -> bool:
        """Return whether all files that were compared are equal."""
        return bool(self.files) and not self.different and not any(file.lines for file in self.files)
