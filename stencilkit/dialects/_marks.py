"""Labels that 3.15's assembly passes leave where no relocation describes a hole on every platform.

Stands for `_optimizers.OptimizerAArch64` and `_stencils.convert_labels_to_relocations` of the 3.15 branch.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from stencilkit.dialects import _pairs
from stencilkit.errors import REPORT, ObjectError
from stencilkit.model.stencil import Hole, HoleValue, LoweredUnit, Operation, symbol_value

# What a symbol begins with that stands for a hole value.
CONSTANT: Final = "CONST_JIT_"
_RELOCATION: Final = "_JIT_RELOCATION_"
_PAIR: Final = "_JIT_PAIR_"
_OPERATIONS: Final = {
    "CUSTOM_AARCH64_BRANCH19": Operation.BRANCH19,
    "CUSTOM_AARCH64_CONST16a": Operation.MOVW0,
    "CUSTOM_AARCH64_CONST16b": Operation.MOVW1,
}


def read(
    unit: LoweredUnit, values: Container[HoleValue], patches: Mapping[Operation, str]
) -> tuple[list[Hole], dict[int, Hole]]:
    """Read a unit's labels: the holes that they stand for, and pairs.

    A pair is the id of the second half's hole -> the first half's hole.

    Raises: ObjectError for a label that stands for nothing known, and for halves that do not belong together.
    """
    by_offset = {hole.offset: hole for hole in unit.code_holes}
    marked: list[Hole] = []
    pairs: dict[int, Hole] = {}
    first: dict[str, Hole] = {}
    for name, (_, offset) in unit.symbols.items():
        if _RELOCATION in name:
            marked.append(_hole(unit, name, offset, values))
        elif _PAIR in name and offset in by_offset:
            kind, _, index = name.split(_PAIR)
            if "33a" in kind:
                first[index] = by_offset[offset]
            elif index in first:
                _check_pair(unit, first[index], by_offset[offset], patches)
                pairs[id(by_offset[offset])] = first[index]
    return marked, pairs


def _hole(unit: LoweredUnit, name: str, offset: int, values: Container[HoleValue]) -> Hole:
    parts = name.split(_RELOCATION)
    if len(parts) != 3 or parts[0] not in _OPERATIONS:
        raise ObjectError(f"label {name} stands for no hole that is known", where=f"uop {unit.name}", fix=REPORT)
    value, symbol = symbol_value(parts[1], values)
    return Hole(offset=offset, kind=parts[0], operation=_OPERATIONS[parts[0]], value=value, symbol=symbol, addend=0)


def _check_pair(unit: LoweredUnit, first: Hole, second: Hole, patches: Mapping[Operation, str]) -> None:
    functions = (patches.get(first.operation), patches.get(second.operation))
    same = (first.value, first.symbol, first.addend) == (second.value, second.symbol, second.addend)
    if functions != _pairs.PAIR or not same:
        raise ObjectError(
            f"the halves of a load from a slot do not belong together: {first.kind}, {second.kind}",
            where=f"uop {unit.name}, offset {first.offset:#x}",
            fix=REPORT,
        )
