"""What several dialects do alike; each function names the CPython code that it stands for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from stencilkit.errors import RelocationError, SourceError
from stencilkit.model.source import SourceTree, Unit, UnitRole, Uop
from stencilkit.model.stencil import (
    Hole,
    HoleValue,
    LoweredUnit,
    Operation,
    Patch,
    Stencil,
    signed64,
    symbol_value,
)
from stencilkit.model.target import Flavour
from stencilkit.support import trees

TEMPLATE: Final = "Tools/jit/template.c"
CASES: Final = "Python/executor_cases.c.h"
_PLACEHOLDER: Final = "CASE"
# The name of a unit of several uops, and the variable whose number says which of them is next.
EVERY_UOP: Final = "stencilkit_uop"
# Direct branches to symbols outside the stencil go through a trampoline; COFF's do not (-fplt, or slots).
TRAMPOLINE_KINDS: Final = frozenset({"R_AARCH64_CALL26", "R_AARCH64_JUMP26", "ARM64_RELOC_BRANCH26"})

# C expressions of the values that every version has, and of some that several have.
VALUES: Final[Mapping[HoleValue, str]] = {
    HoleValue.CODE: "(uintptr_t)code",
    HoleValue.DATA: "(uintptr_t)data",
    HoleValue.OPARG: "instruction->oparg",
    HoleValue.TARGET: "instruction->target",
    HoleValue.ZERO: "",
}
CONTINUE: Final = "(uintptr_t)code + sizeof(code_body)"
EXECUTOR: Final = "(uintptr_t)executor"
# The two operands that uops have since 3.14, whole and as the halves that a 32-bit platform patches.
OPERANDS: Final[Mapping[HoleValue, str]] = {
    HoleValue.OPERAND0: "instruction->operand0",
    HoleValue.OPERAND0_HI: "(instruction->operand0 >> 32)",
    HoleValue.OPERAND0_LO: "(instruction->operand0 & UINT32_MAX)",
    HoleValue.OPERAND1: "instruction->operand1",
    HoleValue.OPERAND1_HI: "(instruction->operand1 >> 32)",
    HoleValue.OPERAND1_LO: "(instruction->operand1 & UINT32_MAX)",
}

# The patch functions that every version's jit.c has.
PATCHES: Final[Mapping[Operation, str]] = {
    Operation.ABS32: "patch_32",
    Operation.ABS64: "patch_64",
    Operation.REL32: "patch_32r",
    Operation.GOT_REL32: "patch_x86_64_32rx",
    Operation.COFF_REL32: "patch_x86_64_32rx",
    Operation.PAGE21: "patch_aarch64_21r",
    Operation.GOT_PAGE21: "patch_aarch64_21r",
    Operation.COFF_PAGE21: "patch_aarch64_21r",
    Operation.LO12: "patch_aarch64_12",
    Operation.GOT_LO12: "patch_aarch64_12",
    Operation.COFF_LO12_LOAD: "patch_aarch64_12",
    Operation.COFF_LO12_ADD: "patch_aarch64_12",
    Operation.BRANCH26: "patch_aarch64_26r",
    Operation.MOVW0: "patch_aarch64_16a",
    Operation.MOVW1: "patch_aarch64_16b",
    Operation.MOVW2: "patch_aarch64_16c",
    Operation.MOVW3: "patch_aarch64_16d",
}


def split_prefix(text: str) -> tuple[str, str, int]:
    """Split C text after its leading run of includes, comments and blank lines.

    Returns the prefix, the rest, and the line number (from 1) at which the rest starts. A shorter prefix than
    possible costs time; a longer one than is safe would change code, so anything else ends the run.
    """
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        bare = line.strip()
        if bare and not bare.startswith(("#include ", "//")):
            return "".join(lines[:number]), "".join(lines[number:]), number + 1
    return text, "", len(lines) + 1


def template_units(tree: SourceTree, uops: Sequence[Uop]) -> list[Unit]:
    """Insert each uop's case into the template (CPython: `_targets._build_stencils`).

    The order is that of the case texts, not of the names: "case _A:" and "case _A_B:" sort by the colon.

    Raises: SourceError.
    """
    prefix, rest, line = split_prefix(trees.read(tree, TEMPLATE))
    if _PLACEHOLDER in prefix or _PLACEHOLDER not in rest:
        raise SourceError(
            f"the template has no place for a uop ({_PLACEHOLDER})", where=str(tree.root / TEMPLATE), fix=trees.COMPLETE
        )
    return [
        Unit(
            name=uop.name,
            prefix=prefix,
            body=rest.replace(_PLACEHOLDER, uop.text),
            body_line=line,
            file=f"./{uop.name}.c",
            sources=(TEMPLATE, CASES),
        )
        for uop in sorted(uops, key=lambda uop: (uop.text, uop.name))
    ]


def marked(uops: Sequence[Uop]) -> Uop:
    """Put the cases of uops one after the other; each begins with its number, and behind them is a negative one."""
    cases = [uop.text.replace("{\n", f"{{\n{EVERY_UOP} = {number};\n", 1) for number, uop in enumerate(uops)]
    return Uop(name="all", text="\n".join([*cases, f"{EVERY_UOP}_end: {EVERY_UOP} = -1;"]), line=0)


def every_uop(unit: Unit) -> Unit:
    """Make one unit of a template and marked uops. It is never a stencil."""
    return replace(unit, name=EVERY_UOP, body=f"extern int {EVERY_UOP};\n{unit.body}", short_body=None)


def whole_unit(tree: SourceTree, name: str, path: str, role: UnitRole = "group") -> Unit:
    """Make a unit of a file of the tree that is compiled as it stands."""
    prefix, body, line = split_prefix(trees.read(tree, path))
    return Unit(name=name, prefix=prefix, body=body, body_line=line, file=f"./{path}", sources=(path,), role=role)


def input_digest(tree: SourceTree, pyconfig: bytes, triple: str, flavour: Flavour, cflags: str) -> str:
    """Compute CPython's digest of its inputs (`_targets._Target._compute_digest`).

    It covers all of Tools/jit, but no header; the manifest covers those.
    """
    hasher = hashlib.sha256()
    hasher.update(triple.encode())
    hasher.update(b"\1" if flavour == "debug" else b"\0")
    hasher.update(cflags.encode())
    cases, *generator = digested_files(tree)
    hasher.update((tree.root / cases).read_bytes())
    hasher.update(pyconfig)
    for name in generator:
        hasher.update((tree.root / name).read_bytes())
    return hasher.hexdigest()


def digested_files(tree: SourceTree) -> list[str]:
    """List the files of the tree that line 1 covers, in the order in which they are digested."""
    names = [CASES]
    for folder, _, files in sorted(os.walk(tree.root / "Tools/jit")):
        if not folder.endswith("__pycache__"):
            names += [Path(folder, name).relative_to(tree.root).as_posix() for name in sorted(files)]
    return names


class SlotTable:
    """The pointers that a stencil keeps at the end of its data, one per symbol that is addressed through a slot.

    CPython: `StencilGroup._global_offset_table_lookup` and `_emit_global_offset_table`.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._offsets: dict[str, int] = {}

    def lookup(self, symbol: str) -> int:
        """Return the offset in the data of a symbol's slot, giving it the next one if it has none."""
        return self._offsets.setdefault(symbol, self._start + 8 * len(self._offsets))

    def patches(
        self,
        symbols: Mapping[str, tuple[HoleValue, int]],
        values: Container[HoleValue],
        function: str,
    ) -> tuple[bytes, list[Patch]]:
        """Return the slots' bytes, and the patches that fill them."""
        filled = [_slot(symbol, offset, symbols, values, function) for symbol, offset in self._offsets.items()]
        return bytes(8 * len(filled)), filled


def _slot(
    symbol: str,
    offset: int,
    symbols: Mapping[str, tuple[HoleValue, int]],
    values: Container[HoleValue],
    function: str,
) -> Patch:
    if symbol in symbols:
        value, addend = symbols[symbol]
        return Patch(func=function, offsets=(offset,), value=value, addend=addend)
    value, plain = symbol_value(symbol, values)
    return Patch(func=function, offsets=(offset,), value=value, symbol=plain)


def address_patch(unit: LoweredUnit, hole: Hole, slots: SlotTable, functions: Mapping[Operation, str]) -> Patch:
    """Make the patch of an ordinary hole (CPython: `StencilGroup.process_relocations`).

    Raises: RelocationError.
    """
    function = patch_function(unit, hole, functions)
    value, symbol, addend = hole.value, hole.symbol, hole.addend
    if value is HoleValue.GOT and symbol is not None:
        addend += slots.lookup(symbol)
        value, symbol = HoleValue.DATA, None
    elif symbol is not None and symbol in unit.symbols:
        value, base = unit.symbols[symbol]
        symbol, addend = None, addend + base
    elif hole.operation is Operation.COFF_REL32 and value is HoleValue.ZERO and symbol is not None:
        raise RelocationError(
            f"{symbol} is used without being imported from the DLL",
            where=f"uop {unit.name}, offset {hole.offset:#x}",
            fix=f"add PyAPI_FUNC(...) or PyAPI_DATA(...) to the declaration of {symbol} in CPython",
        )
    return Patch(func=function, offsets=(hole.offset,), value=value, symbol=symbol, addend=signed64(addend))


def patch_function(unit: LoweredUnit, hole: Hole, functions: Mapping[Operation, str]) -> str:
    """Name the patch function for a hole.

    Raises: RelocationError where this CPython has none.
    """
    function = functions.get(hole.operation)
    if function is None:
        raise RelocationError(
            f"{hole.kind} needs a patch function ({hole.operation.value}) that this CPython's jit.c does not have",
            where=f"uop {unit.name}, offset {hole.offset:#x}",
            fix="change the flag that makes the compiler use it, or report this with the uop's name",
        )
    return function


def in_order(patches: Iterable[Patch]) -> tuple[Patch, ...]:
    """Sort patches by offset; those at the same place keep their order."""
    return tuple(sorted(patches, key=position))


def position(patch: Patch) -> int:
    """Return the offset that a patch is sorted by: of a folded pair, the second instruction's."""
    return patch.offsets[-1] if patch.offsets else 0


def pad(data: bytes, alignment: int) -> bytes:
    """Add zero bytes up to a multiple of `alignment`."""
    return data + bytes(-len(data) % alignment)


def stencil(body: bytes, patches: Iterable[Patch]) -> Stencil:
    """Make a stencil with its patches in order."""
    return Stencil(body=body, patches=in_order(patches))
