"""One node: what terms are made of, and those that have nothing to simplify."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

WORD: Final = 64
"""How wide numbers and symbols are where nothing is said."""
_TABLE: Final[dict[tuple[object, ...], Term]] = {}


class Term:
    """One node: `op`, what is below, the width in bits, and a name, number or position as `extra`.

    Equal terms are the same object within a process (`make`), so that `is` compares them.
    """

    __slots__ = ("args", "extra", "frame", "op", "order", "width")

    op: str
    args: tuple[Term, ...]
    width: int
    extra: tuple[int | str, ...]
    order: bytes
    """A digest of the structure: the order of operands."""
    frame: bool
    """Whether the address of the stack frame occurs in its value."""

    def __repr__(self) -> str:
        return show(self)

    @property
    def value(self) -> int | None:
        """The number that a constant is, None for all else."""
        return int(self.extra[0]) if self.op == "const" else None


def make(op: str, args: tuple[Term, ...], width: int, *extra: int | str) -> Term:
    """Make a node, or find the one that is equal; nothing is simplified."""
    key = (op, args, width, extra)
    found = _TABLE.get(key)
    if found is None:
        found = Term()
        found.op, found.args, found.width, found.extra = op, args, width, extra
        text = f"{op}|{width}|{extra}".encode()
        found.order = hashlib.blake2b(b"".join((text, *(arg.order for arg in args))), digest_size=12).digest()
        found.frame = (op == "sym" and extra[0] == FRAME_NAME) or (op != "word" and any(arg.frame for arg in args))
        _TABLE[key] = found
    return found


FRAME_NAME: Final = "stack"


def const(value: int, width: int = WORD) -> Term:
    """Make a number, reduced to the width."""
    return make("const", (), width, value & mask(width))


def sym(name: str, width: int = WORD) -> Term:
    """Make an unknown value; the name says which."""
    return make("sym", (), width, name)


def call(name: str, args: Iterable[Term], width: int, *, commutes: bool = False) -> Term:
    """Apply an uninterpreted function."""
    given = tuple(sorted(args, key=by_order) if commutes else args)
    return make("call", given, width, name)


def word(memory: str, address: Term) -> Term:
    """Read a word, which is as wide as its address, of a memory as it was when it got its name."""
    return make("word", (address,), address.width, memory)


def over(distance: Term, written: Term, below: Term) -> Term:
    """Read a word `distance` bytes above a written one; `below` is what is there otherwise."""
    gap, size = distance.value, distance.width // 8
    if gap is not None:
        if gap == 0:
            return written
        if size <= gap <= mask(distance.width) - size + 1:
            return below
    return make("over", (distance, written, below), distance.width)


def mask(width: int) -> int:
    """Return a number with all bits of a width."""
    return (1 << width) - 1


TRUE: Final = const(1, 1)
FALSE: Final = const(0, 1)


def by_order(term: Term) -> bytes:
    """Return the order of operands, to sort by."""
    return term.order


def signed(value: int, width: int) -> int:
    """Read a number of this width as a signed one."""
    return value - (1 << width) if value >> (width - 1) & 1 else value


def show(term: Term, depth: int = 6) -> str:
    """Write a term for people, to a depth."""
    if term.op == "const":
        return hex(int(term.extra[0]))
    if term.op == "sym":
        return str(term.extra[0])
    if depth == 0:
        return "..."
    inner = [show(one, depth - 1) for one in term.args]
    if term.op == "sum":
        number = signed(int(term.extra[0]), term.width)
        rows = [
            f"{signed(int(f), term.width)}*{one}" if f != 1 else one
            for f, one in zip(term.extra[1:], inner, strict=True)
        ]
        return "(" + " + ".join(rows + ([hex(number)] if number else [])) + ")"
    name = f"{term.op}{list(term.extra) if term.extra else ''}" if term.op != "call" else str(term.extra[0])
    return f"{name}({', '.join(inner)})"
