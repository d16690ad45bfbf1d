"""A PATH on which no LLVM can be found, so that a build that needs one fails."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from stencilkit.support import environ

# What CPython's Tools/jit/_llvm.py looks for (clang, llvm-readobj, llvm-objdump, llvm-dwarfdump, and brew, which it
# asks for an LLVM's folder), and every other program of LLVM's.
_LLVM: Final = re.compile(
    r"(?:.*-)?(?:clang(?:\+\+|-cpp|-cl|d)?|llvm-\w[\w-]*|lld|ld\.lld|ld64\.lld|wasm-ld|llc|lli|opt|zig|brew)"
    r"(?:-?\d+(?:\.\d+)*)?(?:\.exe)?"
)


def is_llvm(name: str) -> bool:
    """Return whether a program's name is that of one of LLVM's."""
    return _LLVM.fullmatch(name) is not None


def hidden_path(folder: Path) -> str:
    """Fill a folder with links to every program on PATH that is not LLVM's; return the new PATH.

    The first of several programs with one name is taken, as a shell does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for place in environ.search_path("PATH"):
        for program in _listed(place):
            link = folder / program.name
            if not is_llvm(program.name) and not os.path.lexists(link) and os.access(program, os.X_OK):
                link.symlink_to(program.absolute())
    return str(folder)


def _listed(place: Path) -> list[Path]:
    """List a folder; one that is not there, or that this user may not read, has nothing for a build, either."""
    try:
        return sorted(place.iterdir())
    except OSError:
        return []
