"""Look for programs in packages and folders: .deb, .rpm, .whl, .conda, .apk, .zip and tar files, one within another.

libarchive reads all of them, from memory; nothing is unpacked to disk. Members are bounded in number, size and depth,
and their names are checked as those of bundles are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stencilkit.errors import ProgramError
from stencilkit.support import archive, files

_MOST_MEMBERS: Final = 200_000
_LARGEST_MEMBER: Final = 512 << 20
# A file of sysconfig's has 100 kB.
SMALL: Final = 4 << 20
_LARGEST: Final = 2 << 30
# A .deb is an ar with a tar in it, a .conda a zip with tars in it; a wheel may be in either.
_DEEPEST: Final = 3
# How archives begin: ar, gzip, xz, zstd, bzip2, zip, rpm. A tar has its magic at 257.
_MAGICS: Final = (
    b"!<arch>\n",
    b"\x1f\x8b",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"BZh",
    b"PK\x03\x04",
    b"\xed\xab\xee\xdb",
)
_TAR: Final = (257, b"ustar")
# What every file with CPython's runtime in it has: the name of a variable that it reads. A package's other programs are
# not looked at any closer.
_RUNTIME: Final = b"PYTHONHOME\0"
_CONFIGURATION: Final = "_sysconfigdata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file: where it is, in words, and its bytes."""

    label: str
    content: bytes


@dataclass(slots=True)
class Contents:
    """What is in a package or folder: files with CPython's runtime, how it was configured, how many files there are."""

    runtimes: list[Member] = field(default_factory=list)
    configurations: list[Member] = field(default_factory=list)
    members: int = 0
    size: int = 0

    def add(self, label: str, size: int) -> None:
        """Count a file.

        Raises: ProgramError where there are too many, or they are too large.
        """
        self.members += 1
        self.size += size
        if self.members > _MOST_MEMBERS or self.size > _LARGEST or size > _LARGEST_MEMBER:
            raise ProgramError(
                f"it has more than {_MOST_MEMBERS} files, {_LARGEST >> 20} MiB, or {_LARGEST_MEMBER >> 20} MiB in one",
                where=label,
                fix="unpack it and name the program that is meant",
            )


def is_package(content: bytes) -> bool:
    """Return whether a file begins as a package or another archive does."""
    start, magic = _TAR
    return content.startswith(_MAGICS) or content[start : start + len(magic)] == magic


def open_folder(folder: Path) -> Contents:
    """Look at every regular file below a folder, in order; links are not followed."""
    contents = Contents()
    for path in files.walk(folder):
        size = path.stat().st_size
        contents.add(str(path), size)
        _sort(Member(label=str(path), content=path.read_bytes()), contents, depth=0)
    return contents


def open_package(content: bytes, label: str) -> Contents:
    """Look at every regular file of a package.

    Raises: ProgramError where it cannot be read, is too large, or has a member with an unsafe name.
    """
    contents = Contents()
    _open(content, label, contents, depth=0)
    return contents


def _open(content: bytes, label: str, contents: Contents, *, depth: int) -> None:
    if depth >= _DEEPEST:
        return
    for member in _members(content, label, contents):
        _sort(member, contents, depth=depth + 1)


def _sort(member: Member, contents: Contents, *, depth: int) -> None:
    name = member.label.rpartition("/")[2]
    if _RUNTIME in member.content and not is_package(member.content):
        contents.runtimes.append(member)
    elif name.startswith(_CONFIGURATION) and name.endswith(".py"):
        contents.configurations.append(member)
    elif depth and is_package(member.content) and not name.endswith((".gz", ".bz2")):
        _open(member.content, member.label, contents, depth=depth)


def _members(content: bytes, label: str, contents: Contents) -> Iterator[Member]:
    libarchive = _libarchive()
    try:
        with libarchive.memory_reader(content) as entries:
            for entry in entries:
                if not entry.isfile:
                    continue
                name = str(entry.pathname).removeprefix("./")
                archive.check_name(name, archive=label, error=ProgramError)
                data = _content(entry, f"{label}!{name}", contents)
                yield Member(label=f"{label}!{name}", content=data)
    except libarchive.exception.ArchiveError as error:
        raise ProgramError(
            f"it cannot be unpacked: {str(error)[:200]}", where=label, fix="check that the file is whole"
        ) from None


def _content(entry: Any, label: str, contents: Contents) -> bytes:  # noqa: ANN401  # libarchive-c has no annotations
    blocks, size = [], 0
    for block in entry.get_blocks():
        size += len(block)
        blocks.append(block)
        if size > _LARGEST_MEMBER:
            break
    contents.add(label, size)
    return b"".join(blocks)


def _libarchive() -> Any:  # noqa: ANN401  # likewise
    try:
        importlib.import_module("libarchive.exception")
        return importlib.import_module("libarchive")
    except (ImportError, OSError, AttributeError, TypeError):
        # Without the library itself, libarchive-c fails with the last two.
        raise ProgramError(
            "libarchive, which reads packages, is not here",
            fix="pip install 'stencilkit[identify]', and your distribution's libarchive (Debian: libarchive13); or "
            "unpack the package and name the program",
        ) from None
