"""What the command line says about itself, and that documents do not name what it does not have."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stencilkit.cli import group, main
from tests import goldens, scripts

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "share"
FOLDER = Path(__file__).parent / "help"
PLACES = ("*.md", "Makefile", "docs/**/*.md", "recipes/**/*", "reproducibility/*", ".github/**/*.y*ml")
DOCUMENTS = sorted(path for place in PLACES for path in ROOT.glob(place))
# `stencilkit WORDS`, in a line of a script or between backquotes.
_CALL = re.compile(r"(?:^|[`$>(;&]|\s)stencilkit (?P<words>[a-z][^`\n#|;>]*)", re.MULTILINE)
MANUAL = scripts.script("docs/manual_pages.py")


def commands(command: click.Command = group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """List all commands, as the words that follow `stencilkit`."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from commands(sub, (*path, name))


def find(path: tuple[str, ...]) -> click.Command:
    command: click.Command = group
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


COMMANDS = list(commands())


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


def calls() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        if document.is_file() and document.suffix != ".pyc":
            text = document.read_text("utf-8", "replace").replace("\\\n", " ")
            for match in _CALL.finditer(text):
                yield document.relative_to(ROOT).as_posix(), match["words"].strip()


def split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError:
        return words.split()


def test_documents_name_commands_and_options_that_there_are() -> None:
    known = {path[0] for path in COMMANDS if path}
    wrong, seen = [], 0
    for where, call in calls():
        words = split(call)
        path = tuple(words[: 2 if tuple(words[:2]) in COMMANDS else 1])
        if path[0] not in known:
            # Prose ("stencilkit builds ..."); a command with an option is none.
            wrong += [f"{where}: stencilkit {call}"] if any(word.startswith("--") for word in words) else []
            continue
        seen += 1
        options = {name for parameter in find(path).params for name in (*parameter.opts, *parameter.secondary_opts)}
        options |= {"-h", "--help"}
        wrong += [
            f"{where}: stencilkit {call}: {word}"
            for word in words
            if re.match(r"--?[a-z]", word) and word.partition("=")[0].rstrip(".,:)]") not in options
        ]
    assert seen > 20
    assert wrong == []


def test_every_command_is_used_somewhere() -> None:
    assert {path[0] for path in COMMANDS if path} <= {split(call)[0] for _, call in calls()}
