"""Bytes -> ObjectFile. One module per format, one interface.

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
from stencilkit.objects.bookkeeping import Linked
from stencilkit.support import limits

Parser = Callable[[bytes, str, bool], ObjectFile]

# Imported on first use: a build needs one of them.
_MODULES: Final[dict[ObjectFormat, str]] = {
    "elf": "stencilkit.objects.elf",
    "macho": "stencilkit.objects.macho",
    "coff": "stencilkit.objects.coff",
}
_ACCOUNTS: Final[dict[ObjectFormat, str]] = {
    "elf": "stencilkit.objects.linked_elf",
    "macho": "stencilkit.objects.linked_macho",
    "coff": "stencilkit.objects.linked_coff",
}
# Where a file says which machine it is for, and how.
_MACHINES: Final[dict[tuple[ObjectFormat, str], tuple[int, bytes]]] = {
    ("elf", "x86_64"): (18, b"\x3e\x00"),
    ("elf", "aarch64"): (18, b"\xb7\x00"),
    ("macho", "x86_64"): (4, b"\x07\x00\x00\x01"),
    ("macho", "aarch64"): (4, b"\x0c\x00\x00\x01"),
    ("coff", "i686"): (0, b"\x4c\x01"),
    ("coff", "x86_64"): (0, b"\x64\x86"),
    ("coff", "aarch64"): (0, b"\x64\xaa"),
}


@limits.bounded(ObjectError)
def parse(data: bytes, target: Target, *, unwind: bool = False) -> ObjectFile:
    """Read an object file of a target's format.

    With `unwind`, tables for unwinding are kept as data instead of being refused: the shim has some.

    Raises: ObjectError.
    """
    parser: Parser = import_module(_MODULES[target.format]).parse
    parsed = parser(data, target.symbol_prefix, unwind)
    place, machine = _MACHINES[target.format, target.arch]
    if data[place : place + len(machine)] != machine:
        raise ObjectError(f"the object is not for {target.arch}", fix="look for a flag that says so (-arch, -m32)")
    for section in parsed.sections:
        _check_places(section)
    return parsed


def _check_places(section: Section) -> None:
    """Refuse symbols and relocations that are outside their section; a symbol may mark its end."""
    size = len(section.data)
    outside = [symbol.name for symbol in section.symbols if not 0 <= symbol.offset <= size]
    outside += [f"{r.kind} at {r.offset:#x}" for r in section.relocations if not 0 <= r.offset < size]
    if outside:
        raise ObjectError(f"the object is damaged: {outside[0]} is outside section {section.name!r}")


@limits.bounded(ObjectError)
def frame_table(data: bytes, target: Target) -> FrameTable | None:
    """Read the call frame information of an object's one function, None where the format has no DWARF for it.

    Raises: ObjectError.
    """
    reader = getattr(import_module(_MODULES[target.format]), "frame_table", None)
    table: FrameTable | None = reader(data) if reader is not None else None
    return table


@limits.bounded(ObjectError)
def account(data: bytes, target: Target) -> Linked:
    """Check that an object, which a linker will take whole, is the shim and nothing else: every byte is accounted for.

    Raises: ObjectError.
    """
    linked: Linked = import_module(_ACCOUNTS[target.format]).account(data, target)
    return linked
