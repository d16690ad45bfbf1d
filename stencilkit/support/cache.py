"""A content-addressed store on disk: bounded, safe under concurrent use, and distrustful of itself.

An entry is a file named by its key that starts with the SHA-256 of that key and the rest, so that an entry under
another key is as damaged as one with other content. Entries are written whole under a temporary name and renamed; an
entry that does not match its digest is removed and counted, never used. The oldest entries (by last use) go first when
the store is over its bound. Links are never followed (support/private.py). Layout marker: CACHEDIR.TAG
(https://bford.info/cachedir/).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from stencilkit.errors import OutputError
from stencilkit.support import files, private, words

T = TypeVar("T")

_TAG_NAME: Final = "CACHEDIR.TAG"
_TAG: Final = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of stencilkit; it can be removed.\n"
)
_DIGEST_BYTES: Final = 32
LARGEST: Final = 16 << 20
"""An object file has 4 MiB at most (objects/structures.py); spelt in JSON, its bytes take twice that."""
DEFAULT_BOUND: Final = 1 << 30
# Keys begin with a digit of sixteen. Of fewer entries that begin with one, the sizes say little of all.
_PARTS: Final = 16
_TELLING: Final = 64
ENTRIES: Final = "entries"
"""The part of the cache folder that is such a store: compiled uops, and what else is made of inputs alone."""


# What reading JSON of another shape than was written raises.
DAMAGE: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What a store holds; `size` is in bytes."""

    entries: int
    size: int


def key_of(*parts: object) -> str:
    """Make the key of an entry from all that it depends on: texts, numbers, and lists of these."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Store:
    """One folder of entries."""

    def __init__(self, root: Path, *, bound: int = DEFAULT_BOUND) -> None:
        self.root = root
        self._folder = os.fspath(root)
        self.bound = bound
        self.damaged = 0
        self._added: list[str] = []

    @property
    def keeps(self) -> bool:
        """Return whether it is worth while to find something out for the next run."""
        return True

    @property
    def programs(self) -> Store:
        """Give the store in which answers of programs, and hashes of their files, may be looked up."""
        return self

    def get(self, key: str) -> bytes | None:
        """Return an entry's content, or None where there is none that is whole."""
        raw = private.read(self.root, key[:2], key, limit=LARGEST)
        if raw is None:
            return None
        content = raw[_DIGEST_BYTES:]
        if _digest(key, content) != raw[:_DIGEST_BYTES]:
            self.forget(key)
            return None
        # The time of last use decides what is evicted; losing a race for it is harmless.
        with contextlib.suppress(OSError, NotImplementedError):
            os.utime(os.path.join(self._folder, key[:2], key), follow_symlinks=False)  # noqa: PTH118  # hundreds of times
        return content

    def read(self, key: str, parse: Callable[[bytes], T], *damage: type[Exception]) -> T | None:
        """Return what an entry says, or None where there is none of use.

        One that `parse` cannot read, for which it raises `damage`, was written by somebody who computed a digest: it
        is removed.
        """
        content = self.get(key)
        if content is None:
            return None
        try:
            return parse(content)
        except damage:
            self.forget(key)
            return None

    def put(self, key: str, content: bytes) -> None:
        """Store an entry. A store that cannot be written is a store that forgets: no error.

        Raises: OutputError where the folder is not safe to use.
        """
        with contextlib.suppress(OSError):
            if not self.root.is_dir():
                private.make(private.make(self.root.parent) / self.root.name)
                with contextlib.suppress(FileExistsError):
                    private.write(self.root.parent, _TAG_NAME, data=_TAG, replace=False)
            private.write(self.root, key[:2], key, data=_digest(key, content) + content)
            self._added.append(key)

    def forget(self, key: str) -> None:
        """Remove an entry whose content turned out to be of no use, and count it as damaged."""
        self.damaged += 1
        # A store that cannot be written keeps the entry, which is never used.
        with contextlib.suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def added(self, start: int = 0) -> list[str]:
        """List the keys of what this process has stored, but for the first ones."""
        return self._added[start:]

    def withdraw(self, keys: Iterable[str]) -> None:
        """Remove entries that are whole, and say what is not so."""
        for key in keys:
            with contextlib.suppress(OSError):
                self._path(key).unlink(missing_ok=True)

    def info(self) -> StoreInfo:
        """Count entries and bytes."""
        sizes = [size for _, _, size, _ in self._entries()]
        return StoreInfo(entries=len(sizes), size=sum(sizes))

    def clear(self) -> None:
        """Remove everything.

        Raises: OutputError where something stays.
        """
        shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists() and (left := self.info().entries):
            raise OutputError(
                f"cannot remove {words.counted(left, 'file')} of the cache",
                where=str(self.root),
                fix="remove the folder by hand, as the user to whom it belongs",
            )

    def trim(self) -> int:
        """Remove the entries that were used longest ago until the store is within its bound; return how many.

        A sixteenth of the entries, another one each time, says of a store with many whether it can be near its bound.
        """
        if self._added:
            digit = self._added[-1][0]
            part = [size for number in range(_PARTS) for _, _, size, _ in self._entries(f"{digit}{number:x}")]
            if len(part) >= _TELLING and 2 * _PARTS * sum(part) < self.bound:
                return 0
        entries = self._entries()
        total = sum(size for _, _, size, _ in entries)
        removed = 0
        for _, _, size, path in sorted(entries):
            if total <= self.bound:
                break
            with contextlib.suppress(OSError):
                Path(path).unlink(missing_ok=True)
                total -= size
                removed += 1
        return removed

    def _entries(self, folder: str = "") -> list[tuple[int, str, int, str]]:
        """List time of last use, name, size and path of every file; another build may remove some meanwhile."""
        entries = []
        for entry in files.entries(self.root / folder):
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                entries.append((status.st_mtime_ns, entry.name, status.st_size, entry.path))
        return entries

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / key


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(b"%b\0%b" % (key.encode(), content)).digest()


class NoStore(Store):
    """A store that holds nothing (--no-cache), perhaps beside one that knows the programs of this machine."""

    def __init__(self, programs: Store | None = None) -> None:
        super().__init__(Path(os.devnull))
        self._programs = programs

    @property
    def programs(self) -> Store:
        """Give the other store, where there is one; nothing is ever written to it from here."""
        return self._programs or self

    @property
    def keeps(self) -> bool:
        """Return that there is no next run."""
        return False

    def get(self, key: str) -> None:
        """Find nothing."""
        del key

    def put(self, key: str, content: bytes) -> None:
        """Keep nothing."""
        del key, content

    def trim(self) -> int:
        """Have nothing to remove."""
        return 0
