"""`stencilkit compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from stencilkit.cli import _options, _render
from stencilkit.errors import ExitCode
from stencilkit.model.comparison import Change, Comparison, Likeness, Side
from stencilkit.pipeline import comparing
from stencilkit.support import words


@click.command()
@click.argument("paths", metavar="A B [C...]", nargs=-1, required=True, type=_options.ANY_PATH)
@_options.shared("--target", "triple")
@click.option("--brief", is_flag=True, help="List the stencils that differ, without their instructions.")
@_options.shared("--check", help="Print nothing if all are equal.")
@_options.format_option("text", "json", "markdown")
def command(paths: tuple[Path, ...], triple: str | None, brief: bool, check: bool, form: str) -> int:
    """Compare stencils: the first header or output folder with each of the others.

    Headers of CPython's own generator can be given, too; their comments do not count. A folder above several output
    folders stands for all of them; of two such folders, builds in the same place are compared.

    Exits with 0 if code, data and holes of all stencils are equal, with 1 if not.
    """
    pairs = [comparing.run(group, triple) for group in comparing.groups(paths)]
    found = [item for group in pairs for item in group]
    equal = all(item.equal for item in found)
    if form == "json":
        _render.print_json("comparison", {"equal": equal, "pairs": [_as_json(item) for item in found]})
    elif not (check and equal):
        for group in pairs:
            _table(group, form)
            for item in group:
                _render.say_lines(_account(item, brief=brief, form=form))
    return ExitCode.OK if equal else ExitCode.DIFFERENT


def _table(found: Sequence[Comparison], form: str) -> None:
    first = found[0].first
    head = ["", "made by", "stencils", "identical", "same holes", "other holes", "gone", "new", "code", "data"]
    rows = [["A", first.made_by, str(first.stencils), "", "", "", "", "", str(first.code), str(first.data)]]
    for letter, item in zip("BCDEF", found, strict=False):
        counts = [item.counts.get(likeness, 0) for likeness in get_args(Likeness)]
        sizes = [_with_change(first.code, item.second.code), _with_change(first.data, item.second.data)]
        rows.append([letter, item.second.made_by, str(item.second.stencils), *map(str, counts), *sizes])
    legend = [f"{letter}  {side.label}" for letter, side in zip("ABCDEF", _sides(found), strict=False)]
    if form == "markdown":
        _render.say("\n".join([_render.markdown_table(head, rows), "", *(f"* {line}" for line in legend)]))
    else:
        _render.say(f"CPython {first.series}, {first.triple}")
        _render.print_table(head, rows)
        _render.say("\n".join(legend))


def _sides(found: Sequence[Comparison]) -> Iterator[Side]:
    yield found[0].first
    yield from (item.second for item in found)


def _with_change(before: int, after: int) -> str:
    return f"{after} ({after - before:+})"


def _account(item: Comparison, *, brief: bool, form: str) -> Iterator[_render.Line]:
    """Describe what differs between two."""
    mark = "## " if form == "markdown" else ""
    yield f"\n{mark}{item.first.label} -> {item.second.label}"
    number, _, verb = words.counted(len(item.changes), "stencil", "differ").rpartition(" ")
    content = ("", "content equal") if item.equal else (f"{number} ", verb)
    interface = "interface equal" if item.first.interface == item.second.interface else "interface differs"
    line1 = "line 1 equal" if item.first.line1 == item.second.line1 else "line 1 differs"
    yield f"{line1}; {content[0]}", _render.Word(content[1]), f"; {interface}"
    yield from (f"  line 1: {cause}" for cause in item.causes)
    yield from (f"  beside the header: the {role} differs" for role in item.extras)
    for change in item.changes:
        yield from _change(change, brief=brief, form=form)


def _change(change: Change, *, brief: bool, form: str) -> Iterator[str]:
    code, data = (_sizes(pair) for pair in (change.code, change.data_size))
    line = f"{change.name}: {change.likeness.replace('-', ' ')}, code {code}, data {data}"
    details = [] if brief else [*change.instructions, *_titled("holes", change.holes)]
    details += [] if brief else [*_titled("symbols", change.symbols), *_titled("data", change.data)]
    if form == "markdown":
        yield f"\n* {line}"
        yield from (["", "```diff", *details, "```"] if details else [])
    else:
        yield f"  {line}"
        yield from (f"      {detail}" for detail in details)


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{line[:2]}{title}: {line[2:]}" for line in lines]


def _sizes(pair: tuple[int | None, int | None]) -> str:
    before, after = ("none" if size is None else str(size) for size in pair)
    return before if before == after else f"{before} -> {after}"


def _as_json(item: Comparison) -> dict[str, Any]:
    return {
        "first": _side(item.first),
        "second": _side(item.second),
        "equal": item.equal,
        "counts": dict(item.counts),
        "line1_causes": list(item.causes),
        "extras": list(item.extras),
        "changes": [
            {
                "name": change.name,
                "likeness": change.likeness,
                "code": list(change.code),
                "data": list(change.data_size),
                "instructions": list(change.instructions),
                "holes": list(change.holes),
                "symbols": list(change.symbols),
                "data_bytes": list(change.data),
            }
            for change in item.changes
        ],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "made_by": side.made_by,
        "cpython": side.series,
        "triple": side.triple,
        "stencils": side.stencils,
        "code": side.code,
        "data": side.data,
        "line1": side.line1,
        "content": side.content,
        "interface": side.interface,
    }
