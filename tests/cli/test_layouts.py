"""The layout after a change to uops, with a cache: what the others use is recalled, and the layout is the same."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from stencilkit import source
from stencilkit.cli import main
from stencilkit.compiler import Session, frontend
from stencilkit.model.build import Plan
from tests import workbench as wb

Asked = list[tuple[str, int]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Note of how many uops clang is asked what they use: with all headers, or alone."""
    counts: Asked = []
    real, alone = frontend.ir, Session.unoptimised

    def noting(plan: Plan, text: str, work: Path, name: str) -> str:
        counts.append(("headers", _cases(text)))
        return real(plan, text, work, name)

    def noting_alone(session: Session, text: str, purpose: str) -> str:
        if purpose == "uses":
            counts.append(("alone", _cases(text)))
        return alone(session, text, purpose)

    monkeypatch.setattr(frontend, "ir", noting)
    monkeypatch.setattr(Session, "unoptimised", noting_alone)
    return counts


def _cases(text: str) -> int:
    return len(re.findall(r"^ *case _\w+:", text, re.MULTILINE))


def layout(
    version: str, tree: Path, out: Path, *more: str, major: int = 0, config: Path | None = None
) -> Any:  # a table
    clang = wb.debian_llvm(major or wb.PINNED[version]) / "clang"
    words = ["build", "--cpython", tree, "--target", wb.X86, "--llvm", clang, "--out", out]
    assert main([*map(str, words), "--pyconfig-dir", str(config or wb.pyconfig(version)), *more]) == 0
    return tomllib.loads(next(out.rglob("manifest.toml")).read_text())["layout"]


@pytest.mark.parametrize("version", ["3.13.15", "3.15.0rc1", pytest.param("3.14.7", marks=pytest.mark.matrix)])
def test_what_unchanged_uops_use_is_recalled(
    version: str, tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    uops = 10
    tree = wb.small_tree(version, tmp_path / "cpython", uops=uops, step=20)
    cases = tree / source.CASES
    first = layout(version, tree, tmp_path / "first")
    *start, last, rest = re.split(r"(?m)(?=^        case \w+: \{$|^#undef TIER_TWO$)", cases.read_text("utf-8"))
    # The first uop uses something that no other one does, and the last one is not there any more.
    use = "            frame->f_locals = (PyObject *)tstate->interp->ceval.pending.calls[1].arg;\n"
    # The enumerator is in a macro.
    use += "            if (DK_IS_UNICODE((PyDictKeysObject *)tstate)) { JUMP_TO_ERROR(); }\n"
    start[1] = start[1].replace("{\n", f"{{\n{use}", 1)
    cases.write_text("".join([*start, rest]), "utf-8")
    assert last.lstrip().startswith("case _")
    changed = layout(version, tree, tmp_path / "changed")
    assert asked == [("headers", uops), ("alone", 1)]
    assert changed != first
    assert "struct _pending_call.arg" in changed["members"]
    assert "DICT_KEYS_GENERAL" in changed["enumerators"]
    assert "DICT_KEYS_GENERAL" not in first["enumerators"]
    assert changed == layout(version, tree, tmp_path / "afresh", "--no-cache")


STRUCTURE = "Include/internal/pycore_interpframe_structs.h"


@pytest.mark.parametrize("change", ["structure", "enumerator", "pyconfig.h", "flag", "clang", "place"])
def test_what_is_kept_is_of_the_same_headers_flags_and_clang(
    change: str, tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them is changed behind a build that has filled the cache, and then a uop."""
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    version, uops = "3.14.7", 4
    tree = wb.small_tree(version, tmp_path / "cpython", uops=uops, step=60)
    config = tmp_path / "config"
    shutil.copytree(wb.pyconfig(version), config)
    first = layout(version, tree, tmp_path / "first", config=config)
    more: tuple[str, ...] = ()
    major = wb.PINNED[version]
    match change:
        case "structure":
            _replace(tree / STRUCTURE, "struct _PyInterpreterFrame {", "struct _PyInterpreterFrame { long more;")
        case "enumerator":
            _replace(tree / STRUCTURE, "FRAME_OWNED_BY_THREAD = 0", "FRAME_OWNED_BY_THREAD = 7")
        case "pyconfig.h":
            (config / "pyconfig.h").write_text((config / "pyconfig.h").read_text() + "\n#define Py_TRACE_REFS 1\n")
        case "flag":
            more = ("--cflags=-DPy_TRACE_REFS=1",)
        case "clang":
            major = 21
        case _:
            tree = tree.rename(tmp_path / "elsewhere")
    counts = [("headers", uops)]
    assert asked == counts
    again = layout(version, tree, tmp_path / "again", *more, major=major, config=config)
    # Where the tree is, the same is in it.
    counts += [("headers", uops)] if change != "place" else []
    _replace(tree / source.CASES, "{\n", "{\n            frame->previous = NULL;\n")
    changed = layout(version, tree, tmp_path / "changed", *more, major=major, config=config)
    counts.append(("headers" if change in ("flag", "place") else "alone", 1))
    assert asked == counts
    assert (again == first) is (change in ("clang", "place"))
    assert changed == layout(version, tree, tmp_path / "afresh", *more, "--no-cache", major=major, config=config)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
