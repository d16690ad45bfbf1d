"""What is seen of a run over many cells: rows on a terminal of any width, lines in a log, nothing beside JSON."""

from __future__ import annotations

import io

import pytest

from stencilkit.cli import _board
from stencilkit.model.qualification import Cell
from stencilkit.pipeline import scheduling
from stencilkit.pipeline.scheduling import Board
from tests.results import LLVMS, TARGETS, cell, checks, result
from tests.unit.test_progress import HIDE, SHOW, Terminal, plain, watch

CELLS = [
    cell(cpython=version, target=target, llvm=llvm)
    for version in ("3.14.7", "3.15.0rc1")
    for target in TARGETS
    for llvm in LLVMS
]


def work(board: Board) -> None:
    """Two cells were done earlier; of this run's, one is good, one is not, one was not finished, one goes on."""
    board.plan(CELLS, CELLS[:2])
    for one in CELLS[2:6]:
        board.started(one)
    board.ended(result(cell=CELLS[2]))
    board.ended(result(cell=CELLS[3], checks=checks(audit="failed")))
    board.ended(scheduling.unfinished(CELLS[4], "build", "no LLVM [bold]here[/bold] \x1b[31m"))
    board.say("the worker [red]one[/red] has no LLVM 22 \x1b[31m")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_has_a_row_for_each_cpython_and_target(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen = watch(monkeypatch, Terminal(), seconds=30)
    monkeypatch.setenv("COLUMNS", str(columns))
    board = _board.choose("text")
    work(board)
    board.close()
    assert screen.getvalue().rindex(SHOW) > screen.getvalue().rindex(HIDE)
    last = plain(screen.getvalue()).splitlines()[-9:]
    assert all(len(line) <= columns for line in last), last
    assert last[0].startswith("all"), "it is what a low terminal shows"
    assert "5 done, 1 running, 34 left" in last[0]
    assert "5 done, 0 left" in last[1]
    assert "1 running, 4 left" in last[2]
    if columns >= 80:
        assert "min to go" in last[0]
        assert [line.split()[0] for line in last[1:]] == ["3.14.7"] * 4 + ["3.15.0rc1"] * 4
    if columns == 200:
        assert "3.15.0rc1 aarch64-unknown-linux-gnu" in last[6]
        text = plain(screen.getvalue())
        assert f"{CELLS[3].label}: not qualified (audit: a reason for failed)" in text
        assert "the worker [red]one[/red] has no LLVM 22 \\x1b[31m" in text


def test_colours_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watch(monkeypatch, Terminal(), seconds=30)
    monkeypatch.setenv("NO_COLOR", "1")
    board = _board.choose("text")
    work(board)
    board.close()
    assert "\x1b[3" not in screen.getvalue()


@pytest.mark.parametrize("dumb", [False, True])
def test_a_log_has_a_line_for_each_cell(monkeypatch: pytest.MonkeyPatch, dumb: bool) -> None:  # a parameter of pytest's
    log = watch(monkeypatch, Terminal() if dumb else io.StringIO(), seconds=30)
    monkeypatch.setenv("TERM", "dumb" if dumb else "xterm")
    board = _board.choose("text")
    work(board)
    board.close()
    lines = log.getvalue().splitlines()
    assert lines[0] == "stencilkit: 40 cells, 2 of them done already"
    assert lines[1].startswith("stencilkit: 3 of 40, ")
    assert lines[1].endswith(f" to go: {CELLS[2].label}: qualified")
    assert lines[2].endswith(f"{CELLS[3].label}: not qualified (audit: a reason for failed)")
    assert "not finished (no LLVM [bold]here[/bold] \\x1b[31m" in lines[3]
    assert len(lines) == 5


def test_nothing_is_beside_json(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watch(monkeypatch, Terminal())
    work(_board.choose("json"))
    assert screen.getvalue() == ""


def test_the_last_cell_leaves_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    log = watch(monkeypatch, io.StringIO(), seconds=30)
    board = _board.choose("text")
    cells: list[Cell] = CELLS[:2]
    board.plan(cells, [])
    for one in cells:
        board.ended(result(cell=one))
    first, last = log.getvalue().splitlines()[1:]
    assert first == f"stencilkit: 1 of 2, 30 s to go: {CELLS[0].label}: qualified"
    assert last == f"stencilkit: 2 of 2: {CELLS[1].label}: qualified"
