"""What the ledger of expected digests holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from stencilkit.model.manifest import Manifest
from stencilkit.model.target import Kind

SHORT = 16
"""How many hex digits of a stencil's digest are kept: they name what differs; the content digest, whole, decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What `prove` found of the stencils of an entry that differ from those of its base.

    `prover` is the digest of the prover and its assumptions, `content` and `base` those of the stencils that it saw. Of
    what differs, `proved` stencils are proved, and `otherwise` says of the others what else, by name.
    """

    prover: str
    content: str
    base: str
    proved: int
    otherwise: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The digests that one CPython, target, flavour and exact LLVM version must give, whoever built that LLVM.

    `stencils` maps a name to the first digits of its content digest, `extras` a role to a whole one; `deviations`
    name what is done differently from upstream's generator. `proofs` are not part of what must be the same.
    """

    cpython: str
    triple: str
    flavour: Kind
    llvm: str
    content: str
    interface: str
    code_bytes: int
    data_bytes: int
    extras: Mapping[str, str]
    stencils: Mapping[str, str]
    deviations: tuple[str, ...] = ()
    proofs: Proven | None = field(default=None, compare=False)

    @property
    def series(self) -> str:
        """Name the minor version of its CPython, as in "3.14"."""
        return ".".join(self.cpython.split(".")[:2])

    @property
    def group(self) -> tuple[str, str, Kind]:
        """Name what differs in nothing but the LLVM."""
        return self.cpython, self.triple, self.flavour

    @property
    def place(self) -> PurePosixPath:
        """Name its file below the ledger's folder."""
        return place(self.cpython, self.triple, self.flavour, self.llvm)

    @classmethod
    def of(cls, manifest: Manifest) -> Entry:
        """Make the entry for what a manifest describes."""
        return cls(
            cpython=manifest.cpython,
            triple=manifest.triple,
            flavour=manifest.kind,
            llvm=manifest.toolchain.version,
            content=manifest.content_digest,
            interface=manifest.interface_digest,
            code_bytes=manifest.code_bytes,
            data_bytes=manifest.data_bytes,
            extras=manifest.extras,
            stencils={record.name: record.content[:SHORT] for record in manifest.stencils},
            deviations=tuple(item.what for item in manifest.deviations),
        )


def place(cpython: str, triple: str, flavour: Kind, llvm: str) -> PurePosixPath:
    """Name the file of an entry below the ledger's folder."""
    return PurePosixPath(cpython, f"{triple}-{flavour}-llvm-{llvm}.toml")
