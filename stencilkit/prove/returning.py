"""What is known behind a call: results and memory are unknown and the same to both sides, the rest is undefined."""

from __future__ import annotations

from stencilkit.model.proof import Prototype
from stencilkit.prove import terms
from stencilkit.prove.assumptions import FRAME_POINTERS, READING, Extent
from stencilkit.prove.machine import State, UnsupportedError, in_frame
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Callee, Pair, Side, World, argument, width_of


def after_call(pair: Pair, world: World, callee: Callee, serial: int) -> Pair:
    """Go on behind a call: results and memory are shared unknowns, what a callee may change is undefined."""
    name, prototype = callee.name, callee.prototype
    sides = []
    # Where something was written, both sides may have written it in another way: what is there gets one name.
    kept = name in READING and not any(side.state.heap.writes for side in pair)
    for side in pair:
        state = side.state.copy()
        stack = state.registers[world.convention.stack]
        state.frame = _below(state.frame, terms.offset(stack, callee.room), side.code.side, serial)
        places = list(world.convention.places(prototype.arguments, len(prototype.arguments))) if prototype else []
        for number, extent in FRAME_POINTERS.get(name, {}).items():
            if number < len(places):
                pointer = argument(side, places[number], world.convention)
                _written(state, pointer, number, extent, world, serial)
                _keep(state, pointer, extent, terms.offset(stack, callee.room), world)
        if prototype is None and world.convention.indirect_results:
            _written_result(side, state, world, serial)
        for register, old in state.registers.items():
            if register not in world.convention.kept:
                state.registers[register] = _spoilt(register, old, world, f"{side.code.side} {serial}")
        state.flags = {}
        state.heap = state.heap if kept else state.heap.renamed(f"memory {serial}")
        _results(state, world, prototype, serial)
        sides.append(Side(side.code, state))
    return sides[0], sides[1]


def written(number: int, start: int, width: int, serial: int) -> Term:
    """Name what the callee of a call has written behind an argument that points into the frame."""
    return terms.sym(f"out {number}+{start} {serial}", width)


def positive(serial: int) -> Term:
    """Say that what a call has returned, an int, is positive."""
    return terms.invert(terms.less(terms.sym(f"result {serial}", 32), terms.const(1, 32), is_signed=True))


def _spoilt(register: str, old: Term, world: World, where: str) -> Term:
    """Make what a callee leaves of a register: nothing that is known, or the low half."""
    unknown = terms.sym(f"undefined {register} of {where}", old.width)
    if register not in world.convention.halves:
        return unknown
    return terms.concat(terms.extract(unknown, 64, old.width - 64), terms.extract(old, 0, 64))


def _written_result(side: Side, state: State, world: World, serial: int) -> None:
    """Write a result of 16 bytes to where the first argument points, if that is in the frame."""
    pointer = side.state.registers[world.convention.arguments[0]]
    if pointer.frame:
        in_frame(pointer)
        for start in (0, 8):
            state.frame = state.frame.write(terms.offset(pointer, start), terms.sym(f"result +{start} {serial}"))


def _written(state: State, pointer: Term, number: int, extent: Extent, world: World, serial: int) -> None:
    """Make what a callee wrote through a pointer into the frame a shared unknown."""
    size = extent.bytes(world.convention.word)
    for start in range(0, size if extent.written and pointer.frame else 0, 8):
        width = 8 * min(8, size - start)
        unknown = written(number, start, width, serial)
        place = terms.offset(pointer, start)
        if extent.written_if_positive:
            # Whether it was written otherwise is unknown, and the same for both.
            sure = terms.either(positive(serial), terms.sym(f"out {number} is written {serial}", 1))
            unknown = terms.ite(sure, unknown, state.frame.read(place, width // 8))
        state.frame = state.frame.write(place, unknown)


def _keep(state: State, pointer: Term, extent: Extent, bottom: Term, world: World) -> None:
    """Leave words of the frame to callees, one of which has kept a pointer to them.

    Raises: UnsupportedError where they are not all between what is the callee's and what is the caller's.
    """
    if extent.keeps is None or not pointer.frame:
        return
    size = world.convention.word // 8
    first, words = extent.keeps
    start = terms.offset(pointer, first * size)
    below, above = (terms.sub(start, limit).value for limit in (bottom, world.frame))
    if below is None or above is None or below >> (start.width - 1) or terms.signed(above, start.width) > -words * size:
        raise UnsupportedError("a pointer for a callee to keep, and not to an array in the frame")
    state.kept = (*state.kept, (start, words * size))


def _below(frame: Memory, stack: Term, side: str, serial: int) -> Memory:
    """Forget what is below the stack pointer, and what else is the callee's above it."""
    rows = []
    for number, (address, value) in enumerate(frame.writes):
        gap = terms.sub(address, stack).value
        gone = gap is not None and terms.signed(gap, address.width) < 0
        undefined = terms.sym(f"undefined frame {number} of {side} {serial}", value.width)
        rows.append((address, undefined if gone else value))
    return Memory(frame.base, tuple(rows))


def _results(state: State, world: World, prototype: Prototype | None, serial: int) -> None:
    kind = prototype.result if prototype else "pair"
    if kind == "double":
        _floating(state, world, serial)
    elif kind != "void":
        _integral(state, world, kind, serial)


def pointer(serial: int, word: int) -> Term:
    """Make a result that is a pointer: a multiple of a word's size."""
    return terms.multiple(f"result {serial}", word, word // 8)


def _floating(state: State, world: World, serial: int) -> None:
    """Put a result of floating point where it is: in the low half of a register, or on the stack of registers."""
    name, level = world.convention.returned, world.convention.level
    old = state.registers[name]
    if level:
        state.registers[level] = terms.offset(state.registers[level], 1)
        state.registers[name] = terms.sym(f"result {serial}", old.width)
        return
    state.registers[name] = terms.concat(terms.extract(old, 64, 64), terms.sym(f"result {serial}"))


def _integral(state: State, world: World, kind: str, serial: int) -> None:
    """Put a result where it is: in a register, or in two."""
    word = world.convention.word
    first, *others = world.convention.results
    width = word if kind == "pair" else width_of(kind, word)
    if not width or width > word * (1 + len(others)):
        raise UnsupportedError(f"a result of the type {kind}")
    if kind == "pair" or width > word:
        for second in others:
            state.registers[second] = terms.sym(f"second result {serial}", word)
    value = pointer(serial, word) if kind == "ptr" else terms.sym(f"result {serial}", min(width, word))
    if width < word:
        # Unknown to both: the first side is right, so what it does is the same for all of them.
        value = terms.concat(terms.sym(f"undefined top {serial}", word - width), value)
    state.registers[first] = value
