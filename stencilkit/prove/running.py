"""One run of one stencil in unicorn, with stubs for what it calls; what can be seen of it is a list of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stencilkit.model.proof import Prototype
from stencilkit.model.stencil import HoleValue, Patch, PatchForm
from stencilkit.prove import filling
from stencilkit.prove.assumptions import EXITS, FRAME_POINTERS, HOLES, OPARGS, STACKED_CALLEES, SUFFIX
from stencilkit.prove.code import TRAMPOLINES, Code
from stencilkit.prove.conventions import Place
from stencilkit.prove.seeds import PAGE, Seed
from stencilkit.prove.world import World

_CODE: Final = 0x1000_0000
# Not where memory may say that an object is: words that begin in the middle of others can be multiples of 0x100_0000.
_DATA: Final = 0x1108_0000
_SLOTS: Final = 0x1200_0000
_EXITS: Final = _CODE + 0x8_0000  # a conditional branch of aarch64 reaches a megabyte
_SYMBOLS: Final = 0x1400_0000
_STACK: Final = 0x2000_0000
_STACK_SIZE: Final = 0x10000
_TOP: Final = _STACK + _STACK_SIZE - 0x1000
_BACK: Final = _EXITS + 0x800
_PARTS: Final = {HoleValue.CODE: _CODE, HoleValue.DATA: _DATA}
_MADE: Final = 0x3000_0000
_MAKING: Final = ("_Py_MakeCoro",)
"""Functions that return a new object, apart from all that was there, or NULL. Objects/genobject.c, make_gen."""
_MOST_STEPS: Final = 5000
_CALLS: Final = ("call", "bl", "blr")
_INDIRECT: Final = ("call", "blr", "jmp", "br")


class EndlessError(Exception):
    """A run does not end, or goes where nothing can be."""


Event = tuple[str, tuple[int | str, ...], int]
"""A call or the exit, what can be seen of it, and where the code was."""


def addresses(*codes: Code) -> dict[str, int]:
    """Give every symbol that stencils name an address."""
    names = {patch.symbol for code in codes for part in (code.stencil, code.data) for patch in part.patches}
    return {name: _SYMBOLS + PAGE * number for number, name in enumerate(sorted(name for name in names if name))}


def entry(world: World) -> int:
    """Return the stack pointer at the start: where calls push the address to return to, they have pushed one."""
    return _TOP - world.convention.popped


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
    ran: bool = False
    back: int = -1
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
            *(
                self.engine.hook_add(kind, self._beside, begin=begin, end=end - 1)
                for kind, begin, end in (
                    (self.unicorn.UC_HOOK_MEM_READ, _CODE, _DATA),
                    (self.unicorn.UC_HOOK_MEM_READ, _DATA + len(self.code.data.body), _SLOTS),
                    (self.unicorn.UC_HOOK_MEM_WRITE, _CODE, _SYMBOLS),
                )
            ),
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
                self.engine.mem_unmap(page, PAGE)
        return self.events

    @property
    def _entry(self) -> int:
        return entry(self.world)

    @property
    def _own(self) -> int:
        """Where the caller's frame begins: above the arguments of the stencil."""
        places = [place for place in self.world.passing.live if isinstance(place, int)]
        return _TOP + (max(places) + self._bytes if places else -self.world.convention.popped)

    @property
    def _bytes(self) -> int:
        return self.world.convention.word // 8

    def _load(self) -> None:
        for name in self.numbers:
            self._register(name, self.seed.register(name, self.widths[name]))
        convention = self.world.convention
        self._register(convention.stack, self._entry)
        for page in (_TOP - PAGE, _TOP):
            self._map(page)
        if convention.link:
            self._register(convention.link, _BACK)
        else:
            self.engine.mem_write(self._entry, _BACK.to_bytes(self._bytes, "little"))
        for start, part in ((_CODE, self.code.stencil), (_DATA, self.code.data)):
            body = filling.filled(part, start, self._patched)
            for page in range(start, start + len(body) + PAGE, PAGE):
                self._map(page)
            self.engine.mem_write(start, body)
        for name, address in self.symbols.items():
            slot = self._slot(name)
            self._map(slot & -PAGE)
            self.engine.mem_write(slot, address.to_bytes(self._bytes, "little"))
        self.engine.ctl_remove_cache(_CODE, _CODE + len(self.code.stencil.body) + 16)

    def _slot(self, name: str) -> int:
        return _SLOTS + (self.symbols[name] - _SYMBOLS) // PAGE * self._bytes

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
        return (self._operand(name, whole) >> low & (1 << width) - 1) + patch.addend

    def _operand(self, name: str, width: int) -> int:
        value = self.seed.operand(name, width)
        known = OPARGS.get(self._uop, ()) if name == "oparg" else ()
        return value if value in known or not known else known[value % len(known)]

    @property
    def _uop(self) -> str:
        return SUFFIX.sub("", self.code.name)

    def _map(self, page: int) -> None:
        if page in self.pages:
            return
        self.pages[page] = self.seed.page(page, self.world.convention.word)
        self.engine.mem_map(page, PAGE)
        self.engine.mem_write(page, self.pages[page])

    def _unmapped(self, _engine: Any, _access: int, address: int, size: int, *_: Any) -> bool:  # noqa: ANN401  # unicorn has no annotations
        for page in {address & -PAGE, address + max(size, 1) - 1 & -PAGE}:
            if not 0 <= page < 1 << min(47, self.world.convention.word) or len(self.pages) > 400:
                return False
            self._map(page)
        return True

    def _beside(self, engine: Any, *_: Any) -> None:  # noqa: ANN401  # unicorn has no annotations
        """End a run that reads code or beside the data, or writes to either: no object of CPython is there.

        What is there is not the same on both sides. An operand is not one that the uop has, or a random pointer is the
        address of the code.
        """
        engine.emu_stop()
        raise EndlessError("an access to code, or beside the stencil's data")

    def _write(self, _engine: Any, _access: int, address: int, size: int, value: int, _data: Any) -> None:  # noqa: ANN401  # unicorn has no annotations
        if not _STACK <= address < self._own:
            for number, byte in enumerate((value & (1 << 8 * size) - 1).to_bytes(size, "little")):
                self.written[address + number] = byte

    def _step(self, engine: Any, address: int, _size: int, _data: Any) -> None:  # noqa: ANN401  # unicorn has no annotations
        self.steps += 1
        place = address - _CODE
        if 0 <= place < self.code.end:
            if self.steps > _MOST_STEPS:
                engine.emu_stop()
                raise EndlessError("too many steps")
            if self._by_chance():
                engine.emu_stop()
                raise EndlessError("a random pointer to the code")
            back = self._behind_call()
            if back >= 0:
                # A call of a trampoline within the stencil: what that jumps to is called.
                self.back = back
            elif place == self.back:
                # A function of the stencil's own has returned.
                self.back = -1
            self.last, self.ran = place, True
            return
        back = self._behind_call()
        if back < 0:
            back, self.back = self.back, -1
        if back >= 0:
            self._called(address, back)
            return
        self._left(address)
        engine.emu_stop()

    def _by_chance(self) -> bool:
        """Whether the instruction that ran last went into the stencil by an address that is not in its data."""
        op = self.code.operations.get(self.last)
        if not self.ran or op is None or op.name not in _INDIRECT or op.operands[0].kind == "number":
            return False
        return op.name in _CALLS or all(patch.value is not HoleValue.CODE for patch in self.code.data.patches)

    def _behind_call(self) -> int:
        """Return the place behind the instruction that ran last, if it is a call that has not returned, else -1."""
        op = self.code.operations.get(self.last)
        return op.end if self.ran and op is not None and op.name in _CALLS else -1

    def _read(self, name: str) -> int:
        return int(self.engine.reg_read(self.numbers[name]))

    def _register(self, name: str, value: int) -> None:
        self.engine.reg_write(self.numbers[name], value & (1 << self.widths[name]) - 1)

    def _memory(self) -> tuple[int | str, ...]:
        """List the bytes that are not what they were at first."""
        rows: list[int | str] = []
        for address in sorted(self.written):
            page = self.pages.get(address & -PAGE)
            if page is None or self.written[address] != page[address % PAGE]:
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
        # Back to the caller, without running the stub: it is not the call that leads to what comes next.
        self.ran = False
        convention = self.world.convention
        self._register(convention.stack, self._read(convention.stack) + convention.popped)
        self.engine.reg_write(self.counter, _CODE + back)

    def _answer(self, name: str, prototype: Prototype | None, number: int) -> None:
        """Do what a callee does: leave results, and nothing of what it need not keep."""
        convention = self.world.calling(name).convention
        kinds = prototype.arguments if prototype is not None else ()
        for index, place in enumerate(convention.places(kinds, len(kinds))):
            extent = FRAME_POINTERS.get(name, {}).get(index)
            if extent is None:
                continue
            pointer = self._argument(place, "ptr")
            if extent.written and _STACK <= pointer < self._entry:
                made = self.seed.value(f"out {number} {index}").to_bytes(8, "little") * 2
                self.engine.mem_write(pointer, made[: extent.bytes(convention.word)])
        if prototype is None and convention.indirect_results:
            pointer = self._read(convention.arguments[0])
            if _STACK <= pointer < self._entry:
                self.engine.mem_write(pointer, self.seed.value(f"result at {number}").to_bytes(8, "little") * 2)
        for register in self.numbers:
            if register in convention.halves:
                self._register(register, self._read(register) & (1 << 64) - 1)
            elif register not in convention.kept:
                self._register(register, self.seed.value(f"{self.code.side} {register} {number}"))
        pointer = prototype is not None and prototype.result == "ptr"
        for register in convention.results:
            value = self.seed.value(f"{register} {number}") & (-self._bytes if pointer else -1)
            self._register(register, _MADE + (value & 0xFFF0) if name in _MAKING and value else value)

    def _arguments(self, name: str, prototype: Prototype | None) -> list[int | str]:
        convention = self.world.calling(name).convention
        kinds = prototype.arguments if prototype is not None else ("ptr",)
        if prototype is None and not convention.unknown:
            stacked = STACKED_CALLEES.get(self._uop)
            kinds = stacked.arguments if stacked is not None else kinds
        values = [
            self._argument(place, kind) & (0xFFFFFFFF if kind in ("i32", "i16", "i8", "i1") else (1 << 64) - 1)
            for kind, place in zip(kinds, convention.places(kinds, len(kinds)), strict=True)
        ]
        return [self._pointed(name, index, values) for index in range(len(values))]

    def _argument(self, place: Place, kind: str) -> int:
        """Read an argument; on the stack, the address to return to is below the first."""
        if isinstance(place, str):
            return self._read(place)
        stack = self._read(self.world.convention.stack) + self.world.convention.popped
        return int.from_bytes(self.engine.mem_read(stack + place, self.world.convention.size(kind)), "little")

    def _pointed(self, name: str, index: int, values: list[int]) -> int | str:
        """Return what an argument is worth: of a text its letters, of a pointer into the frame what it points to."""
        value = values[index]
        if _DATA <= value < _DATA + len(self.code.data.body):
            return self.code.data.body[value - _DATA :].partition(b"\0")[0].decode("latin-1")
        if not _STACK <= value < self._entry:
            return value
        extent = FRAME_POINTERS.get(name, {}).get(index)
        if extent is None or extent.always_written or extent.written_if_positive or extent.keeps or extent.kept:
            return "frame"
        size = extent.bytes(self.world.convention.word)
        if extent.count is not None:
            # Without the flag bit.
            size = self._bytes * min(values[extent.count] & (1 << self.world.convention.word - 1) - 1, 64)
        return bytes(self.engine.mem_read(value, size)).hex()

    def _left(self, address: int) -> None:
        convention = self.world.convention
        returns = address == _BACK
        places: tuple[Place, ...] = convention.results[:1] if returns else self.world.passing.live
        registers = [f"{place}={self._argument(place, 'ptr'):#x}" for place in places]
        registers += [f"{name}={self._read(name):#x}" for name in self.world.passing.restored]
        registers += [f"{name}={self._read(name) & (1 << 64) - 1:#x}" for name in self.world.passing.halves]
        named = {_EXITS + 16 * number: value.value for number, value in enumerate(EXITS)}
        named |= {_CODE + self.code.end: HoleValue.CONTINUE.value, _BACK: "by a return"}
        where = named.get(address, f"{address:#x}")
        self.events.append((f"exit {where}", (*registers, *self._memory()), self.last))
        self.over = True
