"""Preprocessed text with its definitions -> the constants of system headers, and the words that are left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

_DIRECTIVE: Final = re.compile(r"\n(#.*)")
_MARKER: Final = re.compile(r'# \d+ "((?:[^"\\]|\\.)*)"')
_DEFINE: Final = re.compile(r"#define (\w+) (.+)")
_NUMBER: Final = re.compile(r"[-+(\s]*(?:0[xX][0-9a-fA-F]+|\d+)[uUlL]*[)\s]*")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
# Their names may have a dollar sign.
_CHANGED: Final = re.compile(r"#(?:define|undef) ([^\s(]+)")
# A structure that is only named is followed by a name, by a star, or by what ends the mention of a type.
_DECLARING: Final = re.compile(r"\b(?:typedef\b|(?:struct|union|enum)\b(?!\s+\w+\b\s*[\w*),;]))")
# Macros whose value is the name of another one, and so on.
_DEPTH: Final = 8


def constants(text: str, own: Iterable[str]) -> frozenset[str]:
    """List the macros that stand for a number, and are defined by a header outside some folders.

    Those that begin with an underscore are the implementation's, such as the version of the C library.
    """
    inside = tuple(f"{folder}/" for folder in own)
    outside, values, foreign = False, dict[str, str](), set[str]()
    for line in _DIRECTIVE.findall(f"\n{text}"):
        if match := _MARKER.match(line):
            # "<built-in>" is not a place.
            outside = match[1].startswith("/") and not match[1].startswith(inside)
        elif match := _DEFINE.match(line):
            values[match[1]] = match[2]
            if outside:
                foreign.add(match[1])
            else:
                foreign.discard(match[1])
    return frozenset(name for name in foreign if not name.startswith("_") and _is_number(name, values))


def _is_number(name: str, values: Mapping[str, str]) -> bool:
    value = name
    for _ in range(_DEPTH):
        value = values.get(value.strip("() "), "")
        if _NUMBER.fullmatch(value):
            return True
    return False


def definitions(text: str, mark: str) -> str:
    """Write the macros that are defined where a variable `mark` is declared, and that those which no more are, are not.

    "" where that is not known: nothing is printed of what brings a definition back.
    """
    before, declared, _ = text.partition(f"extern int {mark};")
    if not declared or "pop_macro" in before:
        return ""
    found: dict[str, str] = {}
    for line in _DIRECTIVE.findall(f"\n{before}"):
        if match := _CHANGED.match(line):
            found[match[1]] = line
    return "".join(f"{line}\n" for line in found.values())


def declares(text: str, mark: str) -> bool:
    """Return whether a type may be declared behind the first place where a variable `mark` gets a number."""
    start = text.find(f"{mark} = ")
    return start >= 0 and _DECLARING.search(text, start) is not None


def counted(text: str, mark: str) -> tuple[Counter[str], Mapping[str, frozenset[str]]]:
    """Count the words of a text, and list those of the parts that begin where a variable `mark` gets a number.

    Lines of the preprocessor's are left out. What is behind a negative number is counted.
    """
    rest = _DIRECTIVE.sub("", f"\n{text}")
    # What is before the name is looked at behind it: texts are searched fast for an expression that begins with one.
    first, *marked = re.split(rf"{mark}(?<!\w{mark}) = (-?\d+);", rest)
    counts = Counter(_WORD.findall(first))
    parts: dict[str, frozenset[str]] = {}
    for number, part in zip(marked[::2], marked[1::2], strict=True):
        if number.startswith("-"):
            counts.update(_WORD.findall(part))
        else:
            parts[number] = frozenset(_WORD.findall(part))
    return counts, parts
