"""The documentation is a site without a broken link, and its words are the ones that we want."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What non-native ears take for English. The left side is a pattern; the right side says what to write.
HABITS = {
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bheld against\b|\bholds? [^.;]{0,40}\bagainst\b": "compare with",
    r"\botherwise than\b": "in another way than, unlike",
    r"\bwhat must hold\b": "rules, conditions",
    r"\b(tells?|told) (what|how|which|whether|apart)\b": "say, report, distinguish",
}


def build(source: Path, out: Path) -> str:
    """Build a site as `make docs` does; return the warnings."""
    command: list[str | Path] = [sys.executable, "-W", "ignore", "-m", "sphinx", "-q", "-n", "--no-color", source, out]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@pytest.mark.process
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    assert build(DOCS, tmp_path) == ""
    commands = (tmp_path / "commands.html").read_text("utf-8")
    assert "stencilkit verify [OPTIONS]" in commands
    assert (tmp_path / "searchindex.js").stat().st_size > 10_000


@pytest.mark.process
def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/conf.py").write_text('extensions = ["myst_parser"]\nmyst_heading_anchors = 3\n')
    (tmp_path / "in/index.md").write_text("# Title\n\n[there](gone.md), [here](#no-such-heading)\n")
    warnings = build(tmp_path / "in", tmp_path / "out")
    assert "gone.md" in warnings
    assert "no-such-heading" in warnings


def pages() -> list[Path]:
    """List every page that people read."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), ROOT / "recipes/README.md"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_idiomatic(page: Path) -> None:
    text = page.read_text("utf-8")
    found = [
        (hit.group(), better) for habit, better in HABITS.items() for hit in re.finditer(habit, text, re.IGNORECASE)
    ]
    assert found == []


def test_help_is_idiomatic() -> None:
    helps = sorted((ROOT / "tests/golden/help").glob("*.txt"))
    assert len(helps) > 15
    found = [
        (path.name, hit.group(), better)
        for path in helps
        for habit, better in HABITS.items()
        for hit in re.finditer(habit, path.read_text("utf-8"), re.IGNORECASE)
    ]
    assert found == []
