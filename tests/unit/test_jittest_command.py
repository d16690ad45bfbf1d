"""`stencilkit test` as a command, on a CPython that is a stand-in: what it answers and what it blames."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli
from stencilkit.jittest import making
from stencilkit.support import process
from tests import samples
from tests.unit.test_install import MAKEFILE, PC

# make reads the makefile of a build folder.
pytestmark = pytest.mark.process
PROOF = {
    "available": True,
    "enabled": True,
    "entered": True,
    "executors": 3,
    "code_bytes": 4096,
    "uops": ["_A", "_B"],
    "wrong": [],
}
PASSED = (
    '<testsuites><testsuite><testcase name="test.test_call.A.one"/><testcase name="test.test_call.A.two"/>'
    "</testsuite></testsuites>"
)
Answer = tuple[int, str]


class Python:
    """A tree, stencils for it, and what configure, make and the CPython that they make do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = samples.tree(root / "tree")
        (self.tree.root / "configure").touch()
        samples.folder(root / "out", self.tree)
        self.configured, self.made = 0, 0
        self.log = "all is well\n"
        self.after_make: Callable[[Path], object] = lambda folder: folder
        # What it answers with the JIT on and off, by the last word that says what is asked.
        self.proofs: list[Answer] = [(0, json.dumps(PROOF)), (0, json.dumps(PROOF))]
        self.times: list[Answer] = [(0, '{"fib": 0.5}'), (0, '{"fib": 1.0}')]
        self.listed: Answer = (0, "test_call\n")
        self.started: list[tuple[str, ...]] = []
        self._real = process.run

    def run(self, command: Sequence[str | Path], **options: Any) -> process.Completed:
        words = [str(word) for word in command]
        if words[0].endswith("/configure"):
            return self._configure(words, options["cwd"], options["stdout_to"])
        if any(word.startswith("--jobs=") for word in words):
            return self._make(words, options["cwd"], options["stdout_to"])
        if Path(words[0]).name.startswith("python") and str(self.root) in words[0]:
            return self._answer(words, options)
        return self._real(command, **options)

    def _done(self, words: list[str], code: int, out: str = "", err: str = "") -> process.Completed:
        return process.Completed(command=tuple(words), returncode=code, stdout=out.encode(), stderr=err.encode())

    def _configure(self, words: list[str], folder: Path, log: Path) -> process.Completed:
        values = {"goal": "build_all", "cflags": "", "debug": "", "deleted": ""}
        (folder / "Makefile").write_text(MAKEFILE.format(host=PC, triples=PC, **values))
        (folder / "pyconfig.h").write_text(samples.PYCONFIG)
        log.write_text("checking for gcc... no\n")
        return self._done(words, self.configured)

    def _make(self, words: list[str], folder: Path, log: Path) -> process.Completed:
        (folder / "Python").mkdir(exist_ok=True)
        for name in ("python", "Python/jit.o"):
            (folder / name).write_text(name)
        self.after_make(folder)
        log.write_text(self.log)
        return self._done(words, self.made)

    def _answer(self, words: list[str], options: Any) -> process.Completed:
        off = int(options["env"]["PYTHON_JIT"] == "0")
        self.started.append((Path(words[0]).name, words[-1], "off" if off else "on"))
        if words[-1].endswith("prove.py"):
            code, out = self.proofs[off]
            return self._done(words, code, out, "Fatal Python error\n" if code else "")
        if words[-1].endswith("bench.py"):
            code, out = self.times[off]
            return self._done(words, code, out, "wrong answer\n" if code else "")
        if words[-1] == "--list-tests":
            return self._done(words, self.listed[0], self.listed[1], "no module named test\n")
        if "--junit-xml" in words:
            Path(words[words.index("--junit-xml") + 1]).write_text(PASSED)
            Path(words[words.index("--junit-xml") - 1]).write_text('{"compiled": 2, "code_bytes": 8}')
            options["stdout_to"].write_text("")
        # One of the suite's modules is there.
        return self._done(words, int(words[1] == "-c" and "'test.test_call'" not in words[-1]))

    def test(self, *words: str) -> int:
        stencils = [str(self.root / "out"), "--cpython", str(self.tree.root), "--target", samples.TRIPLE]
        return cli.main(["test", *stencils, "--jobs", "1", *words])


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Python:
    made = Python(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(process, "run", made.run)
    return made


def logs(python: Python) -> list[str]:
    return sorted(path.name for path in (python.root / "temporary").rglob("*.log"))


def test_a_jit_that_works_passes_and_is_timed(
    python: Python, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert python.test("--junit", str(tmp_path / "new" / "junit.xml")) == 0
    printed = capsys.readouterr().out
    assert "CPython 3.14.7, x86_64-unknown-linux-gnu, release, suite jit" in printed
    assert "available yes, enabled yes, traces compiled 3 (2 different uops, 4096 bytes), entered: seen" in printed
    assert "2 tests in 1 module, 2 executors seen alive; 0 broken by the JIT" in printed
    # Twice as fast with the JIT.
    assert [line.split() for line in printed.splitlines() if line.startswith("fib")] == [
        ["fib", "1000.0", "500.0", "2.00"]
    ]
    assert printed.splitlines()[-1] == "passed"
    assert "test_call" in (tmp_path / "new" / "junit.xml").read_text()
    assert list((tmp_path / "temporary").iterdir()) == [], "nothing is left of what went well"


def test_smoke_times_nothing_and_a_module_may_be_named(python: Python, capsys: pytest.CaptureFixture[str]) -> None:
    assert python.test("--suite", "smoke", "--module", "test_dict", "--format", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    (verdict,) = answer["verdicts"]
    assert (answer["good"], verdict["good"], verdict["benchmarks"], answer["off"]) == (True, True, {}, {})
    assert [module["jit"]["name"] for module in verdict["modules"]] == ["test_dict"]


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ((-signal.SIGSEGV, ""), "CPython was ended by signal 11 in the first loops that it compiled"),
        ((0, '{"available": tr'), "CPython printed what is not an answer in the first loops that it compiled"),
    ],
)
def test_a_jit_that_breaks_the_first_loops_is_blamed(
    proof: Answer, said: str, python: Python, capsys: pytest.CaptureFixture[str]
) -> None:
    python.proofs[0] = proof
    assert python.test() == 1
    printed = capsys.readouterr().out
    assert said in printed
    assert "no test was run" in printed
    assert printed.splitlines()[-1] == "FAILED"
    assert not [words for words in python.started if words[1].endswith("bench.py")], "what does not work is not timed"
    assert logs(python) == ["build-configure.log", "build-make.log"]


def test_a_cpython_that_never_works_is_trouble(python: Python, capsys: pytest.CaptureFixture[str]) -> None:
    python.proofs = [(1, ""), (1, "")]
    assert python.test() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "CPython ended with 1 in a few loops, and its JIT was off" in printed.err
    assert "| Fatal Python error" in printed.err


def test_a_benchmark_that_breaks_with_the_jit_is_blamed(python: Python, capsys: pytest.CaptureFixture[str]) -> None:
    python.times[0] = (1, "")
    assert python.test() == 1
    printed = capsys.readouterr().out
    assert "a benchmark breaks with the JIT, and not without:" in printed
    assert "| wrong answer" in printed


def test_a_benchmark_that_breaks_without_the_jit_is_trouble(python: Python, capsys: pytest.CaptureFixture[str]) -> None:
    python.times[1] = (1, "")
    assert python.test() == 2
    printed = capsys.readouterr().err
    assert "the benchmarks without the JIT: CPython ended with 1" in printed
    assert "next:  run the tests with --no-benchmarks" in printed


def test_the_full_suite_is_what_cpython_lists_with_its_jit_off(
    python: Python, capsys: pytest.CaptureFixture[str]
) -> None:
    assert python.test("--suite", "full", "--no-benchmarks") == 0
    assert ("python", "--list-tests", "off") in python.started
    for listed in ((1, ""), (0, "\n")):
        python.listed = listed
        assert python.test("--suite", "full", "--no-benchmarks") == 2
        printed = capsys.readouterr().err
        assert f"CPython ended with {listed[0]}, and did not list its tests" in printed
        assert "| no module named test" in printed
        assert "next:  name modules with --module" in printed


@pytest.mark.parametrize(
    ("log", "step"),
    [
        ("cc: error\n", "LLVM was hidden from this build on purpose"),
        ("_bootstrap_python: Segmentation fault\n", "suspect the stencils"),
    ],
)
def test_the_log_of_a_make_that_fails_outlives_it(
    log: str, step: str, python: Python, capsys: pytest.CaptureFixture[str]
) -> None:
    python.made, python.log = 2, log
    assert python.test() == 2
    printed = capsys.readouterr().err
    assert "make of CPython 3.14.7 failed" in printed
    assert f"| {log.strip()}" in printed
    assert step in printed
    (where,) = [line for line in printed.splitlines() if line.startswith("  where: ")]
    assert Path(where.removeprefix("  where: ")).read_text() == log


def test_a_configure_that_fails_is_quoted(python: Python, capsys: pytest.CaptureFixture[str]) -> None:
    python.configured = 77
    assert python.test() == 2
    printed = capsys.readouterr().err
    assert "configure of CPython 3.14.7 failed" in printed
    assert "| checking for gcc... no" in printed
    assert "next:  fix what it reports, or change its arguments with --configure" in printed


def test_a_make_that_does_not_take_the_stencils_is_noticed(python: Python, capsys: pytest.CaptureFixture[str]) -> None:
    python.after_make = lambda folder: (folder / f"jit_stencils-{PC}.h").write_text("another")
    assert python.test() == 2
    assert f"make did not take the stencils: jit_stencils-{PC}.h changed" in capsys.readouterr().err


def test_a_make_that_does_not_compile_the_stencils_is_noticed(
    python: Python, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(making, "is_compiled", lambda *_: False)
    assert python.test() == 2
    assert "make did not take the stencils: Python/jit.o is older than they are" in capsys.readouterr().err


def test_what_stands_in_the_way_is_named_first(
    python: Python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine").touch()
    assert python.test("--work", str(tmp_path / "work")) == 2
    assert "is not empty" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert python.test("--junit", str(tmp_path / "file" / "junit.xml")) == 2
    assert "cannot write" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert python.test() == 2
    assert "make is not on PATH" in capsys.readouterr().err
    monkeypatch.undo()
    (python.tree.root / "Programs").mkdir()
    (python.tree.root / "Programs" / "python.o").touch()
    assert python.test() == 2
    assert "next:  run `make distclean` there" in capsys.readouterr().err
    assert python.started == []
