"""Pairs of aarch64 instructions that load from a slot, and the patch releases of 3.13 and 3.14 that relax them.

Stands for `Hole.fold` of Tools/jit/_stencils.py and `_dump_stencil` of _writer.py of those releases.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stencilkit.dialects import _common
from stencilkit.errors import REPORT, RelocationError
from stencilkit.model.source import Variant
from stencilkit.model.stencil import HoleValue, Operation, Patch

# The two halves of a load from a slot on aarch64, and what patches both at once: with a cheaper pair of instructions,
# where the slot's content allows it. 3.15 has these; before, only the patch releases of `RELAXED` do.
RELAXING: Final[Mapping[Operation, str]] = {
    Operation.GOT_PAGE21: "patch_aarch64_21rx",
    Operation.COFF_PAGE21: "patch_aarch64_21rx",
    Operation.GOT_LO12: "patch_aarch64_12x",
    Operation.COFF_LO12_LOAD: "patch_aarch64_12x",
}
FOLDED: Final = "patch_aarch64_33rx"
PAIR: Final = ("patch_aarch64_21rx", "patch_aarch64_12x")
FUNCTIONS: Final = frozenset({*PAIR, FOLDED})

# How patch releases of 3.13 and 3.14 differ from the last ones. Of the releases that were compared with their own
# generators (docs/building.md), 3.13.0 to 3.13.12 and 3.14.0 relax; only 3.14.0 compares registers.
RELAXED: Final = Variant(
    name="relaxed-pairs",
    file="Python/jit.c",
    text="\npatch_aarch64_33rx(",
    why="this patch release relaxes adrp and ldr as a pair, even where a branch leads to the second one (#146128)",
)
SAME_REGISTER: Final = Variant(
    name="same-register-pairs",
    file="Tools/jit/_stencils.py",
    text="reg_a == reg_b1 == reg_b2",
    why="it relaxes only pairs that use a single register, which patch_aarch64_33rx relies on",
    of=RELAXED.name,
)
VARIANTS: Final = (RELAXED, SAME_REGISTER)


def functions(variants: Container[Variant]) -> Mapping[Operation, str]:
    """Return the patch function of each operation in a patch release before 3.15."""
    return {**_common.PATCHES, **RELAXING} if RELAXED in variants else _common.PATCHES


def fold(
    name: str, patches: Sequence[Patch], code: bytes, table: int, variants: Container[Variant]
) -> tuple[Patch, ...]:
    """Patch the two halves of a load from a slot with one call, which names the first half's place alone.

    Two calls are a pair where they follow each other in order of offset and patch the same value into neighbours.
    `table` is where in the data the slots begin.
    CPython: `Hole.fold` of 3.13.0 to 3.13.12 and 3.14.0 to 3.14.3, and `_writer._dump_stencil`.

    Raises: RelocationError for a load from anything else, which patch_aarch64_33rx would replace by what is there when
    it patches, in a general register and of 64 bits, whatever the load is. COFF has no kind of its own for slots.
    """
    found: list[Patch] = []
    rest = iter(itertools.zip_longest(patches, patches[1:]))
    for first, second in rest:
        if (
            second is not None
            and _is_pair(first, second)
            and (SAME_REGISTER not in variants or _one_register(first, code))
        ):
            _check_slot(name, first, table)
            found.append(replace(first, func=FOLDED))
            next(rest)
        else:
            found.append(first)
    return tuple(found)


def _is_pair(first: Patch, second: Patch) -> bool:
    same = (first.value, first.symbol, first.addend) == (second.value, second.symbol, second.addend)
    return (first.func, second.func) == PAIR and same and _common.position(first) + 4 == _common.position(second)


def _check_slot(name: str, first: Patch, table: int) -> None:
    if (first.value, first.symbol) != (HoleValue.DATA, None) or first.addend < table:
        raise RelocationError(
            f"a load from {first.symbol or 'a constant'} cannot be patched: it is no slot, and patch_aarch64_33rx of "
            "this patch release takes what is there for an address that never changes",
            where=f"uop {name}, offset {_common.position(first):#x}",
            fix=f"build the stencils of a newer patch release, or {REPORT}",
        )


def _one_register(first: Patch, code: bytes) -> bool:
    """Return whether a load puts what it finds into the register that adrp wrote the address to."""
    adrp, load = (
        int.from_bytes(code[at : at + 4], "little") for at in (_common.position(first), _common.position(first) + 4)
    )
    return adrp & 31 == load & 31 == load >> 5 & 31
