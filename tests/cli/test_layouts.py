"""The layout after a change to uops, with a cache: what the others use is recalled, and the layout is the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from stencilkit import source
from stencilkit.cli import main
from stencilkit.compiler import frontend
from stencilkit.model.build import Plan
from tests import workbench as wb


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note of how many uops clang is asked what they use."""
    counts: list[int] = []
    real = frontend.ir

    def noting(plan: Plan, text: str, work: Path, name: str) -> str:
        counts.append(len(re.findall(r"^ *case _\w+:", text, re.MULTILINE)))
        return real(plan, text, work, name)

    monkeypatch.setattr(frontend, "ir", noting)
    return counts


def layout(version: str, tree: Path, out: Path, *more: str) -> Any:  # a table
    clang = wb.debian_llvm(wb.PINNED[version]) / "clang"
    words = ["build", "--cpython", tree, "--target", wb.X86, "--llvm", clang, "--out", out]
    assert main([*map(str, words), "--pyconfig-dir", str(wb.pyconfig(version)), *more]) == 0
    return tomllib.loads(next(out.rglob("manifest.toml")).read_text())["layout"]


@pytest.mark.parametrize("version", ["3.13.15", "3.15.0rc1", pytest.param("3.14.7", marks=pytest.mark.matrix)])
def test_what_unchanged_uops_use_is_recalled(
    version: str, tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    uops = 10
    tree = wb.small_tree(version, tmp_path / "cpython", uops=uops, step=20)
    cases = tree / source.CASES
    first = layout(version, tree, tmp_path / "first")
    *start, last, rest = re.split(r"(?m)(?=^        case \w+: \{$|^#undef TIER_TWO$)", cases.read_text("utf-8"))
    # The first uop uses something that no other one does, and the last one is not there any more.
    use = "            frame->f_locals = (PyObject *)tstate->interp->ceval.pending.calls[1].arg;\n"
    start[1] = start[1].replace("{\n", f"{{\n{use}", 1)
    cases.write_text("".join([*start, rest]), "utf-8")
    assert last.lstrip().startswith("case _")
    changed = layout(version, tree, tmp_path / "changed")
    assert asked == [uops, 1]
    assert changed != first
    assert "struct _pending_call.arg" in changed["members"]
    assert changed == layout(version, tree, tmp_path / "afresh", "--no-cache")
