"""The cache: bounded, distrustful of itself, and never a reason to fail."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stencilkit import cli
from stencilkit.cli import _options
from stencilkit.errors import OutputError
from stencilkit.support import files
from stencilkit.support.cache import ENTRIES, NoStore, Store, key_of

KEYS = [f"{number:02x}{'0' * 62}" for number in range(8)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "entries")


def entry(store: Store, key: str) -> Path:
    return store.root / key[:2] / key


def test_what_was_put_is_got(store: Store) -> None:
    assert store.get(KEYS[0]) is None
    store.put(KEYS[0], b"content")
    assert store.get(KEYS[0]) == b"content"
    assert store.info().entries == 1
    assert (store.root.parent / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_what_cannot_be_read_is_forgotten_and_other_errors_are_not(store: Store) -> None:
    for key, content in zip(KEYS, (b"7", b"seven", b"8"), strict=False):
        store.put(key, content)
    assert store.read(KEYS[0], int, ValueError) == 7
    assert store.read(KEYS[1], int, ValueError) is None
    assert store.read(KEYS[3], int, ValueError) is None
    assert (store.get(KEYS[1]), store.damaged) == (None, 1)
    with pytest.raises(TypeError):
        store.read(KEYS[2], len(b""), ValueError)  # type: ignore[arg-type]  # a bug, and not damage
    assert store.get(KEYS[2]) == b"8"


def test_a_key_is_of_all_its_parts() -> None:
    keys = {key_of("a", "b"), key_of("ab"), key_of(["a", "b"]), key_of("a", "b", 1), key_of("a", "b", "1")}
    assert len(keys) == 5
    assert key_of("a", ["b", 1]) == key_of("a", ("b", 1))


@pytest.mark.parametrize("position", [0, 31, 32, 38])
def test_every_changed_byte_is_found(store: Store, position: int) -> None:
    store.put(KEYS[0], b"content")
    raw = bytearray(entry(store, KEYS[0]).read_bytes())
    raw[position] ^= 1
    entry(store, KEYS[0]).write_bytes(raw)
    assert store.get(KEYS[0]) is None
    assert store.damaged == 1
    assert not entry(store, KEYS[0]).exists()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 38])
def test_every_truncation_is_found(store: Store, size: int) -> None:
    store.put(KEYS[0], b"content")
    entry(store, KEYS[0]).write_bytes(entry(store, KEYS[0]).read_bytes()[:size])
    assert store.get(KEYS[0]) is None


def test_an_entry_under_another_key_is_damaged(store: Store) -> None:
    """Two entries that were exchanged have good digests of their content, and gave wrong stencils in silence."""
    store.put(KEYS[0], b"content of 0")
    store.put(KEYS[1], b"content of 1")
    first, second = entry(store, KEYS[0]).read_bytes(), entry(store, KEYS[1]).read_bytes()
    entry(store, KEYS[0]).write_bytes(second)
    entry(store, KEYS[1]).write_bytes(first)
    assert [store.get(key) for key in KEYS[:2]] == [None, None]
    assert store.damaged == 2


def test_a_damaged_entry_that_cannot_be_removed_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEYS[0], b"content")
    entry(store, KEYS[0]).write_bytes(b"damage")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    assert store.get(KEYS[0]) is None


def test_a_store_that_cannot_be_written_forgets(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "entries")
    store.put(KEYS[0], b"content")
    assert store.get(KEYS[0]) is None


def test_an_interrupted_put_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEYS[0], b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.put(KEYS[0], b"new")
    assert store.get(KEYS[0]) == b"old"
    assert store.info().entries == 1


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "entries", bound=3 * (32 + 10))
    for age, key in enumerate(KEYS[:5]):
        store.put(key, bytes(10))
        os.utime(entry(store, key), (1000 + age, 1000 + age))
    # Reading is using:
    assert store.get(KEYS[0]) is not None
    assert store.trim() == 2
    assert [store.get(key) is not None for key in KEYS[:5]] == [True, False, False, True, True]
    assert store.info().size <= store.bound
    assert store.trim() == 0


@pytest.mark.parametrize(("bound", "whole"), [(2 * 16 * 64 * (32 + 10) + 1, False), (2 * 16 * 64 * (32 + 10), True)])
def test_a_store_that_has_room_is_not_listed_whole(
    bound: int, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "entries", bound=bound)
    listed: list[str | Path] = []
    entries = files.entries

    def noting(folder: str | Path) -> Iterator[os.DirEntry[str]]:
        listed.append(folder)
        yield from entries(folder)

    monkeypatch.setattr(files, "entries", noting)
    for number in range(63):
        store.put(f"a{number:063x}", bytes(10))
    assert store.trim() == 0
    assert store.root in listed, "of so few, a part says nothing"
    listed.clear()
    store.put(f"ab{0:062x}", bytes(10))
    assert store.trim() == 0
    assert (store.root in listed) == whole
    assert {store.root / "a0", store.root / "ab"} <= set(listed)


def test_clear_says_what_it_could_not_remove(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEYS[0], b"content")
    store.clear()
    assert store.info().entries == 0
    store.put(KEYS[0], b"content")
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(OutputError, match="cannot remove 1 file of"):
        store.clear()


def test_no_store_holds_nothing() -> None:
    store = NoStore()
    store.put(KEYS[0], b"content")
    assert store.get(KEYS[0]) is None
    assert store.trim() == 0
    assert store.programs is store


def test_no_store_knows_what_another_knows_of_programs(tmp_path: Path) -> None:
    kept = Store(tmp_path / "store")
    kept.put(KEYS[0], b"content")
    store = NoStore(programs=kept)
    assert store.get(KEYS[0]) is None
    assert store.programs.get(KEYS[0]) == b"content"
    store.put(KEYS[1], b"content")
    assert kept.get(KEYS[1]) is None


@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_without_a_cache_the_folder_may_be_anything(mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that others can write to, nothing is read."""
    root = tmp_path / "cache"
    monkeypatch.setenv("STENCILKIT_CACHE", str(root))
    Store(root / ENTRIES).put(KEYS[0], b"content")
    root.chmod(mode)
    store = _options.store(use=False)
    assert store.get(KEYS[0]) is None
    assert store.programs.get(KEYS[0]) == (b"content" if mode == 0o700 else None)
    if mode == 0o777:
        with pytest.raises(OutputError, match="not safe to use"):
            _options.store()


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a cache with two entries of 40 bytes, a tree and a tarball."""
    root = tmp_path / "cache"
    monkeypatch.setenv("STENCILKIT_CACHE", str(root))
    store = Store(root / ENTRIES)
    for key in KEYS[:2]:
        # A digest of 32 bytes is before the content.
        store.put(key, b"8 bytes.")
    for name in ("trees/Python-3.14.7/README", "tarballs/Python-3.14.7.tar.xz"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(bytes(2 << 20))
    return root


def test_the_command_shows_what_the_cache_holds(cached: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "info", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["folder"] == str(cached)
    assert answer["parts"][ENTRIES] == {"files": 2, "bytes": 80}
    assert answer["parts"]["trees"] == {"files": 1, "bytes": 2 << 20}
    assert cli.main(["cache", "info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(cached)
    assert [line.split() for line in lines if line.startswith(("trees", "tarballs"))] == [
        ["trees", "1", "2.0"],
        ["tarballs", "1", "2.0"],
    ]


def test_the_command_removes_entries_and_with_all_the_rest(cached: Path) -> None:
    assert cli.main(["cache", "clear"]) == 0
    assert not (cached / ENTRIES).exists()
    assert (cached / "trees/Python-3.14.7/README").exists()
    assert cli.main(["cache", "clear", "--all"]) == 0
    assert [path for path in cached.rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG"] == []
