"""The words that schemas are written in: text, flags, counts, records of them, and the format that they make up.

A description that is "" is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from stencilkit.cli import _render

Schema = Mapping[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of answer or of file: what it is, the number of its schema, and its fields beside "schema" and "kind".

    `commands` print it, as in "pins update"; files have none.
    """

    means: str
    number: int
    commands: tuple[str, ...] = ()
    fields: Mapping[str, Schema]

    def document(self, kind: str) -> Schema:
        """Return its JSON Schema, as it is published."""
        head: dict[str, Schema] = {"schema": {"const": self.number}, "kind": {"const": kind}}
        return {"$schema": DIALECT, "title": f"stencilkit {kind}", **record(self.means, **head, **self.fields)}


def answer(*commands: str, **fields: Schema) -> Format:
    """Describe what commands print."""
    means = f"What `stencilkit {', '.join(commands)} --format json` prints."
    return Format(means=means, number=_render.SCHEMA, commands=commands, fields=fields)


def file(means: str, number: int, /, **fields: Schema) -> Format:
    """Describe a file."""
    return Format(means=means, number=number, fields=fields)


def typed(kind: str, means: str, **more: object) -> Schema:
    """Describe a value of one of JSON's types, and what else is known of it."""
    return {"type": kind, **more, **({"description": means} if means else {})}


def text(means: str = "") -> Schema:
    """Describe a string."""
    return typed("string", means)


def flag(means: str = "") -> Schema:
    """Describe true or false."""
    return typed("boolean", means)


def count(means: str = "", **more: object) -> Schema:
    """Describe an integer, which is not negative where `more` does not allow it."""
    return typed("integer", means, **({"minimum": 0} | more))


def number(means: str = "") -> Schema:
    """Describe a number with a fraction."""
    return typed("number", means)


def sha256(means: str, *, absent: bool = False) -> Schema:
    """Describe a digest in hex, "" where it may be `absent`."""
    return typed("string", means, pattern="^([0-9a-f]{64})?$" if absent else "^[0-9a-f]{64}$")


def word(words: object, means: str = "", *, absent: bool = False) -> Schema:
    """Describe one of a list's strings, or of a Literal's; "" where it may be `absent`."""
    known = list(get_args(words)) if not isinstance(words, list) else words
    return {"enum": [*known, *([""] if absent else [])], **({"description": means} if means else {})}


def each(item: Schema, means: str = "") -> Schema:
    """Describe an array of what `item` describes."""
    return typed("array", means, items=item)


def by_name(item: Schema, means: str = "") -> Schema:
    """Describe an object whose keys are names, and whose values are what `item` describes."""
    return typed("object", means, additionalProperties=item)


def or_null(item: Schema) -> Schema:
    """Describe what `item` describes, or null."""
    return {"anyOf": [item, {"type": "null"}]}


def record(means: str = "", /, **fields: Schema) -> Schema:
    """Describe an object that has all these fields."""
    return typed("object", means, properties=fields, required=list(fields))


def closed(schema: Schema) -> Schema:
    """Return the same without room for fields that it does not name."""
    found = {key: _closed(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if "properties" in schema else found


def _closed(value: object) -> object:
    if isinstance(value, Mapping):
        return closed(value)
    return [_closed(item) for item in value] if isinstance(value, list) else value
