"""Stencils that somebody built: the files of one output folder, or several of them in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stencilkit.model.manifest import FileRole, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One output folder of `stencilkit build`, read and checked against its own digests.

    `contents` are its files by role; `manifest_text` is manifest.toml. `where` says where all of
    them came from.
    """

    where: str
    manifest: Manifest
    manifest_text: bytes
    contents: Mapping[FileRole, bytes]

    @property
    def files(self) -> dict[str, bytes]:
        """Give the files under the names that the build gave them."""
        return {record.name: self.contents[record.role] for record in self.manifest.files}

    @property
    def title(self) -> str:
        """Name it in one line."""
        m = self.manifest
        return f"CPython {m.cpython}, {m.triple}, {m.kind}, LLVM {m.toolchain.version}"
