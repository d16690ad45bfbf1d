"""The one door to unicorn: both stencils are run on the same states, with stubs for what they call.

A state follows from a seed: registers, holes and every word of memory, where the solver has not said otherwise. A run
is worth what can be seen of it: calls with arguments, the exit with its registers, and memory. Two runs that differ are
a difference that was shown; runs that agree are evidence, and no proof.
"""

from __future__ import annotations

import hashlib
import importlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stencilkit.errors import UsageError
from stencilkit.model.proof import Prototype
from stencilkit.model.stencil import HoleValue, Patch, PatchForm
from stencilkit.prove import filling
from stencilkit.prove.assumptions import EXITS, FRAME_POINTERS, HOLES
from stencilkit.prove.code import TRAMPOLINES, Code
from stencilkit.prove.conventions import Place
from stencilkit.prove.meeting import World

_CODE: Final = 0x1000_0000
_DATA: Final = 0x1100_0000
_SLOTS: Final = 0x1200_0000
_EXITS: Final = _CODE + 0x8_0000  # a conditional branch of aarch64 reaches a megabyte
_SYMBOLS: Final = 0x1400_0000
_STACK: Final = 0x2000_0000
_HEAP: Final = 0x4000_0000
_PAGE: Final = 0x1000
_STACK_SIZE: Final = 0x10000
_TOP: Final = _STACK + _STACK_SIZE - 0x1000
_BACK: Final = _EXITS + 0x800
_PARTS: Final = {HoleValue.CODE: _CODE, HoleValue.DATA: _DATA}
_MOST_STEPS: Final = 5000
REACH: Final = (_HEAP, _HEAP + (1 << 32))
"""Where memory is that a state gives words of."""
_CALLS: Final = ("call", "bl", "blr")


class EndlessError(Exception):
    """A run does not end, or goes where nothing can be."""


def load() -> Any:  # noqa: ANN401  # unicorn has no annotations
    """Import unicorn.

    Raises: UsageError where it is not installed.
    """
    try:
        return importlib.import_module("unicorn")
    except ImportError as error:
        raise UsageError(
            "replaying needs unicorn, which is not installed",
            fix="pip install 'stencilkit[prove]' (z3-solver and unicorn), or give --no-replay",
        ) from error


def version() -> str:
    """Name the emulator that is installed."""
    return f"unicorn {load().__version__}"


@dataclass(frozen=True, slots=True)
class Seed:
    """A state: what the solver says of registers, holes and words, and a number from which the rest follows.

    Two of three states are tame: registers are addresses at first, and numbers are small, so that a stencil reads where
    it may, and a loop that counts to a number comes to its end.
    """

    number: int
    values: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[int, int] = field(default_factory=dict)

    def value(self, name: str, width: int = 64) -> int:
        """Return the value of a register or hole."""
        if name in self.values:
            return self.values[name] & (1 << width) - 1
        return self._made(name) & (1 << width) - 1

    def _made(self, name: str) -> int:
        digest = hashlib.blake2b(f"{self.number} {name}".encode(), digest_size=8).digest()
        return self._plausible(int.from_bytes(digest, "little"))

    @property
    def tame(self) -> bool:
        """Whether the state is tame."""
        return self.number % 3 > 0

    def register(self, name: str, width: int) -> int:
        """Return the value of a register at first."""
        if self.tame and name not in self.values:
            return _HEAP + 16 * (self._made(name) % 0x4000)
        return self.value(name, width)

    def operand(self, name: str, width: int) -> int:
        """Return the value of a hole that the uop's operand or target is in."""
        if self.tame and width < 64 and name not in self.values:
            return self._made(name) % 16
        return self.value(name, width)

    def page(self, start: int) -> bytes:
        """Return what a page of memory holds at first."""
        raw = hashlib.shake_128(f"{self.number} page {start:#x}".encode()).digest(_PAGE)
        body = bytearray(struct.pack("<512Q", *map(self._plausible, struct.unpack("<512Q", raw))))
        for place, value in self.words.items():
            for address, byte in enumerate(value.to_bytes(8, "little"), start=place):
                if start <= address < start + _PAGE:
                    body[address - start] = byte
        return bytes(body)

    def _plausible(self, number: int) -> int:
        """Make what memory could hold: addresses (with tags) most often, then small numbers, then any."""
        kind, rest = number & 31, number >> 5
        if kind < 18:
            return _HEAP + 16 * (rest % 0x4000) + (rest >> 20 & 3 if kind & 1 else 0)
        if kind < 26 or self.tame:
            return rest % (256 if kind & 1 else 8)
        return number if kind & 1 else rest & 0xFFFFFFFF


Event = tuple[str, tuple[int | str, ...], int]
"""A call or the exit, what can be seen of it, and where the code was."""


@dataclass(slots=True)
class Run:
    """One run of one side."""

    code: Code
    world: World
    symbols: Mapping[str, int]
    seed: Seed
    engine: Any
    unicorn: Any
    numbers: Mapping[str, int]
    widths: Mapping[str, int]
    counter: int
    events: list[Event] = field(default_factory=list)
    written: dict[int, int] = field(default_factory=dict)
    pages: dict[int, bytes] = field(default_factory=dict)
    steps: int = 0
    last: int = 0
    over: bool = False

    def trace(self) -> list[Event]:
        """Run to the exit; return calls and exit, with memory.

        Raises: EndlessError.
        """
        self._load()
        hooks = [
            self.engine.hook_add(self.unicorn.UC_HOOK_CODE, self._step),
            self.engine.hook_add(self.unicorn.UC_HOOK_MEM_WRITE, self._write),
            self.engine.hook_add(self.unicorn.UC_HOOK_MEM_UNMAPPED, self._unmapped),
        ]
        try:
            self.engine.emu_start(_CODE, 0)
        except self.unicorn.UcError as error:
            if not self.over:
                raise EndlessError(str(error)) from None
        finally:
            for hook in hooks:
                self.engine.hook_del(hook)
            for page in self.pages:
                self.engine.mem_unmap(page, _PAGE)
        return self.events

    @property
    def _entry(self) -> int:
        """The stack pointer at the start: where calls push the address to return to, they have pushed one."""
        return _TOP - self.world.convention.popped

    def _load(self) -> None:
        for name in self.numbers:
            self._register(name, self.seed.register(name, self.widths[name]))
        convention = self.world.convention
        self._register(convention.stack, self._entry)
        for page in (_TOP - _PAGE, _TOP):
            self._map(page)
        if convention.link:
            self._register(convention.link, _BACK)
        else:
            self.engine.mem_write(self._entry, _BACK.to_bytes(8, "little"))
        for start, part in ((_CODE, self.code.stencil), (_DATA, self.code.data)):
            body = filling.filled(part, start, self._patched)
            for page in range(start, start + len(body) + _PAGE, _PAGE):
                self._map(page)
            self.engine.mem_write(start, body)
        for name, address in self.symbols.items():
            slot = self._slot(name)
            self._map(slot & -_PAGE)
            self.engine.mem_write(slot, address.to_bytes(8, "little"))
        self.engine.ctl_remove_cache(_CODE, _CODE + len(self.code.stencil.body) + 16)

    def _slot(self, name: str) -> int:
        return _SLOTS + (self.symbols[name] - _SYMBOLS) // _PAGE * 8

    def _patched(self, patch: Patch) -> int:
        if patch.form is PatchForm.GOT_SLOT:
            return self._slot(str(patch.symbol)) + patch.addend
        if patch.form is PatchForm.TRAMPOLINE:
            return self.symbols[str(patch.symbol)] + TRAMPOLINES[patch.func]
        if patch.symbol is not None:
            return self.symbols[patch.symbol] + patch.addend
        if patch.value in EXITS:
            ends = patch.value is HoleValue.CONTINUE
            base = _CODE + self.code.end if ends else _EXITS + 16 * EXITS.index(patch.value)
            return base + patch.addend
        if patch.value in _PARTS:
            return _PARTS[patch.value] + patch.addend
        name, low, width = HOLES[patch.value]
        whole = {"oparg": 16, "exit_index": 16, "target": 32}.get(name, 64)
        return (self.seed.operand(name, whole) >> low & (1 << width) - 1) + patch.addend

    def _map(self, page: int) -> None:
        if page in self.pages:
            return
        self.pages[page] = self.seed.page(page)
        self.engine.mem_map(page, _PAGE)
        self.engine.mem_write(page, self.pages[page])

    def _unmapped(self, _engine: Any, _access: int, address: int, size: int, *_: Any) -> bool:  # noqa: ANN401  # unicorn has no annotations
        for page in {address & -_PAGE, address + max(size, 1) - 1 & -_PAGE}:
            if not 0 <= page < 1 << 47 or len(self.pages) > 400:
                return False
            self._map(page)
        return True

    def _write(self, _engine: Any, _access: int, address: int, size: int, value: int, _data: Any) -> None:  # noqa: ANN401  # unicorn has no annotations
        if not _STACK <= address < self._entry:
            for number, byte in enumerate((value & (1 << 8 * size) - 1).to_bytes(size, "little")):
                self.written[address + number] = byte

    def _step(self, engine: Any, address: int, _size: int, _data: Any) -> None:  # noqa: ANN401  # unicorn has no annotations
        self.steps += 1
        place = address - _CODE
        if 0 <= place < self.code.end:
            if self.steps > _MOST_STEPS:
                engine.emu_stop()
                raise EndlessError("too many steps")
            self.last = place
            return
        op = self.code.operations.get(self.last)
        if op is not None and op.name in _CALLS:
            self._called(address, self.last + op.size)
            return
        self._left(address)
        engine.emu_stop()

    def _read(self, name: str) -> int:
        return int(self.engine.reg_read(self.numbers[name]))

    def _register(self, name: str, value: int) -> None:
        self.engine.reg_write(self.numbers[name], value & (1 << self.widths[name]) - 1)

    def _memory(self) -> tuple[int | str, ...]:
        """List the bytes that are not what they were at first."""
        rows: list[int | str] = []
        for address in sorted(self.written):
            page = self.pages.get(address & -_PAGE)
            if page is None or self.written[address] != page[address % _PAGE]:
                rows.append(f"{address:#x}={self.written[address]:02x}")
        return tuple(rows)

    def _called(self, address: int, back: int) -> None:
        name = {value: key for key, value in self.symbols.items()}.get(address, "")
        prototype = self.world.prototypes.get(name)
        arguments = self._arguments(name, prototype)
        self.events.append((f"call {name or hex(address)}", (*arguments, *self._memory()), self.last))
        number = len(self.events)
        if prototype is not None and not prototype.returns:
            self.over = True
            self.engine.emu_stop()
            return
        self._answer(name, prototype, number)
        # Back to the caller, without running the stub.
        convention = self.world.convention
        self._register(convention.stack, self._read(convention.stack) + convention.popped)
        self.engine.reg_write(self.counter, _CODE + back)

    def _answer(self, name: str, prototype: Prototype | None, number: int) -> None:
        """Do what a callee does: leave results, and nothing of what it need not keep."""
        convention = self.world.convention
        kinds = prototype.arguments if prototype is not None else ()
        for index, place in enumerate(convention.places(kinds, len(kinds))):
            extent = FRAME_POINTERS.get(name, {}).get(index)
            if extent is None:
                continue
            pointer = self._argument(place)
            if extent.written and _STACK <= pointer < self._entry:
                made = self.seed.value(f"out {number} {index}").to_bytes(8, "little") * 2
                self.engine.mem_write(pointer, made[: extent.size])
        if prototype is None and convention.indirect_results:
            pointer = self._read(convention.arguments[0])
            if _STACK <= pointer < self._entry:
                self.engine.mem_write(pointer, self.seed.value(f"result at {number}").to_bytes(8, "little") * 2)
        for register in self.numbers:
            if register in convention.halves:
                self._register(register, self._read(register) & (1 << 64) - 1)
            elif register not in convention.kept:
                self._register(register, self.seed.value(f"{self.code.side} {register} {number}"))
        for register in convention.results:
            self._register(register, self.seed.value(f"{register} {number}"))

    def _arguments(self, name: str, prototype: Prototype | None) -> list[int | str]:
        kinds = prototype.arguments if prototype is not None else ("ptr",)
        found: list[int | str] = []
        for index, (kind, place) in enumerate(zip(kinds, self.world.convention.places(kinds, len(kinds)), strict=True)):
            narrow = kind in ("i32", "i16", "i8", "i1")
            value = self._argument(place) & (0xFFFFFFFF if narrow else (1 << 64) - 1)
            found.append(self._pointed(name, index, value))
        return found

    def _argument(self, place: Place) -> int:
        if isinstance(place, str):
            return self._read(place)
        stack = self._read(self.world.convention.stack) + self.world.convention.popped
        return int.from_bytes(self.engine.mem_read(stack + place, 8), "little")

    def _pointed(self, name: str, index: int, value: int) -> int | str:
        """Return what an argument is worth: of a text its letters, of a pointer into the frame what it points to."""
        if _DATA <= value < _DATA + len(self.code.data.body):
            return self.code.data.body[value - _DATA :].partition(b"\0")[0].decode("latin-1")
        if not _STACK <= value < self._entry:
            return value
        extent = FRAME_POINTERS.get(name, {}).get(index)
        if extent is None or extent.always_written:
            return "frame"
        size = extent.size
        if extent.count is not None:
            size = 8 * min(self._read(self.world.convention.arguments[extent.count]) & (1 << 63) - 1, 64)
        return bytes(self.engine.mem_read(value, size)).hex()

    def _left(self, address: int) -> None:
        convention = self.world.convention
        returns = address == _BACK
        names = convention.results[:1] if returns else self.world.passing.live
        registers = [f"{name}={self._read(name):#x}" for name in names]
        registers += [f"{name}={self._read(name):#x}" for name in self.world.passing.restored]
        registers += [f"{name}={self._read(name) & (1 << 64) - 1:#x}" for name in self.world.passing.halves]
        named = {_EXITS + 16 * number: value.value for number, value in enumerate(EXITS)}
        named |= {_CODE + self.code.end: HoleValue.CONTINUE.value, _BACK: "by a return"}
        where = named.get(address, f"{address:#x}")
        self.events.append((f"exit {where}", (*registers, *self._memory()), self.last))
        self.over = True


@dataclass(slots=True)
class Emulator:
    """Runs pairs of stencils; one engine for each side, so that nothing of one run reaches the other."""

    registers: Mapping[str, int]
    mode: tuple[str, str, str, str, str]

    def compare(self, left: Code, right: Code, world: World, seed: Seed) -> tuple[list[Event], list[Event]]:
        """Run both on one state.

        Raises: EndlessError where one does not end.
        """
        symbols = addresses(left, right)
        traces = [self._run(code, world, symbols, seed) for code in (left, right)]
        return traces[0], traces[1]

    def _run(self, code: Code, world: World, symbols: Mapping[str, int], seed: Seed) -> list[Event]:
        unicorn = load()
        arch, mode, module, prefix, pc = self.mode
        engine = unicorn.Uc(getattr(unicorn, arch), getattr(unicorn, mode))
        constants = importlib.import_module(module)
        numbers = {name: getattr(constants, f"{prefix}{name.upper()}") for name in self.registers}
        counter = getattr(constants, f"{prefix}{pc}")
        if arch == "UC_ARCH_ARM64":
            engine.reg_write(constants.UC_ARM64_REG_CPACR_EL1, _FLOATING_POINT)
        return Run(code, world, symbols, seed, engine, unicorn, numbers, self.registers, counter).trace()


_FLOATING_POINT: Final = 3 << 20  # not trapped: Arm Architecture Reference Manual, D19.2.30
MODES: Final = {
    "x86_64": ("UC_ARCH_X86", "UC_MODE_64", "unicorn.x86_const", "UC_X86_REG_", "RIP"),
    "aarch64": ("UC_ARCH_ARM64", "UC_MODE_ARM", "unicorn.arm64_const", "UC_ARM64_REG_", "PC"),
}


def addresses(*codes: Code) -> dict[str, int]:
    """Give every symbol that stencils name an address."""
    names = {patch.symbol for code in codes for part in (code.stencil, code.data) for patch in part.patches}
    return {name: _SYMBOLS + _PAGE * number for number, name in enumerate(sorted(name for name in names if name))}


def differ(run: Callable[[Seed], tuple[list[Event], list[Event]]], seeds: list[Seed]) -> tuple[Seed | None, int]:
    """Run both on states until they differ; return the state where they do, and how many runs came to an end."""
    ended = 0
    for seed in seeds:
        try:
            one, other = run(seed)
        except EndlessError:
            continue
        ended += 1
        if [event[:2] for event in one] != [event[:2] for event in other]:
            return seed, ended
    return None, ended
