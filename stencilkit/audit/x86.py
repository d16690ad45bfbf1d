"""What one instruction of x86-64 or i686 does to a state (Intel SDM, volume 2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from stencilkit.audit import values
from stencilkit.audit.machine import WIDTHS, WORD, Event, EventKind, State
from stencilkit.audit.values import COMPUTED, FOUND, NUMBER, Value
from stencilkit.model.audit import Argument, Decoded
from stencilkit.model.stencil import Patch, PatchForm

_FLAGS: Final = frozenset({"rflags", "eflags", "fpsw", "fpcw", "rip"})
_JUMP: Final = re.compile(r"(?:bnd |notrack )*(?:j\w+|loop\w*)")
_CALL: Final = re.compile(r"(?:bnd |notrack )*call")
_RETURN: Final = re.compile(r"(?:bnd |rep |repz )*ret")
_UNCONDITIONAL: Final = re.compile(r"(?:bnd |notrack )*jmp")
ENDS: Final = frozenset({"ud0", "ud1", "ud2", "int3", "hlt"})
# Instructions whose first operand, if it is memory, is only read, whatever the disassembler says.
_READERS: Final = re.compile(
    r"(?:cmp|test|bt|push|nop|prefetch\w*|i?mul|i?div|fn?ldcw|fldenv|fi?(?:ld|add|subr?|mul|divr?|comp?p?)|ucomi\w*|comi\w*"
    r"|ldmxcsr|jmp|call|(?:bnd |notrack )+(?:jmp|call))"
)
_MOVES: Final = frozenset({"mov", "movabs", "movq"})
_EXTENDS: Final = frozenset({"movzx", "movsx", "movsxd"})
_SEGMENT: Final = re.compile(r"\b[fg]s:")
_BYTE_PARTS: Final = 4
# The second byte of a register has a name of its own, and the register's.
_SECOND_BYTE: Final = re.compile(r"\b[abcd]h\b")
_SHIFT_OF_INDEX: Final = re.compile(r"\*(\d)")
_X87: Final = "st"


def is_jump(item: Decoded) -> bool:
    """Return whether it is a jump, conditional or not."""
    return _JUMP.fullmatch(item.mnemonic) is not None


def is_call(item: Decoded) -> bool:
    """Return whether it is a call."""
    return _CALL.fullmatch(item.mnemonic) is not None


def goes_on(item: Decoded) -> bool:
    """Return whether what follows an instruction can run after it."""
    ends = _UNCONDITIONAL.fullmatch(item.mnemonic) or _RETURN.fullmatch(item.mnemonic) or item.mnemonic in ENDS
    return not ends


def step(item: Decoded, state: State) -> Iterator[Event]:
    """Run one instruction; yield what a rule asks about."""
    return _Step(item, state).run()


def entered(item: Decoded, state: State) -> State:
    """Return the state in which a function is entered that an instruction calls: the way back is on the stack."""
    inside = state.copy()
    pointer = state.unit.pointer
    inside.set("rsp", values.shifted(state.get("rsp"), -pointer))
    inside.store(inside.get("rsp"), frozenset({values.Atom("code", "", item.end)}), pointer)
    return inside


class _Step:
    def __init__(self, item: Decoded, state: State) -> None:
        self._item = item
        self._state = state
        self._pointer = state.unit.pointer

    def run(self) -> Iterator[Event]:
        item, state = self._item, self._state
        if is_jump(item) or is_call(item):
            kind: EventKind = "call" if is_call(item) else "jump"
            stack = state.get("rsp")
            yield Event(kind=kind, instruction=item, value=self._target(item.arguments[0]), stack=stack)
            if kind == "call":
                state.set("rax", FOUND)
                state.set("rdx", FOUND)
                state.set("xmm0", FOUND)
                state.set(_X87, FOUND)
        elif _RETURN.fullmatch(item.mnemonic):
            stack = state.get("rsp")
            yield Event(kind="return", instruction=item, value=state.load(stack, self._pointer), stack=stack)
        elif item.mnemonic in ("push", "pop", "leave"):
            self._stack()
        elif not self._exact():
            yield from self._generic()
            return
        yield from self._stores(lambda: self._value(item.arguments[-1]))

    def _stores(self, stored: Callable[[], Value]) -> Iterator[Event]:
        for index, operand in enumerate(self._item.arguments):
            if operand.kind == "memory" and self._writes(index, operand):
                address = self._address(operand)
                found = stored()
                yield Event(kind="store", instruction=self._item, value=address, stored=found)
                self._state.store(address, found, operand.size)

    def _writes(self, index: int, operand: Argument) -> bool:
        if _READERS.fullmatch(self._item.mnemonic) or self._item.mnemonic == "lea":
            return False
        return index == 0 or operand.written or self._item.mnemonic.endswith(("xchg", "xadd"))

    def _patch(self, field: tuple[int, int]) -> tuple[Patch, int] | None:
        """Find the patch of an operand, and how far behind its place the instruction ends."""
        place = self._item.offset + field[0]
        patch = self._state.unit.code.get(place) if field[1] else None
        if patch is None or field[1] != WIDTHS.get(patch.func, WORD):
            return None
        return patch, self._item.end - place

    def _target(self, operand: Argument) -> Value:
        if operand.kind != "number":
            return self._value(operand)
        found = self._patch(self._item.immediate)
        if found:
            # A trampoline's function counts from the end of the instruction by itself.
            plus = 0 if found[0].form is PatchForm.TRAMPOLINE else found[1]
            return self._state.unit.pointee(found[0], plus)
        return frozenset({values.Atom("code", "", self._item.goes)})

    def _address(self, operand: Argument) -> Value:
        if _SEGMENT.search(self._item.operands):
            return COMPUTED
        found = self._patch(self._item.displacement)
        relative = operand.register == "rip"
        if found:
            plain = found[0].func in ("patch_32", "patch_64")
            total = self._state.unit.pointee(found[0], 0 if plain else found[1])
            if plain is relative:
                total = values.mixed([total])
        elif relative:
            total = frozenset({values.Atom("code", "", self._item.end + operand.number)})
        else:
            total = values.number(operand.number % (1 << 64))
        if operand.register and not relative:
            total = values.added(total, self._state.get(operand.register))
        if operand.index:
            total = values.added(total, self._index(operand))
        return total

    def _index(self, operand: Argument) -> Value:
        found = self._state.get(operand.index)
        scale = re.search(r"\*(\d)", self._item.operands)
        return values.mixed([found]) if scale else found

    def _value(self, operand: Argument) -> Value:
        if operand.kind == "register":
            if self._is_low(operand):
                return self._state.get_low(operand.register, operand.size)
            found = self._state.get(operand.register)
            return found if operand.size in (0, self._pointer, 16) else values.truncated(found, operand.size)
        if operand.kind == "memory":
            return self._state.load(self._address(operand), operand.size)
        if operand.kind == "number":
            found_patch = self._patch(self._item.immediate)
            if found_patch is None:
                return values.number(operand.number % (1 << 64))
            pointee = self._state.unit.pointee(found_patch[0])
            return pointee if found_patch[0].func in ("patch_32", "patch_64") else values.mixed([pointee])
        return NUMBER

    def _stack(self) -> None:
        state, item = self._state, self._item
        if item.mnemonic == "push":
            pushed = self._value(item.arguments[0])
            state.set("rsp", values.shifted(state.get("rsp"), -self._pointer))
            state.store(state.get("rsp"), pushed, self._pointer)
            return
        if item.mnemonic == "leave":
            state.set("rsp", state.get("rbp"))
        popped = state.load(state.get("rsp"), self._pointer)
        state.set("rsp", values.shifted(state.get("rsp"), self._pointer))
        if item.mnemonic == "leave":
            state.set("rbp", popped)
        elif item.arguments[0].kind == "register":
            state.set(item.arguments[0].register, popped)

    def _exact(self) -> bool:
        """Run what is known exactly; return whether this was that."""
        item, state = self._item, self._state
        if not item.arguments or item.arguments[0].kind != "register":
            return item.mnemonic in _MOVES
        first, *rest = item.arguments
        wide = first.size == self._pointer
        if item.mnemonic in _MOVES and first.size >= _BYTE_PARTS:
            found = self._value(rest[0])
            state.set(
                first.register, found if wide or first.size > self._pointer else values.truncated(found, first.size)
            )
        elif item.mnemonic in _EXTENDS and first.size >= _BYTE_PARTS:
            state.set(first.register, self._value(rest[0]))
        elif item.mnemonic == "lea" and wide:
            state.set(first.register, self._address(rest[0]))
        elif item.mnemonic in ("xor", "sub", "pxor", "xorps") and rest[0] == first_as_read(first, rest[0]):
            state.set(first.register, values.number(0))
        elif item.mnemonic in ("add", "sub", "inc", "dec") and wide:
            self._add(first, rest)
        elif item.mnemonic.startswith("cmov"):
            state.set(first.register, values.joined(state.get(first.register), self._value(rest[0])))
        else:
            return False
        return True

    def _add(self, first: Argument, rest: list[Argument]) -> None:
        left = self._state.get(first.register)
        right = self._value(rest[0]) if rest else values.number(1)
        if self._item.mnemonic in ("sub", "dec"):
            right = negated(right)
        self._state.set(first.register, values.added(left, right))

    def _generic(self) -> Iterator[Event]:
        """Let everything that is written depend on everything that is read."""
        item, state = self._item, self._state
        named = {operand.register for operand in item.arguments} | {operand.index for operand in item.arguments}
        sources = [state.get(register) for register in sorted(item.reads - named - _FLAGS)]
        sources += [self._value(operand) for operand in item.arguments if operand.read or operand.kind == "number"]
        if "fpu" in item.groups:
            sources.append(state.get(_X87))
        result = values.mixed(sources)
        yield from self._stores(lambda: result)
        written = set(item.writes) - _FLAGS
        written |= {operand.register for operand in item.arguments if operand.kind == "register" and operand.written}
        for register in sorted(written):
            parts = [one for one in item.arguments if one.register == register and one.written and self._is_low(one)]
            if parts:
                state.set_low(register, min(one.size for one in parts), result)
            else:
                state.set(register, values.mixed([state.get(register), result]) if self._partial(register) else result)
        if "fpu" in item.groups:
            state.set(_X87, result)

    def _is_low(self, operand: Argument) -> bool:
        return (
            operand.kind == "register"
            and 0 < operand.size < _BYTE_PARTS
            and not _SECOND_BYTE.search(self._item.operands)
        )

    def _partial(self, register: str) -> bool:
        return any(
            operand.kind == "register" and operand.register == register and operand.size < _BYTE_PARTS
            for operand in self._item.arguments
        )


def first_as_read(first: Argument, second: Argument) -> Argument | None:
    """Return the second operand if it is the same register as the first."""
    return second if second.kind == "register" and second.register == first.register else None


def negated(value: Value) -> Value:
    """Negate a number; anything else is not known any more."""
    return frozenset(
        values.Atom("const", "", -atom.offset % (1 << 64))
        if atom.base == "const" and atom.offset is not None
        else values.Atom(atom.base, atom.name, None)
        for atom in value
    )
