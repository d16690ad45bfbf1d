"""What both sides share, the two sides, and what they owe each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stencilkit.model.proof import Difference, Prototype
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.conventions import Convention, Passing, Place
from stencilkit.prove.facts import Facts
from stencilkit.prove.machine import FRAMES, State, load
from stencilkit.prove.terms import Term


@dataclass(frozen=True, slots=True)
class Side:
    """One stencil and where it is."""

    code: Code
    state: State


Pair = tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class Obligation:
    """Two terms that must be equal for the proof to go on, and what they are.

    They are equal where each of some pairs is that are `enough`, which are easier to compare; none if there are none.
    """

    what: str
    left: Term
    right: Term
    enough: tuple[tuple[Term, Term], ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """What both sides share: how they call, what they pass on, and C's prototypes.

    The shim (`entry`) calls stencils by `convention`, and C functions, which have names, by C's, which is `outside`.
    `layout` has sizes of CPython's types and offsets of their fields, in bytes.
    """

    convention: Convention
    passing: Passing
    prototypes: Mapping[str, Prototype]
    series: str
    layout: Mapping[str, int]
    outside: Convention | None = None

    @property
    def entry(self) -> bool:
        """Whether this is about the shim, which C calls."""
        return self.outside is not None

    def calling(self, name: str) -> World:
        """Return how what has this name is called, "" for a pointer or a stencil."""
        return replace(self, convention=self.outside) if name and self.outside is not None else self

    @property
    def frame(self) -> Term:
        """The stack pointer as it was at entry."""
        return FRAMES[self.convention.word]


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """What is called: its name and prototype, where it has them, and how many bytes above the stack pointer it owns."""

    name: str
    prototype: Prototype | None
    room: int


def width_of(kind: str, word: int) -> int:
    """Return how many bits an argument or result has, 0 where that is not known."""
    return {"i1": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "ptr": word, "word": word}.get(kind, 0)


def argument(side: Side, place: Place, convention: Convention, kind: str = "word") -> Term:
    """Read an argument: a whole register, or the words on the stack that it takes."""
    if isinstance(place, str):
        return side.state.registers[place]
    address = terms.offset(side.state.registers[convention.stack], place)
    return load(side.state, address, convention.size(kind))


class StuckError(Exception):
    """No proof is found: the two sides may differ here, where these facts hold."""

    def __init__(self, difference: Difference, facts: Facts) -> None:
        super().__init__(difference.what)
        self.difference = difference
        self.facts = facts
