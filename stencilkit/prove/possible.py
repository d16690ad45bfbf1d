"""Which states to run stencils on are states that CPython could have: those in which its objects do not overlap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stencilkit.prove import objects, running, terms
from stencilkit.prove.objects import Region
from stencilkit.prove.seeds import PAGE, Seed
from stencilkit.prove.terms import FRAME_NAME
from stencilkit.prove.world import World

_HOLES: Final = {"oparg": 16, "operand0": 64}


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
    """Leave out the states in which objects overlap: what a stencil does there is no difference."""
    facts = objects.all_apart(tuple(regions))
    return [seed for seed in seeds if all(terms.evaluate(fact, _Start(seed, world), {}) for fact in facts)]
