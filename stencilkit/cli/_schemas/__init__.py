"""The shape of every answer of --format json, and of the JSON files of qualify and report: what a program may rely on.

A module here for each family of commands. docs/json_schemas.py publishes them as JSON Schemas (docs/schemas), and the
tests validate every answer that any of them sees. While "schema" stays what it is, fields may be added; none is
removed, or changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas import (
    building,
    checking,
    identifying,
    proving,
    qualifying,
    showing,
    surroundings,
    testing,
)
from stencilkit.cli._schemas.shapes import Format, Schema, closed

__all__ = ["ANSWERS", "FILES", "closed", "document"]

_FAMILIES: Final = (building, checking, identifying, proving, qualifying, showing, surroundings, testing)
# By kind.
ANSWERS: Final[Mapping[str, Format]] = {kind: row for family in _FAMILIES for kind, row in family.ANSWERS.items()}
FILES: Final[Mapping[str, Format]] = qualifying.FILES


def document(kind: str) -> Schema:
    """Return the JSON Schema of an answer or of a file, as it is published.

    Raises: KeyError for an unknown kind.
    """
    return (FILES.get(kind) or ANSWERS[kind]).document(kind)
