"""What is seen of long work: in a log, and on a terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest

from stencilkit.cli import _progress
from stencilkit.support import environ
from stencilkit.support.progress import SILENT, counting

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that goes on by `step` seconds whenever it is read."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def read(self) -> float:
        self.now += self.step
        return self.now


def watch(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, seconds: float = 200.0) -> io.StringIO:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(environ, "seconds", Clock(seconds).read)
    return stream


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_log_says_when_long_work_begins_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    log = watch(monkeypatch, io.StringIO())
    with _progress.choose("text").during("running configure"):
        assert log.getvalue() == "stencilkit: running configure\n"
    assert log.getvalue() == "stencilkit: running configure\nstencilkit: running configure: 200 s\n"


def test_a_log_says_once_what_was_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    log = watch(monkeypatch, io.StringIO(), seconds=0.5)
    with _progress.choose("text").during("unpacking"):
        pass
    assert log.getvalue() == "stencilkit: unpacking\n"


def test_a_terminal_has_a_spinner_and_then_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watch(monkeypatch, Terminal())
    with _progress.choose("text").during("running [red]configure"):
        # Brackets are text, not markup.
        assert "running [red]configure 0:00:00" in plain(screen.getvalue())
        assert HIDE in screen.getvalue()
    assert screen.getvalue().rindex(SHOW) > screen.getvalue().rindex(HIDE)
    assert plain(screen.getvalue()).splitlines()[-1].endswith("stencilkit: running [red]configure: 200 s")


def test_a_bar_inside_a_spinner_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watch(monkeypatch, Terminal())
    progress = _progress.choose("text")
    with progress.during("outer"):
        with counting(progress, "inner", 3):
            progress.advance(2)
        progress.say("between")
    seen = plain(screen.getvalue())
    assert "inner" in seen
    assert "3/3" not in seen
    assert seen.index("inner") < seen.index("stencilkit: between") < seen.index("stencilkit: outer: ")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_the_cursor_where_it_was(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    screen = watch(monkeypatch, Terminal())
    progress = _progress.choose("text")
    with pytest.raises(error), progress.during("outer"), counting(progress, "inner", 3):
        raise error
    assert screen.getvalue().rindex(SHOW) > screen.getvalue().rindex(HIDE)
    assert screen.getvalue().count(SHOW) == screen.getvalue().count(HIDE)


def test_machines_and_dumb_terminals_see_nothing_move(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watch(monkeypatch, Terminal())
    assert _progress.choose("json") is SILENT
    with SILENT.during("work"), counting(SILENT, "work", 1):
        SILENT.advance()
    monkeypatch.setenv("TERM", "dumb")
    with _progress.choose("text").during("work"):
        pass
    assert "\x1b" not in screen.getvalue()
