"""Runs that are killed (SIGKILL: nothing is undone) or find the disk full: no torn file, no mixture vouched for.

A full disk is a limit on the size of files here, which needs no privileges: write(2) then fails as on a full disk.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import workbench as wb

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("builds")]
VERSION = "3.14.7"
MAKEFILE = """\
HOST_GNU_TYPE=  x86_64-pc-linux-gnu
PYTHON_FOR_REGEN?=python3.11
srcdir= {tree}
all: build_all
jit_stencils.h:
\t$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py {triple} --output-dir . --pyconfig-dir . --cflags=""
"""
# What vouches for the rest: a manifest, and the header on whose first line CPython's build looks.
VOUCHING = ("manifest.toml", f"jit_stencils-{wb.X86}.h")

# What lies in a build folder before, and may be larger than all that comes there.
GIVEN = ("Makefile", "pyconfig.h")


@dataclass(frozen=True)
class Scene:
    """Commands whose results are one of two sets of files, and where those lie."""

    old: list[str]
    new: list[str]
    place: Path
    environment: Mapping[str, str]

    def run(self, words: list[str], limit: int = 0, delay: float = 0) -> int:
        def limited() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        process = subprocess.Popen(
            [sys.executable, "-m", "stencilkit", *words],
            env=dict(self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=limited if limit else None,  # noqa: PLW1509  # no threads here
        )
        try:
            _, said = process.communicate(timeout=delay or 300)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
        assert b"Traceback" not in said, said
        return process.returncode

    def state(self) -> dict[str, bytes]:
        found = [path for path in self.place.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return {str(path.relative_to(self.place)): path.read_bytes() for path in found if path.name not in GIVEN}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Build twice, so that the cache is warm, and pack both."""
    here = tmp_path_factory.mktemp("torn")
    tree = wb.small_tree(VERSION, here / "cpython")
    environment = wb.environment({"STENCILKIT_CACHE": str(here / "cache")})
    base = ["build", "--cpython", str(tree), "--llvm", str(wb.pypi_llvm(19)), "--target", wb.X86]
    base += ["--pyconfig-dir", str(wb.pyconfig(VERSION)), "--out"]
    for name, more in (("old", []), ("new", ["--comments"])):
        subprocess.run(
            [sys.executable, "-m", "stencilkit", *base, str(here / name), *more], env=environment, check=True
        )
    pack = ["pack", "--output", str(here / "packed" / "b.tar")]
    folder = here / "folder"
    folder.mkdir()
    shutil.copy(wb.pyconfig(VERSION) / "pyconfig.h", folder)
    (folder / "Makefile").write_text(MAKEFILE.format(tree=tree, triple=wb.X86))
    install = ["install", "--cpython", str(tree), "--build-dir", str(folder)]
    built = {
        "build": Scene([*base, str(here / "out")], [*base, str(here / "out"), "--comments"], here / "out", environment),
        "pack": Scene([*pack, str(here / "old")], [*pack, str(here / "new")], here / "packed", environment),
        "install": Scene([*install, str(here / "old")], [*install, str(here / "new")], folder, environment),
    }
    (here / "packed").mkdir()
    return built


def disturbed(scene: Scene, runs: int, disturb: Callable[[int, float], int]) -> tuple[int, int]:
    """Go from the old files to the new ones, disturbed; return how many runs did not end, and how many left neither."""
    assert scene.run(scene.new) == 0
    new = scene.state()
    started = time.monotonic()
    assert scene.run(scene.new) == 0
    seconds = time.monotonic() - started
    assert scene.run(scene.old) == 0
    old = scene.state()
    assert old != new
    ended, neither = 0, 0
    for number in range(runs):
        code = disturb(number, seconds)
        found = scene.state()
        ended += code != 0
        if found not in (old, new):
            neither += 1
            for name, data in found.items():
                assert data in (old.get(name), new.get(name)), f"{name} is torn"
            assert not [name for name in found if Path(name).name in VOUCHING], sorted(found)
        assert scene.run(scene.old) == 0
        assert scene.state() == old
    return ended, neither


FEW = 2
RUNS = [pytest.param(FEW, id="few"), pytest.param(67, id="many", marks=pytest.mark.matrix)]
FULL = [pytest.param(1, id="few"), pytest.param(20, id="many", marks=pytest.mark.matrix)]


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("name", ["build", "pack", "install"])
def test_a_kill_leaves_nothing_torn(name: str, runs: int, scenes: dict[str, Scene]) -> None:
    scene = scenes[name]

    def kill(number: int, seconds: float) -> int:
        return scene.run(scene.new, delay=seconds * (0.3 + 0.8 * number / runs))

    killed, neither = disturbed(scene, runs, kill)
    print(f"{name}: {killed} of {runs} killed before their end, {neither} left files that nothing vouches for")
    assert killed


@pytest.mark.parametrize("runs", FULL)
@pytest.mark.parametrize("name", ["build", "pack", "install"])
def test_a_full_disk_leaves_the_old_files(name: str, runs: int, scenes: dict[str, Scene]) -> None:
    scene = scenes[name]
    largest = max(map(len, scene.state().values()), default=40_000)

    def fill(number: int, _seconds: float) -> int:
        return scene.run(scene.new, limit=max(4096, largest * (number + 1) // (runs + 1)))

    failed, neither = disturbed(scene, runs, fill)
    print(f"{name}: {failed} of {runs} ended for want of room")
    assert failed
    assert not neither
