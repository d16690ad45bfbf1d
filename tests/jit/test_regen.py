"""An unmodified CPython, configured and made with PYTHON_FOR_REGEN='stencilkit regen' and no LLVM but 22."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import workbench as wb

REGEN = f"{sys.executable} -m stencilkit regen"
CASES, TEMPLATE = "Python/executor_cases.c.h", "Tools/jit/template.c"
# Enough to be interrupted.
UOPS = 150


class Folder:
    """A build folder of a tree, and an environment in which LLVM 22 is the only LLVM."""

    def __init__(self, root: Path, tree: Path) -> None:
        data = root / "data" / "toolchains"
        data.mkdir(parents=True)
        wheel = wb.pypi_llvm(wb.NEWEST_WHEEL).parents[1]
        (data / wheel.name).symlink_to(wheel)
        folders = {"STENCILKIT_DATA": str(root / "data"), "STENCILKIT_CACHE": str(root / "cache")}
        self.environment = wb.environment(folders)
        self.tree = tree
        self.path = root / "build"
        self.path.mkdir()

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        return wb.started(command, self.path, self.environment)

    def run(self, *command: str | Path, timeout: float = 600, code: int = 0) -> str:
        process = self.start(*command)
        said, _ = process.communicate(timeout=timeout)
        assert process.returncode == code, said[-6000:]
        return said

    def configure(self, *words: str) -> None:
        self.run(self.tree / "configure", "-q", "--enable-experimental-jit", f"PYTHON_FOR_REGEN={REGEN}", *words)

    def generated(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in self.path.glob("*jit*")}

    def touch(self, path: Path) -> None:
        """Make a file newer than make's stamp: times of files advance in steps, and make is quicker than one."""
        stamp = self.path / ".jit-stamp"
        path.touch()
        while stamp.is_file() and path.stat().st_mtime_ns <= stamp.stat().st_mtime_ns:
            time.sleep(0.001)
            path.touch()

    def remembered(self) -> int:
        return sum(path.is_file() for path in (self.path.parent / "cache" / "entries").rglob("*"))


GOALS = ("make", "-j16", "jit_stencils.h", "jit_unwind_info.h", f"jit_shim-{wb.X86}.o")
MADE = {
    *(".jit-stamp", "jit_stencils.h", f"jit_stencils-{wb.X86}.h", f"jit_shim-{wb.X86}.o"),
    *("jit_unwind_info.h", f"jit_unwind_info-{wb.X86}.h"),
}


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """3.15 has the most rules: five files, a stamp, and one that starts make again for a file that is gone."""
    root = tmp_path_factory.mktemp("regen")
    folder = Folder(root, wb.small_cpython("3.15.0rc1", root / "tree", uops=UOPS))
    folder.environment["CONFIG_SITE"] = str(wb.site("3.15.0rc1"))
    folder.configure()
    return folder


@pytest.fixture
def folder(configured: Folder) -> Iterator[Folder]:
    """A folder in which nothing was generated, and whose tree is as it was, before and after."""
    before = {path: path.read_bytes() for path in (configured.tree / CASES, configured.tree / TEMPLATE)}
    yield configured
    configured.run("make", "clean-jit-stencils")
    for path, data in before.items():
        path.write_bytes(data)


def test_the_rules_of_an_unmodified_makefile(folder: Folder) -> None:
    said = folder.run(*GOALS)
    assert "using LLVM 22." in said
    assert said.count("stencilkit: wrote ") == 5
    made = folder.generated()
    assert set(made) == MADE
    assert "wrote" not in folder.run(*GOALS)
    (folder.path / f"jit_shim-{wb.X86}.o").unlink()
    said = folder.run(*GOALS)
    assert said.count("stencilkit: wrote ") >= 1
    # make asks again when pyconfig.h is newer; nothing has changed, so only its own stamp is touched.
    before = folder.generated()
    folder.touch(folder.path / "pyconfig.h")
    folder.run(*GOALS)
    after = folder.generated()
    assert after.pop(".jit-stamp") > before.pop(".jit-stamp")
    assert after == before


def changed(folder: Folder, statement: str) -> None:
    """Put a statement into the first uop."""
    cases = folder.tree / CASES
    text = cases.read_text()
    assert text.count("case _NOP_r00: {\n") == 1
    cases.write_text(text.replace("case _NOP_r00: {\n", f"case _NOP_r00: {{\n            {statement}\n"))
    folder.touch(cases)


def test_a_uop_that_is_changed_and_one_that_does_not_compile(folder: Folder) -> None:
    good = (folder.tree / CASES).read_bytes()
    changed(folder, "no_such_thing();")
    said = folder.run(*GOALS, code=2)
    assert "no_such_thing" in said
    assert "did not compile" in said
    assert "Traceback" not in said
    # What is left is make's own: no header, and no stamp.
    assert folder.generated() == {}
    (folder.tree / CASES).write_bytes(good)
    folder.run(*GOALS)
    before, known = folder.generated(), folder.remembered()
    changed(folder, "frame->instr_ptr = 0;")
    said = folder.run(*GOALS)
    # The uop, whose object file is remembered behind a second key, and what all uops use.
    assert folder.remembered() - known <= 3
    assert f"wrote {folder.path / f'jit_stencils-{wb.X86}.h'}" in said
    assert folder.generated()[f"jit_stencils-{wb.X86}.h"] > before[f"jit_stencils-{wb.X86}.h"]
    assert "wrote" not in folder.run(*GOALS)


def test_two_makes_in_one_folder_and_one_that_is_interrupted(folder: Folder) -> None:
    with (folder.tree / TEMPLATE).open("a") as template:
        template.write("\nstatic int nothing_that_was_compiled_before;\n")
    known = folder.remembered()
    stopped = folder.start(*GOALS)
    while folder.remembered() <= known + 3 and stopped.poll() is None:
        time.sleep(0.02)
    os.killpg(stopped.pid, signal.SIGINT)
    said, _ = stopped.communicate(timeout=60)
    assert stopped.returncode
    assert "nothing was left half-written" in said
    assert "Traceback" not in said
    assert folder.generated() == {}
    # Both have to compile one uop; the others are remembered.
    shutil.copy(wb.tree("3.15.0rc1") / "Tools/jit/template.c", folder.tree / "Tools/jit")
    changed(folder, "frame->instr_ptr = frame->instr_ptr;")
    both = [folder.start(*GOALS), folder.start(*GOALS)]
    for process in both:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert set(folder.generated()) == MADE
    assert "wrote" not in folder.run(*GOALS)


@pytest.mark.matrix
@pytest.mark.parametrize("version", sorted(wb.PINNED))
@pytest.mark.parametrize(
    "words",
    [(), ("--with-pydebug",), ("--enable-optimizations", "PROFILE_TASK=-m test test_dict"), ("in the tree",)],
    ids=["release", "debug", "pgo", "in-tree"],
)
def test_an_unmodified_cpython(version: str, words: tuple[str, ...], tmp_path: Path) -> None:
    folder = Folder(tmp_path, wb.tree(version))
    if words == ("in the tree",):
        folder.tree = folder.path = Path(shutil.copytree(folder.tree, tmp_path / "copy"))
        words = ()
    folder.configure("OPT=-O1 -Wall", *words)
    said = folder.run("make", "-j16", timeout=3000)
    assert "using LLVM 22." in said
    assert "wrote" not in folder.run("make", timeout=600)
    enabled = "import sys; print(sys._jit.is_enabled())" if version != "3.13.15" else "print(True)"
    assert folder.run("./python", "-c", enabled).strip() == "True"
    modules = ("test_capi.test_opt", "test_generators", "test_call")
    folder.run("./python", "-m", "test", *modules, timeout=3000)
