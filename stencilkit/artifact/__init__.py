"""Artifacts, which are the files of one build with its manifest: in output folders and in bundles of them.

_folders    an output folder -> an artifact
_bundles    artifacts <-> the files of a bundle
_contents   what the files of an artifact have to be
_choosing   the artifacts that somebody asks for
_fedora     the names that Fedora's sources have

Refuses files that are not what their manifest or SHA256SUMS says, and files that neither names.
"""

from __future__ import annotations

from stencilkit.artifact._bundles import (
    BUILDINFO,
    ROOT,
    SUMS,
    check_buildinfo,
    lay_out,
    manifest_name,
    names,
    read_bundle,
    stems,
    unpack,
)
from stencilkit.artifact._choosing import choose
from stencilkit.artifact._contents import restamped, stamps
from stencilkit.artifact._fedora import fedora_names
from stencilkit.artifact._folders import load, manifests

__all__ = [
    "BUILDINFO",
    "ROOT",
    "SUMS",
    "check_buildinfo",
    "choose",
    "fedora_names",
    "lay_out",
    "load",
    "manifest_name",
    "manifests",
    "names",
    "read_bundle",
    "restamped",
    "stamps",
    "stems",
    "unpack",
]
