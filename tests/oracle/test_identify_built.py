"""CPythons that are built here, on stencils of several LLVMs: identify names exactly those, whatever compiled jit.c."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stencilkit.model.target import Flavour
from tests import workbench as wb

pytestmark = [pytest.mark.oracle, pytest.mark.matrix, pytest.mark.jit, pytest.mark.network]
O2 = ("OPT=-O2 -Wall -DNDEBUG",)
O3 = ("OPT=-O3 -Wall -DNDEBUG",)
PGO = ("--enable-optimizations", "--with-lto", "PROFILE_TASK=-m test test_list")
# Compiler, CPython, LLVMs of the stencils, arguments of configure; and how many percent of the stencils are visible
# at least. gcc without PGO makes instructions of what is not longer than 256 bytes; --with-pydebug means -O0 or -Og.
BUILDS: dict[str, tuple[str, tuple[int, ...], tuple[str, ...], int]] = {
    "gcc-O2-3.13": ("3.13.15", (19, 20, 21, 22, 23), O2, 5),
    "gcc-O2-3.14": ("3.14.7", (19, 20, 21, 22, 23), O2, 14),
    "gcc-O2-3.15": ("3.15.0rc1", (19, 20, 21, 22, 23), O2, 5),
    "gcc-O3-3.13": ("3.13.15", (18, 21), O3, 5),
    "gcc-O3-3.14": ("3.14.7", (19, 22), O3, 14),
    "gcc-O3-3.15": ("3.15.0rc1", (21,), O3, 5),
    "gcc-LTO-3.14": ("3.14.7", (21,), (*O2, "--with-lto"), 14),
    "gcc-debug-3.14": ("3.14.7", (19,), (), 14),
    "gcc-debug-3.15": ("3.15.0rc1", (21,), (), 14),
    "gcc-PGO-LTO-3.13": ("3.13.15", (19,), PGO, 5),
    "gcc-PGO-LTO-3.14": ("3.14.7", (21,), PGO, 14),
    "gcc-PGO-LTO-3.15": ("3.15.0rc1", (22,), PGO, 5),
    "clang-O2": ("3.15.0rc1", (22,), ("OPT=-O2 -Wall -DNDEBUG -Wno-date-time", "CC={zig} cc"), 100),
}


@pytest.mark.parametrize("build", BUILDS)
def test_each_is_identified_as_exactly_that_llvm(build: str, tmp_path: Path) -> None:
    version, majors, arguments, seen = BUILDS[build]
    flavour = ["--debug"] if "debug" in build else []
    configure = [word for argument in arguments for word in ("--configure", argument.format(zig=wb.pypi_llvm(20)))]
    for major in majors:
        words = ["--llvm", llvm(major), "--out", str(tmp_path / "out"), *flavour]
        wb.stencilkit("build", "--cpython", wb.tree(version), *words, timeout=3600)
    words = ["--no-benchmarks", "--module", "test_list", *configure, *flavour]
    out, work = tmp_path / "out", tmp_path / "work"
    wb.stencilkit("test", out, "--cpython", wb.tree(version), "--work", work, *words, timeout=7200)
    for major in majors:
        (program,) = (work / "build").glob(f"python-llvm-{major}.*")
        best = identified(program, version)
        assert best["flavour"] == ("debug" if flavour else "release")
        assert 100 * best["stencils"] >= seen * (best["stencils"] + best["hidden"]), best
        if build == "gcc-O3-3.14" and major == majors[-1]:
            identified(linked_statically(work / "build", program), version)


def llvm(major: int) -> str:
    """Bring an LLVM, and spell it for --llvm."""
    if major not in wb.WHEELS:
        return str(wb.debian_llvm(major) / "clang")
    wb.pypi_llvm(major)
    return str(major)


# How a distribution may compile Python/jit.c, and how many percent of the stencils are visible then at least. Link-time
# optimisation changes nothing: the arrays are constants of one function each.
OPTIONS = ("-O0", "-Og", "-O1", "-O2", "-O3", "-Os", "-O2 -flto", "-O3 -flto -ffat-lto-objects")
SEEN = {
    "release": {"3.13": 10, "3.14": 13, "3.15": 5},
    "debug": {"3.13": 10, "3.14": 80, "3.15": 100},
}


@pytest.mark.parametrize("flavour", ["release", "debug"])
@pytest.mark.parametrize("version", wb.PINNED)
def test_jit_c_with_every_kind_of_optimisation(version: str, flavour: Flavour, tmp_path: Path) -> None:
    stencils = wb.built(version, wb.PINNED[version], tmp_path / "out", *(["--debug"] if flavour == "debug" else []))
    series = version.rpartition(".")[0]
    for options in OPTIONS:
        program = library(version, flavour, stencils, options, tmp_path)
        print(f"{version} {flavour} gcc {options}:", end=" ")
        best = identified(program, version)
        assert best["flavour"] == flavour
        assert 100 * best["stencils"] >= SEEN[flavour][series] * (best["stencils"] + best["hidden"]), best


@pytest.mark.parametrize("version", wb.RELEASES)
def test_other_releases_are_not_taken_for_the_newest(version: str, tmp_path: Path) -> None:
    (major,) = (major for newest, major in wb.PINNED.items() if newest.startswith(version[:5]))
    stencils = wb.built(version, major, tmp_path / "out")
    for options in ("-O0", "-O2"):
        identified(library(version, "release", stencils, options, tmp_path), version)


def library(version: str, flavour: Flavour, stencils: Path, options: str, work: Path) -> Path:
    """Compile a library of jit.c, which alone decides what can be seen of stencils: it stands for python."""
    tree = wb.tree(version)
    includes = [stencils, wb.pyconfig(version, wb.X86, flavour), tree / "Include", tree / "Include/internal", tree]
    defines = ["-DPy_BUILD_CORE", "-D_Py_JIT", "-D_Py_TIER2=1", *([] if flavour == "debug" else ["-DNDEBUG"])]
    tag = f"cpython-{''.join(version.split('.')[:2])}"
    texts = [f'static const char version[] = "{version}", tag[] = "{tag}";']
    texts += ['__attribute__((used)) static const char *const texts[] = {version, tag, "PYTHONHOME"};']
    (work / "jit.c").write_text("\n".join([*texts, '#include "Python/jit.c"']))
    program = work / f"python-llvm-{stencils.name.removeprefix('llvm-')}"
    words: list[str | Path] = ["gcc", "-w", "-shared", "-fPIC", *options.split(), *defines]
    words += [f"-I{folder}" for folder in includes]
    subprocess.run([*words, "-o", program, work / "jit.c"], check=True)
    return program


def linked_statically(build: Path, program: Path) -> Path:
    """Link python once more, with the C library in it; it takes the place of `program`, whose stencils it has."""
    (build / "python").unlink()
    command = ["make", "python", "LINKCC=gcc -static", "LINKFORSHARED="]
    subprocess.run(command, cwd=build, check=True, capture_output=True)
    static = (build / "python").rename(program)
    headers = subprocess.run(["readelf", "-lW", static], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in headers
    return static


def identified(program: Path, version: str) -> dict[str, Any]:
    """Identify a program as of the LLVM that it is named after; return what explains it, and print how much is seen."""
    done = wb.stencilkit("identify", program, "--format", "json", check=False)
    ((python,),) = [answer["pythons"] for answer in json.loads(done.stdout)["answers"]]
    assert (python["verdict"], python["cpython"]) == ("identified", version), python
    named = [best["llvm"] for best in python["best"]]
    assert program.name.removeprefix("python-llvm-") in named
    best: dict[str, Any] = python["best"][0]
    print(f"{program}: LLVM {', '.join(named)}; {best['stencils']} found, {best['hidden']} hidden; {python['notes']}")
    return best
