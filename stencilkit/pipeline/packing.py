"""Entries of the cache that a build of the same place used, together in one: to open hundreds of files takes longer.

Each is there alone, too, for builds elsewhere. Under the same key, both are the same: a key has all that an entry
depends on, and the digest of the whole says that nothing was altered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from stencilkit.support.cache import DAMAGE, LARGEST, Store

# It is written again where this part of what a build used is not in it.
_SHARE: Final = 16
# Fewer are opened as quickly.
_FEWEST: Final = 64


class Packed(Store):
    """A store behind the entries of a pack, which is under a key of the same store."""

    def __init__(self, store: Store, key: str) -> None:
        super().__init__(store.root, bound=store.bound)
        self._store, self._key = store, key
        self._pack = dict(store.read(key, _read, *DAMAGE) or {})
        self._used: dict[str, bytes] = {}
        self._is_damaged = False

    @property
    def keeps(self) -> bool:
        """Return whether it is worth while to find something out for the next run."""
        return self._store.keeps

    @property
    def programs(self) -> Store:
        """Give the store in which answers of programs, and hashes of their files, may be looked up."""
        return self._store.programs

    def get(self, key: str) -> bytes | None:
        """Return an entry's content, or None where there is none that is whole."""
        found = self._pack.get(key)
        if found is None:
            found = self._store.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def put(self, key: str, content: bytes) -> None:
        """Store an entry.

        Raises: OutputError where the folder is not safe to use.
        """
        self._store.put(key, content)
        self._used[key] = content
        self._pack.pop(key, None)

    def forget(self, key: str) -> None:
        """Remove an entry whose content turned out to be of no use; it is in no pack any more."""
        self._is_damaged = self._pack.pop(key, None) is not None or self._is_damaged
        self._used.pop(key, None)
        self._store.forget(key)

    def added(self, start: int = 0) -> list[str]:
        """List the keys of what this process has stored, but for the first ones."""
        return self._store.added(start)

    def withdraw(self, keys: Iterable[str]) -> None:
        """Remove entries that are whole, and say what is not so."""
        self._store.withdraw(keys)

    def pack(self) -> None:
        """Write what was used into one entry, unless most of it is there."""
        new = sum(key not in self._pack for key in self._used)
        if self.keeps and len(self._used) >= _FEWEST and (new * _SHARE >= len(self._used) or self._is_damaged):
            data = _written(self._used)
            if len(data) < LARGEST:
                self._store.put(self._key, data)


def _written(entries: Mapping[str, bytes]) -> bytes:
    sizes = [(key, len(content)) for key, content in entries.items()]
    return b"\n".join([json.dumps(sizes).encode(), b"".join(entries.values())])


def _read(data: bytes) -> Mapping[str, bytes]:
    head, _, body = data.partition(b"\n")
    found, start = dict[str, bytes](), 0
    for key, size in json.loads(head):
        found[key] = body[start : start + size]
        start += size
    if start != len(body):
        raise ValueError("the entries have other sizes")
    return found
