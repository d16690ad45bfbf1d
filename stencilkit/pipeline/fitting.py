"""What a CPython tree looks like beside the manifest of stencils: read from the files, nothing believed."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stencilkit import buildfolder, configure, dialects, source
from stencilkit.errors import SourceError
from stencilkit.model import cc1, pyconfig
from stencilkit.model.build import IncludedFile
from stencilkit.model.manifest import Manifest
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.source import SourceTree, Unit
from stencilkit.model.target import Flavour, SpelledTarget
from stencilkit.model.verdict import TreeFacts
from stencilkit.pipeline import knowing
from stencilkit.pipeline.opening import Described
from stencilkit.support import files, trees

_TREE: Final = "{tree}/"
_PYCONFIG: Final = "{pyconfig}"
_INCLUDE: Final = ("-I", "-iquote", "-isystem")


def compare(tree: SourceTree, folder: Path, known: Described, functions: frozenset[str]) -> TreeFacts:
    """Compare a tree, and the pyconfig.h of a folder, with what a manifest records.

    `functions` are the patch functions that the stencils call.

    Raises: ConfigureError, BuildFolderError, TargetError, SourceError.
    """
    described = known.manifest
    build = buildfolder.read(folder) if buildfolder.is_one(folder) else None
    config = configure.read(folder, build.host if build else "")
    request = _request(config.host or described.spelling, tree, described)
    flavour = _flavour(config, request, described)
    cflags = build.cflags if build else described.cflags
    dialect, uops = tree.python.dialect, source.uops(tree)
    units = dialect.units(tree, uops[:1], known.request.target)
    contents = dict(_contents(tree, described, units))
    words = pyconfig.words(filter(None, contents.values())).union(described.foreign_words)
    included = {file.name for file in described.includes if file.origin == "tree"}
    return TreeFacts(
        version=str(tree.version),
        triple=request.target.triple,
        spelling=request.spelling,
        flavour=flavour,
        cflags=cflags,
        units=frozenset({uop.name for uop in uops} | {unit.name for unit in units if unit.role == "group"}),
        compared=len(contents),
        changed=(*_changed(tree, contents, described), *_changed_beside(folder, described)),
        shadows=tuple(_shadows(tree, folder, described)),
        runtime=_runtime(tree, described),
        line1=tuple(text for text in _line1(tree, described) if text.partition(":")[0] not in included),
        missing_functions=tuple(sorted(functions - source.patch_functions(tree))),
        config=pyconfig.visible(config.content.decode("utf-8", "replace"), words),
        config_sha256=hashlib.sha256(config.content).hexdigest(),
        stamp=dialect.input_digest(tree, config.content, request, flavour, cflags),
        claimed=dialect.input_digest(
            tree,
            config.content,
            known.request,
            described.flavour,
            described.cflags,
        ),
        beyond=_beyond(described, request, cflags),
    )


def _beyond(described: Manifest, request: SpelledTarget, cflags: str) -> tuple[str, ...]:
    """List what the stencils need of a processor beside what the tree is compiled for; 0.1.0 did not record it."""
    if described.cpu is None:
        return ()
    target = request.target
    return cc1.beyond(described.cpu, target.cpus, target.features, _words(cflags))


def _words(cflags: str) -> list[str]:
    try:
        return shlex.split(cflags)
    except ValueError:
        return cflags.split()


def _request(spelling: str, tree: SourceTree, described: Manifest) -> SpelledTarget:
    """Resolve what a folder was configured for; of a universal platform, the half that the stencils are for."""
    found = knowing.targets_of(spelling, tree.python.dialect.SERIES)
    return next((request for request in found if request.target.triple == described.triple), found[0])


def _flavour(config: PyConfig, request: SpelledTarget, described: Manifest) -> Flavour:
    if request.target.pyconfig == "tree":
        # One file for both flavours, which differ in the compiler's command line.
        return described.flavour
    return config.flavour


def _contents(tree: SourceTree, described: Manifest, units: Sequence[Unit]) -> Iterator[tuple[str, bytes | None]]:
    """Read the files of the tree that the stencils were made from; None for one that is missing.

    The uops, the template and the shim, of which units are made, are among them, whatever the manifest says.
    """
    names = {file.name for file in described.includes if file.origin == "tree"}
    for name in sorted(names.union(*(unit.sources for unit in units))):
        path = tree.root / name
        yield name, files.read_bytes(path, error=SourceError) if path.is_file() else None


def _changed(tree: SourceTree, contents: Mapping[str, bytes | None], described: Manifest) -> Iterator[str]:
    """Name what differs of the files that were included, and of all that those name in an #include."""
    recorded = {file.name: file.sha256 for file in described.includes if file.origin == "tree"}
    recorded |= {file.name: file.sha256 for file in described.used if file.use == "conditional"}
    mentioned = source.mentioned(tree, contents.keys(), (record.flag for record in described.flags), contents)
    more = {name: files.read_bytes(tree.root / name, error=SourceError) for name in mentioned if name not in contents}
    gone = dict.fromkeys(recorded.keys() - contents.keys() - more.keys())
    found: Mapping[str, bytes | None] = {**contents, **more, **gone}
    for name, data in sorted(found.items()):
        if name not in recorded:
            yield f"{name}: not in the manifest, which must name it"
        elif data is None:
            yield f"{name}: missing"
        elif hashlib.sha256(data).hexdigest() != recorded[name]:
            yield f"{name}: other content"


def _changed_beside(folder: Path, described: Manifest) -> Iterator[str]:
    """Compare the files of the build folder that a relative -I in CFLAGS_JIT found."""
    recorded = {file.name: file.sha256 for file in described.includes if file.origin == "build"}
    for text in _different(folder, recorded, sorted(recorded)):
        yield f"{text} (in {folder})"


def _shadows(tree: SourceTree, folder: Path, described: Manifest) -> Iterator[str]:
    """Name files of the tree that an #include would find before one of those that it found when built."""
    known = {tree.root / file.name for file in described.includes if file.origin == "tree"}
    known |= {folder / file.name for file in described.includes if file.origin == "build"}
    known.add(folder / "pyconfig.h")
    # Thousands of places are looked at: as texts, which are put together faster than paths.
    found = (place.as_posix().rstrip("/") for place in _include_folders(tree, folder, described))
    folders, places = list(dict.fromkeys(found)), trees.Places()
    for file in described.includes:
        for place in filter(places.is_file, _earlier(tree, file, folders)):
            if (path := Path(place)) not in known:
                yield f"{path}, in place of {file.name}"


def _earlier(tree: SourceTree, file: IncludedFile, folders: list[str]) -> Iterator[str]:
    """List where an #include looks before it finds a file, by each name that it may have been called by."""
    if file.origin == "tree":
        path = (tree.root / file.name).as_posix()
        for number, folder in enumerate(folders):
            if path.startswith(f"{folder}/"):
                yield from (f"{before}/{path.removeprefix(f'{folder}/')}" for before in folders[:number])
    elif file.origin != "pyconfig":
        parts = file.name.split("/")
        yield from (f"{folder}/{'/'.join(parts[start:])}" for start in range(len(parts)) for folder in folders)


def _include_folders(tree: SourceTree, folder: Path, described: Manifest) -> Iterator[Path]:
    for record in described.flags:
        for option in _INCLUDE:
            place = record.flag.removeprefix(option).strip()
            if place == record.flag:
                continue
            if place.startswith(_TREE):
                yield tree.root / place.removeprefix(_TREE)
            elif place == _PYCONFIG:
                yield folder


def _runtime(tree: SourceTree, described: Manifest) -> tuple[str, ...]:
    """Compare the code that runs the stencils, which a manifest must name."""
    recorded = {file.name: file.sha256 for file in described.used if file.use == "runtime"}
    return tuple(_different(tree.root, recorded, sorted({*recorded, source.PATCH_SOURCE})))


def _line1(tree: SourceTree, described: Manifest) -> Iterator[str]:
    recorded = {file.name: file.sha256 for file in described.used if file.use == "line-1"}
    names = sorted(recorded.keys() | set(dialects.digested_files(tree)))
    yield from _different(tree.root, recorded, names)


def _different(root: Path, recorded: Mapping[str, str], names: list[str]) -> Iterator[str]:
    for name in names:
        path = root / name
        if not path.is_file():
            yield f"{name}: missing"
        elif name not in recorded:
            yield f"{name}: only here"
        elif files.sha256(path) != recorded[name]:
            yield f"{name}: other content"
