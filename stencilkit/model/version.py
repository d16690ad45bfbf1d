"""Versions of LLVM and CPython, and ranges of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# The largest number that LlvmVersion.parse takes.
_NEWEST = 999
_SNAPSHOTS_FROM = 18


@dataclass(frozen=True, slots=True, order=True)
class LlvmVersion:
    """An exact LLVM version, as in 19.1.7."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> LlvmVersion | None:
        """Read "19.1.7"; return None for anything else."""
        match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", text)
        return cls(*map(int, match.groups())) if match else None

    @property
    def is_snapshot(self) -> bool:
        """Return whether it is of LLVM's development branch: since 18, releases and their candidates are X.1.0 and up.

        https://llvm.org/docs/HowToReleaseLLVM.html
        """
        return self.major >= _SNAPSHOTS_FROM and self.minor == 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class MajorRange:
    """An inclusive range of LLVM major versions, spelled "19..23" (or "19" for one)."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> MajorRange | None:
        """Read a range; return None where the text is none, or is upside down."""
        match = re.fullmatch(r"([0-9]{1,3})(?:\.\.([0-9]{1,3}))?", text)
        if not match:
            return None
        first = int(match[1])
        last = int(match[2] or match[1])
        return cls(first, last) if first <= last else None

    def up_to_any(self) -> MajorRange:
        """Extend it to all versions that there can be."""
        return MajorRange(self.first, _NEWEST)

    def __contains__(self, major: object) -> bool:
        return isinstance(major, int) and self.first <= major <= self.last

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"


@dataclass(frozen=True, slots=True)
class PythonVersion:
    """A CPython version, as in 3.14.7 or 3.15.0rc1."""

    major: int
    minor: int
    rest: str
    """Everything after "3.14.", for example "7" or "0rc1"."""

    @classmethod
    def parse(cls, text: str) -> PythonVersion | None:
        """Read "3.14.7", "3.15.0rc1", "3.15.0a3+" or "3.14.7+debian"; return None for anything else.

        CPython's own "+" says that the tree is newer than the release; a vendor's words may follow it, as in PEP 440.
        """
        match = re.fullmatch(
            r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3}(?:(?:a|b|rc)[0-9]{1,3})?(?:\+[A-Za-z0-9._-]{0,40})?)", text
        )
        return cls(int(match[1]), int(match[2]), match[3]) if match else None

    @property
    def series(self) -> str:
        """Name the minor version, as in "3.14"."""
        return f"{self.major}.{self.minor}"

    @property
    def age(self) -> tuple[int, int, int, str, int]:
        """Make a key that sorts older versions first: 3.15.0a3, 3.15.0rc1, 3.15.0, 3.15.1."""
        micro, level, serial = re.match(r"(\d+)(?:([a-z]+)(\d+))?", self.rest).groups()  # type: ignore[union-attr]  # as parsed
        return self.major, self.minor, int(micro), level or "~", int(serial or 0)

    def __str__(self) -> str:
        return f"{self.series}.{self.rest}"
