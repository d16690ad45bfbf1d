"""What a stencil is: code, data, and the calls that patch holes in them.

Two levels. A `Hole` is a relocation whose symbol has been understood (`LoweredUnit`, straight from an object
file). A `Patch` is one finished call of a `patch_*` function of CPython's `Python/jit.c` (`StencilGroup`, ready
to be rendered or compared). The words are those of CPython's `Tools/jit/_stencils.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Mapping
from dataclasses import dataclass, field


@enum.unique
class HoleValue(enum.Enum):
    """A base value that the JIT adds to a hole at run time.

    The union over all CPython versions; each dialect names the ones it has, and the C expression for each.
    `uop template symbols` of the form `_JIT_<NAME>` resolve to these (CPython's `symbol_to_value`).
    """

    CODE = "CODE"
    CONTINUE = "CONTINUE"
    DATA = "DATA"
    EXECUTOR = "EXECUTOR"
    GOT = "GOT"
    OPARG = "OPARG"
    OPARG_16 = "OPARG_16"
    OPERAND = "OPERAND"
    OPERAND_HI = "OPERAND_HI"
    OPERAND_LO = "OPERAND_LO"
    OPERAND0 = "OPERAND0"
    OPERAND0_16 = "OPERAND0_16"
    OPERAND0_32 = "OPERAND0_32"
    OPERAND0_HI = "OPERAND0_HI"
    OPERAND0_LO = "OPERAND0_LO"
    OPERAND1 = "OPERAND1"
    OPERAND1_16 = "OPERAND1_16"
    OPERAND1_32 = "OPERAND1_32"
    OPERAND1_HI = "OPERAND1_HI"
    OPERAND1_LO = "OPERAND1_LO"
    TARGET = "TARGET"
    JUMP_TARGET = "JUMP_TARGET"
    ERROR_TARGET = "ERROR_TARGET"
    EXIT_INDEX = "EXIT_INDEX"
    TOP = "TOP"
    ZERO = "ZERO"


@enum.unique
class Operation(enum.Enum):
    """What patching one hole does to the bytes, whatever the object format called it.

    A relocation kind maps onto one of these (`holes.py`); a dialect maps each onto a patch function.
    """

    ABS32 = "store a 32-bit absolute address"
    ABS64 = "store a 64-bit absolute address"
    REL32 = "store a 32-bit displacement"
    GOT_REL32 = "store a 32-bit displacement to a GOT slot, relaxing the load where the target is near"
    COFF_REL32 = "COFF's single kind for calls and for loads through __imp_ slots; relaxes like GOT_REL32"
    PAGE21 = "aarch64 adrp"
    GOT_PAGE21 = "aarch64 adrp of a GOT slot"
    COFF_PAGE21 = "COFF's single kind for adrp"
    LO12 = "aarch64 low 12 bits"
    GOT_LO12 = "aarch64 low 12 bits of a GOT slot"
    COFF_LO12_LOAD = "COFF's low 12 bits in a load or store"
    COFF_LO12_ADD = "COFF's low 12 bits in an addition"
    BRANCH19 = "aarch64 conditional branch"
    BRANCH26 = "aarch64 b or bl"
    MOVW0 = "aarch64 movz/movk, bits 0 to 15"
    MOVW1 = "aarch64 movz/movk, bits 16 to 31"
    MOVW2 = "aarch64 movz/movk, bits 32 to 47"
    MOVW3 = "aarch64 movz/movk, bits 48 to 63"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A relocation with its symbol understood.

    `offset` is in bytes from the start of the stencil part; `addend` is signed. `value` is GOT where the hole
    wants the address of a slot that holds `symbol`'s address.
    """

    offset: int
    kind: str
    operation: Operation
    value: HoleValue
    symbol: str | None
    addend: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredUnit:
    """One object file as code, data, holes in relocation order, and the symbols that it defines.

    `symbols` maps a name to (CODE or DATA, offset in that part), in the order of definition.
    """

    name: str
    code: bytes
    data: bytes
    code_holes: tuple[Hole, ...]
    data_holes: tuple[Hole, ...]
    symbols: Mapping[str, tuple[HoleValue, int]]


@enum.unique
class PatchForm(enum.Enum):
    """How the arguments of a patch call are spelled."""

    ADDRESS = "address"
    """`func(part + offset, value + symbol + addend)`"""
    TRAMPOLINE = "trampoline"
    """`func(part + offset, ordinal of symbol, state)`"""
    GOT_SLOT = "got-slot"
    """`func(part + offset, got_symbol_address(ordinal of symbol, state) [- 4])`; `addend` is 0 or -4"""
    GOT_FILL = "got-fill"
    """`func(state, ordinal of symbol)`"""
    VOID = "void"
    """Nothing: CPython 3.15 keeps a blank line where a folded hole was"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One call of a `patch_*` function.

    `offsets` has one element; two for a folded pair (`patch_aarch64_33rx`), the first instruction first; none for
    GOT_FILL. A VOID patch keeps the offset that it would have had, since it takes its place in the order.
    """

    func: str
    offsets: tuple[int, ...]
    form: PatchForm = PatchForm.ADDRESS
    value: HoleValue = HoleValue.ZERO
    symbol: str | None = None
    addend: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stencil:
    """Bytes to be copied, and the patches to apply to the copy, in order."""

    body: bytes
    patches: tuple[Patch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StencilGroup:
    """The code and data of one uop (or of the shim or trampoline, where CPython has one in the header)."""

    name: str
    code: Stencil
    data: Stencil

    @property
    def patches(self) -> tuple[Patch, ...]:
        """List the patches of code and data."""
        return (*self.code.patches, *self.data.patches)

    @property
    def hole_count(self) -> int:
        """Count the patch calls, blanks excluded."""
        return sum(patch.form is not PatchForm.VOID for patch in self.patches)


@dataclass(frozen=True, slots=True, kw_only=True)
class StencilSet:
    """Everything that one header holds.

    `groups` are in the order of the header's functions. `entry` names the group that is not a uop ("shim",
    "trampoline"), if there is one. `symbols` is CPython's `symbols_map`: the index is the ordinal.
    """

    groups: tuple[StencilGroup, ...]
    entry: str | None = None
    symbols: tuple[str, ...] = ()
    _by_name: dict[str, StencilGroup] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {group.name: group for group in self.groups})

    def __getitem__(self, name: str) -> StencilGroup:
        return self._by_name[name]

    def find(self, name: str) -> StencilGroup | None:
        """Find a group, None if there is none of this name."""
        return self._by_name.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def uops(self) -> tuple[StencilGroup, ...]:
        """List the groups that are uops, in header order."""
        return tuple(group for group in self.groups if group.name != self.entry)

    @property
    def ordinals(self) -> dict[str, int]:
        """Map the symbols of `symbols_map` to their ordinals."""
        return {symbol: ordinal for ordinal, symbol in enumerate(self.symbols)}


def signed64(value: int) -> int:
    """Reduce a value to a signed 64-bit integer (CPython's `_stencils._signed`)."""
    value %= 1 << 64
    return value - (1 << 64) if value & (1 << 63) else value


def symbol_value(symbol: str, values: Container[HoleValue]) -> tuple[HoleValue, str | None]:
    """Understand a symbol: `_JIT_<VALUE>` is a hole value, everything else is itself.

    CPython: `_stencils.symbol_to_value`.
    """
    if symbol.startswith("_JIT_"):
        value = HoleValue.__members__.get(symbol.removeprefix("_JIT_"))
        if value is not None and value in values:
            return value, None
    return HoleValue.ZERO, symbol
