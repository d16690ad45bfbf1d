"""The table [layout] of a manifest: numbers as text, one line each. Names end up in C, so they must be names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stencilkit.model.layout import CONFIGURATION, PLATFORM, Layout, Span
from stencilkit.support.fields import Fields

_WORD: Final = r"[A-Za-z_]\w{0,199}"
_NAME: Final = re.compile(_WORD, re.ASCII)
_TYPE: Final = re.compile(rf"(?:struct |union )?{_WORD}", re.ASCII)
_MEMBER: Final = re.compile(rf"(?:struct |union )?{_WORD}(?:\.{_WORD}){{1,20}}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_SPAN: Final = re.compile(r"([0-9]{1,9}) ([0-9]{1,9})", re.ASCII)


def document(layout: Layout) -> dict[str, Any]:
    """Spell a layout as tables of text."""
    return {
        "platform": _numbers(layout.platform),
        "configuration": _numbers(layout.configuration),
        "macros": _numbers(layout.macros),
        "enumerators": _numbers(layout.enumerators),
        "types": _spans(layout.types),
        "members": _spans(layout.members),
        "bits": _spans(layout.bits),
    }


def _numbers(values: Mapping[str, int]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _spans(values: Mapping[str, Span]) -> dict[str, str]:
    return {name: f"{span.start} {span.size}" for name, span in values.items()}


def read(row: Fields) -> Layout:
    """Read it back.

    Raises: the error of the document, for what is not a C name, and for numbers that nobody has asked for.
    """
    layout = Layout(
        platform=_read_numbers(row, "platform", _NAME, tuple(PLATFORM)),
        configuration=_read_numbers(row, "configuration", _NAME, CONFIGURATION),
        macros=_read_numbers(row, "macros", _NAME),
        enumerators=_read_numbers(row, "enumerators", _NAME),
        types=_read_spans(row, "types", _TYPE),
        members=_read_spans(row, "members", _MEMBER),
        bits=_read_spans(row, "bits", _MEMBER),
    )
    row.done()
    return layout


def _read_numbers(
    row: Fields, key: str, names: re.Pattern[str], known: tuple[str, ...] | None = None
) -> Mapping[str, int]:
    values = row.mapping(key)
    for name, value in values.items():
        if (name not in known if known else not names.fullmatch(name)) or not _NUMBER.fullmatch(value):
            raise row.fail(f"{key}.{name}", f"is not a name that stencils use, with a number: {value[:40]!r}")
    if known and set(values) != set(known):
        raise row.fail(key, f"must have {', '.join(known)}")
    return {name: int(value) for name, value in values.items()}


def _read_spans(row: Fields, key: str, names: re.Pattern[str]) -> Mapping[str, Span]:
    found = {}
    for name, value in row.mapping(key).items():
        match = _SPAN.fullmatch(value)
        if match is None or not names.fullmatch(name):
            raise row.fail(f"{key}.{name}", f"is not a name in C, with two numbers: {value[:40]!r}")
        found[name] = Span(start=int(match[1]), size=int(match[2]))
    return found
