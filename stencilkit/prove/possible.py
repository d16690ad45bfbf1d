"""States to run stencils on that CPython could have: those in which its objects are at words, and do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from stencilkit.prove import objects, running, terms
from stencilkit.prove.objects import Region
from stencilkit.prove.seeds import HEAP, PAGE, Seed
from stencilkit.prove.terms import FRAME_NAME, Term
from stencilkit.prove.world import World

_HOLES: Final = {"oparg": 16, "operand0": 64}
_ASIDE: Final = HEAP + 0x10_0000
"""Where objects are put that would overlap others: above all that a tame state points to."""
_APART: Final = 0x1_0000
_WITHIN: Final = 0x3FF0
_MOST_WORDS: Final = 32


@dataclass(frozen=True, slots=True)
class _Start:
    """What a run finds where it starts."""

    seed: Seed
    world: World

    def symbol(self, name: str) -> int:
        """Give the value of a register, or of a hole."""
        if name == FRAME_NAME:
            return running.entry(self.world)
        if name in _HOLES:
            return self.seed.operand(name, _HOLES[name])
        return self.seed.register(name, self.world.convention.word)

    def word(self, memory: str, address: int) -> int:
        """Give a word of memory, or of the caller's frame; both are pages of the state."""
        del memory
        bits = self.world.convention.word
        start = address & -PAGE
        body = self.seed.page(start, bits) + self.seed.page(start + PAGE, bits)
        return int.from_bytes(body[address - start :][: bits // 8], "little")

    def function(self, name: str, values: list[int]) -> int:
        """No address is worked out by an uninterpreted function."""
        raise TypeError(f"{name}({values})")


def possible(seeds: Iterable[Seed], regions: Iterable[Region], world: World) -> list[Seed]:
    """Leave out the states in which objects overlap, or are at no word: what a stencil does there is no difference."""
    known = tuple(regions)
    facts = [*objects.all_aligned(known), *objects.all_apart(known)]
    return [seed for seed in seeds if all(terms.evaluate(fact, _Start(seed, world), {}) for fact in facts)]


def arranged(seed: Seed, regions: Iterable[Region], world: World) -> Seed:
    """Put the objects of a random state apart: what points to one that overlaps another points elsewhere.

    What varies in an object's length becomes a small number. It is a state like any other, and the same every time. Of
    those that are left as they are, most have two objects in one place.
    """
    placed: list[Region] = []
    for number, region in enumerate(regions):
        for length in _lengths(region.size):
            low, bits = int(length.extra[0]), (1 << length.width) - 1
            old = _value(length.args[0], seed, world)
            few = (old >> low & bits) % _MOST_WORDS
            seed = _pointing(length.args[0], old & ~(bits << low) | few << low, seed, world)
        if not possible([seed], [*placed, region], world):
            pointer = _pointer(region.start)
            if pointer is not None:
                old, within = _value(pointer, seed, world), terms.parts(region.start)[0]
                # Only what is masked has a tag.
                tag = old & 1 if pointer not in terms.parts(region.start)[1] else 0
                there = _ASIDE + _APART * number + (old & _WITHIN | tag)
                seed = _pointing(pointer, terms.const(there - within, pointer.width).value or 0, seed, world)
        placed.append(region)
    return seed


def _value(term: Term, seed: Seed, world: World) -> int:
    return terms.evaluate(term, _Start(seed, world), {})


def _pointer(start: Term) -> Term | None:
    """Find what an address is counted from, if the state can say what that is: a register, or a word of memory."""
    for term, factor in terms.parts(start)[1].items():
        # A reference without its tag is twice what is above that.
        is_tagged = factor == 2 and term.op == "concat" and term.args[-1].op == "extract"
        inner = term.args[-1].args[0] if is_tagged else term
        if (factor == 1 or is_tagged) and inner.op in ("sym", "word"):
            return inner
    return None


def _lengths(size: Term) -> Iterator[Term]:
    """List the parts of words that a size is made of; what says where those words are is no length."""
    for term in terms.parts(size)[1]:
        number = term.args[-1] if term.op == "concat" else term
        if number.op == "extract" and number.args[0].op == "word":
            yield number


def _pointing(term: Term, value: int, seed: Seed, world: World) -> Seed:
    """Make the state in which a register, or a word of memory, has a value."""
    if term.op == "sym":
        return replace(seed, values={**seed.values, str(term.extra[0]): value})
    return replace(seed, words={**seed.words, _value(term.args[0], seed, world): value})
