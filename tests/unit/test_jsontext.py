"""JSON of strangers is read within bounds; what two readers may understand differently is refused."""

from __future__ import annotations

import pytest

from stencilkit.errors import ResultError
from stencilkit.support import jsontext

BOUNDS = jsontext.Bounds(size=100, depth=3)


def read(data: bytes) -> dict[str, object]:
    return jsontext.read(data, BOUNDS, where="x.json", error=ResultError)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'{"a": 1, "a": 2}', "a key occurs twice in one object"),
        (b'{"a": NaN}', "NaN is not a number of JSON's"),
        (b'{"a": -Infinity}', "-Infinity is not a number of JSON's"),
        (b'{"a": %s}' % (b"9" * 21), "a number has 21 digits"),
        (b'{"a": 0.%s}' % (b"1" * 39), "a number has 41 characters"),
        (b'{"a": 1e999}', "1e999 is more than a number can be"),
        (b'{"a": -1e999}', "-1e999 is more than a number can be"),
        (b'{"a": [[[1]]]}', "it is nested more than 3 levels deep"),
        (b"[" * 60, "not JSON that can be read"),
        (b"[]", "it must be a JSON object"),
        (b'{"a": "\xff"}', "this is not UTF-8 text (byte 7)"),
        (b'{"a": "%s"}' % (b"x" * 100), "it has 109 bytes, and more than 100 are not read"),
        (b'{"a": 1', "not JSON that can be read"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(ResultError) as caught:
        read(data)
    assert what in caught.value.what
    assert caught.value.where == "x.json"


def test_the_largest_that_is_read() -> None:
    digits = "9" * 20
    assert read(f'{{"a": [[{digits}]], "b": 0.5}}'.encode()) == {"a": [[int(digits)]], "b": 0.5}


def test_it_is_written_in_one_way() -> None:
    assert jsontext.write({"b": "é", "a": [1]}) == b'{\n  "a": [\n    1\n  ],\n  "b": "\\u00e9"\n}\n'
    assert jsontext.write({"a": [1], "b": "é"}) == jsontext.write({"b": "é", "a": [1]})
