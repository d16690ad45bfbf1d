"""ObjectFile <-> bytes, for the cache: plain JSON, so that reading an entry runs no code."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.support import limits

T = TypeVar("T")
# Zero bytes in front of a section, which are made when it is lowered: less than a page in every format.
_LARGEST_PADDING: Final = 1 << 16


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


@limits.bounded(ObjectError)
def load(data: bytes) -> ObjectFile:
    """Read what `dump` wrote.

    The cache has checked its digest, which whoever can write the cache can compute as well: nothing is believed.

    Raises: ObjectError.
    """
    try:
        return ObjectFile(sections=tuple(_section(*row) for row in _rows(json.loads(data))))
    except (ValueError, TypeError) as error:
        raise ObjectError(f"this is not an object file of the cache: {error}") from None


def _section(name: Any, role: Any, body: Any, padding: Any, symbols: Any, relocations: Any) -> Section:  # noqa: ANN401  # JSON
    return Section(
        name=_of(str, name),
        role=SectionRole(_of(str, role)),
        data=bytes.fromhex(_of(str, body)),
        padding=_size(padding),
        symbols=tuple(Symbol(name=_of(str, symbol), offset=_of(int, offset)) for symbol, offset in _rows(symbols)),
        relocations=tuple(
            Relocation(
                offset=_of(int, offset),
                kind=_of(str, kind),
                symbol=_of(str, symbol),
                addend=_of(int, addend),
                indirect=_of(bool, indirect),
            )
            for offset, kind, symbol, addend, indirect in _rows(relocations)
        ),
    )


def _of(kind: type[T], value: Any) -> T:  # noqa: ANN401  # JSON
    # bool is a subclass of int.
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected")
    return value


def _rows(value: Any) -> list[list[Any]]:  # noqa: ANN401  # JSON
    return [_of(list, row) for row in _of(list, value)]


def _size(value: Any) -> int:  # noqa: ANN401  # JSON
    if not 0 <= _of(int, value) <= _LARGEST_PADDING:
        raise ValueError("a section so far from the others")
    return int(value)
