"""The same input gives the same bytes, wherever, whenever and by whomever it is built."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stencilkit.cli import main
from stencilkit.pipeline import compiling
from tests import workbench as wb

pytestmark = pytest.mark.network
NOBODY = 65534
MODULES = os.pathsep.join([str(wb.ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
ROWS = [
    pytest.param("3.14.7", 19, id="3.14"),
    pytest.param("3.13.15", 18, id="3.13", marks=pytest.mark.matrix),
    pytest.param("3.15.0rc1", 21, id="3.15", marks=pytest.mark.matrix),
]


def command(tree: Path, config: Path, llvm: Path, out: Path, *more: str) -> list[str]:
    words = ["build", "--cpython", tree, "--pyconfig-dir", config, "--llvm", llvm, "--out", out, "--target", wb.X86]
    return [*map(str, words), "--no-cache", *more]


@dataclass(frozen=True)
class Who:
    """A user (None: who runs the tests), and a Python that they can run."""

    user: int | None = None
    python: str = sys.executable


def run(words: Sequence[str], env: Mapping[str, str], *, cwd: Path, who: Who, umask: int) -> None:
    """Run stencilkit in a given environment and nothing else."""
    done = subprocess.run(
        [who.python, "-m", "stencilkit", *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": MODULES, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
        user=who.user,
    )
    assert done.returncode == 0, done.stderr


def somebody_else(*places: Path) -> Who:
    """Find a user who can run a Python and read what the build reads; only root can be somebody else."""
    program = f"import os, sys, elftools; sys.exit(not all(os.access(p, os.R_OK) for p in {list(map(str, places))}))"
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        # The tests' own Python may be in root's home.
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [python, "-c", program],
                user=NOBODY,
                env={"PYTHONPATH": MODULES},
                capture_output=True,
                check=False,
                cwd="/",
            )
            if done.returncode == 0:
                return Who(NOBODY, python)
    return Who()


@pytest.mark.parametrize(("version", "major"), ROWS)
def test_place_user_locale_time_umask_hash_seed_and_jobs_change_nothing(
    version: str, major: int, tmp_path: Path
) -> None:
    for folder in ("one/home", "one/tmp", "other/deeper folder/home", "other/deeper folder/tmp"):
        (tmp_path / folder).mkdir(parents=True)
    one, other = tmp_path / "one", tmp_path / "other" / "deeper folder"
    tree = wb.tree(version)
    copy = other / "another cpython"
    for name in ("Include", "Python", "Tools/jit"):
        shutil.copytree(tree / name, copy / name)
    shutil.copytree(wb.pyconfig(version), other / "config")
    for path in (other, *other.rglob("*")):
        os.utime(path, (1, 1))
        path.chmod(0o777 if path.is_dir() else 0o644)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    llvm = wb.pypi_llvm(major)
    run(
        command(tree, wb.pyconfig(version), llvm, one / "out", "--jobs", "1"),
        {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1", "HOME": f"{one}/home", "TMPDIR": f"{one}/tmp"},
        cwd=one,
        who=Who(),
        umask=0o022,
    )
    run(
        command(copy, other / "config", llvm, Path("out"), "--jobs", "2"),
        {
            "LC_ALL": "tr_TR.UTF-8",
            "LANGUAGE": "de",
            "TZ": "Asia/Kathmandu",
            "PYTHONHASHSEED": "4242",
            "HOME": f"{other}/home",
            "TMPDIR": f"{other}/tmp",
            "SOURCE_DATE_EPOCH": "1700000000",
            "CPATH": "/no/such/folder",
            "CCC_OVERRIDE_OPTIONS": "+-O0",
            "USER": "somebody",
        },
        cwd=other,
        who=somebody_else(copy, llvm, wb.ROOT),
        umask=0o077,
    )
    first, second = wb.outputs(one / "out"), wb.outputs(other / "out")
    assert sorted(first) == sorted(second)
    assert len(first) == {"3.13": 2, "3.14": 3, "3.15": 6}[version[:4]]
    for name, content in first.items():
        assert content == second[name], name
        for leak in (str(tmp_path), str(tree), str(llvm.parent)):
            assert leak.encode() not in content, name


def test_the_order_of_the_units_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of another size, cut from the units in reverse, and finished in another order."""
    tree = wb.small_tree("3.14.7", tmp_path / "cpython", uops=40)
    words = command(tree, wb.pyconfig("3.14.7"), wb.pypi_llvm(19), tmp_path / "one")
    assert main(words) == 0
    real = compiling._batches
    monkeypatch.setattr(compiling, "_batches", lambda units, jobs: real(list(reversed(units)), 5)[::-1])
    assert main([str(tmp_path / "two") if word == str(tmp_path / "one") else word for word in words]) == 0
    capsys.readouterr()
    assert wb.outputs(tmp_path / "one") == wb.outputs(tmp_path / "two")


@pytest.mark.parametrize(("version", "major"), ROWS[:1])
def test_one_llvm_release_from_two_vendors_gives_one_content_digest(version: str, major: int, tmp_path: Path) -> None:
    """19.1.7 from PyPI and 19.1.7 from Debian."""
    tree = wb.small_tree(version, tmp_path / "cpython", uops=40, step=7)
    contents = []
    for name, llvm in (("pypi", wb.pypi_llvm(major)), ("debian", wb.debian_llvm(major) / "clang")):
        out = tmp_path / name
        run(
            command(tree, wb.pyconfig(version), llvm, out),
            {"HOME": str(tmp_path)},
            cwd=tmp_path,
            who=Who(),
            umask=0o022,
        )
        manifest = next(out.rglob("manifest.toml")).read_text()
        lines = [line for line in manifest.splitlines() if line.startswith(("content", "version", "vendor"))]
        contents.append({line.partition(" = ")[0]: line for line in lines[::-1]})
        contents[-1]["header"] = next(out.rglob("jit_stencils-*.h")).read_text()
    pypi, debian = contents
    assert pypi["vendor"] != debian["vendor"]
    assert pypi["version"] == debian["version"] == 'version = "19.1.7"'
    assert pypi["header"] == debian["header"]
