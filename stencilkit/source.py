"""Stage 1: a folder -> a CPython source tree with a JIT, and its uops.

Refuses a folder that is no CPython, a CPython without a JIT, and cases of a shape that it does not know: a uop
that is overlooked would be a crash at run time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stencilkit.errors import SourceError
from stencilkit.model.source import SourceTree, Uop
from stencilkit.model.version import PythonVersion

CASES: Final = "Python/executor_cases.c.h"
PATCH_SOURCE: Final = "Python/jit.c"
_PATCHLEVEL: Final = "Include/patchlevel.h"
_JIT: Final = "Tools/jit/template.c"
# CPython's Tools/jit/_targets.py finds cases with the same expression:
_CASE: Final = re.compile(r"\n {8}(case (\w+): \{\n.*?\n {8}\})", re.DOTALL)
_ANY_CASE: Final = re.compile(r"^ {8}case (\w+): *\{?", re.MULTILINE)
_PATCH_FUNCTION: Final = re.compile(r"^(patch_\w+)\(", re.MULTILINE)


def open_tree(root: Path, known: tuple[str, ...]) -> SourceTree:
    """Check that a folder is a CPython that stencilkit knows; `known` lists series as in "3.14".

    Raises: SourceError.
    """
    patchlevel = root / _PATCHLEVEL
    if not patchlevel.is_file():
        raise SourceError(
            f"{root} is not a CPython source tree: it has no {_PATCHLEVEL}",
            fix="give the folder that holds configure and Include/, or a release tarball, or a version",
        )
    version = _version(patchlevel)
    if version.series not in known:
        raise SourceError(
            f"CPython {version} is not one that stencilkit knows",
            where=str(root),
            fix=f"it knows {', '.join(known)}",
        )
    for needed in (_JIT, CASES, PATCH_SOURCE):
        if not (root / needed).is_file():
            raise SourceError(
                f"CPython {version} has no JIT here: {needed} is missing",
                where=str(root),
                fix="use a complete release tarball or a checkout",
            )
    return SourceTree(root=root, version=version)


def _version(patchlevel: Path) -> PythonVersion:
    match = re.search(r'^#define PY_VERSION\s+"([^"]+)"', patchlevel.read_text("utf-8"), re.MULTILINE)
    version = PythonVersion.parse(match[1]) if match else None
    if version is None:
        raise SourceError("PY_VERSION is missing or is not a version", where=str(patchlevel))
    return version


def uops(tree: SourceTree) -> tuple[Uop, ...]:
    """List the uops in the order of the file.

    Raises: SourceError where a case is not of the shape that the cases generator writes.
    """
    text = tree.read(CASES)
    found = tuple(_cases(text))
    names = [uop.name for uop in found]
    expected = [match[1] for match in _ANY_CASE.finditer(text)]
    if names != expected or len(set(names)) != len(names):
        odd = next((b for a, b in zip([*names, ""], expected, strict=False) if a != b), names[-1:])
        raise SourceError(
            f"a case has a shape that stencilkit does not know, near {odd}",
            where=str(tree.root / CASES),
            fix="regenerate it (make regen-cases), or report this tree",
        )
    if not found:
        raise SourceError("there are no uops", where=str(tree.root / CASES))
    return found


def _cases(text: str) -> Iterator[Uop]:
    line, counted = 1, 0
    for match in _CASE.finditer(text):
        start = match.start(1)
        line += text.count("\n", counted, start)
        counted = start
        yield Uop(name=match[2], text=match[1], line=line)


def patch_functions(tree: SourceTree) -> frozenset[str]:
    """List the patch functions that this CPython's Python/jit.c defines."""
    return frozenset(_PATCH_FUNCTION.findall(tree.read(PATCH_SOURCE)))
