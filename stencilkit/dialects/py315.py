"""CPython 3.15: assembly passes, slots shared by a whole trace, the shim as an object of its own, unwind information.

Stands for Tools/jit/_targets.py, _stencils.py and _writer.py of the 3.15 branch.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stencilkit.dialects import _common, _marks, _pairs
from stencilkit.errors import ObjectError
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
    StencilGroup,
    StencilSet,
)
from stencilkit.model.target import Flavour, SpelledTarget, Target, TargetSupport

# What make compares with the sources of all generated files (JIT_GENERATED_STAMP in Makefile.pre.in).
MAKE_STAMP: Final = ".jit-stamp"
SERIES: Final = "3.15"
EXTRAS: Final = True
ENTRY_SYMBOLS: Final = ("_JIT_ENTRY",)

# The patch functions that are new in this version's jit.c.
_OWN_FUNCTIONS: Final = (
    "patch_aarch64_19r",
    "patch_aarch64_trampoline",
    "patch_got_symbol",
    "patch_x86_64_trampoline",
)
HEADER: Final = HeaderFormat(
    series=SERIES,
    largest="MAX_UOP_REGS_ID",
    state="jit_state *state",
    values={
        **_common.VALUES,
        **_common.OPERANDS,
        HoleValue.GOT: "",
        HoleValue.OPARG_16: "instruction->oparg",
        HoleValue.OPERAND0_16: "instruction->operand0",
        HoleValue.OPERAND0_32: "instruction->operand0",
        HoleValue.OPERAND1_16: "instruction->operand1",
        HoleValue.OPERAND1_32: "instruction->operand1",
        HoleValue.JUMP_TARGET: "state->instruction_starts[instruction->jump_target]",
        HoleValue.ERROR_TARGET: "state->instruction_starts[instruction->error_target]",
    },
    functions=frozenset({*_common.PATCHES.values(), *_pairs.FUNCTIONS, *_OWN_FUNCTIONS}),
    masks=("trampoline", "got"),
    strip_zeros=True,
    entry=None,
)
# The narrow spellings of an operand are the same field of the instruction; a header shows no difference.
_SAME_FIELD: Final = {
    HoleValue.OPARG_16: HoleValue.OPARG,
    HoleValue.OPERAND0_16: HoleValue.OPERAND0,
    HoleValue.OPERAND0_32: HoleValue.OPERAND0,
    HoleValue.OPERAND1_16: HoleValue.OPERAND1,
    HoleValue.OPERAND1_32: HoleValue.OPERAND1,
}

PATCHES: Final[Mapping[Operation, str]] = {
    **_common.PATCHES,
    **_pairs.RELAXING,
    Operation.BRANCH19: "patch_aarch64_19r",
}
# All releases and candidates that there are do the same.
VARIANTS: Final[tuple[Variant, ...]] = ()

# A displacement to a slot counts from the end of the instruction, four bytes on.
_X86_GOT_OPERATIONS: Final = frozenset({Operation.GOT_REL32, Operation.COFF_REL32})
_GOT_OPERATIONS: Final = _X86_GOT_OPERATIONS | {
    Operation.GOT_PAGE21,
    Operation.GOT_LO12,
    Operation.COFF_PAGE21,
    Operation.COFF_LO12_LOAD,
    Operation.COFF_LO12_ADD,
}
_TRAMPOLINES: Final = {
    **dict.fromkeys(_common.TRAMPOLINE_KINDS, "patch_aarch64_trampoline"),
    "X86_64_RELOC_BRANCH": "patch_x86_64_trampoline",
}
# Everything else is jumped to directly, or run into. The shim, whose address is in _Py_jit_entry, is not a stencil: the
# linker asks its object for property notes.
_FIRST: Final = (
    "assert(trace[0].opcode == _START_EXECUTOR_r00 || trace[0].opcode == _COLD_EXIT_r00"
    " || trace[0].opcode == _COLD_DYNAMIC_EXIT_r00);"
)
ENTERED: Final = (
    Entered(
        name="_START_EXECUTOR_r00",
        why="first of a trace: the shim calls executor->jit_code, and other traces jump there",
        file="Tools/jit/shim.c",
        text="return jitted(exec, frame, stack_pointer, tstate,",
    ),
    Entered(
        name="_COLD_EXIT_r00",
        why="first of a trace that is an exit which was not taken yet",
        file="Python/jit.c",
        text=_FIRST,
    ),
    Entered(
        name="_COLD_DYNAMIC_EXIT_r00",
        why="the same, where the exit's destination is known at run time only",
        file="Tools/jit/template.c",
        text="jit_func_preserve_none jitted = _executor->jit_code;",
    ),
)


def emits(target: Target) -> Emits:
    """Compile C to assembly, for the passes."""
    return "assembly"


def units(tree: SourceTree, uops: Sequence[Uop], target: Target) -> tuple[Unit, ...]:
    """List the uops, and the shim, which stays an object file."""
    shim = _common.whole_unit(tree, "shim", "Tools/jit/shim.c", role="object")
    return (*_common.template_units(tree, uops), shim)


def every_uop(tree: SourceTree, uops: Sequence[Uop], target: Target) -> Unit:
    """Make one unit of all uops, with their cases one after the other."""
    del target
    return _common.every_uop(_common.template_units(tree, [_common.marked(uops)])[0])


def edit_ir(text: str) -> str:
    """Leave LLVM IR alone; this version never asks for any."""
    return text


def input_digest(tree: SourceTree, pyconfig: bytes, request: SpelledTarget, flavour: Flavour, cflags: str) -> str:
    """Digest the inputs with the canonical triple, which is what 3.15 makes of every spelling."""
    return _common.input_digest(tree, pyconfig, request.target.triple, flavour, cflags)


def file_names(request: SpelledTarget) -> Mapping[FileRole, str]:
    """Name the files after the canonical triple, and the dispatchers."""
    triple = request.target.triple
    return {
        "stencils": f"jit_stencils-{triple}.h",
        "dispatcher": "jit_stencils.h",
        "shim": f"jit_shim-{triple}.o",
        "unwind": f"jit_unwind_info-{triple}.h",
        "unwind-dispatcher": "jit_unwind_info.h",
    }


def make_arguments(target: Target) -> tuple[str, ...]:
    """Name the shim, which configure leaves out of the makefile for a target that it does not know.

    CPython: configure.ac (JIT_SHIM_O), Makefile.pre.in (JIT_OBJS, JIT_SHIM_BUILD_OBJS).
    """
    shim = f"jit_shim-{target.triple}.o"
    return (f"JIT_OBJS={shim}", f"JIT_SHIM_BUILD_OBJS={shim}") if target.like else ()


def finish(
    units: Sequence[LoweredUnit], target: Target, support: TargetSupport, variants: Container[Variant]
) -> StencilSet:
    """Finish the units in order; ordinals of `symbols_map` are given out on first use."""
    symbols: dict[str, int] = {}
    groups = tuple(_Group(unit, symbols).finish() for unit in units)
    return StencilSet(groups=groups, symbols=tuple(symbols))


class _Group:
    """One unit on its way to a stencil group."""

    def __init__(self, unit: LoweredUnit, symbols: dict[str, int]) -> None:
        self._unit = unit
        self._symbols = symbols
        marked, pairs = _marks.read(unit, HEADER.values, PATCHES)
        # Hole -> the first half that it is folded with; and the first halves.
        self._pairs = pairs
        self._folded_away = set(map(id, pairs.values()))
        self._holes = [*unit.code_holes, *marked]
        data = _common.pad(unit.data, 8)
        self._slots = _common.SlotTable(len(data))
        self._data = data

    def finish(self) -> StencilGroup:
        """Turn every hole into a patch."""
        for hole in self._holes:
            if self._trampoline_function(hole) or self._is_shared_slot(hole):
                self._symbols.setdefault(str(hole.symbol), len(self._symbols))
        code_patches = [self._code_patch(hole) for hole in self._holes]
        data_patches = [self._data_patch(hole) for hole in self._unit.data_holes]
        table, slots = self._slots.patches(self._unit.symbols, HEADER.values, PATCHES[Operation.ABS64])
        fills = [_same_field(patch) for patch in slots]
        shared = dict.fromkeys(hole.symbol for hole in self._holes if self._is_shared_slot(hole))
        requests = [
            Patch(func="patch_got_symbol", offsets=(), form=PatchForm.GOT_FILL, value=HoleValue.GOT, symbol=name)
            for name in shared
        ]
        return StencilGroup(
            name=self._unit.name,
            code=_common.stencil(self._unit.code, code_patches),
            data=_common.stencil(self._data + table, [*data_patches, *fills, *requests]),
        )

    def _trampoline_function(self, hole: Hole) -> str | None:
        outside = hole.value is HoleValue.ZERO and hole.symbol not in self._unit.symbols
        return _TRAMPOLINES.get(hole.kind) if outside else None

    def _is_shared_slot(self, hole: Hole) -> bool:
        """Return whether a hole wants the slot of an interpreter's symbol, which a whole trace shares."""
        return hole.operation in _GOT_OPERATIONS and _is_foreign_slot(hole)

    def _code_patch(self, hole: Hole) -> Patch:
        if id(hole) in self._folded_away:
            if hole.value is HoleValue.GOT and not _is_foreign_slot(hole):
                # Nobody patches this half, but upstream gives its symbol a slot here, which decides their order.
                self._slots.lookup(str(hole.symbol))
            return Patch(func="", offsets=(hole.offset,), form=PatchForm.VOID)
        if function := self._trampoline_function(hole):
            return Patch(func=function, offsets=(hole.offset,), form=PatchForm.TRAMPOLINE, symbol=hole.symbol)
        patch = self._shared_slot(hole) if _is_foreign_slot(hole) else self._address(hole)
        first = self._pairs.get(id(hole))
        return patch if first is None else replace(patch, func=_pairs.FOLDED, offsets=(first.offset, hole.offset))

    def _data_patch(self, hole: Hole) -> Patch:
        """Make the patch of a hole in the data, where upstream never asks the trace for a slot."""
        if _is_foreign_slot(hole):
            raise self._no_slot(hole)
        return self._address(hole)

    def _no_slot(self, hole: Hole) -> ObjectError:
        return ObjectError(
            f"{hole.kind} wants a slot for {hole.symbol} that this CPython does not give out",
            where=f"uop {self._unit.name}, offset {hole.offset:#x}",
            fix="change the flag that makes the compiler use it (-fPIC?), or report this with the uop's name",
        )

    def _shared_slot(self, hole: Hole) -> Patch:
        if not self._is_shared_slot(hole):
            # Another uop may have a slot for the symbol; but this kind would neither ask for it nor reckon with it.
            raise self._no_slot(hole)
        return Patch(
            func=_common.patch_function(self._unit, hole, PATCHES),
            offsets=(hole.offset,),
            form=PatchForm.GOT_SLOT,
            symbol=hole.symbol,
            addend=-4 if hole.operation in _X86_GOT_OPERATIONS else 0,
        )

    def _address(self, hole: Hole) -> Patch:
        if str(hole.symbol).startswith(_marks.CONSTANT):
            value = HoleValue[str(hole.symbol).removeprefix(_marks.CONSTANT)]
            hole = replace(hole, value=value, symbol=None)
        return _same_field(_common.address_patch(self._unit, hole, self._slots, PATCHES))


def _is_foreign_slot(hole: Hole) -> bool:
    """Return whether a hole wants the slot of a symbol that is the interpreter's, not a value of the uop's."""
    return hole.value is HoleValue.GOT and "_JIT_" not in str(hole.symbol)


def _same_field(patch: Patch) -> Patch:
    """Say which field a value comes from, and no more: that is all that a header says."""
    return replace(patch, value=_SAME_FIELD.get(patch.value, patch.value))
