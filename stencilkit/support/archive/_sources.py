"""A tarball -> the source tree in it, on disk."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Final

from stencilkit.errors import OutputError, SourceError
from stencilkit.support import files
from stencilkit.support.archive._bounded import DAMAGE, OVERHEAD, Bounds, Tar, check_name, damage

# CPython 3.15 has 5,600 members and 140 MB.
_BOUNDS: Final = Bounds(members=20_000, size=1 << 30)
_TOO_LARGE: Final = "the archive is larger than any CPython source"
_RELEASE: Final = "give a release tarball, or the folder of a source tree"
# What the place that is unpacked to may lack, as opposed to the archive.
_PLACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
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


def unpack_source(archive: Path, folder: Path, marker: str, bounds: Bounds = _BOUNDS) -> None:
    """Unpack the source tree of a tarball as `folder`: its root, or the top-level folder, that holds the file `marker`.

    A release has one folder at the top; `git archive` without a prefix and `tar .` have none. Only regular files and
    folders are taken; links (CPython has none that the JIT needs) are skipped, other kinds are refused. So is an
    archive with no such tree, or with several.

    Raises: SourceError; OutputError where there is no room.
    """
    members = folder.with_name(f"{folder.name}.members")
    try:
        with (
            files.open_regular(archive, bounds.size + OVERHEAD, error=SourceError) as file,
            Tar.open(fileobj=file) as tar,
        ):
            _unpack_members(tar, archive, members, bounds)
            _read_to_end(tar, bounds, str(archive))
    except DAMAGE as error:
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
            fix=_RELEASE,
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
        f"cannot unpack the archive: {f'it is {other}' if other else damage(problem)}",
        where=str(archive),
        fix="unpack it yourself, and give the folder with CPython's configure and Include/"
        if other
        else "fetch it again",
    )


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
            raise SourceError(_TOO_LARGE, where=where, fix=_RELEASE)


def _unpack_members(tar: tarfile.TarFile, archive: Path, folder: Path, bounds: Bounds) -> None:
    total = 0
    for count, member in enumerate(tar, start=1):
        path = check_name(member.name, archive=str(archive), error=SourceError)
        total += max(member.size, 0)
        if count > bounds.members or total > bounds.size:
            raise SourceError(_TOO_LARGE, where=str(archive), fix=_RELEASE)
        if member.isdev() or member.isfifo():
            raise SourceError(f"the archive has a device: {member.name!r}", where=str(archive), fix=_RELEASE)
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
