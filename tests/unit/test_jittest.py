"""What a test run concludes: who is blamed, how a module ended, what is LLVM, what the reports say."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit.cli import _testing
from stencilkit.jittest import junit, making, running
from stencilkit.jittest.hiding import hidden_path, is_llvm
from stencilkit.jittest.probes import exercises
from stencilkit.model.testing import ModuleRun, ModuleVerdict, Proof, StencilsVerdict, TestReport

PROOF = Proof(
    available=True, enabled=True, entered="seen", executors=3, code_bytes=99, uops=("_START_EXECUTOR",), wrong=()
)


def run(**changes: Any) -> ModuleRun:
    values: dict[str, Any] = {
        "name": "test_dict",
        "outcome": "passed",
        "tests": 5,
        "skipped": 1,
        "failures": (),
        "executors": 2,
        "code_bytes": 4096,
        "seconds": 1.0,
        "tail": "",
        "log": "log.txt",
    }
    return ModuleRun(**{**values, **changes})


def verdict(*modules: ModuleVerdict, proof: Proof = PROOF, hardened: bool = False) -> StencilsVerdict:
    return StencilsVerdict(
        llvm="20.1.2",
        hardened=hardened,
        content_digest="ab" * 32,
        placed=("jit_stencils.h",),
        generator_ran=False,
        build_seconds=1.0,
        proof=proof,
        modules=modules,
        benchmarks={},
    )


def report(*verdicts: StencilsVerdict) -> TestReport:
    return TestReport(
        cpython="3.14.7",
        triple="x86_64-unknown-linux-gnu",
        flavour="release",
        suite="smoke",
        configure=(),
        emulator="",
        verdicts=verdicts,
        off={},
        folder="work",
    )


def judged(jit: ModuleRun, without: ModuleRun | None = None, again: ModuleRun | None = None) -> ModuleVerdict:
    """Judge runs that are given; one that is not given must not be asked for."""
    runs: dict[str, ModuleRun | None] = {"jit": jit, "off": without, "again": again}

    def take(name: str) -> ModuleRun:
        found = runs.pop(name)
        assert found is not None, name
        return found

    found = running.judge_module(take)
    assert not [name for name, left in runs.items() if left is not None]
    return found


@pytest.mark.parametrize(
    "name",
    [
        *("clang", "clang-19", "clang++", "clang++-19", "clang-19.1", "llvm-readobj", "llvm-objdump-21", "zig", "brew"),
        *("lld", "ld.lld-19", "x86_64-linux-gnu-clang", "llvm-config", "opt", "opt-19", "llc-19", "clang.exe"),
    ],
)
def test_llvm_is_hidden(name: str) -> None:
    assert is_llvm(name)


@pytest.mark.parametrize(
    "name", ["gcc", "cc", "ld", "make", "objdump", "readelf", "ccache", "optipng", "python3", "as"]
)
def test_other_programs_are_not_hidden(name: str) -> None:
    assert not is_llvm(name)


def test_an_object_of_older_stencils_is_noticed(tmp_path: Path) -> None:
    contents = {"jit_stencils.h": b"", "jit_stencils-x.h": b"", "jit_shim-x.o": b""}
    (tmp_path / "Python").mkdir()
    for number, name in enumerate(["jit_stencils-x.h", "jit_stencils.h", "Python/jit.o", "jit_shim-x.o"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    assert making.is_compiled(tmp_path, contents)
    os.utime(tmp_path / "jit_stencils-x.h", (9, 9))
    assert not making.is_compiled(tmp_path, contents)


def test_hidden_path_keeps_the_first_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, names in (("one", ["gcc", "clang-19"]), ("two", ["gcc", "make", "llvm-readobj"])):
        (tmp_path / folder).mkdir()
        for name in names:
            program = tmp_path / folder / name
            program.write_text("")
            program.chmod(0o755)
    (tmp_path / "two" / "data.txt").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path / 'one'}:{tmp_path / 'absent'}:{tmp_path / 'two'}")
    farm = Path(hidden_path(tmp_path / "farm"))
    assert sorted(link.name for link in farm.iterdir()) == ["gcc", "make"]
    assert (farm / "gcc").resolve() == (tmp_path / "one" / "gcc").resolve()


def test_a_part_of_path_that_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "secret":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    (tmp_path / "secret").mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "gcc").write_text("")
    (tmp_path / "one" / "gcc").chmod(0o755)
    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setenv("PATH", f"{tmp_path / 'secret'}:{tmp_path / 'one'}")
    assert sorted(link.name for link in listed(Path(hidden_path(tmp_path / "farm")))) == ["gcc"]


def failed(*names: str) -> ModuleRun:
    return run(outcome="failed", failures=names)


def test_only_what_the_jit_breaks_is_blamed() -> None:
    both = failed("A.one", "A.two")
    assert judged(run()) == ModuleVerdict(jit=run())
    assert judged(both, both).blamed == ()
    assert judged(both, failed("A.two"), both).blamed == ("A.one",)
    assert judged(both, run(), both).blamed == ("A.one", "A.two")


def test_what_fails_once_is_unsteady() -> None:
    found = judged(failed("A.one", "A.two"), run(), failed("A.two", "A.three"))
    assert found.blamed == ("A.two",)
    assert found.unsteady == ("A.one", "A.three")
    assert judged(failed("A.one"), run(), run()).unsteady == ("A.one",)
    assert not judged(failed("A.one"), run(), run()).blamed


@pytest.mark.parametrize("outcome", ["crashed", "hung", "failed"])
def test_an_end_without_words_is_blamed_under_the_module(outcome: Any) -> None:
    jit = run(outcome=outcome, tests=0)
    assert judged(jit, run()).blamed == ("test_dict",)
    assert judged(jit, run(outcome=outcome, tests=0)).blamed == ()
    assert judged(failed("A.one"), run(), jit).blamed == ("test_dict",)


def cases(tests: int, skipped: int = 0) -> junit.Cases:
    return junit.Cases(names=("t",) * tests, failures=(), skipped=skipped)


@pytest.mark.parametrize(
    ("returncode", "text", "found", "outcome"),
    [
        (0, "", cases(3), "passed"),
        (0, "", cases(3, 3), "skipped"),
        (0, "", cases(0), "skipped"),
        (4, "", cases(0), "skipped"),
        (2, "", cases(3), "failed"),
        (-11, "", cases(0), "crashed"),
        (None, "", cases(0), "hung"),
        (1, "Timeout (0:00:05)!\nThread 0x1", cases(0), "hung"),
        (0, "Timeout (0:00:05)! as a test printed it", cases(1), "passed"),
    ],
)
def test_outcome(returncode: int | None, text: str, found: junit.Cases, outcome: str) -> None:
    assert running._outcome(returncode, text, found) == outcome


def test_a_hang_shows_the_stack() -> None:
    text = "noise\n" * 100 + "Timeout (0:00:05)!\nThread 0x1\n  File x.py, line 1\n"
    assert running._tail(text, "hung").startswith("Timeout (0:00:05)!\nThread 0x1")
    assert "noise" in running._tail("noise\n" * 100, "hung")


def test_regrtest_xml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(
        '<testsuites tests="3"><testsuite><testcase name="test.test_x.A.good"/>'
        '<testcase name="test.test_x.A.bad"><failure/></testcase>'
        '<testcase name="test.test_x.A.away"><skipped/></testcase>'
        '<testcase name="test.test_x.A.odd"><error/></testcase></testsuite></testsuites>'
    )
    found = junit.read(path)
    assert found.failures == ("test_x.A.bad", "test_x.A.odd")
    assert (len(found.names), found.skipped) == (4, 1)


@pytest.mark.parametrize("content", [None, "", "<testsuites><testsuite>"])
def test_a_missing_or_cut_xml_has_no_cases(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "junit.xml"
    if content is not None:
        path.write_text(content)
    assert junit.read(path) == junit.Cases(names=(), failures=(), skipped=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"available": False},
        {"enabled": False},
        {"entered": None},
        {"executors": 0},
        {"wrong": ("floats",)},
        {"ended": "was ended by signal 11"},
    ],
)
def test_a_proof_with_a_gap_does_not_hold(changes: dict[str, Any]) -> None:
    values = {name: getattr(PROOF, name) for name in Proof.__slots__}
    assert PROOF.holds
    broken = Proof(**{**values, **changes})
    assert not broken.holds
    assert not verdict(judged(run()), proof=broken).good


def test_nothing_tested_is_not_good() -> None:
    assert verdict(judged(run())).good
    assert not verdict().good
    assert not verdict(judged(run(tests=2, skipped=2))).good
    assert not verdict(judged(run(executors=0))).good
    assert not report().good
    assert report(verdict(judged(run()))).good


def test_3_13_cannot_be_asked() -> None:
    silent = Proof(
        available=None, enabled=None, entered="by its instruction", executors=1, code_bytes=1, uops=(), wrong=()
    )
    assert silent.holds


def test_junit_report() -> None:
    bad = judged(run(outcome="crashed", tests=0, tail="Fatal\x1b error & <end>"), run())
    also = judged(run(name="test_gdb", outcome="failed", failures=("a",)), run(outcome="failed", failures=("a",)))
    root = ET.fromstring(junit.render(report(verdict(judged(run()), bad, also))))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
    failure = suite.find("testcase[@name='test_dict']/failure")
    assert failure is not None
    assert failure.text == "Fatal\\x1b error & <end>"


def test_junit_tells_what_broke_before_and_after_the_tests() -> None:
    ended = replace(PROOF, ended="was ended by signal 11\nFatal Python error")
    broken = replace(verdict(judged(run())), benchmark_failure="ended with 1\nlists: got 1, expected 2")
    assert not broken.good
    root = ET.fromstring(junit.render(report(verdict(proof=ended), broken)))
    messages = [failure.get("message") for failure in root.iter("failure")]
    assert messages == ["was ended by signal 11", "ended with 1"]


@pytest.mark.parametrize(("exercise", "answer"), exercises.EXERCISES, ids=[f.__name__ for f, _ in exercises.EXERCISES])
def test_answers_of_exercises_are_those_of_a_cpython_without_a_jit(
    exercise: Callable[[int], object], answer: str
) -> None:
    assert str(exercise(exercises.ROUNDS)) == answer
    assert str(exercise(exercises.ROUNDS - 1)) != answer


def printed(found: TestReport, capsys: pytest.CaptureFixture[str]) -> str:
    _testing.report(found, "text")
    return capsys.readouterr().out


def test_what_the_command_prints_of_a_good_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    fast = replace(verdict(judged(run()), hardened=True), benchmarks={"nbody": 0.5, "fannkuch": 0.25})
    said = printed(replace(report(fast), off={"nbody": 1.0, "fannkuch": 2.0}, emulator="qemu-aarch64"), capsys)
    lines = said.splitlines()
    assert lines[:2] == ["CPython 3.14.7, x86_64-unknown-linux-gnu, release, suite smoke", "run by qemu-aarch64"]
    assert f"LLVM 20.1.2 hardened, content {'ab' * 8}" in lines
    assert "  built in 1 s with every LLVM hidden; CPython's own generator: never started" in lines
    assert "  JIT: available yes, enabled yes, traces compiled 3 (1 different uops, 99 bytes), entered: seen" in lines
    assert "  test_dict: passed, 5 tests, 1 skipped, 2 executors (4096 bytes), 1.0 s" in lines
    assert "  4 tests in 1 module, 2 executors seen alive; 0 broken by the JIT" in lines
    rows = [line.split() for line in lines if line.startswith(("nbody", "fannkuch", "geometric"))]
    assert rows == [
        ["fannkuch", "2000.0", "250.0", "8.00"],
        ["nbody", "1000.0", "500.0", "2.00"],
        ["geometric", "mean", "4.00"],
    ]
    assert lines[-1] == "passed"


def test_what_the_command_prints_of_a_bad_run(capsys: pytest.CaptureFixture[str]) -> None:
    crashed = judged(run(outcome="crashed", tests=0, tail="Fatal Python error\n  File x"), run())
    also = judged(run(name="test_gdb", outcome="failed", failures=("a",)), run(outcome="failed", failures=("a",)))
    unsteady = judged(failed("A.one"), run(), run())
    bad = replace(verdict(crashed, also, unsteady), benchmark_failure="ended with 1\nlists: wrong")
    lines = printed(report(bad), capsys).splitlines()
    at = lines.index("  test_dict: crashed, 0 tests, 1 skipped, 2 executors (4096 bytes), 1.0 s")
    assert lines[at + 1 : at + 5] == [
        "    blamed: test_dict",
        "    | Fatal Python error",
        "    |   File x",
        "    log: log.txt",
    ]
    assert "    failed once, then passed: A.one" in lines
    assert any(line.endswith("; without the JIT too (failed: a)") for line in lines)
    at = lines.index("  a benchmark breaks with the JIT, and not without:")
    assert lines[at + 1 : at + 3] == ["    | ended with 1", "    | lists: wrong"]
    assert lines[-1] == "FAILED"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"available": None, "enabled": False}, "available cannot be asked, enabled NO, traces"),
        ({"entered": None}, "entered: NO"),
        ({"wrong": ("floats", "lists")}, "entered: seen, WRONG ANSWERS: floats, lists"),
        (  # in the words of the process
            {"ended": "was ended by signal 11\nFatal"},
            (
                "CPython was ended by signal 11 in the first loops that it compiled, and not with the JIT off; "
                "no test was run\n    | Fatal"
            ),
        ),
    ],
)
def test_what_the_command_prints_of_a_jit_that_does_not_run(
    changes: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in printed(report(verdict(proof=replace(PROOF, **changes))), capsys)


def test_what_the_command_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    _testing.report(report(verdict(judged(failed("A.one"), run(), failed("A.one")))), "json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["good"], answer["verdicts"][0]["good"]) == (False, False)
    assert answer["verdicts"][0]["blamed"] == ["A.one"]
    assert answer["verdicts"][0]["executors"] == 2
