"""What is in a bundle, as text for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stencilkit.cli import _render
from stencilkit.model.artifact import Artifact
from stencilkit.support import files


def show(path: Path, artifacts: Sequence[Artifact], form: str) -> None:
    """Describe what a bundle, or a folder, holds."""
    digest = files.sha256(path) if path.is_file() else ""
    if form == "json":
        stencils = [_render.described(item.manifest) for item in artifacts]
        _render.print_json("bundle", {"path": str(path), "sha256": digest, "stencils": stencils})
        return
    head = ["CPython", "target", "flavour", "LLVM", "vendor", "headers", "content", "stencils", "code", "data", "files"]
    _render.print_table(head, [_row(item) for item in artifacts])
    _render.say(f"{path}" + (f"  sha256:{digest}" if digest else ""))


def _row(item: Artifact) -> list[str]:
    m = item.manifest
    return [
        m.cpython,
        m.triple,
        m.kind,
        m.toolchain.version,
        m.toolchain.vendor,
        m.headers,
        m.content_digest[:16],
        str(len(m.stencils)),
        str(m.code_bytes),
        str(m.data_bytes),
        str(len(m.files)),
    ]
