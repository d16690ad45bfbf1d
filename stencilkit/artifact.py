"""Output folders, and bundles of them.

Refuses files that are not what their manifest says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import Manifest
from stencilkit.support import files

MANIFEST: Final = "manifest.toml"


def manifests(root: Path) -> tuple[Path, ...]:
    """Find every manifest below a folder, in path order.

    Raises: BundleError if there is none.
    """
    found = tuple(path for path in files.walk(root) if path.name == MANIFEST)
    if not found:
        raise BundleError(
            f"{root} has no output folder of stencilkit build in it",
            fix=f"give a folder with {MANIFEST}, or one above such folders",
        )
    return found


def load(folder: Path, manifest: Manifest, text: bytes) -> Artifact:
    """Read the files that a manifest names.

    Raises: BundleError for one that is missing or has another digest.
    """
    contents = {}
    for record in manifest.files:
        path = folder / record.name
        if not path.is_file():
            raise BundleError(
                f"{record.name} is missing", where=str(folder), fix="build again, or give the whole output folder"
            )
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise BundleError(
                f"{record.name} is not what the manifest says", where=str(path), fix="build again, or get it again"
            )
        contents[record.role] = data
    return Artifact(folder=folder, manifest=manifest, manifest_text=text, contents=contents)


def choose(
    artifacts: Iterable[Artifact], *, version: str, triple: str, flavour: str, llvm: str = ""
) -> tuple[Artifact, ...]:
    """Choose the artifacts of one CPython, target and flavour, and of one LLVM ("20" or "20.1.2") if it is named.

    Raises: BundleError that lists what there is.
    """
    everything = tuple(artifacts)
    chosen = tuple(
        item
        for item in everything
        if (item.manifest.cpython, item.manifest.triple, item.manifest.flavour) == (version, triple, flavour)
        and f"{item.manifest.toolchain.version}.".startswith(f"{llvm}." if llvm else "")
    )
    if not chosen:
        raise BundleError(
            f"there are no {flavour} stencils of CPython {version} for {triple}" + (f" by LLVM {llvm}" if llvm else ""),
            fix="there are those of: " + "; ".join(item.title for item in everything),
        )
    return chosen
