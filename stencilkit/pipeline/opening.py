"""From a path that somebody names to the stencils there, and what is known about them."""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit import dialects, manifest, reader
from stencilkit.errors import HeaderError, ManifestError, TargetError, UsageError
from stencilkit.model.dialect import Dialect, Python
from stencilkit.model.header import ReadHeader
from stencilkit.model.manifest import MANIFEST_NAME, FileRole, Manifest, half_name
from stencilkit.model.target import SpelledTarget, Target
from stencilkit.pipeline import knowing
from stencilkit.support import files, limits

# What has a digest of its own in the manifest, beside that of the file:
_DIGESTED: Final[tuple[FileRole, ...]] = ("shim", "unwind")
_RESTORE: Final = "build it again, or restore it from where it came from"
_AGAIN: Final = "give a header or an output folder of stencilkit build, or build it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A manifest that was read, with the target and the CPython that it is about."""

    manifest: Manifest
    request: SpelledTarget
    python: Python

    @property
    def dialect(self) -> Dialect:
        """Return what its CPython's code does."""
        return self.python.dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A header that was read: as the user named it, where it is, what it is for, and its manifest if one is there.

    `original` is its text, as it was read.
    """

    label: str
    path: Path
    original: str
    header: ReadHeader
    python: Python
    target: Target
    manifest: Manifest | None


def manifest_of(path: Path) -> Path:
    """Name the manifest of a header or a folder, whether it is there or not.

    In a universal platform's folder every header has its own, with its triple in the name.
    """
    if path.is_dir():
        return path / MANIFEST_NAME
    own = path.with_name(half_name(path.stem.partition("-")[2]))
    return own if own.is_file() else path.with_name(MANIFEST_NAME)


def is_half(path: Path, described: Described) -> bool:
    """Return whether a header is one of a universal platform's folder, where the dispatchers are for both halves."""
    return not path.is_dir() and path.with_name(half_name(described.manifest.triple)).is_file()


def header_of(path: Path, described: Manifest | None) -> Path:
    """Name the header that is meant: the path itself, or the one of a folder, whether it is there or not.

    Raises: UsageError where nothing says which one of the folder's it is, and for a bundle or a manifest.
    """
    if not path.is_dir():
        _refuse_bundle(path)
        if path.name == MANIFEST_NAME:
            raise UsageError(f"{path} is a manifest, not a header", fix=f"give its folder: {path.parent}")
        return path
    if described is not None:
        return path / described.file("stencils").name
    # What CPython's own generator leaves in a folder: before 3.14 one header, then one per triple and a dispatcher.
    found = sorted(path.glob("jit_stencils-*.h")) or sorted(path.glob("jit_stencils.h"))
    if len(found) != 1:
        raise UsageError(
            f"{path} has no {MANIFEST_NAME}, and {len(found) or 'no'} stencil headers",
            fix="give a header, or an output folder of stencilkit build",
        )
    return found[0]


@functools.lru_cache(maxsize=4)  # whoever looks what is in a folder reads its manifest, and then verifies what it says
def read_manifest(text: str, where: str) -> Described:
    """Read a manifest, and refuse one of other files than its CPython's build looks for; `where` is for messages.

    Raises: ManifestError; TargetError and SourceError for a target or a CPython that stencilkit does not know.
    """
    read = manifest.parse(text, where)
    described = describe(read)
    expected = described.dialect.file_names(described.request)
    beside: set[FileRole] = {role for role in _DIGESTED if role in expected}
    if {file.role: file.name for file in read.files} != expected or read.extras.keys() != beside:
        raise ManifestError(
            f"its files are not those of CPython {read.series} for {read.spelling}",
            where=where,
            details="\n".join(sorted(expected.values())),
            fix=_RESTORE,
        )
    missing = [word for word in described.request.target.hardened if word not in read.cflags.split()]
    if read.hardened and (missing or not described.request.target.hardened):
        raise ManifestError(
            f"build.hardened: says that these are, and build.cflags has no {' '.join(missing) or 'such flags'}",
            where=where,
            fix=_RESTORE,
        )
    return described


def describe(read: Manifest) -> Described:
    """Find the target of a manifest, and the CPython that its stencils were built as.

    Raises: TargetError, SourceError for those that stencilkit does not know; ManifestError.
    """
    request = knowing.target(read.spelling)
    if request.target.triple != read.triple:
        found = request.target.triple
        raise TargetError(
            f"artifact.triple is {read.triple}, but {read.spelling} means {found}",
            where="artifact.triple",
            fix=_RESTORE,
        )
    if read.provisional and read.series in knowing.pythons():
        raise ManifestError(
            f"it was built as CPython {read.provisional}, and is of {read.cpython}, which stencilkit knows",
            where="artifact.provisional",
            fix="build it again, without --provisional",
        )
    return Described(manifest=read, request=request, python=knowing.python(read.dialect))


def open_header(path: Path, triple: str | None = None) -> Opened:
    """Open a header of stencilkit's or of CPython's own generator, or the one in an output folder.

    What it is for is `triple`, or what manifest, file name or line 2 say.

    Raises: HeaderError, ManifestError, TargetError; UsageError where it is not known what the code is for.
    """
    described = _manifest(path)
    found = header_of(path, described)
    if described is not None and described.file("stencils").name != found.name:
        described = None
    original = files.read_text(found, error=HeaderError, limit=limits.HEADER, fix=_AGAIN)
    header, python = read_header(original, str(found))
    spelling = triple or (described.triple if described else _named(found, header))
    if not spelling:
        raise UsageError(f"{found.name} does not say what it is for", fix="name the triple with --target")
    return Opened(
        label=str(path),
        path=found,
        original=original,
        header=header,
        python=python,
        target=knowing.target(spelling).target,
        manifest=described,
    )


def check_comparable(first: Opened, second: Opened) -> None:
    """Refuse to compare stencils of different CPythons or targets.

    Raises: UsageError.
    """
    for what, one, two in (
        ("CPython", first.header.format.series, second.header.format.series),
        ("target", first.target.triple, second.target.triple),
    ):
        if one != two:
            raise UsageError(
                f"{first.label} and {second.label} cannot be compared: {what} {one} and {two}",
                fix="compare stencils of one CPython series and one target",
            )


def read_header(text: str, where: str) -> tuple[ReadHeader, Python]:
    """Read the text of a header, and find the CPython that it is for; `where` is for messages.

    Raises: HeaderError.
    """
    header = reader.read(text, dialects.header_forms(), where)
    return header, knowing.python(header.format.series)


def _manifest(path: Path) -> Manifest | None:
    place = manifest_of(path)
    if not place.is_file():
        return None
    return read_manifest(
        files.read_text(place, error=ManifestError, limit=limits.MANIFEST, fix=_AGAIN), str(place)
    ).manifest


def _refuse_bundle(path: Path) -> None:
    from stencilkit.support import archive  # noqa: PLC0415  # a folder is no bundle

    if path.is_file() and archive.is_tar(path):
        raise UsageError(
            f"{path} is a bundle, or another archive",
            fix="stencilkit inspect says what is in it, stencilkit install --check whether it fits a configured "
            f"CPython; or unpack it (tar -xf {shlex.quote(str(path))}), and name a header in it (verify "
            "takes its manifest with --manifest)",
        )


def _named(path: Path, header: ReadHeader) -> str:
    """Find a triple in the file's name, or among the words of CPython's own line 2 (the generator's command)."""
    # In a bundle the triple is the whole name.
    for word in (path.stem.partition("-")[2], path.stem, *header.line2.split()):
        try:
            return knowing.target(word).target.triple
        except TargetError:
            continue
    return ""
