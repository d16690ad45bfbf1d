"""Jumps through a table of places in the code, which is in the stencil's data.

What such a jump goes to is a choice among the table's entries, by the index. Each entry is a way on, with its
condition; that nothing else can be chosen, behind the table or in front of it, is asked of the solver.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

from stencilkit.prove import asking, terms
from stencilkit.prove.code import RELATIVE, Code
from stencilkit.prove.facts import Facts
from stencilkit.prove.machine import Control, Jump, State, UnsupportedError
from stencilkit.prove.terms import Term

if TYPE_CHECKING:
    from stencilkit.prove.search import Search

MOST: Final = 64
"""How many ways on one jump may have."""
BESIDE: Final = "a jump through a table to what may be beside it"
Way = tuple[State, Facts]


def target(control: Control | Literal["loop"], code: Code) -> Term | None:
    """Return where a jump goes to if that is made from a place in the code, else None."""
    if not isinstance(control, Jump) or isinstance(control.target, int):
        return None
    return control.target if code.start in terms.below((control.target,)) else None


def ways(search: Search, code: Code, to: Term, way: Way, *, decide: bool) -> Iterator[Way]:
    """Yield the state and the facts of each way on; `decide` asks the solver which are open.

    Raises: UnsupportedError where there are too many, or one goes to anything but an instruction; LimitError.
    """
    state, facts = way
    rows = [*itertools.islice(_choices(to), MOST + 1)]
    if len(rows) > MOST:
        raise UnsupportedError(f"a jump through a table of more than {MOST} entries")
    for conditions, address in rows:
        condition = terms.both(terms.TRUE, *conditions)
        if facts.value(condition) is False:
            continue
        place = _place(code, address)
        if place is None:
            if asking.ask(search, facts, condition) != "no":
                raise UnsupportedError(BESIDE)
        elif not decide or asking.decided(search, facts, condition) is not False:
            then = state.copy()
            then.pc = place
            yield then, facts.plus(condition)


def _choices(term: Term) -> Iterator[tuple[tuple[Term, ...], Term]]:
    """Take a term apart into what it can be, each with the conditions for that: they are complete, and exclusive."""
    if term.op == "ite":
        condition, yes, no = term.args
        for truth, one in ((condition, yes), (terms.invert(condition), no)):
            for more, chosen in _choices(one):
                yield (truth, *more), chosen
    elif term.op == "sext":
        for conditions, chosen in _choices(term.args[0]):
            yield conditions, _widened(chosen, term.width)
    elif term.op == "sum":
        number, factors = terms.parts(term)
        for row in itertools.product(*(itertools.islice(_choices(one), MOST + 1) for one in factors)):
            summands = [terms.scale(one, by) for (_, one), by in zip(row, factors.values(), strict=True)]
            total = terms.add(terms.const(number, term.width), *summands)
            yield tuple(itertools.chain.from_iterable(conditions for conditions, _ in row)), total
    else:
        yield (), term


def _widened(term: Term, width: int) -> Term:
    """Widen an entry; one that is relative to its own place is the distance, which is in reach of 32 bits."""
    if term.op == "call" and term.extra[0] == RELATIVE and term.args[0].width == width:
        return term.args[0]
    return terms.sext(term, width)


def _place(code: Code, address: Term) -> int | None:
    """Return the offset that an address is at, None where it is no instruction's, nor that behind the code."""
    number, factors = terms.parts(address)
    if factors != {code.start: 1}:
        return None
    return number if number in code.operations or number == code.end else None
