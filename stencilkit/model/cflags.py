"""The user's flags (CFLAGS_JIT): which words of them are paths, and where relative ones start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

# clang's options that take a path, joined to them or as the next word.
_OPTIONS: Final = (
    "--include-directory-after=",
    "--include-directory=",
    "--sysroot=",
    "-idirafter",
    "-iframework",
    "-imacros",
    "-include",
    "-iquote",
    "-isysroot",
    "-isystem",
    "-I",
    "-F",
    "-B",
)


def absolute(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Spell the paths in some flags from the root; relative ones start at a folder.

    Upstream's clang runs where `make` runs build.py: in the build folder (Makefile.pre.in, regen-jit).
    """
    found = list(words)
    for index, option, path in _relative(words):
        found[index] = f"{option}{folder / path}"
    return tuple(found)


def relative(words: Sequence[str]) -> tuple[str, ...]:
    """List the relative paths in some flags, with their options."""
    return tuple((option or f"{words[index - 1]} ") + path for index, option, path in _relative(words))


def _relative(words: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield the number of a word, the option that it starts with ("" if that is the word before), and the path."""
    is_path = False
    for index, word in enumerate(words):
        if is_path:
            option, path, is_path = "", word, False
        else:
            option = next((option for option in _OPTIONS if word.startswith(option)), "")
            path = word.removeprefix(option) if option else ""
            if path.startswith("-"):
                # Another option, whose name starts like this one's (-include-pch).
                continue
            is_path = bool(option) and not path and not option.endswith("=")
        # "=" and "$SYSROOT" stand for --sysroot's folder.
        if path and not path.startswith(("/", "=", "$SYSROOT")) and not Path(path).is_absolute():
            yield index, option, path
