"""Entries of the cache in one: what is read from there is what is in the entries themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.pipeline.packing import Packed
from stencilkit.support.cache import NoStore, Store, key_of

PACK = key_of("pack")
KEYS = [key_of(number) for number in range(100)]
CONTENTS = {key: f"content\n of {key}".encode() for key in KEYS} | {KEYS[0]: b""}


def filled(here: Path) -> Store:
    store = Store(here / "cache")
    for key, content in CONTENTS.items():
        store.put(key, content)
    return store


def read(store: Store, keys: list[str] = KEYS) -> Packed:
    """Read entries, and pack what was read."""
    packed = Packed(store, PACK)
    assert [packed.get(key) for key in keys] == [CONTENTS[key] for key in keys]
    packed.pack()
    return packed


def test_what_was_used_is_opened_together(tmp_path: Path) -> None:
    store = filled(tmp_path)
    read(store)
    assert store.added()[-1] == PACK
    store.withdraw(KEYS)
    count = len(store.added())
    read(store)
    assert len(store.added()) == count, "all of it was there"
    assert Packed(store, PACK).get(key_of("another")) is None


@pytest.mark.parametrize(("changed", "written"), [(0, 0), (3, 0), (10, 1)])
def test_a_pack_is_written_again_where_much_is_new(changed: int, written: int, tmp_path: Path) -> None:
    store = filled(tmp_path)
    read(store, KEYS[changed:])
    count = store.added().count(PACK)
    read(store)
    assert store.added().count(PACK) == count + written


def test_few_entries_are_not_packed(tmp_path: Path) -> None:
    store = filled(tmp_path)
    read(store, KEYS[:20])
    assert PACK not in store.added()


def test_what_is_stored_is_stored_alone_too(tmp_path: Path) -> None:
    store = filled(tmp_path)
    read(store)
    packed = Packed(store, PACK)
    packed.put(KEYS[1], b"another")
    assert packed.get(KEYS[1]) == store.get(KEYS[1]) == b"another"
    assert packed.added() == store.added()
    packed.withdraw([KEYS[1]])
    assert store.get(KEYS[1]) is None


def test_what_is_of_no_use_is_in_no_pack_any_more(tmp_path: Path) -> None:
    store = filled(tmp_path)
    packed = read(store)
    packed = Packed(store, PACK)
    assert packed.get(KEYS[1]) == CONTENTS[KEYS[1]]
    packed.forget(KEYS[1])
    assert packed.get(KEYS[1]) is None
    assert store.get(KEYS[1]) is None
    for key in KEYS[2:]:
        packed.get(key)
    packed.pack()
    assert Packed(store, PACK).get(KEYS[1]) is None
    assert Packed(store, PACK).get(KEYS[2]) == CONTENTS[KEYS[2]]


@pytest.mark.parametrize(
    "entry", [b"", b"[]\nx", b'[["a", 2]]\nx', b'[["a"]]\nx', b"1\n", b'[["a", "b"]]\n', b"[[[], 0]]\n"]
)
def test_a_pack_of_somebody_elses_is_left_aside(entry: bytes, tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.put(PACK, entry)
    read(store)
    assert store.damaged == 1
    assert Packed(store, PACK).get(KEYS[5]) == CONTENTS[KEYS[5]]


def test_without_a_cache_nothing_is_packed() -> None:
    packed = Packed(NoStore(), PACK)
    for key, content in CONTENTS.items():
        packed.put(key, content)
    packed.pack()
    assert not packed.keeps
    assert packed.added() == []
    assert packed.programs.get(PACK) is None
