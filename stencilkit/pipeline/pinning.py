"""From the releases that can be had to the pins: the newest of each series, and where its hash came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilkit import fetch, pins
from stencilkit.errors import DataError, UsageError
from stencilkit.fetch import Fetched
from stencilkit.model.pins import Pins, SourcePin
from stencilkit.model.version import PythonVersion
from stencilkit.pipeline import knowing
from stencilkit.support import files
from stencilkit.support.progress import SILENT, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What is pinned of a series ("3.15") now, and was before.

    Of the newer releases `absent`, no tarball was found, and of the suites `unasked`, no source index.
    """

    series: str
    before: SourcePin | None
    now: SourcePin
    absent: tuple[str, ...]
    unasked: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Return whether another release is pinned than before."""
        return self.before != self.now


def update(
    file: Path, series: Sequence[str], given: Mapping[str, str], cache: Path, *, progress: Progress = SILENT
) -> tuple[Pinned, ...]:
    """Write the newest release of each series into a pins.toml, once its tarball is here and is what its hash says.

    `series` are all that stencilkit knows, where none is named. `given` are hashes by version that the user vouches
    for; then the newest of other series is looked for only where they are named. Everything is written, or nothing. A
    pin is never replaced by an older release.

    Raises: FetchError, UsageError, DataError.
    """
    text = files.read_text(file, error=DataError)
    known = pins.parse(text)
    releases = {fetch.release(version): sha256 for version, sha256 in given.items()}
    named = {version.series: version for version in releases}
    if len(named) != len(given):
        raise UsageError("two releases of one series have a --sha256", fix="give that of the newer one alone")
    searched = list(series) if series or named else list(knowing.pythons())
    done = []
    for one in dict.fromkeys([*searched, *named]):
        found = _fetched(one, named.get(one), releases, known, cache, progress)
        pinned = _compared(one, known, found)
        text = pins.updated(text, pinned.now) if pinned.changed else text
        done.append(pinned)
    files.write(file, text.encode())
    return tuple(done)


def _fetched(
    series: str,
    version: PythonVersion | None,
    hashes: Mapping[PythonVersion, str],
    known: Pins,
    cache: Path,
    progress: Progress,
) -> Fetched:
    if version is not None:
        return fetch.named(version, hashes[version], known, cache, progress=progress)
    if not fetch.is_series(series):
        raise UsageError(f"{series!r} is not a series", fix="name one like 3.15; a release needs --sha256 3.15.2=HEX")
    return fetch.newest(series, known, cache, progress=progress)


def _compared(series: str, known: Pins, found: Fetched) -> Pinned:
    """Compare with the newest pin of the series, which may be one that cannot be had today."""
    pinned = [pin for pin in known.sources if pin.version.series == series]
    before = max(pinned, key=lambda pin: pin.version.age, default=None)
    stays = before is not None and found.pin.version.age <= before.version.age
    return Pinned(
        series=series,
        before=before,
        now=before if before and stays else found.pin,
        absent=found.absent,
        unasked=found.unasked,
    )
