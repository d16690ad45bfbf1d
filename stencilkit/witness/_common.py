"""What holds for whatever uops: the types of all headers and their macros <-> text for the cache."""

from __future__ import annotations

from dataclasses import dataclass

from stencilkit.witness._debug import Debug


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The types of a module, names of enumerators, and macros that are numbers of the system's.

    `macros` are the definitions that hold behind the headers, as C; "" where that is not known.
    """

    debug: Debug
    enumerators: frozenset[str]
    constants: frozenset[str]
    macros: str


def dump_common(common: Common) -> str:
    """Write it, but for the tree that it is about: thousands of lines, which JSON takes three times as long to read."""
    debug = common.debug
    tables = (
        (f"{name}\t{tag}\t{fields}" for name, (tag, fields) in debug.nodes.items()),
        (f"{name}\t{nodes}" for name, nodes in debug.lists.items()),
        (f"{name}\t{node}" for name, node in debug.named.items()),
        sorted(common.enumerators),
        sorted(common.constants),
    )
    return "\0".join([*("\n".join(table) for table in tables), common.macros])


def load_common(text: str, root: str) -> Common:
    """Read it, about the same tree.

    Raises: ValueError for what `dump_common` does not write.
    """
    nodes, lists, named, enumerators, constants, macros = text.split("\0")
    types = {name: (tag, fields) for name, tag, fields in (line.split("\t") for line in _lines(nodes))}
    return Common(
        debug=Debug(types, _table(lists), root, _table(named)),
        enumerators=frozenset(_lines(enumerators)),
        constants=frozenset(_lines(constants)),
        macros=macros,
    )


def _table(text: str) -> dict[str, str]:
    return {name: value for name, value in (line.split("\t") for line in _lines(text))}  # noqa: C416  # pairs


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []
