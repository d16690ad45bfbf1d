"""The command lines of every build.py in use, and what regen does without a compiler."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit.buildfolder import command as commands
from stencilkit.cli import main
from stencilkit.errors import ConfigureError, StencilkitError, TargetError, ToolchainError, UsageError
from stencilkit.model.jitcommand import JitCommand
from stencilkit.model.toolchain import Found
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import knowing, placing, regenerating
from stencilkit.support import process
from stencilkit.support.cache import NoStore
from stencilkit.toolchain import Machine
from tests import fakes, samples

PC = "x86_64-pc-linux-gnu"
CONFIG = samples.PYCONFIG + "#define HAVE_GCC_ASM_FOR_X64 1\n"
FOLDERS = ("--output-dir", ".", "--pyconfig-dir", ".")
# Rules of real makefiles, the words behind build.py; "" as configure leaves what was not given.
REAL: tuple[tuple[str, tuple[str, ...], JitCommand], ...] = (
    ("3.13", (PC,), JitCommand(triples=(PC,), debug=False, cflags="", llvm="", tools="")),
    ("3.13 --with-pydebug", (PC, "--debug"), JitCommand(triples=(PC,), debug=True, cflags="", llvm="", tools="")),
    (
        "uv's 3.13",
        (PC, "--with-cflags=-O2 -fPIC"),
        JitCommand(triples=(PC,), debug=False, cflags="-O2 -fPIC", llvm="", tools=""),
    ),
    (
        "3.14 with CFLAGS_JIT",
        (PC, *FOLDERS, "--cflags=-O3 -DX='a b'"),
        JitCommand(triples=(PC,), debug=False, cflags="-O3 -DX='a b'", llvm="", tools=""),
    ),
    (
        "3.14, both halves of universal2",
        ("aarch64-apple-darwin", "x86_64-apple-darwin", *FOLDERS, "--cflags="),
        JitCommand(triples=("aarch64-apple-darwin", "x86_64-apple-darwin"), debug=False, cflags="", llvm="", tools=""),
    ),
    (
        "Debian's 3.14",
        (PC, *FOLDERS, "--cflags=", "--llvm-version=21"),
        JitCommand(triples=(PC,), debug=False, cflags="", llvm="21", tools=""),
    ),
    (
        "3.15",
        (PC, *FOLDERS, "--cflags=", "--llvm-version=", "--llvm-tools-install-dir="),
        JitCommand(triples=(PC,), debug=False, cflags="", llvm="", tools=""),
    ),
    (
        "3.15 with all of it",
        (PC, *FOLDERS, "--cflags=", "--llvm-version=21", "--llvm-tools-install-dir=/opt/llvm", "--debug"),
        JitCommand(triples=(PC,), debug=True, cflags="", llvm="21", tools="/opt/llvm"),
    ),
    (
        "3.14 on Windows",
        ("x86_64-pc-windows-msvc", "--output-dir", r"C:\p\b\amd64", "--pyconfig-dir", r"C:\p\PC"),
        JitCommand(
            triples=("x86_64-pc-windows-msvc",),
            debug=False,
            cflags="",
            llvm="",
            tools="",
            output=r"C:\p\b\amd64",
            pyconfig=r"C:\p\PC",
        ),
    ),
    (
        "3.15 on Windows",
        (
            *("i686-pc-windows-msvc", "--debug", "--output-dir", r"C:\p\b\win32", "--pyconfig-dir", r"C:\p\PC"),
            *("--llvm-version=21", r"--llvm-tools-install-dir=C:\p\PCbuild\..\externals\llvm-21.1.4.0"),
        ),
        JitCommand(
            triples=("i686-pc-windows-msvc",),
            debug=True,
            cflags="",
            llvm="21",
            tools=r"C:\p\PCbuild\..\externals\llvm-21.1.4.0",
            output=r"C:\p\b\win32",
            pyconfig=r"C:\p\PC",
        ),
    ),
    (
        "by hand",
        ("-f", "-v", "-d", PC),
        JitCommand(triples=(PC,), debug=True, cflags="", llvm="", tools="", force=True),
    ),
)


class Case:
    """A tree of our own making, and a folder in which its configure ran."""

    def __init__(self, root: Path, version: str = "3.14.7") -> None:
        self.tree = fakes.tree(root / "cpython", version)
        self.build = root / "build"
        self.build.mkdir()
        (self.build / "pyconfig.h").write_text(CONFIG)

    def order(self, *arguments: str, variables: Sequence[str] = ()) -> regenerating.Order:
        words = ("../cpython/Tools/jit/build.py", *arguments)
        return regenerating.understand(words, dict(word.split("=") for word in variables), self.build)

    def run(self, *arguments: str, llvm: str = "") -> regenerating.Regenerated:
        options = regenerating.Options(llvm=llvm, jobs=1)
        return regenerating.regenerate(self.order(*arguments), options, NoStore(), self.build)

    def stamp(self, name: str, triple: str = PC) -> Path:
        """Write a header as build.py would have written it."""
        place = self.order(triple, *FOLDERS).place
        path = self.build / name
        path.write_text(f"// {placing.input_digest(place, place.requests[0])}\n// $ python build.py\n")
        return path


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize(("words", "expected"), [row[1:] for row in REAL], ids=[row[0] for row in REAL])
def test_command_lines_of_real_makefiles(words: tuple[str, ...], expected: JitCommand) -> None:
    assert commands.parse(words, {}) == expected


def test_the_environment_names_an_llvm_where_the_command_does_not() -> None:
    assert commands.parse([PC], {"LLVM_VERSION": "22"}).wanted == "22"
    assert commands.parse([PC, "--llvm-version=21"], {"LLVM_VERSION": "22"}).wanted == "21"
    assert commands.parse([PC, "--llvm-version=21", "--llvm-tools-install-dir=/opt/x"], {}).wanted == "/opt/x/bin/clang"


@pytest.mark.parametrize(
    ("word", "is_it"),
    [
        ("./Tools/jit/build.py", True),
        (r"C:\cpython\Tools\jit\build.py", True),
        ("Tools/jit/build.py", True),
        ("/x/NotTools/jit/build.py", False),
        ("Tools/build/build.py", False),
    ],
)
def test_the_generator_among_other_scripts(word: str, is_it: bool) -> None:  # a row
    assert commands.is_generator(word) is is_it


def test_paths_start_where_make_runs(case: Case) -> None:
    order = case.order(PC, "--output-dir", "out", "--pyconfig-dir", ".")
    assert order.output == case.build.resolve() / "out"
    assert order.place.tree.root == case.tree.resolve()
    assert order.place.build.pyconfig == CONFIG.encode()


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        ((), UsageError, "the following arguments are required: target"),
        ((PC, "--llvm"), UsageError, "ambiguous option: --llvm"),
        ((PC, "--stencils-only"), UsageError, "unrecognized arguments: --stencils-only"),
        ((PC, "--cflags=-DX='"), UsageError, "No closing quotation\n  where: CFLAGS_JIT: -DX='\n  next:  correct the"),
        (("x86_64-unknown-linux-muslx32",), TargetError, "musl"),
        ((PC, "--pyconfig-dir", ".."), ConfigureError, "there is no pyconfig.h"),
        ((PC, "--debug"), ConfigureError, "debug"),
    ],
)
def test_what_is_refused(case: Case, arguments: tuple[str, ...], error: type[StencilkitError], what: str) -> None:
    with pytest.raises(error) as caught:
        case.order(*arguments)
    assert what in str(caught.value.as_text())
    assert caught.value.fix


def test_up_to_date_files_are_not_touched_and_need_no_llvm(case: Case) -> None:
    header = case.stamp(f"jit_stencils-{PC}.h")
    before = header.read_bytes(), header.stat().st_mtime_ns
    assert case.run(PC, *FOLDERS) == regenerating.Regenerated(changed={"jit_stencils.h": True})
    assert f'#include "jit_stencils-{PC}.h"' in (case.build / "jit_stencils.h").read_text()
    assert case.run(PC, *FOLDERS).changed == {"jit_stencils.h": False}
    assert (header.read_bytes(), header.stat().st_mtime_ns) == before


def test_a_run_that_builds_nothing_says_what_that_rests_on(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """LLVM_VERSION may have been another one in the make before this one."""
    case.stamp(f"jit_stencils-{PC}.h")
    monkeypatch.chdir(case.build)
    monkeypatch.setenv("LLVM_VERSION", "22")
    assert main(["regen", "../cpython/Tools/jit/build.py", PC, *FOLDERS]) == 0
    assert "line 1 is up to date, so nothing was built; it does not cover the LLVM" in capsys.readouterr().err


def test_a_dispatcher_of_build_py_s_own_is_left_alone(case: Case) -> None:
    case.stamp(f"jit_stencils-{PC}.h")
    case.run(PC, *FOLDERS)
    dispatcher = case.build / "jit_stencils.h"
    _, _, rest = dispatcher.read_text().partition("\n")
    dispatcher.write_text(f"// $ python3.14 ../cpython/Tools/jit/build.py {PC}\n{rest}")
    assert case.run(PC, *FOLDERS).changed == {"jit_stencils.h": False}


@pytest.mark.parametrize("change", ["cflags", "pyconfig", "cases", "line 1", "force", "gone"])
def test_what_is_out_of_date_is_made_again(case: Case, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is: a compiler is looked for, of which there is none."""
    header = case.stamp(f"jit_stencils-{PC}.h")
    more: tuple[str, ...] = ()
    match change:
        case "cflags":
            more = ("--cflags=-DX",)
        case "force":
            more = ("--force",)
        case "gone":
            header.unlink()
        case "line 1":
            header.write_bytes(header.read_bytes()[1:])
        case "pyconfig":
            (case.build / "pyconfig.h").write_text(CONFIG + "#define MORE 1\n")
        case "cases":
            path = case.tree / "Python/executor_cases.c.h"
            path.write_text(path.read_text() + "\n")
    monkeypatch.setenv("PATH", "")
    before = sorted(case.build.iterdir())
    with pytest.raises(ToolchainError, match="there is no program /none/clang"):
        case.run(PC, *FOLDERS, *more, llvm="/none/clang")
    assert sorted(case.build.iterdir()) == before


def test_3_15_wants_all_of_its_files(tmp_path: Path) -> None:
    case = Case(tmp_path, "3.15.0rc1")
    triple = "x86_64-unknown-linux-gnu"
    for name in (f"jit_stencils-{triple}.h", f"jit_unwind_info-{triple}.h"):
        case.stamp(name)
    with pytest.raises(ToolchainError):
        case.run(PC, *FOLDERS, llvm="/none/clang")
    (case.build / f"jit_shim-{triple}.o").write_bytes(b"")
    assert case.run(PC, *FOLDERS).changed == {"jit_stencils.h": True, "jit_unwind_info.h": True}


def test_any_other_command_goes_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def hand_over(command: object) -> int:
        seen.append(command)
        return 7

    monkeypatch.setattr(process, "hand_over", hand_over)
    for words in (
        ["-m", "pegen", "-q", "c"],
        ["./Tools/build/x.py", "--llvm", "1", "-h"],
        ["-V"],
        ["-E", "-c", "pass"],
    ):
        seen.clear()
        assert main(["regen", *words]) == 7
        assert seen == [[sys.executable, *words]]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_build_py_is_what_it_takes(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regen", "/x/Tools/jit/build.py", option]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: Tools/jit/build.py ")
    assert "--llvm-tools-install-dir" in said
    assert "stencilkit regen --help" in said


def test_how_names_one_variable(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/stencilkit")
    assert main(["regen", "--how"]) == 0
    said = capsys.readouterr().out
    assert "  make PYTHON_FOR_REGEN='stencilkit regen'\n" in said
    assert '"/p:PythonForBuild=stencilkit regen"' in said


def test_nothing_to_understand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regen"]) == 2
    assert "stencilkit regen --how" in capsys.readouterr().err


def machine(*majors: int) -> Machine:
    tools = tuple(replace(fakes.TOOL, version=LlvmVersion(major, 1, 0)) for major in majors)
    return fakes.machine(Found(toolchains=tools, rejected=()))


def test_the_newest_llvm_in_range_is_taken_if_none_is_asked_for() -> None:
    support, here = knowing.python("3.14").support, machine(99, 22, 20, 19)
    assert str(regenerating._toolchain("", support, here).version) == "22.1.0"
    assert str(regenerating._toolchain("20", support, here).version) == "20.1.0"
    with pytest.raises(UsageError, match=r"19\.\.20 are several LLVMs, and one header is wanted"):
        regenerating._toolchain("19..20", support, here)
    with pytest.raises(ToolchainError, match=r"LLVM 17 cannot build the stencils of CPython 3\.14") as caught:
        regenerating._toolchain("17", support, here)
    assert caught.value.fix == "use one of LLVM 19..23 (upstream uses 19)"
    with pytest.raises(ToolchainError, match="LLVM 19 not found") as caught:
        regenerating._toolchain("", support, machine(99))
    assert "stencilkit toolchains install 19" in caught.value.fix
