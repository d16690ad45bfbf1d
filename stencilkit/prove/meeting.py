"""What must be equal where both sides come to a call or an exit.

An obligation is a pair of terms with a name. What is not equal by form is left to the solver (`search`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stencilkit.model.proof import Prototype
from stencilkit.prove import arguments, memory, terms
from stencilkit.prove.assumptions import CALLEES, STACKED_CALLEES, SUFFIX, TABLES, UOP_CALLEES
from stencilkit.prove.machine import UnsupportedError, load
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Callee, Obligation, Pair, Side, World

ANYWHERE: Final = "any address"
"""The symbol of an address that can be anything."""


def memories(left: Memory, right: Memory, what: str) -> Iterator[Obligation]:
    """Demand that two memories are equal at every byte."""
    if left == right:
        return
    shared = memory.common((left, right)) if left.base == right.base else 0
    if left.base != right.base:
        yield Obligation(f"{what} since the last call", terms.sym(left.base), terms.sym(right.base))
        return
    # Bytes under the common writes are equal on both sides, so they stand for the base.
    left, right = (Memory(f"{left.base}+{shared}", one.writes[shared:]) for one in (left, right))
    (width,) = {address.width for one in (left, right) for address, _ in one.writes}
    anywhere = terms.sym(ANYWHERE, width)
    yield Obligation(what, memory.byte_at(left, anywhere), memory.byte_at(right, anywhere), _words(left, right))


def _words(left: Memory, right: Memory) -> tuple[tuple[Term, Term], ...]:
    """Pair what is written to the same places in the same order; nothing where they are others."""
    rows = [*zip(left.writes, right.writes, strict=False)]
    if len(left.writes) != len(right.writes) or any(one[0] is not other[0] for one, other in rows):
        return ()
    return tuple((one[1], other[1]) for one, other in rows if one[1] is not other[1])


def at_exit(pair: Pair, world: World, *, returns: bool) -> Iterator[Obligation]:
    """List what the next stencil, or the caller, can see."""
    left, right = (side.state for side in pair)
    for place in world.convention.results[:1] if returns else world.passing.live:
        if isinstance(place, str):
            yield Obligation(place, left.registers[place], right.registers[place])
        else:
            address = terms.offset(world.frame, world.convention.popped + place)
            one, other = (load(state, address, world.convention.word // 8) for state in (left, right))
            yield Obligation(f"the argument at {place} on the stack", one, other)
    yield from memories(left.heap, right.heap, "memory")
    for side in pair:
        yield from _restored(side, world, terms.offset(world.frame, world.convention.popped if returns else 0))
        yield from _level(side, world)


def _restored(side: Side, world: World, stack: Term) -> Iterator[Obligation]:
    """Demand that stack pointer, kept registers and the caller's frame are as they were."""
    registers, widths = side.state.registers, {name: term.width for name, term in side.state.registers.items()}
    for name in world.passing.restored:
        expected = stack if name == world.convention.stack else terms.sym(name, widths[name])
        yield Obligation(f"{name}, which is kept", registers[name], expected)
    for name in world.passing.halves:
        low, expected = (terms.extract(term, 0, 64) for term in (registers[name], terms.sym(name, widths[name])))
        yield Obligation(f"the low half of {name}, which is kept", low, expected)
    yield from _callers_frame(side, world, known=True)


def _level(side: Side, world: World) -> Iterator[Obligation]:
    """Demand that as much is on the stack of floating point registers as was there at entry."""
    name = world.convention.level
    if name:
        now = side.state.registers[name]
        yield Obligation("what is on the stack of floating point registers", now, terms.sym(name, now.width))


def _callers_frame(side: Side, world: World, *, known: bool) -> Iterator[Obligation]:
    """Demand that what is above the frame, and no argument of this stencil, is as it was.

    Raises: UnsupportedError, where `known`, for writes to variable places in the frame.
    """
    word = world.convention.word
    own = [world.convention.popped + place for place in world.passing.live if isinstance(place, int)]
    for address, value in side.state.frame.writes:
        gap = terms.sub(address, world.frame).value
        if gap is None:
            if known:
                raise UnsupportedError("a write to a variable place in the frame")
        elif terms.signed(gap, word) > -word // 8 and gap not in own:
            yield Obligation("the caller's frame", value, terms.word("frame", address))


def at_call(pair: Pair, targets: tuple[Term, Term], world: World) -> tuple[list[Obligation], Callee]:
    """List what a callee can see; return what is called too."""
    left, right = pair
    found = [Obligation("the function that is called", *targets)]
    name = left.code.used.get(targets[0], "")
    prototype = world.prototypes.get(name) or (None if name else _of_pointer(left.code.name, targets[0], world))
    if name and prototype is None:
        raise UnsupportedError(f"a call of {name}, whose prototype is not known")
    found += memories(left.state.heap, right.state.heap, "memory")
    found += _aligned(pair, world)
    for side in pair:
        found += _callers_frame(side, world, known=False)
        found += _level(side, world)
    if prototype is None:
        room = world.convention.unknown_room
        return [*found, *arguments.of_unknown(pair, world)], Callee(name=name, prototype=None, room=room)
    varying = arguments.of_format(pair, world, prototype)
    if varying is None:
        varying = [*arguments.UNREAD] if world.convention.spilled else []
    kinds = [*prototype.arguments, *varying]
    room = world.convention.room(kinds, len(prototype.arguments))
    return [*found, *arguments.of_known(pair, world, name, prototype)], Callee(
        name=name, prototype=prototype, room=room
    )


def _of_pointer(uop: str, target: Term, world: World) -> Prototype | None:
    """Look up the type of a function that is called through a pointer: by the place of that, or by the uop."""
    name, word = SUFFIX.sub("", uop), world.convention.word
    # Where arguments are in registers, and nothing is known, all of them are compared.
    stacked = not world.convention.unknown
    found = (STACKED_CALLEES if stacked else UOP_CALLEES).get(name)
    while target.op == "over":
        # It may have been written since; the word's type stays what it is.
        target = target.args[-1]
    if target.op == "word":
        number, factors = terms.parts(target.args[0])
        if factors == {terms.extract(terms.sym("operand0"), 0, word): 1} and number % (word // 8) == 0:
            found = CALLEES.get((name, number // (word // 8)), found)
        bases = [terms.symbols(one) for one in factors if one.op in ("sym", "concat")]
        found = next((TABLES[of] for of in TABLES if frozenset((f"&{of}",)) in bases), found)
    return found


def _aligned(pair: Pair, world: World) -> Iterator[Obligation]:
    """Demand that the stack pointer is below the frame, and aligned in the same way on both sides."""
    stack = world.convention.stack
    depths = [terms.sub(side.state.registers[stack], world.frame).value for side in pair]
    if None in depths or any(terms.signed(depth or 0, world.convention.word) > 0 for depth in depths):
        raise UnsupportedError("a stack pointer that is not below the frame")
    one, other = (terms.const((depth or 0) % world.convention.alignment) for depth in depths)
    yield Obligation("the alignment of the stack", one, other)
