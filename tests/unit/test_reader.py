"""Headers that no generator writes are refused, with the line that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import dialects, reader
from stencilkit.errors import HeaderError

FOLDER = Path(__file__).parents[1] / "golden" / "headers"
TEXT = (FOLDER / "3.14.h").read_text("utf-8")


def read(text: str) -> None:
    reader.read(text, dialects.header_forms(), "sample.h")


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_what_stencilkit_writes_is_read(path: Path) -> None:
    read(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("// 1111", "// 111g", "line 1 is not a comment with CPython's input digest"),
        ("// line 2", "line 2", "line 2 is not a comment"),
        ("\n{\n}\n", "\n{\r\n}\n", "it has a carriage return"),
        ("emit__EMPTY(\n", "emit__A_FORMS(\n", "emit__A_FORMS has other parameters, or occurs twice"),
        ("[_EMPTY] = {emit__EMPTY", "[_OTHER] = {emit__EMPTY", "the row of _EMPTY is under another name"),
        ("{emit__EMPTY, 0, 0", "{emit__EMPTY, 65537, 0", "the table says 65537 bytes for _EMPTY"),
        ("{emit__EMPTY, 0, 0", "{emit__EMPTY, 64, 0", "the code of _EMPTY ends in zeroes, which is not code"),
        ("[_EMPTY] = {emit__EMPTY", "[_GONE] = {emit__GONE", "the functions and the table do not fit"),
        ("code_body[119]", "code_body[118]", "the code of _Z_VALUES has not the size it says"),
        ("code_body[32]", "code_body[31]", "the bodies have 31, 8"),
        ("    memcpy(code, ", "    memmove(code, ", "emit__Z_VALUES has a line that no generator writes"),
        (
            "patch_64(code + 0x8, (uintptr_t)data)",
            "patch_65(code + 0x8, (uintptr_t)data)",
            "not a patch call: patch_65",
        ),
        ("patch_64(code + 0x8, (uintptr_t)data)", "patch_64(code + 0x8, data + 0x8, 0x0)", "not a patch call: "),
        ("patch_64(code + 0x8, (uintptr_t)data)", "patch_64(code + 0x8, system())", "not a patch call: "),
        ("(uintptr_t)&_PyFoo + -0x8", "(uintptr_t)&_PyFoo + (uintptr_t)&_PyBar + -0x8", "not a patch call: "),
        ("0x1f, state)", "0xffff, state)", "not a patch call: patch_aarch64_trampoline"),
        ("0x1f, state)", "31, state)", "not a patch call: patch_aarch64_trampoline"),
    ],
)
def test_what_no_generator_writes_is_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(HeaderError) as caught:
        read(TEXT.replace(old, new, 1))
    assert message in caught.value.what
    assert caught.value.where.startswith("sample.h")


def test_the_line_is_that_of_the_file() -> None:
    """Comments are left out before a header is read, and counted all the same."""
    line = next(number for number, text in enumerate(TEXT.split("\n"), 1) if "patch_64(data + 0x0" in text)
    with pytest.raises(HeaderError) as caught:
        read(TEXT.replace("patch_64(data + 0x0", "patch_6(data + 0x0", 1))
    assert caught.value.where == f"sample.h, line {line}"
