"""References whose tag a path has found to be clear: there they are the addresses of their objects.

A debug build takes the tag off once more before it reads the object. One LLVM knows that nothing is left to take off,
another one does not, and the same address has two forms. Writing every such reference with its tag taken off gives it
one.
"""

from __future__ import annotations

from typing import Final

from stencilkit.prove import terms
from stencilkit.prove.facts import Facts
from stencilkit.prove.terms import WORD, Term

_CLEAR: Final = terms.const(-2, WORD)
"""All bits but the lowest, which is in every tag that a reference can have (Include/internal/pycore_stackref.h)."""


def decided(facts: Facts, condition: Term) -> bool | None:
    """Return which way a branch goes by its form where clear tags are taken off; None where that does not say.

    What holds with the tags taken off holds, as the facts say that there is nothing to take off.
    """
    rows, seen = facts.rows, set[Term]()
    while (found := next((one for one in map(_clear, rows) if one is not None and one not in seen), None)) is not None:
        seen.add(found)
        taken_off = {found: terms.bitwise("and", found, _CLEAR)}
        rows = tuple(row for one in rows if (row := terms.replaced(one, taken_off)) is not terms.TRUE)
        condition = terms.replaced(condition, taken_off)
    return Facts().plus(*rows).value(condition) if seen else None


def _clear(row: Term) -> Term | None:
    """Return the word whose lowest bit a fact says to be 0."""
    if row.op == "zero":
        return _reference(row.args[0])
    bit = terms.invert(row)
    return _reference(bit) if bit.width == 1 and bit.op != "zero" else None


def _reference(low: Term) -> Term | None:
    """Return the word that some bits are the lowest ones of, or are a multiple of these."""
    if low.op == "sum" and len(low.args) == 1 and not terms.parts(low)[0]:
        low = low.args[0]
    if low.op == "extract" and not low.extra[0] and low.args[0].width == WORD:
        return low.args[0]
    return None
