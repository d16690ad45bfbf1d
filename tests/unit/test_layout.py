"""Tables and sentences fit the terminal, with every word whole."""

from __future__ import annotations

import pytest

from stencilkit.cli import _layout, _render

HEAD = ["rule", "why", "from"]
ROWS = [
    [
        "text",
        "the header is exactly what its stencils look like when they are written again",
        "#1",
    ],
    [
        "relocations",
        "a hole must be patched by a function that reaches its place",
        "#135690, LLVM 18 with 3.14",
    ],
]
LONG = "/nix/store/ql6w1jsm2wpkrmfdmm0sgjcyzy3mw2mc-llvm-binutils-wrapper-19.1.7-with-a-very-long-name/bin/clang-19"


def lines(head: list[str], rows: list[list[str]], width: int, *shared: str) -> list[str]:
    return [
        "  ".join(cell.rjust(-size) if size < 0 else cell.ljust(size) for cell, size in line).rstrip()
        for line in _layout.table(head, rows, width, shared)
    ]


def words(rows: list[list[str]]) -> set[str]:
    return {word for row in rows for cell in row for word in cell.split()}


def test_what_fits_is_plain() -> None:
    assert lines(["part", "files"], [["entries", "7"], ["trees", "20519"]], 80) == [
        "part     files",
        "entries      7",
        "trees    20519",
    ]


def test_columns_of_words_get_cells_of_several_lines() -> None:
    printed = lines(HEAD, ROWS, 80)
    assert max(map(len, printed)) <= 80
    assert printed[0].split() == HEAD
    assert printed[1].startswith("text         the header is exactly")
    assert printed[2].startswith(" " * 13)


@pytest.mark.parametrize("width", range(1, 130))
def test_no_word_is_broken_and_none_is_lost_at_any_width(width: int) -> None:
    printed = lines(HEAD, ROWS, width)
    assert {word for line in printed for word in line.split()} == words([HEAD, *ROWS])
    longest = max(len(word) for word in words(ROWS))
    # In a block, each line has a word at least, after the column of titles.
    assert max(map(len, printed)) <= max(width, len("rule  ") + longest)


def test_what_cannot_be_narrowed_becomes_blocks() -> None:
    printed = lines(["version", "program", "vendor"], [["19.1.7", LONG, "clang"], ["20.1.2", "zig", ""]], 80)
    assert printed == [
        "version  19.1.7",
        f"program  {LONG}",
        "vendor   clang",
        "",
        "version  20.1.2",
        "program  zig",
    ]


def test_columns_that_rows_share_become_titles_where_there_is_no_room() -> None:
    rows = [["19.1.7", "x86_64", "A" * 30], ["20.1.2", "x86_64", "B" * 30], ["19.1.7", "arm", "C" * 30]]
    assert lines(["LLVM", "target", "content"], rows, 50, "target")[0].split() == ["LLVM", "target", "content"]
    assert lines(["LLVM", "target", "content"], rows, 40, "target") == [
        "x86_64",
        "LLVM    content",
        f"19.1.7  {'A' * 30}",
        f"20.1.2  {'B' * 30}",
        "",
        "arm",
        "LLVM    content",
        f"19.1.7  {'C' * 30}",
    ]


def test_a_line_that_goes_on_is_indented() -> None:
    assert _layout.wrap("  one two three", 11, hanging="    ") == ["  one two", "    three"]
    assert _layout.wrap("", 10) == [""]


def test_a_word_of_a_verdict_stays_one_in_a_table() -> None:
    """It is coloured by what it is, not by what it reads like."""
    found = _layout.table(["a", "b"], [["x", _render.Word("refused")]], 80)
    assert isinstance(found[1][1][0], _render.Word)
