"""Typed reading of TOML: every complaint has the path to the bad field."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stencilkit.errors import DataError
from stencilkit.support.fields import Fields, document


def read(text: str) -> Fields:
    return document(f"schema = 1\n{text}", name="file.toml", schema=1, error=DataError)


CASES: list[tuple[str, Callable[[Fields], object], str]] = [
    ("", lambda f: f.text("a"), "a: missing"),
    ("a = 1", lambda f: f.text("a"), "a: must be a string, not 1"),
    ("a = '1'", lambda f: f.integer("a"), "a: must be an integer, not '1'"),
    ("a = true", lambda f: f.integer("a"), "a: must be an integer, not True"),
    ("a = 1", lambda f: f.boolean("a"), "a: must be true or false, not 1"),
    ("a = 'z'", lambda f: f.choice("a", ("x", "y")), "a: must be one of x, y, not 'z'"),
    ("a = ['x', 1]", lambda f: f.texts("a"), "a[1]: must be a string, not 1"),
    ("a = 'x'", lambda f: f.texts("a"), "a: must be an array, not 'x'"),
    ("a = 1", lambda f: f.table("a"), "a: must be a table, not 1"),
    ("a = [1]", lambda f: f.tables("a"), "a[0]: must be a table, not 1"),
    ("a = {b = 1}", lambda f: list(f.named_tables("a")), "a.b: must be a table, not 1"),
    ("a = {b = 1}", lambda f: f.mapping("a"), "a.b: must be a string, not 1"),
    ("[a.b]\nc = 1", lambda f: f.table("a").table("b").text("c"), "a.b.c: must be a string, not 1"),
    ("[[a]]\n[[a]]\nb = 1", lambda f: f.tables("a")[1].text("b"), "a[1].b: must be a string, not 1"),
    ("[[a]]\n[a.b.c]", lambda f: next(f.tables("a")[0].named_tables("b"))[1].text("d"), "a[0].b.c.d: missing"),
    ("a = 1", lambda f: f.done(), "a: unknown field"),
    ("a = 'AB'", lambda f: f.sha256("a"), "a: not a SHA-256 in lower-case hex: 'AB'"),
    (f"a = '{'0' * 65}'", lambda f: f.sha256("a"), f"a: not a SHA-256 in lower-case hex: '{'0' * 65}'"),
]


@pytest.mark.parametrize(("text", "use", "message"), CASES, ids=[case[2] for case in CASES])
def test_a_bad_field_is_named_with_its_path(text: str, use: Callable[[Fields], object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        use(read(text))
    assert caught.value.what == message
    assert caught.value.where == "file.toml"


def test_good_fields_are_read() -> None:
    fields = read("a = 'x'\nb = 2\nc = false\nd = ['x', 'y']\ne = {f = 'g'}\nh = [{i = 1}]")
    assert fields.text("a") == "x"
    assert fields.integer("b") == 2
    assert fields.boolean("c") is False
    assert fields.texts("d") == ("x", "y")
    assert fields.mapping("e") == {"f": "g"}
    assert [row.integer("i") for row in fields.tables("h")] == [1]
    fields.done()


def test_defaults_are_for_what_is_missing_only() -> None:
    fields = read("a = 1")
    assert fields.text("b", "x") == "x"
    assert fields.choice("c", ("x",), None) is None
    assert fields.texts("d", []) == ()
    with pytest.raises(DataError, match="must be a string"):
        fields.text("a", "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 2", "a newer stencilkit wrote it"),
        ("schema = 0", "this stencilkit reads 1"),
        ("schema = '1'", "must be an integer"),
        ("", "schema: missing"),
        ("schema = ", "not TOML"),
        ("schema = 1\nschema = 1", "not TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a" + ".a" * 200_000 + " = 1", "keys of more than 16 parts"),
        ("[" + "'a' . " * 17 + "a]", "keys of more than 16 parts"),
        ("#" * (3 << 20), "more than 2048 KiB"),
        ("schema = 0x" + "f" * 10_000, "does not fit into 64 bits"),
        ("schema = 9223372036854775808", "does not fit into 64 bits"),
        ("\0", "not TOML"),
    ],
)
def test_a_document_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        document(text, name="file.toml", schema=1, error=DataError)


@pytest.mark.parametrize("value", ["1" * 5000, "1979-13-01"])
def test_what_python_does_not_decode_is_an_error_of_the_file(value: str) -> None:
    with pytest.raises(DataError, match="not TOML"):
        document(f"schema = {value}\n", name="x.toml", schema=1, error=DataError)


def test_long_values_are_not_shown() -> None:
    root = document(
        'schema = 1\na = "' + "x" * 1000 + '"\nb = [1]\nc = 2026-11-21\n', name="x", schema=1, error=DataError
    )
    for key, found in (("a", "a string"), ("b", "an array"), ("c", "a date or a time")):
        with pytest.raises(DataError, match=f"{key}: must be an integer, not {found}$"):
            root.integer(key)
