"""The documentation names only what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert not [target for target in links if not (page.parent / target).exists()]
    names = re.findall(r"\b((?:docs|tests|recipes|reproducibility|stencilkit)/[\w/.-]+\.(?:py|md|toml|j2|txt)\b)", text)
    assert not [name for name in names if not (ROOT / name).exists()]
    tests = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)
    assert not [name for path, name in tests if f"def {name}(" not in (ROOT / path).read_text("utf-8")]


def test_pages_are_found() -> None:
    assert len(PAGES) > 15
