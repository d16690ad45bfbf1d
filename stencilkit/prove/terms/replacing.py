"""One term in the place of another, in all that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.prove.terms.bits import bitwise, concat, extract, ite, sext, shift
from stencilkit.prove.terms.comparisons import eq, less
from stencilkit.prove.terms.node import Term, const, make, over, word
from stencilkit.prove.terms.sums import add, mul, scale


def known(term: Term, number: int) -> dict[Term, Term]:
    """Begin what `replaced` keeps: a term is this number."""
    return {term: const(number, term.width)}


def replaced(term: Term, done: dict[Term, Term]) -> Term:
    """Make a term anew with others in the places of those that are keys of `done`, which keeps what was made.

    A piece of a term that is replaced by a piece of the same term is one of the other: pieces of pieces have one form.
    """
    todo = [term]
    while todo:
        one = todo[-1]
        missing = [] if one in done else [arg for arg in one.args if arg not in done]
        todo.extend(missing)
        if missing:
            continue
        todo.pop()
        if one not in done:
            done[one] = _made(one, tuple(done[arg] for arg in one.args), done)
    return done[term]


def _made(term: Term, args: tuple[Term, ...], done: Mapping[Term, Term]) -> Term:
    if term.op == "extract":
        within = _within(term, done)
        if within is not None:
            return within
    if args == term.args:
        return term
    make_anew = _MAKERS.get(term.op)
    if make_anew is not None:
        return make_anew(term, args)
    if term.op == "call" and term.extra[0] == f"mul{term.width}":
        return mul(*args)
    return make(term.op, args, term.width, *term.extra)


def _within(term: Term, done: Mapping[Term, Term]) -> Term | None:
    """Take a piece from what a larger piece of the same term was replaced by; None where there is none."""
    low, whole = int(term.extra[0]), term.args[0]
    for old, new in done.items():
        if old.op == "extract" and old.args[0] is whole and new.value is not None:
            start = int(old.extra[0])
            if start <= low and low + term.width <= start + old.width:
                return extract(new, low - start, term.width)
    return None


def _sum(term: Term, args: tuple[Term, ...]) -> Term:
    total = const(int(term.extra[0]), term.width)
    for factor, arg in zip(term.extra[1:], args, strict=True):
        total = add(total, scale(arg, int(factor)))
    return total


_MAKERS: Final[Mapping[str, Callable[[Term, tuple[Term, ...]], Term]]] = {
    "sum": _sum,
    "concat": lambda _, args: concat(*args),
    "extract": lambda term, args: extract(args[0], int(term.extra[0]), term.width),
    "sext": lambda term, args: sext(args[0], term.width),
    **dict.fromkeys(("and", "or", "xor"), lambda term, args: bitwise(term.op, *args)),
    **dict.fromkeys(("shl", "lshr", "ashr"), lambda term, args: shift(term.op, *args)),
    "ite": lambda _, args: ite(*args),
    "zero": lambda _, args: eq(args[0], const(0, args[0].width)),
    "ult": lambda _, args: less(*args, is_signed=False),
    "slt": lambda _, args: less(*args, is_signed=True),
    "word": lambda term, args: word(str(term.extra[0]), args[0]),
    "over": lambda _, args: over(*args),
}
