"""A few pure Python benchmarks; print a JSON object: name to seconds of the processor, the best of a few runs.

Runs inside the CPython that is tested, with its standard library alone: 3.13 and newer. Each lasts about a tenth of a
second, most of it in loops that the JIT compiles.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

RUNS = 5


def integers() -> int:
    """Sum the lengths of Collatz sequences."""
    total = 0
    for start in range(1, 12_000):
        number = start
        while number != 1:
            number = 3 * number + 1 if number & 1 else number >> 1
            total += 1
    return total


def floats() -> int:
    """Count the points of a Mandelbrot set."""
    inside = 0
    for row in range(120):
        for column in range(120):
            x0, y0 = column / 60 - 1.5, row / 60 - 1.0
            x = y = 0.0
            for _ in range(80):
                if x * x + y * y > 4.0:
                    break
                x, y = x * x - y * y + x0, 2 * x * y + y0
            else:
                inside += 1
    return inside


class _Body:
    __slots__ = ("mass", "v", "x")

    def __init__(self, x: float, v: float, mass: float) -> None:
        self.x, self.v, self.mass = x, v, mass


def attributes() -> float:
    """Move bodies on a line: slots, floats, nested loops."""
    bodies = [_Body(float(i), 0.1 * i, 1.0 + i) for i in range(5)]
    for _ in range(30_000):
        for i, one in enumerate(bodies):
            for other in bodies[i + 1 :]:
                distance = one.x - other.x
                pull = 0.001 / (distance * distance + 0.01)
                one.v -= distance * other.mass * pull
                other.v += distance * one.mass * pull
        for body in bodies:
            body.x += 0.001 * body.v
    return bodies[0].x


class _Account:
    def __init__(self) -> None:
        self.balance = 0

    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @property
    def rich(self) -> bool:
        return self.balance > 1_000


def methods() -> int:
    """Call methods and a property."""
    account, count = _Account(), 0
    for number in range(600_000):
        account.deposit(number & 3)
        if account.rich:
            count += 1
    return count


def _numbers(limit: int) -> Iterator[int]:
    for number in range(limit):
        if number % 3:
            yield number


def generators() -> int:
    """Run through generators."""
    total = 0
    for _ in range(30):
        for number in _numbers(40_000):
            total += number
    return total


def lists() -> int:
    """Sieve primes."""
    flags = [True] * 1_500_000
    for number in range(2, 1_225):
        if flags[number]:
            for multiple in range(number * number, 1_500_000, number):
                flags[multiple] = False
    return sum(flags)


def dicts() -> int:
    """Count words."""
    words = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "while", "the", "cat", "sleeps"]
    counts: dict[str, int] = {}
    for _ in range(25_000):
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    return counts["the"]


def strings() -> int:
    """Scan and build strings."""
    text, found = "lorem ipsum dolor sit amet " * 400, 0
    parts: list[str] = []
    for _ in range(80):
        for letter in text:
            if letter == " ":
                parts.append("".join(("w", str(found))))
                found += 1
    return len(parts)


def permutations() -> int:
    """Flip pancakes over the permutations of eight (Heap's algorithm): list slices and swaps."""
    order, count, most = list(range(8)), [0] * 8, 0
    place = 0
    while place < 8:
        if count[place] < place:
            other = count[place] if place & 1 else 0
            order[place], order[other] = order[other], order[place]
            most = max(most, _flips(order[:]))
            count[place] += 1
            place = 0
        else:
            count[place] = 0
            place += 1
    return most


def _flips(work: list[int]) -> int:
    flips = 0
    while head := work[0]:
        work[: head + 1] = work[head::-1]
        flips += 1
    return flips


def calls() -> int:
    """Recurse."""
    return _fibonacci(25)


def _fibonacci(number: int) -> int:
    return number if number < 2 else _fibonacci(number - 1) + _fibonacci(number - 2)


# Name to function and the answer that it must give; floats are compared by their text.
BENCHMARKS: dict[str, tuple[Callable[[], object], str]] = {
    "integers": (integers, "1038733"),
    "floats": (floats, "5613"),
    "attributes": (attributes, "11.063087061948867"),
    "methods": (methods, "599333"),
    "generators": (generators, "15999200010"),
    "lists": (lists, "114157"),
    "dicts": (dicts, "75000"),
    "strings": (strings, "160000"),
    "permutations": (permutations, "22"),
    "calls": (calls, "75025"),
}


def main() -> None:
    """Time everything."""
    times = {}
    for name, (function, answer) in BENCHMARKS.items():
        best = float("inf")
        for _ in range(RUNS):
            # Of the processor: a machine may do something else meanwhile, such as building the next CPython.
            started = time.process_time()
            result = function()
            best = min(best, time.process_time() - started)
            if str(result) != answer:
                sys.exit(f"{name}: got {result}, expected {answer}")
        times[name] = best
    print(json.dumps(times))


if __name__ == "__main__":
    main()
