"""What the registers, the stack and the data of one stencil may hold at one of its instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from stencilkit.audit import values
from stencilkit.audit.values import COMPUTED, FOUND, NUMBER, Atom, Value
from stencilkit.model.audit import Decoded
from stencilkit.model.stencil import Patch, PatchForm, Stencil, StencilGroup

# More slots than any function of CPython's; what is in further ones is not distinguished.
_MOST_SLOTS: Final = 512
# The bytes that a patch function writes; all others write an instruction of aarch64, or 32 bits.
WIDTHS: Final[Mapping[str, int]] = {"patch_64": 8}
WORD: Final = 4
_STACK_POINTERS: Final = {"x86_64": "rsp", "i686": "rsp", "aarch64": "sp"}
# Rewrites two instructions of aarch64 at once.
RELAXED_PAIR: Final = "patch_aarch64_33rx"
_UNKNOWN_SLOTS: Final = 1 << 32

EventKind = Literal["store", "jump", "call", "return", "leave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that an instruction does: a store to an address, a jump or call to one, a return.

    `stack` is where the stack pointer may be then, `stored` what a store writes.
    """

    kind: EventKind
    instruction: Decoded
    value: Value
    stack: Value = FOUND
    stored: Value = FOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The code of one stencil: its patches by place, the size of a pointer, and its stack pointer's name."""

    group: StencilGroup
    pointer: int
    stack: str
    code: Mapping[int, Patch]
    data: Mapping[int, Patch]

    @property
    def end(self) -> int:
        """Return where the code ends, and the next stencil begins."""
        return len(self.group.code.body)

    def pointee(self, patch: Patch, plus: int = 0) -> Value:
        """Describe what a patch puts in, `plus` bytes further."""
        return values.shifted(frozenset({values.pointee(patch, self.end)}), plus)

    def content(self, offset: int | None, size: int) -> Value:
        """Describe what is in the data when the stencil runs."""
        if offset is None or not 0 <= offset <= len(self.group.data.body) - size:
            return frozenset(values.mixed([self.pointee(patch) for patch in self.data.values()]) | NUMBER)
        patch = self.data.get(offset)
        if patch is not None and WIDTHS.get(patch.func, WORD) == size:
            # What is relative to its own place is of use for a table only: see `rows`.
            return self.pointee(patch) if patch.func in ("patch_64", "patch_32") else NUMBER
        reach = range(offset - 7, offset + size)
        near = [
            place for place in reach if place in self.data and place + WIDTHS.get(self.data[place].func, WORD) > offset
        ]
        if near:
            return values.mixed([self.pointee(self.data[place]) for place in near])
        return values.number(int.from_bytes(self.group.data.body[offset : offset + size], "little"))

    @property
    def points_to_itself(self) -> bool:
        """Return whether the data hold an address of the stencil, or of another one: a jump table does."""
        return any(values.pointee(patch, self.end).base in ("code", "data", "target") for patch in self.data.values())

    def rows(self, name: str) -> list[int]:
        """List where a jump table leads, given the name of its atoms."""
        base, _, start = name.partition(" ")
        return self._code_rows(int(start)) if base == "code" else self.data_rows(int(start))

    def data_rows(self, start: int) -> list[int]:
        """List where a jump table in the data leads: its rows are patches into the code, one behind the other."""
        found = []
        place = start
        while (patch := self.data.get(place)) is not None:
            target = values.pointee(patch, self.end)
            if target.base != "code" or target.offset is None:
                break
            # A relative row is a distance from itself, and is added to the address of the first one.
            relative = patch.func in ("patch_32r", "patch_x86_64_32rx")
            found.append(target.offset - (place - start) if relative else target.offset)
            place += WIDTHS.get(patch.func, WORD)
        return found

    def _code_rows(self, start: int) -> list[int]:
        """List where a jump table behind the code leads: distances of 32 bits from its start, up to the end."""
        body = self.group.code.body[start:]
        rows = [int.from_bytes(body[at : at + WORD], "little", signed=True) for at in range(0, len(body), WORD)]
        targets = [start + row for row in rows]
        good = len(body) % WORD == 0 and all(0 <= target < start for target in targets)
        return targets if good and start > 0 else []


def places(patch: Patch) -> tuple[int, ...]:
    """List where a patch writes; of a pair, the first 3.13 and 3.14 name the first instruction alone."""
    if patch.func == RELAXED_PAIR and len(patch.offsets) == 1:
        return (patch.offsets[0], patch.offsets[0] + WORD)
    return patch.offsets


def unit(group: StencilGroup, arch: str, pointer: int) -> Stretch:
    """Prepare a stencil for being followed."""
    return Stretch(
        group=group,
        pointer=pointer,
        stack=_STACK_POINTERS[arch],
        code=_by_place(group.code),
        data=_by_place(group.data),
    )


def _by_place(stencil: Stencil) -> Mapping[int, Patch]:
    return {place: patch for patch in stencil.patches if patch.form is not PatchForm.VOID for place in places(patch)}


@dataclass(slots=True, kw_only=True)
class State:
    """What registers and slots of the stack hold; what is not named is as the interpreter left it.

    `low` is what the lowest bytes of a register hold, and how many, where they were written by themselves.
    """

    unit: Stretch
    registers: dict[str, Value] = field(default_factory=dict)
    slots: dict[int, Value] = field(default_factory=dict)
    low: dict[str, tuple[int, Value]] = field(default_factory=dict)

    def copy(self) -> State:
        """Copy it, to be changed."""
        return State(unit=self.unit, registers=dict(self.registers), slots=dict(self.slots), low=dict(self.low))

    def get(self, register: str) -> Value:
        """Return what a register holds."""
        if register == "xzr":
            return values.number(0)
        found = self.registers.get(register)
        if found is None:
            return frozenset({Atom("stack", "", 0)}) if register == self.unit.stack else FOUND
        return found

    def set(self, register: str, value: Value) -> None:
        """Write a register."""
        self.registers[register] = value
        self.low.pop(register, None)

    def set_low(self, register: str, size: int, value: Value) -> None:
        """Write the lowest bytes of a register."""
        self.set(register, values.mixed([self.get(register), value]))
        self.low[register] = (size, value)

    def get_low(self, register: str, size: int) -> Value:
        """Return what the lowest bytes of a register hold."""
        known, value = self.low.get(register, (0, FOUND))
        return values.truncated(value if size <= known else self.get(register), size)

    def load(self, address: Value, size: int) -> Value:
        """Describe what may be at an address."""
        return values.joined(*(self._load(atom, size) for atom in address))

    def _load(self, atom: Atom, size: int) -> Value:  # noqa: PLR0911  # one answer per base
        match atom.base:
            case "stack":
                return self._slot(atom.offset, size)
            case "slot" if atom.offset == 0:
                return frozenset({Atom("symbol", atom.name, 0)})
            case "data":
                return self.unit.content(atom.offset, size)
            case "row" if atom.name.startswith("data") and not self.unit.points_to_itself:
                # A table of numbers, which clang makes of a switch.
                return self.unit.content(None, size)
            case "row":
                return frozenset({Atom("entry", atom.name, 0)})
            case "page" if atom.name in ("data", "slot"):
                return values.joined(self.unit.content(None, size), COMPUTED)
            case "const" | "code" | "slot" | "page":
                return NUMBER
        return FOUND if size == self.unit.pointer else COMPUTED

    def _slot(self, offset: int | None, size: int) -> Value:
        if offset is None:
            return values.joined(FOUND, *self.slots.values())
        if offset in self.slots and size == self.unit.pointer:
            return self.slots[offset]
        near = [
            self.slots[place] for place in range(offset - self.unit.pointer + 1, offset + size) if place in self.slots
        ]
        if _UNKNOWN_SLOTS in self.slots:
            near.append(self.slots[_UNKNOWN_SLOTS])
        return values.mixed(near) if near else FOUND if size == self.unit.pointer else COMPUTED

    def store(self, address: Value, value: Value, size: int) -> None:
        """Remember what is stored to the stack, as far as it is known where."""
        for atom in address:
            if atom.base == "stack":
                for part in range(0, max(size, 1), self.unit.pointer):
                    place = None if atom.offset is None else atom.offset + part
                    self._store(place, value, exact=len(address) == 1)

    def _store(self, place: int | None, value: Value, *, exact: bool) -> None:
        if place is None or len(self.slots) >= _MOST_SLOTS:
            self.slots.setdefault(_UNKNOWN_SLOTS, FOUND)
            for known in self.slots:
                self.slots[known] = values.joined(self.slots[known], value)
            return
        if not exact:
            value = values.joined(self._slot(place, self.unit.pointer), value)
        reach = self.unit.pointer - 1
        for near in range(place - reach, place + reach + 1):
            if near in self.slots:
                self.slots[near] = values.mixed([self.slots[near], value])
        self.slots[place] = value

    def join(self, other: State) -> bool:
        """Take in another way to the same instruction; return whether anything is new."""
        low = {register: self._low_of_both(register, other) for register in self.low.keys() | other.low.keys()}
        changed = low != self.low
        for register in self.registers.keys() | other.registers.keys():
            mine = self.get(register)
            after = values.joined(mine, other.get(register))
            changed |= after != mine
            self.registers[register] = after
        self.low = low
        for place in self.slots.keys() | other.slots.keys():
            slot = self.slots.get(place, FOUND)
            after = values.joined(slot, other.slots.get(place, FOUND))
            changed |= after != slot
            self.slots[place] = after
        return changed

    def _low_of_both(self, register: str, other: State) -> tuple[int, Value]:
        size = min(state.low[register][0] for state in (self, other) if register in state.low)
        return size, values.joined(self.get_low(register, size), other.get_low(register, size))
