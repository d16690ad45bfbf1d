"""The search for a proof: both stencils are run side by side, from one call, loop or exit to the next.

Every path of the left is paired with every path of the right that its conditions allow. Where both come to a call or an
exit, what can be seen there must be equal. What cannot be decided is never taken for proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from stencilkit.model.machine import Operation
from stencilkit.model.proof import Difference
from stencilkit.model.stencil import HoleValue
from stencilkit.prove import apart, asking, heads, joining, loops, meeting, objects, tables, terms
from stencilkit.prove.code import Code
from stencilkit.prove.facts import Facts
from stencilkit.prove.longer import DIFFER
from stencilkit.prove.loops import Head
from stencilkit.prove.machine import EXIT_NAME, Branch, Call, Control, Jump, Return, State, UnsupportedError
from stencilkit.prove.memory import Memory
from stencilkit.prove.objects import Region
from stencilkit.prove.solver import Answer, LimitError, Solver
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Obligation, Pair, Side, StuckError, World

_LONGEST_PATH: Final = 4000
_MOST_PAIRS: Final = 12_000
_DEEPEST: Final = 150
_EXITS_ASKED: Final = 4
_ONWARD: Final = 1
"""How many rounds one side may do alone where the other is at no loop."""

Step = Callable[[State, Code, Operation], Control]


@dataclass(frozen=True, slots=True)
class Event:
    """Where a path stops: at a call, an exit, or the head of a loop; `target` is where to, or the exit's name."""

    kind: Literal["call", "exit", "return", "jump", "loop"]
    state: State
    facts: Facts
    place: int
    target: Term


@dataclass(slots=True)
class Search:
    """One attempt at a proof; `steps` and `registers` are the tables of the architecture.

    `given` are the optional facts that it may use, `regions` where the objects are that one of them is about, `made`
    those that callees have made. `longer` says that rounds of loops of several lengths are tried, `retries` counts
    these; `cases` counts pairs of loops that were split. `undecided` are conditions once found open both ways.
    """

    left: Code
    right: Code
    world: World
    steps: Mapping[str, Step]
    registers: Mapping[str, int]
    solver: Solver
    given: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    made: tuple[Region, ...] = ()
    pairs: int = 0
    serial: int = 0
    exits: list[Facts] = field(default_factory=list)
    heads: dict[str, frozenset[int]] = field(default_factory=dict)
    kinds: dict[tuple[Region, ...], Callable[[Term], str]] = field(default_factory=dict)
    undecided: set[Term] = field(default_factory=set)
    cases: int = 0
    joins: joining.Joins = field(default_factory=joining.Joins)
    longer: bool = False
    retries: int = 0

    def prove(self) -> None:
        """Prove that both do the same.

        Raises: StuckError, UnsupportedError, LimitError.
        """
        for code in (self.left, self.right):
            self.heads[code.side] = heads.heads(code)
        self.explore((self._start(self.left), self._start(self.right)), Facts(), {}, 0)
        # The shortest way out is the one to ask for first: a proof of paths that nothing takes proves nothing.
        for facts in sorted(self.exits, key=_size)[:_EXITS_ASKED]:
            if asking.reached(self, facts):
                return
        raise LimitError

    @property
    def has_loops(self) -> bool:
        """Whether both sides have loops."""
        return all(self.heads.get(code.side) for code in (self.left, self.right))

    def _start(self, code: Code) -> Side:
        registers = {name: terms.sym(name, width) for name, width in self.registers.items()}
        registers[self.world.convention.stack] = self.world.frame
        return Side(code, State(0, registers, Memory(objects.ENTRY), Memory("frame")))

    def there(self, facts: Facts) -> tuple[Region, ...]:
        """Return where the objects are of which facts say that they are there."""
        return tuple(objects.sure((*self.regions, *self.made), facts))

    def _knowing(self, state: State, facts: Facts) -> State:
        """Let memory know which objects its words are in, if that may be assumed, and the frame what was written."""
        if objects.FACT in self.given:
            known = self.there(facts)
            if known not in self.kinds:
                self.kinds[known] = objects.kinds(known)
            state.heap = replace(state.heap, kind=self.kinds[known])
        if any(value.op == "ite" for _, value in state.frame.writes):
            writes = tuple((address, facts.chosen(value)) for address, value in state.frame.writes)
            state.frame = replace(state.frame, writes=writes)
        return state

    def _ask(self, facts: Facts, *more: Term) -> Answer:
        """Ask whether facts and more conditions can be true together."""
        return asking.ask(self, facts, *more)

    def fresh(self) -> int:
        """Return a number that no event of this search has."""
        self.serial += 1
        return self.serial

    def explore(self, pair: Pair, facts: Facts, assumed: dict[Head, loops.Invariant], depth: int) -> None:
        """Run both sides to their next events, and go on from there."""
        if depth > _DEEPEST:
            raise LimitError
        for one in self.paths(pair[0], facts, decide=False):
            for other in self.paths(pair[1], one.facts, decide=True):
                self.pairs += 1
                if self.pairs > _MOST_PAIRS:
                    raise LimitError
                self._meet((one, other), assumed, depth)

    def paths(self, side: Side, facts: Facts, *, decide: bool) -> Iterator[Event]:
        """Run one side on every path to its next event; `decide` asks the solver which ways are open."""
        todo = [(self._knowing(side.state.copy(), facts), facts, True)]
        while todo:
            state, known, start = todo.pop()
            while (control := self.straight(side.code, state, start=start)) is None:
                start = False
            target = tables.target(control, side.code)
            if target is not None:
                ways = tables.ways(self, side.code, target, (state, known), decide=decide)
                todo += [(*way, False) for way in ways]
                continue
            if not isinstance(control, Branch):
                yield self._event(control, state, known, side.code)
                continue
            truth = known.value(control.condition)
            if truth is None and decide:
                truth = apart.value(known, control.condition)
            if truth is None and decide:
                truth = asking.decided(self, known, control.condition)
            elif truth is None and state.passing:
                truth = asking.near(self, known, control.condition)
            for way in (True, False) if truth is None else (truth,):
                then = state.copy()
                fact = control.condition if way else terms.invert(control.condition)
                more = known if truth is not None else known.plus(fact)
                if way:
                    self.go(then, control)
                todo.append((self._knowing(then, more), more, False))

    def go(self, state: State, branch: Branch) -> None:
        """Take a branch: to an offset, or beyond the stencil, which `straight` sees next."""
        if branch.value is not None:
            state.registers[branch.register] = branch.value
        if isinstance(branch.target, int):
            state.pc = branch.target
        else:
            state.leaving = branch.target

    def straight(self, code: Code, state: State, *, start: bool) -> Control | Literal["loop"]:
        """Run one instruction; return what ends a straight piece of code."""
        if state.leaving is not None:
            return Jump(state.leaving)
        if state.pc == code.end:
            return Jump(terms.sym(f"{EXIT_NAME}{HoleValue.CONTINUE.value}", code.word))
        if state.pc in self.heads[code.side] and not start and not state.counted:
            if not state.passing:
                return "loop"
            state.passing -= 1
        op = code.operations.get(state.pc)
        if op is None:
            raise UnsupportedError("a jump that is not to an instruction")
        state.steps += 1
        if state.steps > _LONGEST_PATH:
            raise LimitError
        control = run(self.steps, state, code, op)
        if isinstance(control, Jump) and isinstance(control.target, int):
            state.pc = control.target
            return None
        return control

    def _event(self, control: Control | Literal["loop"], state: State, facts: Facts, code: Code) -> Event:
        state.passing = 0
        if control == "loop":
            return Event("loop", state, facts, state.pc, terms.const(state.pc))
        if isinstance(control, Call):
            if not self.world.entry and any(name.startswith(EXIT_NAME) for name in terms.symbols(control.target)):
                # A callee sees its arguments, which is less than the next stencil does. Only the shim calls stencils.
                raise UnsupportedError("a call of an exit")
            return Event("call", state, facts, state.pc, control.target)
        if isinstance(control, Return):
            return Event("return", state, facts, state.pc, control.address)
        if not isinstance(control, Jump) or isinstance(control.target, int):
            raise UnsupportedError("a way on that is not known")
        target = control.target
        if target.op == "sym" and str(target.extra[0]).startswith(EXIT_NAME):
            return Event("exit", state, facts, state.pc, target)
        if target in code.used:
            raise UnsupportedError("a tail call of a C function")
        return Event("jump", state, facts, state.pc, target)

    def _meet(
        self, events: tuple[Event, Event], assumed: dict[Head, loops.Invariant], depth: int, onward: int = _ONWARD
    ) -> None:
        one, other = events
        facts = other.facts
        if one.kind != other.kind or (one.kind == "exit" and one.target is not other.target):
            if self._impossible(events, raising=not (onward and self.longer) or "loop" not in (one.kind, other.kind)):
                return
            # One side has a round left where the other has done its last one in front of its loop, or behind it.
            for then in self._onward(events):
                self._meet(then, assumed, depth, onward - 1)
            return
        pair = Side(self.left, one.state), Side(self.right, other.state)
        if one.kind == "loop":
            loops.enter(self, pair, facts, assumed, depth)
            return
        if one.kind == "call":
            if one.target is not other.target and self._ask(facts) == "no":
                return  # no values lead to both
            world = self.world.calling(self.left.used.get(one.target, ""))
            found, callee = meeting.at_call(pair, (one.target, other.target), world)
            self.require(found, facts, events)
            if callee.prototype is None or callee.prototype.returns:
                joining.behind(self, (pair, callee), world, facts, assumed, depth)
                return
        else:
            targets = [Obligation("the address that it goes to", one.target, other.target)]
            if one.kind == "return":
                link = self.world.convention.link
                back = terms.sym(link) if link else terms.word("frame", self.world.frame)
                targets.append(Obligation("the address that it returns to", one.target, back))
            self.require([*targets, *meeting.at_exit(pair, self.world, returns=one.kind == "return")], facts, events)
        self.exits.append(facts.plus(*self.joins.forgotten))

    def _onward(self, events: tuple[Event, Event]) -> Iterator[tuple[Event, Event]]:
        """Run the side that is at a loop's head to its next event."""
        number = 0 if events[0].kind == "loop" else 1
        code = (self.left, self.right)[number]
        for event in self.paths(Side(code, events[number].state), events[1].facts, decide=True):
            yield (event, replace(events[1], facts=event.facts)) if number == 0 else (events[0], event)

    def _impossible(self, events: tuple[Event, Event], *, raising: bool) -> bool:
        """Two events that do not fit are no difference if no values lead to both."""
        found = self._ask(events[1].facts)
        if found == "no":
            return True
        if not raising:
            return False
        if "loop" in (events[0].kind, events[1].kind):
            raise UnsupportedError(DIFFER)
        what = [_named(event) for event in events]
        places = events[0].place, events[1].place
        difference = Difference(what="what comes next", left=what[0], right=what[1], places=places)
        raise StuckError(difference, events[1].facts)

    def witness(
        self, facts: Facts, addresses: Mapping[str, int], reach: tuple[int, int], stack: int
    ) -> tuple[dict[str, int], dict[int, int]]:
        """Find values of symbols, and of words of memory by address, for which facts hold; none if there are none.

        They are of a state in which objects are at words, and do not overlap. `addresses` are those of symbols where
        they will be run, `reach` is where words may lie, `stack` where the frame begins.
        """
        there = self.there(facts)
        rows = [*facts.rows, *objects.apart(there, facts.rows), *objects.aligned(there, facts.rows)]
        rows.append(terms.eq(self.world.frame, terms.const(stack, self.world.frame.width)))
        for term, name in {**self.left.used, **self.right.used}.items():
            if name in addresses:
                rows.append(terms.eq(term, terms.const(addresses[name], term.width)))
        found = sorted(terms.below(facts.rows), key=lambda one: one.order)
        words = [one for one in found if one.op == "word" and one.extra[0] == "memory"]
        framed = [one for one in found if one.op == "word" and one.extra[0] == "frame"]
        places = [one.args[0] for one in words]
        places += [one for one in found if one.op == "sym" and one.extra[0] == meeting.ANYWHERE]
        for place in places:
            gap = terms.sub(place, terms.const(reach[0], place.width))
            rows.append(terms.less(gap, terms.const(reach[1] - reach[0], place.width), is_signed=False))
        if self.solver.satisfiable(rows) != "yes":
            return {}, {}
        value = self.solver.value
        return (
            {str(one.extra[0]): value(one) for one in found if one.op == "sym"},
            {value(one.args[0]): value(one) for one in (*words, *framed)},
        )

    def require(self, obligations: list[Obligation], facts: Facts, events: tuple[Event, Event] | None = None) -> None:
        """Prove that pairs of terms are equal on this path.

        Raises: StuckError.
        """
        open_rows = [row for row in obligations if row.left is not row.right]
        for row in open_rows:
            counted = events is not None and events[0].state.counted
            pairs = apart.tidied(facts, row.enough or ((row.left, row.right),), whole=counted)
            if not pairs or (row.enough and all(self._equal(facts, *pair) for pair in pairs)):
                continue
            unequal = terms.invert(terms.eq(row.left, row.right))
            found = self._ask(facts, unequal)
            if found != "no":
                places = (events[0].place, events[1].place) if events else (0, 0)
                difference = Difference(
                    what=row.what, left=terms.show(row.left), right=terms.show(row.right), places=places
                )
                raise StuckError(difference, facts.plus(unequal))

    def _equal(self, facts: Facts, one: Term, other: Term) -> bool:
        return self._ask(facts, terms.invert(terms.eq(one, other))) == "no"


def _named(event: Event) -> str:
    return str(event.target) if event.kind == "exit" else f"{event.kind} {event.target}"


def _size(facts: Facts) -> int:
    return len(terms.below(facts.rows))


def run(steps: Mapping[str, Step], state: State, code: Code, op: Operation) -> Control:
    """Run one instruction by its row in the table; every hole that is in it must have been read.

    Raises: UnsupportedError.
    """
    # An atomic operation is like another one: the assumption "alone".
    step = steps.get(op.name.removeprefix("lock "))
    if step is None or op.odd:
        raise UnsupportedError(f"the instruction {op.text}")
    code.taken.clear()
    state.pc = op.end
    control = step(state, code, op)
    if len(code.taken) != len(op.patches):
        raise UnsupportedError(f"a hole in {op.text}")
    return control
