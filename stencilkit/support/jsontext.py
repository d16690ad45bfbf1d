"""Read JSON that strangers wrote, within bounds, and write JSON that is always the same.

Refuses what two readers may understand differently: a key twice, NaN, and numbers of hundreds of digits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from stencilkit.errors import StencilkitError

_DIGITS: Final = 20
_AGAIN: Final = "get the file again from where it came from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may be read: bytes, and levels of nesting."""

    size: int
    depth: int


class _RefusedError(ValueError):
    """Something that JSON allows and this reader does not."""


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key occurs twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _RefusedError(f"a number has {len(digits)} digits")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} is not a number of JSON's")


def _number(digits: str) -> float:
    if len(digits) > 2 * _DIGITS:
        raise _RefusedError(f"a number has {len(digits)} characters")
    number = float(digits)
    if math.isinf(number):
        raise _RefusedError(f"{digits} is more than a number can be")
    return number


def read(data: bytes, bounds: Bounds, *, where: str, error: type[StencilkitError]) -> dict[str, Any]:
    """Decode a JSON object; `where` is for messages.

    Raises: `error` for what is too large, too deep, not UTF-8, or not an object.
    """
    if len(data) > bounds.size:
        raise error(f"it has {len(data)} bytes, and more than {bounds.size} are not read", where=where, fix=_AGAIN)
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
        if _depth(found) > bounds.depth:
            raise _RefusedError(f"it is nested more than {bounds.depth} levels deep")
    except UnicodeDecodeError as problem:
        raise error(f"this is not UTF-8 text (byte {problem.start})", where=where, fix=_AGAIN) from None
    except (ValueError, RecursionError, MemoryError) as problem:
        raise error(f"not JSON that can be read: {problem}", where=where, fix=_AGAIN) from None
    if not isinstance(found, dict):
        raise error("it must be a JSON object", where=where, fix=_AGAIN)
    return found


def _depth(value: object) -> int:
    """Return how deep a decoded value is nested, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def write(value: object) -> bytes:
    """Encode a value: keys sorted, two spaces, ASCII, one newline at the end."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
