"""Unpack archives from elsewhere, bounded in size and count, never outside the folder that was named; write tars."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from stencilkit.errors import OutputError, SourceError, StencilkitError
from stencilkit.support import files, limits

# What the place that is unpacked to may lack, as opposed to the archive.
_PLACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much an archive may hold: members, and bytes when unpacked."""

    members: int
    size: int


# CPython 3.15 has 5,600 members and 140 MB.
SOURCE_BOUNDS: Final = Bounds(members=20_000, size=1 << 30)
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
_OVERHEAD: Final = 64 << 20
# Memory for xz: what `xz -9` needs.
_XZ_MEMORY: Final = 128 << 20
# What reading a damaged archive raises. lzma's error has no base class of its own; OverflowError is for absurd times.
_DAMAGE: Final = (
    *(tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, OverflowError),
    *(MemoryError, RecursionError),
)


# What tarfile does not read (zstd: before Python 3.14), by its first bytes: the formats' own specifications.
_OTHERS: Final = (
    (b"PK\3\4", "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"LZIP", "compressed with lzip"),
    (b"\x1f\x9d", "compressed with compress"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
)


class _Member(tarfile.TarInfo):
    """A member whose headers are small: tarfile reads long names and pax records into memory before anyone is asked.

    Sparse files have maps, of any length; nothing that is read here has any.
    """

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo | None:
        if self.type not in tarfile.REGULAR_TYPES and self.size > _HEADER:
            raise tarfile.ReadError("a header is longer than any name")
        if self.size < 0:
            raise tarfile.ReadError("a member has less than no bytes")
        if isinstance(tarfile_, _Tar):
            tarfile_.count(self)
        return super()._proc_member(tarfile_)  # type: ignore[misc,no-any-return]  # typeshed leaves it out

    def _refuse_sparse(self, *_: object) -> None:
        raise tarfile.ReadError("it has a sparse file")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


class _Tar(tarfile.TarFile):
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
        raise error(f"the archive has a member with an unsafe path: {name!r}", where=archive)
    return path


def unpack_source(archive: Path, folder: Path, marker: str, bounds: Bounds = SOURCE_BOUNDS) -> None:
    """Unpack the source tree of a tarball as `folder`: its root, or the top-level folder, that holds the file `marker`.

    A release has one folder at the top; `git archive` without a prefix and `tar .` have none. Only regular files and
    folders are taken; links (CPython has none that the JIT needs) are skipped, other kinds are refused. So is an
    archive with no such tree, or with several.

    Raises: SourceError; OutputError where there is no room.
    """
    members = folder.with_name(f"{folder.name}.members")
    try:
        with (
            files.open_regular(archive, bounds.size + _OVERHEAD, error=SourceError) as file,
            _Tar.open(fileobj=file) as tar,
        ):
            _unpack_members(tar, archive, members, bounds)
            _read_to_end(tar, bounds, str(archive))
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _PLACE and error.filename != str(archive):
            raise OutputError(
                f"cannot unpack the archive: {error.strerror}",
                where=str(error.filename or folder),
                fix="choose a folder that is writable and has room (STENCILKIT_CACHE names the cache)",
            ) from None
        raise _unreadable(archive, error) from None
    roots = [root for root in (members, *_folders(members)) if (root / marker).is_file()]
    if len(roots) != 1:
        raise SourceError(
            f"the archive has {len(roots) or 'no'} source trees (with {marker}) at its root or one folder down",
            where=str(archive),
            fix="give a release tarball, or the folder of a source tree",
        )
    roots[0].rename(folder)
    if roots[0] != members:
        shutil.rmtree(members)


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _unreadable(archive: Path, problem: Exception) -> SourceError:
    with archive.open("rb") as file:
        start = file.read(8)
    other = next((what for magic, what in _OTHERS if start.startswith(magic)), "")
    return SourceError(
        f"cannot unpack the archive: {f'it is {other}' if other else _damage(problem)}",
        where=str(archive),
        fix="unpack it yourself, and give the folder with CPython's configure and Include/"
        if other
        else "fetch it again",
    )


def _damage(problem: Exception) -> str:
    """Say what is wrong with an archive, in one line; tarfile lists each format that it is not."""
    return "it is not a tar archive, or it is damaged" if "\n" in str(problem) else str(problem)


def _read_to_end(tar: tarfile.TarFile, bounds: Bounds, where: str) -> None:
    """Read what follows the last member: the end marker, and what makes the compressor compare its checksum.

    Raises: EOFError where the archive is cut off; SourceError where it goes on for too long.
    """
    file = tar.fileobj
    if file.tell() <= tar.offset:
        raise EOFError("it has no end marker")
    rest = 0
    while chunk := file.read(1 << 20):
        rest += len(chunk)
        if rest > bounds.size + tarfile.RECORDSIZE:
            raise SourceError("the archive is larger than any CPython source", where=where)


def _unpack_members(tar: tarfile.TarFile, archive: Path, folder: Path, bounds: Bounds) -> None:
    total = 0
    for count, member in enumerate(tar, start=1):
        path = check_name(member.name, archive=str(archive), error=SourceError)
        total += max(member.size, 0)
        if count > bounds.members or total > bounds.size:
            raise SourceError("the archive is larger than any CPython source", where=str(archive))
        if member.isdev() or member.isfifo():
            raise SourceError(f"the archive has a device: {member.name!r}", where=str(archive))
        file = tar.extractfile(member) if member.isreg() else None
        if file is not None:
            target = folder / path
            _write_member(file, target, executable=bool(member.mode & 0o100))
            # make compares times, so a tree must keep the ones it was released with:
            os.utime(target, (member.mtime, member.mtime))


def _write_member(file: IO[bytes], target: Path, *, executable: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
    if executable:
        target.chmod(target.stat().st_mode | 0o111)


def write_tar(contents: Mapping[str, bytes], *, compress: bool) -> bytes:
    """Make a tar that depends on nothing but names and bytes: sorted, owner 0, mode 0644, time 0.

    Compressed, it also depends on the zlib that Python was built with.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    # Level 9 takes four times as long for 3 % less.
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0) if compress else raw.getvalue()


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar, or compressed: by its first bytes (POSIX ustar, RFC 1952, xz)."""
    with files.open_regular(path, sys.maxsize, error=SourceError) as file:
        start = file.read(262)
    return start.startswith((b"\x1f\x8b", b"\xfd7zXZ\0")) or start[257:] == b"ustar"


def read_tar(archive: Path, bounds: Bounds, error: type[StencilkitError]) -> dict[str, bytes]:
    """Read a tar, compressed or not, into memory: regular files alone, each name once.

    Raises: `error` for an archive that is damaged or cut short, is larger than `bounds`, goes on behind its end, or
    holds links, devices, unsafe paths or a name twice.
    """
    data = files.read_bytes(archive, limit=bounds.size + _OVERHEAD, error=error)
    try:
        raw = _unpacked(data, bounds.size)
        with _Tar.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            contents = _read_members(tar, archive, bounds, error)
            end = tar.offset
        if len(raw) - end < tarfile.BLOCKSIZE or raw[end:].strip(b"\0"):
            raise EOFError("it does not end where its files do")
    except _DAMAGE as problem:
        raise error(f"cannot read the archive: {_damage(problem)}", where=str(archive), fix="get it again") from None
    return contents


def _unpacked(data: bytes, limit: int) -> bytes:
    """Undo the compression of an archive: one stream, and nothing behind it.

    Raises: EOFError, zlib.error, lzma.LZMAError; ValueError where it is larger than `limit`.
    """
    stream: Any
    if data.startswith(b"\x1f\x8b"):
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    elif data.startswith(b"\xfd7zXZ\0"):
        stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    else:
        return data
    raw = bytes(stream.decompress(data, limit + _OVERHEAD))
    if len(raw) >= limit + _OVERHEAD:
        raise ValueError(f"it is larger than {limit >> 20} MiB")
    if not stream.eof or stream.unused_data:
        raise EOFError("there is more behind it" if stream.eof else "it is cut short")
    return raw


def _read_members(
    tar: tarfile.TarFile, archive: Path, bounds: Bounds, error: type[StencilkitError]
) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total = 0
    for count, member in enumerate(tar, start=1):
        name = str(check_name(member.name, archive=str(archive), error=error))
        if count > 2 * bounds.members:
            raise error("the archive has more folders than files", where=str(archive), fix="do not use it")
        if member.isdir():
            continue
        if not member.isreg():
            what = "link" if member.issym() or member.islnk() else "special file"
            raise error(f"the archive has a {what}: {member.name!r}", where=str(archive), fix="do not use it")
        total += member.size
        if len(contents) >= bounds.members or total > bounds.size:
            raise error(
                f"the archive has more than {bounds.members} files or {bounds.size >> 20} MiB",
                where=str(archive),
                fix="do not use it; it is not a bundle of stencils",
            )
        if name in contents:
            raise error(f"the archive has {name!r} twice", where=str(archive), fix="do not use it")
        file = tar.extractfile(member)
        data = file.read() if file is not None else b""
        if len(data) != member.size:
            raise error(f"the archive is cut short in {name!r}", where=str(archive), fix="get it again")
        contents[name] = data
    return contents
