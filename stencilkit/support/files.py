"""Write files whole or not at all, and leave files alone that would not change."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from stencilkit.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the module, or None

_CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """Hash a file's content."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def write(path: Path, data: bytes, *, executable: bool = False) -> bool:
    """Write one file atomically; return whether it changed.

    Raises: OutputError.
    """
    return write_together(path.parent, {path.name: data}, executable=executable)[path.name]


def write_together(folder: Path, contents: Mapping[str, bytes], *, executable: bool = False) -> dict[str, bool]:
    """Write several files of one folder so that a failure leaves all of them as they were.

    Every new content is on disk under a temporary name before the first rename. Files that would not change are
    not touched. Returns which files changed.

    Raises: OutputError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        changed = {name: not _same(folder / name, data) for name, data in contents.items()}
        with _staged(folder, {n: d for n, d in contents.items() if changed[n]}, executable=executable) as staged:
            for name, temporary in staged.items():
                temporary.replace(folder / name)
            if staged:
                _sync_folder(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {error.filename or folder}: {error.strerror or error}",
            where=str(folder),
            fix="choose a folder that is writable and has room (--out); nothing there was changed",
        ) from None
    return changed


@contextlib.contextmanager
def _staged(folder: Path, contents: Mapping[str, bytes], *, executable: bool) -> Iterator[dict[str, Path]]:
    staged: dict[str, Path] = {}
    try:
        for name, data in contents.items():
            descriptor, staged[name] = _create_beside(folder / name, executable=executable)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        yield staged
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _create_beside(path: Path, *, executable: bool) -> tuple[int, Path]:
    """Create a new file beside a path; its mode is what the umask allows (tempfile's would be private)."""
    for attempt in itertools.count():
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{attempt}.tmp")
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            return os.open(temporary, flags, 0o777 if executable else 0o666), temporary
    raise AssertionError("unreachable")


def _same(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return False


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def walk(root: Path) -> Iterator[Path]:
    """List every regular file below a folder, sorted by relative path, without following links."""
    found: list[Path] = []
    for folder, _, names in os.walk(root):
        found.extend(Path(folder, name) for name in names)
    yield from sorted(
        (path for path in found if path.is_file() and not path.is_symlink()),
        key=lambda path: path.relative_to(root).as_posix(),
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes respect while the block runs (flock(2); Windows: no lock)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
