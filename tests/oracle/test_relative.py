"""A relative path in CFLAGS_JIT means the build folder, for upstream's clang and for ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stencilkit import manifest
from tests import workbench as wb


def test_a_relative_path_starts_at_the_build_folder(tmp_path: Path) -> None:
    """Upstream's build.py runs there; what we are called from is another folder, with another header of that name."""
    version, major = "3.14.7", 19
    tree = wb.small_tree(version, tmp_path / "tree", uops=3)
    build, elsewhere = tmp_path / "build", tmp_path / "elsewhere"
    for place, value in ((build, 1), (elsewhere, 2)):
        (place / "mine").mkdir(parents=True)
        (place / "mine" / "mine.h").write_text(f"#define WIDE {value}\n")
    (build / "pyconfig.h").write_bytes((wb.pyconfig(version) / "pyconfig.h").read_bytes())
    flags = "-Imine -include mine/mine.h"
    rule = f'python3 {tree}/Tools/jit/build.py x86_64-pc-linux-gnu -o . -p . --cflags="{flags}"'
    (build / "Makefile").write_text(f"HOST_GNU_TYPE=x86_64-pc-linux-gnu\njit_stencils.h:\n\t{rule}\n")
    template = tree / "Tools/jit/template.c"
    template.write_text(template.read_text() + "\n#if WIDE != 1\n#error another header\n#endif\n")

    clang = wb.debian_llvm(major) / "clang"
    path = os.pathsep.join([str(clang.parent), os.environ["PATH"]])
    command: list[str | Path] = [
        sys.executable,
        tree / "Tools/jit/build.py",
        "x86_64-pc-linux-gnu",
        "-o",
        ".",
        "-p",
        ".",
        f"--cflags={flags}",
    ]
    subprocess.run(command, cwd=build, env={**os.environ, "PATH": path}, check=True)
    words = (
        "build",
        "--cpython",
        tree,
        "--llvm",
        clang,
        "--pyconfig-dir",
        build,
        "--out",
        tmp_path / "out",
        "--no-cache",
    )
    done = wb.stencilkit(*words, cwd=elsewhere)
    ours = Path(done.stdout.strip().splitlines()[-1].split(" ", 1)[1])
    name = "jit_stencils-x86_64-pc-linux-gnu.h"
    assert not list(wb.differing_lines(ours / name, build / name))
    described = manifest.parse((ours / "manifest.toml").read_text(), "manifest.toml")
    assert [file.name for file in described.includes if file.origin == "build"] == ["mine/mine.h"]
    assert described.cflags == flags

    verify = ("verify", ours, "--consistent", "--cpython", tree, "--pyconfig-dir", build)
    assert wb.stencilkit(*verify, check=False).returncode == 0
    (build / "mine" / "mine.h").write_text("#define WIDE 1 // changed\n")
    refused = wb.stencilkit(*verify, check=False)
    assert (refused.returncode, "mine/mine.h: other content" in refused.stdout) == (1, True), refused.stdout
    again: list[str | Path] = ["build", "--cpython", wb.tree(version), "--llvm", clang, f"--cflags={flags}"]
    lost = wb.stencilkit(*again, "--out", tmp_path / "x", check=False)
    assert (lost.returncode, "is relative to the folder that CPython is built in" in lost.stderr) == (2, True), lost
