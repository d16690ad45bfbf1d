"""What the parsers check before they believe a file's own counts and offsets."""

from __future__ import annotations

from typing import Final

from stencilkit.errors import ObjectError

# What lief's bindings raise for a number that its enumerations have no name for (nanobind: SystemError).
NAMELESS: Final = (SystemError, ValueError)


def check(data: bytes, offset: int, length: int, what: str) -> None:
    """Refuse a part of a file that the file does not hold.

    Raises: ObjectError.
    """
    if offset < 0 or length < 0 or offset + length > len(data):
        raise ObjectError(f"the object is damaged: {what} lies outside the file")
