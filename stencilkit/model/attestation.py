"""Signed statements about stencils: what somebody says was built, from what, and who must say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stencilkit.model import ledger
from stencilkit.model.manifest import Manifest
from stencilkit.model.target import Flavour


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That one CPython, target, flavour and exact LLVM version give this content and this interface (SHA-256 each)."""

    cpython: str
    triple: str
    flavour: Flavour
    llvm: str
    content: str
    interface: str

    @property
    def place(self) -> str:
        """Name what was built, as the ledger names its entry."""
        return str(ledger.place(self.cpython, self.triple, self.flavour, self.llvm)).removesuffix(".toml")

    @classmethod
    def of(cls, manifest: Manifest) -> Claim:
        """Take the claim out of a manifest."""
        return cls(
            cpython=manifest.cpython,
            triple=manifest.triple,
            flavour=manifest.flavour,
            llvm=manifest.toolchain.version,
            content=manifest.content_digest,
            interface=manifest.interface_digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Something that went in: its name, a URI ("" if it has none) and a SHA-256 ("" if it is not known)."""

    name: str
    uri: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build that a statement is about: its claim, its manifest's SHA-256, what went in, and what was compared.

    `cflags` and `spelling` are the parameters of the build beside those in the claim. `results` maps a comparison
    ("ledger") to its outcome ("same", "different").
    """

    claim: Claim
    spelling: str = ""
    cflags: str = ""
    manifest: str = ""
    materials: tuple[Material, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a builder says: its own URI, the builds, and the files that they are in (SHA-256 by name)."""

    builder: str
    builds: tuple[Build, ...]
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Somebody whose word counts: a public key (PEM), or an identity and the issuer that vouches for it.

    Signers of one name count once: they are one builder.
    """

    name: str
    key: bytes = b""
    identity: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Whose signature counts, and how many of them must agree."""

    signers: tuple[Signer, ...]
    threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A statement whose signature was verified: where it came from, and the names of those who signed it."""

    where: str
    statement: Statement
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """All statements that count, and why other files do not."""

    demand: Demand
    attested: tuple[Attested, ...]
    rejected: tuple[str, ...]
