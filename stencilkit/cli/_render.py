"""Answers as text for people and as JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from stencilkit.cli import _layout
from stencilkit.support import environ, escape
from stencilkit.support.words import counted

if TYPE_CHECKING:  # every command prints, and few print these
    from stencilkit.model.judgement import Judgement
    from stencilkit.model.manifest import Manifest, StencilRecord
    from stencilkit.model.request import Written

SCHEMA = 1


class Word(str):
    """A verdict's word. On a terminal it gets a colour where it stands alone: as a part of a line, or as a cell."""

    __slots__ = ()


# What a line is made of; only a Word that is a part of its own is coloured, never what merely reads like one.
Line = str | tuple[str, ...]

# A colour says nothing that the word does not say.
_GOOD: Final = (
    "ok",
    "passed",
    "qualified",
    "accepted",
    "identical",
    "proved",
    "identified",
    "as expected",
    "content equal",
    "yes",
)
_ATTENTION: Final = (
    *("note", "noted", "not asked", "proved given", "agreed on runs", "nearest", "unknown", "no JIT", "written"),
    *("missing", "qualified, with notes"),
)
_BAD: Final = (
    *("error", "FAILED", "failed", "refused", "differ", "differs", "not proved", "changed", "VARIES", "UNEXPECTED"),
    *("MISSING", "not qualified", "not finished"),
)
_COLOURS: Final = {
    **dict.fromkeys(_GOOD, "green"),
    **dict.fromkeys(_ATTENTION, "yellow"),
    **dict.fromkeys(_BAD, "red"),
}


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text; what others wrote in it cannot steer a terminal or a workflow (support/escape.py)."""
    click.echo(escape.terminal(str(text)), err=err, nl=nl)


def say_lines(lines: Iterable[Line], *, err: bool = False) -> None:
    """Print lines, and the parts of one that are a `Word` in their colour, if that is wanted. Each part is escaped.

    A terminal gets long lines broken between words, logs and pipes get them whole.
    """
    stream = _stream(err=err)
    terminal = stream.isatty()
    colour = environ.wants_colour(terminal=terminal)
    for line in lines:
        parts = (line,) if isinstance(line, str) else line
        for shown in _folded(parts, colour=colour) if terminal else [_joined(parts, colour=colour)]:
            click.echo(shown, file=stream, color=colour)


def say_wrapped(text: str) -> None:
    """Print a text below a table: in lines as wide as that, broken between words, the further ones indented."""
    for line in _layout.wrap(escape.terminal(text), environ.columns(), hanging="  "):
        say(line)


def _stream(*, err: bool) -> TextIO:
    return sys.stderr if err else sys.stdout


def _joined(parts: Iterable[str], *, colour: bool) -> str:
    return "".join(_painted(part, colour=colour) for part in parts)


def _folded(parts: Sequence[str], *, colour: bool) -> Iterator[str]:
    """Break a text's lines to the terminal's width; a verdict's word that the first one still has is coloured."""
    texts = escape.terminal("".join(parts)).split("\n")
    indents = [" " * (len(text) - len(text.lstrip()) + 2) for text in texts]
    lines = zip(texts, indents, strict=True)
    first, *rest = [line for text, indent in lines for line in _layout.wrap(text, environ.columns(), hanging=indent)]
    start, painted = 0, ""
    for part in parts:
        safe = escape.terminal(part)
        if not first.startswith(safe, start):
            break
        start += len(safe)
        painted += _painted(part, colour=colour)
    yield painted + first[start:]
    yield from rest


def _painted(part: str, *, colour: bool) -> str:
    shown = escape.terminal(part)
    if not (colour and isinstance(part, Word)):
        return shown
    return click.style(shown, fg=_COLOURS.get(part), bold=_COLOURS.get(part) == "red")


def print_json(kind: str, content: dict[str, Any]) -> None:
    """Print a JSON answer with its schema version."""
    # ASCII alone, in which controls are escaped; a workflow command cannot start in a string.
    click.echo(json.dumps({"schema": SCHEMA, "kind": kind, **content}, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, shared: Sequence[str] = ()) -> None:
    """Print a table: columns as wide as they need to be, numbers to the right.

    Where that is wider than the terminal, the columns `shared` become titles above the rows that agree in them, and
    columns of sentences get cells of several lines; where even that is too wide, each row becomes a block. Words are
    never broken.
    """
    stream = _stream(err=False)
    colour = environ.wants_colour(terminal=stream.isatty())
    safe = [[_safe(cell) for cell in row] for row in rows]
    for line in _layout.table(header, safe, environ.columns(), shared):
        padded = [(" " * (abs(width) - len(cell)), cell, width < 0) for cell, width in line]
        cells = [
            f"{space}{_painted(cell, colour=colour)}" if right else f"{_painted(cell, colour=colour)}{space}"
            for space, cell, right in padded
        ]
        click.echo("  ".join(cells).rstrip(), file=stream, color=colour)


def _safe(cell: str) -> str:
    """Escape a cell before it is measured; a verdict's word is ours."""
    return cell if isinstance(cell, Word) else escape.terminal(cell.replace("\n", " "))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table as GitHub's markdown has it."""
    rows_ = ([escape.cell(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows_))


def builds(written: Sequence[Written], universal: Sequence[tuple[Path, bool]], form: str) -> None:
    """Describe what was built, and which folders of universal platforms were made of that (changed or not)."""
    if form == "json":
        folders = [{"folder": str(folder), "changed": changed} for folder, changed in universal]
        print_json("builds", {"builds": [_build(item) for item in written], "universal": folders})
        return
    firsts: dict[tuple[str, str], set[StencilRecord]] = {}
    rows = []
    for item in written:
        manifest = item.build.manifest
        # Stencils are comparable within a target and flavour.
        first = firsts.setdefault((manifest.triple, manifest.kind), set(manifest.stencils))
        equal = len(first & set(manifest.stencils))
        rows.append(
            [
                manifest.toolchain.version,
                manifest.triple,
                manifest.kind,
                manifest.content_digest[:16],
                str(len(manifest.stencils)),
                str(manifest.code_bytes),
                str(manifest.data_bytes),
                str(equal),
                f"{item.seconds:.2f}",
            ]
        )
    head = ["LLVM", "target", "flavour", "content", "stencils", "code", "data", "as first", "seconds"]
    print_table(head, rows, shared=("target", "flavour"))
    for item in written:
        if item.judgement is not None:
            say("\n".join(_judged(item.judgement)))
        word = "not written:" if item.refused else "wrote" if item.changed else "unchanged"
        say(f"{word} {item.folder}")
    for folder, changed in universal:
        say(f"{'wrote' if changed else 'unchanged'} {folder}")


def _judged(judgement: Judgement) -> Iterator[str]:
    """Return lines about what the tree's own generator makes of the same."""
    what = f"{judgement.uops} of {counted(judgement.of, 'uop')}" if judgement.seed else counted(judgement.uops, "uop")
    if judgement.equal:
        yield f"equal to what the tree's own Tools/jit/build.py makes: {what}, {counted(len(judgement.files), 'file')}"
    else:
        yield f"DIFFERENT from what the tree's own Tools/jit/build.py makes: {what}"
        if judgement.different:
            yield f"  {len(judgement.different)} uops: {', '.join(judgement.different)}"
    for file in judgement.files:
        if file.lines:
            yield f"  {file.name}:"
            yield from (f"    {line}" for line in file.lines)
    yield from (f"  with, in both: {allowed.what} ({allowed.why})" for allowed in judgement.allowed)


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "equal": judgement.equal,
        "uops": judgement.uops,
        "of": judgement.of,
        "seed": judgement.seed,
        "different": list(judgement.different),
        "files": {file.name: not file.lines for file in judgement.files},
        "allowed": [{"what": allowed.what, "why": allowed.why} for allowed in judgement.allowed],
        "programs": {name: str(path) for name, path in judgement.programs.items()},
    }


def described(manifest: Manifest) -> dict[str, Any]:
    """Return what a manifest says of its stencils, for JSON."""
    return {
        "cpython": manifest.cpython,
        "target": manifest.triple,
        "flavour": manifest.kind,
        "llvm": manifest.toolchain.version,
        "vendor": manifest.toolchain.vendor,
        "driver": manifest.driver,
        "headers": manifest.headers,
        "content_digest": manifest.content_digest,
        "input_digest": manifest.input_digest,
        "interface_digest": manifest.interface_digest,
        "stencils": len(manifest.stencils),
        "code_bytes": manifest.code_bytes,
        "data_bytes": manifest.data_bytes,
        "files": {record.name: record.sha256 for record in manifest.files},
    }


def _build(item: Written) -> dict[str, Any]:
    return {
        "folder": str(item.folder),
        **described(item.build.manifest),
        "seconds": round(item.seconds, 3),
        "changed": item.changed,
        "notes": list(item.build.notes),
        "check_upstream": _judgement(item.judgement) if item.judgement else None,
    }
