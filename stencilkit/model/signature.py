"""What is enough to find a stencil in a program, without its machine code."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from stencilkit.model.program import Program, Protection
from stencilkit.model.target import Kind

# Shorter code occurs by chance, and compilers store it as instructions: it proves nothing, and is not looked for.
SHORTEST: Final = 32
# Below the first size, gcc was seen to store some code as instructions, and to keep other code as arrays. Below the
# second, gcc does so with all code that it does not take to be cold, as in builds without PGO (a copy of a constant is
# stored by pieces, up to 17 of 16 bytes). clang keeps everything as arrays.
SURE: Final = 65
SURE_WITHOUT_PGO: Final = 273

# What a changed place is called that has no room for code that is looked for.
SMALL: Final = "code of less than 32 bytes, or data"

Verdict = Literal["identified", "nearest", "changed", "unknown", "no JIT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A body of code: its size in bytes, the CRC-32 of its first and last 32 bytes, and the SHA-256 of all of it.

    The CRCs are where a search begins; the SHA-256 confirms what it finds. Of a body in which one byte was changed, the
    other end still says where it is.
    """

    size: int
    head: int
    tail: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Filler:
    """What may be between bodies that are looked for: its size in bytes, and the first 128 bits of its SHA-256."""

    size: int
    sha256: str


def fill(content: bytes) -> Filler:
    """Sign bytes that are not looked for, but recognised where they are between others."""
    return Filler(size=len(content), sha256=hashlib.sha256(content).hexdigest()[:32])


def sign(code: bytes) -> Signature | None:
    """Sign a stencil's code, without its padding or patches; None if it is too short to be looked for."""
    if len(code) < SHORTEST:
        return None
    return Signature(
        size=len(code),
        head=zlib.crc32(code[:SHORTEST]),
        tail=zlib.crc32(code[-SHORTEST:]),
        sha256=hashlib.sha256(code).hexdigest(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What stencils were made from and with: a CPython release, a target, a flavour, hardened or not, an LLVM."""

    cpython: str
    triple: str
    flavour: Kind
    llvm: str

    def __str__(self) -> str:
        llvm = f", LLVM {self.llvm}" if self.llvm else ""
        return f"CPython {self.cpython}, {self.triple}, {self.flavour}{llvm}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The stencils of one build that can be found, by name.

    `short` is the code that is too short to be looked for, `data` the stencils' data: both explain what is between the
    stencils that are found. `source` names where they come from, if that is a path that the user named; only then is
    the code itself known.
    """

    made: Made
    signatures: Mapping[str, Signature]
    short: frozenset[Filler] = frozenset()
    data: frozenset[Filler] = frozenset()
    source: str = ""
    codes: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A stencil that was not found as it should be.

    `offset` is the place in the program where other bytes are in its stead, -1 if there is none; `differing` numbers
    the bytes of the stencil that differ, from 0, where its code is known.
    """

    name: str
    size: int
    offset: int = -1
    differing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a candidate is in a program: stencils and bytes, of those that can be found there.

    `hidden` are short ones of which the program has no array: its compiler stored them as instructions, so they cannot
    be found, and are not counted.
    """

    candidate: Candidate
    stencils: int
    of_stencils: int
    size: int
    of_size: int
    hidden: int
    missing: tuple[Missing, ...] = ()

    @property
    def whole(self) -> bool:
        """Return whether everything that can be found was found."""
        return self.stencils == self.of_stencils and not self.missing

    @property
    def share(self) -> float:
        """Return the part of what can be found that was found, from 0 to 1."""
        return self.stencils / self.of_stencils if self.of_stencils else 0.0

    def is_like(self, other: Coverage) -> bool:
        """Return whether another build has the same stencils of those that can be found in any program."""
        return self.candidate.signatures == other.candidate.signatures

    @property
    def seen(self) -> int:
        """Return the part of the stencils that was found of all that are looked for, hidden ones too, in percent."""
        return 100 * self.stencils // max(1, self.of_stencils + self.hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What a program contains.

    `best` are the candidates that explain most, equally well, best first; `others` are the next ones; `telling` names
    stencils that are in the best and not in the first of the others. `jit_setting` is whether the JIT is on, where that
    is known. `notes` are sentences.
    """

    program: Program
    python: str
    jit: bool
    jit_setting: str
    verdict: Verdict
    best: tuple[Coverage, ...]
    others: tuple[Coverage, ...]
    telling: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def protections(self) -> tuple[Protection, ...]:
        """List the protections of the whole program."""
        return self.program.protections

    @property
    def names(self) -> Iterator[str]:
        """Name what the best candidates were made from."""
        return (str(coverage.candidate.made) for coverage in self.best)
