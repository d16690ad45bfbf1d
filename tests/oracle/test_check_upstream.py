"""`stencilkit build --check-upstream`: equal to the tree's own generator, or refused with what differs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import workbench as wb

pytestmark = pytest.mark.network


def test_the_trees_own_generator_is_the_judge(tmp_path: Path) -> None:
    """Three of ten uops with the tree as it is; then with a generator that compiles otherwise."""
    tree = wb.small_tree("3.14.7", tmp_path / "tree", uops=10, step=20)
    build: list[str | Path] = ["build", "--cpython", tree, "--llvm", wb.debian_llvm(19) / "clang", "--target", wb.X86]
    build += ["--pyconfig-dir", wb.pyconfig("3.14.7"), "--out", tmp_path / "out"]
    equal = json.loads(wb.stencilkit(*build, "--check-upstream=3", "--format", "json").stdout)
    (said,) = (made["check_upstream"] for made in equal["builds"])
    assert (said["equal"], said["uops"], said["of"], said["different"]) == (True, 3, 10, [])
    assert len(said["files"]) == 2
    written = sorted((tmp_path / "out").rglob("jit_*"))
    assert written

    generator = tree / "Tools/jit/_targets.py"
    text = generator.read_text()
    assert text.count('"-O3"') == 1
    generator.write_text(text.replace('"-O3"', '"-O1"'))
    before = {path: path.read_bytes() for path in written}
    other = wb.stencilkit(*build, "--check-upstream=3:seed", check=False)
    assert other.returncode == 1, other.stderr
    assert "DIFFERENT from what the tree's own Tools/jit/build.py makes: 3 of 10 uops" in other.stdout
    assert re.search(r"(?m)^  [1-3] uops: _\w+", other.stdout), other.stdout
    assert "not written:" in other.stdout
    assert {path: path.read_bytes() for path in written} == before


def test_a_generator_that_fails_is_trouble_with_what_it_said(tmp_path: Path) -> None:
    tree = wb.small_tree("3.14.7", tmp_path / "tree", uops=2)
    generator = tree / "Tools/jit/build.py"
    generator.write_text(f'{generator.read_text()}\nraise SystemExit("no more \\x1b[31m")\n')
    base: list[str | Path] = ["build", "--cpython", tree, "--llvm", wb.debian_llvm(19) / "clang", "--target", wb.X86]
    failed = wb.stencilkit(
        *base, "--pyconfig-dir", wb.pyconfig("3.14.7"), "--out", tmp_path / "out", "--check-upstream", check=False
    )
    assert failed.returncode == 2
    assert "the tree's own Tools/jit/build.py ended with 1" in failed.stderr
    assert "| no more" in failed.stderr
    assert "\x1b" not in failed.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "version", ["3.15.0rc1", *(pytest.param(v, marks=pytest.mark.matrix) for v in ("3.13.15", "3.14.7"))]
)
def test_a_target_that_upstream_has_not_is_like_one_of_its_own(version: str, tmp_path: Path) -> None:
    """FreeBSD: headers of PyPI's, another ELF header of the shim, other dispatchers, and no machine to run it on."""
    tree, clang = wb.small_tree(version, tmp_path / "tree", uops=3, step=30), wb.debian_llvm(22) / "clang"
    wb.pypi_llvm(wb.NEWEST_WHEEL)
    build: list[str | Path] = ["build", "--cpython", tree, "--llvm", clang, "--target", "amd64-portbld-freebsd14.2"]
    config = wb.config_for(version, "x86_64-unknown-freebsd", "release", tmp_path / "config")
    build += ["--pyconfig-dir", config, "--out", tmp_path / "out", "--check-upstream"]
    (made,) = json.loads(wb.stencilkit(*build, "--format", "json").stdout)["builds"]
    assert made["check_upstream"]["equal"], made["check_upstream"]
    out = tmp_path / "out"
    wb.stencilkit("verify", out, "--consistent", "--cpython", tree, "--pyconfig-dir", config)
    # Nobody can run it here.
    refused = wb.stencilkit("test", out, "--cpython", tree, "--target", "x86_64-unknown-freebsd", check=False)
    assert refused.returncode == 2
    assert "cannot be built and run on this machine" in refused.stderr
