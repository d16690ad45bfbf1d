"""Loops that put most of what Python code does through machine code, with the answers that they must give.

The answers are written down: a broken JIT breaks both sides of a comparison alike. They are those of a CPython
without a JIT (tests/unit/test_jittest.py runs them there), for ROUNDS rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

ROUNDS: Final = 6_000
FACTOR = 3


class Point:
    """Has slots."""

    __slots__ = ("x", "y")

    def __init__(self, x: int, y: int) -> None:
        """Set both."""
        self.x = x
        self.y = y

    def sum(self) -> int:
        """Add both."""
        return self.x + self.y


class Plain:
    """Has a dict, a class attribute and a property."""

    kind = 2

    def __init__(self) -> None:
        """Start at nothing."""
        self.value = 0

    def add(self, more: int, times: int = 1) -> int:
        """Add to the value."""
        self.value += more * times
        return self.value

    @property
    def double(self) -> int:
        """Double the value."""
        return self.value * 2


def integers(limit: int) -> object:
    """Compute with integers."""
    total = 0
    for number in range(limit):
        total += number * 3 - (number & 7)
        if number > 100 and number != 200:
            total -= number // 3 + number % 5
        if number == 7 or not number:
            total ^= 5
        total = -total if total < 0 else +total
    return total, total << 2 | 1, ~total


def floats(limit: int) -> object:
    """Compute with floats."""
    total, step = 0.0, 1.5
    for number in range(limit):
        step = step * 1.25 - 0.25
        if step > 100.0:
            step = step / 64.0
        total = total + step - 0.5
        total += number * 0.25
    return total


def strings(limit: int) -> object:
    """Join, index, compare and format strings."""
    total, text = 0, "stencil"
    for number in range(limit):
        letter = text[number % 7]
        word = letter + "x"
        if word == "nx":
            total += 1
        shown = f"{number}-{letter}"
        total += len(shown) + len(str(number))
        if letter in "aeiou":
            total += ord(letter)
    return total


def sizes(limit: int) -> object:
    """Ask for lengths."""
    total, items, names = 0, [1, 2, 3], {"a": 1}
    for number in range(limit):
        total += len(items) + len(names) * number
    return total


def lists(limit: int) -> object:
    """Build, change, index and cut lists."""
    total, items = 0, [0] * 8
    for number in range(limit):
        items[number & 7] = number
        first, second = [items[number & 3], items[-1]]
        total += first - second + items[1:3][0]
        items.append(number)
        items.pop()
        for item in items:
            total += item & 1
    return total, items


def tuples(limit: int) -> object:
    """Build, index and unpack tuples."""
    total = 0
    for number in range(limit):
        pair = (number, 2)
        left, right = pair
        one, two, three = (left, right, number & 3)
        total += pair[0] + pair[1] * one - two + three
        for item in pair:
            total += item
        head, *rest = one, two, three
        total += head + rest[0]
    return total


def dicts(limit: int) -> object:
    """Read, write and search dicts and sets."""
    total, table, chosen = 0, {"a": 1, "b": 2}, {1, 2, 5}
    for number in range(limit):
        table["a"] = number & 15
        total += table["a"] + table["b"]
        if "b" in table and "c" not in table:
            total += 1
        if (number & 7) in chosen:
            total += 2
        made = {"k": number, **table}
        total += made["k"] - len({number, 1})
    return total


def attributes(limit: int) -> object:
    """Read and write attributes of instances, classes, slots, properties and modules."""
    total, point, plain = 0, Point(1, 2), Plain()
    for number in range(limit):
        point.x = number
        plain.value = number & 31
        total += point.x + point.y + plain.value + plain.kind + plain.double
        total += int(math.pi)
    return total


def methods(limit: int) -> object:
    """Make instances and call methods, with defaults and keywords."""
    total, plain = 0, Plain()
    for number in range(limit):
        total += Point(number, 1).sum()
        plain.add(1)
        plain.add(2, 3)
        plain.add(1, times=2)
    return total, plain.value


def functions(limit: int) -> object:
    """Call functions, closures and builtins."""
    total, offset = 0, 4

    def inner(number: int, more: int = 2) -> int:
        return number + more + offset

    for number in range(limit):
        total += inner(number) + inner(number, 1) + FACTOR
        thing: object = number
        if isinstance(thing, int) and type(thing) is int:
            total += abs(-number) + min(number, 5)
        offset = number & 3
        total += len(tuple(range(number & 3))) + sum((1, 2)) + divmod(number, 7)[1]
    return total


def _count(limit: int) -> Iterator[int]:
    for number in range(limit):
        yield number * 2


def generators(limit: int) -> object:
    """Run generators and comprehensions."""
    total = 0
    for number in _count(limit):
        total += number
        for small in _count(3):
            total += small
        total += sum([item + 1 for item in (1, 2)])
    return total


def branches(limit: int) -> object:
    """Test for None, truth and identity; raise and catch."""
    total: int = 0
    for number in range(limit):
        maybe = None if number & 1 else number
        if maybe is None:
            total += 1
        if maybe is not None and maybe:
            total += 2
        flag = not maybe
        total += 1 if flag else 0
        try:
            total += 10 // (number & 63)
        except ZeroDivisionError:
            total += 100
        if number == -1 or "" or [] or total is False:
            total += 1000
    return total


EXERCISES: Final[tuple[tuple[Callable[[int], object], str], ...]] = (
    (integers, "(47962916, 191851665, -47962917)"),
    (floats, "4619197.027425412"),
    (strings, "235179"),
    (sizes, "18015000"),
    (lists, "(18008984, [5992, 5993, 5994, 5995, 5996, 5997, 5998, 5999])"),
    (tuples, "90006000"),
    (dicts, "18052501"),
    (attributes, "18317616"),
    (methods, "(18003000, 54000)"),
    (functions, "54119984"),
    (generators, "36060000"),
    (branches, "23937"),
)
