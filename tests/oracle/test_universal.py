"""A universal2 folder is what CPython's own build.py takes for up to date, with no LLVM on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import workbench as wb


@pytest.mark.matrix
@pytest.mark.parametrize(("version", "major"), [("3.14.7", 19), ("3.15.0rc1", 21)])
def test_upstream_accepts_both_halves_and_writes_the_same_dispatchers(version: str, major: int, tmp_path: Path) -> None:
    config = wb.pyconfig(version, wb.MAC_ARM)
    wb.built(version, major, tmp_path / "out", "--pyconfig-dir", config, triple="universal2-apple-darwin")
    (ours,) = (tmp_path / "out" / version / "universal2-apple-darwin" / "release").iterdir()
    theirs = tmp_path / "theirs"
    shutil.copytree(ours, theirs)
    before = {path.name: path.read_bytes() for path in theirs.iterdir()}
    build: list[str | Path] = [sys.executable, wb.tree(version) / "Tools/jit/build.py", wb.MAC_ARM, wb.MAC_X86]
    build += ["--output-dir", theirs, "--pyconfig-dir", config]
    environment = {name: value for name, value in os.environ.items() if name != "PATH"}
    done = subprocess.run(
        build, env={**environment, "PATH": str(tmp_path / "empty")}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    dispatchers = {"jit_stencils.h", "jit_unwind_info.h"} & set(before)
    for path in theirs.iterdir():
        if path.name in dispatchers:
            assert wb.without_comments(path) == wb.without_comments(ours / path.name)
        else:
            assert path.read_bytes() == before[path.name], path.name
    assert len(before) == {"3.14": 5, "3.15": 10}[version[:4]]
