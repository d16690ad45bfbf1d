"""Compiled units in the cache: under which keys, what an entry is, and what is remembered of dead code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, get_args

from stencilkit.compiler import Account, Session, prepare, shared_prefix
from stencilkit.errors import ObjectError
from stencilkit.model.build import Closure, Driver, Plan
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.source import Unit
from stencilkit.model.target import Step
from stencilkit.model.toolchain import Identity
from stencilkit.objects import stored
from stencilkit.pipeline.remembering import Inputs
from stencilkit.support import resources
from stencilkit.support.cache import DAMAGE, LARGEST, Store, key_of

# The code between a unit and its ObjectFile: a change there makes old cache entries useless.
_CODE: Final = (
    *("asmopt", "compiler", "dialects/_ghccc.py", "merge.py", "objects"),
    *("pipeline/compiling.py", "pipeline/keeping.py"),
    *("model/build.py", "model/objectfile.py", "model/source.py"),
)
# The first byte of a cache entry says which driver compiled it.
_MARKS: Final[Mapping[bytes, Driver]] = {b"b": "batched", b"p": "plain"}
# What stands under the key of a unit whose bytes may depend on its dead code: the entry has another key. The second
# is of one that clang was asked about: without its dead code, it is not compiled again, and its key has what is live.
# The third is of one of which the answer said nothing: its key has all of the dead code.
_UNASKED: Final = b"d"
_SENSITIVE: Final = b"s"
_OBSCURE: Final = b"o"
# What stands for the folder that a build works in; no argument of a program has such a character.
_WORK: Final = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What came of some units: raw bytes of those that stay objects, parsed files of the others; how.

    `live` is what was found out about the dead code of all units (compiler/live.py).
    """

    objects: Mapping[str, ObjectFile] = field(default_factory=dict)
    raw: Mapping[str, bytes] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    live: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.objects) + len(self.raw)

    def driver_of(self, name: str) -> Driver:
        """Return the driver that compiled a unit."""
        return "plain" if name in self.account.alone else "batched"


@dataclass(frozen=True, slots=True)
class Keys:
    """The cache keys of units, by name: by their texts without dead code, and by all of it. Often they are the same.

    `body` is that of what is known of the text that has all of it, "" where units have no dead code.
    """

    short: Mapping[str, str]
    whole: Mapping[str, str]
    body: str


def keys(plan: Plan, closure: Closure, identity: Identity, unasked: Sequence[str]) -> Keys:
    """Make the cache keys of every unit: all that its object depends on, and no path."""
    shared = json.dumps(
        [
            resources.code_digest(*_CODE),
            plan.tree.version.series,
            plan.target.code_key,
            plan.flavour,
            str(plan.toolchain.version),
            plan.toolchain.vendor,
            identity.program,
            sorted(identity.libraries.items()),
            # With the order, and the step that each flag is for.
            [plan.line(entry=entry, step=step) for entry in (False, True) for step in get_args(Step)],
            plan.cflags,
            plan.unaligned,
            # A wrapper may take its flags from anywhere:
            list(unasked),
            plan.headers.origin,
            closure.digest,
        ]
    )
    base = hashlib.sha256(shared.encode())
    # Units of one build may share a body of hundreds of kilobytes (3.13's dead cases): it is hashed once.
    bodies: dict[str, bytes] = {}
    short, whole = {}, {}
    for unit in plan.units:
        hasher = base.copy()
        hasher.update(unit.short_tail.encode())
        short[unit.name] = hasher.hexdigest()
        if unit.short_body is not None:
            if unit.body not in bodies:
                bodies[unit.body] = hashlib.sha256(unit.body.encode()).digest()
            hasher.update(bodies[unit.body])
        whole[unit.name] = hasher.hexdigest()
    # The names are the cases of the body.
    body = key_of(base.hexdigest(), *(digest.hex() for digest in bodies.values())) if bodies else ""
    return Keys(short, whole, body)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The precompiled header of a build in a store, under a key; "" where there can be none."""

    store: Store
    key: str

    def recall(self) -> bytes | None:
        """Return it, None where none is kept."""
        return self.store.get(self.key) if self.key else None

    def keep(self, path: Path) -> None:
        """Keep what was made, unless it is too large for an entry."""
        if self.key and path.is_file() and path.stat().st_size < LARGEST:
            self.store.put(self.key, path.read_bytes())


def prefix_key(plan: Plan, closure: Closure, identity: Identity, unasked: Sequence[str]) -> str:
    """Make the key of a precompiled header: clang takes it where every file has the place, size and time that it had.

    It has numbers and strings of macros by their place in a file, and reads them there again: a comment moves them.
    Those of which units are made are not read for it.
    """
    prefix = shared_prefix(plan.units)
    if prefix is None:
        return ""
    own = {plan.tree.root / name for name in plan.sources}
    files = [(path, file.sha256) for path, file in closure.paths if path not in own]
    configured = [(plan.pyconfig / "pyconfig.h", file.sha256) for file in closure.files if file.origin == "pyconfig"]
    return key_of(
        "prefix",
        resources.code_digest("compiler"),
        [str(plan.toolchain.version), plan.toolchain.vendor, *plan.toolchain.command, identity.program],
        sorted(identity.libraries.items()),
        plan.driver_arguments(entry=False, step="emit"),
        list(unasked),
        closure.digest,
        prefix,
        [(str(path), sha256, *_size_and_time(path)) for path, sha256 in (*configured, *files)],
    )


@dataclass(frozen=True, slots=True)
class Calls:
    """How a driver calls the compiler, in a store, under a key; "" where it must be asked each time."""

    store: Store
    key: str

    def recall(self, begun: Session) -> Session | None:
        """Return a session that has asked, of one that has not; None where nothing is kept."""
        if not self.key:
            return None
        found = self.store.read(self.key, _commands, *DAMAGE)
        if found is None:
            return None
        first, second = ([word.replace(_WORK, str(begun.work)) for word in words] for words in found)
        return replace(begun, driver="batched", cc1=tuple(first), second_cc1=tuple(second))

    def keep(self, session: Session) -> None:
        """Keep what a session was told."""
        if self.key and session.driver == "batched":
            found = [[word.replace(str(session.work), _WORK) for word in w] for w in (session.cc1, session.second_cc1)]
            self.store.put(self.key, json.dumps(found).encode())


def calls_key(plan: Plan, identity: Identity, heard: str) -> str:
    """Make the key of how a driver calls the compiler.

    The same program was just asked the same for another output. Whatever else it looks at (its own files, those of a
    GCC) is in that answer, too: `heard`.
    """
    if not heard:
        return ""
    lines = [plan.driver_arguments(entry=entry, step=step) for entry in (False, True) for step in get_args(Step)]
    return key_of(
        "calls",
        resources.code_digest("compiler", "model/cc1.py", "pipeline/keeping.py"),
        [str(plan.toolchain.version), plan.toolchain.vendor, *plan.toolchain.command, identity.program],
        sorted(identity.libraries.items()),
        [plan.emits, lines],
        heard,
    )


def recalled(inputs: Inputs, store: Store, folder: Path) -> Session | None:
    """Begin a session in a new folder with what is kept of a build's: None where one of it is not."""
    plan, identity = inputs.plan, inputs.identity
    calls = Calls(store, calls_key(plan, identity, inputs.heard))
    begun = calls.recall(Session(plan=plan, work=folder))
    prefix = Prefix(store, prefix_key(plan, inputs.closure, identity, inputs.told.unasked)).recall() if begun else None
    if begun is None or prefix is None:
        return None
    folder.mkdir()
    session = prepare(begun, kept=prefix)
    return session if session.precompiled else None


def _commands(entry: bytes) -> list[list[str]]:
    found = json.loads(entry)
    if len(found) != 2 or not all(type(word) is str for words in found for word in words):
        raise ValueError("not two commands")
    return [list(words) for words in found]


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Entry:
    """What a store has of a unit, under a key."""

    unit: Unit
    key: str
    content: bytes


@dataclass(slots=True)
class Kept:
    """The units of one build in a store. `live` has a digest of what is live for each unit, where that is known."""

    store: Store
    keys: Keys
    live: Mapping[str, str] = field(default_factory=dict)
    _waiting: list[tuple[str, bytes]] = field(default_factory=list)

    def recall_live(self) -> None:
        """Recall what is live for each unit, if it was found out for the same text."""
        if self.keys.body:
            self.live = self.store.read(self.keys.body, _live, ValueError, AttributeError, RecursionError) or {}

    def find(self, unit: Unit) -> Entry | None:
        """Look for a unit's object in the store, and do not read it yet."""
        key = self.keys.short[unit.name]
        content = self.store.get(key)
        if content in (_UNASKED, _SENSITIVE, _OBSCURE):
            key = self._with_live(unit.name) if content == _SENSITIVE else self.keys.whole[unit.name]
            content = self.store.get(key)
        return None if content is None else Entry(unit, key, content)

    def read(self, entry: Entry) -> Batch:
        """Read a unit's object; nothing where it is of no use."""
        try:
            return _stored(entry.unit, entry.content)
        except ObjectError:
            # Somebody wrote it who computed a digest: it is compiled again.
            self.store.forget(entry.key)
            return Batch()

    def recall(self, unit: Unit) -> Batch:
        """Take a unit's object from the store; nothing where there is nothing of use."""
        found = self.find(unit)
        return self.read(found) if found else Batch()

    def is_sensitive(self, unit: Unit) -> bool:
        """Return whether a unit is known to need its dead code."""
        return unit.short_body is not None and self.store.get(self.keys.short[unit.name]) in (_SENSITIVE, _OBSCURE)

    def is_obscure(self, unit: Unit) -> bool:
        """Return whether nothing that clang could be asked would spare the unit of being compiled."""
        return self.store.get(self.keys.short[unit.name]) == _OBSCURE

    def keep(self, batch: Batch) -> None:
        """Keep what came of a batch; what needs its dead code waits until it is known what is live."""
        if batch.live:
            self.live = batch.live
            self.store.put(self.keys.body, json.dumps(batch.live).encode())
        contents = {name: stored.dump(obj) for name, obj in batch.objects.items()} | dict(batch.raw)
        for name, content in contents.items():
            driver = batch.driver_of(name)
            data = next(mark for mark, known in _MARKS.items() if known == driver) + content
            short, whole = self.keys.short[name], self.keys.whole[name]
            if name in batch.account.shortened or short == whole:
                self.store.put(short, data)
            elif driver == "plain":
                self.store.put(short, _UNASKED)
                self.store.put(whole, data)
            else:
                self._waiting.append((name, data))

    def keep_waiting(self) -> None:
        """Keep what needs its dead code."""
        for name, data in self._waiting:
            self.store.put(self.keys.short[name], _SENSITIVE if name in self.live else _OBSCURE)
            self.store.put(self._with_live(name), data)
        self._waiting.clear()

    def _with_live(self, name: str) -> str:
        """Make the key of a unit with its dead code: by what is live of it, or by all of it where that is not known."""
        if name not in self.live:
            return self.keys.whole[name]
        return hashlib.sha256(f"{self.keys.short[name]} live {self.live[name]}".encode()).hexdigest()


def _live(entry: bytes) -> Mapping[str, str]:
    return {name: str(digest) for name, digest in json.loads(entry).items()}


def _stored(unit: Unit, entry: bytes) -> Batch:
    driver, content = _MARKS.get(entry[:1]), entry[1:]
    if driver is None:
        raise ObjectError("no driver compiles to this")
    account = Account(alone=frozenset({unit.name} if driver == "plain" else ()))
    if unit.role == "object":
        return Batch(raw={unit.name: content}, account=account)
    return Batch(objects={unit.name: stored.load(content)}, account=account)
