"""Stage 5: bytes -> ObjectFile. One module per format, one interface.

Each parser takes untrusted bytes: it answers with an `ObjectFile` or raises `ObjectError`, whatever it is fed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from stencilkit.model.objectfile import ObjectFile
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
    return parser(data, target.symbol_prefix, unwind)


def frame_table(data: bytes, target: Target) -> FrameTable | None:
    """Read the call frame information of an object's one function, None where the format has no DWARF for it.

    Raises: ObjectError.
    """
    reader = getattr(import_module(_MODULES[target.format]), "frame_table", None)
    table: FrameTable | None = reader(data) if reader is not None else None
    return table
