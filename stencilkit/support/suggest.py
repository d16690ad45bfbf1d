"""Guess what somebody meant who wrote a word that is not in a list: a typing mistake, or another name for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

# How others call the parts of our triples: Debian, Go, .NET, Apple, Microsoft, Rust.
TRIPLE_WORDS: Final = MappingProxyType(
    {
        "amd64": "x86_64",
        "arm64": "aarch64",
        "armv8": "aarch64",
        "i386": "i686",
        "i586": "i686",
        "mac": "darwin",
        "macos": "darwin",
        "macosx": "darwin",
        "osx": "darwin",
        "win": "windows",
        "win32": "windows",
        "win64": "windows",
        "x64": "x86_64",
        "x86": "i686",
        "x86-64": "x86_64",
    }
)
# How other tools call what our commands do.
COMMAND_WORDS: Final = MappingProxyType(
    {
        "check": "verify",
        "clean": "cache",
        "clear": "cache",
        "compile": "build",
        "diff": "compare",
        "disassemble": "show",
        "download": "fetch",
        "generate": "build",
        "get": "fetch",
        "info": "inspect",
        "lint": "audit",
        "llvm": "toolchains",
        "make": "build",
        "place": "install",
        "platforms": "targets",
        "rebuild": "gate",
        "reproduce": "gate",
        "sign": "attest",
        "status": "doctor",
        "triples": "targets",
    }
)
# How others call flavours and formats.
CHOICE_WORDS: Final = MappingProxyType(
    {
        "dbg": "debug",
        "md": "markdown",
        "opt": "release",
        "optimised": "release",
        "optimized": "release",
        "pydebug": "debug",
        "txt": "text",
        "xml": "junit",
    }
)
# Two digits that differ are another version ("3.14.0", "3.14.7"); one that is there twice is a typing mistake.
VERSION_LIKENESS: Final = 0.9
_LIKENESS: Final = 0.6
_SHOWN: Final = 4


def nearest(
    word: str,
    known: Iterable[str],
    *,
    also: Mapping[str, str] = MappingProxyType({}),
    likeness: float = _LIKENESS,
) -> tuple[str, ...]:
    """List what of `known` a word may mean, best first; `also` maps other names to those in `known`."""
    # Uops are in capitals.
    names = {name.lower(): name for name in known}
    lower = word.lower()
    if lower in also and also[lower].lower() in names:
        return (also[lower],)
    import difflib  # noqa: PLC0415  # nobody needs it who makes no mistake

    return tuple(names[name] for name in difflib.get_close_matches(lower, names, n=_SHOWN, cutoff=likeness))


def triples(word: str, known: Sequence[str]) -> tuple[str, ...]:
    """List the triples that a word may mean: those that have all its parts ("arm64-macos"), or are spelled like it."""
    text = word.lower().replace("x86-64", "x86_64")
    parts = [TRIPLE_WORDS.get(part, part) for part in re.split(r"[-./ ]+", text) if part] or [text]
    having = tuple(triple for triple in known if all(part in triple.split("-") for part in parts))
    if having:
        return having[:_SHOWN]
    # Another architecture is not a typing mistake (sparc64, riscv64).
    return nearest(text, [triple for triple in known if nearest(parts[0], [triple.split("-")[0]], likeness=0.75)])


def question(found: Sequence[str]) -> str:
    """Ask "did you mean A or B?"; "" where nothing was found."""
    if not found:
        return ""
    *first, last = found
    return f"did you mean {', '.join(first)} or {last}?" if first else f"did you mean {last}?"
