"""An unmodified CPython, configured and made with PYTHON_FOR_REGEN='stencilkit regen' and no LLVM but 22."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import workbench as wb

REGEN = f"{sys.executable} -m stencilkit regen"


class Folder:
    """A build folder of an unmodified tree, and an environment in which LLVM 22 is the only LLVM."""

    def __init__(self, root: Path, version: str) -> None:
        data = root / "data" / "toolchains"
        data.mkdir(parents=True)
        wheel = wb.pypi_llvm(wb.NEWEST_WHEEL).parents[1]
        (data / wheel.name).symlink_to(wheel)
        folders = {"STENCILKIT_DATA": str(root / "data"), "STENCILKIT_CACHE": str(root / "cache")}
        self.environment = wb.environment(folders)
        self.tree = wb.tree(version)
        self.path = root / "build"
        self.path.mkdir()

    def run(self, *command: str | Path, timeout: float = 600) -> str:
        done = subprocess.run(
            command, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False, timeout=timeout
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def configure(self, *words: str) -> None:
        self.run(self.tree / "configure", "-q", "--enable-experimental-jit", f"PYTHON_FOR_REGEN={REGEN}", *words)

    def generated(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in self.path.glob("*jit*")}


def test_the_rules_of_an_unmodified_makefile(tmp_path: Path) -> None:
    """3.15's are the most that there are: five files, a stamp, and rules that start make again for one that is gone."""
    folder = Folder(tmp_path, "3.15.0rc1")
    folder.configure()
    said = folder.run("make", "-j16", "jit_stencils.h", "jit_unwind_info.h", f"jit_shim-{wb.X86}.o")
    assert "using LLVM 22." in said
    assert said.count("stencilkit: wrote ") == 5
    made = folder.generated()
    assert set(made) >= {".jit-stamp", "jit_stencils.h", f"jit_stencils-{wb.X86}.h", f"jit_shim-{wb.X86}.o"}
    assert "wrote" not in folder.run("make", "-j16", "jit_stencils.h", f"jit_shim-{wb.X86}.o")
    (folder.path / f"jit_shim-{wb.X86}.o").unlink()
    said = folder.run("make", "-j16", "jit_stencils.h", f"jit_shim-{wb.X86}.o")
    assert said.count("stencilkit: wrote ") >= 1
    # make asks again when pyconfig.h is newer; nothing has changed, so only its own stamp is touched.
    before = folder.generated()
    (folder.path / "pyconfig.h").touch()
    folder.run("make", "-j16", "jit_stencils.h")
    after = folder.generated()
    assert after.pop(".jit-stamp") > before.pop(".jit-stamp")
    assert after == before


@pytest.mark.matrix
@pytest.mark.parametrize("version", sorted(wb.PINNED))
@pytest.mark.parametrize(
    "words",
    [(), ("--with-pydebug",), ("--enable-optimizations", "PROFILE_TASK=-m test test_dict"), ("in the tree",)],
    ids=["release", "debug", "pgo", "in-tree"],
)
def test_an_unmodified_cpython(version: str, words: tuple[str, ...], tmp_path: Path) -> None:
    folder = Folder(tmp_path, version)
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
