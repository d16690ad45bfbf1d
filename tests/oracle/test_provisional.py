"""A CPython that nobody has met: 3.15's generator with other things in it, and another name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from stencilkit import novelty
from stencilkit.model.novelty import Facts
from tests import workbench as wb

pytestmark = pytest.mark.network
VERSION = "3.15.0rc1"
UOPS = 3
# Above the range.
NEXT_LLVM = 24


def relabel(tree: Path, version: str = "3.16.0a1") -> None:
    path = tree / "Include/patchlevel.h"
    text = path.read_text().replace(VERSION, version)
    path.write_text(text.replace("PY_MINOR_VERSION        15", "PY_MINOR_VERSION        16"))


def edit(tree: Path, name: str, old: str, new: str) -> None:
    path = tree / name
    text = path.read_text()
    assert old in text, f"{name} has no {old}"
    path.write_text(text.replace(old, new, 1))


def an_added_uop(tree: Path) -> None:
    case = "        case _BRAND_NEW: {\n            break;\n        }\n\n"
    edit(tree, "Python/executor_cases.c.h", "#undef TIER_TWO", case + "#undef TIER_TWO")
    edit(tree, "Include/internal/pycore_uop_ids.h", "#define MAX_UOP_ID", "#define _BRAND_NEW 9999\n#define MAX_UOP_ID")


def a_new_hole(tree: Path) -> None:
    edit(tree, "Tools/jit/_stencils.py", "    ZERO = enum.auto()", "    COLOUR = enum.auto()\n    ZERO = enum.auto()")


def a_new_hole_that_is_used(tree: Path) -> None:
    a_new_hole(tree)
    edit(
        tree,
        "Tools/jit/template.c",
        "PATCH_VALUE(uint32_t, _target,",
        "PATCH_VALUE(uint32_t, _c, _JIT_COLOUR)\nPATCH_VALUE(uint32_t, _target,",
    )


def a_new_patch_function(tree: Path) -> None:
    new = "void\npatch_new(unsigned char *location, uint64_t value)\n{\n}\n\nvoid\npatch_64("
    edit(tree, "Python/jit.c", "void\npatch_64(", new)


def a_new_patch_function_that_is_used(tree: Path) -> None:
    a_new_patch_function(tree)
    edit(tree, "Tools/jit/_stencils.py", '"R_X86_64_64": "patch_64"', '"R_X86_64_64": "patch_new"')


def another_flag(tree: Path) -> None:
    edit(tree, "Tools/jit/_targets.py", '"-Os"', '"-O1"')


def nothing(tree: Path) -> None:
    """A removed uop is one that is not there: every small tree has hundreds of them."""


def build(tree: Path, out: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    base: list[str | Path] = ["build", "--cpython", tree, "--llvm", wb.debian_llvm(21) / "clang", "--out", out]
    return wb.stencilkit(*base, "--target", wb.X86, "--pyconfig-dir", wb.pyconfig(VERSION), *more, check=False)


def test_what_is_recorded_of_the_known_generator_is_the_releases() -> None:
    found = novelty.read(wb.tree(VERSION))
    if os.environ.get("STENCILKIT_UPDATE_GOLDEN"):
        write(found)
    assert novelty.differences(found, novelty.known("3.15")) == ()


def write(found: Facts) -> None:
    """Write generators.toml again, behind its comment."""
    path = Path(novelty.__file__).with_name("generators.toml")
    comment = path.read_text().partition("[generator.")[0]
    words = {name: sorted(getattr(found, name)) for name in ("options", "flags", "values", "symbols")}
    tables = {name: dict(sorted(getattr(found, name).items())) for name in ("files", "patches")}
    path.write_text(comment + tomli_w.dumps({"generator": {"3.15": {"release": VERSION, **words, **tables}}}))


@pytest.mark.parametrize(
    ("change", "code", "listed"),
    [
        (nothing, 0, []),
        (an_added_uop, 0, []),
        (a_new_hole, 0, ["harmless: HoleValue.COLOUR is new", "doubtful: Tools/jit/_stencils.py has changed"]),
        (a_new_hole_that_is_used, 2, ["cannot be built as 3.15: the C files use _JIT_COLOUR"]),
        (a_new_patch_function, 0, ["harmless: Python/jit.c: patch_new is new (the generator calls it nowhere)"]),
        (a_new_patch_function_that_is_used, 1, ["doubtful: Python/jit.c: patch_new is new"]),
        (another_flag, 1, ["doubtful: compiler flag -O1 is new", "doubtful: compiler flag -Os is gone"]),
    ],
)
def test_what_each_novelty_does(change: Callable[[Path], None], code: int, listed: list[str], tmp_path: Path) -> None:
    """It is built, with a list, and equal to its own generator's; or that finds a difference; or it stops before."""
    tree = wb.small_tree(VERSION, tmp_path / "tree", uops=UOPS, step=100)
    relabel(tree)
    change(tree)
    done = build(tree, tmp_path / "out", "--provisional", "--check-upstream")
    assert done.returncode == code, done.stdout + done.stderr
    for line in listed:
        assert line in done.stderr
    assert done.stderr.count("doubtful: ") == sum(line.startswith("doubtful") for line in listed) or code
    assert ("equal to what the tree's own" in done.stdout) == (code == 0)
    assert ("DIFFERENT from what the tree's own" in done.stdout) == (code == 1)
    assert bool(list((tmp_path / "out").rglob("manifest.toml"))) == (code == 0)


@pytest.mark.matrix
@pytest.mark.parametrize("version", sorted(wb.PINNED))
def test_an_llvm_that_is_too_new(version: str, tmp_path: Path) -> None:
    """A snapshot of Debian's experimental: equal to the tree's own generator, in batches, and refused until told."""
    tree = wb.small_tree(version, tmp_path / "tree", uops=24, step=10)
    clang = wb.debian_llvm(NEXT_LLVM) / "clang"
    base: list[str | Path] = ["build", "--cpython", tree, "--llvm", clang, "--out", tmp_path / "out"]
    base += ["--target", wb.X86, "--pyconfig-dir", wb.pyconfig(version)]
    refused = wb.stencilkit(*base, check=False)
    assert refused.returncode == 2
    assert "--provisional" in refused.stderr
    made = wb.stencilkit(*base, "--provisional", "--check-upstream")
    assert "equal to what the tree's own" in made.stdout
    assert "thrown away" not in made.stderr
    (folder,) = (path.parent for path in (tmp_path / "out").rglob("manifest.toml"))
    assert wb.stencilkit("verify", "--consistent", folder, check=False).returncode == 1
    assert wb.stencilkit("verify", "--consistent", "--provisional", folder).returncode == 0


def test_regen_takes_a_newer_cpython_only_if_told(tmp_path: Path) -> None:
    """The same stencils as those of `build`, and the same list of what differs."""
    tree = wb.small_tree(VERSION, tmp_path / "tree", uops=UOPS, step=100)
    relabel(tree)
    a_new_hole(tree)
    made = tmp_path / "made"
    made.mkdir()
    config = wb.pyconfig(VERSION)
    words: list[str | Path] = [tree / "Tools/jit/build.py", wb.X86, "--output-dir", made, "--pyconfig-dir", config]
    llvm: list[str | Path] = ["regen", "--llvm", wb.debian_llvm(21) / "clang"]
    refused = wb.stencilkit(*llvm, *words, check=False)
    assert refused.returncode == 2
    assert "--provisional" in refused.stderr
    assert list(made.iterdir()) == []
    done = wb.stencilkit(*llvm, "--provisional", *words)
    assert "note: CPython 3.16.0a1 is built as 3.15: provisional" in done.stderr
    assert "note: doubtful: Tools/jit/_stencils.py has changed" in done.stderr
    build(tree, tmp_path / "out", "--provisional")
    for path in made.iterdir():
        (theirs,) = (tmp_path / "out").rglob(path.name)
        assert path.read_bytes() == theirs.read_bytes()
    assert len(list(made.iterdir())) == 5
    # Nothing to do: nothing is written.
    before = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}
    assert "line 1 is up to date, so nothing was built" in wb.stencilkit(*llvm, "--provisional", *words).stderr
    assert {path.name: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_what_is_provisional_is_refused_until_somebody_says_otherwise(tmp_path: Path) -> None:
    tree = wb.small_tree(VERSION, tmp_path / "tree", uops=UOPS, step=100)
    relabel(tree)
    refused = build(tree, tmp_path / "out")
    assert refused.returncode == 2
    assert "build --provisional builds it as the newest of these" in refused.stderr
    done = build(tree, tmp_path / "out", "--provisional")
    assert done.returncode == 0, done.stderr
    assert "CPython 3.16.0a1 is built as 3.15: provisional" in done.stderr
    (folder,) = (path.parent for path in (tmp_path / "out").rglob("manifest.toml"))
    assert '\nprovisional = "3.15"\n' in (folder / "manifest.toml").read_text()
    policy = tmp_path / "policy.toml"
    policy.write_text('schema = 1\nrequire = ["canonical", "manifest"]\nprovisional = true\n')

    def code(*arguments: str | Path) -> int:
        return wb.stencilkit(*arguments, check=False, cwd=tmp_path).returncode

    verify = ("verify", "--consistent", folder)
    assert code(*verify) == 1
    assert code(*verify, "--provisional") == 0
    ledger = wb.stencilkit("verify", folder, "--policy", policy, check=False).stdout
    assert "it is provisional" not in ledger
    assert code(*verify, "--provisional", "--cpython", tree, "--pyconfig-dir", wb.pyconfig(VERSION)) == 0
    assert code("pack", folder, "--output", tmp_path / "a.tar.gz") == 2
    assert code("pack", folder, "--output", tmp_path / "a.tar.gz", "--provisional") == 0
