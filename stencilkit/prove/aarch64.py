"""What the aarch64 instructions of stencils do, as a table by mnemonic.

Source: Arm Architecture Reference Manual for A-profile, section C6 (base instructions) and C7 (floating point). The
mnemonics are capstone's, aliases included. What is not here is `UnsupportedError`.

How `Python/jit.c` patches: `patch_aarch64_33rx` turns an adrp and a load into other instructions that leave the same in
the register, if it is one register, which nothing reads in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.model.stencil import HoleValue, Patch, PatchForm
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Branch, Call, Control, Jump, LazyFlag, Return, State, UnsupportedError, store
from stencilkit.prove.terms import FALSE, Term

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
_ZEROES: Final = {"xzr": 64, "wzr": 32}
_MOVES: Final = {"patch_aarch64_16a": 0, "patch_aarch64_16b": 16, "patch_aarch64_16c": 32, "patch_aarch64_16d": 48}
_PAGES: Final = ("patch_aarch64_21r", "patch_aarch64_21rx")
_LOWS: Final = ("patch_aarch64_12", "patch_aarch64_12x")
_PAIR: Final = "patch_aarch64_33rx"
_SLOT: Final = 8
_NEAR: Final = ("patch_aarch64_19r",)
_FAR: Final = ("patch_aarch64_26r", "patch_aarch64_trampoline")


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


def _patch(code: Code, op: Operation, functions: tuple[str, ...]) -> Patch | None:
    """Return the hole of an instruction, if one of these functions fills it."""
    for start, patch in op.patches:
        if start == 0 and patch.func in functions:
            code.taken.add(start)
            return patch
    return None


def _shifted(value: Term, operand: Operand, width: int) -> Term:
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
        return _shifted(terms.const(operand.number, width), operand, width)
    if operand.kind != "register":
        raise UnsupportedError(op.text)
    return _shifted(register(state, operand.register), operand, width)


def _target(op: Operation) -> tuple[str, int]:
    name = op.operands[0].register
    return name, width_of(name)


# Memory.


def _address(state: State, code: Code, op: Operation, size: int) -> Term:
    """Work out an address, and write it back where the instruction does."""
    operand = next((one for one in op.operands if one.kind == "memory"), None)
    if operand is None:
        raise UnsupportedError(op.text)
    base = register(state, operand.base)
    low = _patch(code, op, _LOWS)
    if low is not None:
        return terms.add(base, _low_bits(code, low, size))
    place = base
    if op.writeback != "after":
        place = terms.offset(base, operand.number)
        if operand.index:
            place = terms.add(place, _shifted(register(state, operand.index), operand, 64))
    if op.writeback:
        by = op.operands[-1].number if op.writeback == "after" else operand.number
        write(state, operand.base, terms.offset(base, by))
    return place


def _low_bits(code: Code, patch: Patch, size: int) -> Term:
    """Return what patch_aarch64_12 puts in: it drops the bits below the size of what is loaded, which must be zero.

    A stencil's data and slots of symbols are aligned to 8 bytes (DATA_ALIGN in Python/jit.c).
    """
    value = code.value(patch)
    aligned = patch.value is HoleValue.DATA or (patch.form is PatchForm.GOT_SLOT and size == _SLOT)
    low = terms.const(patch.addend, terms.WORD) if aligned else value
    if size > _SLOT or (size > 1 and terms.extract(low, 0, size.bit_length() - 1).value != 0):
        raise UnsupportedError("a load at the low bits of an address that may not be aligned")
    return terms.zext(terms.extract(value, 0, 12), 64)


def _load(size: int, *, is_signed: bool = False) -> Callable[[State, Code, Operation], Control]:
    """Make a load of `size` bytes, 0 for the register's."""

    def step(state: State, code: Code, op: Operation) -> Control:
        name, width = _target(op)
        pair = _patch(code, op, (_PAIR,))
        if pair is not None:
            write(state, name, _relaxed(state, code, op, pair))
            return None
        count = size or width // 8
        value = code.load(state, _address(state, code, op, count), count)
        write(state, name, terms.sext(value, width) if is_signed else terms.zext(value, width))
        return None

    return step


def _relaxed(state: State, code: Code, op: Operation, pair: Patch) -> Term:
    """Load what the pair's slot holds; jit.c has one register for both instructions, which must be so."""
    name = op.operands[0].register
    fits = op.name == "ldr" and width_of(name) == 64 and op.operands[1].base == name and not op.operands[1].index
    if not fits or op.writeback or op.offset != pair.offsets[1]:
        raise UnsupportedError(f"jit.c would take {op.text} for a load into one register")
    if register(state, name) is not _half(code, pair):
        raise UnsupportedError("a half of a pair that jit.c relaxes")
    return code.load(state, code.value(pair), 8)


def _half(code: Code, pair: Patch) -> Term:
    return terms.sym(f"undefined page {pair.offsets[0]} of {code.side}")


def _store(size: int) -> Callable[[State, Code, Operation], Control]:
    def step(state: State, code: Code, op: Operation) -> Control:
        name, width = _target(op)
        count = size or width // 8
        value = terms.extract(register(state, name), 0, 8 * count)
        store(state, _address(state, code, op, count), value)
        return None

    return step


def _load_pair(state: State, code: Code, op: Operation) -> Control:
    names = [operand.register for operand in op.operands[:2]]
    narrow = op.name == "ldpsw"
    size = 4 if narrow else width_of(names[0]) // 8
    place = _address(state, code, op, size)
    values = [code.load(state, terms.offset(place, size * number), size) for number in (0, 1)]
    for name, value in zip(names, values, strict=True):
        write(state, name, terms.sext(value, 64) if narrow else value)
    return None


def _store_pair(state: State, code: Code, op: Operation) -> Control:
    names = [operand.register for operand in op.operands[:2]]
    values = [register(state, name) for name in names]
    place = _address(state, code, op, values[0].width // 8)
    for number, value in enumerate(values):
        store(state, terms.offset(place, number * value.width // 8), value)
    return None


def _adrp(state: State, code: Code, op: Operation) -> Control:
    name, _ = _target(op)
    pair = _patch(code, op, (_PAIR,))
    if pair is not None:
        if op.offset != pair.offsets[0]:
            raise UnsupportedError("a pair of holes in the wrong order")
        write(state, name, _half(code, pair))
        return None
    patch = _patch(code, op, _PAGES)
    if patch is None:
        raise UnsupportedError("an address in the code")
    value = code.value(patch)
    write(state, name, terms.sub(value, terms.zext(terms.extract(value, 0, 12), 64)))
    return None


# Arithmetic.

Flags = dict[str, LazyFlag]


def _of_result(result: Term) -> Flags:
    width = result.width
    return {"z": lambda: terms.eq(result, terms.const(0, width)), "n": lambda: terms.extract(result, width - 1, 1)}


def _top(term: Term) -> Term:
    return terms.extract(term, term.width - 1, 1)


def _added(left: Term, right: Term) -> tuple[Term, Flags]:
    result = terms.add(left, right)
    return result, {
        **_of_result(result),
        "c": lambda: terms.less(result, left, is_signed=False),
        "v": lambda: terms.both(
            terms.bitwise("xor", _top(left), _top(result)), terms.bitwise("xor", _top(right), _top(result))
        ),
    }


def _subtracted(left: Term, right: Term) -> tuple[Term, Flags]:
    result = terms.sub(left, right)
    return result, {
        **_of_result(result),
        "z": lambda: terms.eq(left, right),
        "c": lambda: terms.invert(terms.less(left, right, is_signed=False)),
        "v": lambda: terms.both(
            terms.bitwise("xor", _top(left), _top(right)), terms.bitwise("xor", _top(left), _top(result))
        ),
        "lt": lambda: terms.less(left, right, is_signed=True),
        "ls": lambda: terms.invert(terms.less(right, left, is_signed=False)),
    }


def _bits(name: str, *, inverted: bool = False) -> Callable[[Term, Term], tuple[Term, Flags]]:
    def arithmetic(left: Term, right: Term) -> tuple[Term, Flags]:
        result = terms.bitwise(name, left, terms.invert(right) if inverted else right)
        return result, {**_of_result(result), "c": lambda: FALSE, "v": lambda: FALSE}

    return arithmetic


Arithmetic = Callable[[Term, Term], tuple[Term, Flags]]
Step = Callable[[State, Code, Operation], Control]


def _three(arithmetic: Arithmetic, *, flags: bool = False) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        name, width = _target(op)
        low = _patch(code, op, _LOWS) if op.name == "add" else None
        left, right = (read(state, op, operand, width) for operand in op.operands[1:3])
        if low is not None:
            right = terms.zext(terms.extract(code.value(low), 0, 12), width)
        result, found = arithmetic(left, right)
        write(state, name, result)
        if flags:
            state.flags = found
        return None

    return step


def _compare(arithmetic: Arithmetic) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        width = _target(op)[1]
        _, state.flags = arithmetic(*(read(state, op, operand, width) for operand in op.operands[:2]))
        return None

    return step


def _mov(state: State, code: Code, op: Operation) -> Control:
    name, width = _target(op)
    patch = _patch(code, op, tuple(_MOVES))
    if patch is None:
        write(state, name, read(state, op, op.operands[1], width))
        return None
    # movz of the lowest bits: jit.c checks the shift that is encoded.
    if _MOVES[patch.func] or op.operands[1].kind != "number" or op.operands[1].shift[1] or op.operands[1].number:
        raise UnsupportedError(f"{patch.func} in {op.text}")
    write(state, name, terms.zext(terms.extract(code.value(patch), 0, 16), width))
    return None


def _movk(state: State, code: Code, op: Operation) -> Control:
    name, width = _target(op)
    low = op.operands[1].shift[1]
    patch = _patch(code, op, tuple(_MOVES))
    if patch is None:
        piece = terms.const(op.operands[1].number, 16)
    else:
        if _MOVES[patch.func] != low:
            raise UnsupportedError(f"{patch.func} in {op.text}")
        piece = terms.extract(code.value(patch), low, 16)
    old = register(state, name)
    rows = [piece]
    if low:
        rows.append(terms.extract(old, 0, low))
    if low + 16 < width:
        rows.insert(0, terms.extract(old, low + 16, width - low - 16))
    write(state, name, terms.concat(*rows))
    return None


def _one(by: Callable[[Term], Term]) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        write(state, name, by(read(state, op, op.operands[1], width)))
        return None

    return step


def _extend(size: int, *, is_signed: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        value = terms.extract(register(state, op.operands[1].register), 0, size)
        write(state, name, terms.sext(value, width) if is_signed else terms.zext(value, width))
        return None

    return step


def _shift(kind: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        value, count = (read(state, op, operand, width) for operand in op.operands[1:3])
        write(state, name, terms.shift(kind, value, terms.bitwise("and", count, terms.const(width - 1, width))))
        return None

    return step


def _field(*, is_signed: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        low, size = (operand.number for operand in op.operands[2:4])
        value = terms.extract(register(state, op.operands[1].register), low, size)
        write(state, name, terms.sext(value, width) if is_signed else terms.zext(value, width))
        return None

    return step


def _field_up(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name, width = _target(op)
    low, size = (operand.number for operand in op.operands[2:4])
    value = terms.extract(register(state, op.operands[1].register), 0, size)
    write(state, name, terms.shift("shl", terms.zext(value, width), terms.const(low, width)))
    return None


def _multiply(sign: int, widen: Callable[[Term, int], Term] | None = None) -> Step:
    """Make a multiplication, with what is added to it, or what it is subtracted from (`sign` is -1)."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        factors = [register(state, operand.register) for operand in op.operands[1:3]]
        if widen is not None:
            factors = [widen(factor, width) for factor in factors]
        result = terms.scale(terms.mul(factors[0], factors[1]), sign)
        if len(op.operands) == 4:
            result = terms.add(result, register(state, op.operands[3].register))
        write(state, name, result)
        return None

    return step


# Conditions.


def _flag(state: State, name: str) -> Term:
    if name not in state.flags:
        raise UnsupportedError(f"flag {name} as it was before the stencil")
    return state.flags[name]()


def _less(state: State) -> Term:
    if "lt" in state.flags:
        return _flag(state, "lt")
    return terms.bitwise("xor", _flag(state, "n"), _flag(state, "v"))


def _lower_or_same(state: State) -> Term:
    if "ls" in state.flags:
        return _flag(state, "ls")
    return terms.either(terms.invert(_flag(state, "c")), _flag(state, "z"))


_CONDITIONS: Final[Mapping[str, Callable[[State], Term]]] = {
    "eq": lambda state: _flag(state, "z"),
    "hs": lambda state: _flag(state, "c"),
    "mi": lambda state: _flag(state, "n"),
    "vs": lambda state: _flag(state, "v"),
    "ls": _lower_or_same,
    "lt": _less,
    "le": lambda state: terms.either(_flag(state, "z"), _less(state)),
}
_OPPOSITE: Final = {"ne": "eq", "lo": "hs", "pl": "mi", "vc": "vs", "hi": "ls", "ge": "lt", "gt": "le"}


def condition(state: State, name: str) -> Term:
    """Work out a condition from the flags."""
    if name in _OPPOSITE:
        return terms.invert(condition(state, _OPPOSITE[name]))
    if name not in _CONDITIONS:
        raise UnsupportedError(f"condition {name}")
    return _CONDITIONS[name](state)


def _same(value: Term) -> Term:
    return value


def _plus_one(value: Term) -> Term:
    return terms.offset(value, 1)


def _negated(value: Term) -> Term:
    return terms.scale(value, -1)


def _select(otherwise: Callable[[Term], Term]) -> Step:
    """Make a choice between two registers (csel), the second one changed (csinc, csinv, csneg)."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        yes, no = (read(state, op, operand, width) for operand in op.operands[1:3])
        truth = condition(state, op.condition)
        if (yes.frame or no.frame) and truth.value is None and width == terms.WORD:
            # An address is in the frame or it is not: go on in two ways.
            write(state, name, otherwise(no))
            return Branch(truth, op.end, VIEWS[name][0], yes)
        write(state, name, terms.ite(truth, yes, otherwise(no)))
        return None

    return step


def _conditional(change: Callable[[Term], Term]) -> Step:
    """Make a change of one register where a condition holds (cinc, cinv, cneg)."""

    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        value = read(state, op, op.operands[1], width)
        write(state, name, terms.ite(condition(state, op.condition), change(value), value))
        return None

    return step


def _set(value: int) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        name, width = _target(op)
        truth = condition(state, op.condition)
        write(state, name, terms.ite(truth, terms.const(value, width), terms.const(0, width)))
        return None

    return step


def _conditional_compare(arithmetic: Arithmetic) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        width = _target(op)[1]
        truth = condition(state, op.condition)
        _, found = arithmetic(*(read(state, op, operand, width) for operand in op.operands[:2]))
        bits = op.operands[2].number

        def flag(name: str, bit: int) -> LazyFlag:
            return lambda: terms.ite(truth, found[name](), terms.const(bits >> bit, 1))

        state.flags = {name: flag(name, bit) for name, bit in (("n", 3), ("z", 2), ("c", 1), ("v", 0))}
        return None

    return step


# Jumps.


def _goal(code: Code, op: Operation, functions: tuple[str, ...]) -> int | Term:
    patch = _patch(code, op, functions)
    return code.value(patch) if patch is not None else op.operands[-1].number


def _branch(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return Jump(_goal(code, op, _FAR))


def _branch_if(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        return Branch(condition(state, name), _goal(code, op, _NEAR))

    return step


def _branch_zero(*, zero: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        value = register(state, op.operands[0].register)
        truth = terms.eq(value, terms.const(0, value.width))
        return Branch(truth if zero else terms.invert(truth), _goal(code, op, _NEAR))

    return step


def _branch_bit(*, zero: bool) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        bit = terms.extract(register(state, op.operands[0].register), op.operands[1].number, 1)
        return Branch(terms.invert(bit) if zero else bit, _goal(code, op, ()))

    return step


def _link(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    target = _goal(code, op, _FAR)
    if isinstance(target, int):
        raise UnsupportedError("a call within the stencil")
    return Call(target)


def _link_register(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return Call(register(state, op.operands[0].register))


def _jump_register(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return Jump(register(state, op.operands[0].register))


def _ret(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    if op.operands:
        raise UnsupportedError(op.text)
    return Return(state.registers["x30"])


def _nop(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return None


# Floating point: values that are moved are bits, those that are computed are uninterpreted.


def _float(name: str, *, commutes: bool = False) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
        target, width = _target(op)
        values = [register(state, operand.register) for operand in op.operands[1:]]
        if width != 64 or any(value.width != 64 for value in values):
            raise UnsupportedError(op.text)
        write(state, target, terms.call(name, values, 64, commutes=commutes))
        return None

    return step


def _float_negated(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name, width = _target(op)
    value = register(state, op.operands[1].register)
    write(state, name, terms.bitwise("xor", value, terms.const(1 << (width - 1), width)))
    return None


def _float_compare(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    left = register(state, op.operands[0].register)
    second = op.operands[1] if len(op.operands) > 1 else None
    right = register(state, second.register) if second and second.register in VIEWS else terms.const(0)
    if left.width != 64 or right.width != 64 or (right.value == 0 and not op.text.endswith("#0.0")):
        raise UnsupportedError(op.text)
    below, above = terms.call("float less", (left, right), 1), terms.call("float less", (right, left), 1)
    unordered = terms.call("float unordered", (left, right), 1, commutes=True)
    equal = terms.invert(terms.either(below, above, unordered))
    # Less is n, equal z and c, greater c, unordered c and v.
    state.flags = {
        "n": lambda: terms.both(below, terms.invert(unordered)),
        "z": lambda: equal,
        "c": lambda: terms.either(terms.invert(below), unordered),
        "v": lambda: unordered,
    }
    return None


def _movi(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name = op.operands[0].register.replace("v", "q")
    if op.operands[1].number or name.replace("d", "q") not in VECTORS:
        raise UnsupportedError(op.text)
    state.registers[name.replace("d", "q")] = terms.const(0, 128)
    return None


def _fmov(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    name, width = _target(op)
    if op.operands[1].kind != "register" or width_of(op.operands[1].register) != width:
        raise UnsupportedError(op.text)
    write(state, name, register(state, op.operands[1].register))
    return None


_NAMES: Final = (*_CONDITIONS, *_OPPOSITE)
STEPS: Final[Mapping[str, Step]] = {
    **dict.fromkeys(("ldr", "ldur"), _load(0)),
    **dict.fromkeys(("ldrb", "ldurb"), _load(1)),
    **dict.fromkeys(("ldrh", "ldurh"), _load(2)),
    **dict.fromkeys(("ldrsb", "ldursb"), _load(1, is_signed=True)),
    **dict.fromkeys(("ldrsh", "ldursh"), _load(2, is_signed=True)),
    **dict.fromkeys(("ldrsw", "ldursw"), _load(4, is_signed=True)),
    **dict.fromkeys(("str", "stur"), _store(0)),
    **dict.fromkeys(("strb", "sturb"), _store(1)),
    **dict.fromkeys(("strh", "sturh"), _store(2)),
    **dict.fromkeys(("ldp", "ldpsw"), _load_pair),
    "stp": _store_pair,
    "adrp": _adrp,
    "mov": _mov,
    "movk": _movk,
    "mvn": _one(terms.invert),
    "neg": _one(_negated),
    "add": _three(_added),
    "adds": _three(_added, flags=True),
    "sub": _three(_subtracted),
    "subs": _three(_subtracted, flags=True),
    "and": _three(_bits("and")),
    "ands": _three(_bits("and"), flags=True),
    "orr": _three(_bits("or")),
    "orn": _three(_bits("or", inverted=True)),
    "eor": _three(_bits("xor")),
    "eon": _three(_bits("xor", inverted=True)),
    "bic": _three(_bits("and", inverted=True)),
    "bics": _three(_bits("and", inverted=True), flags=True),
    "cmp": _compare(_subtracted),
    "cmn": _compare(_added),
    "tst": _compare(_bits("and")),
    "ccmp": _conditional_compare(_subtracted),
    "ccmn": _conditional_compare(_added),
    "lsl": _shift("shl"),
    "lsr": _shift("lshr"),
    "asr": _shift("ashr"),
    "ubfx": _field(is_signed=False),
    "sbfx": _field(is_signed=True),
    "ubfiz": _field_up,
    "sxtb": _extend(8, is_signed=True),
    "sxth": _extend(16, is_signed=True),
    "sxtw": _extend(32, is_signed=True),
    "uxtb": _extend(8, is_signed=False),
    "uxth": _extend(16, is_signed=False),
    "mul": _multiply(1),
    "madd": _multiply(1),
    "msub": _multiply(-1),
    "mneg": _multiply(-1),
    "umull": _multiply(1, terms.zext),
    "umaddl": _multiply(1, terms.zext),
    "umsubl": _multiply(-1, terms.zext),
    "smull": _multiply(1, terms.sext),
    "smaddl": _multiply(1, terms.sext),
    "smsubl": _multiply(-1, terms.sext),
    "csel": _select(_same),
    "csinc": _select(_plus_one),
    "csinv": _select(terms.invert),
    "csneg": _select(_negated),
    "cinc": _conditional(_plus_one),
    "cinv": _conditional(terms.invert),
    "cneg": _conditional(_negated),
    "cset": _set(1),
    "csetm": _set(-1),
    "b": _branch,
    "bl": _link,
    "br": _jump_register,
    "blr": _link_register,
    "ret": _ret,
    "nop": _nop,
    "cbz": _branch_zero(zero=True),
    "cbnz": _branch_zero(zero=False),
    "tbz": _branch_bit(zero=True),
    "tbnz": _branch_bit(zero=False),
    "fadd": _float("float add", commutes=True),
    "fsub": _float("float sub"),
    "fmul": _float("float mul", commutes=True),
    "fdiv": _float("float div"),
    "fneg": _float_negated,
    "fcmp": _float_compare,
    "movi": _movi,
    "fmov": _fmov,
    **{f"b.{name}": _branch_if(name) for name in _NAMES},
}
