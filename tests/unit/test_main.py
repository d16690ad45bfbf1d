"""What `main` makes of errors, signals and readers that go away."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import click
import pytest

from stencilkit import cli
from stencilkit.errors import ExitCode, StencilkitError


def _answer(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def command(**_: Any) -> int:
        raise error

    monkeypatch.setattr(cli.group, "main", command)
    return cli.main([])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/out"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (MemoryError(), 2),
        (RecursionError(), 2),
        (click.UsageError("No such option: --fast"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.exceptions.Exit(0), 0),
        (AssertionError("impossible"), 70),
    ],
)
def test_exit_codes(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _answer(monkeypatch, error) == code


def test_a_bug_never_looks_like_a_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _answer(monkeypatch, ZeroDivisionError())
    assert "this is a bug; please report the lines above" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """click exits with 1, which here means "different"."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        monkeypatch.setattr("sys.stdout", gone)
        assert cli.main(["--help"]) == 2
        monkeypatch.undo()
        # What click left in the buffer would be written, and fail, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_the_list_of_commands_cuts_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "..." not in capsys.readouterr().out.split("COMMAND [ARGS]...")[1]


def written_out(stream: TextIO, code: int) -> tuple[int, list[str]]:
    """Flush a stream as the program does at its end; return the exit code, and the errors that are said."""
    said: list[str] = []

    def say(error: StencilkitError) -> ExitCode:
        said.append(error.what)
        return ExitCode.TROUBLE

    return cli._written_out(stream, code, say=say), said


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [(0, 2, ["cannot use standard output or a file: No space left on device"]), (1, 1, []), (2, 2, [])],
)
def test_a_full_disk_behind_standard_output_is_trouble(code: int, expected: int, said: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        full.write("an answer")
        assert written_out(full, code) == (expected, said)


def test_a_reader_that_went_away_before_the_end_is_no_trouble() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        stream.write("an answer")
        assert written_out(stream, 0) == (0, [])


def test_closed_streams_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has None for each that is closed at its start (>&-)."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    cli._open_closed()
    assert sys.stdin.read() == ""
    for stream in (sys.stdout, sys.stderr):
        stream.write("to nobody")
        stream.close()
    sys.stdin.close()


def test_the_program_ends_with_the_code_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", lambda: 1)
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 1


def test_the_garbage_collector_works_again_when_a_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it cannot be loaded."""
    collecting: list[bool] = []

    def load(_: str) -> None:
        collecting.append(gc.isenabled())
        raise ImportError("no such library")

    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.raises(ImportError):
        cli._load("stencilkit.cli.unknown")
    assert collecting == [False]
    assert gc.isenabled()
    assert cli._load("stencilkit.cli") is cli


@pytest.mark.process
@pytest.mark.parametrize("command", ["build", "regen", "verify"])
def test_what_few_runs_need_is_not_loaded_by_all(command: str) -> None:
    """Loading is a third of an answer in which nothing is built."""
    program = f"import sys\nimport stencilkit.cli.{command}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rare = {"difflib", "importlib.resources", "stencilkit.novelty", "elftools", "capstone"}
    if command != "build":
        rare |= {"traceback", "logging", "concurrent.futures"}
    assert not rare & set(done.stdout.split())
