"""Everything that differs from one CPython minor version to the next.

One module per version, all of one interface (`model.dialect.Dialect`); `dialect_for` looks a version up, and only
pipeline/knowing.py asks it: what is opened carries its dialect. Flags and LLVM ranges are data, in targets.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.dialects import _common, py313, py314, py315
from stencilkit.errors import SourceError
from stencilkit.model.dialect import Dialect
from stencilkit.model.header import HeaderFormat
from stencilkit.model.source import SourceTree, Variant
from stencilkit.support import trees

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
    for variant in tree.python.dialect.VARIANTS:
        refines = not variant.of or any(known.name == variant.of for known in found)
        if refines and variant.text in trees.read(tree, variant.file):
            found.append(variant)
    return tuple(found)


def digested_files(tree: SourceTree) -> tuple[str, ...]:
    """List the files of the tree that line 1 of a header covers; pyconfig.h is not a file of the tree."""
    return tuple(_common.digested_files(tree))
