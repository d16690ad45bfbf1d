"""Read typed fields out of decoded TOML or JSON; every complaint names the path to the bad field.

Unknown keys are refused: a misspelt field must not be silently ignored.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from stencilkit.errors import StencilkitError
from stencilkit.support import escape, limits

T = TypeVar("T")
_MISSING: Final = object()
_SHOWN: Final = 60
_SHA256: Final = re.compile("[0-9a-f]{64}")
# tomllib copies a dotted key for each of its parts: 200 KB of dots took all memory.
_LONG_KEY: Final = re.compile(
    rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{limits.KEY_PARTS}}}"""
)
_AGAIN: Final = "fix the file, or generate it again"
_NAMES: Final[dict[type, str]] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    float: "a fraction",
    list: "an array",
    dict: "a table",
}


def _shown(value: object) -> str:
    """Describe what was found: a short value as it is, others by their kind."""
    if isinstance(value, str | int) and _fits(value) and len(repr(value)) <= _SHOWN:
        return repr(value)
    return next((name for kind, name in _NAMES.items() if type(value) is kind), "a date or a time")


def _fits(value: str | int) -> bool:
    """Return whether a number is one of TOML's (64 bits); Python refuses to print those of thousands of digits."""
    return isinstance(value, str) or -(1 << 63) <= value < 1 << 63


def document(text: str, *, name: str, schema: int, error: type[StencilkitError], line_ends: bool = True) -> Fields:
    """Decode a TOML document whose `schema` must be the given one; `name` is for messages.

    Strings of more than one line are refused without `line_ends`: what programs write has none.

    Raises: `error`.
    """
    if len(text) > limits.MANIFEST or _has_long_key(text):
        what = f"has more than {limits.MANIFEST >> 10} KiB, or keys of more than {limits.KEY_PARTS} parts"
        raise error(f"not a document of stencilkit's: it {what}", where=name, fix=_AGAIN)
    try:
        with limits.bounded(error, name):
            table = tomllib.loads(text)
    except ValueError as problem:
        # TOMLDecodeError is a ValueError, as is what int() says of more than 4300 digits.
        raise error(f"not TOML: {problem}", where=name, fix=_AGAIN) from None
    return top(table, name=name, schema=schema, error=error, line_ends=line_ends)


def _has_long_key(text: str) -> bool:
    # A key is on one line; to look closely at all lines took half as long as to decode them.
    return any(line.count(".") >= limits.KEY_PARTS and _LONG_KEY.search(line) for line in text.split("\n"))


def top(
    table: Mapping[str, Any], *, name: str, schema: int, error: type[StencilkitError], line_ends: bool = True
) -> Fields:
    """Open the outermost table of a decoded document whose `schema` must be the given one.

    Raises: `error`.
    """
    root = Fields(table, path="", document=name, error=error, line_ends=line_ends)
    found = root.integer("schema")
    if found != schema:
        newer = "; a newer stencilkit wrote it, so update this one" if found > schema else ""
        raise root.fail("schema", f"is {found}, and this stencilkit reads {schema}{newer}")
    return root


class Fields:
    """One table, its path in the document, and the error class to raise."""

    def __init__(
        self,
        table: Mapping[str, Any],
        *,
        path: str,
        document: str,
        error: type[StencilkitError],
        line_ends: bool = True,
    ) -> None:
        self._table = table
        self._path = path
        self._document = document
        self._error = error
        self._line_ends = line_ends
        self._read: set[str] = set()

    def fail(self, key: str, problem: str) -> StencilkitError:
        """Make the error for a field of this table; the caller raises it."""
        where = f"{self._path}.{key}" if self._path and key else self._path or key or "(top level)"
        return self._error(f"{where}: {problem}", where=self._document, fix=_AGAIN)

    def _get(self, key: str, kind: type[T], default: object) -> T:
        self._read.add(key)
        value = self._table.get(key, default)
        if value is _MISSING:
            raise self.fail(key, "missing")
        if value is default:
            return value  # type: ignore[return-value]  # the caller's default is of its own type
        # bool is a subclass of int, and "alignment = true" is a mistake:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fail(key, f"must be {_NAMES[kind]}, not {_shown(value)}")
        return value

    def has(self, key: str) -> bool:
        """Return whether a field is there."""
        return key in self._table

    def text(self, key: str, default: object = _MISSING) -> str:
        """Read a string without control characters but tabs and, where the document may have them, line ends."""
        value = self._get(key, str, default)
        return value if value is default else self._clean(key, value)

    def _clean(self, key: str, *texts: str) -> str:
        if any(escape.CONTROL.search(text) for text in texts):
            raise self.fail(escape.plain(key), "has control characters")
        if not self._line_ends and any("\n" in text for text in texts):
            raise self.fail(key.replace("\n", "\\n"), "has more than one line")
        return texts[-1]

    def octets(self, key: str) -> bytes:
        """Read a string of hexadecimal digits as the bytes that it spells."""
        spelt = self.text(key)
        try:
            return bytes.fromhex(spelt)
        except ValueError:
            raise self.fail(key, f"must be bytes in hexadecimal, not {_shown(spelt)}") from None

    def sha256(self, key: str) -> str:
        """Read a SHA-256 in lower-case hexadecimal digits."""
        return self.as_sha256(key, self.text(key))

    def as_sha256(self, key: str, value: str) -> str:
        """Return a value that was read, if it is a SHA-256 in lower-case hexadecimal digits."""
        if not _SHA256.fullmatch(value):
            raise self.fail(key, f"not a SHA-256 in lower-case hex: {value[:80]!r}")
        return value

    def integer(self, key: str, default: object = _MISSING) -> int:
        """Read an integer of 64 bits."""
        value = self._get(key, int, default)
        if value is not default and not _fits(value):
            raise self.fail(key, "does not fit into 64 bits")
        return value

    def boolean(self, key: str, default: object = _MISSING) -> bool:
        """Read a boolean."""
        return self._get(key, bool, default)

    def choice(self, key: str, allowed: tuple[str, ...], default: object = _MISSING) -> Any:  # noqa: ANN401  # a Literal of the caller's
        """Read a string that must be one of a few."""
        value = self.text(key, default)
        if value is not default and value not in allowed:
            raise self.fail(key, f"must be one of {', '.join(allowed)}, not {_shown(value)}")
        return value

    def null(self, key: str) -> bool:
        """Return whether a field is JSON's null, which means that something is not known."""
        if key in self._table and self._table[key] is None:
            self._read.add(key)
            return True
        return False

    def items(self, key: str) -> list[Any]:
        """Read an array whose items the caller looks at."""
        return self._get(key, list, _MISSING)

    def numbers(self, key: str) -> dict[str, float]:
        """Read a table whose values are all numbers."""
        table = self._get(key, dict, _MISSING)
        for name, value in table.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self.fail(f"{key}.{name}", f"must be a number, not {_shown(value)}")
            self._clean(f"{key}.{name}", name)
        return dict(table)

    def texts(self, key: str, default: object = _MISSING) -> tuple[str, ...]:
        """Read an array of strings."""
        values = self._get(key, list, default)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self.fail(f"{key}[{index}]", f"must be a string, not {_shown(value)}")
            self._clean(f"{key}[{index}]", value)
        return tuple(values)

    def table(self, key: str, default: object = _MISSING) -> Fields:
        """Read a sub-table."""
        return self._sub(self._get(key, dict, default), key)

    def optional(self, key: str) -> Iterator[Fields]:
        """Read a sub-table that may be missing."""
        if key in self._table:
            yield self.table(key)

    def tables(self, key: str, default: object = _MISSING) -> tuple[Fields, ...]:
        """Read an array of tables."""
        found = []
        for index, value in enumerate(self._get(key, list, default)):
            if not isinstance(value, dict):
                raise self.fail(f"{key}[{index}]", f"must be a table, not {_shown(value)}")
            found.append(self._sub(value, f"{key}[{index}]"))
        return tuple(found)

    def named_tables(self, key: str, default: object = _MISSING) -> Iterator[tuple[str, Fields]]:
        """Read a table of tables, in document order."""
        for name, value in self._get(key, dict, default).items():
            if not isinstance(value, dict):
                raise self.fail(f"{key}.{name}", f"must be a table, not {_shown(value)}")
            yield name, self._sub(value, f"{key}.{name}")

    def mapping(self, key: str, default: object = _MISSING) -> dict[str, str]:
        """Read a table whose values are all strings."""
        table = self._get(key, dict, default)
        for name, value in table.items():
            if not isinstance(value, str):
                raise self.fail(f"{key}.{name}", f"must be a string, not {_shown(value)}")
            self._clean(f"{key}.{name}", name.replace("\n", "\0"), value)
        return dict(table)

    def done(self) -> None:
        """Refuse keys that were not read."""
        unknown = sorted(set(self._table) - self._read)
        if unknown:
            raise self.fail(unknown[0], "unknown field")

    def _sub(self, table: Mapping[str, Any], key: str) -> Fields:
        path = f"{self._path}.{key}" if self._path else key
        return Fields(table, path=path, document=self._document, error=self._error, line_ends=self._line_ends)
