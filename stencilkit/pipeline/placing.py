"""From stencils to the files that one configured CPython build takes: its names, its input digest on line 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilkit import artifact, buildfolder
from stencilkit.errors import InstallError
from stencilkit.model.artifact import Artifact
from stencilkit.model.buildfolder import BuildFolder
from stencilkit.model.dialect import Dialect
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, SpelledTarget
from stencilkit.pipeline import knowing, rendering
from stencilkit.support import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A configured build folder of a tree, and for which targets it is (several in a universal build)."""

    tree: SourceTree
    build: BuildFolder
    requests: tuple[SpelledTarget, ...]

    @property
    def dialect(self) -> Dialect:
        """Return the dialect of the tree."""
        return self.tree.python.dialect

    @property
    def folder(self) -> Path:
        """Name the folder."""
        return self.build.path

    @property
    def flavour(self) -> Flavour:
        """Return which flavour it was configured for."""
        return self.build.flavour


def look_at(tree: SourceTree, folder: Path) -> Place:
    """See what a build folder was configured for.

    Raises: TargetError; InstallError where it was not configured, or without the JIT; BuildFolderError.
    """
    if not buildfolder.is_one(folder):
        raise InstallError(
            f"{folder} is not a configured build folder: it has no Makefile and pyconfig.h of CPython's",
            fix="name the folder in which CPython's configure was run, with --enable-experimental-jit: --build-dir",
        )
    build = buildfolder.read(folder)
    if build.jit is None:
        raise InstallError(
            f"{folder} was configured without the JIT: its Makefile never asks for stencils",
            fix="run configure again with --enable-experimental-jit (or =yes-off, =interpreter needs no stencils)",
        )
    return Place(tree=tree, build=build, requests=tuple(map(knowing.target, build.jit.triples)))


def files_for(place: Place, artifacts: Sequence[Artifact]) -> dict[str, bytes]:
    """Make the files that `make` takes in a build folder: one artifact for each of its targets, in that order.

    Names and dispatchers follow the spelling of the triple that the folder was configured with, as build.py's do.
    """
    found: dict[str, bytes] = {}
    for request, item in zip(place.requests, artifacts, strict=True):
        stamp = input_digest(place, request)
        for role, name in place.dialect.file_names(request).items():
            if role not in rendering.DISPATCHERS:
                found[name] = artifact.restamped(item.contents[role], stamp)
    return found | rendering.dispatchers(place.dialect, place.requests)


def left_alone(folder: Path, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Take a dispatcher as it is in the folder, where only line 1 is another: make has run build.py since."""
    found = dict(contents)
    for name, data in contents.items():
        path = folder / name
        if path.is_file() and rendering.before_make(path.read_bytes(), rendering.GENERATOR) == data:
            found[name] = path.read_bytes()
    return found


def input_digest(place: Place, request: SpelledTarget) -> str:
    """Compute what `make` expects on line 1 there."""
    return place.dialect.input_digest(place.tree, place.build.pyconfig, request, place.flavour, place.build.cflags)


def write(place: Place, contents: Mapping[str, bytes]) -> dict[str, bool]:
    """Write the files, or none; return which changed.

    What makes make take them for current comes last, and the old one goes first: make's own stamp, and the headers,
    on line 1 of which build.py looks (Tools/jit/_targets.py, `_Target.build`). make compares times as well, so the
    stamp is the oldest; and the dispatchers are written again with whatever else changes, as build.py does: in 3.13 and
    3.14, jit.o depends on nothing else.
    """
    stamp = place.dialect.MAKE_STAMP
    named = [pair for request in place.requests for pair in place.dialect.file_names(request).items()]
    dispatchers = [name for role, name in named if role in rendering.DISPATCHERS]
    vouching = (*artifact.stamps(contents), *dispatchers, stamp)
    return files.write_together(place.folder, {**({stamp: b""} if stamp else {}), **contents}, stamps=vouching)
