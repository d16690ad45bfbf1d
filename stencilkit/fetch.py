"""A CPython version -> its release tarball, checked against a known SHA-256, unpacked.

The apt mirror that this machine is configured with is asked first (distributions carry the unchanged release
tarball), python.org second. The hash is stencilkit's pin, or the one in a distribution's source index whose signature
apt has checked, or the user's. Refuses a version whose hash nobody has given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError, UsageError
from stencilkit.model.pins import HashOrigin, Pins, SourcePin
from stencilkit.model.source import VOUCHED
from stencilkit.model.version import PythonVersion
from stencilkit.support import apt, archive, download, files, private, suggest
from stencilkit.support.progress import SILENT, Progress

# What every CPython has since 1995; `source` reads the version from it.
PATCHLEVEL: Final = "Include/patchlevel.h"
# How much of a hash is in the names of trees and tarballs.
_SHORT: Final = 16
_SERIES: Final = re.compile(r"3\.[0-9]{1,2}")
_PYTHON_ORG: Final = "https://www.python.org/ftp/python/"


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
    if _SERIES.fullmatch(version) and sha256 is None:
        return _newest(version, pins, cache, to, progress)
    if sha256 is None and to is None and (kept := _kept(version, pins, cache)):
        return kept
    pin = _pin(version, pins, sha256, cache, progress)
    return _fetch(pin, cache, to, progress)


def _newest(series: str, pins: Pins, cache: Path, to: Path | None, progress: Progress) -> Path:
    """Fetch the newest release of a series whose tarball is there: an index may list what no mirror holds.

    Raises: FetchError of the last that was tried; UsageError where none is known.
    """
    known = {pin.version: pin for pin in (*_indexed(series, cache, progress), *pins.sources)}
    found = [pin for version, pin in known.items() if _parsed(version).series == series]
    problem: FetchError | UsageError = UsageError(
        f"no release of CPython {series} is pinned, or in a source index that apt can check here",
        fix="name a release, and its hash: --sha256",
    )
    for pin in sorted(found, key=lambda pin: _parsed(pin.version).age, reverse=True):
        try:
            return _fetch(pin, cache, to, progress)
        except FetchError as error:
            progress.say(f"CPython {pin.version} is listed, but cannot be had: {error.what}")
            problem = error
    raise problem


def _fetch(pin: SourcePin, cache: Path, to: Path | None, progress: Progress) -> Path:
    version = pin.version
    folder = to or _folder(cache, version, pin.sha256)
    if to is not None and to.exists():
        raise FetchError(f"{to} exists", fix="choose a folder that does not exist yet (--to)")
    if folder.is_dir():
        return _noted(folder, pin)
    private.make(cache)
    tarball = cache / "tarballs" / f"Python-{version}-{pin.sha256[:_SHORT]}.tar.xz"
    if not tarball.is_file() or files.sha256(tarball) != pin.sha256:
        progress.say(f"fetching CPython {version}")
        try:
            download.fetch(_urls(pin), pin.sha256, tarball, progress=progress)
        except FetchError as error:
            raise _explained(pin, error) from None
    with progress.during(f"unpacking CPython {version}"):
        unpack(tarball, folder)
    return folder if to else _noted(folder, pin)


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


def _explained(pin: SourcePin, error: FetchError) -> FetchError:
    """Say of a release from an index that the index lists what no mirror holds."""
    if pin.origin != "index":
        return error
    return FetchError(
        f"a signed source index lists CPython {pin.version}, but its tarball cannot be had: {error.what}",
        details=error.details,
        fix=(
            "try again when the mirror has caught up, or download Python-"
            f"{pin.version}.tar.xz (SHA-256 {pin.sha256}) elsewhere and give --cpython its path"
        ),
    )


def _kept(version: str, pins: Pins, cache: Path) -> Path | None:
    """Find the tree of a release that is not pinned and was fetched before; None where there are none, or several.

    It was checked then, against the user's --sha256 or an index.
    """
    _parsed(version)
    if pins.source(version) is not None:
        return None
    found = list((cache / "trees").glob(f"Python-{version}-{'[0-9a-f]' * _SHORT}"))
    return found[0] if len(found) == 1 else None


def _unknown(version: str, known: Sequence[str]) -> UsageError:
    near = suggest.question(suggest.nearest(version, known, likeness=suggest.VERSION_LIKENESS))
    own = f"run stencilkit fetch {version} --sha256 HEX (of its .tar.xz), and this again; or give --cpython a tree"
    return UsageError(
        f"no hash is known for CPython {version}: it is not pinned, nor in a source index that apt can check here",
        fix=near or f"{own}; pinned or in an index are {', '.join(dict.fromkeys(known))}",
    )


def _pin(version: str, pins: Pins, sha256: str | None, cache: Path, progress: Progress) -> SourcePin:
    known = pins.source(version)
    if known is not None and sha256 in (None, known.sha256):
        return known
    if known is not None:
        raise UsageError(
            f"--sha256 {sha256} is not that of CPython {version}, which is {known.sha256}",
            fix="leave --sha256 out: this release is pinned",
        )
    series = _parsed(version).series
    if sha256 is None:
        indexed = _indexed(series, cache, progress)
        listed = [pin for pin in indexed if pin.version == version]
        if len({pin.sha256 for pin in listed}) > 1:
            raise FetchError(
                f"source indexes do not agree about the hash of CPython {version}",
                details="\n".join(f"{pin.sha256} {pin.pool}" for pin in listed),
                fix="give the one that python.org publishes: --sha256",
            )
        if listed:
            return listed[0]
        raise _unknown(version, [pin.version for pin in (*pins.sources, *indexed)])
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UsageError(f"not a SHA-256 in lower-case hex: {sha256!r}", fix="sha256sum Python-*.tar.xz prints it")
    name = f"{_package(series)}_{_debian(version)}.orig.tar.xz"
    return _source_pin(version, f"pool/main/p/{_package(series)}/{name}", sha256, "sha256")


def _parsed(version: str) -> PythonVersion:
    parsed = PythonVersion.parse(version)
    if parsed is None:
        raise UsageError(f"{version!r} is not a CPython version", fix="give one like 3.14.7, 3.15.0rc1 or 3.15")
    return parsed


def _indexed(series: str, cache: Path, progress: Progress) -> tuple[SourcePin, ...]:
    """List the releases of a series that signed source indexes list, under the name of the unchanged tarball.

    Raises: FetchError where an index cannot be checked.
    """
    where = apt.archives()
    if not where:
        return ()
    package = _package(series)
    original = re.compile(rf"{re.escape(package)}_(?P<version>[0-9.]+(?:~(?:a|b|rc)[0-9]+)?)\.orig\.tar\.xz")
    with progress.during(f"looking for CPython {series} in the source indexes of {where[0].uri}"):
        listed = apt.source_files(package, where, private.make(cache) / "apt")
    return tuple(
        _source_pin(match["version"].replace("~", ""), file.pool, file.sha256, "index")
        for file in listed
        if (match := original.fullmatch(file.name))
    )


def _package(series: str) -> str:
    return f"python{series}"


def _debian(version: str) -> str:
    """Spell a version so that Debian sorts "3.15.0~rc1" before "3.15.0"."""
    return re.sub(r"(?<=\d)(?=(a|b|rc)\d)", "~", version)


def _source_pin(version: str, pool: str, sha256: str, origin: HashOrigin) -> SourcePin:
    parsed = _parsed(version)
    release = re.split("[abr]", parsed.rest)[0]
    path = f"{parsed.series}.{release}/Python-{version}.tar.xz"
    return SourcePin(version=version, pool=pool, path=path, sha256=sha256, origin=origin)


def _folder(cache: Path, version: str, sha256: str) -> Path:
    return cache / "trees" / f"Python-{version}-{sha256[:_SHORT]}"


def _urls(pin: SourcePin) -> tuple[str, ...]:
    return (*(f"{mirror.uri}{pin.pool}" for mirror in apt.mirrors()), _PYTHON_ORG + pin.path)
