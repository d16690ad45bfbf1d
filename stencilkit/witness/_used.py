"""LLVM IR of all uops, as clang's front end makes it -> the members of structures that they read and write.

Before any optimisation, an access names the structure and the element (`getelementptr`), so what no uop touches is
left out, however many headers are included. Where LLVM spells an access to a global variable as a number of bytes, the
member is looked up in the variable's type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from stencilkit.model.layout import Span
from stencilkit.witness._debug import Debug
from stencilkit.witness._types import Types

_ACCESS: Final = re.compile(
    r"getelementptr (?:inbounds |nuw |nusw |inrange\([^)]*\) )*\(?"
    r"(\{.*?\}|[^,]+), ptr (%[\w.]+|@[\w.]+|getelementptr)((?:, i\d+ [^,) ]+)*)"
)
_GLOBAL: Final = re.compile(r"^(@[\w.]+) = (?:[\w()]+ )*?(?:global|constant) (%[\w.]+)", re.MULTILINE)
_INDEX: Final = re.compile(r"i\d+ (-?\d+|%[\w.]+)")
_NAMED: Final = re.compile(r"%(?:struct|union)\.[\w.]+")
_ANONYMOUS: Final = re.compile(r"%(?:struct|union)\.anon(?:\.\d+)?")


@dataclass(slots=True)
class Uses:
    """What was seen to be used: types, members and bit-fields, as C spells them.

    `unknown` are structures without a name that were found in no other one. `seen` are accesses that were noted, of
    structures with a name: most are spelt alike many times.
    """

    debug: Debug
    types: set[str] = field(default_factory=set)
    members: dict[str, Span] = field(default_factory=dict)
    bits: dict[str, Span] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    seen: dict[tuple[str, ...], tuple[str, int] | None] = field(default_factory=dict)

    def add(self, spelling: str, start: int, size: int) -> None:
        """Note that bytes of a structure are used."""
        self.types.add(spelling)
        for path, span, is_bits in self.debug.members(spelling, start, size):
            (self.bits if is_bits else self.members)[f"{spelling}.{path}"] = span


def find(text: str, debug: Debug, types: Types) -> Uses:
    """Look at every access in a module."""
    uses = Uses(debug)
    kinds = dict(_GLOBAL.findall(text))
    places: dict[str, tuple[str, int]] = {}
    for line in text.splitlines():
        if line.startswith("define "):
            places = {}
        elif "getelementptr" in line:
            result = line.partition(" = ")[0].strip()
            for match in _ACCESS.finditer(line):
                spelt, base = match[1], match[2]
                # Where one without a name is depends on its base, as do bytes of a global variable.
                known = (spelt, match[3]) if _NAMED.fullmatch(spelt) and not _ANONYMOUS.fullmatch(spelt) else None
                if known is None or known not in uses.seen:
                    place = _access(uses, types, kinds, places, spelt, base, _INDEX.findall(match[3]))
                else:
                    place = uses.seen[known]
                if known is not None:
                    uses.seen[known] = place
                if place is not None:
                    places[result] = place
    return uses


def _access(
    uses: Uses,
    types: Types,
    kinds: dict[str, str],
    places: dict[str, tuple[str, int]],
    spelt: str,
    base: str,
    words: list[str],
) -> tuple[str, int] | None:
    """Note one access; return the structure with a name that it is in, and how far from its start."""
    if spelt == "i8" and base in kinds and words[0].isdigit():
        for root, start in _roots(uses, types, kinds[base], None):
            uses.add(root, start + int(words[0]), 1)
    for structure in _NAMED.findall(spelt):
        # Elements of an array: the size is used.
        if spelling := uses.debug.spelling(structure):
            uses.types.add(spelling)
    if not _NAMED.fullmatch(spelt) or len(words) < 2:
        return None
    offset, element = 0, spelt
    for word in words[1:]:
        if not word.isdigit():
            break
        more, element = types.element(element, int(word))
        offset += more
    found = None
    for root, start in _roots(uses, types, spelt, places.get(base)):
        uses.add(root, start + offset, types.extent(element)[0])
        found = root, start + offset
    return found


def _roots(uses: Uses, types: Types, structure: str, known: tuple[str, int] | None) -> Iterator[tuple[str, int]]:
    """Find what to call a structure: its own name, or that of the one that it is in.

    Nothing says in which one it is where its place was reached through a union, which is not an access of its own. Then
    all of its size are meant, which are few.
    """
    if not _ANONYMOUS.fullmatch(structure):
        spelling = uses.debug.spelling(structure)
        yield from [(spelling, 0)] if spelling else []
    elif known is not None:
        yield known
    else:
        found = list(uses.debug.anonymous(types.extent(structure)[0]))
        if not found:
            uses.unknown.add(structure)
        yield from found
