"""pins.toml -> what may be downloaded, each with the SHA-256 that it must have.

Refuses a pin without a full hash.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from stencilkit.errors import DataError
from stencilkit.model.pins import Pins, ReleaseManager, SourcePin, WheelPin
from stencilkit.model.version import LlvmVersion
from stencilkit.support import resources
from stencilkit.support.fields import Fields, document

SCHEMA: Final = 1


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


def _source(row: Fields) -> SourcePin:
    pin = SourcePin(
        version=row.text("version"),
        pool=row.text("pool"),
        path=row.text("path"),
        sha256=_sha256(row, row.text("sha256")),
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
        sha256=tuple(_sha256(row, digest) for digest in row.texts("sha256")),
    )
    row.done()
    if not pin.sha256:
        raise row.fail("sha256", "a download without a hash is refused")
    return pin


def _sha256(row: Fields, digest: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise row.fail("sha256", f"not a SHA-256 in lower-case hex: {digest!r}")
    return digest
