"""What a callee can see of its arguments: by its prototype, by a format, or all that could be one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from stencilkit.model.proof import Prototype
from stencilkit.prove import terms
from stencilkit.prove.assumptions import FRAME_POINTERS, KEYWORDS
from stencilkit.prove.conventions import Place
from stencilkit.prove.machine import UnsupportedError, in_frame, load
from stencilkit.prove.terms import Term
from stencilkit.prove.world import Obligation, Pair, World, argument, width_of

_CONVERSION: Final = re.compile(
    rb"[^%]|%(?:%|[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?(hh|h|ll|l|z|j|t)?([diuxXocpsSRAUTNV]))", re.DOTALL
)
_LONG: Final = (b"ll", b"j")
UNREAD: Final = ("word",)
"""What a format asks for that is not in the stencil, where that is on the stack."""


def of_unknown(pair: Pair, world: World, named: Sequence[str] = ()) -> Iterator[Obligation]:
    """Of a callee that is not known, every place that could be an argument; but not what a call left undefined.

    Where its `named` arguments are known, every one behind those.

    Raises: UnsupportedError where arguments are on the stack alone, and nothing says how many.
    """
    convention = world.convention
    if not convention.unknown and not named:
        raise UnsupportedError("a call with arguments on the stack, of which is not known how many there are")
    known = len(named)
    if not known and convention.indirect_results:
        first = convention.arguments[0]
        known = int(all(side.state.registers[first].frame for side in pair))  # where the result goes: `returning`
    places: tuple[Place, ...] = convention.unknown[known:]
    if named and convention.spilled:
        places = tuple(convention.places([*named, *UNREAD], known))[known:]
    for place in places:
        one, other = (argument(side, place, convention) for side in pair)
        name = place if isinstance(place, str) else f"the stack at {place}"
        if one.frame or other.frame:
            raise UnsupportedError("a pointer into the frame, for a function that is not known")
        if not all(_is_clobbered(term) for term in (one, other)):
            yield Obligation(f"{name}, perhaps an argument", one, other)


def _is_clobbered(term: Term) -> bool:
    return term.op == "sym" and str(term.extra[0]).startswith("undefined ")


def of_known(pair: Pair, world: World, name: str, prototype: Prototype) -> Iterator[Obligation]:
    """Of a callee with a prototype, its arguments, and what they point to in the frame."""
    named, name = len(prototype.arguments), name or "what is called through a pointer"
    if prototype.variadic and "double" in prototype.arguments:
        raise UnsupportedError(f"floating point for {name}, which is variadic")
    varying = of_format(pair, world, prototype)
    if varying is None:
        yield from of_unknown(pair, world, prototype.arguments)
    kinds = [*prototype.arguments, *(varying or ())]
    rows = _passed(pair, world, kinds, named)
    for number, (kind, (one, other)) in enumerate(zip(kinds, rows, strict=True)):
        what = f"argument {number + 1} of {name}"
        if one.frame or other.frame:
            yield from _pointed(pair, world, rows, number, name)
            continue
        if kind == "ptr" and one is not other:
            texts = [side.code.text(term) for side, term in zip(pair, (one, other), strict=True)]
            if texts[0] is not None and texts[0] == texts[1]:
                continue
        width = min(32 if kind in ("i1", "i8", "i16") else width_of(kind, world.convention.word) or 64, one.width)
        yield Obligation(what, terms.extract(one, 0, width), terms.extract(other, 0, width))


def of_format(pair: Pair, world: World, prototype: Prototype) -> list[str] | None:
    """List the kinds of variadic arguments, by the format before them; None where that is not in the stencils."""
    if not prototype.variadic:
        return []
    format_ = _passed(pair, world, list(prototype.arguments), len(prototype.arguments))[-1]
    texts = [side.code.text(term) for side, term in zip(pair, format_, strict=True)]
    return None if texts[0] is None or texts[0] != texts[1] else _conversions(texts[0])


def _passed(pair: Pair, world: World, kinds: list[str], named: int) -> list[tuple[Term, Term]]:
    """Find the arguments: in registers, then on the stack."""
    convention = world.convention
    rows: list[tuple[Term, Term]] = []
    for kind, place in zip(kinds, convention.places(kinds, named), strict=True):
        width = width_of(kind, convention.word)
        if not width and kind != "double":
            raise UnsupportedError(f"an argument of the type {kind}")
        one, other = (argument(side, place, convention, kind) for side in pair)
        rows.append((terms.extract(one, 0, min(64, one.width)), terms.extract(other, 0, min(64, other.width))))
    return rows


def _conversions(text: bytes) -> list[str]:
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
            number = match[4] in b"cdiuxXo"
            if number and match[3] in (None, b"h", b"hh"):
                kinds.append("i32")
            else:
                kinds.append("i64" if number and match[3] in _LONG else "word")
            # An object, and what stands for it if it is null.
            kinds += ["word"] * (match[4] == b"V")
    return kinds


def _pointed(pair: Pair, world: World, rows: list[tuple[Term, Term]], number: int, name: str) -> Iterator[Obligation]:
    """Compare what a callee reads through a pointer into the frame."""
    extent = FRAME_POINTERS.get(name, {}).get(number)
    if extent is None:
        raise UnsupportedError(f"argument {number + 1} of {name} points into the frame")
    for term in rows[number]:
        if not in_frame(term):
            raise UnsupportedError(f"argument {number + 1} of {name} points into the frame on one side")
    if extent.kept:
        _same(pair, rows[number], name)
        return
    what = f"what argument {number + 1} of {name} points to"
    if extent.count is not None:
        keywords = KEYWORDS.get(name)
        if keywords is not None and any(term.value != 0 for term in rows[keywords]):
            raise UnsupportedError(f"{name} with keywords, and an array in the frame")
        yield _apart(_array(pair, rows[number], rows[extent.count][0], what))
    length = extent.bytes(world.convention.word)
    for start in range(0, 0 if extent.always_written or extent.written_if_positive else length, 8):
        size = min(8, length - start)
        words = [
            load(side.state, terms.offset(term, start), size) for side, term in zip(pair, rows[number], strict=True)
        ]
        yield _apart(Obligation(what, words[0], words[1]))


def _same(pair: Pair, starts: tuple[Term, Term], name: str) -> None:
    """Refuse what is not, on both sides, the start of what the same callee has kept a pointer to."""
    kept = [[start for start, _ in side.state.kept] for side in pair]
    places = [row.index(start) if start in row else -1 for row, start in zip(kept, starts, strict=True)]
    if places[0] != places[1] or places[0] < 0:
        raise UnsupportedError(f"a pointer into the frame for {name} that no callee has kept")


def _apart(what: Obligation) -> Obligation:
    """Refuse addresses of the frame in what a callee reads: what they point to is not compared."""
    if what.left.frame or what.right.frame:
        raise UnsupportedError(f"{what.what}, in which there is an address of the frame")
    return what


def _array(pair: Pair, starts: tuple[Term, Term], count: Term, what: str) -> Obligation:
    """Demand that the words of two arrays are equal, at any index below the count."""
    word = count.width
    index = terms.sym("any index", word)
    inside = terms.less(index, terms.zext(terms.extract(count, 0, word - 1), word), is_signed=False)
    words = [
        terms.ite(
            inside,
            load(side.state, terms.add(start, terms.scale(index, word // 8)), word // 8),
            terms.const(0, word),
        )
        for side, start in zip(pair, starts, strict=True)
    ]
    return Obligation(what, words[0], words[1])
