"""What somebody wants built, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stencilkit.model.build import Headers
from stencilkit.model.manifest import Manifest
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, SpelledTarget, Target, kind_of
from stencilkit.model.toolchain import Toolchain

if TYPE_CHECKING:  # few builds have one
    from stencilkit.model.judgement import Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One header: one tree, target, flavour and toolchain. `cflags` is CPython's CFLAGS_JIT.

    `allow_driver_flags` takes what a wrapper or a vendor of clang adds to them, and records it as a deviation.
    `hardened` says that the target's hardening flags are among `cflags` because that was asked for.
    `layout` asks for what the stencils have compiled in, which nobody wants who writes no manifest.
    """

    tree: SourceTree
    asked: SpelledTarget
    flavour: Flavour
    toolchain: Toolchain
    headers: Headers
    pyconfig: PyConfig
    cflags: str
    jobs: int
    comments: bool = False
    batched: bool = True
    allow_driver_flags: bool = False
    hardened: bool = False
    layout: bool = True

    @property
    def target(self) -> Target:
        """Return the target, whatever its spelling."""
        return self.asked.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The files of one output folder, by name, and what they hold; `notes` say what was done the slow way."""

    request: BuildRequest
    manifest: Manifest
    files: Mapping[str, bytes]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Name the output folder: <python>/<triple>/<flavour>/llvm-<version>, where the flavour may be hardened."""
        request = self.request
        return Path(
            str(request.tree.version),
            request.target.triple,
            kind_of(request.flavour, request.hardened),
            f"llvm-{request.toolchain.version}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A build that is on disk: where, how long it took in seconds, and whether anything there changed.

    `judgement` is what the tree's own generator says of it, None where it was not asked. Where that is "different",
    nothing was written.
    """

    build: Build
    folder: Path
    seconds: float
    changed: bool
    judgement: Judgement | None = None

    @property
    def refused(self) -> bool:
        """Return whether the tree's own generator makes something else."""
        return self.judgement is not None and not self.judgement.equal
