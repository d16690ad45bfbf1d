"""Registers under all their names, addresses, and how operands are read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError, store
from stencilkit.prove.terms import Term

Step = Callable[[State, Code, Operation], Control]
"""What a mnemonic does to the state; what comes next if that is not the next instruction."""

_WIDE: Final = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{number}" for number in range(8, 16)))
VECTORS: Final = tuple(f"xmm{number}" for number in range(16))
REGISTERS: Final[Mapping[str, int]] = {**dict.fromkeys(_WIDE, 64), **dict.fromkeys(VECTORS, 128)}
"""Registers by name, with their widths."""


def _views() -> dict[str, tuple[str, int, int]]:
    """Map each name of a part of a register to the register, the lowest bit and the width."""
    views: dict[str, tuple[str, int, int]] = {}
    for name in _WIDE:
        views[name] = name, 0, 64
        short = name[1:]
        if short.isdigit():
            views |= {f"{name}d": (name, 0, 32), f"{name}w": (name, 0, 16), f"{name}b": (name, 0, 8)}
            continue
        views |= {f"e{short}": (name, 0, 32), short: (name, 0, 16)}
        low = f"{short[0]}l" if short.endswith("x") else f"{short}l"
        views[low] = name, 0, 8
        if short.endswith("x"):
            views[f"{short[0]}h"] = name, 8, 8
    return views | {name: (name, 0, 128) for name in VECTORS}


VIEWS: Final = _views()
_ADDRESSING: Final = frozenset((*_WIDE, "rip", "riz", ""))


def address(state: State, code: Code, op: Operation, operand: Operand) -> Term:
    """Work out where a memory operand is."""
    if operand.segment:
        raise UnsupportedError(f"segment {operand.segment}")
    for name in (operand.base, operand.index):
        if name not in _ADDRESSING:
            raise UnsupportedError(f"an address from {name}")
    hole = code.hole(op, op.places[1], relative=operand.base == "rip")
    if operand.base == "rip":
        if hole is None:
            raise UnsupportedError("an address in the code")
        return terms.offset(hole, op.size - op.places[1][0])
    rows = [terms.const(operand.number) if hole is None else _extended(hole, op.places[1][1])]
    if operand.base:
        rows.append(register(state, operand.base))
    if operand.index and operand.index != "riz":
        rows.append(terms.scale(register(state, operand.index), operand.scale))
    return terms.add(*rows)


def _extended(hole: Term, size: int) -> Term:
    return terms.sext(terms.extract(hole, 0, 8 * size), 64)


def register(state: State, name: str) -> Term:
    """Read a register under a name."""
    whole, low, width = VIEWS.get(name, ("", 0, 0))
    if not whole:
        raise UnsupportedError(f"register {name}")
    return terms.extract(state.registers[whole], low, width)


def read(state: State, code: Code, op: Operation, operand: Operand) -> Term:
    """Read an operand, as wide as it is."""
    if operand.kind == "register":
        return register(state, operand.register)
    if operand.kind == "memory":
        return code.load(state, address(state, code, op, operand), operand.size)
    hole = code.hole(op, op.places[0])
    width = 8 * operand.size
    if hole is None:
        return terms.const(operand.number, width)
    size = 8 * op.places[0][1]
    return terms.sext(terms.extract(hole, 0, size), width) if size <= width else terms.extract(hole, 0, width)


def write(state: State, code: Code, op: Operation, operand: Operand, value: Term) -> None:
    """Write an operand; writing 32 bits of a register clears the upper half."""
    if operand.kind == "memory":
        store(state, address(state, code, op, operand), value)
        return
    name, low, width = VIEWS.get(operand.register, ("", 0, 0))
    if not name:
        raise UnsupportedError(f"register {operand.register}")
    whole = REGISTERS[name]
    if width == 32:
        state.registers[name] = terms.zext(value, whole)
        return
    old = state.registers[name]
    rows = [value] if width + low == whole else [terms.extract(old, low + width, whole - low - width), value]
    state.registers[name] = terms.concat(*rows, *([terms.extract(old, 0, low)] if low else []))
