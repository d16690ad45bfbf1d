"""What the command line says about itself."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from stencilkit.cli import main
from tests import goldens, scripts
from tests.documents import COMMANDS, find

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "share"
FOLDER = Path(__file__).parent / "help"
MANUAL = scripts.script("docs/manual_pages.py")


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "stencilkit")
def test_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*path, "--help"]) == 0
    goldens.check(FOLDER / f"{'-'.join(path) or 'stencilkit'}.txt", capsys.readouterr().out)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "stencilkit")
def test_help_fits_80_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*path, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_what_packages_install_below_share_is_not_stale() -> None:
    """Man pages and completion; python docs/manual_pages.py writes them, and so does STENCILKIT_UPDATE_GOLDEN=1."""
    expected = MANUAL.contents()
    if os.environ.get("STENCILKIT_UPDATE_GOLDEN"):
        MANUAL.main()
    found = {path.relative_to(SHARE).as_posix(): path.read_text("utf-8") for path in SHARE.rglob("*") if path.is_file()}
    assert found.keys() == expected.keys()
    for name, text in expected.items():
        assert found[name] == text, f"share/{name} is stale: run python docs/manual_pages.py"
    assert len([name for name in found if name.endswith(".1")]) == len(COMMANDS)


def test_no_help_is_kept_of_commands_that_are_gone() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted("-".join(path) or "stencilkit" for path in COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "stencilkit")
def test_everything_is_explained(path: tuple[str, ...]) -> None:
    command = find(path)
    assert command.help
    assert command.help.split("\n")[0].rstrip().endswith((".", ":", ","))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} has no help"
