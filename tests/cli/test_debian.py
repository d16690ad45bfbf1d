"""Debian's packages for those who compile against its CPythons: makefiles and generators that nobody here has made.

They are of the newest releases, also where the mirror has no sources of them yet.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from stencilkit import buildfolder, configure, novelty
from stencilkit.errors import BuildFolderError, ConfigureError
from stencilkit.model.jitcommand import JitCommand
from stencilkit.pipeline import knowing, placing, regenerating
from tests import workbench as wb

pytestmark = [pytest.mark.network]
TREES = {"3.14": "3.14.7", "3.15": "3.15.0rc1"}
PC = "x86_64-pc-linux-gnu"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack all of them over each other, as they are installed."""
    to = tmp_path_factory.mktemp("packages")
    for name, architecture in (
        *((f"libpython{series}-dev", "amd64") for series in TREES),
        ("python3.15-examples", "all"),
    ):
        subprocess.run(["dpkg-deb", "-x", wb.debian_package(name, architecture), to], check=True, timeout=60)
    return to / "usr"


@pytest.fixture(params=sorted(TREES))
def series(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(series: str, root: Path, tmp_path: Path) -> Path:
    """The makefile and the pyconfig.h of a Debian's CPython in a folder of a tree of its series, as they were made."""
    tree, build = tmp_path / "tree", tmp_path / "tree" / "build"
    build.mkdir(parents=True)
    for path in wb.tree(TREES[series]).iterdir():
        (tree / path.name).symlink_to(path)
    shutil.copy(root / f"lib/python{series}/config-{series}-x86_64-linux-gnu/Makefile", build)
    shutil.copy(root / f"include/x86_64-linux-gnu/python{series}/pyconfig.h", build)
    return build


def test_the_makefile(series: str, folder: Path) -> None:
    build = buildfolder.read(folder)
    assert build.jit == JitCommand(triples=(PC,), debug=False, cflags="", llvm="21", tools="")
    assert (build.host, build.flavour, build.compiler) == (PC, "release", "x86_64-linux-gnu-gcc")
    # Debian's hardening, which only this variable has.
    assert {"-fcf-protection", "-D_FORTIFY_SOURCE=2", "-std=c11"} <= set(build.core_cflags.split())
    assert not build.deletes_stencils
    place = placing.look_at(knowing.tree(folder.parent), folder)
    assert [request.target.triple for request in place.requests] == [wb.X86]
    assert place.requests[0].spelling == PC
    # What make runs is what regen takes.
    assert build.jit is not None
    words = ["../Tools/jit/build.py", PC, "--output-dir", ".", "--pyconfig-dir", ".", "--cflags=", "--llvm-version=21"]
    order = regenerating.understand(words, {}, folder)
    assert (order.command.wanted, order.output, order.place.build.pyconfig) == ("21", folder.resolve(), build.pyconfig)


def test_the_makefile_without_a_tree(folder: Path, tmp_path: Path) -> None:
    """As it is installed, make has no rule for what is not there: it is said, with make's own words."""
    alone = Path(shutil.copytree(folder, tmp_path / "alone"))
    with pytest.raises(BuildFolderError, match="make cannot say how the stencils are made here") as caught:
        buildfolder.read(alone)
    assert "No rule to make target '../Tools/jit/*.c'" in caught.value.details


def test_the_installed_pyconfig_chooses_among_architectures(series: str, root: Path) -> None:
    own = root / f"include/x86_64-linux-gnu/python{series}"
    with pytest.raises(ConfigureError, match="only chooses among others") as caught:
        configure.read(root / f"include/python{series}")
    assert str(own) in caught.value.fix
    assert configure.read(own).macros["HAVE_GCC_ASM_FOR_X64"]


def test_the_newest_generator_is_the_known_one(root: Path, tmp_path: Path) -> None:
    """Its sources can be had before the release's tarball: what a provisional build would list of Debian's 3.15."""
    tree = tmp_path / "tree"
    shutil.copytree(root / "share/doc/python3.15/examples/jit", tree / "Tools/jit")
    for path in (tree / "Tools/jit").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (tree / "Python").mkdir()
    shutil.copy(wb.tree(TREES["3.15"]) / "Python/jit.c", tree / "Python")
    found = novelty.differences(novelty.read(tree), novelty.known("3.15"))
    assert [item for item in found if item.weight != "harmless"] == []
