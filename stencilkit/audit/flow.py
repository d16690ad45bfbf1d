"""Follow the code of one stencil: what can run, and what registers may hold when it does.

A small abstract interpretation over the control flow. Jumps through tables in the data are followed; jumps into
other code end a path. A function within the stencil is followed once for each of its calls, so that what one caller
has in its registers does not come back to another. Where it gives up, it says so.
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

# A place in the code, and the end of the call on whose behalf it runs: 0 outside of the stencil's own functions.
Point = tuple[int, int]
# What instructions do, by architecture.
_SEMANTICS: Final = {"x86_64": x86, "i686": x86, "aarch64": arm}
# The calls of CPython's stencils that do not return: nothing runs behind them.
NO_RETURN: Final = re.compile(
    r"_*(?:Py_Fatal(?:Refcount)?Error\w*|PyObject_AssertFailed|assert_(?:fail|rtn)|assert|wassert|abort)"
)
# Of these, Windows' may all the same: its dialog has a button "Ignore", so its headers do not say that it never does.
# Code may be behind a call, unless the compiler has proven that what follows is undefined where the assertion fails.
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
        self._states: dict[Point, State] = {}
        self._astray: dict[tuple[int, int], Decoded] = {}
        self._reached: set[int] = set()
        # The states behind each call of a function within the stencil, and what such functions write.
        self._calls: dict[int, dict[Point, State]] = {}
        self._called = False
        self._returning: set[Point] = set()
        # The state behind each call that may return.
        self._perhaps: dict[Point, State] = {}
        self._events: dict[Point, list[Event]] = {}
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
        waiting = {(0, 0)} if self._code else set()
        self._states = {(0, 0): State(unit=self._unit)} if self._code else {}
        left = max(_LEAST, _PATIENCE * len(self._code))
        while waiting and left > 0:
            start = min(waiting)
            waiting.remove(start)
            # Of the last time that a block is run, which is with everything that may come in.
            self._events[start] = []
            for point, state in self._block(start, self._events[start]):
                left -= 1
                if self._arrive(point, state):
                    waiting.add(point)
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

    def _otherwise_unreached(self) -> set[Point]:
        """Go on behind the first call that may return, where nothing else leads there."""
        for point in sorted(self._perhaps):
            if point[0] in self._index and point[0] not in self._reached:
                self._arrive(point, self._perhaps[point])
                return {point}
        return set()

    def _arrive(self, point: Point, state: State) -> bool:
        known = self._states.get(point)
        if known is None:
            self._states[point] = state.copy()
            return True
        return known.join(state)

    def _block(self, start: Point, events: list[Event]) -> Iterator[tuple[Point, State]]:
        """Run from a place to where ways part or meet; yield where it goes on, with the state there."""
        state = self._states[start].copy()
        place, behalf = start
        index = self._index[place]
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
                yield from self._led_to(event, state, start)
            if self._isa.is_call(item):
                self._remember(item, state, behalf)
            if not self._isa.goes_on(item) or self._does_not_return((item.end, behalf), found, state):
                return
            if item.end >= self._unit.end:
                events.append(_fallen(item, state, self._unit))
                return
            index += 1
            if item.end in self._leaders or self._isa.is_jump(item):
                yield (item.end, behalf), state
                return

    def _led_to(self, event: Event, state: State, start: Point) -> Iterator[tuple[Point, State]]:
        """Yield where an event of the block that began at `start` leads to within the stencil."""
        item = event.instruction
        if event.kind == "jump":
            yield from self._inside(item, event.value, state, start[1])
        elif event.kind == "call":
            yield from self._inside(item, event.value, self._isa.entered(item, state), item.end)
        elif event.kind == "return" and _code_offsets(event.value):
            self._returning.add(start)
            yield from self._back(event, state)

    def _does_not_return(self, behind: Point, events: Sequence[Event], state: State) -> bool:
        if any(_calls_only(_MAY_RETURN, event) for event in events):
            self._perhaps[behind] = state
        return any(_calls_only(NO_RETURN, event) for event in events)

    def _inside(self, item: Decoded, value: Value, state: State, behalf: int) -> Iterator[tuple[Point, State]]:
        """Yield the places of this stencil that a jump may lead to."""
        for place in sorted(self._targets(value)):
            if place in self._index:
                self._edges.setdefault(item.offset, set()).add(place)
                yield (place, behalf), state
            elif 0 <= place < self._unit.end:
                self._astray[item.offset, place] = item

    def _remember(self, item: Decoded, state: State, behalf: int) -> None:
        """Keep the state behind a call of a function within the stencil."""
        if item.goes in self._index:
            known = self._calls.setdefault(item.end, {})
            before = known.get((item.end, behalf))
            self._called |= before is None or (before.registers, before.slots) != (state.registers, state.slots)
            known[item.end, behalf] = state.copy()

    def _back(self, event: Event, state: State) -> Iterator[tuple[Point, State]]:
        """Yield where a function within the stencil returns to, with what it wrote; the rest is its caller's."""
        for place in sorted(_code_offsets(event.value) & self._index.keys()):
            for point, caller in self._calls.get(place, {}).items():
                back = caller.copy()
                back.slots = dict(state.slots)
                for register in self._written_inside() - {self._unit.stack}:
                    back.set(register, state.get(register))
                yield point, back

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
