"""Read the data files that travel with the package.

In a wheel they are inside the package; in a checkout targets.toml is at the top of the repository.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path


def text(name: str) -> str:
    """Read a data file as text."""
    packaged = files("stencilkit") / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / name).read_text(encoding="utf-8")


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
    found = sorted(path for pattern in ("*.py", "*.toml", "*.j2") for path in package.rglob(pattern))
    hasher = hashlib.sha256(text("targets.toml").encode())
    for path in found:
        # In a wheel, data of the repository is in the package, too; in a checkout it does not.
        name = path.relative_to(package).as_posix()
        if name != "targets.toml" and not name.startswith("data/"):
            hasher.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return hasher.hexdigest()


def code_digest(*names: str) -> str:
    """Hash modules and sub-packages of stencilkit itself, to keep their results apart from others."""
    package = Path(__file__).parents[1]
    hasher = hashlib.sha256()
    for name in names:
        path = package / name
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            hasher.update(source.relative_to(package).as_posix().encode())
            hasher.update(source.read_bytes())
    return hasher.hexdigest()
