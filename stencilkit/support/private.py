"""Folders of ours that other users may reach: made private, opened without following links, refused when not ours.

Whoever may write to the cache decides what a build is made of, and a symbolic link in the place of an entry, a lock or
a tag makes us write elsewhere. Windows keeps these folders below the user's profile, which has its own access control.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from pathlib import Path
from typing import Final

from stencilkit.errors import OutputError

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
# A FIFO would keep us waiting.
_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
_OTHERS_WRITE: Final = 0o022
_ROOT: Final = 0


def check(folder: Path) -> Path:
    """Return a folder if it is not there yet, or nobody but this user and root can write to it.

    Raises: OutputError.
    """
    for path in dict.fromkeys((folder, Path(os.path.realpath(folder)))):
        try:
            status = path.lstat()
        except OSError:
            return folder
        if problem := _problem(status):
            raise OutputError(f"this folder is not safe to use: {problem[0]}", where=str(path), fix=problem[1])
    return folder


def _problem(status: os.stat_result) -> tuple[str, str] | None:
    """Return why a file or folder cannot be trusted, and what to do about it."""
    if not hasattr(os, "geteuid"):
        return None
    user = os.geteuid()
    if status.st_uid not in (user, _ROOT):
        why = f"it belongs to user {status.st_uid}, and this is user {user}"
        fix = "set STENCILKIT_CACHE and STENCILKIT_DATA to folders of your own"
        return why, f"{fix}, or run this without sudo (sudo -H has a home of its own)" if user == _ROOT else fix
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & _OTHERS_WRITE:
        return f"other users can write to it (mode {status.st_mode & 0o777:o})", "chmod -R go-w it, if they never did"
    return None


def make(folder: Path) -> Path:
    """Make a folder for this user alone, and its parents as the umask says; check one that is there.

    Raises: OutputError where it is not safe to use; OSError where it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return check(folder)


def read(root: Path, *names: str, limit: int) -> bytes | None:
    """Read a file below a folder, None where there is none that is regular, not larger than `limit`, and ours."""
    try:
        with contextlib.ExitStack() as stack:
            descriptor = _open(root, names, _READ, stack)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit or _problem(status):
                return None
            # Not `limit`, for which room would be made each time.
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(status.st_size)
    except OSError:
        return None


def write(root: Path, *names: str, data: bytes, replace: bool = True) -> None:
    """Write a file below a folder: whole, under a name that is new, and then in its place; or only where none is.

    Raises: OSError.
    """
    *folders, name = names
    temporary = f".{name}.{os.getpid()}.tmp" if replace else name
    below = root
    for folder in folders:
        below = below / folder
        with contextlib.suppress(FileExistsError):
            below.mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        if replace:
            # What a process of this number left that was killed.
            (below / temporary).unlink(missing_ok=True)
        descriptor = _open(root, (*folders, temporary), _CREATE, stack)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(data)
            if replace:
                (below / temporary).replace(below / name)
        except BaseException:
            (below / temporary).unlink(missing_ok=True)
            raise


def _open(root: Path, names: tuple[str, ...], flags: int, stack: contextlib.ExitStack) -> int:
    """Open a file below a folder; no step on the way may be a link. The stack closes what was opened."""
    if os.open not in os.supports_dir_fd:
        descriptor = os.open(root.joinpath(*names), flags, 0o600)
        stack.callback(os.close, descriptor)
        return descriptor
    # The folder itself may be a link of the user's, which `check` has looked at.
    folder = os.open(_followed(root), _FOLDER)
    stack.callback(os.close, folder)
    for name in names[:-1]:
        folder = os.open(name, _FOLDER, dir_fd=folder)
        stack.callback(os.close, folder)
        if problem := _problem(os.fstat(folder)):
            raise PermissionError(problem[0])
    descriptor = os.open(names[-1], flags, 0o600, dir_fd=folder)
    stack.callback(os.close, descriptor)
    return descriptor


@functools.lru_cache(maxsize=16)
def _followed(root: Path) -> str:
    """Follow the links of a path once: a store is asked for hundreds of entries."""
    return os.path.realpath(root)


def open_lock(path: Path) -> int:
    """Open a lock file, or make it; return the descriptor.

    Raises: OutputError where something else is in its place.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | _NO_LINK, 0o600)
    except OSError as error:
        raise OutputError(
            f"cannot use the lock file: {error.strerror}",
            where=str(path),
            fix="remove it, if it is a link or a folder; its folder must be writable",
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OutputError("something else is in the place of a lock file", where=str(path), fix="remove it")
    return descriptor
