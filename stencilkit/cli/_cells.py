"""Cells for people and machines: what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stencilkit import results
from stencilkit.cli import _render
from stencilkit.model.qualification import Result

HEAD = ["CPython", "LLVM", "target", "flavour", "stencils", "as upstream's LLVM", "code", "verdict", "why"]


def show(found: Sequence[Result], form: str) -> None:
    """Print what came of cells."""
    if form == "json":
        _render.print_json("qualification", {"cells": [as_json(result) for result in found]})
    elif form == "markdown":
        _render.say(_render.markdown_table(HEAD, [row(result) for result in found]))
    else:
        _render.print_table(HEAD, [row(result) for result in found])


def row(result: Result) -> list[str]:
    """Lay a result out as a row of a table."""
    cell, sizes = result.cell, result.sizes
    figures = ["", "", ""]
    if sizes is not None:
        figures = [str(sizes.stencils), "" if result.identical is None else str(result.identical), str(sizes.code)]
    return [cell.cpython, cell.llvm, cell.target, cell.flavour, *figures, _render.Word(result.verdict), result.why]


def as_json(result: Result) -> dict[str, Any]:
    """Return the result of a cell for JSON, with the names of the stencils that differ."""
    names = [item.name for item in result.differing]
    return {**results.summary(result), "why": result.why, "differing": names}
