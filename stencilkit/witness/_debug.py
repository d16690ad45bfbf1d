"""Debug information in LLVM IR: structures, members and enumerators (LLVM's LangRef, "Specialized Metadata Nodes")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stencilkit.model.layout import Span

# A node of one of these kinds, or a list of nodes.
_NODE: Final = re.compile(
    r"\n(!\d+) = (?:distinct )?"
    r"(?:!DI(?:CompositeType|DerivedType|Enumerator|File)\((?:tag: (\w+))?(.*)\)|!\{(!.*)\})"
)
_FIELD: Final = re.compile(r'(\w+): (?:i\d+ )?("(?:[^"\\]|\\.)*"|[^,]+)')
_TAGS: Final = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union"}
_TRANSPARENT: Final = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type")
Node = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Debug:
    """The nodes of a module that describe types; those count that are defined below the folder `root`.

    `nodes` maps their names to their tags and to their other fields, which are read when they are asked for: few of
    thousands are. `named` maps how C spells a structure ("struct _ts", "PyASCIIObject") to its node.
    """

    nodes: Mapping[str, tuple[str, str]]
    lists: Mapping[str, str]
    root: str
    named: dict[str, str] = field(default_factory=dict)
    _fields: dict[str, Node] = field(default_factory=dict)
    _nameless: dict[int, Sequence[tuple[str, int]]] = field(default_factory=dict)

    def fields(self, node: str) -> Node:
        """Read the fields of a node; none where there is no such node."""
        found = self._fields.get(node)
        if found is None:
            spelt = self.nodes.get(node, ("", ""))[1]
            found = self._fields[node] = {key: value.strip('"') for key, value in _FIELD.findall(spelt)}
        return found

    def tag(self, node: str) -> str:
        """Return what kind of type a node is, "" for others."""
        return self.nodes.get(node, ("", ""))[0]

    def tagged(self, *tags: str) -> Iterator[str]:
        """List the nodes of some tags, in their order."""
        return (node for node, (tag, _) in self.nodes.items() if tag in tags)

    def structure(self, node: str) -> str:
        """Look through typedefs and qualifiers; "" for what is not a structure."""
        while self.tag(node) in _TRANSPARENT:
            node = self.fields(node).get("baseType", "")
        return node if self.tag(node) in _TAGS else ""

    def spelling(self, name: str) -> str:
        """Spell a structure that LLVM calls `%struct.NAME` or `%union.NAME` as C does; "" for one that does not count.

        LLVM numbers structures of the same name, which C can have in different scopes.
        """
        kind, _, own = name.removeprefix("%").partition(".")
        for spelt in (own, re.sub(r"\.\d+$", "", own)):
            for spelling in (f"{kind} {spelt}", spelt):
                if spelling in self.named and self._counts(self.named[spelling]):
                    return spelling
        return ""

    def _counts(self, node: str) -> bool:
        file = self.fields(self.fields(node).get("file", ""))
        name, folder = file.get("filename", ""), file.get("directory", "")
        return (name if name.startswith("/") else f"{folder}/{name}").startswith(f"{self.root}/")

    def members(self, spelling: str, start: int, size: int) -> Iterator[tuple[str, Span, bool]]:
        """List the members that bytes of a structure belong to: path, place in bits, and whether it is a bit-field."""
        return self._members(self.named[spelling], start, size)

    def _members(self, node: str, start: int, size: int) -> Iterator[tuple[str, Span, bool]]:
        for member in self._elements(node):
            fields = self.fields(member)
            place, length = _number(fields, "offset"), _number(fields, "size")
            is_bits = "DIFlagBitField" in fields.get("flags", "")
            # A bit-field is read with all the others of its storage unit.
            end = (start + max(size, 1)) * 8 if is_bits else start * 8 + 1
            if place >= end or start * 8 >= place + max(length, 1):
                continue
            name, inner = fields.get("name", ""), self.structure(fields.get("baseType", ""))
            if name:
                yield name, Span(start=place, size=length), is_bits
            if inner and (not name or self._counts(inner)):
                for path, span, bits in self._members(inner, start - place // 8, size):
                    shifted = Span(start=span.start + place, size=span.size)
                    yield (f"{name}.{path}" if name else path), shifted, bits

    def anonymous(self, size: int) -> Sequence[tuple[str, int]]:
        """List the structures without a name that have a size and are inside of others: those, and how far in."""
        if size not in self._nameless:
            named = frozenset(self.named.values())
            self._nameless[size] = [
                (spelling, start)
                for spelling, node in self.named.items()
                if self._counts(node)
                for start in self._anonymous(node, size, named)
            ]
        return self._nameless[size]

    def _anonymous(self, node: str, size: int, named: frozenset[str]) -> Iterator[int]:
        for member in self._elements(node):
            inner = self.structure(self.fields(member).get("baseType", ""))
            if inner and "name" not in self.fields(inner) and inner not in named:
                start = _number(self.fields(member), "offset") // 8
                if _number(self.fields(inner), "size") == size * 8:
                    yield start
                yield from (start + more for more in self._anonymous(inner, size, named))

    def _elements(self, node: str) -> tuple[str, ...]:
        found = self.lists.get(self.fields(node).get("elements", ""), "")
        return tuple(found.split(", ")) if found else ()

    def enumerators(self) -> Iterator[str]:
        """List the names of all enumerators of types that count."""
        for node in self.tagged("DW_TAG_enumeration_type"):
            if self._counts(node):
                yield from (self.fields(member)["name"] for member in self._elements(node))


def read(text: str, root: str) -> Debug:
    """Read the nodes that describe types."""
    nodes: dict[str, tuple[str, str]] = {}
    lists: dict[str, str] = {}
    # They are the last lines of a module.
    for match in _NODE.finditer(text, max(text.find("\n!"), 0)):
        name, tag, fields, items = match.groups()
        if items is not None:
            lists[name] = items
        else:
            nodes[name] = tag or "", fields
    debug = Debug(nodes, lists, root)
    for node in debug.tagged(*_TAGS):
        found = debug.fields(node)
        if "name" in found and "elements" in found:
            debug.named[f"{_TAGS[debug.tag(node)]} {found['name']}"] = node
    typedefs = {debug.fields(node)["name"]: node for node in debug.tagged("DW_TAG_typedef")}
    for name, node in typedefs.items():
        structure = debug.structure(node)
        # A structure with a name of its own is found under that.
        if structure and "name" not in debug.fields(structure):
            debug.named[name] = structure
    return debug


def _number(fields: Node, key: str) -> int:
    return int(fields.get(key, "0"))
