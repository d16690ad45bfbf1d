"""What units share, read by the front end once: where the number is, and where that is not understood."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import compiler
from stencilkit.compiler import Session, splice
from stencilkit.pipeline import compiling
from stencilkit.pipeline.keeping import Batch
from stencilkit.support.cache import NoStore
from stencilkit.support.process import Completed
from tests import fakes
from tests.unit import test_compiler, test_compiling

BODY = "int uopcode = _JIT_OPCODE;\nswitch (uopcode) {}\n"
UNIT = fakes.unit("_A", body=BODY, short_body="short\n")
NAMES = ("_A", "_B")
TELLING = """\
; Function Attrs: nounwind uwtable
define dso_local void @stencilkit_numbers(ptr noundef %0) #1 {
  %2 = alloca ptr, align 8
  store volatile i32 300, ptr %3, align 4, !tbaa !5
  store volatile i32 -1, ptr %4, align 4, !tbaa !5
  ret void
}
"""
ENTRY = """\
define ptr @_JIT_ENTRY(ptr noundef %0) #0 {
  store i32 1936290931, ptr %4, align 4, !tbaa !5
  %9 = load i32, ptr %4
}
"""
IR = f"""\
source_filename = "all.c"

; Function Attrs: nounwind
{ENTRY}
{TELLING}
declare i32 @f()
"""
METADATA = '\n!0 = !{i32 1, !"wchar_size", i32 4}\n'


def test_a_unit_is_what_all_share_with_its_own_number() -> None:
    front = splice.read(IR, UNIT, NAMES)
    assert front is not None
    expected = IR.replace(TELLING, "").replace("1936290931", "300")
    assert front.ir("_A") == expected
    assert front.ir("_B") == expected.replace("300", "-1")
    assert [front.is_of(unit) for unit in (UNIT, replace(UNIT, name="_C"), replace(UNIT, body="other"))] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "ir",
    [
        pytest.param("", id="nothing"),
        pytest.param(IR.replace(TELLING, ""), id="no numbers"),
        pytest.param(IR.replace("  store volatile i32 -1, ptr %4, align 4, !tbaa !5\n", ""), id="a number is missing"),
        pytest.param(IR + TELLING, id="numbers twice"),
        pytest.param(IR.replace("  %9 =", "  store i32 1936290931, ptr %5\n  %9 ="), id="two places"),
        pytest.param(IR.replace("  %9 =", "  %8 = add i32 1936290931, 1\n  %9 ="), id="another use of the number"),
        pytest.param(IR.replace("i32 1936290931", "i64 1936290931"), id="a number of another size"),
        pytest.param(IR.replace("  store i32 1936290931, ptr %4, align 4, !tbaa !5\n", ""), id="no place"),
    ],
)
def test_what_is_not_understood_is_not_spliced(ir: str) -> None:
    assert splice.read(ir, UNIT, NAMES) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f"{BODY}if (_JIT_OPCODE == _A) {{ f(); }}\n", id="asked twice"),
        pytest.param("switch (0) {}\n", id="not asked"),
        pytest.param(f"{BODY}int x = 1936290931;\n", id="the number is one"),
    ],
)
def test_a_text_that_does_more_with_the_number_is_not_asked_about(body: str) -> None:
    assert splice.asking(replace(UNIT, body=body), NAMES) is None


def test_the_question_keeps_the_lines_of_the_text() -> None:
    """In a debug build, assertions ask for them."""
    asking = splice.asking(UNIT, NAMES)
    assert asking is not None
    assert asking.tail.startswith(UNIT.tail.replace("_JIT_OPCODE _A", "_JIT_OPCODE 1936290931"))


@pytest.mark.parametrize(
    ("ir", "code", "understood"),
    [
        pytest.param(IR + METADATA, 0, True, id="whole"),
        pytest.param(IR, 0, False, id="cut off"),
        pytest.param(IR + METADATA, 1, False, id="clang died"),
        pytest.param(None, 0, False, id="nothing"),
    ],
)
def test_the_front_end_reads_what_units_share_once(
    ir: str | None, code: int, understood: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = tuple(replace(UNIT, name=name) for name in NAMES)
    session = test_compiler.session(tmp_path, monkeypatch, test_compiler.Clang(), units=units)
    calls: list[Sequence[str]] = []

    def run(_: Session, words: Sequence[str], folder: Path) -> Completed:
        calls.append(words)
        if ir is not None:
            (folder / "all.ll").write_text(ir)
        return test_compiler.Clang.done((), code=code)

    monkeypatch.setattr(Session, "_run_cc1", run)
    assert (session.find_front(units[0], NAMES) is not None) == understood
    (words,) = calls
    assert [word for word in words if word.startswith("-emit") or word == "-disable-llvm-passes"] == [
        "-emit-llvm",
        "-disable-llvm-passes",
    ]
    assert "-include-pch" in words


def spliced(session: Session, names: Sequence[str] = NAMES) -> Session:
    front: Future[splice.Front | None] = Future()
    front.set_result(splice.read(IR, UNIT, names))
    return replace(session, front=front)


@pytest.mark.parametrize("bad", [(), ("_B",)])
def test_units_are_compiled_from_what_they_share(
    bad: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not compile so is compiled from its own text."""
    units = tuple(replace(UNIT, name=name) for name in NAMES)
    clang = test_compiler.Clang(lost=bad)
    session = test_compiler.session(tmp_path, monkeypatch, clang, units=units, flavour="debug")
    made = spliced(session).emit(units)
    assert [call[-4:] for call in clang.calls if "ir" in call] == [("-x", "ir", "_A.ir", "_B.ir")]
    assert made.data["_A"].decode() == f"batch: {IR.replace(TELLING, '').replace('1936290931', '300')}"
    assert made.account.alone == set(bad)
    for name in bad:
        assert made.data[name].decode().startswith("single: #define _JIT_OPCODE")


def test_units_that_share_something_else_are_compiled_from_their_own_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = (UNIT, replace(UNIT, name="_B", body="something else\n"))
    session = test_compiler.session(tmp_path, monkeypatch, test_compiler.Clang(), units=units, flavour="debug")
    assert {data.decode() for data in spliced(session).emit(units).data.values()} == {
        f"batch: {unit.tail}" for unit in units
    }


@pytest.mark.parametrize(("cflags", "asked"), [((), True), (("-O2",), False)])
def test_flags_that_nobody_tried_are_not_used_so(
    cflags: tuple[str, ...], asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [replace(UNIT, name=f"_{number}") for number in range(5)]
    inputs = test_compiling.inputs(tmp_path, *units, flavour="debug")
    inputs.plan = replace(inputs.plan, cflags=cflags)
    found: list[object] = []

    def prepared(session: Session, **_: object) -> Session:
        return replace(session, precompiled=True)

    def read(_: Session, unit: object, names: object) -> None:
        found.append((unit, names))

    monkeypatch.setattr(compiler, "prepare", prepared)
    monkeypatch.setattr(Session, "find_front", read)
    monkeypatch.setattr(compiling, "_compile", lambda *_: Batch())
    test_compiling.making(inputs, NoStore()).make(units)
    assert found == ([(units[0], [unit.name for unit in units])] if asked else [])
