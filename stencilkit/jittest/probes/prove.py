"""Prove that the JIT of this interpreter compiles traces and runs them; print one JSON object.

Runs inside the CPython that is tested, with its standard library alone: 3.13 and newer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import executors
from exercises import EXERCISES
from exercises import ROUNDS as EXERCISE_ROUNDS

ROUNDS = 30_000


def watched(limit: int, active: Callable[[], bool]) -> bool:
    """Return whether any round of a loop ran as machine code."""
    seen = False
    for _ in range(limit):
        if active():
            seen = True
    return seen


def _given(exercise: Callable[[int], object]) -> str:
    try:
        return str(exercise(EXERCISE_ROUNDS))
    except Exception as error:  # noqa: BLE001  # whatever a broken JIT makes of it is a wrong answer
        return repr(error)


def main() -> None:
    """Print what the JIT does."""
    wrong: set[str] = set()
    for _ in range(3):
        wrong |= {f.__name__ for f, answer in EXERCISES if _given(f) != answer}
    # 3.14 has sys._jit; 3.13 has not.
    jit = getattr(sys, "_jit", None)
    compiled = [e for f, _ in EXERCISES for e in executors.of(f.__code__) if e.get_jit_code()]
    entered: bool | None = None
    if jit is not None:
        entered = watched(ROUNDS, jit.is_active)
    answer = {
        "available": jit.is_available() if jit is not None else None,
        "enabled": jit.is_enabled() if jit is not None else None,
        "entered": entered,
        "executors": len(compiled),
        "code_bytes": sum(len(executor.get_jit_code()) for executor in compiled),
        "wrong": sorted(wrong),
        "uops": sorted({step[0] for executor in compiled for step in executor}),
        "version": sys.version.split()[0],
    }
    print(json.dumps(answer))


main()
