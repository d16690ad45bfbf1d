"""3.13 after a change to one uop, with a cache: the same stencils as without one, whatever it does to others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stencilkit import source
from stencilkit.cli import main
from stencilkit.compiler import Session
from stencilkit.model.source import Unit
from stencilkit.pipeline import compiling
from tests import workbench as wb

VERSION = "3.13.15"
CHANGED = "_NOP"
# In these, dead code may decide the order of phi nodes.
CONCERNED = ("_BINARY_OP_ADD_FLOAT", "_CALL_LEN", "_COMPARE_OP", "_GET_ANEXT", "_UNPACK_SEQUENCE_TUPLE")
UOPS = (CHANGED, "_LOAD_FAST", "_TO_BOOL", *CONCERNED, "_FATAL_ERROR")
# In a case that is dead in all others, in front of them.
CHANGES = {
    "nothing": "(void)1;",
    "locals and a text": (
        "PyObject *a1 = stack_pointer[-1]; PyObject *a2 = a1 ? stack_pointer[-2] : a1;"
        " if (a2 == frame->f_globals) { a1 = a2; } stack_pointer[-1] = a1;"
        ' if (a1 == NULL) { PyErr_SetString(PyExc_TypeError, "first of all"); }'
    ),
    "an array and a function": (
        "PyObject *many[7]; for (int i = 0; i < 7; i++) { many[i] = stack_pointer[-i]; }"
        " if (_PyLong_IsNegative((PyLongObject *)many[0])) { PyObject_Vectorcall(many[0], many, 5, NULL); }"
    ),
}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the names of what is compiled."""
    names: list[str] = []
    real = compiling._compile

    def noting(session: Session, units: Sequence[Unit]) -> Any:  # as it was
        names.extend(unit.name for unit in units)
        return real(session, units)

    monkeypatch.setattr(compiling, "_compile", noting)
    return names


def header(tree: Path, major: int, out: Path, *more: str) -> str:
    words = ["build", "--cpython", tree, "--target", wb.X86, "--llvm", wb.debian_llvm(major) / "clang", "--out", out]
    assert main([*map(str, words), "--pyconfig-dir", str(wb.pyconfig(VERSION)), *more]) == 0
    return next(out.rglob("jit_stencils.h")).read_text()


@pytest.mark.parametrize("major", [18, pytest.param(23, marks=pytest.mark.matrix)])
def test_a_change_to_dead_code_is_seen_where_it_matters(
    major: int, tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    tree = wb.small_tree(VERSION, tmp_path / "cpython", uops=1000)
    cases = tree / source.CASES
    original = source.only(cases.read_text(), UOPS)
    cases.write_text(original)
    header(tree, major, tmp_path / "first")
    concerned = {}
    for what, text in CHANGES.items():
        changed, count = re.subn(rf"(case {CHANGED}: \{{\n)", rf"\g<1>            {text}\n", original)
        assert count == 1
        cases.write_text(changed)
        compiled.clear()
        found = header(tree, major, tmp_path / what)
        concerned[what] = set(compiled) - {CHANGED}
        assert found == header(tree, major, tmp_path / f"{what} afresh", "--no-cache"), what
    # What is not asked about is compiled each time: nothing says which of its constants was made first.
    assert concerned["nothing"] <= {"_FATAL_ERROR"}
    assert set().union(*concerned.values()) & set(CONCERNED)
