"""Debug information in LLVM IR: structures, members and enumerators (LLVM's LangRef, "Specialized Metadata Nodes")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.model.layout import Span

# Others, most of all locations, are nine lines of ten.
_KINDS: Final = ("!DICompositeType(", "!DIDerivedType(", "!DIEnumerator(", "!DIFile(")
_FIELD: Final = re.compile(r'(\w+): (?:i\d+ )?("(?:[^"\\]|\\.)*"|[^,]+)')
_TAGS: Final = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union"}
_TRANSPARENT: Final = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type")
Node = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Debug:
    """The nodes of a module that describe types; those count that are defined below the folder `root`.

    `named` maps how C spells a structure ("struct _ts", "PyASCIIObject") to its node.
    """

    nodes: Mapping[str, Node]
    lists: Mapping[str, tuple[str, ...]]
    root: str
    named: Mapping[str, str]

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
        file = self.nodes.get(self.nodes[node].get("file", ""), {})
        name, folder = file.get("filename", ""), file.get("directory", "")
        return (name if name.startswith("/") else f"{folder}/{name}").startswith(f"{self.root}/")

    def members(self, spelling: str, start: int, size: int) -> Iterator[tuple[str, Span, bool]]:
        """List the members that bytes of a structure belong to: path, place in bits, and whether it is a bit-field."""
        return self._members(self.named[spelling], start, size)

    def _members(self, node: str, start: int, size: int) -> Iterator[tuple[str, Span, bool]]:
        for member in self._elements(node):
            fields = self.nodes[member]
            place, length = _number(fields, "offset"), _number(fields, "size")
            is_bits = "DIFlagBitField" in fields.get("flags", "")
            # A bit-field is read with all the others of its storage unit.
            end = (start + max(size, 1)) * 8 if is_bits else start * 8 + 1
            if place >= end or start * 8 >= place + max(length, 1):
                continue
            name, inner = fields.get("name", ""), _structure(self.nodes, fields.get("baseType", ""))
            if name:
                yield name, Span(start=place, size=length), is_bits
            if inner and (not name or self._counts(inner)):
                for path, span, bits in self._members(inner, start - place // 8, size):
                    shifted = Span(start=span.start + place, size=span.size)
                    yield (f"{name}.{path}" if name else path), shifted, bits

    def anonymous(self, size: int) -> Iterator[tuple[str, int]]:
        """List the structures without a name that have a size and are inside of others: those, and how far in."""
        named = frozenset(self.named.values())
        for spelling, node in self.named.items():
            if self._counts(node):
                yield from ((spelling, start) for start in self._anonymous(node, size, named))

    def _anonymous(self, node: str, size: int, named: frozenset[str]) -> Iterator[int]:
        for member in self._elements(node):
            inner = _structure(self.nodes, self.nodes[member].get("baseType", ""))
            if inner and "name" not in self.nodes[inner] and inner not in named:
                start = _number(self.nodes[member], "offset") // 8
                if _number(self.nodes[inner], "size") == size * 8:
                    yield start
                yield from (start + more for more in self._anonymous(inner, size, named))

    def _elements(self, node: str) -> tuple[str, ...]:
        return self.lists.get(self.nodes[node].get("elements", ""), ())

    def enumerators(self) -> Iterator[str]:
        """List the names of all enumerators of types that count."""
        for node, fields in self.nodes.items():
            if fields.get("tag") == "DW_TAG_enumeration_type" and self._counts(node):
                yield from (self.nodes[member]["name"] for member in self._elements(node))


def read(text: str, root: str) -> Debug:
    """Read the nodes that describe types."""
    nodes: dict[str, Node] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, equals, rest = line.partition(" = ")
        if not equals or not name.startswith("!"):
            continue
        rest = rest.removeprefix("distinct ")
        if rest.startswith(_KINDS):
            inside = rest[rest.index("(") + 1 : rest.rindex(")")]
            nodes[name] = {key: value.strip('"') for key, value in _FIELD.findall(inside)}
        elif rest.startswith("!{!"):
            lists[name] = tuple(rest[2:-1].split(", "))
    named = {
        f"{_TAGS[fields['tag']]} {fields['name']}": node
        for node, fields in nodes.items()
        if fields.get("tag") in _TAGS and "name" in fields and "elements" in fields
    }
    typedefs = {
        fields["name"]: _structure(nodes, fields.get("baseType", ""))
        for fields in nodes.values()
        if fields.get("tag") == "DW_TAG_typedef"
    }
    # A structure with a name of its own is found under that.
    own = {name: node for name, node in typedefs.items() if node and "name" not in nodes[node]}
    return Debug(nodes, lists, root, named | own)


def _structure(nodes: Mapping[str, Node], node: str) -> str:
    """Look through typedefs and qualifiers; "" for what is not a structure."""
    while nodes.get(node, {}).get("tag") in _TRANSPARENT:
        node = nodes[node].get("baseType", "")
    return node if nodes.get(node, {}).get("tag") in _TAGS else ""


def _number(fields: Node, key: str) -> int:
    return int(fields.get(key, "0"))
