"""What may be downloaded (the content of pins.toml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stencilkit.model.version import LlvmVersion, PythonVersion

HashOrigin = Literal["pin", "index", "sha256"]
"""Who vouches for a tarball's hash: stencilkit's pins, a distribution's signed source index, or the user."""
HASHES: Final = ("sha256", "sha512")
"""What hashes a tarball may be known by: hashlib's names, and those of fields of a SourcePin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePin:
    """A CPython release tarball: its paths on a Debian mirror and below python.org's /ftp/python/, and its hashes.

    One of these may be "": an index may have either. `size` is in bytes, 0 if it is not known. `vouched` says in words
    where the hash came from, "" if that was not noted.
    """

    version: PythonVersion
    pool: str
    path: str
    sha256: str
    origin: HashOrigin = "pin"
    sha512: str = ""
    size: int = 0
    vouched: str = ""

    @property
    def hashes(self) -> Mapping[str, str]:
        """List the hashes that are known, by hashlib's names for them."""
        known = {name: getattr(self, name) for name in HASHES}
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPin:
    """A wheel that carries a clang; `package` is a pinned requirement, `sha256` one hash per platform."""

    version: LlvmVersion
    package: str
    sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseManager:
    """Who signs the releases of a series ("3.14") with sigstore, and the issuer that vouches for the identity."""

    series: str
    identity: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """All of pins.toml."""

    sources: tuple[SourcePin, ...]
    wheels: tuple[WheelPin, ...]
    managers: tuple[ReleaseManager, ...] = ()

    def source(self, version: PythonVersion) -> SourcePin | None:
        """Find a CPython release."""
        return next((pin for pin in self.sources if pin.version == version), None)

    def manager(self, series: str) -> ReleaseManager | None:
        """Find who signs the releases of a series."""
        return next((manager for manager in self.managers if manager.series == series), None)

    def wheel(self, major: int) -> WheelPin | None:
        """Find the wheel for an LLVM major version."""
        return next((pin for pin in self.wheels if pin.version.major == major), None)

    @property
    def majors(self) -> frozenset[int]:
        """List the LLVM major versions that there are wheels of."""
        return frozenset(pin.version.major for pin in self.wheels)
