"""LLVM IR of all uops, as clang's front end makes it -> the members of structures that they read and write.

Before any optimisation, an access names the structure and the element (`getelementptr`), so what no uop touches is
left out, however many headers are included. Where LLVM spells an access to a global variable as a number of bytes, the
member is looked up in the variable's type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from stencilkit.model.layout import Span
from stencilkit.witness._debug import Debug
from stencilkit.witness._types import Types

_ACCESS: Final = re.compile(
    r"getelementptr (?:inbounds |nuw |nusw |inrange\([^)]*\) )*\(?"
    r"(\{.*?\}|[^,]+), ptr (%[\w.]+|@[\w.]+|getelementptr)((?:, i\d+ [^,) ]+)*)"
)
_GLOBAL: Final = re.compile(r"\n(@[\w.]+) = (?:[\w()]+ )*?(?:global|constant) (%[\w.]+)")
_INDEX: Final = re.compile(r"i\d+ (-?\d+|%[\w.]+)")
_NAMED: Final = re.compile(r"%(?:struct|union)\.[\w.]+")
_ANONYMOUS: Final = re.compile(r"%(?:struct|union)\.anon(?:\.\d+)?")


_DEFINED: Final = re.compile(r"define [^@]*(@[\w.]+)\(")
_MENTIONED: Final = re.compile(r"@[\w.]+")
_MARK: Final = re.compile(r"  store i32 (-?\d+), ptr (@[\w.]+)")


@dataclass(slots=True)
class Uses:
    """What was seen to be used: types, members and bit-fields, as C spells them.

    `unknown` are structures without a name that were found in no other one.
    """

    debug: Debug
    types: set[str] = field(default_factory=set)
    members: dict[str, Span] = field(default_factory=dict)
    bits: dict[str, Span] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def add(self, spelling: str, start: int, size: int) -> None:
        """Note that bytes of a structure are used."""
        self.types.add(spelling)
        for path, span, is_bits in self.debug.members(spelling, start, size):
            (self.bits if is_bits else self.members)[f"{spelling}.{path}"] = span

    def include(self, other: Uses) -> None:
        """Note what another part uses, too."""
        self.types |= other.types
        self.members |= other.members
        self.bits |= other.bits
        self.unknown |= other.unknown


def find(text: str, debug: Debug, types: Types, mark: str) -> Mapping[str, Uses]:
    """Look at every access in a module, by the number that was stored to the variable `mark` before it.

    A part has what it calls or refers to, too. What is behind a negative number, or comes from no such part, is "".
    """
    module = _Module(text, debug, types, f"@{mark}")
    parts: dict[str, Uses] = {"": Uses(debug)}
    reached = set[str]()
    for number, (own, mentioned) in module.parts.items():
        found = parts.setdefault(number, Uses(debug))
        found.include(own)
        below = module.below(mentioned)
        reached |= below if number else set()
        for name in below:
            found.include(module.direct(name))
    for name in module.below(module.named - reached):
        parts[""].include(module.direct(name))
    return parts


class _Module:
    """A module, read once: what each of its parts, functions and variables uses and mentions itself."""

    def __init__(self, text: str, debug: Debug, types: Types, mark: str) -> None:
        self._debug, self._types = debug, types
        self._kinds = dict(_GLOBAL.findall(f"\n{text}"))
        self._direct: dict[str, tuple[Uses, set[str]]] = {}
        self.parts: dict[str, tuple[Uses, set[str]]] = {}
        # Most accesses are spelt alike many times: what they use, and where that is.
        self._seen: dict[tuple[str, ...], tuple[Uses, tuple[str, int] | None]] = {}
        self._read(text, mark)

    @property
    def named(self) -> frozenset[str]:
        """Name all functions and variables that have something in them."""
        return frozenset(self._direct)

    def direct(self, name: str) -> Uses:
        """Return what a function or variable uses itself."""
        return self._direct[name][0]

    def below(self, names: Iterable[str]) -> set[str]:
        """Name all that some functions and variables mention, and they themselves."""
        found, left = set[str](), [name for name in names if name in self._direct]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += [more for more in self._direct[name][1] if more in self._direct]
        return found

    def _read(self, text: str, mark: str) -> None:
        places: dict[str, tuple[str, int]] = {}
        nowhere: tuple[Uses, set[str]] = Uses(self._debug), set()
        here = nowhere
        for line in text.splitlines():
            if line.startswith("!"):
                continue
            if line.startswith("define ") and (match := _DEFINED.match(line)):
                places = {}
                here = self._direct.setdefault(match[1], (Uses(self._debug), set()))
            elif line.startswith("@"):
                here = self._direct.setdefault(line.partition(" ")[0], (Uses(self._debug), set()))
            elif mark in line and (match := _MARK.match(line)) and match[2] == mark:
                number = "" if match[1].startswith("-") else match[1]
                here = self.parts.setdefault(number, (Uses(self._debug), set()))
            if "@" in line:
                here[1].update(_MENTIONED.findall(line))
            if "getelementptr" in line:
                self._note(line, here[0], places)

    def _note(self, line: str, uses: Uses, places: dict[str, tuple[str, int]]) -> None:
        """Note the accesses of a line; `places` are those of values in the function."""
        result = line.partition(" = ")[0].strip()
        for match in _ACCESS.finditer(line):
            spelt, base = match[1], match[2]
            # Where one without a name is depends on its base, as do bytes of a global variable.
            known = (spelt, match[3]) if _NAMED.fullmatch(spelt) and not _ANONYMOUS.fullmatch(spelt) else None
            found = self._seen.get(known) if known is not None else None
            if found is None:
                own = Uses(self._debug)
                words = _INDEX.findall(match[3])
                found = own, _access(own, self._types, self._kinds, places, spelt, base, words)
                if known is not None:
                    self._seen[known] = found
            uses.include(found[0])
            if found[1] is not None:
                places[result] = found[1]


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
        found = uses.debug.anonymous(types.extent(structure)[0])
        if not found:
            uses.unknown.add(structure)
        yield from found
