"""What a register or a slot of memory may hold, as far as the patches of a stencil say where it comes from.

A value is a set of atoms: it may be any of them. An atom is a base and an offset in bytes from it, which is None where
it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from stencilkit.model.stencil import HoleValue, Patch, PatchForm

_MOST_ATOMS: Final = 8
_WORD: Final = 1 << 64


class Atom(NamedTuple):
    """A base, what it is the base of, and the offset.

    Bases: "state" is what the interpreter passes in, or keeps in its memory (with an offset of 0: as it was found);
    "const" is a number; "code" and "data" are the stencil's own; "page" is the page of such an address (adrp of
    aarch64), whose name is that of the other base; "signed" is an address with a signature, whose name begins with key
    and stack pointer; "symbol" and "slot" are the interpreter's symbol and the slot that holds its address; "target"
    is another stencil of the trace, "operand" an operand of the uop, "stack" the stack at the start. "row" is a place
    in a table at an offset that the program chooses, "entry" what is there, "table" the sum of that and of the
    table's address; the name of these three is where the table starts, as in "data 16".
    """

    base: str
    name: str
    offset: int | None


Value = frozenset[Atom]

FOUND: Final[Value] = frozenset({Atom("state", "", 0)})
COMPUTED: Final[Value] = frozenset({Atom("state", "", None)})
NUMBER: Final[Value] = frozenset({Atom("const", "", None)})
_TARGETS: Final = frozenset({HoleValue.JUMP_TARGET, HoleValue.ERROR_TARGET, HoleValue.TOP})


def number(value: int) -> Value:
    """Make the value of a number."""
    return frozenset({Atom("const", "", value)})


def pointee(patch: Patch, end: int) -> Atom:  # noqa: PLR0911  # one answer per form and value
    """Describe what a patch puts in, before its function makes it relative; `end` is where the code ends."""
    if patch.form is PatchForm.TRAMPOLINE:
        return Atom("symbol", patch.symbol or "", patch.addend)
    if patch.form is PatchForm.GOT_SLOT:
        return Atom("slot", patch.symbol or "", patch.addend)
    if patch.symbol:
        return Atom("symbol", patch.symbol, patch.addend if patch.value is HoleValue.ZERO else None)
    if patch.value is HoleValue.ZERO:
        return Atom("const", "", patch.addend)
    if patch.value is HoleValue.CODE:
        return Atom("code", "", patch.addend)
    if patch.value is HoleValue.CONTINUE:
        return Atom("code", "", patch.addend + end)
    if patch.value is HoleValue.DATA:
        return Atom("data", "", patch.addend)
    base = "target" if patch.value in _TARGETS else "operand"
    return Atom(base, patch.value.value, patch.addend)


def shifted(value: Value, by: int) -> Value:
    """Add a number that is known."""
    return frozenset(_shifted(atom, by) for atom in value) if by else value


def _shifted(atom: Atom, by: int) -> Atom:
    if atom.offset is None or by == 0:
        return atom
    if atom.base in ("state", "row", "entry", "table"):
        return Atom(atom.name.partition(" ")[0] if atom.base == "row" else atom.base, "", None)
    moved = atom.offset + by
    return Atom(atom.base, atom.name, moved % _WORD if atom.base == "const" else moved)


def joined(*values: Value) -> Value:
    """Make a value that may be any of the given ones; of too many offsets from a base none is known."""
    found = frozenset().union(*values)
    if len(found) <= _MOST_ATOMS:
        return found
    return frozenset(Atom(atom.base, atom.name, None) for atom in found)


def mixed(values: Iterable[Value]) -> Value:
    """Make a value that depends on all of the given ones in a way that is not known."""
    atoms = {Atom(atom.base, atom.name, None) for value in values for atom in value}
    pointers = {atom for atom in atoms if atom.base != "const"}
    return joined(frozenset(pointers or atoms)) or NUMBER


def added(left: Value, right: Value) -> Value:
    """Add two values."""
    return joined(*(_added(one, other) for one in left for other in right))


def _added(one: Atom, other: Atom) -> Value:
    for first, second in ((one, other), (other, one)):
        if second.base == "const" and second.offset is not None:
            signed = second.offset - _WORD if second.offset >= _WORD // 2 else second.offset
            return frozenset({_shifted(first, signed)})
    for first, second in ((one, other), (other, one)):
        if first.base in ("data", "code") and first.offset is not None:
            place = f"{first.base} {first.offset}"
            if second.base == "entry" and second.name == place:
                return frozenset({Atom("table", place, 0)})
            if second.base in ("state", "const", "operand"):
                return frozenset({Atom("row", place, 0)})
    return mixed((frozenset({one}), frozenset({other})))


def truncated(value: Value, size: int) -> Value:
    """Keep the low bytes of a value: an address whose upper half is lost is not known any more."""
    mask = (1 << 8 * size) - 1
    return frozenset(
        Atom(atom.base, atom.name, None if atom.offset is None else atom.offset & mask)
        if atom.base == "const"
        else atom
        if atom.base == "entry"
        else Atom(atom.base, atom.name, None)
        for atom in value
    )
