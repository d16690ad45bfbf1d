"""Read the texts of a CPython source tree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from stencilkit.errors import SourceError
from stencilkit.model.source import SourceTree
from stencilkit.support import limits

# The next step where a tree lacks something.
COMPLETE: Final = "use a complete release tarball or a checkout"


class Places:
    """Whether paths are files, where thousands are asked for: each folder is listed once, and most are not there."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, bool]] = {}

    def is_file(self, place: str) -> bool:
        """Return whether a path, with slashes, is a file or a link to one."""
        folder, _, name = place.rpartition("/")
        if folder not in self._listed:
            self._listed[folder] = _files(folder or "/")
        found = self._listed[folder]
        # Some file systems do not distinguish case: they have the last word.
        return found[name] if name in found else name.casefold() in found and Path(place).is_file()


def _files(folder: str) -> dict[str, bool]:
    """List the names in a folder, as they are and without their case, and whether each is a file."""
    try:
        with os.scandir(folder) as found:
            listed = {entry.name: entry.is_file() for entry in found}
    except OSError:
        return {}
    return {name.casefold(): False for name in listed} | listed


def read(tree: SourceTree, name: str) -> str:
    """Read one of a tree's files; `name` is relative to its root. Line ends are those of C.

    Raises: SourceError.
    """
    path = tree.root / name
    try:
        if path.exists() and not path.is_file():
            raise _unreadable(tree, name, "it is not a regular file")
        with path.open(encoding="utf-8") as file:
            text = file.read(limits.TEXT + 1)
    except OSError as problem:
        raise _unreadable(tree, name, problem.strerror) from None
    except UnicodeDecodeError:
        raise _unreadable(tree, name, "it is not UTF-8 text") from None
    if len(text) > limits.TEXT:
        raise _unreadable(tree, name, f"it has more than {limits.TEXT >> 20} MiB")
    return text


def _unreadable(tree: SourceTree, name: str, why: str | None) -> SourceError:
    return SourceError(f"cannot read {name}: {why}", where=str(tree.root / name), fix=COMPLETE)
