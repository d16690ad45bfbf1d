"""Fit tables and sentences into the width of a terminal without breaking a word. Pure: text in, lines out."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

_GAP: Final = "  "
# Narrower than this, a column of sentences is hard to read; the table becomes blocks instead.
_READABLE: Final = 24

# One line of a table: each cell with the column's width, so that whoever prints it can colour a cell and then pad it.
Line = tuple[tuple[str, int], ...]


def wrap(text: str, width: int, *, hanging: str = "") -> list[str]:
    """Break a text at its spaces, and begin the further lines with `hanging`; a word that is too long stays whole."""
    if len(text) <= width:
        return [text]
    wrapped = textwrap.wrap(
        text, max(width, 1), subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
    return wrapped or [""]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int, shared: Sequence[str] = ()) -> list[Line]:
    """Lay out a table: plain where it fits, else with cells of several lines, else as one block for each row.

    `shared` are columns in which neighbouring rows often agree: where the table is too wide, they become a title above
    those rows. A negative width of a cell means that it goes to the right of its column.
    """
    columns = [[header[number], *(row[number] for row in rows)] for number in range(len(header))]
    natural = [max(map(len, column)) for column in columns]
    room = width - len(_GAP) * (len(header) - 1)
    if shared and sum(natural) > room:
        return list(_titled(header, rows, width, shared))
    widths = _fit(columns, natural, room)
    if widths is None:
        return list(_blocks(header, rows, width))
    return [line for row in (header, *rows) for line in _row(row, widths)]


def _titled(header: Sequence[str], rows: Sequence[Sequence[str]], width: int, shared: Sequence[str]) -> Iterator[Line]:
    """Lay out one table for each run of rows that agree, with what they agree in above it."""
    over = [header.index(name) for name in shared]
    rest = [number for number in range(len(header)) if number not in over]
    groups = itertools.groupby(rows, key=lambda row: ", ".join(row[number] for number in over))
    for number, (title, group) in enumerate(groups):
        if number:
            yield (("", 0),)
        yield ((title, 0),)
        yield from table([header[one] for one in rest], [[row[one] for one in rest] for row in group], width)


def _fit(columns: Sequence[Sequence[str]], natural: Sequence[int], room: int) -> list[int] | None:
    """Narrow columns of words, the widest first, until all fit; None where they cannot. The first is not narrowed."""
    widths = list(natural)
    least = [natural[0], *(_least(column) for column in columns[1:])]
    while sum(widths) > room:
        candidates = [number for number, width in enumerate(widths) if width > least[number]]
        if not candidates:
            return None
        widths[max(candidates, key=lambda number: widths[number])] -= 1
    return widths


def _least(column: Sequence[str]) -> int:
    """Return how narrow a column may be: its longest word, and what is readable of its longest cell below the head."""
    word = max(len(word) for cell in column for word in [*cell.split(), ""])
    return max(word, min(_READABLE, max((len(cell) for cell in column[1:]), default=0)))


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[Line]:
    cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        yield tuple(
            (text, -width if _is_number(whole) else width)
            for text, whole, width in zip(texts, row, widths, strict=True)
        )


def _blocks(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[Line]:
    title = max(map(len, header))
    for number, row in enumerate(rows):
        if number:
            yield (("", 0),)
        for name, cell in zip(header, row, strict=True):
            if not cell:
                continue
            if not name:
                yield ((cell, 0),)
                continue
            first, *rest = wrap(cell, width - title - len(_GAP))
            yield (name, title), (first, 0)
            for line in rest:
                yield ("", title), (line, 0)


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).replace("%", "").isdigit()
