"""Which artifacts are meant, by what their manifests say."""

from __future__ import annotations

from collections.abc import Iterable

from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact


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
            fix="available: " + "; ".join(item.title for item in everything),
        )
    return chosen
