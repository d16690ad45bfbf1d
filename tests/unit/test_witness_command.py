"""stencilkit witness: what a build records of its compiler's layout, asked of another compiler."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import cli, manifest
from stencilkit.dialects._common import EVERY_UOP
from stencilkit.model.layout import Span, member_expressions
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.verdict import Check
from stencilkit.support.process import Completed
from tests.standin import Machine, Program
from tests.unit.test_witness import IR, PREPROCESSED

BOTH = "__builtin_offsetof(struct frame, both)"


@pytest.fixture
def built(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Machine:
    """Stencils that have structures compiled in, and another compiler that agrees."""
    clang = machine.clang
    # As if the first uop used everything, and the other one nothing.
    marks = "".join(f"  store i32 {number}, ptr @{EVERY_UOP}, align 4\n" for number in (1, 0))
    clang.ir = IR.replace("/tree", str(machine.tree)).replace(") {\n", f") {{\n{marks}")
    clang.preprocessed = PREPROCESSED.replace("/tree", str(machine.tree))
    clang.spans = {"b": (32, 3), "c": (35, 5)}
    compiler = machine.programs / "cc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    clang.programs[str(compiler)] = Program("cc")
    assert machine.build() == 0
    assert "no layout" not in capsys.readouterr().err
    layout = machine.manifest().layout
    assert layout is not None
    # A build takes the sizes of members from what it compiled.
    clang.numbers = {member_expressions(name)[1]: span.size for name, span in layout.members.items()}
    return machine


def witness(machine: Machine, *words: str, cc: str = "cc") -> int:
    places = ["--cpython", str(machine.tree), "--build-dir", str(machine.config)]
    compiler = ["--cc", f"{machine.programs / cc} -O2"] if cc else []
    return cli.main(["witness", str(machine.folder()), *places, *compiler, *words])


def checks(capsys: pytest.CaptureFixture[str]) -> list[Check]:
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    return [Check(**{**check, "details": tuple(check["details"])}) for check in verdict["checks"]]


def test_errors_are_read_without_colours(built: Machine) -> None:
    """Makefiles of CI systems have them on; of two flags, the last one counts."""
    built.clang.calls.clear()
    assert witness(built, "--cflags=-fdiagnostics-color=always") == 0
    for call in built.clang.calls:
        assert [word for word in call if "color" in word][-1:] == ["-fdiagnostics-color=never"]


def test_a_compiler_that_agrees(built: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    layout = built.manifest().layout
    assert layout is not None
    assert list(layout.types) == ["Plain", "struct cell", "struct frame"]
    assert layout.members["struct frame.both"].start == len(BOTH)
    assert witness(built) == 0
    assert "CPython 3.14.7, x86_64-unknown-linux-gnu, release, LLVM 19.1.7: accepted" in capsys.readouterr().out


def test_what_a_build_recorded_is_kept(built: Machine) -> None:
    layout = built.manifest().layout
    built.clang.ir = ""
    built.build()
    assert built.manifest().layout == layout


def test_a_difference_is_named_with_both_numbers(built: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    built.clang.numbers[BOTH] = 8
    assert witness(built, "--format", "json") == 1
    failed = [check for check in checks(capsys) if check.status == "failed"]
    assert [check.details for check in failed] == [
        (f"offset of struct frame.both: {len(BOTH)} in the stencils, 8 here",)
    ]


def test_a_bit_field_elsewhere(built: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    built.clang.spans["b"] = (40, 3)
    assert witness(built, "--format", "json") == 1
    details = [line for check in checks(capsys) for line in check.details]
    assert "struct frame.b: 3 bits from bit 32 in the stencils, 3 bits from bit 40 here" in details


def test_what_is_not_there_is_a_difference(built: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is asked for all the same."""
    built.clang.refused = {BOTH}
    built.clang.numbers["sizeof(struct cell)"] = 1
    assert witness(built, "--format", "json") == 1
    details = [line for check in checks(capsys) for line in check.details]
    assert f"offset of struct frame.both: {len(BOTH)} in the stencils, none (no such thing) here" in details
    assert "size of struct cell: 19 in the stencils, 1 here" in details


def test_a_failure_that_a_wrapper_hides_is_a_difference(
    built: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CC='cc-in-a-log', say: `gcc "$@" 2>&1 | tee -a log` ends with what tee ends with."""
    built.clang.numbers[BOTH] = 8
    original = built.clang._compute

    def compute(words: tuple[str, ...], cwd: Path, source: Path) -> Completed:
        return replace(original(words, cwd, source), returncode=0, stderr=b"")

    monkeypatch.setattr(built.clang, "_compute", compute)
    assert witness(built, "--format", "json") == 1
    details = [line for check in checks(capsys) for line in check.details]
    assert details == [f"offset of struct frame.both: {len(BOTH)} in the stencils, 8 here"]


def test_an_assertion_that_fails_although_the_number_is_right(
    built: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = built.clang._compute

    def compute(words: tuple[str, ...], cwd: Path, source: Path) -> Completed:
        built.clang.numbers[BOTH] = 8 if source.stem == "witness" else len(BOTH)
        return original(words, cwd, source)

    monkeypatch.setattr(built.clang, "_compute", compute)
    assert witness(built, "--format", "json") == 1
    details = [line for check in checks(capsys) for line in check.details]
    assert details == [f"offset of struct frame.both: {len(BOTH)} in the stencils, none (static assertion failed) here"]


@pytest.mark.parametrize("change", ["offset", "bits", "gone", "nothing"])
def test_a_layout_that_somebody_has_edited_is_found_by_a_rebuild(
    change: str, built: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The header is what it was, so ledgers and signatures agree; and the witness would believe the manifest."""
    described = built.manifest()
    layout = described.layout
    assert layout is not None
    match change:
        case "offset":
            layout = replace(layout, members={**layout.members, "struct frame.both": Span(start=8, size=8)})
        case "bits":
            layout = replace(layout, bits={**layout.bits, "struct frame.b": Span(start=40, size=3)})
        case "gone":
            layout = replace(layout, members={})
    (built.folder() / MANIFEST_NAME).write_text(manifest.render(replace(described, layout=layout)))
    places = ["--cpython", str(built.tree), "--pyconfig-dir", str(built.config), "--llvm", "19"]
    assert cli.main(["verify", str(built.folder()), "--rebuild", *places]) == (change != "nothing")
    said = capsys.readouterr().out
    assert ("building again gives another layout for stencilkit witness" in said) == (change != "nothing")
    assert ("struct frame.both: not in the manifest" in said) == (change == "gone")


def test_a_compiler_that_compiles_nothing(
    built: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CC=true."""

    def compute(words: tuple[str, ...], cwd: Path, source: Path) -> Completed:
        return Completed(command=words, returncode=0, stdout=b"", stderr=b"")

    monkeypatch.setattr(built.clang, "_compute", compute)
    assert witness(built) == 2
    assert "cannot compute the numbers of the runtime" in capsys.readouterr().err


def test_headers_that_stop_the_compiler(built: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """What needs no header is asked for even then."""
    built.clang.refused = {"#include"}
    built.clang.numbers["sizeof(void *)"] = 4
    assert witness(built, "--format", "json") == 1
    details = [line for check in checks(capsys) for line in check.details]
    assert any(line.endswith("in the stencils, 4 here") for line in details)
    assert any("error: no such thing" in line for line in details)


def test_the_assertions_can_be_compiled_without_stencilkit(
    built: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "witness.c"
    assert witness(built, "--write", str(path)) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert f"_Static_assert(({BOTH}) == {len(BOTH)}, " in path.read_text()
    built.build(llvm="20")
    words = ["witness", str(built.out), "--cpython", str(built.tree), "--write", str(path)]
    assert cli.main(words) == 2
    assert "has stencils of several builds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cc", ""], "is not a configured build folder: it has no Makefile and pyconfig.h of CPython's"),
        (["--cc", "cc-of-another-machine"], "the compiler of the runtime is not here: cc-of-another-machine"),
        (["--cc", "cc 'x"], "the words of --cc cannot be split"),
        (["--cflags", "-DX='"], "the words of --cflags cannot be split"),
    ],
)
def test_what_is_refused(words: list[str], message: str, built: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert witness(built, *words) == 2
    assert message in capsys.readouterr().err


def test_stencils_without_a_layout(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.build()
    capsys.readouterr()
    assert witness(machine, cc="clang-19") == 2
    assert "the manifest does not say what the stencils have compiled in" in capsys.readouterr().err
    header = machine.folder() / f"jit_stencils-{machine.folder().parts[-3]}.h"
    (machine.folder() / "manifest.toml").unlink()
    assert cli.main(["witness", str(header), "--cpython", str(machine.tree)]) == 2
    assert "has no manifest beside it" in capsys.readouterr().err
