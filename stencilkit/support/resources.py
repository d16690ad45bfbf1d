"""Read the data files that travel with the package.

In a wheel they are inside the package; in a checkout targets.toml is at the top of the repository.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def text(name: str) -> str:
    """Read a data file as text."""
    # importlib.resources takes as long to load as reading five of them, and the package is always a folder.
    packaged = Path(__file__).parents[1] / name
    return (packaged if packaged.is_file() else Path(__file__).parents[2] / name).read_text(encoding="utf-8")


def in_checkout(name: str) -> Path | None:
    """Name a file of the checkout that stencilkit runs from; None where it is installed."""
    root = Path(__file__).parents[2]
    return root / name if (root / "pyproject.toml").is_file() and (root / name).is_file() else None


def folder(packaged: str, checkout: str) -> Path:
    """Name a folder of data files: by its name in the package, or by its path in a checkout."""
    inside = Path(__file__).parents[1] / packaged
    return inside if inside.is_dir() else Path(__file__).parents[2] / checkout


def whole_digest() -> str:
    """Hash all of stencilkit that decides an answer: code, tables and templates."""
    package = Path(__file__).parents[1]
    found = {
        f"{start}{name}": Path(folder, name)
        for folder, _, names in os.walk(package)
        for start in [f"{Path(folder).relative_to(package).as_posix()}/".removeprefix("./")]
        for name in names
        if name.endswith((".py", ".toml", ".j2"))
    }
    hasher = hashlib.sha256(text("targets.toml").encode())
    for name, path in sorted(found.items()):
        # In a wheel, data of the repository is in the package, too; in a checkout it does not.
        if name != "targets.toml" and not name.startswith("data/"):
            hasher.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return hasher.hexdigest()


def installed(*packages: str) -> tuple[tuple[str, int, int, int], ...]:
    """Say which versions of some libraries are here, without loading them: where each starts, its size and times."""
    found = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        start = Path((spec.origin if spec else None) or os.devnull)
        status = start.stat()
        # In an image, all files may have one time of content.
        changed = status.st_ctime_ns if spec else 0
        found.append((str(start), status.st_size, status.st_mtime_ns, changed))
    return tuple(found)


def code_digest(*names: str) -> str:
    """Hash modules and sub-packages of stencilkit itself, to keep their results apart from others."""
    hasher = hashlib.sha256()
    for name, source in _modules(names):
        hasher.update(name.encode())
        hasher.update(source.read_bytes())
    return hasher.hexdigest()


def _modules(names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    package = Path(__file__).parents[1]
    for name in names:
        path = package / name
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield source.relative_to(package).as_posix(), source


@functools.cache
def logic_digest(*names: str) -> str:
    """Hash what modules and sub-packages do: comments, docstrings and layout do not count."""
    hasher = hashlib.sha256()
    for name, source in _modules(names):
        hasher.update(f"{name} {logic(source.read_text('utf-8'))}\n".encode())
    return hasher.hexdigest()


def logic(source: str) -> str:
    """Write a module's syntax tree, the same on every Python: without what is empty, or a string that is a statement.

    ast.dump is not used: each Python writes other fields, and from 3.13 on no empty lists. Python 3.12 has empty texts
    at the end of formats that others leave out.
    """
    return _written(ast.parse(source))


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(_written(one) for one in value if not _is_text(one))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    if isinstance(value, ast.JoinedStr):
        return f"JoinedStr({_written(_pieces(value))})"
    fields = ((name, _written(field)) for name, field in ast.iter_fields(value) if field is not None)
    return f"{type(value).__name__}({','.join(f'{name}={text}' for name, text in sorted(fields) if text != '[]')})"


def _is_text(value: object) -> bool:
    """Say whether a statement is a string: a docstring, of a variable too."""
    if isinstance(value, ast.Expr) and isinstance(value.value, ast.Constant):
        return isinstance(value.value.value, str)
    return False


def _pieces(value: ast.JoinedStr) -> list[ast.expr]:
    return [one for one in value.values if not (isinstance(one, ast.Constant) and one.value == "")]
