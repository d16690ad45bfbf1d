"""verify and compare on real stencils and real trees."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import workbench as wb

VERSION = "3.14.7"
FRAME = "Include/internal/pycore_interpframe_structs.h"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wb.built(VERSION, 19, tmp_path_factory.mktemp("built"), "--pyconfig-dir", wb.pyconfig(VERSION))


def verify(built: Path, config: Path, tree: Path | None = None) -> tuple[int, dict[str, Any]]:
    arguments: list[str | Path] = [
        "verify",
        "--consistent",
        built,
        "--cpython",
        tree or wb.tree(VERSION),
        "--pyconfig-dir",
        config,
        "--format",
        "json",
    ]
    done = wb.stencilkit(*arguments, check=False)
    return done.returncode, json.loads(done.stdout)["verdicts"][0]


def said(verdict: dict[str, Any], status: str) -> str:
    return "\n".join(
        line for check in verdict["checks"] if check["status"] == status for line in (check["what"], *check["details"])
    )


def changed(config: Path, folder: Path, old: str, new: str) -> Path:
    folder.mkdir()
    text = (config / "pyconfig.h").read_text()
    assert old in text
    (folder / "pyconfig.h").write_text(text.replace(old, new, 1))
    return folder


def test_a_build_fits_its_own_tree(built: Path) -> None:
    code, verdict = verify(built, wb.pyconfig(VERSION))
    assert (code, verdict["accepted"]) == (0, True)
    assert verdict["stamp"] == verdict["digests"]["input"]
    assert said(verdict, "noted") == ""


def test_autoconf_2_73(built: Path, tmp_path: Path) -> None:
    """#148646, #150320: line 1 differs, and the stencils are the same."""
    before = "#ifndef _DARWIN_C_SOURCE"
    more = "#ifndef _COSMO_SOURCE\n# define _COSMO_SOURCE 1\n#endif\n"
    config = changed(wb.pyconfig(VERSION), tmp_path / "config", before, more + before)
    code, verdict = verify(built, config)
    assert code == 0, said(verdict, "failed")
    assert "pyconfig.h differs, in what no stencil can see" in said(verdict, "noted")
    assert "only here: #ifndef _COSMO_SOURCE | #define _COSMO_SOURCE 1" in said(verdict, "noted")
    again = wb.built(VERSION, 19, tmp_path / "again", "--pyconfig-dir", config)
    header = next(again.glob("jit_stencils-*.h")).read_text()
    assert header.startswith(f"// {verdict['stamp']}\n")
    done = wb.stencilkit("compare", built, again)
    assert "line 1 differs; content equal" in done.stdout
    assert (
        "line 1: pyconfig.h: #ifndef _COSMO_SOURCE | #define _COSMO_SOURCE 1, which no stencil can see" in done.stdout
    )


def test_a_macro_that_stencils_see(built: Path, tmp_path: Path) -> None:
    config = changed(wb.pyconfig(VERSION), tmp_path / "config", "#define WITH_PYMALLOC 1", "/* nothing */")
    code, verdict = verify(built, config)
    assert code == 1
    assert "WITH_PYMALLOC: '1' when built, not defined here" in said(verdict, "failed")


def test_a_changed_struct(built: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("Include", "Python", "Tools/jit"):
        shutil.copytree(wb.tree(VERSION) / name, tree / name)
    assert verify(built, wb.pyconfig(VERSION), tree)[0] == 0
    text = (tree / FRAME).read_text()
    (tree / FRAME).write_text(text.replace("struct _PyInterpreterFrame {\n", "struct _PyInterpreterFrame {\n int x;\n"))
    code, verdict = verify(built, wb.pyconfig(VERSION), tree)
    assert code == 1
    assert said(verdict, "failed") == f"files that the stencils were made from differ\n{FRAME}: other content"


@pytest.mark.parametrize(("version", "major"), [("3.13.15", 18), ("3.14.7", 19), ("3.15.0rc1", 21)])
def test_headers_of_upstream_can_be_compared(version: str, major: int, tmp_path: Path) -> None:
    theirs = wb.upstream(version, major)
    ours = wb.built(version, major, tmp_path, "--pyconfig-dir", wb.pyconfig(version))
    assert "content equal; interface equal" in wb.stencilkit("compare", theirs, ours).stdout
    refused = wb.stencilkit("verify", theirs, check=False)
    assert refused.returncode == 1
    assert "line 2 is not what stencilkit writes there" in refused.stdout
    assert "comment lines are not stencilkit's disassembly" in refused.stdout


# Measured with CPython's own generator (Debian's LLVMs, and zig's 20): identical, and with the same holes.
COUNTS = {
    "3.14.7": (19, {20: (277, 286, 37320), 21: (275, 286, 37311), 22: (267, 285, 37269), 23: (253, 284, 37254)}),
    "3.15.0rc1": (21, {22: (921, 934, 64372), 23: (881, 934, 64326)}),
}


@pytest.mark.matrix
@pytest.mark.parametrize("version", COUNTS)
def test_counts_across_llvms(version: str, tmp_path: Path) -> None:
    first, others = COUNTS[version]
    config = wb.pyconfig(version)

    def build(major: int) -> Path:
        if major != 20:
            return wb.built(version, major, tmp_path, "--pyconfig-dir", config)
        wb.pypi_llvm(20)
        out: list[str | Path] = ["--out", tmp_path, "--pyconfig-dir", config]
        done = wb.stencilkit("build", "--cpython", wb.tree(version), "--llvm", "20", "--target", wb.X86, *out)
        return Path(done.stdout.strip().splitlines()[-1].split(" ", 1)[1])

    folders = [build(major) for major in (first, *others)]
    done = wb.stencilkit("compare", *folders, "--format", "json", check=False)
    assert done.returncode == 1
    found = []
    for pair in json.loads(done.stdout)["pairs"]:
        identical = pair["counts"]["identical"]
        found.append((identical, identical + pair["counts"].get("same-holes", 0), pair["second"]["code"]))
    assert found == list(others.values())


def test_rebuilding_gives_the_same(tmp_path: Path) -> None:
    config = wb.pyconfig(VERSION)
    tree = wb.small_tree(VERSION, tmp_path / "tree")
    wb.pypi_llvm(22)
    words: list[str | Path] = ["--cpython", tree, "--target", wb.X86, "--pyconfig-dir", config]
    wb.stencilkit("build", *words, "--out", tmp_path / "out", "--llvm", wb.pypi_llvm(19))
    again: list[str | Path] = ["verify", tmp_path / "out", "--cpython", tree, "--pyconfig-dir", config, "--rebuild"]
    done = wb.stencilkit(*again)
    assert re.search(r"ok +rebuild +building again with .*clang version 19\.1\.7.* gives the same content", done.stdout)
    header = next((tmp_path / "out").rglob("jit_stencils-*.h"))
    header.write_text(header.read_text().replace("0x", "0X", 1))
    done = wb.stencilkit(*again, check=False)
    assert done.returncode == 1
    assert re.search(r"FAILED +rebuild +not checked: it takes a header that holds nothing but stencils", done.stdout)
    for bad in (["--rebuild"], ["--llvm", "19"]):
        assert wb.stencilkit("verify", tmp_path / "out", *bad, check=False).returncode == 2
