"""What is in a term: its symbols, and the number that it is where those are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from stencilkit.prove.terms.node import Term, mask, signed

_SYMBOLS: Final[dict[Term, frozenset[str]]] = {}


def symbols(term: Term) -> frozenset[str]:
    """Collect the names of the symbols in a term."""
    todo = [term]
    while todo:
        one = todo[-1]
        missing = [arg for arg in one.args if arg not in _SYMBOLS]
        if one in _SYMBOLS or not missing:
            todo.pop()
            own = frozenset((str(one.extra[0]),) if one.op == "sym" else ())
            _SYMBOLS.setdefault(one, own.union(*(_SYMBOLS[arg] for arg in one.args)))
        todo.extend(missing)
    return _SYMBOLS[term]


def below(rows: Iterable[Term]) -> set[Term]:
    """Collect terms and all that is in them."""
    seen: set[Term] = set()
    todo = list(rows)
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo.extend(one.args)
    return seen


# Values.


class Given(Protocol):
    """Numbers for what a term leaves open."""

    def symbol(self, name: str) -> int:
        """Give the number of a symbol."""

    def word(self, memory: str, address: int) -> int:
        """Give the bytes of a memory at an address, eight or as many as a word has."""

    def function(self, name: str, values: list[int]) -> int:
        """Give the value of an uninterpreted function."""


def evaluate(term: Term, given: Given, seen: dict[Term, int]) -> int:
    """Work out the number that a term is; `seen` keeps those of the terms below."""
    if term in seen:
        return seen[term]
    values = [evaluate(one, given, seen) for one in term.args]
    name = str(term.extra[0]) if term.extra else ""
    if term.op == "sym":
        result = given.symbol(name)
    elif term.op == "word":
        result = given.word(name, values[0])
    elif term.op == "call":
        result = given.function(name, values)
    else:
        result = _OPERATIONS[term.op](term, values)
    seen[term] = result & mask(term.width)
    return seen[term]


def _concat_value(term: Term, values: list[int]) -> int:
    result = 0
    for one, value in zip(term.args, values, strict=True):
        result = result << one.width | value
    return result


def _over_value(term: Term, values: list[int]) -> int:
    gap, written, below = signed(values[0], term.width), values[1], values[2]
    if not -term.width < 8 * gap < term.width:
        return below
    if gap >= 0:
        return written >> 8 * gap | below & ~(mask(term.width) >> 8 * gap)
    return written << -8 * gap & mask(term.width) | below & mask(-8 * gap)


def _fold(function: Callable[[int, int], int]) -> Callable[[Term, list[int]], int]:
    def folded(_: Term, values: list[int]) -> int:
        result = values[0]
        for value in values[1:]:
            result = function(result, value)
        return result

    return folded


_OPERATIONS: Final[Mapping[str, Callable[[Term, list[int]], int]]] = {
    "const": lambda term, _: int(term.extra[0]),
    "sum": lambda term, values: (
        int(term.extra[0]) + sum(int(f) * v for f, v in zip(term.extra[1:], values, strict=True))
    ),
    "concat": _concat_value,
    "extract": lambda term, values: values[0] >> int(term.extra[0]),
    "sext": lambda term, values: signed(values[0], term.args[0].width),
    "and": _fold(lambda a, b: a & b),
    "or": _fold(lambda a, b: a | b),
    "xor": _fold(lambda a, b: a ^ b),
    "shl": lambda term, values: values[0] << min(values[1], term.width),
    "lshr": lambda term, values: values[0] >> min(values[1], term.width),
    "ashr": lambda term, values: signed(values[0], term.width) >> min(values[1], term.width),
    "ite": lambda _, values: values[1] if values[0] else values[2],
    "zero": lambda _, values: int(values[0] == 0),
    "ult": lambda _, values: int(values[0] < values[1]),
    "slt": lambda term, values: int(signed(values[0], term.args[0].width) < signed(values[1], term.args[1].width)),
    "over": _over_value,
}
