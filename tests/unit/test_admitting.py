"""Every command that reads stencils verifies them first, by one door."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stencilkit import cli
from tests import samples


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Change one byte of code in a header: its form is still that of stencils."""
    header = samples.folder(tmp_path / "bad", samples.tree(tmp_path / "tree"))
    text = header.read_text()
    changed = re.sub(r"(code_body\[\d+\] = \{\s+0x)[0-9a-f]", lambda found: f"{found[1]}7", text, count=1)
    assert changed != text
    header.write_text(changed)
    return header


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return samples.folder(tmp_path / "good", samples.tree(tmp_path / "other"))


@pytest.mark.parametrize("place", ["header", "folder"])
@pytest.mark.parametrize(
    "command",
    [
        ("audit", "BAD"),
        ("audit", "GOOD", "--against", "BAD"),
        ("compare", "GOOD", "BAD"),
        ("identify", "GOOD", "--against", "BAD"),
        ("prove", "GOOD", "BAD"),
        ("show", "_POP_TOP", "BAD"),
    ],
)
def test_stencils_that_verify_refuses_are_refused(
    command: tuple[str, ...], place: str, bad: Path, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = bad if place == "header" else bad.parent
    words = [{"BAD": str(named), "GOOD": str(good)}.get(word, word) for word in command]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "these stencils are refused" in said, said
    assert str(named) in said
