"""What the readers of object files share: bounds, and a budget.

Every access to a file is checked against its size, and what has been read is counted. Tables of an object file may
are on top of each other, so that a small file describes a large one, over and over; those of a compiler do not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from stencilkit.errors import ObjectError

# Dozens of debug uops of 3.15, assembled together, have 0.3 MB.
_LARGEST_FILE: Final = 4 << 20
# Headers are read up to three times; names in a table may share their tails. Alignment and zeroes cost no byte of the
# file, so that a tiny one may ask for more than it holds.
_READINGS: Final = 8
_FREE: Final = 0x20000

# Of a section with contents; what is said of zero-initialised ones is each format's.
WRITABLE: Final = "a stencil has nowhere to keep state, and every copy of it would have its own"
WRITABLE_FIX: Final = "leave flags that bring data along (sanitizers, profiling, coverage) out of CFLAGS_JIT"


class Reader:
    """The bytes of an object file; nothing outside of them is ever believed, and nothing is read without end."""

    def __init__(self, data: bytes) -> None:
        """Take a file.

        Raises: ObjectError where no compiler made that.
        """
        if len(data) > _LARGEST_FILE:
            raise ObjectError(f"the object has {len(data)} bytes: no uop's has more than {_LARGEST_FILE}")
        self._data = data
        self._left = _READINGS * len(data) + _FREE

    def spend(self, size: int) -> None:
        """Count bytes that are about to be made.

        Raises: ObjectError where the file has been read many times over.
        """
        self._left -= size
        if self._left < 0:
            raise ObjectError("the object is damaged: its parts are on top of each other")

    def part(self, offset: int, size: int, what: str) -> bytes:
        """Return a part of the file.

        Raises: ObjectError where the file does not hold it.
        """
        if size and offset + size > len(self._data):
            raise ObjectError(f"the object is damaged: {what} is outside the file")
        self.spend(size)
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

    def name(self, strings: bytes, offset: int) -> str:
        """Read a name from a table of zero-terminated strings, which may start inside another one.

        Raises: ObjectError.
        """
        end = strings.find(b"\0", offset)
        if not 0 <= offset < len(strings) or end < 0:
            raise ObjectError(f"the object is damaged: a name at {offset:#x} is outside the table of names")
        self.spend(end - offset)
        return spelt(strings[offset:end])


def spelt(name: bytes) -> str:
    """Spell a name up to its first zero byte; what is not UTF-8 is escaped."""
    return name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
