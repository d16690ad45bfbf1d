"""Whose hash vouches for a release: stencilkit's pin, a source index whose signature apt checks, or the user's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stencilkit.errors import FetchError, UsageError
from stencilkit.model.pins import HASHES, HashOrigin, Pins, SourcePin
from stencilkit.model.version import PythonVersion
from stencilkit.support import apt, private, suggest
from stencilkit.support.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """What signed source indexes list of a series, and the suites that should have an index and have none here."""

    pins: tuple[SourcePin, ...] = ()
    unasked: tuple[str, ...] = ()


def pin(version: PythonVersion, pins: Pins, sha256: str | None, cache: Path, progress: Progress) -> SourcePin:
    """Find a release's hash: the pin's, the one that the user gives, or a signed index's.

    Raises: FetchError where an index cannot be checked, or two do not agree; UsageError where the user's hash is
        another one than the pin's, and where none is known.
    """
    known = pins.source(version)
    if known is not None and sha256 in (None, known.sha256):
        return known
    if known is not None:
        raise UsageError(
            f"--sha256 {sha256} is not that of CPython {version}, which is {known.sha256}",
            fix="leave --sha256 out: this release is pinned",
        )
    if sha256 is None:
        listed = indexed(version.series, cache, progress).pins
        if any(found.version == version for found in listed):
            return agreed(version, listed)
        raise _unknown(version, [str(found.version) for found in (*pins.sources, *listed)])
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UsageError(f"not a SHA-256 in lower-case hex: {sha256!r}", fix="sha256sum Python-*.tar.xz prints it")
    package = _package(version.series)
    pool = f"pool/main/p/{package}/{package}_{_debian(version)}.orig.tar.xz"
    given = {"sha256": sha256}
    return _source_pin(version, pool, given, origin="sha256", vouched="whoever gave it as --sha256")


def agreed(version: PythonVersion, indexes: Iterable[SourcePin]) -> SourcePin:
    """Return what source indexes list as a release, with all hashes that any of them has.

    Raises: FetchError where they list different tarballs.
    """
    listed = [found for found in indexes if found.version == version]
    values = {name: sorted({found.hashes[name] for found in listed if name in found.hashes}) for name in HASHES}
    if len({found.size for found in listed}) > 1 or any(len(several) > 1 for several in values.values()):
        raise FetchError(
            f"source indexes do not agree about the hash of CPython {version}",
            details="\n".join(f"{value} {found.pool}" for found in listed for value in found.hashes.values()),
            fix=f"stencilkit fetch {version} --sha256 HEX, with the hash that python.org publishes, asks no index",
        )
    return replace(listed[0], sha256="".join(values["sha256"]), sha512="".join(values["sha512"]))


def indexed(series: str, cache: Path, progress: Progress) -> Indexed:
    """List the releases of a series that signed source indexes list, under the name of the unchanged tarball.

    Raises: FetchError where an index cannot be checked.
    """
    where = apt.archives()
    if not where:
        progress.say(
            f"no source index is asked (that takes apt with a mirror of {' or '.join(apt.DISTRIBUTIONS)}, and the "
            "distribution's archive keyring): only pinned releases are known"
        )
        return Indexed(unasked=apt.DISTRIBUTIONS)
    package = _package(series)
    original = re.compile(rf"{re.escape(package)}_(?P<version>[0-9.]+(?:~(?:a|b|rc)[0-9]+)?)\.orig\.tar\.xz")
    with progress.during(f"looking for CPython {series} in the source indexes of {where[0].uri}"):
        listed = apt.source_files(package, where, private.make(cache) / "apt")
    unasked = tuple(f"{archive.uri} {archive.suite}" for archive in where if archive not in listed.archives)
    for suite in unasked:
        # Somebody on the network may have hidden it.
        progress.say(f"there is no source index of {suite}: a release that is there alone is not seen")
    found = (
        _source_pin(
            version,
            file.pool,
            dict(file.hashes),
            origin="index",
            size=file.size,
            vouched=_signers(dict.fromkeys(other.archive for other in listed.files if other.name == file.name)),
        )
        for file in listed.files
        if (match := original.fullmatch(file.name))
        and (version := PythonVersion.parse(match["version"].replace("~", "")))
    )
    return Indexed(pins=tuple(dict.fromkeys(found)), unasked=unasked)


def _unknown(version: PythonVersion, known: Sequence[str]) -> UsageError:
    near = suggest.question(suggest.nearest(str(version), known, likeness=suggest.VERSION_LIKENESS))
    own = f"run stencilkit fetch {version} --sha256 HEX (of its .tar.xz), and this again; or give --cpython a tree"
    return UsageError(
        f"no hash is known for CPython {version}: it is not pinned, nor in a source index that apt can check here",
        fix=near or f"{own}; pinned or in an index are {', '.join(dict.fromkeys(known))}",
    )


def _signers(where: Iterable[apt.Archive]) -> str:
    suites = ", ".join(f"{archive.origin} {archive.suite}" for archive in where)
    return f"the signed source index of {suites}"


def _package(series: str) -> str:
    return f"python{series}"


def _debian(version: PythonVersion) -> str:
    """Spell a version so that Debian sorts "3.15.0~rc1" before "3.15.0"."""
    return re.sub(r"(?<=\d)(?=(a|b|rc)\d)", "~", str(version))


def _source_pin(
    version: PythonVersion,
    pool: str,
    hashes: Mapping[str, str],
    *,
    origin: HashOrigin,
    vouched: str,
    size: int = 0,
) -> SourcePin:
    micro = re.split("[abr]", version.rest)[0]
    path = f"{version.series}.{micro}/Python-{version}.tar.xz"
    return SourcePin(
        version=version,
        pool=pool,
        path=path,
        sha256=hashes.get("sha256", ""),
        sha512=hashes.get("sha512", ""),
        origin=origin,
        size=size,
        vouched=vouched,
    )
