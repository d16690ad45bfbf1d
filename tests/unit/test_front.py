"""What users met who tried it as newcomers: where it is told, before what work, and which folders are taken."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import stencilkit
from stencilkit import headers, targets, toolchain
from stencilkit.cli import main
from stencilkit.errors import ExitCode, OutputError
from stencilkit.model.toolchain import Found, Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.support import environ, files, together
from tests import samples


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """Make two folders above builds, with the same builds in them."""
    tree = samples.tree(tmp_path / "tree")
    for name in ("one", "two"):
        for flavour in ("debug", "release"):
            samples.folder(tmp_path / name / flavour / f"llvm-{'19.1.7' if name == 'one' else '22.1.8'}", tree)
    return tmp_path / "one", tmp_path / "two"


def test_compare_takes_folders_above_builds(parents: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, two = parents
    assert main(["compare", str(one), str(two)]) == ExitCode.OK
    printed = capsys.readouterr().out
    for flavour in ("debug", "release"):
        assert f"{one}/{flavour}/llvm-19.1.7 -> {two}/{flavour}/llvm-22.1.8" in printed
    assert main(["compare", str(one)]) == ExitCode.OK
    assert f"{one}/debug/llvm-19.1.7 -> {one}/release/llvm-19.1.7" in capsys.readouterr().out
    assert main(["compare", str(one / "debug"), str(two / "release")]) == ExitCode.OK


def test_compare_leaves_no_build_out(parents: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, two = parents
    (two / "debug").rename(two / "other")
    assert main(["compare", str(one), str(two)]) == ExitCode.TROUBLE
    printed = capsys.readouterr().err
    assert "only in one of them: debug" in printed
    assert "only in one of them: other" in printed


def test_show_takes_folders_above_builds(parents: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = parents
    name = samples.stencils().groups[0].name
    assert main(["show", name, str(one)]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert printed.count(f"{name}  CPython 3.14  sha256:") == 2
    assert main(["show", name, str(one), "--format", "json"]) == ExitCode.TROUBLE
    assert str(one / "debug") in capsys.readouterr().err
    assert main(["show", name, str(one / "debug"), "--format", "json"]) == ExitCode.OK


def test_a_folder_that_cannot_be_written_is_refused_first_and_nothing_is_left(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot write"):
            files.check_writable(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    full = tmp_path / "jit_stencils.h"
    with pytest.raises(OSError, match="No space left on device") as caught, together.naming(full):
        Path("/dev/full").write_bytes(b"x")
    assert caught.value.filename == str(full)


@pytest.mark.process
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["targets"], ["--help"], ["--version"], ["targets", "--format", "json"]])
def test_a_full_disk_behind_standard_output_is_trouble(words: list[str], unbuffered: str, tmp_path: Path) -> None:
    """Buffered, it is found full again when Python ends; that had the exit code 120."""
    own = {"PYTHONUNBUFFERED": unbuffered, "STENCILKIT_CACHE": str(tmp_path), "STENCILKIT_DATA": str(tmp_path)}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stencilkit", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, **own},
            check=False,
        )
    assert done.returncode == ExitCode.TROUBLE
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def stencilkit_on(folder: Path, streams: str, *words: str, **own: str) -> subprocess.CompletedProcess[str]:
    """Run the program with its streams as a shell opens them, and with buffers as users have them."""
    env = {"PYTHONUNBUFFERED": "", "STENCILKIT_CACHE": str(folder), "STENCILKIT_DATA": str(folder), **own}
    shell = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "stencilkit", *words]
    return subprocess.run(shell, capture_output=True, text=True, env={**os.environ, **env}, check=False)


@pytest.mark.process
@pytest.mark.parametrize(
    ("word", "streams", "code", "shown"),
    [
        # What was asked is answered by the exit code, and on the stream that is there.
        ("targets", ">&-", ExitCode.OK, False),
        ("targets", "2>&-", ExitCode.OK, True),
        ("targetsx", ">&- 2>&- <&-", ExitCode.TROUBLE, False),
        # What could not be written is trouble.
        ("targetsx", "2>/dev/full", ExitCode.TROUBLE, False),
        ("targets", ">/dev/full 2>/dev/full", ExitCode.TROUBLE, False),
    ],
)
def test_a_closed_or_full_stream_is_no_verdict(
    word: str, streams: str, code: ExitCode, shown: bool, tmp_path: Path
) -> None:
    """Exit code 1 means that stencils differ; a closed stream had that, and a full one 120."""
    done = stencilkit_on(tmp_path, streams, word)
    assert done.returncode == code
    assert ("x86_64-unknown-linux-gnu" in done.stdout) == shown
    assert done.stderr == ""


@pytest.mark.process
def test_a_shell_that_cannot_read_completions_gets_no_text_in_its_line(tmp_path: Path) -> None:
    asked = {"_STENCILKIT_COMPLETE": "bash_complete", "COMP_WORDS": "stencilkit bui", "COMP_CWORD": "1"}
    answers = [
        ("", ExitCode.OK, "plain,build\n"),
        (">&-", ExitCode.OK, ""),
        (">/dev/full", ExitCode.TROUBLE, ""),
    ]
    for streams, code, text in answers:
        done = stencilkit_on(tmp_path, streams, **asked)
        assert (done.returncode, done.stdout, done.stderr) == (code, text, "")


def clang(here: Path) -> Toolchain:
    return Toolchain(
        version=LlvmVersion(19, 1, 7),
        vendor="clang version 19.1.7",
        origin="path",
        program=Path("/usr/bin/clang"),
        command=("/usr/bin/clang",),
        resource=here / "resource",
    )


def machine(monkeypatch: pytest.MonkeyPatch, found: Found, *programs: str) -> None:
    monkeypatch.setattr(toolchain, "discover", lambda *_: found)
    monkeypatch.setattr(environ, "native", lambda: "x86_64-linux-gnu")
    monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}" if name in programs else None)
    monkeypatch.setattr(headers, "_has_own", lambda target: target.triple.startswith("x86_64-unknown-linux"))


def test_doctor_is_content_where_stencils_for_this_machine_can_be_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = Found(toolchains=(clang(tmp_path),), rejected=())
    machine(monkeypatch, found, "gcc")
    assert main(["doctor"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "gcc-aarch64-linux-gnu" in printed
    assert "qemu-user-static" in printed
    assert "install aarch64-linux-gnu-gcc" not in printed
    assert "MISSING" not in printed


@pytest.mark.parametrize("lacking", ["llvm", "gcc"])
def test_doctor_is_not_content_without_llvm_or_compiler(
    lacking: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = Found(toolchains=() if lacking == "llvm" else (clang(tmp_path),), rejected=())
    machine(monkeypatch, found, *([] if lacking == "gcc" else ["gcc"]))
    assert main(["doctor"]) == ExitCode.DIFFERENT
    assert "MISSING" in capsys.readouterr().out


def test_doctor_looks_for_what_test_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A compiler for musl can be without the loader, and the emulator may be any of two."""
    loader = tmp_path / "ld-musl-aarch64.so.1"
    table = targets.load()
    (musl,) = (target for target in table.targets if target.triple == "aarch64-unknown-linux-musl")
    monkeypatch.setattr(targets, "load", lambda: replace(table, targets=(replace(musl, loader=str(loader)),)))
    machine(monkeypatch, Found(toolchains=(clang(tmp_path),), rejected=()), musl.gcc, "qemu-aarch64")

    def checks() -> dict[str, tuple[str, str]]:
        assert main(["doctor", "--format", "json"]) in (0, 1), capsys.readouterr().err
        rows = json.loads(capsys.readouterr().out)["checks"]
        return {row["needs"]: (row["has"], row["remedy"]) for row in rows if row["job"] == f"test for {musl.triple}"}

    assert checks()[str(loader)] == ("", f"install {musl.gcc_package}")
    assert checks()["qemu-aarch64-static"][0] == "/usr/bin/qemu-aarch64"
    loader.touch()
    assert checks()[str(loader)][0] == str(loader)


# What is in the repository, and not in a wheel.
ELSEWHERE = re.compile(r"(?<![\w/.-])(?:docs|recipes|reproducibility|tests|\.github|\.ci)/[\w-]")
# Looked for beside the package, where a checkout is used; not shown to anybody.
FOLDERS = {"reproducibility/ledger/"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """List the strings of a module but the docstrings: what it may show."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_no_message_names_a_file_that_a_wheel_does_not_have() -> None:
    package = Path(stencilkit.__file__).parent
    named = [
        f"{path.relative_to(package)}:{line}: {text}"
        for path in sorted(package.rglob("*.py"))
        for line, text in texts(path)
        if ELSEWHERE.search(text) and text not in FOLDERS and "_schemas" not in path.parts
    ]
    assert named == []


def test_no_help_names_a_file_that_a_wheel_does_not_have() -> None:
    helps = sorted((Path(__file__).parents[1] / "golden" / "help").iterdir())
    assert [path.name for path in helps if ELSEWHERE.search(path.read_text("utf-8"))] == []
