"""The state of one side: registers, flags, memory and frame as terms; and what an instruction may do next.

Neutral of the architecture: which registers there are, and what each mnemonic does, is in the tables of `x86` and
`aarch64`. The frame is a memory of its own, byte-exact, at the stack pointer's value at entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from stencilkit.prove import terms
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import FRAME_NAME, Term

CODE_NAME: Final = "code of "
"""How the symbols of the codes' addresses begin."""
EXIT_NAME: Final = "exit "
"""How the symbols of the ways out of a stencil begin."""
FRAMES: Final = {width: terms.sym(FRAME_NAME, width) for width in (32, 64)}
"""The stack pointer as it was at entry, by the width of an address."""
LazyFlag = Callable[[], Term]
"""Makes a flag's term when somebody asks: most flags are never read."""


class UnsupportedError(Exception):
    """Something that is not modelled, so that nothing can be proved; the text says what."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Go to `target` if `condition` is true, else on; on the way there, a register may get a value."""

    condition: Term
    target: int | Term
    register: str = ""
    value: Term | None = None


@dataclass(frozen=True, slots=True)
class Jump:
    """Go to an address: a number is an offset in this stencil."""

    target: int | Term


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function."""

    target: Term


@dataclass(frozen=True, slots=True)
class Return:
    """Return to an address that was in a register or on the stack."""

    address: Term


Control = Branch | Jump | Call | Return | None


@dataclass(slots=True)
class State:
    """Where one side is: its next offset, registers, flags, memory.

    `kept` are the places in the frame, with their sizes, that callees have kept pointers to. `counted` says that the
    number of a loop's rounds is known, so that its head is a place like any other (`cases`), `passing` how many times
    a head is still to be passed before it is where a round ends (`loops`).
    """

    pc: int
    registers: dict[str, Term]
    heap: Memory
    frame: Memory
    flags: dict[str, LazyFlag] = field(default_factory=dict)
    steps: int = 0
    leaving: Term | None = None
    kept: tuple[tuple[Term, int], ...] = ()
    counted: bool = False
    passing: int = 0

    def flag(self, name: str) -> Term:
        """Read a flag.

        Raises: UnsupportedError where it is from before the stencil.
        """
        if name not in self.flags:
            raise UnsupportedError(f"flag {name} as it was before the stencil")
        return self.flags[name]()

    def copy(self) -> State:
        """Copy, to go on in two ways."""
        return replace(self, registers=dict(self.registers), flags=dict(self.flags))


def in_frame(address: Term) -> bool:
    """Say whether an address is in the frame.

    Raises: UnsupportedError where it is neither in the frame nor independent of where the frame is.
    """
    if not address.frame:
        return False
    _, factors = terms.parts(address)
    entry = FRAMES[address.width]
    if factors.get(entry) != 1 or any(one.frame for one in factors if one is not entry):
        raise UnsupportedError("an address made from that of the frame")
    return True


def load(state: State, address: Term, size: int) -> Term:
    """Read memory or the frame.

    Raises: UnsupportedError for what a callee may have written there, through a pointer that it kept.
    """
    if not in_frame(address):
        return state.heap.read(address, size)
    _own(state, address, size)
    return state.frame.read(address, size)


def _own(state: State, address: Term, size: int) -> None:
    """Refuse what a callee has kept a pointer to."""
    for start, length in state.kept:
        gap = terms.sub(address, start)
        if gap.value is None or -size < terms.signed(gap.value, gap.width) < length:
            raise UnsupportedError("a part of the frame that a callee has kept a pointer to")


def store(state: State, address: Term, value: Term) -> None:
    """Write memory or the frame.

    Raises: UnsupportedError for the stencil's own data, which is read as it was built, and for an address of the frame
    that others could read.
    """
    for one in terms.parts(address)[1]:
        if one.op == "sym" and str(one.extra[0]).startswith(("data", "slot of ")):
            raise UnsupportedError("a write to the stencil's data")
        if one.op == "sym" and str(one.extra[0]).startswith(CODE_NAME):
            raise UnsupportedError("a write to the code")
    if in_frame(address):
        _own(state, address, value.width // 8)
        state.frame = state.frame.write(address, value)
    elif value.frame:
        raise UnsupportedError("an address of the frame in memory")
    else:
        state.heap = state.heap.write(address, value)
