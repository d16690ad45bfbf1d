"""What several files of unit tests use."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from stencilkit import headers
from stencilkit.prove import solver
from stencilkit.support import process
from stencilkit.toolchain import _finding
from tests.standin import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STENCILKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", str(made.programs))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(process, "run", made.clang)
    for name in ("STENCILKIT_LLVM", "LLVM_TOOLS_INSTALL_DIR", "LLVM_ROOT", "CONDA_PREFIX", "LLVM_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_finding, "_FOLDERS", ())
    # As on a machine of that platform with its C library's headers.
    monkeypatch.setattr(headers, "_has_own", lambda _: True)
    return made


@pytest.fixture
def judged(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Machine:
    """A machine on which CPython's own generator makes what LLVM 19 makes."""
    (machine.tree / "Tools/jit/build.py").write_text('"--output-dir" "llvm-readobj"\n')
    machine.build()
    machine.clang.upstream = {path.name: path.read_bytes() for path in machine.folder().glob("*.h")}
    shutil.rmtree(machine.out)
    capsys.readouterr()
    return machine


@pytest.fixture(autouse=True)
def _going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs start: a run that is interrupted starts no more in its process, which is that of all tests here."""
    monkeypatch.setattr(process, "_stopping", threading.Event())


@pytest.fixture(autouse=True)
def _unasked_solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test of proofs have a solver that was asked nothing, as a proof has: its answers depend on that."""
    if request.path.name.startswith("test_prove"):
        monkeypatch.setattr(solver.load().z3, "_main_ctx", None)
