"""Give several files of one folder their new contents: all of them, or none.

Every new content is on disk under a temporary name (a hidden one, with the number of this process) before the first
file gets its name. An exception undoes what was done. SIGKILL leaves temporary files, which the next run that writes
files of these names removes (`_sweep`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the module, or None

Done = TypeVar("Done")
_ATTEMPTS: Final = 5
_TEMPORARY: Final = re.compile(r"\.(?P<name>.+)\.(?P<process>[0-9]{1,9})-[0-9]+\.tmp")


def replace(
    folder: Path, contents: Mapping[str, bytes], *, stamps: Collection[str], executable: bool
) -> dict[str, bool]:
    """Replace the files of a folder that would change; return which ones did. `stamps` vouch for the others.

    Raises: OSError; all files are as they were then, and folders that were made for them are gone.
    """
    return _while_there(lambda: _replace(folder, contents, stamps, executable=executable))


def _replace(
    folder: Path, contents: Mapping[str, bytes], stamps: Collection[str], *, executable: bool
) -> dict[str, bool]:
    with _made_folder(folder), _at_work(folder, contents):
        changed = {name: not _same(folder / name, data) for name, data in contents.items()}
        vouching = [name for name in contents if name in stamps] if any(changed.values()) else []
        new = {name: data for name, data in contents.items() if changed[name] or name in vouching}
        with _staged(folder, new, executable=executable) as staged:
            _rename_all(folder, staged, vouching)
            if staged:
                _sync_folder(folder)
    return changed


def try_out(folder: Path) -> None:
    """Write a file to a folder, and remove it again, with the folder if it was not there.

    Raises: OSError.
    """
    _while_there(lambda: _try_out(folder))


def _while_there(work: Callable[[], Done]) -> Done:
    """Do something in a folder; again where it went, as another run removes it that has made it to try it out.

    `mkdir` says that a folder exists where it went between two of its looks.
    """
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            return work()
    return work()


def _try_out(folder: Path) -> None:
    missing: list[Path] = []
    try:
        missing = _missing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        probe = {"stencilkit": b"\n"}
        with _at_work(folder, probe), _staged(folder, probe, executable=False):
            pass
    finally:
        _remove(missing)


@contextlib.contextmanager
def _at_work(folder: Path, names: Collection[str]) -> Iterator[None]:
    """Hold a lock on a folder which others may hold, too; whoever finds nobody at work there sweeps first.

    It is a lock of flock(2) on the folder itself: it leaves no file, ends with the process, and works across
    containers. Where there is none (Windows, some network file systems), nothing is swept.
    """
    with contextlib.ExitStack() as stack:
        # Windows does not open folders; and one that cannot be read can still be written to.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            if _lock(descriptor, exclusive=True):
                _sweep(folder, names)
            # Whether or not it is had: flock(1), around a whole build, holds the other kind for as long as that runs.
            _lock(descriptor, exclusive=False)
        yield


def _lock(descriptor: int, *, exclusive: bool) -> bool:
    """Take a lock if it is free, in exchange for one that is held; return whether it was."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_NB | (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH))
            return True
    return False


def _sweep(folder: Path, names: Collection[str]) -> None:
    """Remove the temporary files of these names whose process has ended: it was killed."""
    for path in sorted(folder.iterdir()):
        found = _TEMPORARY.fullmatch(path.name)
        if found and found["name"] in names and not _runs(int(found["process"])):
            with contextlib.suppress(OSError):
                path.unlink()


def _runs(process: int) -> bool:
    """Return whether there is such a process on this machine; the lock speaks for those of other containers."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the path into errors that have none: a write that finds the disk full does not say which file it was for."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def _missing(folder: Path) -> list[Path]:
    """List a folder and its parents as far as they are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove(folders: Sequence[Path]) -> None:
    for path in folders:
        # One that something else was put into in the meantime stays.
        with contextlib.suppress(OSError):
            path.rmdir()


@contextlib.contextmanager
def _made_folder(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; if the block fails, remove those that were not there before."""
    missing = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        _remove(missing)
        raise


def _rename_all(folder: Path, staged: Mapping[str, Path], vouching: Sequence[str]) -> None:
    """Give all files their names, or none; `vouching` ones are away while the others change."""
    kept: dict[str, Path | None] = {}
    others = [name for name in staged if name not in vouching]
    try:
        for name in vouching:
            kept[name] = _keep_old(folder / name)
            (folder / name).unlink(missing_ok=True)
        if vouching and others:
            _sync_folder(folder)
        for name in others:
            kept[name] = _keep_old(folder / name)
            staged[name].replace(folder / name)
        if vouching and others:
            _sync_folder(folder)
        for name in vouching:
            staged[name].replace(folder / name)
    except BaseException:
        _undo(folder, staged, kept, vouching)
        raise
    for old in kept.values():
        if old is not None:
            old.unlink(missing_ok=True)


def _undo(folder: Path, staged: Mapping[str, Path], kept: Mapping[str, Path | None], vouching: Sequence[str]) -> None:
    """Give the old files their names back, those that vouch for the others last."""
    for name in vouching:
        if not staged[name].exists():
            (folder / name).unlink(missing_ok=True)
    for name in sorted(kept, key=lambda name: name in vouching):
        old = kept[name]
        if old is not None:
            old.replace(folder / name)
            # Renaming a file to another name of itself does nothing (POSIX, rename):
            old.unlink(missing_ok=True)
        elif not staged[name].exists():
            (folder / name).unlink(missing_ok=True)


def _keep_old(path: Path) -> Path | None:
    """Give the file at a path a second name; None where there is none. The path is never without its file."""
    if not path.exists():
        return None
    descriptor, old = _create_beside(path, executable=False)
    os.close(descriptor)
    try:
        # A link cannot be made over a file: the free name is what the file was created for.
        old.unlink()
        os.link(path, old)
    except OSError:  # a file system without hard links
        shutil.copy2(path, old)
    return old


@contextlib.contextmanager
def _staged(folder: Path, contents: Mapping[str, bytes], *, executable: bool) -> Iterator[dict[str, Path]]:
    staged: dict[str, Path] = {}
    try:
        for name, data in contents.items():
            descriptor, staged[name] = _create_beside(folder / name, executable=executable)
            with naming(folder / name), os.fdopen(descriptor, "wb") as file:
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
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
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
