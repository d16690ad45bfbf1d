"""Count the executors (compiled traces) that are alive in this interpreter.

Runs inside the CPython that is tested, with its standard library alone: 3.13 and newer.
"""

from __future__ import annotations

import gc
import importlib
import types
from collections.abc import Iterator
from typing import Any


def live() -> dict[str, int]:
    """Count the executors of every function that the garbage collector knows, and their machine code in bytes."""
    found: dict[int, int] = {}
    for code in _codes():
        for executor in of(code):
            found[id(executor)] = len(executor.get_jit_code() or b"")
    return {"executors": len(found), "compiled": sum(map(bool, found.values())), "code_bytes": sum(found.values())}


def of(code: types.CodeType) -> Iterator[Any]:
    """Yield the executors that a code object enters (`_opcode.get_executor`)."""
    opcode = importlib.import_module("_opcode")
    enter = importlib.import_module("opcode").opmap["ENTER_EXECUTOR"]
    adaptive: bytes = getattr(code, "_co_code_adaptive")  # noqa: B009  # typeshed does not have it
    for offset in range(0, len(adaptive), 2):
        if adaptive[offset] == enter:
            try:
                executor = opcode.get_executor(code, offset)
            except ValueError:
                # An inline cache entry that looks like the opcode.
                continue
            # 3.13's test_opt leaves executors of an optimizer that only counts; they have no machine code at all.
            if hasattr(executor, "get_jit_code"):
                yield executor


def _codes() -> Iterator[types.CodeType]:
    waiting = [thing.__code__ for thing in gc.get_objects() if isinstance(thing, types.FunctionType)]
    seen: set[int] = set()
    while waiting:
        code = waiting.pop()
        if id(code) not in seen:
            seen.add(id(code))
            waiting.extend(const for const in code.co_consts if isinstance(const, types.CodeType))
            yield code
