"""Folders that other users may reach: made private, refused when not ours, never left through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stencilkit.errors import OutputError
from stencilkit.support import environ, files, private
from stencilkit.support.cache import Store

KEY = "ab" * 32


class Elsewhere:
    """A file of the victim's, to which somebody lets links point."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "precious"
        self.path.write_bytes(b"mine")

    def untouched(self) -> bool:
        return self.path.read_bytes() == b"mine" and sorted(self.path.parent.iterdir()) == [self.path]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    (tmp_path / "elsewhere").mkdir()
    return Elsewhere(tmp_path / "elsewhere")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "entries")


def test_the_cache_is_made_for_one_user(store: Store) -> None:
    old = os.umask(0o002)
    try:
        store.put(KEY, b"content")
    finally:
        os.umask(old)
    assert store.root.parent.stat().st_mode & 0o777 == 0o700
    assert store.root.stat().st_mode & 0o777 == 0o700
    assert (store.root / KEY[:2] / KEY).stat().st_mode & 0o777 == 0o600


def test_an_entry_that_is_a_link_is_neither_read_nor_written_through(store: Store, elsewhere: Elsewhere) -> None:
    store.put(KEY, b"content")
    path = store.root / KEY[:2] / KEY
    good = path.read_bytes()
    elsewhere.path.write_bytes(good)
    path.unlink()
    path.symlink_to(elsewhere.path)
    assert store.get(KEY) is None
    elsewhere.path.write_bytes(b"mine")
    store.put(KEY, b"other")
    assert elsewhere.untouched()
    assert store.get(KEY) == b"other"


def test_a_folder_of_entries_that_is_a_link_is_not_entered(store: Store, elsewhere: Elsewhere) -> None:
    store.put("cd" * 32, b"content")
    (store.root / KEY[:2]).symlink_to(elsewhere.path.parent)
    store.put(KEY, b"content")
    assert store.get(KEY) is None
    assert elsewhere.untouched()


def test_a_temporary_name_that_is_taken_is_no_way_out(store: Store, elsewhere: Elsewhere) -> None:
    store.put(KEY, b"content")
    (store.root / KEY[:2] / f".{KEY}.{os.getpid()}.tmp").symlink_to(elsewhere.path)
    store.put(KEY, b"other")
    assert elsewhere.untouched()
    assert store.get(KEY) == b"other"


def test_a_tag_that_is_a_link_is_left_alone(store: Store, elsewhere: Elsewhere) -> None:
    store.root.parent.mkdir()
    (store.root.parent / "CACHEDIR.TAG").symlink_to(elsewhere.path.with_name("new"))
    store.put(KEY, b"content")
    assert store.get(KEY) == b"content"
    assert elsewhere.untouched()


@pytest.mark.parametrize("make", ["link", "fifo", "folder"])
def test_something_else_in_the_place_of_a_lock_is_an_error(make: str, tmp_path: Path, elsewhere: Elsewhere) -> None:
    lock = tmp_path / "a.lock"
    if make == "link":
        lock.symlink_to(elsewhere.path.with_name("new"))
    elif make == "fifo":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(OutputError, match="lock file"), files.locked(lock):
        pass
    assert elsewhere.untouched()


@pytest.mark.parametrize("special", ["fifo", "sparse"])
def test_an_entry_that_is_no_entry_is_not_read(special: str, store: Store) -> None:
    store.put(KEY, b"content")
    path = store.root / KEY[:2] / KEY
    path.unlink()
    if special == "fifo":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(3 << 30)
    assert store.get(KEY) is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    for variable, root in (("STENCILKIT_CACHE", environ.cache_root), ("STENCILKIT_DATA", environ.data_root)):
        monkeypatch.setenv(variable, str(folder))
        with pytest.raises(OutputError, match="other users can write to it") as caught:
            root()
        assert caught.value.where == str(folder)
        assert "chmod -R go-w" in caught.value.fix
    with pytest.raises(OutputError):
        Store(folder / "entries").put(KEY, b"content")
    folder.chmod(0o755)
    assert environ.cache_root() == folder


@pytest.mark.parametrize(("user", "said"), [(1000, "of your own"), (0, "sudo -H")])
def test_a_folder_of_somebody_else_is_refused(
    user: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sudo, HOME may still be the user's, who would decide what root builds."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        return os.stat_result([4242 if index == 4 else value for index, value in enumerate(real(path))][:10])

    monkeypatch.setattr(Path, "lstat", lstat)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(OutputError, match=f"belongs to user 4242, and this is user {user}") as caught:
        private.check(folder)
    assert said in caught.value.fix


def test_a_link_of_the_users_own_leads_to_the_cache(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "large")
    store = Store(private.check(tmp_path / "cache") / "entries")
    store.put(KEY, b"content")
    assert store.get(KEY) == b"content"
    (tmp_path / "large").chmod(0o777)
    with pytest.raises(OutputError):
        private.check(tmp_path / "cache")


def test_where_there_are_no_users_nobody_is_distrusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows: the profile's own access control decides."""
    tmp_path.chmod(0o777)
    with pytest.raises(OutputError, match="not safe to use"):
        private.check(tmp_path)
    monkeypatch.delattr(os, "geteuid")
    assert private.check(tmp_path) == tmp_path


def test_where_folders_cannot_be_opened_files_are_still_written_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    private.write(tmp_path, "a", "b", data=b"one")
    private.write(tmp_path, "a", "b", data=b"two")
    assert private.read(tmp_path, "a", "b", limit=10) == b"two"
    with pytest.raises(FileExistsError):
        private.write(tmp_path, "a", "b", data=b"three", replace=False)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_folder_on_the_way_that_others_can_write_to_is_not_followed(tmp_path: Path) -> None:
    private.write(tmp_path, "a", "b", data=b"mine")
    (tmp_path / "a").chmod(0o777)
    assert private.read(tmp_path, "a", "b", limit=10) is None
    with pytest.raises(PermissionError, match="other users can write to it"):
        private.write(tmp_path, "a", "b", data=b"again")
    (tmp_path / "a").chmod(0o700)
    assert private.read(tmp_path, "a", "b", limit=10) == b"mine"
