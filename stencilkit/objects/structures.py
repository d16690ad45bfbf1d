"""What the readers of Mach-O and COFF share: every access to the file goes through a check of its bounds."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from stencilkit.errors import ObjectError


class Reader:
    """The bytes of an object file; nothing outside of them is ever believed."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def part(self, offset: int, size: int, what: str) -> bytes:
        """Return a part of the file.

        Raises: ObjectError where the file does not hold it.
        """
        if size and offset + size > len(self._data):
            raise ObjectError(f"the object is damaged: {what} lies outside the file")
        return self._data[offset : offset + size]

    def record(self, layout: struct.Struct, offset: int, what: str) -> tuple[Any, ...]:
        """Unpack one record.

        Raises: ObjectError.
        """
        return layout.unpack(self.part(offset, layout.size, what))

    def table(self, layout: struct.Struct, offset: int, count: int, what: str) -> Iterator[tuple[Any, ...]]:
        """Unpack `count` records that follow each other; the file is asked before any is made.

        Raises: ObjectError.
        """
        return layout.iter_unpack(self.part(offset, layout.size * count, what))


def text_at(strings: bytes, offset: int) -> str:
    """Read a name from a table of zero-terminated strings, which may start inside another one.

    Raises: ObjectError.
    """
    end = strings.find(b"\0", offset)
    if not 0 <= offset < len(strings) or end < 0:
        raise ObjectError(f"the object is damaged: a name at {offset:#x} lies outside the table of names")
    return spelt(strings[offset:end])


def spelt(name: bytes) -> str:
    """Spell a name up to its first zero byte; what is not UTF-8 is escaped."""
    return name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
