"""A layout -> C that asks a compiler for the same numbers, one line each; and the answers.

Nothing here runs for the target: numbers are constant expressions, and where a bit-field is can be read from the bytes
of a constant. Names come from a manifest, whose reader lets nothing pass that is not a C name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from stencilkit.model.layout import CONFIGURATION, Layout, Row, Span, defined, split_member

_FAILED: Final = re.compile(r"^[^\n]*?\.c:(\d+)(?::\d+)?: (?:fatal )?error: ([^\n]*)", re.MULTILINE)
# clang's last word after twenty errors, unless -ferror-limit says another number.
_MANY: Final = "too many errors emitted"
_VALUE: Final = "stencilkit-value-"
_BITS: Final = "stencilkit-bits-"
_MARK_BYTES: Final = 64
# Of the structures with bit-fields that stencils read, PyASCIIObject is the largest.
_ROOM_BYTES: Final = 512
# CPython's own C files are compiled with this macro, and stencils are not. By it, a thread's state ends with one more
# member in 3.15, and a thread's state is the last member of an interpreter's, and that one of the runtime's. Stencils
# walk no arrays of these; what else changes with it may be an array that they do walk.
RUNTIME_ONLY: Final = "_Py_TIER2"
"""The macro that configure gives to CPython's own C files, and CPython's generator not to stencils."""
_LONGER: Final = ("struct _PyThreadStateImpl", "struct _is", "struct pyruntimestate")
_HEAD: Final = """\
// The numbers that the stencils of {title} have compiled in, asked of another compiler.
// Written by stencilkit. Compile it with the flags that this CPython is compiled with: -fsyntax-only is enough.
"""


class Text:
    """A C text, and which row is on which of its lines."""

    def __init__(self, head: str = "") -> None:
        self._lines: list[str] = head.splitlines()
        self._rows: dict[int, Row | str] = {}

    @property
    def text(self) -> str:
        """Return the text."""
        return "".join(f"{line}\n" for line in self._lines)

    def add(self, line: str, about: Row | str | None = None) -> None:
        """Add a line, and what it is about: a row, or the name of a bit-field."""
        self._lines += line.splitlines() or [""]
        if about is not None:
            self._rows[len(self._lines)] = about

    def failed(self, said: str) -> tuple[dict[Row | str, str], tuple[str, ...]]:
        """Read a compiler's errors: what it says of each row, and all errors of other lines, in order."""
        rows: dict[Row | str, str] = {}
        others: dict[str, None] = {}
        for match in _FAILED.finditer(said):
            about = self._rows.get(int(match[1]))
            if about is None:
                others[match[0].strip()] = None
            else:
                rows.setdefault(about, match[2])
        for line in said.splitlines():
            if "error: " in line and not _FAILED.match(line) and _MANY not in line:
                others[line.strip()] = None
        return rows, tuple(others)


def asserting(layout: Layout, prefix: str, title: str) -> Text:
    """Write a `_Static_assert` for every number; what needs no header comes before them, so that it is always said."""
    text = Text(_HEAD.format(title=title))
    rows = list(layout.rows())
    for row in rows:
        if row.kind == "platform":
            _assert(text, row)
    _headers(text, prefix)
    for row in rows:
        if row.kind != "platform":
            _assert(text, row)
    return text


def may_be_longer(row: Row) -> bool:
    """Say whether this is the size of a structure that has more members in the runtime, behind those of stencils."""
    return row.kind == "type" and row.subject in {f"size of {name}" for name in _LONGER}


def _assert(text: Text, row: Row) -> None:
    longer = may_be_longer(row)
    if longer:
        text.add(f"#ifndef {RUNTIME_ONLY}")
    text.add(f'_Static_assert(({row.expression}) == {row.value}, "{row.subject} is {row.value} in the stencils");', row)
    if longer:
        text.add("#endif")


def measuring(rows: Sequence[Row], bits: Mapping[str, Span], prefix: str) -> Text:
    """Write a constant for every number, and for every bit-field one with all of its bits set.

    A mark stands before each, so that they are found in an object of any format, without its symbols. The mark's
    length is a multiple of every alignment, so nothing is between them.
    """
    text = Text()
    _headers(text, prefix if bits or any(row.kind != "platform" for row in rows) else "")
    mark = f"const struct {{ char mark[{_MARK_BYTES}]; "
    for number, row in enumerate(rows):
        start = f'{mark}long long value; }} stencilkit_value_{number} = {{ "{_VALUE}{number}", '
        text.add(f"{start}(long long)({row.expression}) }};", row)
    for number, member in enumerate(bits):
        type_, path = split_member(member)
        room = f"union {{ {type_} it; char room[{_ROOM_BYTES}]; }} value; }}"
        text.add(
            f'{mark}{room} stencilkit_bits_{number} = {{ "{_BITS}{number}", {{ .it = {{ .{path} = -1 }} }} }};', member
        )
    return text


def _headers(text: Text, prefix: str) -> None:
    if not prefix:
        return
    text.add(prefix)
    for macro in CONFIGURATION:
        text.add(f"#ifdef {macro}\n#define {defined(macro)} 1\n#else\n#define {defined(macro)} 0\n#endif")


def numbers(data: bytes) -> Mapping[int, int]:
    """Find the numbers in an object: that of the row to its value."""
    found = _marked(data, _VALUE, 8)
    return {number: int.from_bytes(value, "little", signed=True) for number, value in found.items()}


def spans(data: bytes) -> Mapping[int, Span]:
    """Find the bit-fields in an object: that of the bit-field to its place."""
    return {number: span(value) for number, value in _marked(data, _BITS, _ROOM_BYTES).items()}


def _marked(data: bytes, mark: str, size: int) -> Mapping[int, bytes]:
    found = {}
    for match in re.finditer(rb"%b(\d+)\0" % mark.encode(), data):
        start = match.start() + _MARK_BYTES
        found[int(match[1])] = data[start : start + size]
    return found


def span(data: bytes) -> Span:
    """Find the run of bits that are set in the bytes of a constant; bits are counted from the lowest of the first byte.

    None set, or several runs of them, is a span of size 0.
    """
    value = int.from_bytes(data, "little")
    start = (value & -value).bit_length() - 1 if value else 0
    size = (value >> start).bit_length()
    return Span(start=start, size=size if value >> start == (1 << size) - 1 else 0)
