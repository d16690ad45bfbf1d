"""Everything that differs from one CPython minor version to the next.

One module per version, all of one interface (`Dialect`); `dialect_for` is the only place that looks a version up.
Flags and LLVM ranges are data and live in targets.toml.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final, Protocol

from stencilkit.dialects import _common, py313, py314, py315
from stencilkit.errors import SourceError
from stencilkit.model.build import Emits
from stencilkit.model.header import HeaderFormat
from stencilkit.model.manifest import FileRole
from stencilkit.model.source import SourceTree, Unit, Uop, Variant
from stencilkit.model.stencil import LoweredUnit, Operation, StencilSet
from stencilkit.model.target import Flavour, SpelledTarget, Target, TargetSupport


class Dialect(Protocol):
    """What a dialect module offers."""

    @property
    def SERIES(self) -> str:
        """The minor version, as in "3.14"."""

    @property
    def MAKE_STAMP(self) -> str:
        """The file whose time tells make that the generated files are current; "" where their own does."""

    @property
    def HEADER(self) -> HeaderFormat:
        """How the header spells things."""

    @property
    def EXTRAS(self) -> bool:
        """Whether the shim and unwind information lie beside the header, and are part of the content."""

    @property
    def PATCHES(self) -> Mapping[Operation, str]:
        """The patch function that does each operation."""

    @property
    def VARIANTS(self) -> tuple[Variant, ...]:
        """What only some of its patch releases do."""

    @property
    def ENTRY_SYMBOLS(self) -> tuple[str, ...]:
        """The names that the first instruction of a unit may have."""

    def emits(self, target: Target) -> Emits:
        """Tell what the first compilation of a uop yields."""

    def units(self, tree: SourceTree, uops: Sequence[Uop], target: Target) -> tuple[Unit, ...]:
        """List the C units in the order in which their stencils are finished."""

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


_DIALECTS: Final[Mapping[str, Dialect]] = {module.SERIES: module for module in (py313, py314, py315)}

KNOWN: Final = tuple(sorted(_DIALECTS))


def dialect_for(series: str) -> Dialect:
    """Find the dialect of a minor version.

    Raises: SourceError.
    """
    if series not in _DIALECTS:
        raise SourceError(f"stencilkit does not know CPython {series}", fix=f"it knows {', '.join(KNOWN)}")
    return _DIALECTS[series]


def header_forms() -> tuple[HeaderFormat, ...]:
    """List the header formats of all versions."""
    return tuple(_DIALECTS[series].HEADER for series in KNOWN)


def variants(tree: SourceTree) -> tuple[Variant, ...]:
    """List what a tree's patch release does differently from the last one of its series.

    Raises: SourceError where a file that decides it cannot be read.
    """
    found: list[Variant] = []
    for variant in dialect_for(tree.version.series).VARIANTS:
        refines = not variant.of or any(known.name == variant.of for known in found)
        if refines and variant.text in tree.read(variant.file):
            found.append(variant)
    return tuple(found)


def digested_files(tree: SourceTree) -> tuple[str, ...]:
    """List the files of the tree that line 1 of a header covers; pyconfig.h is no file of the tree."""
    return tuple(_common.digested_files(tree))
