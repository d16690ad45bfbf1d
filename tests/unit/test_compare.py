"""compare: which stencils differ, how, and why line 1 does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli, compare, dialects, emit
from stencilkit.errors import UsageError
from stencilkit.model.comparison import Line
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.stencil import HoleValue, Patch, Stencil, StencilGroup, StencilSet
from stencilkit.pipeline import comparing
from tests import samples


def write(path: Path, held: StencilSet, *, line1: str = "0" * 64, series: str = "3.14") -> Path:
    form = dialects.dialect_for(series).HEADER
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(emit.render_header(held, form, line1=line1, line2=f"build.py {samples.TRIPLE}"))
    return path


def edited(name: str, **parts: Any) -> StencilSet:
    held = samples.stencils()
    groups = tuple(replace(group, **parts) if group.name == name else group for group in held.groups)
    return replace(held, groups=groups)


def test_equal_headers_are_equal(tmp_path: Path) -> None:
    one = write(tmp_path / "a.h", samples.stencils())
    two = write(tmp_path / "b.h", samples.stencils(), line1="1" * 64)
    (found,) = comparing.run([one, two])
    assert found.equal
    assert found.counts == {"identical": 3}
    assert found.causes == ("not known: one of them has no manifest",)


def test_other_instructions_with_the_same_holes(tmp_path: Path) -> None:
    one = write(tmp_path / "a.h", samples.stencils())
    code = Stencil(body=b"\x90" * 8 + b"\xc3", patches=())
    two = write(tmp_path / "b.h", edited("_POP_TOP", code=code))
    (found,) = comparing.run([one, two])
    assert found.counts == {"identical": 2, "same-holes": 1}
    (change,) = found.changes
    assert (change.name, change.likeness, change.code, change.data_size) == ("_POP_TOP", "same-holes", (9, 9), (0, 0))
    assert [line for line in change.instructions if line[0] in "+-"] == ["-    8:  nop", "+    8:  ret"]


def test_other_holes_symbols_and_data_are_named(tmp_path: Path) -> None:
    before = samples.stencils()
    code = replace(before["_NOP"].code, patches=before["_NOP"].code.patches[1:])
    data = Stencil(body=b"\1" * 8, patches=(Patch(func="patch_64", offsets=(0,), symbol="PyErr_Clear"),))
    (found,) = comparing.run(
        [write(tmp_path / "a.h", before), write(tmp_path / "b.h", edited("_NOP", code=code, data=data))]
    )
    (change,) = found.changes
    assert change.likeness == "other-holes"
    assert change.holes == (
        "- code: patch_64 OPERAND0",
        "- data: patch_64 _Py_Dealloc",
        "+ data: patch_64 PyErr_Clear",
    )
    assert change.symbols == ("- _Py_Dealloc", "+ PyErr_Clear")
    assert change.data == ("-    0:  00 00 00 00 00 00 00 00", "+    0:  01 01 01 01 01 01 01 01")


def test_where_a_jump_goes_does_not_count(tmp_path: Path) -> None:
    def jumps(distance: int) -> StencilSet:
        return edited("_POP_TOP", code=Stencil(body=bytes([0x74, distance]) + b"\x90" * 7, patches=()))

    (found,) = comparing.run([write(tmp_path / "a.h", jumps(1)), write(tmp_path / "b.h", jumps(2))])
    (change,) = found.changes
    assert change.instructions == (
        "  the instructions are the same; their encodings, or the distances of jumps, differ",
    )


def test_thousands_of_instructions_are_not_aligned() -> None:
    """Where instructions repeat, it would take minutes: a header may be anybody's."""
    numbered = [Line(key=f"nop {number}", text=f"{number:4x}:  nop") for number in range(2049)]
    assert list(compare._aligned(numbered[:-2], numbered[:-1]))[-1] == "+  7ff:  nop"
    assert list(compare._aligned(numbered, numbered[::-1])) == ["  2049 and 2049 instructions: too many to be aligned"]


def test_new_and_gone(tmp_path: Path) -> None:
    held = samples.stencils()
    more = StencilGroup(name="_NEW", code=held["_POP_TOP"].code, data=held["_POP_TOP"].data)
    groups = (more, *(group for group in held.groups if group.name != "_POP_TOP"))
    (found,) = comparing.run([write(tmp_path / "a.h", held), write(tmp_path / "b.h", replace(held, groups=groups))])
    assert [(change.name, change.likeness, change.code) for change in found.changes] == [
        ("_NEW", "new", (None, 9)),
        ("_POP_TOP", "gone", (9, None)),
    ]


def test_a_narrow_operand_is_the_same_hole() -> None:
    values = dialects.dialect_for("3.15").HEADER.values
    assert values[HoleValue.OPARG] == values[HoleValue.OPARG_16]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two output folders of one content; the pyconfig.h of the second has a macro more, which no stencil can see."""
    one = samples.folder(tmp_path / "one", samples.tree(tmp_path / "t1")).parent
    config = samples.PYCONFIG.replace("#define HAVE", "#define _COSMO_SOURCE 1\n#define HAVE")
    two = samples.folder(tmp_path / "two", samples.tree(tmp_path / "t2", config)).parent
    return one, two


def test_the_cause_of_another_line_1_is_named(folders: tuple[Path, Path]) -> None:
    (found,) = comparing.run(folders)
    assert found.equal
    assert found.first.line1 != found.second.line1
    assert found.causes == ("pyconfig.h: #define _COSMO_SOURCE 1, which no stencil can see",)


def test_a_visible_macro_is_named_as_such(tmp_path: Path) -> None:
    one = samples.folder(tmp_path / "one", samples.tree(tmp_path / "t1")).parent
    config = samples.PYCONFIG.replace("#define WITH_PYMALLOC 1", "")
    two = samples.folder(tmp_path / "two", samples.tree(tmp_path / "t2", config)).parent
    (found,) = comparing.run([one, two])
    assert found.causes == ("pyconfig.h: WITH_PYMALLOC, which stencils can see",)


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_every_format_tells_all(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "a.h", samples.stencils())
    two = write(tmp_path / "b.h", edited("_POP_TOP", code=Stencil(body=b"\xc3", patches=())))
    assert cli.main(["compare", str(one), str(two), str(one), "--format", form]) == 1
    out = capsys.readouterr().out
    assert "_POP_TOP" in out
    assert "ret" in out
    if form == "json":
        answer = json.loads(out)
        assert (answer["schema"], answer["kind"], answer["equal"]) == (1, "comparison", False)
        assert [pair["equal"] for pair in answer["pairs"]] == [False, True]
    else:
        assert "9 -> 1" in out


def test_a_build_folder_of_cpythons_stands_for_its_header(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """No manifest names what CPython's own generator leaves there: a dispatcher beside the header, 3.15's shim."""
    build = tmp_path / "build"
    write(build / f"jit_stencils-{samples.TRIPLE}.h", samples.stencils())
    (build / "jit_stencils.h").write_text("// a dispatcher\n")
    (build / "jit-stencils-rebuilt").mkdir()
    assert cli.main(["compare", "--brief", str(build), str(folders[0])]) == 0
    assert cli.main(["show", "_NOP", str(build)]) == 0
    assert cli.main(["verify", "--consistent", str(build)]) == 1


def test_check_is_silent_about_equal_headers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(write(tmp_path / "a.h", samples.stencils()))
    assert cli.main(["compare", one, one, "--check"]) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_be_compared(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    one = write(tmp_path / "a.h", samples.stencils())
    held = samples.stencils()
    other = write(tmp_path / "b.h", replace(held, groups=held.groups[1:2], entry=None), series="3.15")
    with pytest.raises(UsageError, match=r"CPython 3\.14 and 3\.15"):
        comparing.run([one, other])
    with pytest.raises(UsageError, match="compare takes 2 to 6 paths, not 1"):
        comparing.run([one])
    with pytest.raises(UsageError, match="does not say what it is for"):
        nameless = write(tmp_path / "c.h", samples.stencils())
        nameless.write_text(nameless.read_text().replace(samples.TRIPLE, "nothing"))
        comparing.run([nameless, one])
    with pytest.raises(UsageError, match=f"has no {MANIFEST_NAME}, and no stencil headers"):
        comparing.run([tmp_path / "t1", one])


def test_verify_speaks_every_format(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, two = map(str, folders)
    assert cli.main(["verify", "--consistent", one, two]) == 0
    assert capsys.readouterr().out.count(": accepted (consistent; not compared with anything that others made)\n") == 2
    assert cli.main(["verify", one]) == 1
    assert "FAILED  policy     consistent; not compared with anything that others made" in capsys.readouterr().out
    assert cli.main(["verify", "--consistent", one, "--check"]) == 0
    assert capsys.readouterr().out == ""
    Path(two, "jit_stencils.h").write_text("evil")
    assert cli.main(["verify", "--consistent", one, two, "--format", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [verdict["accepted"] for verdict in answer["verdicts"]] == [True, False]
    assert cli.main(["verify", "--consistent", one, two, "--format", "junit"]) == 1
    assert '<failure message="files are not those of the manifest">jit_stencils.h has other bytes<' in (
        capsys.readouterr().out
    )
    assert cli.main(["verify", "--consistent", one, two, "--format", "markdown", "--check"]) == 1
    assert capsys.readouterr().out.startswith(f"### `{two}`: refused")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["{one}", "{two}", "--manifest", "{one}/manifest.toml"], "--manifest is for one header"),
        (["{one}", "--pyconfig-dir", "{one}"], "--pyconfig-dir needs --cpython"),
        (["{one}", "--cpython", "{tree}", "--pyconfig-dir", "{one}"], "there is no pyconfig.h in"),
        ([], "Missing argument"),
    ],
)
def test_verify_without_what_it_needs_is_trouble(
    words: list[str], message: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = folders
    names = {"one": one, "two": two, "tree": one.parent / "t1"}
    assert cli.main(["verify", *(word.format(**names) for word in words)]) == 2
    assert message in capsys.readouterr().err


def test_changes_that_are_far_apart_are_shown_with_what_is_around_them() -> None:
    before = [Line(key=str(number), text=str(number)) for number in range(60)]
    after = [Line(key="x", text="x") if number in (5, 50) else line for number, line in enumerate(before)]
    shown = list(compare._aligned(before, after))
    assert [line for line in shown if line[0] in "+-"] == ["- 5", "+ x", "- 50", "+ x"]
    assert shown.count("  ...") == 1
    assert len(shown) < 30
    assert len(compare.beside(before, after)) == 60


def test_listings_that_are_too_long_to_be_aligned_are_laid_beside_each_other() -> None:
    before = [Line(key=str(number), text=f"a{number}") for number in range(3000)]
    after = [Line(key=str(number), text=f"b{number}") for number in range(2999)]
    rows = compare.beside(before, after)
    assert len(rows) == 3000
    assert (rows[0].left, rows[0].right, rows[-1].right) == ("a0", "b0", "")
    assert not any(row.same for row in rows)
    assert list(compare._aligned(before, after)) == ["  3000 and 2999 instructions: too many to be aligned"]
