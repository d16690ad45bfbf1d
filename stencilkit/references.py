"""A CPython source tree -> the external names that each of its uops can reach.

Over the tree's text, without a compiler: a uop reaches the identifiers of its case and of the template, those of
every macro and inline function that it reaches, and so on. A declaration leads nowhere, so that a function that no
uop names is not reached only because a header declares it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import SourceError
from stencilkit.model.source import SourceTree, Uop
from stencilkit.support import files, trees

_FOLDERS: Final = ("Include", "Python")
_TEMPLATES: Final = ("Tools/jit/template.c", "Tools/jit/jit.h")
# The units that are stencils, or are beside them, and are not uops.
_ENTRIES: Final[Mapping[str, str]] = {"shim": "Tools/jit/shim.c", "trampoline": "Tools/jit/trampoline.c"}
_CASES: Final = "_cases.c.h"
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_JOINED: Final = re.compile(r"\\\n")
_MACRO: Final = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(.*)$", re.MULTILINE)
# What a function with a body begins with, up to its brace; and conditions and loops, which look like it.
_FUNCTION: Final = re.compile(r"\b(\w+)\s*\([^;{}()]*(?:\([^;{}()]*\)[^;{}()]*)*\)\s*\{")
_PASTING: Final = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\((\w+)\)([^\n]*##[^\n]*\{[^\n]*)$", re.MULTILINE)
_DIRECTIVE: Final = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_STATEMENTS: Final = frozenset({"if", "for", "while", "switch", "do", "else", "return", "sizeof"})
_BRACE: Final = re.compile(r"[{}]")


def reachable(tree: SourceTree, uops: Sequence[Uop]) -> Mapping[str, frozenset[str]]:
    """Map each uop, and each entry that the tree has, to the identifiers that its code can name.

    Raises: SourceError.
    """
    definitions = _definitions(tree)
    template = {word for name in _TEMPLATES if (tree.root / name).is_file() for word in _words(trees.read(tree, name))}
    common = frozenset(_closed(template, definitions, frozenset()))
    found = {uop.name: common | _closed(_words(uop.text), definitions, common) for uop in uops}
    for name, path in _ENTRIES.items():
        if (tree.root / path).is_file():
            found[name] = frozenset(_closed(_words(trees.read(tree, path)), definitions, frozenset()))
    return found


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def _closed(words: set[str], definitions: Mapping[str, set[str]], known: frozenset[str]) -> set[str]:
    """Add what the words stand for, until nothing is new; what is known is left out."""
    found: set[str] = set()
    waiting = list(words)
    while waiting:
        word = waiting.pop()
        if word not in found and word not in known:
            found.add(word)
            waiting.extend(definitions.get(word, ()))
    return found


def _definitions(tree: SourceTree) -> Mapping[str, set[str]]:
    """Map macros and functions with a body to the identifiers in it; all that have one name together."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in _headers(tree):
        text = _COMMENT.sub(" ", _JOINED.sub(" ", files.read_text(path, error=SourceError, fix=trees.COMPLETE)))
        for match in _MACRO.finditer(text):
            found[match[1]] |= _words(match[2])
        code = _DIRECTIVE.sub("", text)
        for part in (code, *_pasted(text, code)):
            for match in _FUNCTION.finditer(part):
                if match[1] not in _STATEMENTS:
                    found[match[1]] |= _words(_block(part, match.end()))
    return found


def _pasted(text: str, code: str) -> Iterator[str]:
    """Yield what macros of one parameter make, where they paste names of functions together."""
    for macro in _PASTING.finditer(text):
        name, parameter, body = macro.groups()
        for use in re.finditer(rf"^{name}\((\w+)\)", code, re.MULTILINE):
            yield re.sub(r"\s*##\s*", "", re.sub(rf"\b{parameter}\b", use[1], body))


def _block(text: str, start: int) -> str:
    """Return the text from behind an opening brace to the one that closes it."""
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return text[start : match.start()]
    return text[start:]


def _headers(tree: SourceTree) -> list[Path]:
    return sorted(
        path
        for folder in _FOLDERS
        for path in (tree.root / folder).rglob("*.h")
        if path.is_file() and not path.name.endswith(_CASES)
    )
