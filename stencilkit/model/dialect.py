"""What is known of one CPython minor version: what its code does (a dialect), and its part of targets.toml."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stencilkit.model.build import Emits
from stencilkit.model.header import HeaderFormat
from stencilkit.model.manifest import FileRole
from stencilkit.model.source import Entered, SourceTree, Unit, Uop, Variant
from stencilkit.model.stencil import LoweredUnit, Operation, StencilSet
from stencilkit.model.target import Flavour, PythonSupport, SpelledTarget, Target, TargetSupport


class Dialect(Protocol):
    """What a module of `dialects` offers."""

    @property
    def SERIES(self) -> str:
        """The minor version, as in "3.14"."""

    @property
    def MAKE_STAMP(self) -> str:
        """The file by whose time make decides that the generated files are current; "" where it looks at theirs."""

    @property
    def HEADER(self) -> HeaderFormat:
        """How the header spells things."""

    @property
    def EXTRAS(self) -> bool:
        """Whether the shim and unwind information are beside the header, and are part of the content."""

    @property
    def PATCHES(self) -> Mapping[Operation, str]:
        """The patch function that does each operation."""

    @property
    def VARIANTS(self) -> tuple[Variant, ...]:
        """What only some of its patch releases do."""

    @property
    def ENTRY_SYMBOLS(self) -> tuple[str, ...]:
        """The names that the first instruction of a unit may have."""

    @property
    def ENTERED(self) -> tuple[Entered, ...]:
        """The stencils that are entered through a register or memory; all others are only jumped to, or run into."""

    def emits(self, target: Target) -> Emits:
        """Describe what the first compilation of a uop yields."""

    def units(self, tree: SourceTree, uops: Sequence[Uop], target: Target) -> tuple[Unit, ...]:
        """List the C units in the order in which their stencils are finished."""

    def every_uop(self, tree: SourceTree, uops: Sequence[Uop], target: Target) -> Unit:
        """Make one C unit of some uops, which is never a stencil: what it uses is what any of them uses.

        Each begins with `NAME = NUMBER;`: the name of the unit, and the number in the sequence; behind them stands a
        negative one.
        """

    def edit_ir(self, text: str) -> str:
        """Edit the LLVM IR of a unit (where `emits` says so)."""

    def input_digest(
        self, tree: SourceTree, pyconfig: bytes, request: SpelledTarget, flavour: Flavour, cflags: str
    ) -> str:
        """Compute what this CPython's build compares with line 1 of a header."""

    def finish(
        self, units: Sequence[LoweredUnit], target: Target, support: TargetSupport, variants: Container[Variant]
    ) -> StencilSet:
        """Turn holes into patches: slots, trampolines, jumps to the next stencil, padding."""

    def file_names(self, request: SpelledTarget) -> Mapping[FileRole, str]:
        """Name the files that this CPython's build looks for: role to name."""

    def make_arguments(self, target: Target) -> tuple[str, ...]:
        """Spell what make must be given for a target that this CPython's configure does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """One minor version: its dialect, and what it needs of compilers and targets."""

    dialect: Dialect
    support: PythonSupport
