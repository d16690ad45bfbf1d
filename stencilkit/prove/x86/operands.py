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

_SHORT: Final = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
VECTORS: Final = tuple(f"xmm{number}" for number in range(16))
_FLOATS: Final = ("fp", *(f"fp{number}" for number in range(8)))
_WIDE: Final[Mapping[int, tuple[str, ...]]] = {
    64: (*(f"r{name}" for name in _SHORT), *(f"r{number}" for number in range(8, 16))),
    32: tuple(f"e{name}" for name in _SHORT),
}
REGISTERS: Final[Mapping[int, Mapping[str, int]]] = {
    64: {**dict.fromkeys(_WIDE[64], 64), **dict.fromkeys(VECTORS, 128)},
    # The x87's are in `x87`: how many are in use, and what is in each.
    32: {**dict.fromkeys(_WIDE[32], 32), **dict.fromkeys(VECTORS[:8], 128), **dict.fromkeys(_FLOATS, 80), "fp": 8},
}
"""Registers by name, with their widths; by the width of an address."""


def _views(word: int) -> dict[str, tuple[str, int, int]]:
    """Map each name of a part of a register to the register, the lowest bit and the width."""
    views: dict[str, tuple[str, int, int]] = {}
    for name in _WIDE[word]:
        short = name[1:]
        if short.isdigit():
            views |= {f"{name}d": (name, 0, 32), f"{name}w": (name, 0, 16), f"{name}b": (name, 0, 8)}
        else:
            views |= {f"e{short}": (name, 0, 32), short: (name, 0, 16)}
            if short.endswith("x"):
                views |= {f"{short[0]}l": (name, 0, 8), f"{short[0]}h": (name, 8, 8)}
            elif word == 64:
                views[f"{short}l"] = name, 0, 8
        views[name] = name, 0, word
    return views | {name: (name, 0, 128) for name in VECTORS if name in REGISTERS[word]}


VIEWS: Final[Mapping[int, Mapping[str, tuple[str, int, int]]]] = {word: _views(word) for word in _WIDE}
_ADDRESSING: Final = {64: frozenset((*_WIDE[64], "rip", "riz", "")), 32: frozenset((*_WIDE[32], "eiz", ""))}
_NO_INDEX: Final = ("", "riz", "eiz")
STACK: Final = {64: "rsp", 32: "esp"}


def address(state: State, code: Code, op: Operation, operand: Operand) -> Term:
    """Work out where a memory operand is."""
    if operand.segment:
        raise UnsupportedError(f"segment {operand.segment}")
    for name in (operand.base, operand.index):
        if name not in _ADDRESSING[code.word]:
            raise UnsupportedError(f"an address from {name}")
    hole = code.hole(op, op.places[1], relative=operand.base == "rip")
    if operand.base == "rip":
        if hole is None:
            # On macOS, a table is in the code: what is there is read as it was built.
            return terms.offset(code.start, op.end + operand.number)
        return terms.offset(hole, op.size - op.places[1][0])
    rows = [terms.const(operand.number, code.word) if hole is None else _extended(hole, op.places[1][1])]
    if operand.base:
        rows.append(register(state, code, operand.base))
    if operand.index not in _NO_INDEX:
        rows.append(terms.scale(register(state, code, operand.index), operand.scale))
    return terms.add(*rows)


def _extended(hole: Term, size: int) -> Term:
    return terms.sext(terms.extract(hole, 0, 8 * size), hole.width)


def register(state: State, code: Code, name: str) -> Term:
    """Read a register under a name."""
    whole, low, width = VIEWS[code.word].get(name, ("", 0, 0))
    if not whole:
        raise UnsupportedError(f"register {name}")
    return terms.extract(state.registers[whole], low, width)


def read(state: State, code: Code, op: Operation, operand: Operand) -> Term:
    """Read an operand, as wide as it is."""
    if operand.kind == "register":
        return register(state, code, operand.register)
    if operand.kind == "memory":
        return code.load(state, address(state, code, op, operand), operand.size)
    hole = code.hole(op, op.places[0])
    width = 8 * operand.size
    if hole is None:
        return terms.const(operand.number, width)
    size = 8 * op.places[0][1]
    return terms.sext(terms.extract(hole, 0, size), width) if size <= width else terms.extract(hole, 0, width)


def write(state: State, code: Code, op: Operation, operand: Operand, value: Term) -> None:
    """Write an operand; writing 32 bits of a register clears an upper half."""
    if operand.kind == "memory":
        store(state, address(state, code, op, operand), value)
        return
    name, low, width = VIEWS[code.word].get(operand.register, ("", 0, 0))
    if not name:
        raise UnsupportedError(f"register {operand.register}")
    whole = state.registers[name].width
    if width == 32:
        state.registers[name] = terms.zext(value, whole)
        return
    old = state.registers[name]
    rows = [value] if width + low == whole else [terms.extract(old, low + width, whole - low - width), value]
    state.registers[name] = terms.concat(*rows, *([terms.extract(old, 0, low)] if low else []))
