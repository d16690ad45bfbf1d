"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import itertools
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stencilkit.errors import OutputError, SourceError
from stencilkit.support import files, together

OLD = {"a": b"old a", "b": b"old b"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c"}
# No process has a number like this (Linux: PID_MAX_LIMIT is 2**22).
DEAD = 999_999_999


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_files_are_written_with_the_mode_that_the_umask_allows(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert files.write_together(tmp_path / "x" / "y", NEW) == dict.fromkeys(NEW, True)
    finally:
        os.umask(old)
    assert contents(tmp_path / "x" / "y") == NEW
    assert (tmp_path / "x/y/a").stat().st_mode & 0o777 == 0o640


def test_what_would_not_change_is_not_touched(tmp_path: Path) -> None:
    files.write_together(tmp_path, OLD)
    os.utime(tmp_path / "a", (1, 1))
    assert files.write_together(tmp_path, {"a": b"old a", "b": b"changed"}) == {"a": False, "b": True}
    assert (tmp_path / "a").stat().st_mtime == 1
    assert contents(tmp_path) == {"a": b"old a", "b": b"changed"}


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(errno.EPERM, "Operation not permitted"), KeyboardInterrupt()])
def test_a_failed_rename_undoes_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
) -> None:
    files.write_together(tmp_path, OLD)
    real = Path.replace
    calls = []

    def replace(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise error
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        files.write_together(tmp_path, NEW)
    assert contents(tmp_path) == OLD


def test_undoing_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_together(tmp_path, OLD)

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    files.write_together(tmp_path, NEW)
    assert contents(tmp_path) == NEW


class Killed(BaseException):
    """Stands for SIGKILL: nothing is undone."""


@pytest.mark.parametrize("links", [True, False])
def test_a_process_that_is_killed_leaves_no_mixed_set_that_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """At 25 of 49 points, some files were old and the stamp already new, so make took the mixture."""
    old, new = ({name: f"{age} {name}".encode() for name in ("stamp", "a", "b", "manifest")} for age in ("old", "new"))
    steps = [(Path, "replace"), (Path, "unlink"), (os, "link"), (os, "fsync"), (os, "open")]
    seen: list[str] = []
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    folder = tmp_path
    for point in itertools.count():
        folder = tmp_path / str(point)
        files.write_together(folder, old)
        left = [point]
        with monkeypatch.context() as patched:
            patched.setattr(together, "_undo", lambda *_: None)
            for owner, name in steps:
                patched.setattr(owner, name, _counting(getattr(owner, name), left))
            try:
                files.write_together(folder, new, stamps=("stamp", "manifest"))
            except Killed:
                pass
            else:
                break
        found = {name: data for name, data in contents(folder).items() if not name.startswith(".")}
        state = "old" if found == old else "new" if found == new else "unstamped"
        # Where the manifest is there alone, or with a stamp, the files are those that it is for.
        ages = {data.split()[0] for name, data in found.items() if name in ("a", "b")}
        vouched = {found[name].split()[0] for name in ("stamp", "manifest") if name in found}
        assert not vouched or ages == vouched, found
        seen.append(state)
    assert set(seen) == {"old", "unstamped", "new"}
    assert contents(folder) == new
    assert len(seen) > 20


def _no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "no links here")


def _counting(real: Callable[..., object], left: list[int]) -> Callable[..., object]:
    def step(*arguments: object, **more: object) -> object:
        if left[0] <= 0:
            raise Killed
        left[0] -= 1
        return real(*arguments, **more)

    return step


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    mine = [tmp_path / f".{name}.{DEAD}-{n}.tmp" for name in NEW for n in (0, 17)]
    others = [
        tmp_path / f".{name}"
        for name in (f"other.{DEAD}-0.tmp", f"a.{os.getpid()}-0.tmp", f"a.{DEAD}.tmp", "a.tmp", f"a.{DEAD}-0.tmp~")
    ]
    for path in (*mine, *others):
        path.write_bytes(b"half")
    files.write_together(tmp_path, NEW)
    assert not [path for path in mine if path.exists()]
    assert all(path.exists() for path in others)


def test_what_a_killed_probe_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / f".stencilkit.{DEAD}-0.tmp"
    left.write_bytes(b"\n")
    files.check_writable(tmp_path)
    assert contents(tmp_path) == {}


def test_nothing_is_removed_while_somebody_else_is_at_work(tmp_path: Path) -> None:
    """In another container, a process that runs may have a number that no process has here."""
    left = tmp_path / f".a.{DEAD}-0.tmp"
    left.write_bytes(b"half")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
        fcntl.flock(descriptor, kind)
        files.write_together(tmp_path, {"a": str(kind).encode()})
        assert left.exists()
    os.close(descriptor)
    files.write_together(tmp_path, {"a": b"alone"})
    assert not left.exists()


def test_whoever_is_at_work_keeps_others_from_removing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / f".a.{DEAD}-0.tmp"
    real = together._rename_all

    def rename(folder: Path, staged: Mapping[str, Path], vouching: Sequence[str]) -> None:
        if not left.exists():
            left.write_bytes(b"of a process in another container")
            files.write_together(tmp_path, {"a": b"while the other is at work"})
        real(folder, staged, vouching)

    monkeypatch.setattr(together, "_rename_all", rename)
    files.write_together(tmp_path, {"a": b"the first"})
    assert left.exists()


def test_stamps_are_written_again_where_only_another_file_changed(tmp_path: Path) -> None:
    files.write_together(tmp_path, {"a": b"old", "stamp": b""})
    os.utime(tmp_path / "stamp", (1, 1))
    changed = files.write_together(tmp_path, {"stamp": b"", "a": b"new"}, stamps=["stamp"])
    assert changed == {"stamp": False, "a": True}
    assert (tmp_path / "stamp").stat().st_mtime > 1
    # make compares times: a file of this set must not be older than the stamp.
    assert (tmp_path / "stamp").stat().st_mtime_ns <= (tmp_path / "a").stat().st_mtime_ns


def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_together(tmp_path / "there", OLD)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        files.write_together(tmp_path / "there", NEW)
    assert "nothing there was changed" in caught.value.fix
    assert contents(tmp_path / "there") == OLD
    with pytest.raises(OutputError):
        files.write_together(tmp_path / "new" / "deeper", NEW)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_the_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError):
        files.write_together(tmp_path, NEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(OutputError):
        files.write_together(tmp_path / "x" / "y", NEW)
    assert contents(tmp_path) == {"x": b"mine"}


def test_read_text_names_the_file_and_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"abc\xff")
    with pytest.raises(SourceError, match="not UTF-8") as caught:
        files.read_text(path, error=SourceError)
    assert caught.value.where == str(path)
    with pytest.raises(SourceError, match="does not exist"):
        files.read_text(tmp_path / "none", error=SourceError)


def test_walk_is_sorted_and_follows_no_links(tmp_path: Path) -> None:
    for name in ("b/x", "a/z", "a/b/c", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "c")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in files.walk(tmp_path)] == ["a/b/c", "a/z", "b/x", "c"]


def test_who_stops_in_the_middle_leaves_no_listing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1", "a/2", "b/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listings: list[Any] = []
    scandir = os.scandir

    def kept(folder: str) -> Any:
        listings.append(scandir(folder))
        return listings[-1]

    monkeypatch.setattr(os, "scandir", kept)
    found = files.entries(tmp_path)
    next(found)
    assert len(listings) == 2
    # One that is closed lists nothing more.
    assert [list(listing) for listing in listings] == [[], []]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        del found
        listings.clear()
        gc.collect()
    assert not seen


def test_scratch_is_removed_whatever_happens() -> None:
    with pytest.raises(KeyboardInterrupt), files.scratch("test") as folder:
        (folder / "file").write_bytes(b"x")
        raise KeyboardInterrupt
    assert not folder.exists()


def _logs(folder: Path) -> None:
    (folder / "build").mkdir()
    (folder / "build" / "python").write_text("large")
    (folder / "build" / "config.log").write_text("why")


@pytest.mark.parametrize("failing", [True, False])
def test_logs_outlive_a_folder_where_something_failed(failing: bool) -> None:
    with contextlib.suppress(OutputError), files.lasting("test", "*.log") as (folder, keep):
        _logs(folder)
        if failing:
            raise OutputError("see the log")
        keep()
    assert [path.relative_to(folder).as_posix() for path in files.walk(folder)] == ["build/config.log"]
    assert (folder / "build/config.log").read_text() == "why"
    shutil.rmtree(folder)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_nothing_outlives_it_where_all_went_well_or_somebody_stopped_it(error: type[BaseException] | None) -> None:
    with contextlib.suppress(KeyboardInterrupt), files.lasting("test", "*.log") as (folder, _):
        _logs(folder)
        if error:
            raise error
    assert not folder.exists()


def test_scratch_without_room_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with pytest.raises(OutputError, match="temporary folder") as caught, files.scratch("test"):
        pass
    assert "TMPDIR" in caught.value.fix


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    """Python's own error for it names the number of a descriptor."""
    with pytest.raises(SourceError, match="it is not a regular file") as caught:
        files.read_text(tmp_path, error=SourceError)
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize(
    ("make", "what", "step"),
    [
        (lambda path: path.symlink_to(path.name), "cannot read it: Too many levels of symbolic links", "permissions"),
        (lambda path: path.symlink_to("/proc/self/mem"), "cannot read it: Input/output error", "permissions"),
        (os.mkfifo, "it is not a regular file", "give a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file", "give a regular file"),
        (lambda path: path.write_bytes(bytes(101)), "it has 101 bytes", "the file that is meant"),
        (lambda path: path.write_bytes(b"ab\xff"), "this is not UTF-8 text (byte 2)", "the file that is meant"),
    ],
    ids=["loop", "memory", "fifo", "device", "large", "text"],
)
def test_whatever_cannot_be_read_is_named_with_a_next_step(
    make: Callable[[Path], object], what: str, step: str, tmp_path: Path
) -> None:
    make(tmp_path / "x")
    with pytest.raises(SourceError) as caught:
        files.read_text(tmp_path / "x", error=SourceError, limit=100)
    assert caught.value.what.startswith(what)
    assert caught.value.where == str(tmp_path / "x")
    assert step in caught.value.fix
    with pytest.raises(SourceError) as caught:
        files.read_text(tmp_path / "x", error=SourceError, limit=100, fix="the caller's")
    assert caught.value.fix == "the caller's"


def test_a_file_that_says_that_it_is_empty_is_read_as_far_as_the_limit() -> None:
    data = files.read_bytes(Path("/proc/self/status"), error=SourceError, limit=1 << 20)
    assert data.startswith(b"Name:")
    assert files.read_bytes(Path("/proc/self/status"), error=SourceError, limit=20) == data[:20]


def test_a_file_as_large_as_the_limit_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, error=SourceError, limit=5) == b"12345"
    with pytest.raises(SourceError, match="it has 5 bytes"):
        files.read_bytes(path, error=SourceError, limit=4)


def test_the_file_of_a_process_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs, whoever may not signal it."""
    (tmp_path / f".a.{DEAD}-0.tmp").write_bytes(b"half")

    def kill(_process: int, _signal: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "kill", kill)
    files.write(tmp_path / "a", b"whole")
    assert contents(tmp_path) == {f".a.{DEAD}-0.tmp": b"half", "a": b"whole"}


@pytest.mark.parametrize("write", [files.write_together, lambda folder, _: files.check_writable(folder)])
def test_a_folder_that_another_run_removes_is_made_again(
    write: Callable[[Path, dict[str, bytes]], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That run had made it, to see whether it can be written to."""
    staged, folder, removed = together._staged, tmp_path / "x" / "y", list[Path]()

    def stage(where: Path, contents: dict[str, bytes], *, executable: bool) -> Any:  # a context manager
        if len(removed) < 2:
            where.rmdir()
            where.parent.rmdir()
            removed.append(where)
        return staged(where, contents, executable=executable)

    monkeypatch.setattr(together, "_staged", stage)
    write(folder, NEW)
    assert removed == [folder, folder]
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} in (NEW, {})


def test_a_folder_that_is_removed_all_the_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = together._staged

    def stage(where: Path, contents: dict[str, bytes], *, executable: bool) -> Any:  # a context manager
        where.rmdir()
        return staged(where, contents, executable=executable)

    monkeypatch.setattr(together, "_staged", stage)
    with pytest.raises(OutputError, match="No such file or directory"):
        files.write_together(tmp_path / "x", NEW)
