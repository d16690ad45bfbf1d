"""The commands that documents and scripts of the repository tell their readers to run, as words for click."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from stencilkit.cli import group

ROOT: Final = Path(__file__).parents[1]
_PLACES: Final = ("*.md", "Makefile", "docs/**/*.md", "recipes/**/*", "reproducibility/*", ".github/**/*.y*ml")
DOCUMENTS: Final = sorted(
    path for place in _PLACES for path in ROOT.glob(place) if path.is_file() and path.suffix != ".pyc"
)
# Where a command begins, and what is left of its line. reproducibility/gate is `stencilkit gate` with two options.
_BEGINS: Final = re.compile(r"(?<![\w.:-])(?P<program>stencilkit|reproducibility/gate) (?P<rest>[a-z-][^`\n]*)")
_FENCE: Final = re.compile(r"^ *```")
_ENDS: Final = re.compile(r"[();<>|&]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command of stencilkit's in a document.

    `shown` is on a line of its own, and not in the middle of a sentence; `whole` leaves nothing out by "...".
    """

    where: str
    words: tuple[str, ...]
    shown: bool
    whole: bool

    def __str__(self) -> str:
        """Say where it is, and what it is."""
        return f"{self.where}: stencilkit {shlex.join(self.words)}"


def commands(command: click.Command = group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """List all commands, as the words that follow `stencilkit`."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from commands(sub, (*path, name))


COMMANDS: Final = list(commands())


def find(path: tuple[str, ...]) -> click.Command:
    """Return the command of that name."""
    command: click.Command = group
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


def calls() -> Iterator[Call]:
    """List what the documents run."""
    for document in DOCUMENTS:
        text = document.read_text("utf-8", "replace").replace("\\\n", " ")
        where = document.relative_to(ROOT).as_posix()
        for line, shown in code(text) if document.suffix == ".md" else _lines(text):
            for match in _BEGINS.finditer(line):
                found = _words(_synopsis(match["rest"]))
                words = [word.removesuffix("...") for word in found if word != "..."]
                gate = () if match["program"] == "stencilkit" else ("gate",)
                yield Call(where=where, words=(*gate, *words), shown=shown, whole=words == found)


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Give the lines of a script or workflow but for comments and titles."""
    for line in text.splitlines():
        if not line.lstrip("- ").startswith(("#", "name: ")):
            yield line, True


def code(text: str) -> Iterator[tuple[str, bool]]:
    """Give the lines of a page's blocks of code, and what is between backquotes elsewhere."""
    fenced, prose = False, []
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line, True
        else:
            prose.append(line)
    for words in re.findall(r"`([^`]+)`", "\n".join(prose)):
        yield words.replace("\n", " "), False


def _synopsis(rest: str) -> str:
    """Make a call of a synopsis: all that is optional is there, and of alternatives the first."""
    return re.sub(r"(?<=\w)\|[\w|]+|[\[\]]", "", rest)


def _words(rest: str) -> list[str]:
    """Split what follows the program's name as a shell does, up to where that command ends."""
    while True:
        reader = shlex.shlex(rest, posix=True, punctuation_chars="();<>|&")
        reader.whitespace_split = True
        try:
            words = list(reader)
        except ValueError:
            # The quote around the whole command, as in PYTHON_FOR_REGEN='stencilkit regen': it ends there.
            rest = rest[: max(rest.rfind("'"), rest.rfind('"'))]
            continue
        ends = (number for number, word in enumerate(words) if _ENDS.fullmatch(word))
        return words[: next(ends, len(words))]
