"""ObjectFile <-> bytes, for the cache: plain JSON, so that reading an entry runs no code."""

from __future__ import annotations

import json
from typing import Any

from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol


def dump(obj: ObjectFile) -> bytes:
    """Serialise an object file."""
    sections = [
        [
            section.name,
            section.role.value,
            section.data.hex(),
            section.padding,
            [[symbol.name, symbol.offset] for symbol in section.symbols],
            [[r.offset, r.kind, r.symbol, r.addend, r.indirect] for r in section.relocations],
        ]
        for section in obj.sections
    ]
    return json.dumps(sections, separators=(",", ":")).encode()


def load(data: bytes) -> ObjectFile:
    """Read what `dump` wrote; the cache has checked its digest."""
    return ObjectFile(sections=tuple(_section(row) for row in json.loads(data)))


def _section(row: list[Any]) -> Section:
    name, role, body, padding, symbols, relocations = row
    return Section(
        name=name,
        role=SectionRole(role),
        data=bytes.fromhex(body),
        padding=padding,
        symbols=tuple(Symbol(name=symbol, offset=offset) for symbol, offset in symbols),
        relocations=tuple(
            Relocation(offset=offset, kind=kind, symbol=symbol, addend=addend, indirect=indirect)
            for offset, kind, symbol, addend, indirect in relocations
        ),
    )
