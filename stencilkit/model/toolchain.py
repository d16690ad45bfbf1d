"""LLVM toolchains: what was found, and what somebody asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stencilkit.model.version import LlvmVersion, MajorRange

Origin = Literal["named", "path", "folder", "pypi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """One clang that can be called.

    `command` starts it as the plain clang driver, with -resource-dir where it does not find that folder itself;
    `resource` is that folder. `vendor` is the first line of `clang --version`. `libc` is the folder with libc
    headers for every target that a ziglang wheel brings, or None.
    """

    version: LlvmVersion
    vendor: str
    origin: Origin
    program: Path
    command: tuple[str, ...]
    resource: Path
    libc: Path | None = None
    archs: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """Name the toolchain in one short phrase."""
        return f"LLVM {self.version} ({self.origin}: {self.program})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Something that looks like a clang and is not one that stencilkit can use."""

    program: Path
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All toolchains of a machine, best first per version, and what was rejected."""

    toolchains: tuple[Toolchain, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One element of --llvm: majors, an exact version, or a program."""

    majors: MajorRange | None = None
    exact: LlvmVersion | None = None
    program: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a toolchain's output depends on: SHA-256 of the program, and of the LLVM libraries that it loads.

    clang's configuration files count as such. `stamps` are for this machine and now: every such file with what changes
    when it is replaced, and its SHA-256.
    """

    program: str
    libraries: Mapping[str, str]
    stamps: tuple[tuple[Path, tuple[int, ...], str], ...] = field(default=(), compare=False, repr=False)
