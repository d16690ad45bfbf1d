"""What verify says of a header beside its manifest, its text, and a second build."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import dialects, emit, reader
from stencilkit.model.header import ReadHeader
from stencilkit.model.layout import Row
from stencilkit.model.manifest import StencilRecord, Summary
from stencilkit.model.stencil import Patch, StencilGroup
from stencilkit.verify import _manifest, _texts
from tests import samples

FORM = dialects.dialect_for("3.14").HEADER
COMMAND = "$ Tools/jit/build.py x86_64-unknown-linux-gnu"


def record(name: str, content: str = "a", code: int = 1) -> StencilRecord:
    return StencilRecord(name=name, content=content * 64, code=code, data=0, holes=0)


def summary(*records: StencilRecord, content: str = "c" * 64, **extras: str) -> Summary:
    return Summary(stencils=records, extras=extras, content=content, interface="i" * 64)


def test_each_way_in_which_stencils_differ_is_named() -> None:
    found = [record("_MORE"), record("_OTHER", "b"), record("_SAME"), record("_SIZE", code=2)]
    kept = [record("_LESS"), record("_OTHER"), record("_SAME"), record("_SIZE")]
    assert list(_manifest._stencils(found, kept)) == [
        "_LESS is missing",
        "_MORE is not in the manifest",
        "_OTHER: code, data or holes differ",
        "_SIZE: the sizes or the number of holes differ",
    ]


def test_a_header_of_another_series_than_the_manifest_is_refused() -> None:
    header: Any = SimpleNamespace(line2="", format=SimpleNamespace(series="3.13"))
    manifest: Any = SimpleNamespace(
        stencils=(record("_A"),), extras={"shim": "1"}, interface_digest="i" * 64, content_digest="c" * 64
    )
    manifest.dialect, manifest.cpython = "3.14", "3.14.7"
    checks = list(_manifest.claims(header, summary(record("_A"), shim="2", unwind="3"), manifest))
    assert [(check.status, check.what, check.details) for check in checks] == [
        ("failed", "what is beside the header differs from the manifest's", ("the shim differs", "the unwind differs")),
        ("failed", "it is a header of CPython 3.13, and the manifest is of 3.14.7", ()),
        ("passed", f"the content is the manifest's, {'c' * 16}", ()),
    ]


def test_a_second_build_that_is_another_one_says_what_differs() -> None:
    tool: Any = SimpleNamespace(vendor="Debian clang", program="/usr/bin/clang-19")
    second: Any = SimpleNamespace(content_digest="c" * 64, stencils=(record("_A"),), extras={})
    same = _manifest.rebuilt(summary(record("_A")), second, tool)
    assert (same.status, same.what) == (
        "passed",
        "building again with Debian clang (/usr/bin/clang-19) gives the same content",
    )
    other = _manifest.rebuilt(summary(record("_A", "b"), record("_B"), content="d" * 64, shim="1"), second, tool)
    assert (other.status, other.what) == (
        "failed",
        "building again with Debian clang (/usr/bin/clang-19) gives something else",
    )
    assert other.details == (
        "_A: code, data or holes differ",
        "_B is not in the second build",
        "the shim differs",
    )


def laid(version: str, *rows: Row) -> Any:
    return SimpleNamespace(
        layout=SimpleNamespace(rows=lambda: rows, bits={}), toolchain=SimpleNamespace(version=version)
    )


def row(subject: str, value: int, kind: Any = "size") -> Row:
    return Row(kind=kind, subject=subject, expression="x", value=value)


def test_another_layout_in_a_second_build_is_refused() -> None:
    mine = laid("19.1.7", row("PyObject", 16), row("EOF", -1, "macro"))
    assert list(_manifest.laid_out(mine, mine)) == []
    assert list(_manifest.laid_out(mine, laid("19.1.7", row("PyObject", 16), row("EOF", 7, "macro")))) == []
    (check,) = _manifest.laid_out(mine, laid("21.1.0", row("PyObject", 24), row("PyCode", 8)))
    assert check.status == "failed"
    assert check.details == ("size PyObject: 16 in the manifest, 24 here",), "another LLVM may touch other structures"
    (check,) = _manifest.laid_out(mine, laid("19.1.7", row("PyObject", 16), row("PyCode", 8)))
    assert check.details == ("size PyCode: not in the manifest",)
    nothing: Any = SimpleNamespace(layout=None, toolchain=SimpleNamespace(version="19.1.7"))
    assert list(_manifest.laid_out(nothing, mine)) == []


def read(line2: str = COMMAND) -> tuple[str, ReadHeader]:
    text = emit.render_header(samples.stencils(), FORM, line1="0" * 64, line2=line2)
    return text, reader.read(text, [FORM], "sample.h")


def test_what_the_generator_writes_is_its_own() -> None:
    text, header = read()
    check = _texts.generators_own(text.encode(), text, header)
    assert (check.status, check.what) == ("passed", "3 stencils of CPython 3.14, nothing else")
    commented = text.replace("\n\n", "\n    // 0: 90 nop\n\n", 1)
    assert _texts.generators_own(commented.encode(), text, header).status == "passed"


@pytest.mark.parametrize(
    ("inserted", "detail"),
    [
        ("// a \\\n", "carries on in the next one: '// a \\\\\\\\'"),
        ("// a \\ \t\n", "carries on in the next one"),
        ("// a ??/\n", "carries on in the next one: '// a ??/'"),
        ("// \x0c\n", "has a control character: '// \\\\x0c'"),
        ("int evil;\n", "is 'int evil;', and should be"),
    ],
)
def test_what_hides_in_a_generators_header_is_found(inserted: str, detail: str) -> None:
    text, header = read()
    lines = text.splitlines(keepends=True)
    changed = "".join([*lines[:2], inserted, *lines[2:]])
    check = _texts.generators_own(changed.encode(), text, header)
    assert (check.status, check.what) == ("failed", "it holds more than stencils")
    assert any("line 3 " in one and detail.replace("\\\\", "\\") in one for one in check.details), check.details


def test_a_comment_that_does_not_end_is_no_comment_line() -> None:
    text, header = read()
    check = _texts.generators_own(f"{text}// evil".encode(), text, header)
    assert check.details == (f"line {text.count(chr(10)) + 1} is '// evil', and should be ''",)
    check = _texts.generators_own(f"{text}\n".encode(), text, header)
    assert check.details == (f"line {text.count(chr(10)) + 2} is '', and should be '(the end)'",)


def test_a_line_2_of_nobodys_and_a_patch_past_the_end_are_refused() -> None:
    text, header = read()
    check = _texts.generators_own(text.encode(), text, replace(header, line2="what\x07ever"))
    assert check.details == ("line 2 is neither CPython's nor stencilkit's: 'what\\x07ever'",)
    first, *others = header.stencils.groups
    wild = Patch(func="patch_64", offsets=(len(first.code.body) - 7,), addend=0)
    group = StencilGroup(name=first.name, code=replace(first.code, patches=(wild,)), data=first.data)
    wider = replace(header, stencils=replace(header.stencils, groups=(group, *others)))
    check = _texts.generators_own(text.encode(), text, wider)
    assert check.details == ("_NOP: patch_64 writes past the end of the code",)
