"""Bit-vector terms: hash-consed, put into a normal form when they are made, so that equal code gives equal objects.

A term is what a register, a flag or a word of memory holds, as a function of symbols. Nothing here knows a solver or a
machine. The order of commutative operands follows from their structure alone: the same terms come out in every process.
Booleans are terms of one bit.

Operations beside the usual ones: `word` is eight bytes of a memory as it was at some time (an uninterpreted function of
the address); `over` is such a word, read at a distance from a later write; `call` is any other uninterpreted function.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

WORD: Final = 64
_TABLE: Final[dict[tuple[object, ...], Term]] = {}


class Term:
    """One node: `op`, what is below, the width in bits, and a name, number or position as `extra`.

    Equal terms are the same object within a process (`_make`), so that `is` compares them.
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


def _make(op: str, args: tuple[Term, ...], width: int, *extra: int | str) -> Term:
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
    return _make("const", (), width, value & _mask(width))


def sym(name: str, width: int = WORD) -> Term:
    """Make an unknown value; the name says which."""
    return _make("sym", (), width, name)


def call(name: str, args: Iterable[Term], width: int, *, commutes: bool = False) -> Term:
    """Apply an uninterpreted function."""
    given = tuple(sorted(args, key=_order) if commutes else args)
    return _make("call", given, width, name)


def word(memory: str, address: Term) -> Term:
    """Read eight bytes of a memory as it was when it got its name."""
    return _make("word", (address,), WORD, memory)


def over(distance: Term, written: Term, below: Term) -> Term:
    """Read a word `distance` bytes above a written one; `below` is what is there otherwise."""
    gap = distance.value
    if gap is not None:
        if gap == 0:
            return written
        if 8 <= gap <= _mask(WORD) - 7:
            return below
    return _make("over", (distance, written, below), WORD)


def _mask(width: int) -> int:
    return (1 << width) - 1


TRUE: Final = const(1, 1)
FALSE: Final = const(0, 1)


def _order(term: Term) -> bytes:
    return term.order


def signed(value: int, width: int) -> int:
    """Read a number of this width as a signed one."""
    return value - (1 << width) if value >> (width - 1) & 1 else value


# Sums: a number plus multiples of terms that are not sums. `extra` is the number and the factors, in the order of args.


def parts(term: Term) -> tuple[int, dict[Term, int]]:
    """Take a term as a sum: the number in it, and the factor of each other term."""
    if term.op == "const":
        return int(term.extra[0]), {}
    if term.op == "sum":
        return int(term.extra[0]), dict(zip(term.args, map(int, term.extra[1:]), strict=True))
    return 0, {term: 1}


def linear(number: int, factors: Mapping[Term, int], width: int) -> Term:
    """Make the sum of a number and multiples of terms."""
    mask = _mask(width)
    if any(term.width != width for term in factors):
        raise TypeError("terms of several widths")
    kept: dict[Term, int] = {}
    for term, factor in factors.items():
        if factor & mask:
            _add_scaled(kept, term, factor & mask, width)
    rows = sorted(((t, f & mask) for t, f in kept.items() if f & mask), key=lambda row: row[0].order)
    if not rows:
        return const(number, width)
    if not number & mask and len(rows) == 1 and rows[0][1] == 1:
        return rows[0][0]
    return _make("sum", tuple(t for t, _ in rows), width, number & mask, *(f for _, f in rows))


def _add_scaled(kept: dict[Term, int], term: Term, factor: int, width: int) -> None:
    """Add a multiple; bits at the top that the factor shifts out do not count, and are not part of the normal form."""
    lost = (factor & -factor).bit_length() - 1
    if lost and term.op == "concat" and term.args[0].op == "const" and term.args[0].width <= lost:
        rest = _join(term.args[1:])
        if rest.op == "extract" and rest.extra[0] == 0 and rest.args[0].width == width:
            term = rest.args[0]
    kept[term] = kept.get(term, 0) + factor


def add(*terms: Term) -> Term:
    """Add terms of one width."""
    number = 0
    factors: dict[Term, int] = {}
    for term in terms:
        more, rest = parts(term)
        number += more
        for one, factor in rest.items():
            factors[one] = factors.get(one, 0) + factor
    return linear(number, factors, terms[0].width)


def scale(term: Term, factor: int) -> Term:
    """Multiply by a number."""
    number, rest = parts(term)
    return linear(number * factor, {one: by * factor for one, by in rest.items()}, term.width)


def sub(left: Term, right: Term) -> Term:
    """Subtract."""
    return add(left, scale(right, -1))


def offset(term: Term, number: int) -> Term:
    """Add a number."""
    return add(term, const(number, term.width)) if number else term


def mul(left: Term, right: Term) -> Term:
    """Multiply; of two unknowns it is an uninterpreted, commutative function."""
    for one, other in ((left, right), (right, left)):
        if one.value is not None:
            return scale(other, one.value)
    return call(f"mul{left.width}", (left, right), left.width, commutes=True)


# Bits.


def concat(*terms: Term) -> Term:
    """Put terms beside each other, the highest first; zeroes at the bottom are a multiplication."""
    rows: list[Term] = []
    for term in terms:
        for one in term.args if term.op == "concat" else (term,):
            _append(rows, one)
    if len(rows) == 1:
        return rows[0]
    if rows[-1].value == 0:
        low = rows.pop()
        top = _join(tuple(rows))
        return scale(zext(top, top.width + low.width), 1 << low.width)
    return _make("concat", tuple(rows), sum(one.width for one in rows))


def _append(rows: list[Term], term: Term) -> None:
    """Add a part at the bottom; two numbers, or two neighbouring pieces of one term, become one."""
    last = rows[-1] if rows else None
    if last is not None:
        width = last.width + term.width
        if last.value is not None and term.value is not None:
            rows[-1] = const(last.value << term.width | term.value, width)
            return
        if last.op == term.op == "extract" and last.args == term.args and last.extra[0] == _low(term) + term.width:
            rows[-1] = extract(term.args[0], _low(term), width)
            return
        # The lowest bits of a sum are no piece of it (they are a narrower sum): see `extract`.
        if last.op == "extract" and _low(last) == term.width and extract(last.args[0], 0, term.width) is term:
            rows[-1] = extract(last.args[0], 0, width)
            return
    rows.append(term)


def _join(rows: tuple[Term, ...]) -> Term:
    return rows[0] if len(rows) == 1 else _make("concat", rows, sum(one.width for one in rows))


def _low(term: Term) -> int:
    return int(term.extra[0])


def extract(term: Term, low: int, width: int) -> Term:
    """Take `width` bits from bit `low` on."""
    if low == 0 and width == term.width:
        return term
    through = _EXTRACTIONS.get(term.op)
    return _piece(term, low, width) if through is None else through(term, low, width)


def _piece(term: Term, low: int, width: int) -> Term:
    return _make("extract", (term,), width, low)


def _extract_each(term: Term, low: int, width: int) -> Term:
    return bitwise(term.op, *(extract(one, low, width) for one in term.args))


def _extract_choice(term: Term, low: int, width: int) -> Term:
    yes, no = (extract(one, low, width) for one in term.args[1:])
    return ite(term.args[0], yes, no)


def _extract_signed(term: Term, low: int, width: int) -> Term:
    inner = term.args[0]
    if low + width <= inner.width:
        return extract(inner, low, width)
    return sext(inner, width) if low == 0 else _piece(term, low, width)


def _extract_call(term: Term, low: int, width: int) -> Term:
    if low == 0 and term.extra[0] == f"mul{term.width}":
        return mul(*(extract(one, 0, width) for one in term.args))
    return _piece(term, low, width)


def _extract_concat(term: Term, low: int, width: int) -> Term:
    found: list[Term] = []
    base = 0
    for one in reversed(term.args):
        start, end = max(low, base), min(low + width, base + one.width)
        if start < end:
            found.append(extract(one, start - base, end - start))
        base += one.width
    return concat(*reversed(found))


def _extract_sum(term: Term, low: int, width: int) -> Term:
    number, rest = parts(term)
    if low == 0:
        return linear_of(number, rest, width)
    shift = _low_zeros(term)
    if shift and low >= shift and len(rest) == 1 and number == 0:
        ((one, factor),) = rest.items()
        if factor == 1 << shift:
            return extract(one, low - shift, width)
    return _piece(term, low, width)


def linear_of(number: int, factors: Mapping[Term, int], width: int) -> Term:
    """Make a narrower sum of the low bits of terms."""
    total = const(number, width)
    for one, factor in factors.items():
        if factor & _mask(width):
            total = add(total, scale(extract(one, 0, width), factor))
    return total


def _low_zeros(term: Term) -> int:
    """Count the low bits of a sum that are zero whatever its terms are."""
    number, rest = parts(term)
    bits = number
    for factor in rest.values():
        bits |= factor
    return (bits & -bits).bit_length() - 1


_EXTRACTIONS: Final[Mapping[str, Callable[[Term, int, int], Term]]] = {
    "const": lambda term, low, width: const(int(term.extra[0]) >> low, width),
    "extract": lambda term, low, width: extract(term.args[0], low + _low(term), width),
    "concat": _extract_concat,
    "sum": _extract_sum,
    "ite": _extract_choice,
    "sext": _extract_signed,
    "call": _extract_call,
    **dict.fromkeys(("and", "or", "xor"), _extract_each),
}


def zext(term: Term, width: int) -> Term:
    """Widen with zeroes."""
    return term if width == term.width else concat(const(0, width - term.width), term)


def sext(term: Term, width: int) -> Term:
    """Widen with copies of the sign bit."""
    if width == term.width:
        return term
    if term.value is not None:
        return const(signed(term.value, term.width), width)
    if term.op == "sext":
        return sext(term.args[0], width)
    if term.op == "concat" and term.args[0].value is not None and term.args[0].value >> (term.args[0].width - 1) == 0:
        return zext(term, width)
    return _make("sext", (term,), width)


def bitwise(op: str, *terms: Term) -> Term:
    """And, or, exclusive or."""
    width = terms[0].width
    if any(term.width != width for term in terms):
        raise TypeError("terms of several widths")
    flat = [one for term in terms for one in (term.args if term.op == op else (term,))]
    number = _mask(width) if op == "and" else 0
    rest: dict[Term, int] = {}
    for one in flat:
        if one.value is None:
            rest[one] = rest.get(one, 0) + 1
        else:
            number = {"and": number & one.value, "or": number | one.value, "xor": number ^ one.value}[op]
    kept = [one for one, times in rest.items() if op != "xor" or times % 2]
    return _bitwise(op, sorted(kept, key=_order), number, width)


def _bitwise(op: str, kept: list[Term], number: int, width: int) -> Term:
    absorbing = {"and": 0, "or": _mask(width)}.get(op)
    if number == absorbing or not kept:
        return const(number, width)
    if op != "xor" and width == 1 and any(invert(one) in kept for one in kept):
        return const(0 if op == "and" else 1, 1)
    rest = kept[0] if len(kept) == 1 else _split(op, kept, width)
    if number == (_mask(width) if op == "and" else 0):
        return rest
    if op != "xor":
        return _masked(op, rest, number)
    if len(kept) == 1 and rest.op in ("concat", "ite"):
        return _split(op, [rest, const(number, width)], width)
    return _make(op, (*(rest.args if rest.op == op else (rest,)), const(number, width)), width)


def _split(op: str, kept: list[Term], width: int) -> Term:
    """Combine piece by piece where a term has pieces of numbers."""
    cuts = {0, width}
    worth = False
    for term in kept:
        base = 0
        for one in reversed(term.args if term.op == "concat" else (term,)):
            worth |= one.value is not None and term.op == "concat"
            base += one.width
            cuts.add(base)
    if not worth or len(cuts) == 2:
        return _make(op, tuple(kept), width)
    marks = sorted(cuts)
    pieces = [
        bitwise(op, *(extract(term, low, high - low) for term in kept)) for low, high in itertools.pairwise(marks)
    ]
    return concat(*reversed(pieces))


def _masked(op: str, term: Term, number: int) -> Term:
    """And or or with a number: runs of bits that stay, between runs of zeroes or ones."""
    rows: list[Term] = []
    low = 0
    while low < term.width:
        bit = number >> low & 1
        high = low
        while high < term.width and number >> high & 1 == bit:
            high += 1
        stays = bit == (1 if op == "and" else 0)
        rows.append(extract(term, low, high - low) if stays else const(-bit, high - low))
        low = high
    return concat(*reversed(rows))


def invert(term: Term) -> Term:
    """Flip all bits."""
    return bitwise("xor", term, const(-1, term.width))


def both(*terms: Term) -> Term:
    """And of booleans."""
    return bitwise("and", *terms)


def either(*terms: Term) -> Term:
    """Or of booleans."""
    return bitwise("or", *terms)


def shift(op: str, term: Term, count: Term) -> Term:
    """Shift by a count of the same width: `shl`, `lshr` or `ashr`; counts beyond the width give what z3 gives."""
    width, by = term.width, count.value
    if by is None:
        return _make(op, (term, count), width)
    if by == 0:
        return term
    if op == "shl":
        return scale(term, 1 << by) if by < width else const(0, width)
    if op == "lshr":
        return zext(extract(term, by, width - by), width) if by < width else const(0, width)
    by = min(by, width - 1)
    return sext(extract(term, by, width - by), width)


# Choices.


def ite(condition: Term, yes: Term, no: Term) -> Term:
    """Choose."""
    if condition.value is not None:
        return yes if condition.value else no
    if yes is no:
        return yes
    if condition.op == "xor" and condition.args[-1] is TRUE:
        return ite(invert(condition), no, yes)
    if yes.width == 1:
        if yes is TRUE or no is FALSE:
            return either(condition, no) if yes is TRUE else both(condition, yes)
        if yes is FALSE or no is TRUE:
            return both(invert(condition), no) if yes is FALSE else either(invert(condition), yes)
    return _make("ite", (condition, yes, no), yes.width)


def eq(left: Term, right: Term) -> Term:
    """Compare for equality: the difference, with the sign that comes first in order, is zero."""
    if left is right:
        return TRUE
    if left.width == 1:
        return bitwise("xor", left, right, TRUE)
    for one, other in ((left, right), (right, left)):
        if other.value is not None and one.op != "sum":
            return _equals(one, other.value)
    gap, back = sub(left, right), sub(right, left)
    if gap.value is not None:
        return const(gap.value == 0, 1)
    return _make("zero", (min(gap, back, key=_order),), 1)


def _equals(term: Term, number: int) -> Term:
    if term.op == "concat":
        low, facts = 0, []
        for one in reversed(term.args):
            facts.append(eq(one, const(number >> low, one.width)))
            low += one.width
        return both(*facts)
    if term.op == "ite" and (term.args[1].value is not None or term.args[2].value is not None):
        return ite(term.args[0], *(eq(one, const(number, one.width)) for one in term.args[1:]))
    if term.op == "sext":
        inner = term.args[0]
        narrow = const(number, inner.width)
        return eq(inner, narrow) if sext(narrow, term.width).value == number else FALSE
    if term.op == "xor" and term.args[-1].value is not None:
        return eq(bitwise("xor", term, term.args[-1]), const(number ^ term.args[-1].value, term.width))
    return _make("zero", (min(offset(term, -number), sub(const(number, term.width), term), key=_order),), 1)


def less(left: Term, right: Term, *, is_signed: bool) -> Term:
    """Compare for order."""
    if left is right:
        return FALSE
    if left.value is not None and right.value is not None:
        values = [signed(one.value or 0, one.width) if is_signed else one.value or 0 for one in (left, right)]
        return const(values[0] < values[1], 1)
    return _less_signed(left, right) if is_signed else _less_unsigned(left, right)


def _less_unsigned(left: Term, right: Term) -> Term:
    zero = const(0, left.width)
    if right is zero or left.value == _mask(left.width):
        return FALSE
    if right.value == 1:
        return eq(left, zero)
    if left is zero:
        return invert(eq(right, zero))
    if left.value is not None:
        return invert(_less_unsigned(right, const(left.value + 1, right.width)))
    return _make("ult", (left, right), 1)


def _less_signed(left: Term, right: Term) -> Term:
    width = left.width
    if right.value == 0:
        return extract(left, width - 1, 1)
    if left.value == _mask(width):
        return invert(extract(right, width - 1, 1))
    if left.value is not None and left.value != _mask(width) >> 1:
        return invert(less(right, const(left.value + 1, width), is_signed=True))
    return _make("slt", (left, right), 1)


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


# Values.


class Given(Protocol):
    """Numbers for what a term leaves open."""

    def symbol(self, name: str) -> int:
        """Give the number of a symbol."""

    def word(self, memory: str, address: int) -> int:
        """Give the eight bytes of a memory at an address."""

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
    seen[term] = result & _mask(term.width)
    return seen[term]


def _concat_value(term: Term, values: list[int]) -> int:
    result = 0
    for one, value in zip(term.args, values, strict=True):
        result = result << one.width | value
    return result


def _over_value(_: Term, values: list[int]) -> int:
    gap, written, below = signed(values[0], WORD), values[1], values[2]
    if not -8 < gap < 8:
        return below
    if gap >= 0:
        return written >> 8 * gap | below & ~(_mask(WORD) >> 8 * gap)
    return written << -8 * gap & _mask(WORD) | below & _mask(-8 * gap)


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
