"""Cells and what came of them <-> JSON files in a folder: one file a cell, written whole.

Here is the folder; `_documents` are the files. Refuses a folder that another version wrote, one in which another run is
at work, and a file that does not say what its name says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stencilkit.errors import ResultError
from stencilkit.model.qualification import Result
from stencilkit.results import _documents
from stencilkit.results._documents import SCHEMA, differing, parse, parse_job, render, render_job, summary
from stencilkit.support import files
from stencilkit.support.fields import Fields

__all__ = [
    "MARK",
    "SCHEMA",
    "check",
    "claimed",
    "differing",
    "is_folder",
    "parse",
    "parse_job",
    "read",
    "read_all",
    "render",
    "render_job",
    "summary",
    "write",
]

MARK: Final = "results.json"
LOCK: Final = ".results.lock"
_AFRESH: Final = "name another folder with --out, or remove this one"
_REMOVE: Final = "remove this file; stencilkit qualify --resume makes it again"


@contextlib.contextmanager
def claimed(folder: Path, version: str, *, resume: bool) -> Iterator[None]:
    """Claim a folder for one run, so that no other one writes there; mark it as this version's.

    Raises: ResultError where another run has it, another version wrote it, or results are there and `resume` is not
    set; OutputError.
    """
    if folder.is_dir():
        # Before a lock is put there: what is somebody else's stays as it is.
        _refuse_strangers(folder)
    with files.claimed(folder / LOCK) as free:
        if not free:
            raise ResultError(
                "another stencilkit qualify is at work in this folder",
                where=str(folder),
                fix="wait for it, or name another folder with --out",
            )
        if (folder / MARK).is_file():
            check(folder, version)
        else:
            _refuse_strangers(folder)
        if not resume and any(folder.glob("*/*.json")):
            raise ResultError(
                "there are results in this folder already",
                where=str(folder),
                fix="go on with them: --resume; or name another folder with --out",
            )
        files.write(folder / MARK, _documents.lines({"schema": SCHEMA, "kind": "results", "stencilkit": version}))
        yield


def _refuse_strangers(folder: Path) -> None:
    if not is_folder(folder) and any(path.name != LOCK for path in _inside(folder)):
        raise ResultError("this folder holds something other than results", where=str(folder), fix=_AFRESH)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ResultError(
            f"cannot list this folder: {error.strerror}", where=str(folder), fix="name another folder with --out"
        ) from None


def check(folder: Path, version: str) -> None:
    """See that a folder holds results which this version can go on with.

    Raises: ResultError.
    """
    mark = _document(folder / MARK, "results")
    found = mark.text("stencilkit")
    mark.done()
    if found != version:
        raise ResultError(
            f"stencilkit {found} wrote these results, and this is {version}", where=str(folder), fix=_AFRESH
        )


def write(folder: Path, result: Result) -> None:
    """Write the file of one cell, whole or not at all.

    Raises: OutputError.
    """
    files.write(folder / result.cell.place, render(result))


def read_all(folder: Path) -> Iterator[Result]:
    """Read every result of a folder, in the order of their files.

    Raises: ResultError.
    """
    _document(folder / MARK, "results")
    for path in sorted(folder.glob("*/*.json")):
        yield read(folder, path)


def read(folder: Path, path: Path) -> Result:
    """Read the file of one cell.

    Raises: ResultError, also where it is not the cell that its name says.
    """
    try:
        result = parse(files.read_bytes(path, error=ResultError, limit=_documents.BOUNDS.size), str(path))
    except ResultError as error:
        raise ResultError(error.what, where=error.where, details=error.details, fix=_REMOVE) from None
    if folder / result.cell.place != path:
        raise ResultError(
            f"this is the result of {result.cell.label}", where=str(path), fix="remove it, or give it its name"
        )
    return result


def is_folder(path: Path) -> bool:
    """Return whether a folder is one of results."""
    return (path / MARK).is_file()


def _document(path: Path, kind: str) -> Fields:
    data = files.read_bytes(path, error=ResultError, limit=_documents.BOUNDS.size, fix=_AFRESH)
    try:
        return _documents.root(data, str(path), kind)
    except ResultError as error:
        raise ResultError(error.what, where=error.where, details=error.details, fix=_AFRESH) from None
