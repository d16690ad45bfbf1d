"""The semantics of instructions against unicorn: the same state before, the same state after.

An encoding is run once as terms (`stencilkit.prove`), which are then worked out for many random states, and by unicorn
on each. Registers, flags, memory and where it goes next must be equal.
"""

from __future__ import annotations

import functools
import importlib
import random
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from stencilkit import disassemble
from stencilkit.model.machine import Operation
from stencilkit.model.stencil import Stencil, StencilGroup
from stencilkit.prove import aarch64, machine, search, terms, x86
from stencilkit.prove.code import Code
from stencilkit.prove.machine import CODE_NAME, Branch, Call, Jump, Return, State, UnsupportedError
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import Term
from tests import extended
from tests.extended import DOUBLE, EXTENDED, SINGLE, OutsideError

CODE = 0x10_0000
HEAP = 0x4000_0000
SIZE = 0x4000
INTERESTING = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)


@dataclass
class Given:
    """One random state."""

    registers: dict[str, int]
    memory: bytes

    def symbol(self, name: str) -> int:
        return CODE if name == CODE_NAME else self.registers[name]

    def word(self, memory: str, address: int) -> int:
        return int.from_bytes(self.memory[place(address) : place(address) + 8], "little")

    def function(self, name: str, values: list[int]) -> int:
        return FUNCTIONS[name](*values)


def place(address: int) -> int:
    if not HEAP + 16 <= address <= HEAP + SIZE - 64:
        raise OutsideError
    return address - HEAP


def as_float(value: int) -> float:
    result: float = struct.unpack("<d", value.to_bytes(8, "little"))[0]
    return result


def as_bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) & 1 else value


def _overflows(width: int) -> Callable[[int, int], int]:
    return lambda one, other: int(not -(1 << width - 1) <= _signed(one, width) * _signed(other, width) < 1 << width - 1)


def _divide(one: float, other: float) -> float:
    if other:
        return one / other
    raise OutsideError


FUNCTIONS: dict[str, Callable[..., int]] = {
    **{f"mul{width}": lambda one, other: one * other for width in (8, 16, 32, 64)},
    **{f"imul{width} overflows": _overflows(width) for width in (16, 32, 64)},
    "float add": lambda one, other: as_bits(as_float(one) + as_float(other)),
    "float sub": lambda one, other: as_bits(as_float(one) - as_float(other)),
    "float mul": lambda one, other: as_bits(as_float(one) * as_float(other)),
    "float div": lambda one, other: as_bits(_divide(as_float(one), as_float(other))),
    "float less": lambda one, other: int(as_float(one) < as_float(other)),
    "float unordered": lambda one, other: int(as_float(one) != as_float(one) or as_float(other) != as_float(other)),
    "x87 add": extended.add,
    "x87 sub": extended.sub,
    "x87 mul": extended.mul,
    "x87 div": extended.div,
    "x87 less": extended.less,
    "x87 unordered": extended.unordered,
    "x87 of float32": lambda one: extended.converted(one, SINGLE, EXTENDED),
    "x87 of float64": lambda one: extended.converted(one, DOUBLE, EXTENDED),
    "float32 of x87": lambda one: extended.converted(one, EXTENDED, SINGLE),
    "float64 of x87": lambda one: extended.converted(one, EXTENDED, DOUBLE),
    **{
        f"x87 of int{width}": lambda one, width=width: extended.of_integer(_signed(one, width))
        for width in (16, 32, 64)
    },
    "cvtsi2sd32": lambda one: as_bits(float(_signed(one, 32))),
    "cvtsi2sd64": lambda one: as_bits(float(_signed(one, 64))),
}


def filled(body: bytes, op: Operation) -> bytes:
    """Put an address of the memory there is in the place of an absolute displacement."""
    for start, patch in op.patches:
        if patch.func == "patch_32" and start == op.places[1][0]:
            return body[:start] + (HEAP + SIZE // 2).to_bytes(4, "little") + body[start + 4 :]
    return body


def encodings(groups: Iterable[StencilGroup], arch: str) -> list[tuple[Operation, bytes]]:
    """List every encoding of some stencils once, without holes, with its bytes; a hole that is an address has one."""
    found = {
        filled(group.code.body[op.offset : op.end], op)
        for group in groups
        for op in disassemble.operations(group.code, arch)
    }
    return [(disassemble.operations(Stencil(body=key, patches=()), arch)[0], key) for key in sorted(found)]


# Opcodes of one byte, and those behind 0F of which there is much to get wrong.
ONE = bytes.fromhex(
    "00 01 02 03 04 05 08 09 0a 0b 0c 0d 10 11 13 18 19 1b 20 21 22 23 24 25 28 29 2a 2b 2c 2d 30 31 32 33 34 35 38"
    "39 3a 3b 3c 3d 50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f 63 68 69 6a 6b 70 71 72 73 74 75 76 77 78 79 7a 7b"
    "7c 7d 7e 7f 80 81 83 84 85 88 89 8a 8b 8d 8f 90 98 a8 a9 b0 b8 c0 c1 c3 c6 c7 d0 d1 d2 d3 e8 e9 eb f6 f7 fe ff"
)
TWO = bytes.fromhex(
    "10 11 12 13 14 15 2a 2e 2f 54 57 58 59 5c 5e 62 6c 6d 6e 6f 70 72 73 76 7e 7f a3 af b6 ba bc be d4 d6"
)


def drawn_x86(seed: random.Random) -> bytes:
    """Make up an instruction: prefixes, opcode, operands."""
    head = b"".join(bytes((byte,)) for byte, often in ((0x66, 0.3), (0xF2, 0.1), (0xF3, 0.1)) if seed.random() < often)
    if seed.random() < 0.5:
        head += bytes((0x40 | seed.randrange(16),))
    if seed.random() < 0.55:
        head += bytes((0x0F, seed.choice(TWO) if seed.randrange(3) else seed.randrange(256)))
    else:
        head += bytes((seed.choice(ONE),))
    rest = (seed.choice((0, 8, 0x18, 0xF8, seed.randrange(256))), *(seed.choice((0, 0xFF)) for _ in range(8)))
    return head + bytes((seed.randrange(256), seed.choice((0x24, seed.randrange(256))), *rest))


def drawn_i686(seed: random.Random) -> bytes:
    """Make up an instruction of 32 bits: that has no REX, and more opcodes of one byte."""
    if seed.randrange(3) == 0:
        body = bytearray((seed.randrange(0xD8, 0xE0), *seed.randbytes(10)))
        if seed.randrange(2):
            body[0], body[1] = seed.choice((0xD8, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)), 0xC0 | seed.randrange(64)
        return bytes(body)
    if seed.randrange(10) == 0:
        return bytes((0x40 | seed.randrange(16),))
    body = bytearray(drawn_x86(seed))
    at = next(number for number, byte in enumerate(body) if byte not in (0x66, 0xF2, 0xF3))
    if body[at] & 0xF0 == 0x40:
        del body[at]
    return bytes(body)


def drawn_arm(seed: random.Random) -> bytes:
    return seed.getrandbits(32).to_bytes(4, "little")


DRAWN = {"x86_64": drawn_x86, "i686": drawn_i686, "aarch64": drawn_arm}


def drawn(arch: str, tables: Mapping[str, object], seed: random.Random) -> Iterator[tuple[Operation, bytes]]:
    """Make up instructions whose names are in a table, and of which the architecture says what they do.

    Where a load or store moves the register that it moves data through, unicorn is no judge: processors may do either
    (Arm ARM, CONSTRAINED UNPREDICTABLE). tests/unit/test_prove.py has what the prover says of those.
    """
    while True:
        body = DRAWN[arch](seed)
        found = disassemble.operations(Stencil(body=body, patches=()), arch)
        if found and found[0].name in tables and not _moves_its_own(found[0]):
            yield found[0], body[: found[0].size]


def _moves_its_own(op: Operation) -> bool:
    """Say whether the base of an address is written back, and loaded or stored too."""
    if not op.writeback:
        return False
    bases = {aarch64.VIEWS.get(one.base, (one.base,))[0] for one in op.operands if one.kind == "memory"}
    moved = {aarch64.VIEWS.get(one.register, (one.register,))[0] for one in op.operands if one.kind == "register"}
    return not bases.isdisjoint(moved)


@dataclass
class Outcome:
    """An encoding as terms."""

    registers: dict[str, Term]
    flags: dict[str, Term]
    writes: tuple[tuple[Term, Term], ...]
    next: Term | None
    condition: Term | None


class Tables(NamedTuple):
    """The tables of an architecture."""

    STEPS: Mapping[str, search.Step]
    REGISTERS: Mapping[str, int]
    VIEWS: Mapping[str, tuple[str, int, int] | tuple[str, int]]


class X86:
    """unicorn as an x86-64."""

    tables = Tables(x86.STEPS[64], x86.REGISTERS[64], x86.VIEWS[64])
    word = 64
    mode = "UC_MODE_64"
    counter = "rip"
    flags: ClassVar[dict[str, int]] = {"c": 0, "p": 2, "z": 6, "s": 7, "o": 11}
    stack = "rsp"

    def __init__(self) -> None:
        self.unicorn = importlib.import_module("unicorn")
        names = importlib.import_module("unicorn.x86_const")
        self.engine = self.unicorn.Uc(self.unicorn.UC_ARCH_X86, getattr(self.unicorn, self.mode))
        plain = [name for name in self.tables.REGISTERS if not name.startswith("fp")]
        self.numbers = {name: getattr(names, f"UC_X86_REG_{name.upper()}") for name in (*plain, self.counter, "eflags")}
        self.engine.mem_map(CODE, 0x1000)
        self.engine.mem_map(HEAP, SIZE)

    def run(self, code: bytes, given: Given) -> tuple[dict[str, int], bytes]:
        engine = self.engine
        engine.mem_write(CODE, code + b"\x90" * (32 - len(code)))
        engine.ctl_remove_cache(CODE, CODE + 64)
        engine.mem_write(HEAP, given.memory)
        for name in self.numbers.keys() & given.registers.keys():
            engine.reg_write(self.numbers[name], given.registers[name])
        self.put_floats(given)
        engine.reg_write(
            self.numbers["eflags"], 2 | sum(given.registers[flag] << bit for flag, bit in self.flags.items())
        )
        try:
            engine.emu_start(CODE, 1 << 62, count=1)
        except self.unicorn.UcError as error:
            # A jump to where nothing is has been taken all the same.
            if error.errno != self.unicorn.UC_ERR_FETCH_UNMAPPED:
                raise OutsideError from None
        after = {name: engine.reg_read(number) for name, number in self.numbers.items()}
        after |= {"flags": after["eflags"], "next": after[self.counter], **self.floats()}
        return after, bytes(engine.mem_read(HEAP, SIZE))

    def start(self, registers: dict[str, Term]) -> None:
        """Make registers as they are before an instruction."""

    def put_floats(self, given: Given) -> None:
        """Write the x87's registers."""

    def floats(self) -> dict[str, int]:
        """Read the x87's registers."""
        return {}

    def derived(self, bits: dict[str, int]) -> dict[str, int]:
        less = bits["s"] ^ bits["o"]
        return {"l": less, "le": less | bits["z"], "be": bits["c"] | bits["z"]}

    def call(self, state: State, back: int) -> None:
        state.registers[self.stack] = terms.offset(state.registers[self.stack], -self.word // 8)
        machine.store(state, state.registers[self.stack], terms.const(back, self.word))


class I686(X86):
    """unicorn as an x86 of 32 bits, with some numbers on the stack of the x87."""

    tables = Tables(x86.STEPS[32], x86.REGISTERS[32], x86.VIEWS[32])
    word = 32
    mode = "UC_MODE_32"
    counter = "eip"
    stack = "esp"
    depth = 3

    def __init__(self) -> None:
        super().__init__()
        names = importlib.import_module("unicorn.x86_const")
        self.control, self.status = names.UC_X86_REG_FPCW, names.UC_X86_REG_FPSW
        # The first that is put on the stack is in the last register.
        self.stacked = {f"fp{number}": names.UC_X86_REG_FP0 + 7 - number for number in range(8)}

    def start(self, registers: dict[str, Term]) -> None:
        registers["fp"] = terms.offset(registers["fp"], self.depth)

    def put_floats(self, given: Given) -> None:
        self.engine.reg_write(self.control, 0x37F)
        self.engine.reg_write(self.status, 8 - self.depth << 11)
        for name, number in self.stacked.items():
            value = given.registers[name]
            self.engine.reg_write(number, (value & (1 << 64) - 1, value >> 64))

    def floats(self) -> dict[str, int]:
        found = {name: self.engine.reg_read(number) for name, number in self.stacked.items()}
        return {
            "fp": -(self.engine.reg_read(self.status) >> 11) & 7,
            **{name: exponent << 64 | significand for name, (significand, exponent) in found.items()},
        }


class Arm:
    """unicorn as an aarch64."""

    tables = Tables(aarch64.STEPS, aarch64.REGISTERS, aarch64.VIEWS)
    word = 64
    flags: ClassVar[dict[str, int]] = {"n": 31, "z": 30, "c": 29, "v": 28}
    stack = "sp"

    def __init__(self) -> None:
        self.unicorn = importlib.import_module("unicorn")
        names = importlib.import_module("unicorn.arm64_const")
        self.engine = self.unicorn.Uc(self.unicorn.UC_ARCH_ARM64, self.unicorn.UC_MODE_ARM)
        self.numbers = {
            name: getattr(names, f"UC_ARM64_REG_{name.upper()}") for name in (*aarch64.REGISTERS, "pc", "nzcv")
        }
        self.engine.reg_write(names.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        self.engine.mem_map(CODE, 0x1000)
        self.engine.mem_map(HEAP, SIZE)

    def run(self, code: bytes, given: Given) -> tuple[dict[str, int], bytes]:
        engine = self.engine
        engine.mem_write(CODE, code + bytes.fromhex("1f2003d5") * 4)
        engine.ctl_remove_cache(CODE, CODE + 64)
        engine.mem_write(HEAP, given.memory)
        for name in aarch64.REGISTERS:
            engine.reg_write(self.numbers[name], given.registers[name])
        engine.reg_write(self.numbers["nzcv"], sum(given.registers[flag] << bit for flag, bit in self.flags.items()))
        try:
            engine.emu_start(CODE, 1 << 62, count=1)
        except self.unicorn.UcError as error:
            if error.errno != self.unicorn.UC_ERR_FETCH_UNMAPPED:
                raise OutsideError from None
        after = {name: engine.reg_read(number) for name, number in self.numbers.items()}
        after |= {"flags": after["nzcv"], "next": after["pc"]}
        return after, bytes(engine.mem_read(HEAP, SIZE))

    def derived(self, bits: dict[str, int]) -> dict[str, int]:
        less = bits["n"] ^ bits["v"]
        return {"lt": less, "le": less | bits["z"], "ls": (1 - bits["c"]) | bits["z"]}

    def start(self, registers: dict[str, Term]) -> None:
        """Make registers as they are before an instruction."""

    def call(self, state: State, back: int) -> None:
        state.registers["x30"] = terms.const(back)


def as_terms(op: Operation, body: bytes, engine: X86 | Arm) -> Outcome:
    """Run an encoding once on symbols."""
    code = Code({0: op}, Stencil(body=body, patches=()), Stencil(body=b"", patches=()), "", {}, True, "", engine.word)
    registers = {name: terms.sym(name, width) for name, width in engine.tables.REGISTERS.items()}
    engine.start(registers)
    state = State(0, registers, Memory("memory"), Memory("frame"))
    state.flags = {flag: functools.partial(terms.sym, flag, 1) for flag in engine.flags}
    control = search.run(engine.tables.STEPS, state, code, op)
    flags: dict[str, Term] = {}
    for name, flag in state.flags.items():
        try:
            flags[name] = flag()
        except UnsupportedError:
            continue
    following: Term | int | None = None
    condition = None
    if isinstance(control, Branch):
        condition, following = control.condition, control.target
        if control.value is not None:
            raise UnsupportedError("a choice of addresses")
    elif isinstance(control, Jump | Call):
        following = control.target
    elif isinstance(control, Return):
        following = control.address
    if isinstance(control, Call):
        engine.call(state, CODE + op.size)
    if isinstance(following, int):
        following = terms.const(CODE + following, engine.word)
    return Outcome(state.registers, flags, state.heap.writes, following, condition)


def states(op: Operation, engine: X86 | Arm, seed: random.Random) -> Iterator[Given]:
    """Make random states; addresses are mostly in the memory."""
    while True:
        registers = {}
        for name, width in engine.tables.REGISTERS.items():
            registers[name] = number(seed, width) & (1 << width) - 1
        for operand in op.operands:
            if operand.kind == "memory":
                for name, value in (
                    (operand.index, seed.randrange(0, 64)),
                    (operand.base, HEAP + SIZE // 2 - operand.number + seed.randrange(-2000, 2000)),
                ):
                    if name in engine.tables.VIEWS:
                        registers[engine.tables.VIEWS[name][0]] = value & (1 << engine.word) - 1
                if operand.base == operand.index != "":
                    half = (HEAP + SIZE // 2 - operand.number) // (1 + operand.scale)
                    registers[engine.tables.VIEWS[operand.base][0]] = half & (1 << engine.word) - 1
        if op.name in ("push", "pop", "ret", "call") or "sp]" in op.text:
            registers[engine.stack] = HEAP + SIZE // 2 + 8 * seed.randrange(0, 100)
        if "fp" in registers:
            registers["fp"] = 0
        registers |= {flag: seed.randrange(2) for flag in engine.flags}
        yield Given(registers, seed.randbytes(256) * (SIZE // 256))


def number(seed: random.Random, width: int) -> int:
    if width == 80:
        value = seed.choice((seed.uniform(-1e9, 1e9), seed.uniform(-4, 4), float(seed.randrange(-2, 3))))
        return extended.converted(as_bits(value), DOUBLE, EXTENDED)
    if width == 128:
        return number(seed, 64) << 64 | number(seed, 64)
    kind = seed.randrange(4)
    if kind == 0:
        return seed.choice(INTERESTING)
    if kind == 1:
        return as_bits(seed.uniform(-1e9, 1e9))
    return seed.getrandbits(seed.choice((8, 16, 31, 32, 63, 64)))


def mismatches(op: Operation, body: bytes, engine: X86 | Arm, count: int, seed: random.Random) -> list[str]:
    """Compare an encoding in many states; say what differs."""
    outcome = as_terms(op, body, engine)
    found: list[str] = []
    done = 0
    for tries, given in enumerate(states(op, engine, seed)):
        if done == count or tries > 20 * count or found:
            break
        try:
            found += compare(op, body, outcome, engine, given)
        except OutsideError:
            continue
        done += 1
    if not done:
        found.append(f"{op.name} {op.text}: no state of {tries} could be run")
    return found


def compare(op: Operation, body: bytes, outcome: Outcome, engine: X86 | Arm, given: Given) -> list[str]:
    seen: dict[Term, int] = {}

    def value(term: Term) -> int:
        return terms.evaluate(term, given, seen)

    expected = {name: value(term) for name, term in outcome.registers.items()}
    memory = bytearray(given.memory)
    for address, word in outcome.writes:
        start = place(value(address))
        memory[start : start + word.width // 8] = value(word).to_bytes(word.width // 8, "little")
    following = CODE + op.size
    if outcome.next is not None and (outcome.condition is None or value(outcome.condition)):
        following = value(outcome.next)
    flags = {name: value(term) for name, term in outcome.flags.items()}
    after, written = engine.run(body, given)
    found = [f"{name} {after[name]:#x} not {one:#x}" for name, one in expected.items() if after[name] != one]
    bits = {name: after["flags"] >> bit & 1 for name, bit in engine.flags.items()}
    bits |= engine.derived(bits)
    found += [f"flag {name} {bits[name]} not {one}" for name, one in flags.items() if bits[name] != one]
    found += ["memory"] if written != bytes(memory) else []
    found += [f"next {after['next']:#x} not {following:#x}"] if after["next"] != following else []
    return [f"{op.name} {op.text}: {text} in {given.registers}" for text in found]


ENGINES: dict[str, type[X86 | Arm]] = {"x86_64": X86, "i686": I686, "aarch64": Arm}
