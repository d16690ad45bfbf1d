"""Stage 5: bytes -> ObjectFile. One module per format, one interface.

Each parser takes untrusted bytes: it answers with an `ObjectFile` or raises `ObjectError`, whatever it is fed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Section
from stencilkit.model.target import ObjectFormat, Target
from stencilkit.model.unwind import FrameTable

Parser = Callable[[bytes, str, bool], ObjectFile]

# Imported on first use: a build needs one of them.
_MODULES: Final[dict[ObjectFormat, str]] = {
    "elf": "stencilkit.objects.elf",
    "macho": "stencilkit.objects.macho",
    "coff": "stencilkit.objects.coff",
}


def parse(data: bytes, target: Target, *, unwind: bool = False) -> ObjectFile:
    """Read an object file of a target's format.

    With `unwind`, tables for unwinding are kept as data instead of being refused: the shim has some.

    Raises: ObjectError.
    """
    parser: Parser = import_module(_MODULES[target.format]).parse
    parsed = parser(data, target.symbol_prefix, unwind)
    for section in parsed.sections:
        _check_places(section)
    return parsed


def _check_places(section: Section) -> None:
    """Refuse symbols and relocations that lie outside their section; a symbol may mark its end."""
    size = len(section.data)
    outside = [symbol.name for symbol in section.symbols if not 0 <= symbol.offset <= size]
    outside += [f"{r.kind} at {r.offset:#x}" for r in section.relocations if not 0 <= r.offset < size]
    if outside:
        raise ObjectError(f"the object is damaged: {outside[0]} lies outside section {section.name!r}")


def frame_table(data: bytes, target: Target) -> FrameTable | None:
    """Read the call frame information of an object's one function, None where the format has no DWARF for it.

    Raises: ObjectError.
    """
    reader = getattr(import_module(_MODULES[target.format]), "frame_table", None)
    table: FrameTable | None = reader(data) if reader is not None else None
    return table
