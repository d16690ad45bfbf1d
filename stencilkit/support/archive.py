"""Unpack archives from elsewhere: bounded in size and count, and never outside the folder that was named."""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from stencilkit.errors import SourceError, StencilkitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much an archive may hold: members, and bytes when unpacked."""

    members: int
    size: int


# CPython 3.15 has 5,600 members and 140 MB.
SOURCE_BOUNDS: Final = Bounds(members=20_000, size=1 << 30)


def check_name(name: str, *, archive: str, error: type[StencilkitError]) -> PurePosixPath:
    """Return a member's path if it stays inside the folder it is unpacked to.

    Raises: `error` for absolute paths, "..", drive letters and backslashes.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise error(f"the archive has a member with an unsafe path: {name!r}", where=archive)
    return path


def unpack_source(archive: Path, folder: Path, bounds: Bounds = SOURCE_BOUNDS) -> None:
    """Unpack a source tarball's single top-level folder as `folder`.

    Only regular files and folders are taken; links that stay inside (CPython has none that the JIT needs) are
    skipped, other kinds are refused.

    Raises: SourceError.
    """
    try:
        with tarfile.open(archive) as tar:
            _unpack_members(tar, archive, folder, bounds)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise SourceError(f"cannot unpack the archive: {error}", where=str(archive), fix="fetch it again") from None


def _unpack_members(tar: tarfile.TarFile, archive: Path, folder: Path, bounds: Bounds) -> None:
    total = 0
    for count, member in enumerate(tar, start=1):
        path = check_name(member.name, archive=str(archive), error=SourceError)
        total += member.size
        if count > bounds.members or total > bounds.size:
            raise SourceError("the archive is larger than any CPython source", where=str(archive))
        if member.isdev() or member.isfifo():
            raise SourceError(f"the archive has a device: {member.name!r}", where=str(archive))
        file = tar.extractfile(member) if member.isreg() else None
        if file is not None and len(path.parts) > 1:
            target = folder.joinpath(*path.parts[1:])
            _write_member(file, target, executable=bool(member.mode & 0o100))
            # make compares times, so a tree must keep the ones it was released with:
            os.utime(target, (member.mtime, member.mtime))


def _write_member(file: IO[bytes], target: Path, *, executable: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
    if executable:
        target.chmod(target.stat().st_mode | 0o111)
