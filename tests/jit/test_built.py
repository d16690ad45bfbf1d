"""A CPython built on our files with no LLVM on PATH has a working JIT."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import workbench as wb

# What looks at the frames of stencils, or calls through them.
UNWINDING = (
    *("test_capi.test_opt", "test_generators", "test_call", "test_dict", "test_exceptions"),
    *("test_c_stack_unwind", "test_gdb", "test_perf_profiler"),
)


def outcomes(verdict: dict[str, Any]) -> dict[str, str]:
    """Say how each module ended; a case that failed once and then passed does not count.

    test_opt has such cases: one in some ten runs finds no executor where it looks for one. The stencils are
    upstream's byte for byte (tests/oracle), so that is a race of CPython's.
    """
    return {
        module["jit"]["name"]: "passed" if module["unsteady"] else module["jit"]["outcome"]
        for module in verdict["modules"]
    }


def verdict_of(version: str, stencils: Path, work: Path, *options: str | Path) -> dict[str, Any]:
    """Run `stencilkit test`, which must pass; return its verdict. -O1 without debug information makes builds short."""
    done = wb.stencilkit(
        *("test", stencils, "--cpython", wb.tree(version), "--format", "json", "--work", work, *options),
        check=False,
        timeout=2400,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert isinstance(verdict, dict)
    return verdict


def test_3_14_on_our_stencils(tmp_path: Path) -> None:
    out = wb.built("3.14.7", 19, tmp_path / "stencils")
    options = ("--suite", "smoke", "--configure", "OPT=-O1 -Wall", "--junit", tmp_path / "junit.xml")
    verdict = verdict_of("3.14.7", out, tmp_path / "work", *options)
    assert not verdict["generator_ran"]
    assert verdict["proof"]["available"] is True
    assert verdict["proof"]["enabled"] is True
    assert verdict["proof"]["entered"] == "seen"
    assert verdict["proof"]["wrong"] == []
    assert len(verdict["proof"]["uops"]) > 50
    assert verdict["executors"] > 50
    assert outcomes(verdict) == dict.fromkeys(["test_capi.test_opt", "test_generators", "test_call"], "passed")
    assert sum(module["jit"]["tests"] for module in verdict["modules"]) > 200
    assert 'failures="0"' in (tmp_path / "junit.xml").read_text()


@pytest.mark.matrix
def test_3_13_with_a_flag_that_is_against_ours(tmp_path: Path) -> None:
    """Behind upstream's own -fomit-frame-pointer, the user's flag made stencils that crashed the build of CPython."""
    version, flag = "3.13.15", "--cflags=-fno-omit-frame-pointer"
    out = wb.built(version, wb.PINNED[version], tmp_path / "stencils", flag)
    assert "-fno-omit-frame-pointer" in (out / "manifest.toml").read_text()
    verdict = verdict_of(version, out, tmp_path / "work", "--module", "test_call", "--configure", "OPT=-O1 -Wall")
    assert not verdict["generator_ran"]
    assert verdict["executors"] > 0
    assert outcomes(verdict) == {"test_call": "passed"}


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["3.13.15", "3.14.7", "3.15.0rc1"])
def test_a_cpython_for_musl(version: str, tmp_path: Path) -> None:
    """On stencils that upstream does not make. What fails without the JIT, too, is musl's or gdb's, not theirs."""
    target = ("--target", "x86_64-unknown-linux-musl")
    llvm = wb.pypi_llvm(wb.NEWEST_WHEEL)
    wb.stencilkit("build", "--cpython", wb.tree(version), "--llvm", llvm, *target, "--out", tmp_path / "out")
    done = wb.stencilkit(
        *("test", tmp_path / "out", "--cpython", wb.tree(version), *target, "--no-benchmarks", "--format", "json"),
        *("--configure", "OPT=-O1 -Wall", "--work", tmp_path / "work"),
        check=False,
        timeout=2400,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    report = json.loads(done.stdout)
    (verdict,) = report["verdicts"]
    assert report["emulator"] == ""
    assert b"/lib/ld-musl-x86_64.so.1\0" in (tmp_path / "work/build/python").read_bytes()
    assert not verdict["generator_ran"]
    assert verdict["proof"]["enabled"] is not False
    assert verdict["proof"]["wrong"] == []
    assert {name for name, outcome in outcomes(verdict).items() if outcome == "failed"} <= {"test_gdb"}
    assert sum(module["jit"]["tests"] for module in verdict["modules"]) > 1500


NEGATES = """
import sys
def add(count):
    total = 0.0
    for number in range(count):
        total += -(number * 0.5 + 1.0)
    return total
for _ in range(20):
    found = add(20_000)
print(sys._jit.is_enabled(), found)
"""


@pytest.mark.matrix
@pytest.mark.parametrize("major", [19, 20])
def test_3_15_before_llvm_21(major: int, tmp_path: Path) -> None:
    """Upstream's generator stops with these LLVMs; frames must unwind through the stencils all the same."""
    version = "3.15.0rc1"
    modules = [word for module in UNWINDING for word in ("--module", module)]
    wb.stencilkit("build", "--cpython", wb.tree(version), "--llvm", wb.pypi_llvm(major), "--out", tmp_path / "out")
    verdict = verdict_of(version, tmp_path / "out", tmp_path / "work", *modules, "--configure", "OPT=-O1 -g -Wall")
    assert verdict["proof"]["entered"] == "seen"
    assert outcomes(verdict) == dict.fromkeys(UNWINDING, "passed")
    # LLVM 19 takes a constant for aligned, which crashed in such a loop (adr/0010).
    python = tmp_path / "work/build/python"
    done = subprocess.run([python, "-c", NEGATES], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "True -100015000.0\n"), done.stderr
