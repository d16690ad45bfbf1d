"""The documentation is a site without a broken link."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


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
