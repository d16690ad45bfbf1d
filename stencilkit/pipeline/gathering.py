"""From a path, or an artifact in memory, to the evidence about one header.

Every file is read once, here: what is judged is what was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stencilkit import configure, manifest
from stencilkit.errors import ConfigureError, HeaderError, ManifestError, ObjectError, SourceError, TargetError
from stencilkit.model.artifact import Artifact
from stencilkit.model.header import ReadHeader
from stencilkit.model.source import SourceTree
from stencilkit.model.target import SpelledTarget
from stencilkit.model.verdict import Check, TreeFacts
from stencilkit.pipeline import companions, fitting, knowing, opening
from stencilkit.pipeline.evidence import Evidence, Found, Subject, UnreadableError
from stencilkit.pipeline.opening import Described
from stencilkit.support import environ, files, limits


def describe(subject: Subject) -> tuple[Described | None, tuple[Check, ...]]:
    """Read the manifest that was named, or that of the folder; what is wrong with it is a check."""
    path = subject.manifest
    if path is None:
        path = opening.manifest_of(subject.path)
        if not path.is_file():
            return None, ()
    try:
        text = files.read_text(path, error=ManifestError, limit=limits.MANIFEST)
        described = opening.read_manifest(text, str(path))
    except (ManifestError, SourceError, TargetError) as error:
        details = (error.as_text(),)
        check = Check(kind="manifest", status="failed", what="the manifest is invalid", details=details)
        return None, (check,)
    named = described.manifest.file("stencils").name
    if subject.manifest is None and not subject.path.is_dir() and named != subject.path.name:
        # It is there, but speaks of another header.
        return None, ()
    return described, ()


def find(subject: Subject, described: Described | None) -> Found:
    """Read the header that is meant.

    Raises: UnreadableError; UsageError where nothing says which header it is.
    """
    path = opening.header_of(subject.path, described.manifest if described else None)
    if not path.is_file():
        what = f"{path.name}, which the manifest names, is missing" if described else f"{path.name} is missing"
        raise UnreadableError(Check(kind="manifest", status="failed", what=what))
    return read(path.name, files.read_bytes(path, error=HeaderError, limit=limits.HEADER), described)


def read(name: str, original: bytes, described: Described | None) -> Found:
    """Read a header's bytes.

    Raises: UnreadableError where they are not stencils as a generator writes them.
    """
    try:
        header, python = opening.read_header(original.decode("ascii"), name)
    except UnicodeDecodeError as error:
        line = original.count(b"\n", 0, error.start) + 1
        raise _unreadable("there are non-ASCII bytes", f"{name}, line {line}") from None
    except HeaderError as error:
        raise _unreadable(error.what, error.where, f"next: {error.fix}") from error
    arch = described.request.target.arch if described else ""
    return Found(name=name, original=original, header=header, python=python, arch=arch)


def _unreadable(*details: str) -> UnreadableError:
    what = "these are not stencils as a generator writes them"
    return UnreadableError(Check(kind="canonical", status="failed", what=what, details=details))


def gather(subject: Subject, found: Found, described: Described) -> Evidence:
    """Read what is beside a header, and compare its manifest with a tree.

    Raises: ConfigureError, TargetError, SourceError for a tree that cannot be understood.
    """
    folder = subject.path if subject.path.is_dir() else subject.path.parent
    half = opening.is_half(subject.path, described)
    sharing = _halves(described) if half else (_as_named(found, described),)
    names = {record.name: folder / record.name for record in described.manifest.files}
    contents = {
        name: files.read_bytes(path, error=ManifestError, limit=limits.OUTPUT)
        for name, path in names.items()
        if path.is_file()
    }
    contents[described.manifest.file("stencils").name] = found.original
    whole = half or subject.path.is_dir()
    return _complete(subject, found, described, contents, whole=whole, sharing=sharing)


def gather_artifact(subject: Subject, item: Artifact) -> Evidence:
    """Take the files of an artifact that is in memory.

    Raises: UnreadableError; ConfigureError, TargetError, SourceError for a tree that cannot be understood.
    """
    described = opening.describe(item.manifest)
    name = item.manifest.file("stencils").name
    found = read(name, item.contents["stencils"], described)
    return _complete(subject, found, described, item.files, whole=True, sharing=(described.request,))


def _as_named(found: Found, described: Described) -> SpelledTarget:
    """Return the target as the header's name spells it: install names it as configure spelt the build folder's.

    Since 3.15, names have the canonical triple, however the manifest spells it.
    """
    if found.name == described.manifest.file("stencils").name:
        return described.request
    try:
        named = knowing.target(found.name.removeprefix("jit_stencils-").removesuffix(".h"))
    except TargetError:
        return described.request
    own = described.dialect.file_names(named)["stencils"] == found.name
    return named if own and named.target == described.request.target else described.request


def _halves(described: Described) -> tuple[SpelledTarget, ...]:
    platform = described.request.target.universal
    return knowing.targets_of(platform, described.manifest.dialect)


def _complete(
    subject: Subject,
    found: Found,
    described: Described,
    contents: Mapping[str, bytes],
    *,
    whole: bool,
    sharing: Sequence[SpelledTarget],
) -> Evidence:
    beside, digests, problems = _companions(contents, described)
    other = _other_series(subject.tree, described)
    return Evidence(
        subject=subject,
        found=found,
        described=described,
        contents=contents,
        whole=whole,
        sharing=sharing,
        beside=beside,
        summary=manifest.summarise(found.header.stencils, digests),
        facts=_facts(subject, subject.tree, described, found.header) if subject.tree and not other else None,
        problems=(*problems, *other),
    )


def _companions(
    contents: Mapping[str, bytes], described: Described
) -> tuple[companions.Companions | None, Mapping[str, str], tuple[Check, ...]]:
    """Digest the shim that is there; else believe the manifest, with a note."""
    record = next((record for record in described.manifest.files if record.role == "shim"), None)
    if record is None:
        return None, {}, ()
    if record.name not in contents:
        what = f"{record.name} is not here, and was not checked"
        return None, described.manifest.extras, (Check(kind="manifest", status="noted", what=what),)
    try:
        beside = companions.derive(described.request.target, contents[record.name])
    except ObjectError as error:
        what = f"{record.name} is not the shim's object, or more than that"
        return None, {}, (Check(kind="canonical", status="failed", what=what, details=(error.as_text(),)),)
    return beside, beside.digests, ()


def _facts(subject: Subject, tree: SourceTree, described: Described, header: ReadHeader) -> TreeFacts:
    functions = frozenset(patch.func for group in header.stencils.groups for patch in group.patches if patch.func)
    return fitting.compare(tree, config_folder(subject, tree, described), described, functions)


def _other_series(tree: SourceTree | None, described: Described) -> tuple[Check, ...]:
    """Report a tree of another minor version: all else that differs follows from that."""
    series = described.manifest.series
    if tree is None or tree.version.series == series:
        return ()
    what = f"it was built for CPython {series}, and {tree.root} is CPython {tree.version}"
    return (Check(kind="tree", status="failed", what=what),)


def config_folder(subject: Subject, tree: SourceTree, described: Described) -> Path:
    """Name the folder of pyconfig.h: the user's, that of an in-tree build, Windows' own, or what `build` made here.

    Raises: ConfigureError where there is none of these.
    """
    if subject.pyconfig is not None:
        return subject.pyconfig
    target, cache = described.request.target, environ.cache_root()
    if target.pyconfig == "tree":
        return configure.from_tree(tree, target, cache).folder
    if (tree.root / configure.NAME).is_file():
        return tree.root
    from stencilkit.pipeline import requesting  # noqa: PLC0415  # most name the folder, and ask for no LLVM

    machine = requesting.machine(subject.store)
    made = configure.made(tree, described.request, described.manifest.flavour, machine, cache)
    if made is None:
        raise ConfigureError(
            f"there is no {configure.NAME} of CPython {tree.version} for {target.triple} "
            f"({described.manifest.flavour}): neither in the tree, nor made by stencilkit build on this machine",
            where=str(tree.root),
            fix="name the folder in which you ran configure: --pyconfig-dir",
        )
    return made
