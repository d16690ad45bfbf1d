"""pins.toml -> what may be downloaded, each with the SHA-256 that it must have.

Refuses a pin without a full hash.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stencilkit.errors import DataError
from stencilkit.model.pins import Pins, ReleaseManager, SourcePin, WheelPin
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.support import resources
from stencilkit.support.fields import Fields, document

SCHEMA: Final = 1
# A release as this file has it: the header, and the lines of its keys.
_RELEASE: Final = re.compile(r"^\[\[cpython\]\]\n(?:[a-z0-9-]+ = .*\n)+", re.MULTILINE)
_VERSION: Final = re.compile(r'^version = "(.*)"$', re.MULTILINE)


@functools.cache
def load() -> Pins:
    """Read and check the pins.toml that travels with stencilkit."""
    return parse(resources.text("pins.toml"))


def parse(text: str) -> Pins:
    """Read and check the text of a pins.toml.

    Raises: DataError, with the path to the bad field.
    """
    root = document(text, name="pins.toml", schema=SCHEMA, error=DataError)
    pins = Pins(
        sources=tuple(_source(row) for row in root.tables("cpython")),
        wheels=tuple(_wheel(row) for row in root.tables("llvm")),
        managers=tuple(_manager(row) for row in root.tables("release-manager", ())),
    )
    root.done()
    return pins


def updated(text: str, pin: SourcePin) -> str:
    """Write a release into the text of a pins.toml, in place of that of its series; comments and the rest stay.

    Raises: DataError where the text is not laid out as this file is.
    """
    known = list(_RELEASE.finditer(text))
    old = next((match for match in known if _series(match[0]) == pin.version.series), None)
    keys = ("version", "pool", "path", "sha256", "vouched")
    lines = [f'{key} = "{getattr(pin, key)}"\n' for key in keys if getattr(pin, key)]
    block = "".join(["[[cpython]]\n", *lines])
    if old is not None:
        changed = text[: old.start()] + block + text[old.end() :]
    elif known:
        changed = text[: known[-1].end()] + "\n" + block + text[known[-1].end() :]
    else:
        changed = f"{text.rstrip()}\n\n{block}"
    if not _differ_by(pin, parse(text).sources, changed):
        raise DataError(
            f"CPython {pin.version} could not be written into these pins",
            fix="write each release as [[cpython]] and one line for each key, as stencilkit's own pins.toml does",
        )
    return changed


def _differ_by(pin: SourcePin, before: Sequence[SourcePin], changed: str) -> bool:
    """Return whether a changed text has the same releases but for this one, in place of one of its series if any."""
    try:
        after = parse(changed).sources
    except DataError:
        return False
    # What only an index says of a release is not written.
    new = replace(pin, origin="pin", size=0, sha512="")
    gone = [known for known in before if known not in after]
    replaced = any(known.version.series == pin.version.series for known in before)
    return [known for known in after if known not in before] == [new] and len(gone) == replaced


def _series(block: str) -> str:
    written = _VERSION.search(block)
    version = PythonVersion.parse(written[1]) if written else None
    return version.series if version else ""


def _source(row: Fields) -> SourcePin:
    version = PythonVersion.parse(row.text("version"))
    if version is None:
        raise row.fail("version", "must be a version like 3.14.7")
    pin = SourcePin(
        version=version,
        pool=row.text("pool"),
        path=row.text("path"),
        sha256=row.sha256("sha256"),
        vouched=row.text("vouched", ""),
    )
    row.done()
    return pin


def _manager(row: Fields) -> ReleaseManager:
    manager = ReleaseManager(series=row.text("series"), identity=row.text("identity"), issuer=row.text("issuer"))
    row.done()
    return manager


def _wheel(row: Fields) -> WheelPin:
    version = LlvmVersion.parse(row.text("version"))
    if version is None:
        raise row.fail("version", "must be a version like 19.1.7")
    pin = WheelPin(
        version=version,
        package=row.text("package"),
        sha256=tuple(row.as_sha256("sha256", digest) for digest in row.texts("sha256")),
    )
    row.done()
    if not pin.sha256:
        raise row.fail("sha256", "a download without a hash is refused")
    return pin
