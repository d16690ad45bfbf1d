"""What a terminal gets, and what a pipe gets: colours of verdicts, widths, every table of every command."""

from __future__ import annotations

import ast
import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from stencilkit.cli import _bundles, _cells, _render, _testing, compare, gate, main, toolchains
from stencilkit.model.audit import RuleOutcome
from stencilkit.model.comparison import Comparison, Side
from stencilkit.model.proof import Verdict
from stencilkit.model.qualification import QUESTIONS, Cell, Check, Result, Sizes
from stencilkit.model.signature import Verdict as Identified
from stencilkit.model.toolchain import Found, Rejected, Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.support import environ

CLI = Path(_render.__file__).parent
VENDOR = "clang version 20.1.2 (https://github.com/ziglang/zig-bootstrap 7ef74e656cf8ddbd6bf891a8475892aa1afa6891)"
RED, RESET = "\x1b[31m\x1b[1m", "\x1b[0m"


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr(_render, "_stream", lambda *, err: terminal)
    return terminal


def test_a_verdict_has_a_colour_on_a_terminal(screen: Terminal) -> None:
    _render.say_lines([("refused: ", _render.Word("refused"), ", said the refused")])
    assert screen.getvalue() == f"refused: {RED}refused{RESET}, said the refused\n"


def test_a_cell_has_a_colour_and_the_columns_are_straight(screen: Terminal) -> None:
    _render.print_table(["a", "verdict", "c"], [["x", _render.Word("VARIES"), "y"], ["x", _render.Word("ok"), "y"]])
    printed = screen.getvalue()
    assert RED in printed
    plain = re.sub(r"\x1b\[[0-9]*m", "", printed)
    assert plain == "a  verdict  c\nx  VARIES   y\nx  ok       y\n"


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_who_wants_colours(
    variables: dict[str, str], terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environ.wants_colour(terminal=terminal) is coloured


def test_a_pipe_gets_words_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    _render.say_lines([("x: ", _render.Word("FAILED"))])
    assert capsys.readouterr().out == "x: FAILED\n"


def test_others_texts_bring_no_colour_of_their_own(screen: Terminal) -> None:
    _render.say_lines([("\x1b[31mred\x1b[0m: ", _render.Word("ok"))])
    assert screen.getvalue().startswith("\\x1b[31mred\\x1b[0m: ")


def test_a_terminal_gets_long_lines_broken_between_words_and_a_pipe_gets_them_whole(
    screen: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("  ", _render.Word("FAILED"), "  tree  " + "words and more words " * 8)
    _render.say_lines([line])
    lines = re.sub(r"\x1b\[[0-9]*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(rest.startswith(("    words", "    and", "    more")) for rest in lines[1:])
    pipe = io.StringIO()
    monkeypatch.setattr(_render, "_stream", lambda *, err: pipe)
    _render.say_lines([line])
    assert len(pipe.getvalue().splitlines()) == 1


def test_every_verdicts_word_has_its_colour() -> None:
    every = {*get_args(RuleOutcome), *(verdict.value for verdict in Verdict), *get_args(Identified)}
    assert every <= set(_render._COLOURS)


@pytest.mark.parametrize(
    ("named", "width"), [("100", 100), ("0", 80), ("wide", 80), ("", 80), ("-5", 80), ("9" * 5000, 80)]
)
def test_the_width_is_that_of_columns(named: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: int) -> os.terminal_size:
        raise OSError("not a terminal")

    monkeypatch.setenv("COLUMNS", named)
    monkeypatch.setattr(os, "get_terminal_size", none)
    assert environ.columns() == width


def manifest() -> Any:
    return SimpleNamespace(
        cpython="3.15.0rc1",
        triple="aarch64-unknown-linux-gnu",
        flavour="release",
        kind="release-hardened",
        toolchain=SimpleNamespace(version="21.1.0", vendor=VENDOR),
        headers="system",
        content_digest="9" * 64,
        stencils=(),
        code_bytes=123456,
        data_bytes=54321,
        files=(1, 2, 3, 4),
    )


def tools() -> Found:
    tool = Toolchain(
        version=LlvmVersion(20, 1, 2),
        vendor=VENDOR,
        origin="pypi",
        program=Path("/home/somebody/.local/share/stencilkit/toolchains/llvm-20.1.2/ziglang/zig"),
        command=("zig", "clang"),
        resource=Path("/nowhere"),
    )
    why = "it is Apple's clang, whose versions are not those of LLVM: install LLVM itself, from Homebrew or elsewhere"
    return Found(
        toolchains=(tool, replace(tool, version=LlvmVersion(21, 1, 0))),
        rejected=(Rejected(program=Path("/usr/bin/clang"), why=why),),
    )


def sides() -> Comparison:
    side = Side(
        label="stencils/3.14.7/x86_64-unknown-linux-gnu/release/llvm-19.1.7",
        made_by="LLVM 19.1.7",
        series="3.14",
        triple="x86_64-unknown-linux-gnu",
        stencils=312,
        code=123456,
        data=54321,
        line1="",
        content="",
        interface="",
        extras={},
    )
    second = replace(side, code=120000, made_by="LLVM 22.1.8")
    return Comparison(first=side, second=second, changes=(), counts={"identical": 312}, causes=(), extras=())


def timed() -> Any:
    names = ("richards", "nbody_with_a_long_name")
    verdicts = [
        SimpleNamespace(label=f"{major}.1.7 hardened", benchmarks=dict.fromkeys(names, 1.23456))
        for major in range(18, 24)
    ]
    return SimpleNamespace(off=dict.fromkeys(names, 2.5), verdicts=verdicts)


def cells() -> list[Result]:
    cell = Cell(cpython="3.15.0rc1", llvm="21.1.0", target="aarch64-pc-windows-msvc", flavour="release")
    checks = [Check(name=name, outcome="not asked", reason="--depth run asks this") for name in QUESTIONS]
    failed = Check(name="built", outcome="failed", reason="a build (nothing varied) was killed by SIGKILL")
    sizes = Sizes(stencils=934, code=123456, data=4321)
    return [
        Result(cell=cell, depth="build", checks=(failed, *checks[1:])),
        Result(cell=cell, depth="run", checks=tuple(checks), sizes=sizes, identical=784),
    ]


BUILT: Any = SimpleNamespace(
    build=SimpleNamespace(manifest=manifest()), seconds=9, changed=True, folder="out", judgement=None, refused=False
)
GATE = [
    "3.15.0rc1",
    "aarch64-unknown-linux-gnu",
    "release",
    "21.1.0",
    "ziglang/zig-bootstrap",
    "a" * 16,
    "VARIES",
    "99",
]


def stand_in(**fields: object) -> Any:
    """Return what has the fields that a renderer reads, and no more."""
    return SimpleNamespace(**fields)


ANSWERS: dict[str, Callable[[], object]] = {
    "_cells": lambda: _cells.show(cells(), "text"),
    "_bundles": lambda: _bundles.show(Path("stencils.tar.gz"), [stand_in(manifest=manifest())] * 2, "text"),
    "_render": lambda: _render.builds([BUILT] * 2, [], "text"),
    "_testing": lambda: _testing._benchmarks(timed()),
    "audit": lambda: main(["audit", "--rules"]),
    "cache": lambda: main(["cache", "info"]),
    "compare": lambda: compare._table([sides()] * 5, "text"),
    "doctor": lambda: main(["doctor"]),
    "gate": lambda: _render.print_table(gate._HEAD, [GATE]),
    "targets": lambda: main(["targets"]),
    "toolchains": lambda: toolchains._list(tools(), "text"),
}


@pytest.mark.process
@pytest.mark.parametrize("name", ANSWERS)
def test_every_table_fits_80_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("stencilkit.toolchain.discover", lambda *_: tools())
    ANSWERS[name]()
    printed = capsys.readouterr().out
    assert printed.strip()
    for line in printed.splitlines():
        # Nothing is broken: a line may be longer than that only for one word, and its title.
        assert len(line) <= 80 or len(re.split(r"  +|: ", line.strip())[-1].split()) == 1, line


def test_every_command_that_prints_a_table_is_among_them() -> None:
    printing = {
        path.stem
        for path in CLI.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and "print_table" in ast.unparse(node.func)
    }
    assert printing == set(ANSWERS)
