"""Numbers of things read as people say them."""

from __future__ import annotations

import pytest

from stencilkit.support import words


@pytest.mark.parametrize(
    ("number", "files", "differ"),
    [(0, "0 files", "0 files differ"), (1, "1 file", "1 file differs"), (2, "2 files", "2 files differ")],
)
def test_one_is_singular(number: int, files: str, differ: str) -> None:
    assert words.counted(number, "file") == files
    assert words.counted(number, "file", "differ") == differ


def test_times_need_not_be_whole() -> None:
    assert [words.counted(time, "second") for time in (0.5, 1.0, 30.0)] == ["0.5 seconds", "1 second", "30 seconds"]
