"""make's own rule for the stencils, with regen in place of Python, a real clang and a CPython of a dozen uops."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import workbench as wb

pytestmark = pytest.mark.network
VERSION = "3.14.7"
HEADER = f"jit_stencils-{wb.X86}.h"
# The rules of a configured 3.14 (Makefile.pre.in), which name the triple, and another generator of CPython's.
MAKEFILE = f"""\
PYTHON_FOR_REGEN?=python3
srcdir=../cpython
JIT_DEPS=$(srcdir)/Tools/jit/*.c $(srcdir)/Python/executor_cases.c.h pyconfig.h
all: jit_stencils.h other
jit_stencils.h: $(JIT_DEPS)
\t$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py {wb.X86} --output-dir . --pyconfig-dir . --cflags=""
other:
\tPYTHONPATH=here $(PYTHON_FOR_REGEN) -c 'import os; print(os.environ["PYTHONPATH"])' > other
.PHONY: regen-jit
regen-jit:
\t$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py {wb.X86} --output-dir . --pyconfig-dir . --cflags=""
"""
BROKEN = "        case _NOP: {\n            no_such_thing();\n            break;\n        }\n"


class Build:
    """A folder in which configure ran, beside its tree."""

    def __init__(self, root: Path) -> None:
        self.tree = root / "cpython"
        self.folder = root / "build"
        self.folder.mkdir()
        shutil.copy(wb.pyconfig(VERSION) / "pyconfig.h", self.folder)
        (self.folder / "Makefile").write_text(MAKEFILE)
        self.variable = f"PYTHON_FOR_REGEN={sys.executable} -m stencilkit regen --llvm {wb.pypi_llvm(22)}"
        self.environment = wb.environment({"STENCILKIT_CACHE": str(root / "cache")})

    def start(self, *goals: str) -> subprocess.Popen[str]:
        return wb.started(["make", "-j16", self.variable, *goals], self.folder, self.environment)

    def make(self, *goals: str) -> tuple[int, str]:
        process = self.start(*goals)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said

    def remembered(self) -> set[Path]:
        return {path for path in (self.folder.parent / "cache" / "entries").rglob("*") if path.is_file()}

    def state(self) -> dict[str, tuple[int, bytes]]:
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in self.folder.iterdir()}


@pytest.fixture
def build(tmp_path: Path) -> Build:
    wb.small_tree(VERSION, tmp_path / "cpython")
    return Build(tmp_path)


def test_make_takes_regen_for_python(build: Build, tmp_path: Path) -> None:
    code, said = build.make()
    assert code == 0, said
    assert (build.folder / "other").read_text() == "here\n"
    # The same stencils as those of `build`, comments aside.
    base: list[str | Path] = ["build", "--cpython", build.tree, "--llvm", wb.pypi_llvm(22), "--target", wb.X86]
    wb.stencilkit(*base, "--out", tmp_path / "out", "--pyconfig-dir", wb.pyconfig(VERSION))
    (theirs,) = (tmp_path / "out").rglob(HEADER)
    assert (build.folder / HEADER).read_bytes() == theirs.read_bytes()
    assert sorted(path.name for path in build.folder.iterdir()) == [
        *("Makefile", HEADER, "jit_stencils.h", "other", "pyconfig.h")
    ]
    before = build.state()
    assert "Nothing to be done" in build.make()[1]
    # This goal calls the generator, which finds that nothing has changed.
    code, said = build.make("regen-jit")
    assert code == 0, said
    assert build.state() == before


def test_a_uop_that_does_not_compile_stops_make_and_leaves_no_header(build: Build) -> None:
    cases = build.tree / "Python/executor_cases.c.h"
    good = cases.read_text()
    first, last = good.index("        case _NOP: {"), good.index("        case ", good.index("case _NOP: {"))
    cases.write_text(good[:first] + BROKEN + "\n" + good[last:])
    code, said = build.make("jit_stencils.h")
    assert code == 2
    assert "no_such_thing" in said
    assert "1 of 13 units did not compile" in said
    assert "Error 2" in said
    assert sorted(path.name for path in build.folder.iterdir()) == ["Makefile", "pyconfig.h"]
    cases.write_text(good)
    assert build.make()[0] == 0
    before = build.state()
    # A header that is there stays as it was, and make does not take it for current.
    cases.write_text(good[:first] + BROKEN + "\n" + good[last:])
    assert build.make("jit_stencils.h")[0] == 2
    assert build.make("jit_stencils.h")[0] == 2
    assert build.state() == before


def test_a_changed_uop_is_the_only_one_that_is_compiled(build: Build) -> None:
    assert build.make()[0] == 0
    before = (build.folder / HEADER).read_bytes()
    known = build.remembered()
    cases = build.tree / "Python/executor_cases.c.h"
    text = cases.read_text()
    assert "        case _NOP: {\n" in text
    cases.write_text(text.replace("case _NOP: {\n", "case _NOP: {\n            frame->instr_ptr = 0;\n", 1))
    code, said = build.make("jit_stencils.h")
    assert code == 0, said
    # The uop, and all that was made of this tree.
    assert len(build.remembered() - known) == 2
    assert (build.folder / HEADER).read_bytes() != before


def test_two_makes_at_once_and_one_that_is_interrupted(build: Build) -> None:
    stopped = build.start("jit_stencils.h")
    while not build.remembered() and stopped.poll() is None:
        time.sleep(0.01)  # what is remembered first is the toolchain's version: nothing has been compiled yet
    os.killpg(stopped.pid, signal.SIGINT)
    stopped.communicate(timeout=60)
    assert stopped.returncode
    assert sorted(path.name for path in build.folder.iterdir()) == ["Makefile", "pyconfig.h"]
    both = [build.start("regen-jit"), build.start("jit_stencils.h")]
    for process in both:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert sorted(path.name for path in build.folder.iterdir()) == [
        *("Makefile", HEADER, "jit_stencils.h", "pyconfig.h")
    ]
    before = build.state()
    assert build.make("regen-jit")[0] == 0
    assert build.state() == before
