"""What a cell's questions are answered with, of proofs, test runs and benchmarks that are made up here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stencilkit.errors import (
    BuildFolderError,
    CompileError,
    JitCrashError,
    JitTestError,
    OutputError,
    ProcessError,
    RelocationError,
    StencilkitError,
    TargetError,
    ToolchainError,
    WitnessError,
)
from stencilkit.model import proof as proofs
from stencilkit.model.gate import Configuration
from stencilkit.model.proof import Verdict
from stencilkit.model.qualification import Check, Name
from stencilkit.model.testing import ModuleVerdict, TestReport
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import answering, building, configuring, gate, knowing, qualifying, recalling, requesting
from stencilkit.pipeline import subject as subjects
from stencilkit.pipeline.subject import Subject
from stencilkit.support import process
from stencilkit.support.cache import Store
from tests import samples
from tests.results import X86
from tests.unit.test_jittest import PROOF, report, verdict
from tests.unit.test_jittest import run as run_of
from tests.unit.test_qualification import job

GOOD = ModuleVerdict(jit=run_of())
BAD = ModuleVerdict(jit=run_of(outcome="failed"), blamed=("test_dict.test_b",))


def subject(path: Path, llvm: str = "22.1.8", **outcomes: object) -> Subject:
    """A cell of 3.14, for which upstream asks for LLVM 19; `outcomes` were worked out before."""
    found = Subject(
        job=job(llvm, reference="clang"),
        scratch=path,
        store=Store(path / "store"),
        configuration=cast("Configuration", None),
        plain=path,
    )
    found.outcomes.update(outcomes)
    return found


def answer(name: Name, path: Path, llvm: str = "22.1.8", **outcomes: object) -> tuple[str, str, str]:
    found = answering.ask(name, subject(path, llvm, **outcomes)).check
    return found.outcome, found.figure, found.reason


def timed(on: Mapping[str, float], off: float = 2.0, emulator: str = "") -> TestReport:
    """A report of what ran the benchmark "a", by LLVM's version."""
    verdicts = [replace(verdict(GOOD), llvm=llvm, benchmarks={"a": seconds}) for llvm, seconds in on.items()]
    return replace(report(*verdicts), off={"a": off}, emulator=emulator)


def proved(**verdicts: Verdict) -> proofs.Proofs:
    found = tuple(proofs.Proof(name=name, verdict=value) for name, value in verdicts.items())
    return proofs.Proofs(first="", second="", series="3.14", triple="", assumptions="", proofs=found)


def test_proofs(tmp_path: Path) -> None:
    one, two = Verdict.IDENTICAL, Verdict.PROVED
    assert answer("proof", tmp_path, proofs=proved(a=one, b=two)) == ("passed", "1 of 1 proved", "")
    noted = answer("proof", tmp_path, proofs=proved(a=one, b=Verdict.AGREED, c=Verdict.GIVEN))
    assert noted == ("noted", "0 of 2 proved", "b: agreed on runs; c: proved given")
    failed = answer("proof", tmp_path, proofs=proved(b=Verdict.DIFFERS, c=Verdict.NOT_PROVED))
    assert failed == ("failed", "0 of 2 proved", "b differs")
    assert answer("proof", tmp_path, proofs=None)[0] == "not asked"
    assert answer("proof", tmp_path, "19.1.7")[:2] == ("passed", "0 differ")


def test_test_runs(tmp_path: Path) -> None:
    assert answer("run", tmp_path, tests=report(verdict(GOOD))) == ("passed", "4 tests in 1 module", "")
    assert answer("run", tmp_path, tests=report(verdict(BAD)))[::2] == ("failed", "test_dict.test_b")
    assert answer("run", tmp_path, tests=report(verdict()))[::2] == ("failed", "no test ran")
    off = report(verdict(GOOD, proof=replace(PROOF, executors=0)))
    assert answer("run", tmp_path, tests=off)[::2] == ("failed", "the JIT did not work")
    hung = report(verdict(proof=replace(PROOF, ended="was ended by signal 11\nFatal")))
    assert answer("run", tmp_path, tests=hung)[::2] == ("failed", "was ended by signal 11 Fatal")
    # What the reference does is the question of another cell.
    assert answer("run", tmp_path, tests=report(verdict(GOOD), verdict(BAD)))[0] == "passed"


def test_speeds(tmp_path: Path) -> None:
    def speed(found: TestReport, llvm: str = "22.1.8") -> tuple[str, str]:
        return answer("speed", tmp_path, llvm, tests=found)[::2]

    assert speed(timed({"22.1.8": 1.0, "19.1.7": 1.0})) == ("passed", "")
    assert speed(timed({"22.1.8": 1.09, "19.1.7": 1.0})) == ("passed", "")
    slow = "the JIT is more than 10 % slower than with upstream's LLVM"
    assert speed(timed({"19.1.7": 1.0, "22.1.8": 1.12})) == ("noted", slow)
    assert speed(timed({"22.1.8": 1.0})) == ("not asked", "there is nothing to compare it with")
    assert speed(timed({"19.1.7": 1.0})) == ("not asked", "the benchmarks did not run on these stencils")
    assert speed(timed({"19.1.7": 1.0}), "19.1.7") == ("passed", "upstream asks for this LLVM")
    qemu = timed({"22.1.8": 1.0, "19.1.7": 1.0}, emulator="/usr/bin/qemu-aarch64-static -L /usr/aarch64-linux-gnu")
    assert speed(qemu) == ("not asked", "times in qemu-aarch64-static say nothing")
    assert answering.speeds(timed({"22.1.8": 1.5}, off=3.0)) == {"22.1.8": pytest.approx(2.0)}


@pytest.mark.parametrize(
    ("error", "outcome", "lasting"),
    [
        # No compiler, no make, a target that cannot run here:
        (JitTestError("make is not on PATH"), "not asked", False),
        (ProcessError("make did not end within 7200 seconds"), "not asked", False),
        (BuildFolderError("make cannot say how the stencils are made here"), "not asked", False),
        (WitnessError("gcc cannot compute the numbers of the runtime"), "not asked", False),
        # Until a file changes that the key of the answers has:
        (ToolchainError("there is no LLVM 19"), "not asked", True),
        (JitCrashError("make of CPython 3.14.7 failed", details="x\nSegmentation fault"), "failed", True),
        (RelocationError("no such hole"), "failed", True),
    ],
)
def test_what_is_no_fault_of_the_stencils_was_not_asked(
    tmp_path: Path, error: StencilkitError, outcome: str, lasting: bool
) -> None:
    found = subject(tmp_path, tests=error)
    answers = [answering.ask(name, found) for name in ("run", "speed")]
    assert [item.check.outcome for item in answers] == [outcome, outcome]
    assert {item.check.reason for item in answers} == {answering.line(error)}
    assert [item.lasting for item in answers] == [lasting, lasting]


def test_an_entry_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))
    (built,) = (path.parent for path in (tmp_path / "out").rglob("manifest.toml"))
    name = f"{X86}-release-llvm-19.1.7.toml"
    found = subject(tmp_path, "19.1.7")
    found = replace(found, plain=built, job=replace(found.job, ledger={name: "<<<<<<< mine"}))
    check = answering.ask("ledger", found).check
    assert check.outcome == "failed"
    assert check.reason.startswith(f"3.14.7/{name}: not TOML: ")


def test_a_full_disk_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        answering.ask("run", subject(tmp_path, tests=OutputError("there is no room for a build")))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("clang: error: unable to open output file 'x': 'No space left on device'", OutputError),
        ("stencilkit: error: cannot use /tmp/x: No space left on device", OutputError),
        ("stencilkit: error: _NOP does not compile", CompileError),
    ],
)
def test_a_build_on_a_full_disk_is_not_a_build_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[StencilkitError]
) -> None:
    done = process.Completed(command=(), returncode=2, stdout=b"", stderr=said.encode())
    monkeypatch.setattr(process, "run", lambda *_, **__: done)
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STENCILKIT_DATA", str(tmp_path / "data"))
    configuration = Configuration(
        tree=samples.tree(tmp_path / "tree"),
        asked=knowing.target(X86),
        flavour="release",
        hardened=False,
        toolchain=cast("Toolchain", SimpleNamespace(program=tmp_path / "clang")),
        pyconfig=tmp_path,
    )
    with pytest.raises(error):
        gate.build(configuration, tmp_path)


def test_what_fails_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def build(*_: object) -> None:
        calls.append(1)
        raise CompileError("a build ended with 2")

    monkeypatch.setattr(requesting, "at", lambda *_: None)
    monkeypatch.setattr(recalling, "stencils", lambda *_: "ab" * 32)
    monkeypatch.setattr(subjects, "replace", lambda *_, **__: None)
    monkeypatch.setattr(gate, "build_reference", build)
    found = subject(tmp_path)
    for _ in range(3):
        with pytest.raises(CompileError, match="a build ended"):
            _ = found.comparison
    assert calls == [1]
    assert answering.ask("proof", found).check == Check(name="proof", outcome="failed", reason="a build ended with 2")


def broken(error: StencilkitError | None) -> Callable[..., Any]:
    def build(*_: object, **__: object) -> None:
        if error is not None:
            raise error

    return build


@pytest.mark.parametrize(
    ("cause", "raised"),
    [
        (CompileError("_NOP does not compile", details="clang: error\nx"), None),
        (TargetError("no headers for it"), TargetError),
        (None, ProcessError),
    ],
)
def test_a_build_that_fails_has_a_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: StencilkitError | None, raised: type[StencilkitError] | None
) -> None:
    """The LLVM's fault is a verdict; this machine's is not."""

    class Tool:
        version = "22.1.8"

    monkeypatch.setattr(knowing, "tree", lambda *_: None)
    monkeypatch.setattr(requesting, "at", lambda *_: Tool)
    monkeypatch.setattr(configuring, "request", lambda *_: None)
    monkeypatch.setattr(gate, "build", broken(CompileError("a build (nothing varied) ended with 2")))
    monkeypatch.setattr(building, "build", broken(cause))
    asked = job("22.1.8", cached=False)
    if raised is not None:
        with pytest.raises(raised):
            qualifying.qualify(asked, Store(tmp_path))
        return
    found = qualifying.qualify(asked, Store(tmp_path))
    assert found.verdict == "not qualified"
    assert found.why == "builds: _NOP does not compile: x"
