"""Write files whole or not at all, and leave files alone that would not change."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from stencilkit.errors import OutputError, StencilkitError
from stencilkit.support import limits, private, together

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the module, or None

# File systems count in up to two seconds, and some have another machine's clock.
_CLOCKS = 2_000_000_000


def sha256(path: Path) -> str:
    """Hash a file's content."""
    return digest(path, "sha256")


def digest(path: Path, name: str) -> str:
    """Hash a file's content with one of hashlib's functions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to: device, number, size and times; () for none.

    The time of change cannot be set back, as that of the content can.
    """
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def young(paths: Iterable[Path], moment: int) -> list[Path]:
    """List those that may have been changed since a moment, in nanoseconds since 1970, or are not there.

    A link is young where it is, or what it leads to; a folder where something in it, or its own name, is new.
    """
    return [path for path in paths if not _is_older(path, moment)]


def _is_older(path: Path, moment: int) -> bool:
    try:
        statuses = path.lstat(), path.stat()
    except OSError:
        return False
    return all(max(status.st_mtime_ns, status.st_ctime_ns) < moment - _CLOCKS for status in statuses)


def starts_with(path: Path, beginning: bytes) -> bool:
    """Return whether there is a file that starts with some bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(beginning)) == beginning
    except OSError:
        return False


def missing(path: Path, error: type[StencilkitError], where: str = "") -> StencilkitError:
    """Make the error about a path at which there is nothing; `where` says who named it."""
    fix = "check the path; relative ones start from the current folder"
    return error(f"{path} does not exist", where=where, fix=fix)


def open_regular(path: Path, limit: int, *, error: type[StencilkitError], fix: str = "") -> IO[bytes]:
    """Open a file of the user's that is a file: no FIFO, which waits, no device, which never ends.

    `limit` is the number of bytes that it may have.

    Raises: `error`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise missing(path, error) from None
    except OSError as problem:
        raise _unreadable(path, problem, error, fix) from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= limit:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        what = f"it has {status.st_size} bytes, and nothing that belongs here has more than {limit}"
        raise error(what, where=str(path), fix=fix or "check that this is the file that is meant")
    raise error("it is not a regular file", where=str(path), fix=fix or "give a regular file")


def _unreadable(path: Path, problem: OSError, error: type[StencilkitError], fix: str) -> StencilkitError:
    what = f"cannot read it: {problem.strerror or problem}"
    return error(what, where=str(path), fix=fix or "check what is there, and its permissions")


def read_bytes(path: Path, *, error: type[StencilkitError], limit: int = limits.TEXT, fix: str = "") -> bytes:
    """Read a file of the user's.

    Raises: `error` where it cannot be read, is not a regular file, or has more bytes than `limit`.
    """
    with open_regular(path, limit, error=error, fix=fix) as file, limits.bounded(error, str(path)):
        try:
            # Python makes room for what is asked for: for all of the limit, that took longer than to read a header.
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size + 1, limit))
            # It grows, or it is one of the kernel's, which say that they are empty.
            return data + file.read(limit - len(data)) if len(data) > size else data
        except OSError as problem:
            raise _unreadable(path, problem, error, fix) from None


def read_text(path: Path, *, error: type[StencilkitError], limit: int = limits.TEXT, fix: str = "") -> str:
    """Read a text file of the user's; line ends stay what they are.

    Raises: `error` where it cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path, error=error, limit=limit, fix=fix).decode("utf-8")
    except UnicodeDecodeError as problem:
        what = f"this is not UTF-8 text (byte {problem.start})"
        raise error(what, where=str(path), fix=fix or "check that this is the file that is meant") from None


def write(path: Path, data: bytes, *, executable: bool = False) -> bool:
    """Write one file atomically; return whether it changed.

    Raises: OutputError.
    """
    return write_together(path.parent, {path.name: data}, executable=executable)[path.name]


def write_together(
    folder: Path, contents: Mapping[str, bytes], *, stamps: Collection[str] = (), executable: bool = False
) -> dict[str, bool]:
    """Write several files of one folder so that a failure leaves all of them as they were.

    Every new content is on disk under a temporary name before the first rename, and a rename that fails (or an
    interruption) undoes those before it. Folders that a failed run made are removed again. Files that would not change
    are not touched. Returns which files changed.

    `stamps` are the files that vouch for the others (a manifest, what make compares). If anything changes, they are
    gone before the first of the others gets its name, and the last to get theirs: a process that is killed at any point
    leaves all of the old set, all of the new one, or files that nothing vouches for.

    Raises: OutputError.
    """
    try:
        return together.replace(folder, contents, stamps=stamps, executable=executable)
    except OSError as error:
        raise unwritable(folder, error) from None


def check_writable(folder: Path) -> None:
    """See that files can be written to a folder, or that it can be made: before work that would be in vain.

    Raises: OutputError.
    """
    try:
        together.try_out(folder)
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(folder: Path, error: OSError) -> OutputError:
    """Describe why files cannot be written to a folder, which is as it was."""
    return OutputError(
        f"cannot write {error.filename or folder}: {error.strerror or error}",
        where=str(folder),
        fix="choose a folder that is writable and has room; nothing there was changed",
    )


@contextlib.contextmanager
def fresh_beside(path: Path) -> Iterator[Path]:
    """Make a folder beside a path that nobody else has, for what gets its name when it is whole; remove what is left.

    The number of a process does not serve as a name: containers that share a disk have the same ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """Make a temporary folder and remove it again, whatever happens."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"stencilkit-{purpose}-")
    except OSError as error:
        raise OutputError(
            f"cannot use the temporary folder: {error.strerror or error}",
            where=tempfile.gettempdir(),
            fix="make room there, or set TMPDIR to another folder",
        ) from None
    with folder as name:
        yield Path(name).resolve()


@contextlib.contextmanager
def lasting(purpose: str, pattern: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Make a temporary folder, and a function to call so that the files in it that match a pattern outlive it.

    They do, too, where the block raises a StencilkitError, which may name them. All else is removed.
    """
    wanted: list[bool] = []
    kept: dict[Path, bytes] = {}
    try:
        with scratch(purpose) as folder:
            try:
                yield folder, lambda: wanted.append(True)
            except StencilkitError:
                wanted.append(True)
                raise
            finally:
                if wanted:
                    kept = {path: path.read_bytes() for path in walk(folder) if fnmatchcase(path.name, pattern)}
    finally:
        for path, data in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def folders(root: Path, names: Iterable[str]) -> list[Path]:
    """List the folders below a root that there are of some names, in their order."""
    return [root / name for name in names if (root / name).is_dir()]


def walk(root: Path) -> Iterator[Path]:
    """List every regular file below a folder, sorted by relative path, without following links."""
    # All begin with the folder, so this is the order of what follows it.
    yield from map(Path, sorted((entry.path for entry in entries(root)), key=lambda place: place.replace(os.sep, "/")))


def entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """List every regular file below a folder that can be read, in any order, without following links."""
    for entry in _listed(folder):
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                yield from entries(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """List a folder at once: whoever stops in the middle of `entries` leaves no listing open."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def copy_parts(root: Path, to: Path, parts: Sequence[str]) -> None:
    """Copy those folders below a root that are there, without compiled Python."""
    for part in parts:
        if (root / part).is_dir():
            shutil.copytree(root / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes respect while the block runs (flock(2); Windows: no lock)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = private.open_lock(path)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock while the block runs, without waiting for it; yield whether it was free (Windows: always).

    Raises: OutputError where its folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = private.open_lock(path)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    try:
        free = True
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
        yield free
    finally:
        os.close(descriptor)


def tail(log: Path, lines: int = 15) -> str:
    """Read the last lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
