"""What the three accounts of a shim's object share: which byte of the file belongs to what, and that none is left over.

Records are not read field by field but written again from what may vary, and compared whole: no field is forgotten.
docs/adr/0201 says why the shim is treated so.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, Final

from stencilkit.errors import ObjectError

ENTRY: Final = "_PyJIT_Entry"
SOURCE: Final = "shim.c"
# "Debian clang version 21.1.8 (14)", "clang version 19.1.7 (https://github.com/...)"; LLVM's own limit is higher.
_PRODUCER: Final = re.compile(rb"(?:[!-~]+ ){0,8}clang version (\d{1,3})\.(\d{1,3})\.(\d{1,3})[ -~]{0,200}")
_FIX: Final = (
    "leave flags that add sections or symbols to an object (-g, -ffunction-sections, -fstack-protector) out of "
    "CFLAGS_JIT; if nobody gave any, do not use this object"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What may vary in an object that is nothing but the shim.

    `producer` is the compiler's name for itself, "" where the format does not record it; it differs by vendor, and no
    linker looks at it. `varying` spells everything else that is not the same in every such object.
    """

    producer: str
    varying: tuple[str, ...]


def refused(what: str) -> ObjectError:
    """Make the error for an object that carries more than the shim."""
    return ObjectError(f"the object is more than the shim: {what}", fix=_FIX)


def producer(text: bytes) -> tuple[str, tuple[int, int, int]]:
    """Read a compiler's name for itself; return it with the version that it names.

    Raises: ObjectError.
    """
    match = _PRODUCER.fullmatch(text)
    if match is None:
        raise refused(f"its compiler is named {text[:80]!r}")
    return text.decode("ascii"), (int(match[1]), int(match[2]), int(match[3]))


def unpack(layout: struct.Struct, data: bytes, offset: int) -> tuple[Any, ...]:
    """Unpack a record to see what it says, which the caller checks; where the file ends, zeroes follow."""
    return layout.unpack(data[offset : offset + layout.size].ljust(layout.size, b"\0"))


class Account:
    """The bytes of a file, and who they belong to."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._taken: list[tuple[int, int, str]] = []

    def take(self, offset: int, size: int, what: str) -> bytes:
        """Return a part of the file, which belongs to nothing else.

        Raises: ObjectError where the file does not hold it.
        """
        if offset + size > len(self._data):
            raise refused(f"{what} is outside the file")
        self._taken.append((offset, offset + size, what))
        return self._data[offset : offset + size]

    def expect(self, offset: int, expected: bytes, what: str) -> None:
        """Take a part that can only be these bytes.

        Raises: ObjectError where it is others.
        """
        found = self.take(offset, len(expected), what)
        if found != expected:
            at = next(index for index, (one, two) in enumerate(zip(found, expected, strict=True)) if one != two)
            raise refused(f"{what} has {found[at : at + 8].hex()} at {at:#x}, not {expected[at : at + 8].hex()}")

    def close(self, largest_gap: int) -> None:
        """Check that every byte was taken once; fewer than `largest_gap` zeroes may be between two parts.

        Raises: ObjectError.
        """
        position, before = 0, "the start"
        for start, end, what in sorted(self._taken):
            gap = self._data[position:start]
            if start < position:
                raise refused(f"{what} is on top of {before}")
            # What is empty follows what is before it at once; the gap is that of the next part.
            if len(gap) >= (largest_gap if end > start else 1) or gap.strip(b"\0"):
                raise refused(f"{len(gap)} bytes between {before} and {what} belong to nothing")
            position, before = end, what
        if position != len(self._data):
            raise refused(f"{len(self._data) - position} bytes after {before} belong to nothing")


class Names:
    """A table of zero-terminated names, every byte of which some name must use."""

    def __init__(self, table: bytes, *, start: int, padding: int = 1) -> None:
        """Take a table whose first `start` bytes are not names, but zero or the size of the table.

        Fewer than `padding` zeroes may end it.

        Raises: ObjectError.
        """
        if table[:start] not in (b"\0", len(table).to_bytes(4, "little")):
            raise refused("the table of names does not begin as one")
        self._table = table
        self._start = start
        self._padding = padding
        self._used = set[int](range(start))

    def at(self, offset: int) -> str:
        """Read a name.

        Raises: ObjectError where there is none.
        """
        end = self._table.find(b"\0", offset)
        if not self._start <= offset < len(self._table) or end < 0:
            raise refused(f"a name is at {offset:#x} of the table of names")
        self._used.update(range(offset, end + 1))
        return self._table[offset:end].decode("ascii", "backslashreplace")

    def close(self) -> None:
        """Check that nothing else is in the table.

        Raises: ObjectError.
        """
        unused = [at for at in range(len(self._table)) if at not in self._used]
        tail = self._table[unused[0] :] if unused else b""
        if len(tail) >= self._padding + (not unused) or tail.strip(b"\0"):
            raise refused(f"{len(tail)} bytes at the end of the table of names, or between them, are not names")
