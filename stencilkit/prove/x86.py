"""What the x86 instructions of stencils do, as a table by mnemonic; the same rows serve 64 and 32 bits.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. A mnemonic or a form of one that is not
here is `UnsupportedError`. Flags that the manual leaves undefined are unknown symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stencilkit.model.machine import Operand, Operation
from stencilkit.prove import terms
from stencilkit.prove.code import Code
from stencilkit.prove.machine import Branch, Call, Control, Jump, LazyFlag, Return, State, UnsupportedError, load, store
from stencilkit.prove.terms import FALSE, Term

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
        rows.append(_register(state, operand.base))
    if operand.index and operand.index != "riz":
        rows.append(terms.scale(_register(state, operand.index), operand.scale))
    return terms.add(*rows)


def _extended(hole: Term, size: int) -> Term:
    return terms.sext(terms.extract(hole, 0, 8 * size), 64)


def _register(state: State, name: str) -> Term:
    register, low, width = VIEWS.get(name, ("", 0, 0))
    if not register:
        raise UnsupportedError(f"register {name}")
    return terms.extract(state.registers[register], low, width)


def read(state: State, code: Code, op: Operation, operand: Operand) -> Term:
    """Read an operand, as wide as it is."""
    if operand.kind == "register":
        return _register(state, operand.register)
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


# Flags. Beside c, z, s, o and p there may be "l" (less, signed) and "be" (below or equal): a comparison in one piece.


def _parity(result: Term) -> Term:
    bits = [terms.extract(result, bit, 1) for bit in range(8)]
    return terms.bitwise("xor", *bits, terms.TRUE)


def _of_result(result: Term) -> dict[str, LazyFlag]:
    width = result.width
    return {
        "z": lambda: terms.eq(result, terms.const(0, width)),
        "s": lambda: terms.extract(result, width - 1, 1),
        "p": lambda: _parity(result),
    }


def _top(term: Term) -> Term:
    return terms.extract(term, term.width - 1, 1)


def _unknown(op: Operation, *names: str) -> dict[str, LazyFlag]:
    def raised() -> Term:
        raise UnsupportedError(f"a flag that {op.name} leaves undefined")

    return dict.fromkeys(names, raised)


def _added(left: Term, right: Term, carry: Term | None = None) -> tuple[Term, dict[str, LazyFlag]]:
    width = left.width
    more = [terms.zext(carry, width)] if carry is not None else []
    result = terms.add(left, right, *more)

    def carried() -> Term:
        if carry is None:
            return terms.less(result, left, is_signed=False)
        wide = terms.add(*(terms.zext(one, width + 1) for one in (left, right, carry)))
        return terms.extract(wide, width, 1)

    def overflowed() -> Term:
        one, other = (terms.bitwise("xor", _top(side), _top(result)) for side in (left, right))
        return terms.both(one, other)

    return result, {**_of_result(result), "c": carried, "o": overflowed}


def _subtracted(left: Term, right: Term, borrow: Term | None = None) -> tuple[Term, dict[str, LazyFlag]]:
    width = left.width
    result = terms.sub(left, right)
    if borrow is not None:
        result = terms.sub(result, terms.zext(borrow, width))

    def overflowed() -> Term:
        return terms.both(terms.bitwise("xor", _top(left), _top(right)), terms.bitwise("xor", _top(left), _top(result)))

    flags: dict[str, LazyFlag] = {**_of_result(result), "o": overflowed}
    if borrow is None:
        return result, flags | {
            "z": lambda: terms.eq(left, right),
            "c": lambda: terms.less(left, right, is_signed=False),
            "l": lambda: terms.less(left, right, is_signed=True),
            "be": lambda: terms.invert(terms.less(right, left, is_signed=False)),
        }
    wide = terms.sub(
        terms.sub(terms.zext(left, width + 1), terms.zext(right, width + 1)), terms.zext(borrow, width + 1)
    )
    return result, flags | {"c": lambda: terms.extract(wide, width, 1)}


def _logical(result: Term) -> dict[str, LazyFlag]:
    return {
        **_of_result(result),
        "c": lambda: FALSE,
        "o": lambda: FALSE,
        "l": lambda: _top(result),
        "be": lambda: terms.eq(result, terms.const(0, result.width)),
    }


def _flag(state: State, name: str) -> Term:
    if name not in state.flags:
        raise UnsupportedError(f"flag {name} as it was before the stencil")
    return state.flags[name]()


def _less(state: State) -> Term:
    if "l" in state.flags:
        return _flag(state, "l")
    return terms.bitwise("xor", _flag(state, "s"), _flag(state, "o"))


def _below_or_equal(state: State) -> Term:
    return _flag(state, "be") if "be" in state.flags else terms.either(_flag(state, "c"), _flag(state, "z"))


_CONDITIONS: Final[Mapping[str, Callable[[State], Term]]] = {
    "o": lambda state: _flag(state, "o"),
    "b": lambda state: _flag(state, "c"),
    "e": lambda state: _flag(state, "z"),
    "be": _below_or_equal,
    "s": lambda state: _flag(state, "s"),
    "p": lambda state: _flag(state, "p"),
    "l": _less,
    "le": lambda state: terms.either(_less(state), _flag(state, "z")),
}
_OPPOSITE: Final = {"no": "o", "ae": "b", "ne": "e", "a": "be", "ns": "s", "np": "p", "ge": "l", "g": "le"}


def condition(state: State, name: str) -> Term:
    """Work out a condition from the flags."""
    if name in _OPPOSITE:
        return terms.invert(_CONDITIONS[_OPPOSITE[name]](state))
    return _CONDITIONS[name](state)


# Instructions.

Step = Callable[[State, Code, Operation], Control]
"""What a mnemonic does to the state; what comes next if that is not the next instruction."""


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


Arithmetic = Callable[[Term, Term], tuple[Term, dict[str, LazyFlag]]]


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
        return result, _logical(result)

    return arithmetic


def _with_carry(by: Callable[[Term, Term, Term], tuple[Term, dict[str, LazyFlag]]]) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (read(state, code, op, operand) for operand in op.operands)
        carry = _flag(state, "c")
        if left is right and by is _subtracted:
            # sbb x, x: all bits are the carry.
            result = terms.sext(carry, left.width)
            state.flags = {**_of_result(result), "c": lambda: carry, "o": lambda: FALSE}
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
            state.flags = _unknown(op, "c", "z", "s", "o", "p")
            return None
        state.flags = {**_of_result(result), **_unknown(op, "o"), "c": _shifted_out(name, value, count.value)}
        if count.value >= width:
            state.flags |= _unknown(op, "c")
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
    state.flags = state.flags | _unknown(op, "c", "o", "l", "be")
    write(state, code, op, op.operands[0], value)
    return None


def _not(state: State, code: Code, op: Operation) -> Control:
    write(state, code, op, op.operands[0], terms.invert(read(state, code, op, op.operands[0])))
    return None


def _neg(state: State, code: Code, op: Operation) -> Control:
    value = read(state, code, op, op.operands[0])
    result, state.flags = _subtracted(terms.const(0, value.width), value)
    write(state, code, op, op.operands[0], result)
    return None


def _imul(state: State, code: Code, op: Operation) -> Control:
    if len(op.operands) == 1:
        raise UnsupportedError("imul of one operand")
    left, right = (read(state, code, op, operand) for operand in op.operands[-2:])
    write(state, code, op, op.operands[0], terms.mul(left, right))
    overflow = terms.call(f"imul{left.width} overflows", (left, right), 1, commutes=True)
    state.flags = {"c": lambda: overflow, "o": lambda: overflow, **_unknown(op, "z", "s", "p")}
    return None


def _trailing_zeros(state: State, code: Code, op: Operation) -> Control:
    value = read(state, code, op, op.operands[1])
    zero = terms.const(0, value.width)
    result = terms.call(f"trailing zeros {value.width}", (value,), value.width)
    write(state, code, op, op.operands[0], result)
    state.flags = {
        "c": lambda: terms.eq(value, zero),
        "z": lambda: terms.eq(result, zero),
        **_unknown(op, "s", "o", "p"),
    }
    return None


def _bt(state: State, code: Code, op: Operation) -> Control:
    value, index = (read(state, code, op, operand) for operand in op.operands)
    if op.operands[0].kind != "register":
        raise UnsupportedError("bt of memory")
    index = terms.bitwise("and", terms.zext(index, value.width), terms.const(value.width - 1, value.width))
    found = terms.extract(terms.shift("lshr", value, index), 0, 1)
    kept = {name: flag for name, flag in state.flags.items() if name == "z"}
    state.flags = {**kept, "c": lambda: found, **_unknown(op, "s", "o", "p")}
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
        if (old.frame or new.frame) and truth.value is None and old.width == terms.WORD:
            # An address is in the frame or it is not: go on in two ways.
            return Branch(truth, op.end, op.operands[0].register, new)
        write(state, code, op, op.operands[0], terms.ite(truth, new, old))
        return None

    return step


def _extend_accumulator(source: str, target: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        operand = Operand(kind="register", size=VIEWS[target][2] // 8, register=target)
        write(state, code, op, operand, terms.sext(_register(state, source), VIEWS[target][2]))
        return None

    return step


def _push(state: State, code: Code, op: Operation) -> Control:
    if op.operands[0].size != 8:
        raise UnsupportedError(op.text)
    value = read(state, code, op, op.operands[0])
    state.registers["rsp"] = terms.offset(state.registers["rsp"], -8)
    store(state, state.registers["rsp"], value)
    return None


def _pop(state: State, code: Code, op: Operation) -> Control:
    if op.operands[0].size != 8:
        raise UnsupportedError(op.text)
    value = load(state, state.registers["rsp"], 8)
    state.registers["rsp"] = terms.offset(state.registers["rsp"], 8)
    write(state, code, op, op.operands[0], value)
    return None


def _ret(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    if op.operands:
        raise UnsupportedError("ret with a count")
    back = load(state, state.registers["rsp"], 8)
    state.registers["rsp"] = terms.offset(state.registers["rsp"], 8)
    return Return(back)


def _target(state: State, code: Code, op: Operation) -> int | Term:
    """Work out where a jump or call goes."""
    operand = op.operands[0]
    if operand.kind != "number":
        if operand.size != 8:
            raise UnsupportedError(op.text)  # a far one, among others
        return read(state, code, op, operand)
    hole = code.hole(op, op.places[0], relative=True)
    return operand.number if hole is None else terms.offset(hole, op.size - op.places[0][0])


def _jmp(state: State, code: Code, op: Operation) -> Control:
    return Jump(_target(state, code, op))


def _call(state: State, code: Code, op: Operation) -> Control:
    target = _target(state, code, op)
    if isinstance(target, int):
        raise UnsupportedError("a call within the stencil")
    return Call(target)


def _jump_if(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        return Branch(condition(state, name), _target(state, code, op))

    return step


def _nop(state: State, code: Code, op: Operation) -> Control:  # noqa: ARG001  # a row like the others
    return None


# Floating point and vectors: values that are moved are bits, those that are computed are uninterpreted.


def _move_vector(size: int, *, clears: bool) -> Step:
    """Make a step that moves the low `size` bytes; a load clears the rest (movsd, movq), a register move does not."""

    def step(state: State, code: Code, op: Operation) -> Control:
        target, source = op.operands
        value = terms.extract(_vector(state, code, op, source, size), 0, 8 * size)
        if target.register in VECTORS and size < 16:
            old = state.registers[target.register]
            zero = clears or source.kind == "memory"
            high = terms.const(0, 128 - 8 * size) if zero else terms.extract(old, 8 * size, 128 - 8 * size)
            value = terms.concat(high, value)
        write(state, code, op, target, value)
        return None

    return step


def _move_low(state: State, code: Code, op: Operation) -> Control:
    target, source = op.operands
    if target.kind == "memory":
        write(state, code, op, target, terms.extract(_whole(state, source.register), 0, 64))
        return None
    old = _whole(state, target.register)
    write(state, code, op, target, terms.concat(terms.extract(old, 64, 64), _vector(state, code, op, source, 8)))
    return None


def _vector(state: State, code: Code, op: Operation, operand: Operand, size: int) -> Term:
    if operand.kind == "memory":
        return code.load(state, address(state, code, op, operand), size)
    return read(state, code, op, operand)


def _whole(state: State, name: str) -> Term:
    """Read a vector register.

    Raises: UnsupportedError for those of MMX.
    """
    if name not in VECTORS:
        raise UnsupportedError(f"register {name}")
    return state.registers[name]


def _scalar(name: str, *, commutes: bool = False) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        old = read(state, code, op, op.operands[0])
        left, right = terms.extract(old, 0, 64), terms.extract(_vector(state, code, op, op.operands[1], 8), 0, 64)
        result = terms.call(name, (left, right), 64, commutes=commutes)
        write(state, code, op, op.operands[0], terms.concat(terms.extract(old, 64, 64), result))
        return None

    return step


def _compare_scalar(state: State, code: Code, op: Operation) -> Control:
    left, right = (terms.extract(_vector(state, code, op, one, 8), 0, 64) for one in op.operands)
    below, above = terms.call("float less", (left, right), 1), terms.call("float less", (right, left), 1)
    unordered = terms.call("float unordered", (left, right), 1, commutes=True)
    # Equal is: neither less, nor greater, nor unordered. Unordered sets z, p and c.
    equal = terms.invert(terms.either(below, above, unordered))
    state.flags = {
        "z": lambda: terms.either(equal, unordered),
        "p": lambda: unordered,
        "c": lambda: terms.either(below, unordered),
        "o": lambda: FALSE,
        "s": lambda: FALSE,
    }
    return None


def _vector_bits(name: str) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (_vector(state, code, op, one, 16) for one in op.operands)
        write(state, code, op, op.operands[0], terms.bitwise(name, left, right))
        return None

    return step


def _convert(state: State, code: Code, op: Operation) -> Control:
    source = read(state, code, op, op.operands[1])
    old = _whole(state, op.operands[0].register)
    value = terms.call(f"{op.name}{source.width}", (source,), 64)
    write(state, code, op, op.operands[0], terms.concat(terms.extract(old, 64, 64), value))
    return None


def _unpack(width: int, *, high: bool) -> Step:
    """Make a step that interleaves the halves of two vectors."""

    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (_vector(state, code, op, one, 16) for one in op.operands)
        base = 64 if high else 0
        rows = []
        for low in range(base, base + 64, width):
            rows += [terms.extract(left, low, width), terms.extract(right, low, width)]
        write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
        return None

    return step


def _lanes(width: int, by: Callable[[Term, Term], Term]) -> Step:
    """Make a step on each lane of two vectors."""

    def step(state: State, code: Code, op: Operation) -> Control:
        left, right = (_vector(state, code, op, one, 16) for one in op.operands)
        rows = [by(terms.extract(left, low, width), terms.extract(right, low, width)) for low in range(0, 128, width)]
        write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
        return None

    return step


def _shuffle(state: State, code: Code, op: Operation) -> Control:
    value = _vector(state, code, op, op.operands[1], 16)
    order = op.operands[2].number
    rows = [terms.extract(value, 32 * (order >> 2 * lane & 3), 32) for lane in range(4)]
    write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
    return None


def _shift_lanes(name: str, width: int) -> Step:
    def step(state: State, code: Code, op: Operation) -> Control:
        value, count = _whole(state, op.operands[0].register), op.operands[1]
        if count.kind != "number":
            raise UnsupportedError(f"{op.name} by a variable")
        by = terms.const(count.number & 255, width)
        rows = [terms.shift(name, terms.extract(value, low, width), by) for low in range(0, 128, width)]
        write(state, code, op, op.operands[0], terms.concat(*reversed(rows)))
        return None

    return step


_CODES: Final = (*_CONDITIONS, *_OPPOSITE)
STEPS: Final[Mapping[str, Step]] = {
    "mov": _mov,
    "movabs": _mov,
    "movzx": _widen(terms.zext),
    "movsx": _widen(terms.sext),
    "movsxd": _widen(terms.sext),
    "lea": _lea,
    "add": _two(_added),
    "sub": _two(_subtracted),
    "cmp": _two(_subtracted, keep=False),
    "and": _two(_bits("and")),
    "or": _two(_bits("or")),
    "xor": _two(_bits("xor")),
    "test": _two(_bits("and"), keep=False),
    "inc": _two(_added, carry=False),
    "dec": _two(_subtracted, carry=False),
    "adc": _with_carry(_added),
    "sbb": _with_carry(_subtracted),
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
    "push": _push,
    "pop": _pop,
    "ret": _ret,
    "jmp": _jmp,
    "call": _call,
    "nop": _nop,
    "movsd": _move_vector(8, clears=False),
    "movq": _move_vector(8, clears=True),
    "movd": _move_vector(4, clears=True),
    "movss": _move_vector(4, clears=False),
    **dict.fromkeys(("movups", "movaps", "movupd", "movapd", "movdqu", "movdqa"), _move_vector(16, clears=False)),
    **dict.fromkeys(("movlps", "movlpd"), _move_low),
    "addsd": _scalar("float add", commutes=True),
    "subsd": _scalar("float sub"),
    "mulsd": _scalar("float mul", commutes=True),
    "divsd": _scalar("float div"),
    "ucomisd": _compare_scalar,
    "comisd": _compare_scalar,
    "cvtsi2sd": _convert,
    **dict.fromkeys(("xorps", "xorpd", "pxor"), _vector_bits("xor")),
    **dict.fromkeys(("andps", "andpd", "pand"), _vector_bits("and")),
    **dict.fromkeys(("orps", "orpd", "por"), _vector_bits("or")),
    "punpcklqdq": _unpack(64, high=False),
    "unpcklpd": _unpack(64, high=False),
    "unpckhpd": _unpack(64, high=True),
    "punpckhqdq": _unpack(64, high=True),
    "punpckldq": _unpack(32, high=False),
    "unpcklps": _unpack(32, high=False),
    "paddd": _lanes(32, terms.add),
    "paddq": _lanes(64, terms.add),
    "psubd": _lanes(32, terms.sub),
    "psubq": _lanes(64, terms.sub),
    "pcmpeqd": _lanes(32, lambda left, right: terms.sext(terms.eq(left, right), 32)),
    "pshufd": _shuffle,
    "pslld": _shift_lanes("shl", 32),
    "psllq": _shift_lanes("shl", 64),
    "psrld": _shift_lanes("lshr", 32),
    "psrlq": _shift_lanes("lshr", 64),
    **{f"j{name}": _jump_if(name) for name in _CODES},
    **{f"set{name}": _set(name) for name in _CODES},
    **{f"cmov{name}": _cmov(name) for name in _CODES},
}
