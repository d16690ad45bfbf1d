"""Moves, arithmetic, bits and choices of general registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Branch, Control, LazyFlag, State, UnsupportedError
from stencilkit.prove.terms import FALSE, Term
from stencilkit.prove.x86.flags import CODES, added, condition, logical, of_result, subtracted, unknown
from stencilkit.prove.x86.operands import VIEWS, Step, address, read, register, write

Arithmetic = Callable[[Term, Term], tuple[Term, dict[str, LazyFlag]]]


def _mov(state: State, code: Code, op: Operation) -> Control:
    write(state, code, op, op.operands[0], read(state, code, op, op.operands[1]))
    return None


def _widen(by: Callable[[Term, int], Term]) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        value = read(state, code, op, op.operands[1])
        write(state, code, op, op.operands[0], by(value, 8 * op.operands[0].size))
        return None

    return step


def _lea(state: State, code: Code, op: Operation) -> Control:
    value = address(state, code, op, op.operands[1])
    write(state, code, op, op.operands[0], terms.extract(value, 0, 8 * op.operands[0].size))
    return None


def _two(arithmetic: Arithmetic, *, keep: bool = True, carry: bool = True) -> Step:
    """Make a step of two operands; `keep` writes the result, `carry` changes c."""

    def step(state: State, code: Code, op: Operation) -> Control:
        left = read(state, code, op, op.operands[0])
        right = read(state, code, op, op.operands[1]) if len(op.operands) > 1 else terms.const(1, left.width)
        result, flags = arithmetic(left, right)
        if keep:
            write(state, code, op, op.operands[0], result)
        if not carry:
            flags = {name: flag for name, flag in flags.items() if name not in ("c", "be")}
            if "c" in state.flags:
                flags["c"] = state.flags["c"]
        state.flags = flags
        return None

    return step


def _bits(name: str) -> Arithmetic:
    def arithmetic(left: Term, right: Term) -> tuple[Term, dict[str, LazyFlag]]:
        result = terms.bitwise(name, left, right)
        return result, logical(result)

    return arithmetic


def _with_carry(by: Callable[[Term, Term, Term], tuple[Term, dict[str, LazyFlag]]]) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (read(state, code, op, operand) for operand in op.operands)
        carry = state.flag("c")
        if left is right and by is subtracted:
            # sbb x, x: all bits are the carry.
            result = terms.sext(carry, left.width)
            state.flags = {**of_result(result), "c": lambda: carry, "o": lambda: FALSE}
        else:
            result, state.flags = by(left, right, carry)
        write(state, code, op, op.operands[0], result)
        return None

    return step


def _shift(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        value = read(state, code, op, op.operands[0])
        width = value.width
        count = read(state, code, op, op.operands[1]) if len(op.operands) > 1 else terms.const(1, 8)
        count = terms.bitwise("and", terms.extract(count, 0, 8), terms.const(63 if width == 64 else 31, 8))
        count = terms.zext(count, width)
        result = terms.shift(name, value, count)
        write(state, code, op, op.operands[0], result)
        if count.value == 0:
            return None
        if count.value is None:
            # With a count of zero the flags stay as they were; nobody reads them.
            state.flags = unknown(op, "c", "z", "s", "o", "p")
            return None
        state.flags = {**of_result(result), **unknown(op, "o"), "c": _shifted_out(name, value, count.value)}
        if count.value >= width:
            state.flags |= unknown(op, "c")
        return None

    return step


def _shifted_out(name: str, value: Term, count: int) -> LazyFlag:
    bit = value.width - count if name == "shl" else count - 1
    return lambda: terms.extract(value, bit, 1)


def _rotate(state: State, code: Code, op: Operation) -> Control:
    value, count = (read(state, code, op, operand) for operand in op.operands)
    if count.value is None:
        raise UnsupportedError("a rotation by a variable")
    by = count.value % value.width if op.name == "rol" else -count.value % value.width
    if by:
        rest = value.width - by
        value = terms.concat(terms.extract(value, 0, rest), terms.extract(value, rest, by))
    state.flags = state.flags | unknown(op, "c", "o", "l", "le", "be")
    write(state, code, op, op.operands[0], value)
    return None


def _not(state: State, code: Code, op: Operation) -> Control:
    write(state, code, op, op.operands[0], terms.invert(read(state, code, op, op.operands[0])))
    return None


def _neg(state: State, code: Code, op: Operation) -> Control:
    value = read(state, code, op, op.operands[0])
    result, state.flags = subtracted(terms.const(0, value.width), value)
    write(state, code, op, op.operands[0], result)
    return None


def _imul(state: State, code: Code, op: Operation) -> Control:
    if len(op.operands) == 1:
        raise UnsupportedError("imul of one operand")
    left, right = (read(state, code, op, operand) for operand in op.operands[-2:])
    write(state, code, op, op.operands[0], terms.mul(left, right))
    overflow = terms.call(f"imul{left.width} overflows", (left, right), 1, commutes=True)
    state.flags = {"c": lambda: overflow, "o": lambda: overflow, **unknown(op, "z", "s", "p")}
    return None


def _trailing_zeros(state: State, code: Code, op: Operation) -> Control:
    value = read(state, code, op, op.operands[1])
    zero = terms.const(0, value.width)
    result = terms.const(value.width, value.width)
    for bit in reversed(range(value.width)):
        result = terms.ite(terms.extract(value, bit, 1), terms.const(bit, value.width), result)
    write(state, code, op, op.operands[0], result)
    state.flags = {
        "c": lambda: terms.eq(value, zero),
        "z": lambda: terms.eq(result, zero),
        **unknown(op, "s", "o", "p"),
    }
    return None


def _bt(state: State, code: Code, op: Operation) -> Control:
    value, index = (read(state, code, op, operand) for operand in op.operands)
    if op.operands[0].kind != "register":
        raise UnsupportedError("bt of memory")
    index = terms.bitwise("and", terms.zext(index, value.width), terms.const(value.width - 1, value.width))
    found = terms.extract(terms.shift("lshr", value, index), 0, 1)
    kept = {name: flag for name, flag in state.flags.items() if name == "z"}
    state.flags = {**kept, "c": lambda: found, **unknown(op, "s", "o", "p")}
    return None


def _set(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        write(state, code, op, op.operands[0], terms.zext(condition(state, name), 8))
        return None

    return step


def _cmov(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        old, new = (read(state, code, op, operand) for operand in op.operands)
        truth = condition(state, name)
        if (old.frame or new.frame) and truth.value is None and old.width == code.word:
            # An address is in the frame or it is not: go on in two ways.
            return Branch(truth, op.end, op.operands[0].register, new)
        write(state, code, op, op.operands[0], terms.ite(truth, new, old))
        return None

    return step


def _extend_accumulator(source: str, target: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        width = VIEWS[code.word][target][2]
        operand = Operand(kind="register", size=width // 8, register=target)
        write(state, code, op, operand, terms.sext(register(state, code, source), width))
        return None

    return step


STEPS: Final[Mapping[str, Step]] = {
    "mov": _mov,
    "movabs": _mov,
    "movzx": _widen(terms.zext),
    "movsx": _widen(terms.sext),
    "movsxd": _widen(terms.sext),
    "lea": _lea,
    "add": _two(added),
    "sub": _two(subtracted),
    "cmp": _two(subtracted, keep=False),
    "and": _two(_bits("and")),
    "or": _two(_bits("or")),
    "xor": _two(_bits("xor")),
    "test": _two(_bits("and"), keep=False),
    "inc": _two(added, carry=False),
    "dec": _two(subtracted, carry=False),
    "adc": _with_carry(added),
    "sbb": _with_carry(subtracted),
    "shl": _shift("shl"),
    "shr": _shift("lshr"),
    "sar": _shift("ashr"),
    "rol": _rotate,
    "ror": _rotate,
    "not": _not,
    "neg": _neg,
    "imul": _imul,
    "bt": _bt,
    "tzcnt": _trailing_zeros,
    "cbw": _extend_accumulator("al", "ax"),
    "cwde": _extend_accumulator("ax", "eax"),
    "cdqe": _extend_accumulator("eax", "rax"),
    **{f"set{name}": _set(name) for name in CODES},
    **{f"cmov{name}": _cmov(name) for name in CODES},
}
