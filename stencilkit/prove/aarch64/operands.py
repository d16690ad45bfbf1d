"""Registers under all their names, holes, and how operands are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.model.stencil import Patch
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Control, State, UnsupportedError
from stencilkit.prove.terms import Term

Step = Callable[[State, Code, Operation], Control]
"""What a mnemonic does to the state; what comes next if that is not the next instruction."""
_PLAIN: Final = (*(f"x{number}" for number in range(31)), "sp")
VECTORS: Final = tuple(f"q{number}" for number in range(32))
REGISTERS: Final[Mapping[str, int]] = {**dict.fromkeys(_PLAIN, 64), **dict.fromkeys(VECTORS, 128)}
"""Registers by name, with their widths."""
VIEWS: Final[Mapping[str, tuple[str, int]]] = {
    **{name: (name, 64) for name in _PLAIN},
    **{f"w{number}": (f"x{number}", 32) for number in range(31)},
    "wsp": ("sp", 32),
    "fp": ("x29", 64),
    "lr": ("x30", 64),
    **{
        f"{letter}{number}": (f"q{number}", width)
        for number in range(32)
        for letter, width in (("q", 128), ("d", 64), ("s", 32))
    },
}
MOVES: Final = {"patch_aarch64_16a": 0, "patch_aarch64_16b": 16, "patch_aarch64_16c": 32, "patch_aarch64_16d": 48}
"""The first of the 16 bits of a value that a patch function writes into a movz or movk. Python/jit.c."""
_ZEROES: Final = {"xzr": 64, "wzr": 32}


def width_of(name: str) -> int:
    """Return how wide a register is under a name."""
    if name in _ZEROES:
        return _ZEROES[name]
    if name not in VIEWS:
        raise UnsupportedError(f"register {name}")
    return VIEWS[name][1]


def register(state: State, name: str) -> Term:
    """Read a register under a name."""
    width = width_of(name)
    return terms.const(0, width) if name in _ZEROES else terms.extract(state.registers[VIEWS[name][0]], 0, width)


def write(state: State, name: str, value: Term) -> None:
    """Write a register; what is above the width becomes zero."""
    width_of(name)
    if name not in _ZEROES:
        whole = VIEWS[name][0]
        state.registers[whole] = terms.zext(value, REGISTERS[whole])


def hole(code: Code, op: Operation, functions: tuple[str, ...]) -> Patch | None:
    """Return the hole of an instruction, if one of these functions fills it."""
    for start, patch in op.patches:
        if start == 0 and patch.func in functions:
            code.taken.add(start)
            return patch
    return None


def shifted(value: Term, operand: Operand, width: int) -> Term:
    """Extend and shift an operand."""
    if operand.extend:
        size = {"b": 8, "h": 16, "w": 32, "x": 64}[operand.extend[-1]]
        part = terms.extract(value, 0, min(size, value.width))
        value = (terms.sext if operand.extend[0] == "s" else terms.zext)(part, width)
    kind, by = operand.shift
    if kind in ("lsl", "lsr", "asr"):
        return terms.shift({"lsl": "shl", "lsr": "lshr", "asr": "ashr"}[kind], value, terms.const(by, value.width))
    if kind:
        raise UnsupportedError(f"the shift {kind}")
    return value


def read(state: State, op: Operation, operand: Operand, width: int) -> Term:
    """Read a register or a number, as wide as the operation."""
    if operand.kind == "number":
        return shifted(terms.const(operand.number, width), operand, width)
    if operand.kind != "register":
        raise UnsupportedError(op.text)
    return shifted(register(state, operand.register), operand, width)


def target(op: Operation) -> tuple[str, int]:
    """Return the register that is written, and its width."""
    name = op.operands[0].register
    return name, width_of(name)
