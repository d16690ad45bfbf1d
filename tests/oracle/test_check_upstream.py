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
