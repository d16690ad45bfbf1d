"""What is read from a build folder, beside what make really gives to build.py, with CPython's own makefiles."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stencilkit import buildfolder
from tests import workbench as wb

# Stands for python: writes down what build.py is called with.
PYTHON = """\
#!{python} -IS
import json, sys
if sys.argv[1].endswith("/Tools/jit/build.py"):
    with open({log!r}, "w") as file:
        json.dump(sys.argv[2:], file)
"""
# Where patches and configure put flags: CFLAGS_JIT, python-build-standalone's 3.13, Debian's 3.14.
SPELLINGS = (
    ('--cflags="-O2 -DX=1"', "-O2 -DX=1", ""),
    ('--with-cflags="$(CONFIGURE_CFLAGS)"', "-O2 -I../src/x", ""),
    ('--cflags=\'-DX="$$HOME"\' --llvm-version="21"', '-DX="$HOME"', "21"),
    ('--cflags "-O2 -I$(srcdir)/x" --llvm-version=""', "-O2 -I{srcdir}/x", ""),
)


def makefile(version: str, folder: Path, command: str) -> None:
    """Make the Makefile that configure would, with a command for the JIT, and nothing else that it finds out."""
    values = {
        "srcdir": str(wb.tree(version)),
        "VPATH": str(wb.tree(version)),
        "REGEN_JIT_COMMAND": command,
        "JIT_STENCILS_H": "jit_stencils.h",
        "DEF_MAKE_ALL_RULE": "profile-opt",
        "CFLAGS": "-O2 -I../src/x",
        "PYTHON_FOR_REGEN": "stencilkit-test-python",
        "host": "x86_64-pc-linux-gnu",
    }
    text = (wb.tree(version) / "Makefile.pre.in").read_text()
    text = re.sub(r"@(\w+)@", lambda match: values.get(match[1], ""), text)
    # What Modules/makesetup puts there.
    (folder / "Makefile").write_text(re.sub(r"(?m)^@\w+@.*$", "", text))
    shutil.copy(wb.pyconfig(version) / "pyconfig.h", folder)


@pytest.mark.parametrize("version", wb.PINNED)
def test_the_flags_are_those_that_make_gives_to_build_py(version: str, tmp_path: Path) -> None:
    log = tmp_path / "argv.json"
    python = tmp_path / "bin" / "stencilkit-test-python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=sys.executable, log=str(log)))
    python.chmod(0o755)
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    goal = ".jit-stamp" if version.startswith("3.15") else "jit_stencils.h"
    for options, cflags, llvm in SPELLINGS:
        folder = tmp_path / "build"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        makefile(version, folder, f"$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py x86_64-pc-linux-gnu {options}")
        before = sorted(folder.iterdir())
        found = buildfolder.read(folder)
        assert sorted(folder.iterdir()) == before
        subprocess.run(
            ["make", "-o", "Makefile", "-o", "pyconfig.h", goal],
            cwd=folder,
            env={**os.environ, "PATH": path},
            check=True,
        )
        given = json.loads(log.read_text())
        assert found.jit is not None
        spelt = next(word for word in given if found.jit.cflags and word.endswith(found.jit.cflags))
        assert spelt.rpartition("flags=")[2] == found.jit.cflags == cflags.format(srcdir=wb.tree(version))
        assert (found.jit.llvm, found.jit.triples, found.host) == (
            llvm,
            ("x86_64-pc-linux-gnu",),
            "x86_64-pc-linux-gnu",
        )
        assert found.python == "stencilkit-test-python"
        # These releases keep the stencils (python/cpython#141808).
        assert not found.deletes_stencils
