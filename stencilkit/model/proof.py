"""What came of comparing what two stencils do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@enum.unique
class Verdict(enum.Enum):
    """What is known of two stencils; only the first three are a proof."""

    IDENTICAL = "identical"
    PROVED = "proved"
    GIVEN = "proved given"
    AGREED = "agreed on runs"
    NOT_PROVED = "not proved"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototype:
    """What a C function takes and gives, as LLVM's IR has it: `ptr`, `i32`, `double`, ...

    `extended` lists the arguments that the caller widens to 32 bits.
    """

    result: str
    arguments: tuple[str, ...]
    variadic: bool = False
    returns: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where the two sides came to do other things: what each has there, and the code around the place of each."""

    what: str
    left: str
    right: str
    places: tuple[int, int]
    listings: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The answer for one stencil.

    `why` says what stood in the way of a proof; `facts` are the named facts that it needed; `difference` is where the
    search got stuck, or what a replay showed.
    """

    name: str
    verdict: Verdict
    why: str = ""
    facts: tuple[str, ...] = ()
    difference: Difference | None = None
    spent: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """The answers for two sets of stencils, in name order; `assumptions` is the digest of the prover and its tables.

    `unlike` says where a ledger says something else.
    """

    first: str
    second: str
    series: str
    triple: str
    assumptions: str
    proofs: tuple[Proof, ...]
    unlike: tuple[str, ...] = ()
