"""What one instruction of aarch64 does to a state (Arm Architecture Reference Manual, section C6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stencilkit.audit import values
from stencilkit.audit.machine import Event, EventKind, State
from stencilkit.audit.values import FOUND, Atom, Value
from stencilkit.audit.x86 import negated
from stencilkit.model.audit import Argument, Decoded
from stencilkit.model.stencil import Patch

_FLAGS: Final = frozenset({"nzcv", "xzr"})
_BRANCH: Final = re.compile(r"b|b\.\w+|cbn?z|tbn?z|br(?:a[ab]z?)?")
_CALL: Final = re.compile(r"bl|blr\w*")
_RETURN: Final = re.compile(r"ret\w*|eret\w*")
_LOAD: Final = re.compile(
    r"ld(?:u?r(?:s?[bhw]|sw)?|n?p(?:sw)?|a?p?u?r[bh]?|a?xr[bh]?|a?xp|[1-4]r?|t?r(?:s?[bhw]|sw)?)|prf\w*"
)
_WRITEBACK: Final = re.compile(
    r"\[(?P<base>\w+)(?:, #(?P<before>-?(?:0x[0-9a-f]+|\d+))\]!|\], #(?P<after>-?(?:0x[0-9a-f]+|\d+)))"
)
ENDS: Final = frozenset({"udf", "brk", "hlt"})
_INDIRECT: Final = re.compile(r"(?:blr|br|ret)(?:a[ab]z?)?")
_RELAXED: Final = "patch_aarch64_33rx"
# Pointer authentication of the way back, with the stack pointer: `standard` of -mbranch-protection has no others.
_SIGNS: Final = {"paciasp": "a", "pacibsp": "b"}
_AUTHENTICATES: Final = {"autiasp": "a", "autibsp": "b", "retaa": "a", "retab": "b"}
_PAGE: Final = ("patch_aarch64_21r", "patch_aarch64_21rx", _RELAXED)
_HALF: Final = 16


def is_jump(item: Decoded) -> bool:
    """Return whether it is a branch, conditional or not."""
    return _BRANCH.fullmatch(item.mnemonic) is not None


def is_call(item: Decoded) -> bool:
    """Return whether it is a branch with link."""
    return _CALL.fullmatch(item.mnemonic) is not None


def goes_on(item: Decoded) -> bool:
    """Return whether what follows an instruction can run after it."""
    mnemonic = item.mnemonic
    ends = (
        mnemonic == "b"
        or (_INDIRECT.fullmatch(mnemonic) and not is_call(item))
        or _RETURN.fullmatch(mnemonic)
        or mnemonic in ENDS
    )
    return not ends


def step(item: Decoded, state: State) -> Iterator[Event]:
    """Run one instruction; yield what a rule asks about."""
    return _Step(item, state).run()


def entered(_: Decoded, state: State) -> State:
    """Return the state in which a function is entered: the way back is in x30."""
    return state


class _Step:
    def __init__(self, item: Decoded, state: State) -> None:
        self._item = item
        self._state = state
        self._patch: Patch | None = state.unit.code.get(item.offset)

    def run(self) -> Iterator[Event]:
        item = self._item
        if item.mnemonic in _SIGNS:
            self._sign(_SIGNS[item.mnemonic])
            return
        if item.mnemonic in _AUTHENTICATES:
            self._authenticate(_AUTHENTICATES[item.mnemonic])
            if not _RETURN.fullmatch(item.mnemonic):
                return
        if is_jump(item) or is_call(item) or _RETURN.fullmatch(item.mnemonic):
            yield from self._branch()
        elif any(operand.kind == "memory" for operand in item.arguments):
            yield from self._memory()
        elif not self._exact():
            self._generic()

    def _sign(self, key: str) -> None:
        """Sign the way back: nothing but the same key with the same stack pointer makes an address of it again."""
        seal = self._seal(key)
        signed = (Atom("signed", f"{seal} {atom.base} {atom.name}", atom.offset) for atom in self._state.get("x30"))
        self._state.set("x30", frozenset(signed))

    def _authenticate(self, key: str) -> None:
        """Take the signature off; of what was not signed so, something else is left."""
        seal, found = self._seal(key), set[Atom]()
        for atom in self._state.get("x30"):
            where, base, name = f"{atom.name}  ".split(" ", 2)
            good = atom.base == "signed" and where == seal and not seal.endswith("?")
            found |= {Atom(base, name.strip(), atom.offset)} if good else values.COMPUTED
        self._state.set("x30", frozenset(found))

    def _seal(self, key: str) -> str:
        places = sorted(self._state.get("sp"), key=str)
        known = len(places) == 1 and places[0].base == "stack" and places[0].offset is not None
        return f"{key}{places[0].offset}" if known else f"{key}?"

    def _branch(self) -> Iterator[Event]:
        item, state = self._item, self._state
        stack = state.get("sp")
        if _RETURN.fullmatch(item.mnemonic):
            register = item.arguments[0].register if item.arguments else "x30"
            yield Event(kind="return", instruction=item, value=state.get(register), stack=stack)
            return
        if _INDIRECT.fullmatch(item.mnemonic):
            value = state.get(item.arguments[0].register)
        elif self._patch is not None:
            value = self._pointee()
        else:
            value = frozenset({Atom("code", "", item.goes)})
        kind: EventKind = "call" if is_call(item) else "jump"
        yield Event(kind=kind, instruction=item, value=value, stack=stack)
        if kind == "call":
            state.set("x30", frozenset({Atom("code", "", item.end)}))
            for register in ("x0", "x1", "v0"):
                state.set(register, FOUND)

    def _pointee(self) -> Value:
        return values.NUMBER if self._patch is None else self._state.unit.pointee(self._patch)

    def _paged(self) -> Value:
        return frozenset(Atom("page", atom.base, None) for atom in self._pointee())

    def _exact(self) -> bool:  # one answer per instruction
        item, state = self._item, self._state
        if not item.arguments or item.arguments[0].kind != "register" or item.arguments[0].size != 8:
            return False
        first, *rest = item.arguments
        register = first.register
        if self._patch is not None and item.mnemonic in ("mov", "movz", "movk", "movn"):
            state.set(register, self._pointee())
        elif self._patch is not None and item.mnemonic == "adrp":
            state.set(register, self._paged())
        elif self._patch is not None and item.mnemonic == "add":
            # The page of the same base, and its low bits: the address.
            same = state.get(rest[0].register) == self._paged()
            state.set(
                register, self._pointee() if same else values.mixed([state.get(rest[0].register), self._pointee()])
            )
        elif item.mnemonic == "adr":
            state.set(register, frozenset({Atom("code", "", rest[0].number)}))
        elif item.mnemonic == "mov" and not register.startswith("v"):
            state.set(register, self._value(rest[0]))
        elif item.mnemonic in ("add", "sub") and len(rest) == 2 and "#12" not in item.operands:
            right = self._shifted(rest[1])
            state.set(register, values.added(self._value(rest[0]), negated(right) if item.mnemonic == "sub" else right))
        elif item.mnemonic == "ldr" and rest[0].kind == "number":
            state.set(register, values.NUMBER)
        elif item.mnemonic == "csel":
            state.set(register, values.joined(*(self._value(operand) for operand in rest[:2])))
        else:
            return False
        return True

    def _shifted(self, operand: Argument) -> Value:
        found = self._value(operand)
        plain = operand.kind == "number" or not re.search(r"[us]xt|ls[lr]|asr|ror", self._item.operands)
        return found if plain else values.mixed([found])

    def _value(self, operand: Argument) -> Value:
        if operand.kind == "number":
            return values.number(operand.number % (1 << 64))
        if operand.kind == "register":
            found = self._state.get(operand.register)
            return found if operand.size == 8 else values.truncated(found, 4)
        return values.NUMBER

    def _address(self, operand: Argument) -> Value:
        base = self._state.get(operand.register)
        if self._patch is not None:
            return self._pointee() if base == self._paged() else values.mixed([base, self._pointee()])
        post = (match := _WRITEBACK.search(self._item.operands)) and match["after"]
        total = base if post else values.shifted(base, operand.number)
        return values.added(total, values.mixed([self._state.get(operand.index)])) if operand.index else total

    def _memory(self) -> Iterator[Event]:
        item, state = self._item, self._state
        operand = next(operand for operand in item.arguments if operand.kind == "memory")
        address = self._address(operand)
        registers = [operand for operand in item.arguments if operand.kind == "register"]
        if _LOAD.fullmatch(item.mnemonic):
            self._load(address, registers)
        else:
            stored = values.joined(*(state.get(register.register) for register in registers)) or values.NUMBER
            yield Event(kind="store", instruction=item, value=address, stored=stored)
            for index, register in enumerate(registers):
                state.store(values.shifted(address, index * register.size), state.get(register.register), register.size)
            # Exclusive stores and atomics answer in a register.
            answer = values.mixed([FOUND, stored])
            for name in item.writes - _FLAGS - {operand.register}:
                state.set(name, answer)
        if match := _WRITEBACK.search(item.operands):
            by = int(match["before"] or match["after"], 0)
            moved = values.shifted(state.get(operand.register), by)
            state.set(operand.register, moved)

    def _load(self, address: Value, registers: list[Argument]) -> None:
        narrow = re.search(r"[bhw]$", self._item.mnemonic) is not None
        for index, register in enumerate(registers):
            size = 4 if narrow else register.size
            found = self._state.load(values.shifted(address, index * size), size)
            self._state.set(register.register, found)

    def _generic(self) -> None:
        item, state = self._item, self._state
        named = {operand.register for operand in item.arguments}
        sources = [state.get(register) for register in sorted(item.reads - named - _FLAGS)]
        sources += [self._value(operand) for operand in item.arguments if operand.kind == "number" or operand.read]
        result = values.mixed(sources)
        written = set(item.writes) | {operand.register for operand in item.arguments if operand.written}
        for register in sorted(written - _FLAGS - {""}):
            state.set(register, result)
