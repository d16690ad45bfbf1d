"""A CPython version -> its release tarball, checked against a known hash, unpacked.

The apt mirror that this machine is configured with is asked first (distributions carry the unchanged release
tarball), python.org second. The hash is stencilkit's pin, or the one in a distribution's source index whose signature
apt has checked, or the user's. Refuses a version whose hash nobody has given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stencilkit.errors import ContentError, FetchError, UsageError
from stencilkit.fetch import _vouching
from stencilkit.model.pins import Pins, SourcePin
from stencilkit.model.source import VOUCHED
from stencilkit.model.version import PythonVersion
from stencilkit.support import apt, archive, download, files, private, words
from stencilkit.support.progress import SILENT, Progress

# What every CPython has since 1995; `source` reads the version from it.
PATCHLEVEL: Final = "Include/patchlevel.h"
# How much of a hash is in the names of trees and tarballs.
_SHORT: Final = 16
_SERIES: Final = re.compile(r"3\.[0-9]{1,2}")
_PYTHON_ORG: Final = "https://www.python.org/ftp/python/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A release that was had: what vouches for it, and its tree.

    `absent` are newer ones whose tarballs are nowhere; `unasked` are suites whose source index is, which may list more.
    """

    pin: SourcePin
    tree: Path
    absent: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()


def fetch(
    version: str,
    pins: Pins,
    cache: Path,
    *,
    sha256: str | None = None,
    to: Path | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Download and unpack a CPython release; return the tree's folder, which is `to` or one in the cache.

    `version` may be a series ("3.15"): its newest release that can be had. A tree in the cache is used again; a folder
    of the user's must not exist yet.

    Raises: FetchError; UsageError for a version without a known hash.
    """
    if is_series(version) and sha256 is None:
        return newest(version, pins, cache, to=to, progress=progress).tree
    named = release(version)
    if sha256 is None and to is None and (kept := _kept(named, pins, cache)):
        return kept
    pin = _vouching.pin(named, pins, sha256, cache, progress)
    return _fetch(pin, cache, to, progress).tree


def is_series(text: str) -> bool:
    """Return whether a text names a series, as in "3.15"."""
    return _SERIES.fullmatch(text) is not None


def release(text: str) -> PythonVersion:
    """Read a release as the user names it.

    Raises: UsageError.
    """
    version = PythonVersion.parse(text)
    if version is None:
        raise UsageError(
            f"{text!r} is not a CPython version",
            fix="give one like 3.14.7 or 3.15.0rc1; without a hash, 3.15 is the newest of that series",
        )
    return version


def newest(series: str, pins: Pins, cache: Path, *, to: Path | None = None, progress: Progress = SILENT) -> Fetched:
    """Fetch the newest release of a series whose tarball is there: an index may list what no mirror holds.

    Raises: ContentError where a mirror has other content under its name; FetchError of the newest where none can be
        had; UsageError where none is known.
    """
    indexed = _vouching.indexed(series, cache, progress)
    found = {pin.version: pin for pin in (*indexed.pins, *pins.sources) if pin.version.series == series}
    if not found:
        raise UsageError(
            f"no release of CPython {series} is pinned, or in a source index that apt can check here",
            fix="name a release, and its hash: --sha256",
        )
    absent: dict[str, FetchError] = {}
    for version in sorted(found, key=lambda version: version.age, reverse=True):
        pin = pins.source(version) or _vouching.agreed(version, indexed.pins)
        try:
            fetched = _fetch(pin, cache, to, progress)
        except ContentError:
            raise
        except FetchError as error:
            absent[str(version)] = error
            continue
        if absent:
            progress.say(_not_newest(version, absent))
        return replace(fetched, absent=tuple(absent), unasked=indexed.unasked)
    # The newest is what was asked for.
    raise next(iter(absent.values()))


def named(version: PythonVersion, sha256: str, pins: Pins, cache: Path, *, progress: Progress = SILENT) -> Fetched:
    """Fetch a release with the hash that the user gives.

    Raises: FetchError; UsageError where a pin or a signed index has another hash for it.
    """
    try:
        indexed = [one for one in _vouching.indexed(version.series, cache, progress).pins if one.version == version]
    except FetchError as error:
        # The user vouches; that is the way out where no index can be checked.
        progress.say(f"the hash is compared with no index: {error.what}")
        indexed = []
    listed = _vouching.agreed(version, indexed) if indexed else None
    if listed and listed.sha256 not in ("", sha256):
        raise UsageError(
            f"--sha256 {sha256} is not that of CPython {version} in a signed source index",
            details=listed.sha256,
            fix="leave --sha256 out: the index vouches for this release",
        )
    pin = _vouching.pin(version, pins, sha256, cache, progress)
    if listed:
        # An index may have this one alone.
        pin = replace(pin, sha512=listed.sha512)
    return _fetch(pin, cache, None, progress)


def _fetch(pin: SourcePin, cache: Path, to: Path | None, progress: Progress) -> Fetched:
    if to is not None and to.exists():
        raise FetchError(f"{to} exists", fix="choose a folder that does not exist yet (--to)")
    folder = to or _folder(cache, pin)
    # What another hash says, the tarball shows.
    if list(pin.hashes) == ["sha256"] and folder.is_dir():
        return Fetched(pin=pin, tree=_noted(folder, pin))
    private.make(cache)
    tarball = cache / "tarballs" / f"{_name(pin)}.tar.xz"
    if not tarball.is_file() or any(files.digest(tarball, name) != value for name, value in pin.hashes.items()):
        progress.say(f"fetching CPython {pin.version}")
        try:
            download.fetch(_urls(pin), pin.hashes, tarball, size=pin.size, progress=progress)
        except FetchError as error:
            raise _explained(pin, error) from None
    if not pin.sha256:
        # An index may have another hash alone. The tree has this one's name, and so it is in manifests.
        pin = replace(pin, sha256=files.sha256(tarball))
        folder = to or _folder(cache, pin)
    if not folder.is_dir():
        with progress.during(f"unpacking CPython {pin.version}"):
            unpack(tarball, folder)
    return Fetched(pin=pin, tree=folder if to else _noted(folder, pin))


def _noted(folder: Path, pin: SourcePin) -> Path:
    """Note beside a tree of the cache what vouched for its tarball, for manifests."""
    files.write(folder.with_name(f"{folder.name}{VOUCHED}"), f"{pin.origin} {pin.sha256}\n".encode())
    return folder


def unpack(tarball: Path, folder: Path) -> Path:
    """Unpack a source tarball so that `folder` appears whole or not at all.

    Raises: SourceError.
    """
    with files.fresh_beside(folder) as temporary:
        archive.unpack_source(tarball, temporary / "tree", PATCHLEVEL)
        try:
            (temporary / "tree").rename(folder)
        except OSError:
            # Another process was faster; its tree is as good as ours.
            if not folder.is_dir():
                raise
    return folder


def unpack_cached(tarball: Path, cache: Path) -> Path:
    """Unpack any tarball into the cache, once per content.

    Raises: SourceError.
    """
    folder = private.make(cache) / "trees" / f"sha256-{files.sha256(tarball)[:32]}"
    return folder if folder.is_dir() else unpack(tarball, folder)


def _not_newest(version: PythonVersion, absent: Mapping[str, FetchError]) -> str:
    """Say what is with the newest release, whose tarball is nowhere, and which others share its fate."""
    problem, others = next(iter(absent.values())), list(absent)[1:]
    too = f"; without a tarball, too: {', '.join(others)}" if others else ""
    return f"CPython {version} is not the newest: {problem.what}{too}; {problem.fix}"


def _explained(pin: SourcePin, error: FetchError) -> FetchError:
    """Explain an error for a release from an index that no mirror holds, or holds with other content."""
    if pin.origin != "index":
        return error
    if isinstance(error, ContentError):
        return ContentError(
            f"a signed source index lists CPython {pin.version}, and the tarball of that name is another one",
            details=error.details,
            fix="report it to the distribution, and name another release until then",
        )
    return FetchError(
        f"a signed source index lists CPython {pin.version}, but its tarball is not available: {error.what}",
        details=error.details,
        fix=(
            "try again when the mirror has caught up, or download Python-"
            f"{pin.version}.tar.xz ({_in_words(pin)}) elsewhere and give --cpython its path"
        ),
    )


def _kept(version: PythonVersion, pins: Pins, cache: Path) -> Path | None:
    """Find the tree of a release that is not pinned and was fetched before; None where there are none, or several.

    It was checked then, against the user's --sha256 or an index.
    """
    if pins.source(version) is not None:
        return None
    found = list((cache / "trees").glob(f"Python-{version}-{'[0-9a-f]' * _SHORT}"))
    return found[0] if len(found) == 1 else None


def _folder(cache: Path, pin: SourcePin) -> Path:
    return cache / "trees" / _name(pin)


def _name(pin: SourcePin) -> str:
    return f"Python-{pin.version}-{next(iter(pin.hashes.values()))[:_SHORT]}"


def _in_words(pin: SourcePin) -> str:
    name, value = next(iter(pin.hashes.items()))
    return f"{words.of_hash(name)} {value}"


def _urls(pin: SourcePin) -> tuple[str, ...]:
    return (*apt.urls(pin.pool), _PYTHON_ORG + pin.path)
