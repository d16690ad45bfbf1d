"""CPython 3.13: the GHC calling convention through edited IR on x86, trampolines inside the stencils.

Stands for Tools/jit/_targets.py, _stencils.py and _writer.py of the 3.13 branch.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stencilkit.dialects import _common, _ghccc, _jumps, _pairs
from stencilkit.errors import SourceError
from stencilkit.model.build import Emits
from stencilkit.model.header import HeaderFormat
from stencilkit.model.manifest import FileRole
from stencilkit.model.source import NO_LINES, Entered, SourceTree, Unit, Uop, Variant
from stencilkit.model.stencil import (
    Hole,
    HoleValue,
    LoweredUnit,
    Operation,
    Stencil,
    StencilGroup,
    StencilSet,
)
from stencilkit.model.target import Flavour, SpelledTarget, Target, TargetSupport
from stencilkit.support import trees

# What make compares with the sources of the stencils is the header itself.
MAKE_STAMP: Final = ""
SERIES: Final = "3.13"
TRAMPOLINE: Final = "trampoline"
EXTRAS: Final = False
# The trampoline's is not called _JIT_*, because everything of that name gets the GHC calling convention.
ENTRY_SYMBOLS: Final = ("_JIT_ENTRY", "_ENTRY")
_CASES_INCLUDE: Final = '#include "executor_cases.c.h"\n'
_NEWLINE: Final = "\n"
_GHCCC_ARCHS: Final = ("x86_64", "i686")

HEADER: Final = HeaderFormat(
    series=SERIES,
    largest="MAX_UOP_ID",
    state="uintptr_t instruction_starts[]",
    values={
        **_common.VALUES,
        HoleValue.CONTINUE: _common.CONTINUE,
        HoleValue.EXECUTOR: _common.EXECUTOR,
        HoleValue.OPERAND: "instruction->operand",
        HoleValue.OPERAND_HI: "(instruction->operand >> 32)",
        HoleValue.OPERAND_LO: "(instruction->operand & UINT32_MAX)",
        HoleValue.JUMP_TARGET: "instruction_starts[instruction->jump_target]",
        HoleValue.ERROR_TARGET: "instruction_starts[instruction->error_target]",
        HoleValue.EXIT_INDEX: "instruction->exit_index",
        HoleValue.TOP: "instruction_starts[1]",
    },
    functions=frozenset(_common.PATCHES.values()) | _pairs.FUNCTIONS,
    masks=(),
    strip_zeros=False,
    entry=TRAMPOLINE,
)

PATCHES: Final = _common.PATCHES
VARIANTS: Final = _pairs.VARIANTS
_JUMPS: Final = (
    _jumps.THROUGH_SLOT,
    # Upstream's table has no R_X86_64_PLT32 here: the jumps of its -fpic code go through slots.
    replace(_jumps.RELATIVE, kinds=_jumps.RELATIVE.kinds - {"R_X86_64_PLT32"}),
    _jumps.AARCH64,
    _jumps.Fallthrough(  # jmp qword ptr [rip]
        kinds=frozenset({"R_X86_64_GOTPCRELX"}),
        value=HoleValue.GOT,
        symbol="_JIT_CONTINUE",
        addend=-4,
        encoding=b"\xff\x25\0\0\0\0",
        back=2,
    ),
)

# movz/movk x8 with the target's address in four steps, br x8.
_AARCH64_TRAMPOLINE: Final = (
    (0xD2800008, "R_AARCH64_MOVW_UABS_G0_NC", Operation.MOVW0),
    (0xF2A00008, "R_AARCH64_MOVW_UABS_G1_NC", Operation.MOVW1),
    (0xF2C00008, "R_AARCH64_MOVW_UABS_G2_NC", Operation.MOVW2),
    (0xF2E00008, "R_AARCH64_MOVW_UABS_G3", Operation.MOVW3),
    (0xD61F0100, None, None),
)
_BRANCH_OPCODE: Final = 0xFC000000
# Everything else is jumped to directly, or run into: patch_x86_64_32rx makes `jmp *slot` direct within a trace.
ENTERED: Final = (
    Entered(
        name=TRAMPOLINE,
        why="the interpreter calls executor->jit_code, where the trampoline is",
        file="Python/ceval_macros.h",
        text="jit_func jitted = (EXECUTOR)->jit_code;",
    ),
    Entered(
        name="_START_EXECUTOR",
        why="first of a trace: other traces jump to executor->jit_side_entry, behind the trampoline",
        file="Python/jit.c",
        text="assert(trace[0].opcode == _START_EXECUTOR || trace[0].opcode == _COLD_EXIT);",
    ),
    Entered(
        name="_COLD_EXIT",
        why="first of a trace that is an exit which was not taken yet",
        file="Tools/jit/template.c",
        text="return ((jit_func)((EXECUTOR)->jit_side_entry))(frame, stack_pointer, tstate);",
    ),
)


def emits(target: Target) -> Emits:
    """Go through IR where the calling convention is edited in."""
    return "llvm-ir" if target.arch in _GHCCC_ARCHS else "object"


def units(tree: SourceTree, uops: Sequence[Uop], target: Target) -> tuple[Unit, ...]:
    """List the uops, and the trampoline where the calling convention changes.

    Upstream includes all of executor_cases.c.h each time and selects a case with a constant. The other cases are
    dead code, and cost ten times what the live one does; the short body leaves them out.

    Raises: SourceError.
    """
    prefix, rest, line = _common.split_prefix(trees.read(tree, _common.TEMPLATE))
    before, include, after = rest.partition(_CASES_INCLUDE)
    if not include:
        where = str(tree.root / _common.TEMPLATE)
        raise SourceError("the template does not include the uops", where=where, fix=trees.COMPLETE)
    cases = trees.read(tree, _common.CASES)
    head, tail = _around_cases(cases)
    start = f'{before}#line 1 "./{_common.CASES}"\n'
    end = f'#line {line + before.count(_NEWLINE) + 1} "./{_common.TEMPLATE}"\n{after}'
    # Of 160 KB, and one text for all 235, so that it is hashed once, too.
    body = f"{start}{cases}{end}"
    found = [
        Unit(
            name=uop.name,
            prefix=prefix,
            body=body,
            short_body=f"{start}{head}{NO_LINES}        {uop.text}\n{tail}{end}",
            body_line=line,
            file=f"./{_common.TEMPLATE}",
            sources=(_common.TEMPLATE, _common.CASES),
        )
        for uop in sorted(uops, key=lambda uop: uop.name)
    ]
    if emits(target) == "llvm-ir":
        found.append(_common.whole_unit(tree, TRAMPOLINE, "Tools/jit/trampoline.c"))
    return tuple(found)


def every_uop(tree: SourceTree, uops: Sequence[Uop], target: Target) -> Unit:
    """Make one unit of some uops, with their cases one after the other."""
    unit = units(tree, uops, target)[0]
    cases = trees.read(tree, _common.CASES)
    head, tail = _around_cases(cases)
    return _common.every_uop(replace(unit, body=unit.body.replace(cases, f"{head}{_common.marked(uops).text}\n{tail}")))


def _around_cases(text: str) -> tuple[str, str]:
    """Return what the file has before the first case and after the last (it defines TIER_TWO there)."""
    first, end = "\n        case ", "\n        }\n"
    return text[: text.index(first) + 1], text[text.rindex(end) + len(end) :]


def edit_ir(text: str) -> str:
    """Change the calling convention."""
    return _ghccc.use_ghccc(text)


def input_digest(tree: SourceTree, pyconfig: bytes, request: SpelledTarget, flavour: Flavour, cflags: str) -> str:
    """Digest the inputs with the triple as configure spelt it; 3.13 has no CFLAGS_JIT."""
    return _common.input_digest(tree, pyconfig, request.spelling, flavour, "")


def file_names(request: SpelledTarget) -> Mapping[FileRole, str]:
    """Name the one header."""
    return {"stencils": "jit_stencils.h"}


def make_arguments(target: Target) -> tuple[str, ...]:
    """Spell nothing: the makefile does not depend on the target."""
    return ()


def finish(
    units: Sequence[LoweredUnit], target: Target, support: TargetSupport, variants: Container[Variant]
) -> StencilSet:
    """Finish every unit; where no trampoline is needed, it is an empty group."""
    groups = {unit.name: _group(unit, support.alignment, variants) for unit in units}
    empty = Stencil(body=b"", patches=())
    groups.setdefault(TRAMPOLINE, StencilGroup(name=TRAMPOLINE, code=empty, data=empty))
    return StencilSet(groups=tuple(groups[name] for name in sorted(groups)), entry=TRAMPOLINE)


def _group(unit: LoweredUnit, alignment: int, variants: Container[Variant]) -> StencilGroup:
    functions = _pairs.functions(variants)
    code, holes = _inline_trampolines(unit, alignment)
    code, holes = _jumps.removed(code, holes, _JUMPS, alignment=alignment)
    code = _common.pad(code, alignment)
    data = _common.pad(unit.data, 8)
    slots = _common.SlotTable(len(data))
    code_patches = [_common.address_patch(unit, hole, slots, functions) for hole in holes]
    data_patches = [_common.address_patch(unit, hole, slots, functions) for hole in unit.data_holes]
    table, fills = slots.patches(unit.symbols, HEADER.values, PATCHES[Operation.ABS64])
    folded = _pairs.fold(unit.name, _common.in_order(code_patches), code, len(data), variants)
    return StencilGroup(
        name=unit.name,
        code=Stencil(body=code, patches=folded),
        data=_common.stencil(data + table, [*data_patches, *fills]),
    )


def _inline_trampolines(unit: LoweredUnit, alignment: int) -> tuple[bytes, list[Hole]]:
    """Give every direct branch to the outside a trampoline behind the code.

    CPython: `Stencil.emit_aarch64_trampoline`.
    """
    code = unit.code
    holes = list(unit.code_holes)
    for hole in unit.code_holes:
        if hole.kind in _common.TRAMPOLINE_KINDS and hole.value is HoleValue.ZERO:
            code = _common.pad(code, alignment)
            start = len(code)
            code = _retarget(code, hole.offset, start)
            code += b"".join(word.to_bytes(4, "little") for word, _, _ in _AARCH64_TRAMPOLINE)
            holes.remove(hole)
            holes += [
                replace(hole, offset=start + 4 * index, kind=kind, operation=operation)
                for index, (_, kind, operation) in enumerate(_AARCH64_TRAMPOLINE)
                if kind is not None and operation is not None
            ]
    return code, holes


def _retarget(code: bytes, offset: int, start: int) -> bytes:
    """Make the branch at an offset go to another offset."""
    opcode = int.from_bytes(code[offset : offset + 4], "little") & _BRANCH_OPCODE
    word = opcode | (start - offset >> 2) & ~_BRANCH_OPCODE & 0xFFFFFFFF
    return code[:offset] + word.to_bytes(4, "little") + code[offset + 4 :]
