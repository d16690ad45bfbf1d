"""Read the texts of a CPython source tree."""

from __future__ import annotations

from stencilkit.errors import SourceError
from stencilkit.model.source import SourceTree
from stencilkit.support import limits


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
    fix = "use a complete release tarball or a checkout"
    return SourceError(f"cannot read {name}: {why}", where=str(tree.root / name), fix=fix)
