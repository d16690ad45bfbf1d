"""tarfile with bounds on what it reads into memory before anyone is asked, and what may be in an archive."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from stencilkit.errors import StencilkitError
from stencilkit.support import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much an archive may hold: members, and bytes when unpacked."""

    members: int
    size: int


# What a header that is not a file's content may hold, in bytes: a long name, pax records. How many of them may come
# before one member: tarfile calls itself for each. How many bytes of them an archive may have.
_HEADER: Final = 1 << 16
_EXTENDING: Final = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_HEADER_CHAIN: Final = 4
_HEADERS: Final = 16 << 20
# How much larger a compressed archive may be than what is in it: headers, and blocks that did not compress.
OVERHEAD: Final = 64 << 20
# What reading a damaged archive raises. lzma's error has no base class of its own; OverflowError is for absurd times.
DAMAGE: Final = (
    *(tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, OverflowError),
    *(MemoryError, RecursionError),
)

# What tarfile says of a file that does not begin like a tar.
_NO_HEADER: Final = ("empty header", "truncated header", "bad checksum", "invalid header")


class _Member(tarfile.TarInfo):
    """A member whose headers are small: tarfile reads long names and pax records into memory before anyone is asked.

    Sparse files have maps, of any length; nothing that is read here has any.
    """

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo | None:
        if self.type not in tarfile.REGULAR_TYPES and self.size > _HEADER:
            raise tarfile.ReadError("a header is longer than any name")
        if self.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if isinstance(tarfile_, Tar):
            tarfile_.count(self)
        return super()._proc_member(tarfile_)  # type: ignore[misc,no-any-return]  # typeshed leaves it out

    def _refuse_sparse(self, *_: object) -> None:
        raise tarfile.ReadError("it has a sparse file")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


class Tar(tarfile.TarFile):
    """An archive that counts what its headers take."""

    tarinfo = _Member
    _chain = 0
    _headers = 0

    def count(self, member: tarfile.TarInfo) -> None:
        """Count a header: a member's own ends a chain of those that describe it.

        Raises: tarfile.ReadError.
        """
        extends = member.type in _EXTENDING
        self._chain = self._chain + 1 if extends else 0
        self._headers += member.size if extends else 0
        if self._chain > _HEADER_CHAIN or self._headers > _HEADERS:
            raise tarfile.ReadError("it has more headers than members")


def check_name(name: str, *, archive: str, error: type[StencilkitError]) -> PurePosixPath:
    """Return a member's path if it stays inside the folder it is unpacked to.

    Raises: `error` for absolute paths, "..", drive letters, backslashes and control characters.
    """
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    if odd or not name or not name.isprintable() or len(name) > limits.PATH:
        raise error(
            f"the archive has a member with an unsafe path: {name!r}", where=archive, fix="do not use this archive"
        )
    return path


def damage(problem: Exception) -> str:
    """Say what is wrong with an archive, in one line; tarfile lists each format that it is not."""
    text = str(problem)
    return "it is not a tar archive, or it is damaged" if "\n" in text or text in _NO_HEADER else text
