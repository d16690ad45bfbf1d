"""Follow the code of one stencil: what can run, and what registers may hold when it does.

A small abstract interpretation over the control flow. Jumps through tables in the data are followed; jumps into
other code end a path. Where it gives up, it says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit.audit import arm, x86
from stencilkit.audit.machine import Event, State, Stretch
from stencilkit.audit.values import Atom, Value
from stencilkit.model.audit import Decoded

# What instructions do, by architecture.
_SEMANTICS: Final = {"x86_64": x86, "i686": x86, "aarch64": arm}
# The calls of CPython's stencils that do not return: nothing runs behind them.
NO_RETURN: Final = re.compile(
    r"_*(?:Py_Fatal(?:Refcount)?Error\w*|PyObject_AssertFailed|assert_(?:fail|rtn)|assert|wassert|abort)"
)
# Of these, Windows' may all the same: its dialog has a button "Ignore", so its headers do not say that it never does.
# Code may lie behind a call, unless the compiler has proven that what follows is undefined where the assertion fails.
_MAY_RETURN: Final = re.compile(r"_*wassert")
# Of instructions run, in all: 100 times what the most intricate stencil of CPython's takes per instruction.
_PATIENCE: Final = 64
_LEAST: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What following a stencil found.

    `reached` are the offsets of the instructions that can run; `events` what they do, in order; `astray` the
    instructions from which code is reached that no instruction begins at, and where. `given_up` says that there was
    more than could be followed. `table` is where the code ends, and jump tables behind it begin.
    """

    reached: frozenset[int]
    events: tuple[Event, ...]
    astray: tuple[tuple[Decoded, int], ...]
    given_up: bool
    table: int


def follow(unit: Stretch, code: Sequence[Decoded], arch: str) -> Followed:
    """Follow a stencil from its start."""
    return _Follower(unit, code, arch).run()


class _Follower:
    def __init__(self, unit: Stretch, code: Sequence[Decoded], arch: str) -> None:
        self._unit = unit
        self._code = code
        self._isa = _SEMANTICS[arch]
        self._index = {item.offset: index for index, item in enumerate(code)}
        self._states: dict[int, State] = {}
        self._astray: dict[tuple[int, int], Decoded] = {}
        self._reached: set[int] = set()
        # The state behind each call, and what the functions within the stencil write.
        self._calls: dict[int, State] = {}
        self._called = False
        self._returning: set[int] = set()
        # The state behind each call that may return.
        self._perhaps: dict[int, State] = {}
        self._events: dict[int, list[Event]] = {}
        self._written: dict[int, frozenset[str]] = {}
        self._edges: dict[int, set[int]] = {}
        self._table = unit.end
        # Where ways may meet: everything that a direct jump or a table names.
        self._leaders = self._places()

    def _places(self) -> set[int]:
        found = {0} | {item.goes for item in self._code if item.goes is not None}
        found |= {item.end for item in self._code if self._isa.is_call(item) and item.goes is not None}
        for place in self._unit.data:
            found.update(self._unit.data_rows(place))
        for item in self._code:
            if patches := [p for p in range(item.offset, item.end) if p in self._unit.code]:
                for place in patches:
                    found.update(_code_offsets(self._unit.pointee(self._unit.code[place], item.end - place)))
                    found.update(_code_offsets(self._unit.pointee(self._unit.code[place])))
        return found

    def run(self) -> Followed:
        waiting = {0} if self._code else set()
        self._states = {0: State(unit=self._unit)} if self._code else {}
        left = max(_LEAST, _PATIENCE * len(self._code))
        while waiting and left > 0:
            start = min(waiting)
            waiting.remove(start)
            # Of the last time that a block is run, which is with everything that may come in.
            self._events[start] = []
            for place, state in self._block(start, self._events[start]):
                left -= 1
                if self._arrive(place, state):
                    waiting.add(place)
            left -= self._ran
            if self._called:
                # Functions within the stencil return to what a caller had, which is something else now.
                waiting |= self._returning
                self._called = False
            if not waiting:
                waiting = self._otherwise_unreached()
        return Followed(
            reached=frozenset(self._reached),
            events=tuple(event for start in sorted(self._events) for event in self._events[start]),
            astray=tuple(
                (item, place) for (_, place), item in sorted(self._astray.items(), key=lambda entry: entry[0])
            ),
            given_up=bool(waiting),
            table=self._table,
        )

    def _otherwise_unreached(self) -> set[int]:
        """Go on behind the first call that may return, where nothing else leads there."""
        for place in sorted(self._perhaps.keys() & self._index.keys() - self._reached):
            self._arrive(place, self._perhaps[place])
            return {place}
        return set()

    def _arrive(self, place: int, state: State) -> bool:
        known = self._states.get(place)
        if known is None:
            self._states[place] = state.copy()
            return True
        return known.join(state)

    def _block(self, start: int, events: list[Event]) -> Iterator[tuple[int, State]]:
        """Run from a place to where ways part or meet; yield where it goes on, with the state there."""
        state = self._states[start].copy()
        index = self._index[start]
        self._ran = 0
        while True:
            item = self._code[index]
            self._ran += 1
            self._reached.add(item.offset)
            if not item.known:
                return
            found = list(self._isa.step(item, state))
            events.extend(found)
            for event in found:
                if event.kind in ("jump", "call"):
                    entered = self._isa.entered(item, state) if event.kind == "call" else state
                    yield from self._inside(item, event.value, entered)
                elif event.kind == "return" and _code_offsets(event.value):
                    self._returning.add(start)
                    yield from self._back(event, state)
            if self._isa.is_call(item):
                self._remember(item, state)
            if not self._isa.goes_on(item) or self._does_not_return(item, found, state):
                return
            if item.end >= self._unit.end:
                events.append(_fallen(item, state, self._unit))
                return
            index += 1
            if item.end in self._leaders or self._isa.is_jump(item):
                yield item.end, state
                return

    def _does_not_return(self, item: Decoded, events: Sequence[Event], state: State) -> bool:
        if any(_calls_only(_MAY_RETURN, event) for event in events):
            self._perhaps[item.end] = state
        return any(_calls_only(NO_RETURN, event) for event in events)

    def _inside(self, item: Decoded, value: Value, state: State) -> Iterator[tuple[int, State]]:
        """Yield the places of this stencil that a jump may lead to."""
        for place in sorted(self._targets(value)):
            if place in self._index:
                self._edges.setdefault(item.offset, set()).add(place)
                yield place, state
            elif 0 <= place < self._unit.end:
                self._astray[item.offset, place] = item

    def _remember(self, item: Decoded, state: State) -> None:
        """Keep the state behind a call of a function within the stencil."""
        if item.goes in self._index:
            before = self._calls.get(item.end)
            self._called |= before is None or (before.registers, before.slots) != (state.registers, state.slots)
            self._calls[item.end] = state.copy()

    def _back(self, event: Event, state: State) -> Iterator[tuple[int, State]]:
        """Yield where a function within the stencil returns to, with what it wrote; the rest is its caller's."""
        for place in sorted(_code_offsets(event.value)):
            caller = self._calls.get(place)
            if caller is not None and place in self._index:
                back = caller.copy()
                back.slots = dict(state.slots)
                for register in self._written_inside() - {self._unit.stack}:
                    back.set(register, state.get(register))
                yield place, back

    def _written_inside(self) -> frozenset[str]:
        """Name the registers that the functions within the stencil write, as far as it is known where they lead."""
        known = sum(map(len, self._edges.values()))
        if known not in self._written:
            entries = {item.goes for item in self._code if self._isa.is_call(item) and item.goes is not None}
            self._written = {known: frozenset().union(*(self._writes_of(entry) for entry in entries))}
        return self._written[known]

    def _writes_of(self, entry: int) -> set[str]:
        found: set[str] = set()
        seen: set[int] = set()
        waiting = [entry]
        while waiting:
            place = waiting.pop()
            if place in seen or place not in self._index:
                continue
            seen.add(place)
            item = self._code[self._index[place]]
            found |= item.writes
            found.update(operand.register for operand in item.arguments if operand.written and operand.register)
            waiting.extend(self._edges.get(place, ()))
            if self._isa.goes_on(item):
                waiting.append(item.end)
        return found

    def _targets(self, value: Value) -> set[int]:
        found = _code_offsets(value)
        for atom in value:
            if atom.base in ("entry", "table") and atom.offset == 0:
                rows = self._unit.rows(atom.name)
                found.update(rows)
                base, _, start = atom.name.partition(" ")
                if base == "code" and rows:
                    self._table = min(self._table, int(start))
        return found


def _calls_only(names: re.Pattern[str], event: Event) -> bool:
    return event.kind == "call" and all(
        atom.base == "symbol" and names.fullmatch(atom.name) is not None for atom in event.value
    )


def _code_offsets(value: Value) -> set[int]:
    return {atom.offset for atom in value if atom.base == "code" and atom.offset is not None}


def _fallen(item: Decoded, state: State, unit: Stretch) -> Event:
    target = frozenset({Atom("code", "", unit.end)})
    return Event(kind="leave", instruction=item, value=target, stack=state.get(unit.stack))
