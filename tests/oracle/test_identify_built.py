"""CPythons that are built here, on stencils of several LLVMs: identify names exactly those, whatever compiled jit.c."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import workbench as wb

pytestmark = [pytest.mark.oracle, pytest.mark.matrix, pytest.mark.jit, pytest.mark.network]
O2 = ("OPT=-O2 -Wall -DNDEBUG",)
PGO = ("--enable-optimizations", "--with-lto", "PROFILE_TASK=-m test test_list")
# Compiler, CPython, LLVMs of the stencils, arguments of configure; and how many percent of the stencils are visible
# at least. gcc without PGO makes instructions of what is not longer than 256 bytes.
BUILDS: dict[str, tuple[str, tuple[int, ...], tuple[str, ...], int]] = {
    "gcc-O2-3.14": ("3.14.7", (19, 20, 21, 22), O2, 14),
    "gcc-O2-3.15": ("3.15.0rc1", (20, 21, 22), O2, 5),
    "gcc-PGO-LTO": ("3.14.7", (21,), PGO, 14),
    "clang-O2": ("3.15.0rc1", (22,), ("OPT=-O2 -Wall -DNDEBUG -Wno-date-time", "CC={zig} cc"), 100),
}


@pytest.mark.parametrize("build", BUILDS)
def test_each_is_identified_as_exactly_that_llvm(build: str, tmp_path: Path) -> None:
    version, majors, arguments, seen = BUILDS[build]
    configure = [word for argument in arguments for word in ("--configure", argument.format(zig=wb.pypi_llvm(20)))]
    for major in majors:
        wb.pypi_llvm(major)
    llvms = ",".join(map(str, majors))
    wb.stencilkit("build", "--cpython", wb.tree(version), "--llvm", llvms, "--out", tmp_path / "out", timeout=3600)
    words = ["--no-benchmarks", "--module", "test_list", *configure]
    out, work = tmp_path / "out", tmp_path / "work"
    wb.stencilkit("test", out, "--cpython", wb.tree(version), "--work", work, *words, timeout=7200)
    for major in majors:
        (program,) = (work / "build").glob(f"python-llvm-{major}.*")
        done = wb.stencilkit("identify", program, "--format", "json", check=False)
        ((python,),) = [answer["pythons"] for answer in json.loads(done.stdout)["answers"]]
        assert (python["verdict"], python["cpython"]) == ("identified", version), python
        assert program.name.removeprefix("python-llvm-") in [best["llvm"] for best in python["best"]]
        best = python["best"][0]
        assert 100 * best["stencils"] >= seen * (best["stencils"] + best["hidden"]), python
