"""Artifacts as source files of Fedora's package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import FileRole

# Fedora's sources carry these names (SPECS/python3.15.spec); theirs has the header alone.
_FEDORA_FLAVOURS: Final = {"release": "optimized", "debug": "debug"}
_FEDORA_NAMES: Final[Mapping[FileRole, str]] = {
    "stencils": "jit_stencils.h",
    "shim": "jit_shim.o",
    "unwind": "jit_unwind_info.h",
}


def fedora_names(artifacts: Sequence[Artifact]) -> dict[str, bytes]:
    """Name headers, shim objects and unwind headers as Fedora's sources do.

    Raises: BundleError where two would have one name.
    """
    found: dict[str, bytes] = {}
    for item in artifacts:
        m = item.manifest
        prefix = f"Python-{m.cpython}-{m.triple.partition('-')[0]}-{_FEDORA_FLAVOURS[m.flavour]}"
        for role, suffix in _FEDORA_NAMES.items():
            if role in item.contents:
                name = f"{prefix}-{suffix}"
                if name in found:
                    raise BundleError(
                        f"these have the same name in Fedora's scheme: {name}", fix="export one LLVM and one system"
                    )
                found[name] = item.contents[role]
    return found
