"""What verifying asks its questions of: all that is known of one header before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stencilkit import verify
from stencilkit.model.attestation import Attestations
from stencilkit.model.dialect import Dialect, Python
from stencilkit.model.header import ReadHeader
from stencilkit.model.manifest import Manifest, Summary
from stencilkit.model.source import SourceTree
from stencilkit.model.target import SpelledTarget
from stencilkit.model.verdict import Check, Policy, TreeFacts
from stencilkit.pipeline.companions import Companions
from stencilkit.pipeline.opening import Described
from stencilkit.support.cache import NoStore, Store

if TYPE_CHECKING:  # few ask its compiler
    from stencilkit.pipeline.witnessing import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be verified: a header or an output folder, and what it is compared with.

    `manifest` is a file; None takes the one beside the header. `tree` and `pyconfig` (the folder of pyconfig.h) belong
    together. `rebuild` says with which LLVM to build again from that tree ("" is the recorded one, None is not at all).
    `attestations` are what others signed.
    `binary` is a program that was built on these stencils, `runtime` what the rest of that program is compiled with.
    """

    path: Path
    manifest: Path | None = None
    tree: SourceTree | None = None
    pyconfig: Path | None = None
    ledger: Path | None = None
    rebuild: str | None = None
    binary: Path | None = None
    runtime: Runtime | None = None
    store: Store = field(default_factory=NoStore)
    attestations: Attestations | None = None
    policy: Policy = verify.DEFAULT_POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A header that was read: its name, its bytes, its CPython, and its code's architecture, "" if nothing says it."""

    name: str
    original: bytes
    header: ReadHeader
    python: Python
    arch: str

    @property
    def dialect(self) -> Dialect:
        """Return the dialect that the header is in."""
        return self.python.dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A header with its manifest, and what the questions are asked of.

    `contents` are the files of the manifest that are there, by name; `whole` says that none may be missing. `sharing`
    are the targets that the dispatchers there are for: the manifest's own, or both halves of a universal platform.
    `beside` is what the shim that is there gives.
    `summary` has the digests of what is there, not of what the manifest says; `problems` is what went wrong so far.
    """

    subject: Subject
    found: Found
    described: Described
    contents: Mapping[str, bytes]
    whole: bool
    sharing: Sequence[SpelledTarget]
    beside: Companions | None
    summary: Summary
    facts: TreeFacts | None
    problems: tuple[Check, ...] = ()

    @property
    def header(self) -> ReadHeader:
        """Return the header."""
        return self.found.header

    @property
    def manifest(self) -> Manifest:
        """Return the manifest."""
        return self.described.manifest

    @property
    def has_own_dispatchers(self) -> bool:
        """Return whether the dispatchers are those that the manifest has digests of."""
        return tuple(self.sharing) == (self.described.request,)


class UnreadableError(Exception):
    """There is no header to ask questions of; `check` says why."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.what)
        self.check = check
