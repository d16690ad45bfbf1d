"""variations.toml -> variations, and how a build is put under them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stencilkit.errors import LedgerError, ProcessError
from stencilkit.model.gate import Variation
from stencilkit.model.source import STENCIL_PARTS
from stencilkit.support import files, process
from stencilkit.support.fields import Fields, document

_SCHEMA = 1


def load(path: Path) -> tuple[Variation, ...]:
    """Read a variations.toml. In its values, {here} is its folder.

    Raises: LedgerError with the path to the bad field, or if nothing would be varied.
    """
    root = document(files.read_text(path, error=LedgerError), name=str(path), schema=_SCHEMA, error=LedgerError)
    found = tuple(_variation(row, path.parent.resolve()) for row in root.tables("variation", []))
    root.done()
    if not found:
        raise root.fail("variation", "nothing would be varied")
    return found


def _variation(row: Fields, here: Path) -> Variation:
    environment = row.mapping("environment", {})
    variation = Variation(
        name=row.text("name"),
        why=row.text("why"),
        environment={name: value.replace("{here}", str(here)) for name, value in environment.items()},
        prefix=row.texts("prefix", ()),
        arguments=row.texts("arguments", ()),
        folder=row.text("folder", ""),
        mtime=row.integer("mtime", None),
    )
    row.done()
    if not (environment or variation.prefix or variation.arguments or variation.folder or variation.mtime is not None):
        raise row.fail("", f"{variation.name} varies nothing")
    return variation


def usable(variations: Sequence[Variation]) -> tuple[tuple[Variation, ...], tuple[str, ...]]:
    """Part what works on this machine, all of it together, from what does not, with the reasons."""
    works: list[Variation] = []
    fails = []
    for variation in variations:
        why = _refusal((*works, variation)) if variation.prefix else ""
        if why:
            fails.append(f"{variation.name}: {why}")
        else:
            works.append(variation)
    return tuple(works), tuple(fails)


def _refusal(variations: Sequence[Variation]) -> str:
    command = prefixed(["true"], variations)
    try:
        done = process.run(command, timeout=60)
    except ProcessError as error:
        return error.what
    return "" if done.returncode == 0 else done.err.strip().replace("\n", " ") or f"{command[0]} {done.ending}"


def prefixed(command: Sequence[str], variations: Sequence[Variation]) -> list[str]:
    """Start a command through the programs of variations; that of the last is the outermost."""
    words = list(command)
    for variation in variations:
        words = [*variation.prefix, *words]
    return words


def tree(original: Path, variations: Sequence[Variation], scratch: Path) -> Path:
    """Copy what stencils are made from, where a variation wants a copy; else return the tree itself."""
    folder = next((variation.folder for variation in reversed(variations) if variation.folder), "")
    mtime = next((variation.mtime for variation in reversed(variations) if variation.mtime is not None), None)
    if not folder and mtime is None:
        return original
    copy = scratch / (folder or "tree")
    files.copy_parts(original, copy, STENCIL_PARTS)
    for path in files.walk(copy) if mtime is not None else ():
        os.utime(path, (mtime or 0, mtime or 0))
    return copy
