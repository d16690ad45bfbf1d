"""CPython trees: what is one, and which uops it has."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stencilkit import source
from stencilkit.errors import SourceError
from stencilkit.model.source import Uop
from stencilkit.pipeline import knowing
from tests import fakes


def test_a_tree_is_opened(tmp_path: Path) -> None:
    tree = knowing.tree(fakes.tree(tmp_path))
    assert str(tree.version) == "3.14.7"
    uops = source.uops(tree)
    assert [(uop.name, uop.line) for uop in uops] == [("_NOP", 3), ("_LOAD_FAST", 7)]
    assert uops[0].text == "case _NOP: {\n            break;\n        }"
    assert source.patch_functions(tree) == {"patch_64"}


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("3.12.9", "has no copy-and-patch JIT; the first one with it is 3.13"),
        ("2.7.18", "has no copy-and-patch JIT"),
        ("3.16.0a1", "is newer than this stencilkit"),
        ("4.0.0", "is newer than this stencilkit"),
    ],
)
def test_other_versions_are_refused_with_what_is_known(tmp_path: Path, version: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        knowing.tree(fakes.tree(tmp_path, version))
    assert caught.value.fix.startswith("stencilkit knows CPython 3.13, 3.14, 3.15")
    assert ("--provisional" in caught.value.fix) == ("newer" in message)


def test_a_folder_that_is_no_cpython(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a CPython source tree"):
        knowing.tree(tmp_path)


@pytest.mark.parametrize("content", [b"", b'#define PY_VERSION "three"', b"\xff\xfe"])
def test_a_damaged_version(tmp_path: Path, content: bytes) -> None:
    path = fakes.tree(tmp_path) / "Include/patchlevel.h"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        knowing.tree(tmp_path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("name", ["Tools/jit/template.c", "Python/executor_cases.c.h", "Python/jit.c"])
def test_a_tree_without_its_jit(tmp_path: Path, name: str) -> None:
    (fakes.tree(tmp_path) / name).unlink()
    with pytest.raises(SourceError, match=f"{name} is missing"):
        knowing.tree(tmp_path)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("", "there are no uops"),
        ("#undef TIER_TWO\n", "there are no uops"),
        (fakes.CASES.replace("#undef TIER_TWO\n", ""), "ends too early, after _LOAD_FAST"),
        (fakes.CASES[:-40], "ends too early|does not know"),
        (fakes.CASES.replace("case _LOAD_FAST: {", "case _LOAD_FAST:"), "does not know: _LOAD_FAST"),
        (fakes.CASES.replace("_LOAD_FAST", "_NOP"), "occurs twice: _NOP"),
    ],
)
def test_cases_that_would_be_overlooked(tmp_path: Path, cases: str, message: str) -> None:
    tree = knowing.tree(fakes.tree(tmp_path, cases=cases))
    with pytest.raises(SourceError, match=message):
        source.uops(tree)


def test_every_truncation_of_the_cases_is_found(tmp_path: Path) -> None:
    whole = fakes.CASES
    tree = knowing.tree(fakes.tree(tmp_path))
    for size in range(len(whole) - 1):
        (tmp_path / source.CASES).write_text(whole[:size])
        with pytest.raises(SourceError):
            source.uops(tree)
    (tmp_path / source.CASES).write_text(whole)
    assert [(uop.name, uop.line) for uop in source.uops(tree)] == [("_NOP", 3), ("_LOAD_FAST", 7)]


def test_a_file_that_is_too_large_or_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = knowing.tree(fakes.tree(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(SourceError, match="more than 0 MiB"):
        patch.setattr("stencilkit.support.limits.TEXT", 20)
        source.uops(tree)
    (tmp_path / source.CASES).unlink()
    os.mkfifo(tmp_path / source.CASES)
    with pytest.raises(SourceError, match="not a regular file"):
        source.uops(tree)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    tree = knowing.tree(fakes.tree(tmp_path))
    (tmp_path / source.CASES).write_bytes(b"\n        case _NOP: {\n\xff")
    with pytest.raises(SourceError, match="not UTF-8"):
        source.uops(tree)
    (tmp_path / source.CASES).unlink()
    with pytest.raises(SourceError, match="No such file"):
        source.uops(tree)


@pytest.mark.parametrize(
    ("line", "alters"),
    [
        ("#if defined(Py_GIL_DISABLED)\n  x;\n  # else\n  #endif", False),
        ("/* # of items */ x;", False),
        ("a = b;  // #1", False),
        ("#define X 1", True),
        ("  #  undef X", True),
        ("#pragma clang optimize off", True),
        ("%: define X 1", True),
        ('#line 1 "x.c"', True),
        ('_Pragma("GCC poison x")', True),
        ("x = __COUNTER__;", True),
        ('#include "x.h"', True),
        ("#ifx", True),
    ],
)
def test_a_case_may_alter_those_behind_it(line: str, alters: bool) -> None:
    uop = Uop(name="_A", text=f"case _A: {{\n{line}\n        }}", line=1)
    assert uop.alters_others == alters


# The expression of CPython's Tools/jit/_targets.py.
UPSTREAMS = re.compile(r"\n {8}(case (\w+): \{\n.*?\n {8}\})", re.DOTALL)
LINES = st.sampled_from(
    ["", "        case _A: {", "        case _B: {", "        }", "         }", "        }}", "\r", "\x0c}"]
)


@given(st.lists(LINES, max_size=12))
def test_the_cases_are_those_that_upstreams_expression_finds(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert source.only(text, ()) == UPSTREAMS.sub("", text)


def test_uops_are_apart_where_none_alters_another() -> None:
    plain = Uop(name="_A", text="case _A: {\n        }", line=1)
    assert source.are_apart([plain])
    assert not source.are_apart([plain, Uop(name="_B", text="case _B: {\n#define X 1\n        }", line=3)])
