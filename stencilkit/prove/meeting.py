"""What must be equal where both sides come to a call or an exit, and what is known behind a call.

An obligation is a pair of terms with a name. What is not equal by form is left to the solver (`search`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.model.proof import Prototype
from stencilkit.prove import memory, terms
from stencilkit.prove.assumptions import CALLEES, FRAME_POINTERS, KEYWORDS, Extent
from stencilkit.prove.code import Code
from stencilkit.prove.conventions import Convention, Passing, Place
from stencilkit.prove.machine import FRAME, State, UnsupportedError, in_frame, load
from stencilkit.prove.memory import Memory
from stencilkit.prove.terms import Term

_WIDTHS: Final = {"i1": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "ptr": 64}
_CONVERSION: Final = re.compile(
    rb"[^%]|%(?:%|[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?(hh|h|ll|l|z|j|t)?([diuxXocpsSRAUTNV]))", re.DOTALL
)
_SUFFIX: Final = re.compile(r"_r\d\d$")
ANYWHERE: Final = terms.sym("any address")


@dataclass(frozen=True, slots=True)
class Side:
    """One stencil and where it is."""

    code: Code
    state: State


@dataclass(frozen=True, slots=True)
class Obligation:
    """Two terms that must be equal for the proof to go on, and what they are."""

    what: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class World:
    """What both sides share: how they call, what they pass on, and C's prototypes; in the shim, a call is no C one."""

    convention: Convention
    passing: Passing
    prototypes: Mapping[str, Prototype]
    entry: bool = False


Pair = tuple[Side, Side]


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
    yield Obligation(what, memory.byte_at(left, ANYWHERE), memory.byte_at(right, ANYWHERE))


def at_exit(pair: Pair, world: World, *, returns: bool) -> Iterator[Obligation]:
    """List what the next stencil, or the caller, can see."""
    left, right = (side.state for side in pair)
    names = world.convention.results[:1] if returns else world.passing.live
    for name in names:
        yield Obligation(name, left.registers[name], right.registers[name])
    yield from memories(left.heap, right.heap, "memory")
    for side in pair:
        yield from _restored(side, world, FRAME if not returns else terms.offset(FRAME, world.convention.popped))


def _restored(side: Side, world: World, stack: Term) -> Iterator[Obligation]:
    """Demand that stack pointer, kept registers and the caller's frame are as they were."""
    registers, widths = side.state.registers, {name: term.width for name, term in side.state.registers.items()}
    for name in world.passing.restored:
        expected = stack if name == world.convention.stack else terms.sym(name, widths[name])
        yield Obligation(f"{name}, which is kept", registers[name], expected)
    for name in world.passing.halves:
        low, expected = (terms.extract(term, 0, 64) for term in (registers[name], terms.sym(name, widths[name])))
        yield Obligation(f"the low half of {name}, which is kept", low, expected)
    yield from _callers_frame(side, known=True)


def _callers_frame(side: Side, *, known: bool) -> Iterator[Obligation]:
    """Demand that what is above the frame is as it was; `known` refuses writes to variable places in the frame."""
    for address, value in side.state.frame.writes:
        gap = terms.sub(address, FRAME).value
        if gap is None:
            if known:
                raise UnsupportedError("a write to a variable place in the frame")
        elif terms.signed(gap, 64) > -8:
            yield Obligation("the caller's frame", value, terms.word("frame", address))


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """What is called: its name and prototype, where it has them, and how many bytes above the stack pointer it owns."""

    name: str
    prototype: Prototype | None
    room: int


def at_call(pair: Pair, targets: tuple[Term, Term], world: World) -> tuple[list[Obligation], Callee]:
    """List what a callee can see; return what is called too."""
    left, right = pair
    found = [Obligation("the function that is called", *targets)]
    name = left.code.used.get(targets[0], "")
    prototype = world.prototypes.get(name) or _of_operand(left.code.name, targets[0])
    if name and (prototype is None or world.entry):
        raise UnsupportedError(f"a call of {name}, whose prototype is not known")
    found += memories(left.state.heap, right.state.heap, "memory")
    found += _aligned(pair, world)
    for side in pair:
        found += _callers_frame(side, known=False)
    if prototype is None:
        return [*found, *_any_arguments(pair, world)], Callee(name=name, prototype=None, room=world.convention.shadow)
    kinds = [*prototype.arguments, *(_varying(pair, world, prototype) or ())]
    room = world.convention.room(kinds, len(prototype.arguments))
    return [*found, *_arguments(pair, world, name, prototype)], Callee(name=name, prototype=prototype, room=room)


def _of_operand(uop: str, target: Term) -> Prototype | None:
    """Look up a function that is called through a word at an offset from the operand."""
    while target.op == "over":
        # It may have been written since; the word's type stays what it is.
        target = target.args[-1]
    if target.op != "word":
        return None
    number, factors = terms.parts(target.args[0])
    if factors != {terms.sym("operand0"): 1}:
        return None
    arguments = CALLEES.get((_SUFFIX.sub("", uop), number))
    return Prototype(result="pair", arguments=arguments) if arguments is not None else None


def _aligned(pair: Pair, world: World) -> Iterator[Obligation]:
    """Demand that the stack pointer is below the frame, and aligned in the same way on both sides."""
    stack = world.convention.stack
    depths = [terms.sub(side.state.registers[stack], FRAME).value for side in pair]
    if None in depths or any(terms.signed(depth or 0, 64) > 0 for depth in depths):
        raise UnsupportedError("a stack pointer that is not below the frame")
    one, other = (terms.const((depth or 0) % world.convention.alignment) for depth in depths)
    yield Obligation("the alignment of the stack", one, other)


def _any_arguments(pair: Pair, world: World, known: int = 0) -> Iterator[Obligation]:
    """Of a callee that is not known, every register that could be an argument; but not what a call left undefined."""
    convention = world.convention
    first = convention.arguments[0]
    if not known and convention.indirect_results and all(side.state.registers[first].frame for side in pair):
        known = 1  # where the result goes: `after_call`
    places: tuple[Place, ...] = convention.arguments[known:]
    if known and convention.spilled:
        places = tuple(convention.places(["ptr"] * (known + 1), known))[known:]
    for place in places:
        one, other = (_at(side, place, convention) for side in pair)
        name = place if isinstance(place, str) else f"the stack at {place}"
        if one.frame or other.frame:
            raise UnsupportedError("a pointer into the frame, for a function that is not known")
        if not all(_is_clobbered(term) for term in (one, other)):
            yield Obligation(f"{name}, perhaps an argument", one, other)


def _is_clobbered(term: Term) -> bool:
    return term.op == "sym" and str(term.extra[0]).startswith("undefined ")


def _arguments(pair: Pair, world: World, name: str, prototype: Prototype) -> Iterator[Obligation]:
    named = len(prototype.arguments)
    if prototype.variadic and "double" in prototype.arguments:
        raise UnsupportedError(f"floating point for {name}, which is variadic")
    varying = _varying(pair, world, prototype)
    if varying is None:
        yield from _any_arguments(pair, world, named)
    kinds = [*prototype.arguments, *(varying or ())]
    rows = _passed(pair, world, kinds, named)
    for number, (kind, (one, other)) in enumerate(zip(kinds, rows, strict=True)):
        what = f"argument {number + 1} of {name}"
        if one.frame or other.frame:
            yield from _pointed(pair, rows, number, name)
            continue
        if kind == "ptr" and one is not other:
            texts = [side.code.text(term) for side, term in zip(pair, (one, other), strict=True)]
            if texts[0] is not None and texts[0] == texts[1]:
                continue
        width = 32 if kind in ("i1", "i8", "i16") else min(_WIDTHS.get(kind, 64), one.width)
        yield Obligation(what, terms.extract(one, 0, width), terms.extract(other, 0, width))


def _varying(pair: Pair, world: World, prototype: Prototype) -> list[str] | None:
    """List the kinds of variadic arguments, by the format before them; None where that is not in the stencils."""
    if not prototype.variadic:
        return []
    format_ = _passed(pair, world, list(prototype.arguments), len(prototype.arguments))[-1]
    texts = [side.code.text(term) for side, term in zip(pair, format_, strict=True)]
    return None if texts[0] is None or texts[0] != texts[1] else _format(texts[0])


def _passed(pair: Pair, world: World, kinds: list[str], named: int) -> list[tuple[Term, Term]]:
    """Find the arguments: in registers, then on the stack."""
    convention = world.convention
    rows: list[tuple[Term, Term]] = []
    for number, (kind, place) in enumerate(zip(kinds, convention.places(kinds, named), strict=True)):
        if kind not in _WIDTHS and kind != "double":
            raise UnsupportedError(f"an argument of the type {kind}")
        if isinstance(place, int) and number < named and convention.packed and _WIDTHS.get(kind) != 64:
            raise UnsupportedError(f"an argument of the type {kind} on the stack")
        one, other = (terms.extract(_at(side, place, convention), 0, 64) for side in pair)
        rows.append((one, other))
    return rows


def _at(side: Side, place: Place, convention: Convention) -> Term:
    """Read an argument."""
    if isinstance(place, str):
        return side.state.registers[place]
    return load(side.state, terms.offset(side.state.registers[convention.stack], place), 8)


def _format(text: bytes) -> list[str]:
    """List the kinds of the arguments that a format asks for. Objects/unicodeobject.c, unicode_fromformat_arg.

    Raises: UnsupportedError for a conversion that is not known, such as those of floating point.
    """
    kinds: list[str] = []
    place = 0
    while place < len(text):
        match = _CONVERSION.match(text, place)
        if match is None:
            raise UnsupportedError(f"the format {text!r}")
        place = match.end()
        if match[4] is not None:
            kinds += ["i32"] * sum(group == b"*" for group in match.groups()[:2])
            kinds.append("i32" if match[4] in b"cdiuxXo" and match[3] in (None, b"h", b"hh") else "i64")
            # An object, and what stands for it if it is null.
            kinds += ["i64"] * (match[4] == b"V")
    return kinds


def _pointed(pair: Pair, rows: list[tuple[Term, Term]], number: int, name: str) -> Iterator[Obligation]:
    """Compare what a callee reads through a pointer into the frame."""
    extent = FRAME_POINTERS.get(name, {}).get(number)
    if extent is None:
        raise UnsupportedError(f"argument {number + 1} of {name} points into the frame")
    for term in rows[number]:
        if not in_frame(term):
            raise UnsupportedError(f"argument {number + 1} of {name} points into the frame on one side")
    what = f"what argument {number + 1} of {name} points to"
    if extent.count is not None:
        keywords = KEYWORDS.get(name)
        if keywords is not None and any(term.value != 0 for term in rows[keywords]):
            raise UnsupportedError(f"{name} with keywords, and an array in the frame")
        yield _apart(_array(pair, rows[number], rows[extent.count][0], what))
    for start in range(0, 0 if extent.always_written else extent.size, 8):
        size = min(8, extent.size - start)
        words = [
            load(side.state, terms.offset(term, start), size) for side, term in zip(pair, rows[number], strict=True)
        ]
        yield _apart(Obligation(what, words[0], words[1]))


def _apart(what: Obligation) -> Obligation:
    """Refuse addresses of the frame in what a callee reads: what they point to is not compared."""
    if what.left.frame or what.right.frame:
        raise UnsupportedError(f"{what.what}, in which there is an address of the frame")
    return what


def _array(pair: Pair, starts: tuple[Term, Term], count: Term, what: str) -> Obligation:
    """Demand that the words of two arrays are equal, at any index below the count."""
    index = terms.sym("any index")
    inside = terms.less(index, terms.zext(terms.extract(count, 0, 63), 64), is_signed=False)
    words = [
        terms.ite(inside, load(side.state, terms.add(start, terms.scale(index, 8)), 8), terms.const(0))
        for side, start in zip(pair, starts, strict=True)
    ]
    return Obligation(what, words[0], words[1])


def after_call(pair: Pair, world: World, callee: Callee, serial: int) -> Pair:
    """Go on behind a call: results and memory are shared unknowns, what a callee may change is undefined."""
    name, prototype = callee.name, callee.prototype
    sides = []
    for side in pair:
        state = side.state.copy()
        stack = state.registers[world.convention.stack]
        state.frame = _below(state.frame, terms.offset(stack, callee.room), side.code.side, serial)
        places = list(world.convention.places(prototype.arguments, len(prototype.arguments))) if prototype else []
        for number, extent in FRAME_POINTERS.get(name, {}).items():
            if number < len(places):
                pointer = _at(side, places[number], world.convention)
                _written(state, pointer, number, extent, serial)
        if prototype is None and world.convention.indirect_results:
            _written_result(side, state, world, serial)
        for register, old in state.registers.items():
            if register not in world.convention.kept:
                state.registers[register] = _spoilt(register, old, world, f"{side.code.side} {serial}")
        state.flags = {}
        state.heap = Memory(f"memory {serial}")
        _results(state, world, prototype, serial)
        sides.append(Side(side.code, state))
    return sides[0], sides[1]


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


def _written(state: State, pointer: Term, number: int, extent: Extent, serial: int) -> None:
    """Make what a callee wrote through a pointer into the frame a shared unknown."""
    if not extent.written or not pointer.frame:
        return
    for start in range(0, extent.size, 8):
        width = 8 * min(8, extent.size - start)
        unknown = terms.sym(f"out {number}+{start} {serial}", width)
        state.frame = state.frame.write(terms.offset(pointer, start), unknown)


def _below(frame: Memory, stack: Term, side: str, serial: int) -> Memory:
    """Forget what is below the stack pointer, and what else is the callee's above it."""
    rows = []
    for number, (address, value) in enumerate(frame.writes):
        gap = terms.sub(address, stack).value
        gone = gap is not None and terms.signed(gap, 64) < 0
        rows.append((address, terms.sym(f"undefined frame {number} of {side} {serial}") if gone else value))
    return Memory(frame.base, tuple(rows))


def _results(state: State, world: World, prototype: Prototype | None, serial: int) -> None:
    first, *others = world.convention.results
    kind = prototype.result if prototype else "pair"
    if kind == "void":
        return
    if kind == "double":
        name = world.convention.vectors[0]
        undefined = terms.extract(state.registers[name], 64, 64)
        state.registers[name] = terms.concat(undefined, terms.sym(f"result {serial}"))
        return
    if kind == "pair":
        for second in others:
            state.registers[second] = terms.sym(f"second result {serial}")
    width = 64 if kind == "pair" else _WIDTHS.get(kind, 0)
    if not width:
        raise UnsupportedError(f"a result of the type {kind}")
    value = terms.sym(f"result {serial}", width)
    if width < 64:
        # Unknown to both: the first side is right, so what it does is the same for all of them.
        value = terms.concat(terms.sym(f"undefined top {serial}", 64 - width), value)
    state.registers[first] = value
