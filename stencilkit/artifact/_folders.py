"""Output folders of `build`: where they are, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from stencilkit.artifact._contents import checked
from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import HALVES, MANIFEST_NAME, Manifest
from stencilkit.support import files, limits


def manifests(root: Path) -> tuple[Path, ...]:
    """Find every manifest below a folder, in path order.

    Raises: BundleError if there is none.
    """
    found = tuple(path for path in files.walk(root) if path.name == MANIFEST_NAME or fnmatchcase(path.name, HALVES))
    if not found:
        raise BundleError(
            f"{root} has no output folder of stencilkit build in it",
            fix=f"give a folder with {MANIFEST_NAME}, or one above such folders",
        )
    return found


def load(folder: Path, manifest: Manifest, text: bytes, own: Mapping[str, bytes]) -> Artifact:
    """Read the files that a manifest names out of a folder; `own` stand in for those that a half shares there.

    Raises: BundleError for one that is missing or has another digest.
    """
    names = {record.name: folder / record.name for record in manifest.files}
    contents = {
        name: files.read_bytes(path, error=BundleError, limit=limits.OUTPUT)
        for name, path in names.items()
        if path.is_file()
    } | dict(own)
    return checked(str(folder), manifest, text, {r.role: (r.name, contents.get(r.name)) for r in manifest.files})
