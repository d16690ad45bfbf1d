"""Where the loops of a stencil begin."""

from __future__ import annotations

from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.prove.code import Code

_JUMPS: Final = ("jmp", "ret", "b", "br")


def heads(code: Code) -> frozenset[int]:
    """Find the targets of the edges that go back, in a walk over the code from its start."""
    found: set[int] = set()
    entered: set[int] = set()
    left: set[int] = set()
    todo: list[tuple[int, bool]] = [(0, False)]
    while todo:
        place, done = todo.pop()
        if done:
            left.add(place)
            continue
        if place in entered:
            continue
        entered.add(place)
        todo.append((place, True))
        for after in _after(code.operations.get(place)):
            if after in entered and after not in left:
                found.add(after)
            elif after not in entered:
                todo.append((after, False))
    return frozenset(found)


def _after(op: Operation | None) -> list[int]:
    if op is None or op.name in ("ret", "br"):
        return []
    target = op.operands[-1] if op.operands else None
    jumps = op.name.startswith("j") or op.name == "call" or op.name.split(".")[0] in ("b", "cbz", "cbnz", "tbz", "tbnz")
    found = [] if op.name in _JUMPS else [op.end]
    if jumps and target is not None and target.kind == "number" and not op.patches:
        found.append(target.number)
    return found
