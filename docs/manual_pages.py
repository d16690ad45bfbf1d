"""Write share/: a man page for each command, made from its --help, and the scripts for completion in shells.

    python docs/manual_pages.py

They are committed, because a wheel is built without what stencilkit needs to run; tests/golden/test_help.py says when
they are stale (docs/adr/0901). The same sources give the same bytes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from stencilkit import __version__
from stencilkit.cli import _completion, group
from stencilkit.errors import EXIT_CODE_MEANINGS

SHARE: Final = Path(__file__).parents[1] / "share"
# Of the last change that matters to readers, not of the build.
_DATE: Final = "2026-11-26"
_SCRIPTS: Final = {
    "bash": "bash-completion/completions/stencilkit",
    "zsh": "zsh/site-functions/_stencilkit",
    "fish": "fish/vendor_completions.d/stencilkit.fish",
}
_VARIABLES: Final = (
    ("STENCILKIT_CACHE", "Folder for compiled uops, sources and pyconfig.h files."),
    ("STENCILKIT_DATA", "Folder for LLVMs that stencilkit toolchains install installs."),
    ("STENCILKIT_LLVM", "Further folders and programs in which to look for LLVMs, separated as in PATH."),
    ("SOURCE_DATE_EPOCH", "The time that outputs carry."),
    ("COLUMNS", "How wide tables may be. The default is the width of the terminal, or 80."),
    ("NO_COLOR, FORCE_COLOR", "Whether verdicts are coloured. The default is on terminals only."),
)
# man(7): a longer line is a mistake in mandoc's eyes.
_WIDTH: Final = 72

Path_ = tuple[str, ...]


def pages(command: click.Command = group, path: Path_ = ()) -> Iterator[tuple[Path_, click.Command]]:
    """List all commands with the words that follow `stencilkit`."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from pages(inner, (*path, name))


def contents() -> dict[str, str]:
    """Write everything that belongs below share/, by its path there."""
    found = {f"man/man1/{_title(path)}.1": page(path, command) for path, command in pages()}
    return found | {place: _completion.script(group, shell) for shell, place in _SCRIPTS.items()}


def page(path: Path_, command: click.Command) -> str:
    """Write the man page of a command, in man(7)."""
    context = _context(path, command)
    usage = " ".join(command.collect_usage_pieces(context))
    paragraphs = _paragraphs(command.help or "")
    lines = [
        f'.TH "{_title(path).upper()}" "1" "{_DATE}" "stencilkit {__version__}" "stencilkit"',
        ".SH NAME",
        *_text(f"{_title(path)} - {command.get_short_help_str(1000).rstrip('.')}"),
        ".SH SYNOPSIS",
        f".B {_escape(context.command_path)}",
        *_text(usage),
        ".SH DESCRIPTION",
    ]
    for number, paragraph in enumerate(paragraphs):
        lines += [*([".PP"] if number else []), *paragraph]
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = [record for one in options if (record := one.get_help_record(context))]
    if records:
        lines += [".SH OPTIONS", *_list(records)]
    if isinstance(command, click.Group):
        inner = [(one, found) for one, found in pages(command, path) if len(one) == len(path) + 1]
        rows = [(f"{_title(one)}(1)", found.get_short_help_str(1000)) for one, found in inner]
        lines += [".SH COMMANDS", *_list(rows)]
    codes = [(str(code.value), meaning) for code, meaning in EXIT_CODE_MEANINGS.items()]
    lines += [".SH EXIT STATUS", *_list(codes)]
    if path:
        lines += [".SH SEE ALSO", f".BR {_escape(_title(path[:-1]))} (1)"]
    else:
        lines += [".SH ENVIRONMENT", *_list(list(_VARIABLES))]
    return "\n".join(lines) + "\n"


def _context(path: Path_, command: click.Command) -> click.Context:
    """Make the context in which click writes the help of a command: its name and its parents' settings."""
    context = click.Context(group, info_name="stencilkit", **group.context_settings)
    for number, name in enumerate(path, 1):
        inner = next(found for one, found in pages() if one == path[:number])
        context = click.Context(inner, info_name=name, parent=context)
    assert context.command is command
    return context


def _title(path: Path_) -> str:
    return "-".join(("stencilkit", *path))


def _paragraphs(text: str) -> list[list[str]]:
    return [list(_text(block.replace("\b", ""))) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]


def _list(records: list[tuple[str, str]]) -> Iterator[str]:
    for term, text in records:
        yield ".TP"
        yield f".B {_escape(term)}"
        yield from _text(text)


def _text(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield _escape(line)


def _escape(text: str) -> str:
    r"""Write a line so that roff changes nothing: \ and -, and . and ' where a line begins."""
    line = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def main() -> None:
    """Write all of it, and remove what is not among it."""
    written = contents()
    for path in sorted(SHARE.rglob("*")):
        if path.is_file() and path.relative_to(SHARE).as_posix() not in written:
            path.unlink()
    for name, text in written.items():
        place = SHARE / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
