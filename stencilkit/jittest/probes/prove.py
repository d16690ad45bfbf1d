"""Prove that the JIT of this interpreter compiles traces and runs them; print one JSON object.

Runs inside the CPython that is tested, with its standard library alone: 3.13 and newer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import executors

ROUNDS = 30_000
# What the loops must give; numbers worked out elsewhere, since a broken JIT breaks both sides of a comparison alike.
HOT, HOT_FLOAT, HOT_CALLS = "105000", "224992500.0", "75000"


def hot(limit: int) -> int:
    """Sum numbers in a loop that gets compiled."""
    total = 0
    for number in range(limit):
        total += number & 7
    return total


def hot_float(limit: int) -> float:
    """Do the same with floats."""
    total = 0.0
    for number in range(limit):
        total += number * 0.5
    return total


def hot_calls(limit: int) -> int:
    """Do the same through a list and a call."""
    items = [1, 2, 3, 4]
    total = 0
    for number in range(limit):
        total += _pick(items, number)
    return total


def _pick(items: list[int], number: int) -> int:
    return items[number & 3]


def watched(limit: int, active: Callable[[], bool]) -> bool:
    """Tell whether any round of a loop ran as machine code."""
    seen = False
    for _ in range(limit):
        if active():
            seen = True
    return seen


def main() -> None:
    """Print what the JIT does."""
    answers = []
    for _ in range(3):
        answers = [
            str(hot(ROUNDS)) == HOT,
            str(hot_float(ROUNDS)) == HOT_FLOAT,
            str(hot_calls(ROUNDS)) == HOT_CALLS,
        ]
    # 3.14 has sys._jit; 3.13 has not.
    jit = getattr(sys, "_jit", None)
    compiled = [e for f in (hot, hot_float, hot_calls) for e in executors.of(f.__code__) if e.get_jit_code()]
    entered: bool | None = None
    if jit is not None:
        entered = watched(ROUNDS, jit.is_active)
    answer = {
        "available": jit.is_available() if jit is not None else None,
        "enabled": jit.is_enabled() if jit is not None else None,
        "entered": entered,
        "executors": len(compiled),
        "code_bytes": sum(len(executor.get_jit_code()) for executor in compiled),
        "wrong_answers": answers.count(False),
        "version": sys.version.split()[0],
    }
    print(json.dumps(answer))


main()
