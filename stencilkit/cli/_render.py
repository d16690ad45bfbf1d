"""Answers as text for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stencilkit.model.manifest import Manifest, StencilRecord
from stencilkit.model.request import Written
from stencilkit.support import escape

SCHEMA = 1


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text; what others wrote in it cannot steer a terminal or a workflow (support/escape.py)."""
    click.echo(escape.terminal(str(text)), err=err, nl=nl)


def print_json(kind: str, content: dict[str, Any]) -> None:
    """Print a JSON answer with its schema version."""
    # ASCII alone, in which controls are escaped; a workflow command cannot start in a string.
    click.echo(json.dumps({"schema": SCHEMA, "kind": kind, **content}, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table: columns as wide as they need to be, numbers to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if _is_number(cell) else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        say("  ".join(cells).rstrip())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table as GitHub's markdown has it."""
    rows_ = ([escape.cell(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows_))


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).replace("%", "").isdigit()


def builds(written: Sequence[Written], universal: Sequence[tuple[Path, bool]], form: str) -> None:
    """Tell what was built, and which folders of universal platforms were made of that (changed or not)."""
    if form == "json":
        folders = [{"folder": str(folder), "changed": changed} for folder, changed in universal]
        print_json("builds", {"builds": [_build(item) for item in written], "universal": folders})
        return
    firsts: dict[tuple[str, str], set[StencilRecord]] = {}
    rows = []
    for item in written:
        manifest = item.build.manifest
        # Stencils are comparable within a target and flavour.
        first = firsts.setdefault((manifest.triple, manifest.flavour), set(manifest.stencils))
        equal = len(first & set(manifest.stencils))
        rows.append(
            [
                manifest.toolchain.version,
                manifest.triple,
                manifest.flavour,
                manifest.content_digest[:16],
                str(len(manifest.stencils)),
                str(manifest.code_bytes),
                str(manifest.data_bytes),
                str(equal),
                f"{item.seconds:.2f}",
            ]
        )
    head = ["LLVM", "target", "flavour", "content", "stencils", "code", "data", "as first", "seconds"]
    print_table(head, rows)
    for item in written:
        say(f"{'wrote' if item.changed else 'unchanged'} {item.folder}")
    for folder, changed in universal:
        say(f"{'wrote' if changed else 'unchanged'} {folder}")


def described(manifest: Manifest) -> dict[str, Any]:
    """Say what a manifest says of stencils, for JSON."""
    return {
        "cpython": manifest.cpython,
        "target": manifest.triple,
        "flavour": manifest.flavour,
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
    }
