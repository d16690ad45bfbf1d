"""`stencilkit matrix`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stencilkit.cli import _options, _render
from stencilkit.errors import UsageError
from stencilkit.pipeline import matrix


@click.command()
@_options.shared(
    "--target",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Pattern of triples, such as *-linux-gnu. [default: all]",
)
@click.option("--wheels", is_flag=True, help="Only LLVMs that PyPI has.")
@_options.shared("--ledger", help="Print the table of this ledger instead.")
@_options.format_option("text", "json", "github", "markdown")
def command(patterns: tuple[str, ...], wheels: bool, ledger: Path | None, form: str) -> None:
    """Print the build matrix for a CI, or the support table of a ledger.

    --format github is one line, for GitHub's `fromJSON`.
    """
    if ledger is not None:
        if patterns or wheels or form == "github":
            raise UsageError(
                "--target, --wheels and --format github are for the build matrix",
                fix="leave them out, or leave --ledger out",
            )
        _supported(matrix.supported(ledger), form)
        return
    rows: list[dict[str, Any]] = [
        {"cpython": cell.cpython, "llvm": cell.llvm, "target": cell.target, "wheel": cell.wheel, "pinned": cell.pinned}
        for cell in matrix.cells(patterns or ("*",))
        if cell.wheel or not wheels
    ]
    if form == "github":
        _render.say(json.dumps({"include": rows}, separators=(",", ":")))
    elif form == "json":
        _render.print_json("matrix", {"include": rows})
    else:
        marks = [[str(row["cpython"]), str(row["llvm"]), str(row["target"]), *_marks(row)] for row in rows]
        _table(["CPython", "LLVM", "target", "PyPI", "upstream's"], marks, form)


def _marks(row: dict[str, Any]) -> list[str]:
    return ["yes" if row["wheel"] else "", "yes" if row["pinned"] else ""]


def _supported(found: Sequence[matrix.Supported], form: str) -> None:
    if form == "json":
        _render.print_json("support", {"entries": [_as_json(item) for item in found]})
        return
    rows = [
        [
            item.entry.cpython,
            item.entry.llvm,
            item.entry.triple,
            item.entry.flavour,
            str(len(item.entry.stencils)),
            str(item.entry.code_bytes),
            str(item.entry.data_bytes),
            "" if item.same is None else str(item.same),
            item.entry.content[:16],
        ]
        for item in found
    ]
    head = ["CPython", "LLVM", "target", "flavour", "stencils", "code", "data", "as upstream's LLVM", "content"]
    _table(head, rows, form)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> None:
    if form == "markdown":
        _render.say(_render.markdown_table(head, rows))
    else:
        _render.print_table(head, rows)


def _as_json(item: matrix.Supported) -> dict[str, Any]:
    return {
        "cpython": item.entry.cpython,
        "llvm": item.entry.llvm,
        "target": item.entry.triple,
        "flavour": item.entry.flavour,
        "content": item.entry.content,
        "stencils": len(item.entry.stencils),
        "same": item.same,
        "pinned": item.pinned,
    }
