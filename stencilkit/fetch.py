"""A CPython version -> its release tarball, checked against a pinned SHA-256, unpacked.

The apt mirror that this machine is configured with is asked first (distributions carry the unchanged release
tarball), python.org second. Refuses a version whose hash nobody has given.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError, ProcessError, UsageError
from stencilkit.model.pins import Pins, SourcePin
from stencilkit.model.version import PythonVersion
from stencilkit.support import archive, download, files, private, process
from stencilkit.support.progress import SILENT, Progress

# What every CPython has since 1995; `source` reads the version from it.
PATCHLEVEL: Final = "Include/patchlevel.h"
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

    A tree in the cache is used again; a folder of the user's must not exist yet.

    Raises: FetchError; UsageError for a version without a known hash.
    """
    pin = _pin(version, pins, sha256)
    folder = to or _folder(cache, version, pin.sha256)
    if to is not None and to.exists():
        raise FetchError(f"{to} exists", fix="choose a folder that does not exist yet (--to)")
    if folder.is_dir():
        return folder
    private.make(cache)
    tarball = cache / "tarballs" / f"Python-{version}-{pin.sha256[:16]}.tar.xz"
    if not tarball.is_file() or files.sha256(tarball) != pin.sha256:
        progress.say(f"fetching CPython {version}")
        download.fetch(_urls(pin), pin.sha256, tarball, progress=progress)
    progress.say(f"unpacking CPython {version}")
    return unpack(tarball, folder)


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


def _pin(version: str, pins: Pins, sha256: str | None) -> SourcePin:
    known = pins.source(version)
    if known is not None and sha256 in (None, known.sha256):
        return known
    if known is not None:
        raise UsageError(
            f"--sha256 {sha256} is not that of CPython {version}, which is {known.sha256}",
            fix="leave --sha256 out: this release is pinned",
        )
    parsed = PythonVersion.parse(version)
    if parsed is None:
        raise UsageError(f"{version!r} is not a CPython version", fix="give one like 3.14.7 or 3.15.0rc1")
    if sha256 is None:
        raise UsageError(
            f"no hash is pinned for CPython {version}",
            fix=(
                f"run stencilkit fetch {version} --sha256 HEX (of its .tar.xz) and give --cpython the folder that it "
                "prints, or a tree of your own; pinned are " + ", ".join(pin.version for pin in pins.sources)
            ),
        )
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UsageError(f"not a SHA-256 in lower-case hex: {sha256!r}", fix="sha256sum Python-*.tar.xz prints it")
    release = re.split("[abr]", parsed.rest)[0]
    # Debian sorts "3.15.0~rc1" before "3.15.0":
    debian = re.sub(r"(?<=\d)(?=(a|b|rc)\d)", "~", version)
    series = parsed.series
    return SourcePin(
        version=version,
        pool=f"pool/main/p/python{series}/python{series}_{debian}.orig.tar.xz",
        path=f"{series}.{release}/Python-{version}.tar.xz",
        sha256=sha256,
    )


def _folder(cache: Path, version: str, sha256: str) -> Path:
    return cache / "trees" / f"Python-{version}-{sha256[:16]}"


def _urls(pin: SourcePin) -> tuple[str, ...]:
    return (*(f"{mirror}{pin.pool}" for mirror in _apt_mirrors()), _PYTHON_ORG + pin.path)


def _apt_mirrors() -> tuple[str, ...]:
    """List the package mirrors that apt is configured with, those of Debian and Ubuntu themselves."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    try:
        answer = process.run(command, timeout=30)
    except ProcessError:
        return ()
    rows = (line.split(" ", 1) for line in sorted(set(answer.out.splitlines())) if " " in line)
    mirrors = [uri for origin, uri in rows if origin in ("Debian", "Ubuntu") and uri.startswith("http")]
    # Security mirrors carry old point releases: ask them last.
    return tuple(sorted(mirrors, key=lambda uri: ("security" in uri, uri)))
