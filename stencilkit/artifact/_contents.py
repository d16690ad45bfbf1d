"""What the files of an artifact have to be: what the manifest says, whichever input digest is on line 1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import HALVES, MANIFEST_NAME, FileRole, Manifest

_LINE_1: Final = re.compile(rb"// [0-9a-f]{64}\n")


def checked(
    where: str, manifest: Manifest, text: bytes, found: Mapping[FileRole, tuple[str, bytes | None]]
) -> Artifact:
    """Return an artifact whose files are those of its manifest; `found` are names and bytes, None for a missing file.

    Raises: BundleError for one that is missing or has another digest.
    """
    contents: dict[FileRole, bytes] = {}
    for record in manifest.files:
        name, data = found[record.role]
        if data is None:
            raise BundleError(f"{name} is missing", where=where, fix="build again, or get all of it again")
        # `pack --stamp` and `install` put another build's input digest on line 1; what was built had the manifest's.
        contents[record.role] = restamped(data, manifest.input_digest)
        if sha256(contents[record.role]) != record.sha256:
            raise BundleError(f"{name} is not what its manifest says", where=where, fix="build again, or get it again")
    return Artifact(where=where, manifest=manifest, manifest_text=text, contents=contents)


def sha256(data: bytes) -> str:
    """Return the digest of a file, as manifests and SHA256SUMS have it."""
    return hashlib.sha256(data).hexdigest()


def restamped(data: bytes, stamp: str) -> bytes:
    """Put an input digest on line 1 of a file that has one there; others stay as they are."""
    return _LINE_1.sub(f"// {stamp}\n".encode(), data, count=1) if is_stamped(data) else data


def is_stamped(data: bytes) -> bool:
    """Return whether a file has an input digest on line 1."""
    return _LINE_1.match(data) is not None


def stamps(contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """Name the files that vouch for the others of their folder: manifests, and what carries an input digest."""
    return tuple(
        name
        for name, data in contents.items()
        if name == MANIFEST_NAME or fnmatchcase(name, HALVES) or is_stamped(data)
    )
