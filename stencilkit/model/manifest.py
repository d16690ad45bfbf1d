"""What a manifest says: what went into a header, what came out, and every digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stencilkit.model.build import Driver, HeaderOrigin, IncludedFile
from stencilkit.model.cc1 import Cpu
from stencilkit.model.layout import Layout
from stencilkit.model.novelty import Difference
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.source import ReleaseSignature
from stencilkit.model.target import Flavour, Kind, kind_of

MANIFEST_NAME: Final = "manifest.toml"
# In a universal platform's folder each half has its own, see half_name:
HALVES: Final = "manifest-*.toml"
FileRole = Literal["stencils", "dispatcher", "shim", "unwind", "unwind-dispatcher"]
Use = Literal["line-1", "runtime", "conditional"]
"""Why a file of the tree is recorded though no stencil is made from it.

It enters line 1; or it runs the stencils; or an included file names it in an #include whose condition did not hold.
"""


def half_name(triple: str) -> str:
    """Name the manifest of one half in the folder of a universal platform."""
    return HALVES.replace("*", triple)


@dataclass(frozen=True, slots=True, kw_only=True)
class StencilRecord:
    """One stencil group: content digest, sizes in bytes, and how many patch calls it has."""

    name: str
    content: str
    code: int
    data: int
    holes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of an output folder: what it is for, its name, and SHA-256 of its bytes."""

    role: FileRole
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedFile:
    """A file of the CPython tree beside the included ones: what for, its path, and SHA-256 of its bytes."""

    use: Use
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The digests of one set of stencils and of what is beside it."""

    stencils: tuple[StencilRecord, ...]
    extras: Mapping[str, str]
    content: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolchainRecord:
    """The compiler: exact version, its own name for itself, and SHA-256 of program and LLVM libraries."""

    version: str
    vendor: str
    program: str
    libraries: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRecord:
    """A compiler flag with its placeholders, and its reason."""

    flag: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Something that was done differently from CPython's own generator, why, and what it costs."""

    what: str
    why: str
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """Something that only some patch releases of this CPython do, and what it is."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Who made it, and where. Enters no digest.

    `source` says whose hash the tree's tarball had (model/pins.py: a pin, a signed index, or the user), and which, ""
    where stencilkit did not fetch it.
    """

    stencilkit: str
    host: str
    time: str
    command: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of manifest.toml but its seal.

    `foreign_words` are the words of all included files that are not the tree's: with them, whoever has the tree can
    say which macros of another pyconfig.h would have reached a stencil. `cpu` is None where stencilkit 0.1.0 wrote it.
    `source` is the verified signature of the tree's tarball. `layout` is None where it was not recorded. `hardened`
    says that the target's hardening flags are among `cflags`. `provisional` is the CPython minor version that it was
    built as, where stencilkit did not know its own, and `differences` are those of their generators; `provisional_llvm`
    is the newest LLVM that was checked, where a newer one built it.
    """

    cpython: str
    triple: str
    spelling: str
    flavour: Flavour
    input_digest: str
    content_digest: str
    interface_digest: str
    extras: Mapping[str, str]
    files: tuple[FileRecord, ...]
    toolchain: ToolchainRecord
    driver: Driver
    headers: HeaderOrigin
    cpu: Cpu | None
    cflags: str
    deviations: tuple[Deviation, ...]
    variants: tuple[VariantRecord, ...]
    flags: tuple[FlagRecord, ...]
    includes: tuple[IncludedFile, ...]
    used: tuple[UsedFile, ...]
    pyconfig_sha256: str
    visible: VisibleConfig
    foreign_words: tuple[str, ...]
    stencils: tuple[StencilRecord, ...]
    provenance: Provenance
    source: ReleaseSignature | None = None
    layout: Layout | None = None
    hardened: bool = False
    provisional: str = ""
    provisional_llvm: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def kind(self) -> Kind:
        """Name the flavour, and whether it is hardened."""
        return kind_of(self.flavour, self.hardened)

    @property
    def series(self) -> str:
        """Name the minor version of its CPython, as in "3.14"."""
        return ".".join(self.cpython.split(".")[:2])

    @property
    def dialect(self) -> str:
        """Name the minor version whose dialect it was built with."""
        return self.provisional or self.series

    @property
    def doubts(self) -> tuple[str, ...]:
        """List what makes it provisional; empty where it is not."""
        python = f"CPython {self.cpython} was built as {self.provisional}" if self.provisional else ""
        llvm = f"LLVM {self.toolchain.version} was taken for {self.provisional_llvm}" if self.provisional_llvm else ""
        return tuple(filter(None, (python, llvm)))

    def file(self, role: FileRole) -> FileRecord:
        """Find the file of a role.

        Raises: KeyError where this CPython has none.
        """
        for record in self.files:
            if record.role == role:
                return record
        raise KeyError(role)

    @property
    def code_bytes(self) -> int:
        """Add up the code of all stencils."""
        return sum(stencil.code for stencil in self.stencils)

    @property
    def data_bytes(self) -> int:
        """Add up the data of all stencils."""
        return sum(stencil.data for stencil in self.stencils)
