"""Habits of speech that pages, help and messages are to do without: each has plainer words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import ROOT

TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md", "tests/golden/help/*.txt", "tests/golden/errors/*.txt")
    for path in ROOT.glob(pattern)
)
# What is said, and what readers expect in its place.
HABITS = {
    r"mend(s|ed|ing)?": "fix",
    r"held against|holds? [^.;]{0,40} against": "compare with",
    r"otherwise than|in another way than": "differently from",
    r"what must hold": "rules, conditions",
    r"(tells?|told) (what|how|which|whether|apart)": "say, report, distinguish",
    r"can(not)? be had": "is (not) available",
    r"lies? (at|behind|below|above|beside|in|on|within)": "is in",
    r"(?<!there[ \n])is no (folder|file|program|version|target|header|bundle|manifest)": "is not a",
}


def habits(text: str) -> list[str]:
    """List what is said and what should be."""
    return [
        f"{match[0]}: {plain}"
        for rule, plain in HABITS.items()
        for match in re.finditer(rf"\b(?:{rule})\b", text, re.IGNORECASE)
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the message says how to fix it; there is no folder x; a file is not a folder", []),
        ("mend the file, which lies in the cache", ["mend: fix", "lies in: is in"]),
        ("It is held against a ledger", ["held against: compare with"]),
        ("x is no version", ["is no version: is not a"]),
    ],
)
def test_habits_are_found(text: str, found: list[str]) -> None:
    assert habits(text) == found


def test_texts_are_found() -> None:
    assert {path.name for path in TEXTS} > {"README.md", "CHANGELOG.md", "verify.md", "verify.txt", "compare-one.txt"}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_texts_are_in_plain_words(path: Path) -> None:
    assert habits(path.read_text("utf-8")) == []
