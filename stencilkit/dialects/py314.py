"""CPython 3.14: preserve_none, objects straight from clang, trampolines through `symbols_map`.

Stands for Tools/jit/_targets.py, _stencils.py and _writer.py of the 3.14 branch.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

from stencilkit.dialects import _common, _jumps, _pairs
from stencilkit.errors import REPORT, ObjectError
from stencilkit.model.build import Emits
from stencilkit.model.header import HeaderFormat
from stencilkit.model.manifest import FileRole
from stencilkit.model.source import Entered, SourceTree, Unit, Uop, Variant
from stencilkit.model.stencil import (
    Hole,
    HoleValue,
    LoweredUnit,
    Operation,
    Patch,
    PatchForm,
    Stencil,
    StencilGroup,
    StencilSet,
)
from stencilkit.model.target import Flavour, SpelledTarget, Target, TargetSupport

# What make compares with the sources of the stencils is the header itself.
MAKE_STAMP: Final = ""
SERIES: Final = "3.14"
SHIM: Final = "shim"
EXTRAS: Final = False
ENTRY_SYMBOLS: Final = ("_JIT_ENTRY",)

HEADER: Final = HeaderFormat(
    series=SERIES,
    largest="MAX_UOP_ID",
    state="jit_state *state",
    values={
        **_common.VALUES,
        **_common.OPERANDS,
        HoleValue.CONTINUE: _common.CONTINUE,
        HoleValue.EXECUTOR: _common.EXECUTOR,
        HoleValue.JUMP_TARGET: "state->instruction_starts[instruction->jump_target]",
        HoleValue.ERROR_TARGET: "state->instruction_starts[instruction->error_target]",
    },
    functions=frozenset({*_common.PATCHES.values(), *_pairs.FUNCTIONS, "patch_aarch64_trampoline"}),
    masks=("trampoline",),
    strip_zeros=True,
    entry=SHIM,
)

PATCHES: Final = _common.PATCHES
VARIANTS: Final = _pairs.VARIANTS
_JUMPS: Final = (_jumps.THROUGH_SLOT, _jumps.RELATIVE, _jumps.AARCH64)
# Everything else is jumped to directly, or run into: patch_x86_64_32rx makes `jmp *slot` direct within a trace.
ENTERED: Final = (
    Entered(
        name=SHIM,
        why="the interpreter calls executor->jit_code, where the shim is",
        file="Python/ceval_macros.h",
        text="jit_func jitted = _executor->jit_code;",
    ),
    Entered(
        name="_START_EXECUTOR",
        why="first of a trace: other traces jump to executor->jit_side_entry, behind the shim",
        file="Python/jit.c",
        text="assert(trace[0].opcode == _START_EXECUTOR);",
    ),
)


def emits(target: Target) -> Emits:
    """Compile C straight to objects, everywhere."""
    return "object"


def units(tree: SourceTree, uops: Sequence[Uop], target: Target) -> tuple[Unit, ...]:
    """List the shim, then the uops."""
    return (_common.whole_unit(tree, SHIM, "Tools/jit/shim.c"), *_common.template_units(tree, uops))


def every_uop(tree: SourceTree, uops: Sequence[Uop], target: Target) -> Unit:
    """Make one unit of all uops, with their cases one after the other."""
    del target
    return _common.every_uop(_common.template_units(tree, [_common.marked(uops)])[0])


def edit_ir(text: str) -> str:
    """Leave LLVM IR alone; this version never asks for any."""
    return text


def input_digest(tree: SourceTree, pyconfig: bytes, request: SpelledTarget, flavour: Flavour, cflags: str) -> str:
    """Digest the inputs with the triple as configure spelt it."""
    return _common.input_digest(tree, pyconfig, request.spelling, flavour, cflags)


def file_names(request: SpelledTarget) -> Mapping[FileRole, str]:
    """Name the header after the triple as configure spelt it, and the dispatcher that includes it."""
    return {"stencils": f"jit_stencils-{request.spelling}.h", "dispatcher": "jit_stencils.h"}


def make_arguments(target: Target) -> tuple[str, ...]:
    """Spell nothing: the makefile does not depend on the target."""
    return ()


def finish(
    units: Sequence[LoweredUnit], target: Target, support: TargetSupport, variants: Container[Variant]
) -> StencilSet:
    """Finish the units in order; ordinals of `symbols_map` are given out on first use."""
    symbols: dict[str, int] = {}
    groups = tuple(_group(unit, target, support, symbols, variants) for unit in units)
    return StencilSet(groups=groups, entry=SHIM, symbols=tuple(symbols))


def _group(
    unit: LoweredUnit, target: Target, support: TargetSupport, symbols: dict[str, int], variants: Container[Variant]
) -> StencilGroup:
    functions = _pairs.functions(variants)
    trampolines = [hole for hole in unit.code_holes if _needs_trampoline(hole, unit)]
    for hole in trampolines:
        symbols.setdefault(str(hole.symbol), len(symbols))
    code, holes = _jumps.removed(unit.code, unit.code_holes, _JUMPS)
    code = _fill(unit.name, code, target.nop, support.alignment)
    data = _common.pad(unit.data, 8)
    slots = _common.SlotTable(len(data))
    code_patches = [
        _trampoline(hole) if hole in trampolines else _common.address_patch(unit, hole, slots, functions)
        for hole in holes
    ]
    data_patches = [_common.address_patch(unit, hole, slots, functions) for hole in unit.data_holes]
    table, fills = slots.patches(unit.symbols, HEADER.values, PATCHES[Operation.ABS64])
    folded = _pairs.fold(unit.name, _common.in_order(code_patches), code, len(data), variants)
    return StencilGroup(
        name=unit.name,
        code=Stencil(body=code, patches=folded),
        data=_common.stencil(data + table, [*data_patches, *fills]),
    )


def _needs_trampoline(hole: Hole, unit: LoweredUnit) -> bool:
    return hole.kind in _common.TRAMPOLINE_KINDS and hole.value is HoleValue.ZERO and hole.symbol not in unit.symbols


def _trampoline(hole: Hole) -> Patch:
    return Patch(
        func="patch_aarch64_trampoline",
        offsets=(hole.offset,),
        form=PatchForm.TRAMPOLINE,
        symbol=hole.symbol,
    )


def _fill(name: str, code: bytes, nop: bytes, alignment: int) -> bytes:
    """Add NOPs up to the alignment, so that the next stencil starts aligned (CPython: `Stencil.add_nops`)."""
    gap = -len(code) % alignment
    if gap % len(nop):
        raise ObjectError(
            f"{len(code)} bytes of code cannot be aligned to {alignment} with NOPs", where=f"uop {name}", fix=REPORT
        )
    return code + nop * (gap // len(nop))
