"""A whole build in one entry of the cache, under a key of all that it is made from.

What it is made from is asked for anew by every build (docs/adr/0007-cache.md): only the work that follows from the
answers is saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from stencilkit import __version__, manifest, toolchain
from stencilkit.compiler import Session
from stencilkit.errors import ManifestError, SourceError, StencilkitError
from stencilkit.model.build import Closure, Plan
from stencilkit.model.manifest import MANIFEST_NAME, UsedFile
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import Unit, Variant
from stencilkit.model.target import Step
from stencilkit.model.toolchain import Identity
from stencilkit.pipeline.asking import Told
from stencilkit.support import environ, files, resources
from stencilkit.support.cache import Store, key_of

# They render headers and manifests, and read objects and instructions.
_LIBRARIES: Final = ("capstone", "elftools", "tomli_w")
# Hexadecimal text shrinks to a quarter even so.
_FASTEST: Final = 1
# The files of 3.15 have 2 MiB.
_LARGEST: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that a build is made from: the request and what follows from it, and the answers of clang and of the tree.

    `used` are digests of files that no compiler reads, `line1` the input digest of CPython's own generator; `code` is
    the digest of stencilkit itself, `heard` that of what the driver printed (asking.Questions.digest).
    """

    request: BuildRequest
    plan: Plan
    told: Told
    heard: str
    closure: Closure
    identity: Identity
    used: tuple[UsedFile, ...]
    variants: tuple[Variant, ...]
    line1: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """A session of compilers that was begun before anybody knew what it reads, and when, in nanoseconds since 1970."""

    moment: int
    session: Future[Session]


def key(inputs: Inputs) -> str:
    """Make the key of a build: rather too much is in it than too little. Manifests name the command, too."""
    request, plan = inputs.request, inputs.plan
    tree, tool = plan.tree, plan.toolchain
    lines = [plan.driver_arguments(entry=entry, step=step) for entry in (False, True) for step in get_args(Step)]
    parts = [
        "build",
        (inputs.code, resources.installed(*_LIBRARIES)),
        # What is found in the tree and in tables follows from the code and from the files below; this does not.
        (tree.version, tree.vouched, tree.signature, tree.provisional, tree.python.support.newest_checked),
        (plan.target.triple, request.asked.spelling, request.flavour, request.cflags, plan.headers, lines),
        (request.comments, request.batched, request.allow_driver_flags, request.hardened, request.layout),
        (tool.version, tool.vendor, tool.command, tool.resource, inputs.identity, inputs.told),
        (inputs.closure.digest, inputs.closure.files, inputs.used, _digest(request.pyconfig.content)),
        (inputs.variants, inputs.line1, _texts(plan.units)),
        (__version__, environ.host(), environ.source_date(), environ.command_line()),
    ]
    # None of these values is a set, whose order would differ from run to run.
    return _digest(repr(parts).encode())


def _texts(units: Sequence[Unit]) -> list[tuple[str, ...]]:
    """Spell units by the digests of their texts: what was read, even if the file has changed since."""
    # Units of one build may share a text of hundreds of kilobytes (3.13's dead cases): it is hashed once.
    texts = dict.fromkeys(text for unit in units for text in _parts(unit))
    digests = {text: _digest(text.encode()) for text in texts}
    return [
        (unit.name, unit.role, unit.file, str(unit.body_line), *(digests[text] for text in _parts(unit)))
        for unit in units
    ]


def _parts(unit: Unit) -> tuple[str, str, str]:
    return unit.prefix, unit.body, unit.short_body or ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def changed(inputs: Inputs) -> tuple[str, ...]:
    """List the files that are not those of the inputs any more: somebody may change one during the build."""
    root, config = inputs.plan.tree.root, inputs.request.pyconfig
    # The uops are digested before their text is read, and again among all files: each digest counts.
    recorded = [(root / file.name, file.sha256) for file in inputs.used]
    recorded += [(path, file.sha256) for path, file in inputs.closure.paths]
    # So is pyconfig.h, which was read before clang read it.
    pyconfig = [_digest(config.content), *(file.sha256 for file in inputs.closure.files if file.origin == "pyconfig")]
    recorded += [(config.folder / "pyconfig.h", digest) for digest in pyconfig]
    found = [path for path, digest in dict.fromkeys(recorded) if not _is(path, digest)]
    return tuple(map(str, dict.fromkeys((*found, *toolchain.replaced(inputs.identity)))))


def _is(path: Path, digest: str) -> bool:
    try:
        return files.sha256(path) == digest
    except OSError:
        return False


def stamps(paths: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
    """Note what alters when files are written to: one that is as it was may have been another in between."""
    return {path: files.stamp(path) for path in paths}


@dataclass(frozen=True, slots=True)
class Begun:
    """When a build began, in nanoseconds since 1970; stamps of what it read first; what says again what is included."""

    moment: int
    stamps: Mapping[Path, tuple[int, ...]]
    look: Callable[[], Closure]


@contextlib.contextmanager
def unchanged(inputs: Inputs, store: Store, begun: Begun) -> Iterator[None]:
    """Refuse what was made of files that were changed or replaced meanwhile, and take it out of the cache again.

    A compiler reads a header when it gets to it, and not when the header was hashed: what it makes is what neither the
    old file nor the new one is good for, and has the keys of the old one. A new header may come before another of its
    name.

    Raises: SourceError.
    """
    start = len(store.added())
    noted = {**stamps(_own(inputs)), **begun.stamps}

    def found(shadowing: Callable[[Inputs, Begun], tuple[str, ...]]) -> tuple[str, ...]:
        touched = (str(path) for path, stamp in noted.items() if files.stamp(path) != stamp)
        others = tuple(dict.fromkeys((*changed(inputs), *touched))) or shadowing(inputs, begun)
        if others:
            store.withdraw(store.added(start))
        return others

    try:
        yield
    except KeyboardInterrupt:
        # Who interrupts does not wait for a compiler.
        found(_young)
        raise
    except BaseException:
        # It may be the reason for this:
        _refuse(found(_shadowing))
        raise
    _refuse(found(_shadowing))


def _own(inputs: Inputs) -> Iterator[Path]:
    """List what somebody works on: not a toolchain's files, of which uv makes links, nor the system's."""
    yield inputs.request.pyconfig.folder / "pyconfig.h"
    yield from (path for path, file in inputs.closure.paths if file.origin in ("tree", "build"))


def _young(inputs: Inputs, begun: Begun) -> tuple[str, ...]:
    """List the folders of the tree's and the build's headers in which something may be new since a build began."""
    return tuple(map(str, files.young(sorted({path.parent for path in _own(inputs)}), begun.moment)))


def _shadowing(inputs: Inputs, begun: Begun) -> tuple[str, ...]:
    """List the files that are included now and were not, or the folders, where what is included is not the same."""
    young = _young(inputs, begun)
    try:
        now = begun.look() if young else inputs.closure
    except StencilkitError:
        return young
    if now.digest == inputs.closure.digest:
        return ()
    before = {path for path, _ in inputs.closure.paths}
    return tuple(str(path) for path, _ in now.paths if path not in before) or young


def _refuse(found: Sequence[str]) -> None:
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise SourceError(
            f"a file was changed while stencils were made of it{more}",
            where=found[0],
            fix="build again when nothing else works on these files; nothing was written",
        )


def recall(key: str, request: BuildRequest, store: Store) -> Build | None:
    """Return what was kept under a key, without notes; None where there is nothing of use."""
    damage = (ValueError, TypeError, RecursionError, zlib.error, ManifestError)
    return store.read(key, lambda entry: _read(entry, request), *damage)


def _read(entry: bytes, request: BuildRequest) -> Build:
    head, _, body = zlib.decompressobj().decompress(entry, _LARGEST).partition(b"\n")
    table, sizes = json.loads(head)
    contents, start = dict[str, bytes](), 0
    for name, size in sizes:
        contents[name] = body[start : start + size]
        start += size
    if start != len(body):
        raise ValueError("the files have other sizes")
    return Build(request=request, manifest=manifest.read(table, MANIFEST_NAME), files=contents, notes=())


def is_new(request: BuildRequest, store: Store) -> bool:
    """Return whether nothing was built of this tree, for this target, by this program; later, little is new.

    It is asked once: from then on, the store knows.
    """
    key = place(request, "place")
    if store.get(key) is not None:
        return False
    store.put(key, b"")
    return True


def place(request: BuildRequest, what: str) -> str:
    """Make the key of what is known of a tree for a target, as this program compiles it."""
    where = (str(request.tree.root), str(request.pyconfig.folder), str(request.toolchain.program))
    return key_of(what, *where, request.target.triple, request.flavour, request.cflags)


def is_older(inputs: Inputs, moment: int) -> bool:
    """Return whether all that a compiler reads, and itself, are older than a moment: what it made since is of them.

    `moment` is in nanoseconds since 1970.
    """
    config = inputs.request.pyconfig.folder / "pyconfig.h"
    paths = (config, *(path for path, _ in inputs.closure.paths), *(path for path, *_ in inputs.identity.stamps))
    return not files.young(paths, moment)


def keep(key: str, build: Build, store: Store) -> None:
    """Keep a build under a key."""
    head = json.dumps([manifest.document(build.manifest), [(name, len(data)) for name, data in build.files.items()]])
    store.put(key, zlib.compress(b"\n".join([head.encode(), b"".join(build.files.values())]), _FASTEST))
