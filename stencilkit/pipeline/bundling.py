"""From output folders to a bundle, and from folders or a bundle to artifacts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from stencilkit import artifact, verify
from stencilkit.errors import BundleError, ManifestError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.pipeline import admitting, knowing, opening, rendering, surveying
from stencilkit.pipeline.opening import Described
from stencilkit.support import archive, files, limits


def open_all(path: Path, triples: Collection[str] = ()) -> tuple[Artifact, ...]:
    """Read a bundle, an output folder, or the folders below one, and verify what is in it.

    With `triples`, manifests of a bundle's other targets are not read, unless it has none of these.

    Raises: BundleError, ManifestError, RefusedError.
    """
    if path.is_dir():
        surveying.demand(path)
        return tuple(admitting.artifact(_load(found)) for found in artifact.manifests(path))
    contents = artifact.read_bundle(path)
    stems = artifact.stems(contents)
    wanted = tuple(stem for stem in stems if PurePosixPath(stem).name in triples) or stems
    unread = {name for stem in stems if stem not in wanted for name in artifact.names(stem)}
    texts = {stem: contents[artifact.manifest_name(stem)].decode("utf-8", "replace") for stem in wanted}
    described = {stem: opening.read_manifest(text, f"{path}: {stem}").manifest for stem, text in texts.items()}
    read = {name: data for name, data in contents.items() if name not in unread}
    artifacts = tuple(admitting.artifact(item) for item in artifact.unpack(str(path), read, described))
    artifact.check_buildinfo(str(path), contents, sorted(artifacts, key=_order) if wanted == stems else None)
    return artifacts


def _load(path: Path) -> Artifact:
    text = files.read_bytes(path, error=ManifestError, limit=limits.MANIFEST)
    described = opening.read_manifest(text.decode("utf-8", "replace"), str(path))
    return artifact.load(path.parent, described.manifest, text, {} if path.name == MANIFEST_NAME else _own(described))


def _own(described: Described) -> dict[str, bytes]:
    """Write the dispatchers of one half of a universal platform: those in its folder are for both halves."""
    return rendering.dispatchers(described.dialect, [described.request])


def check_marks(artifacts: Sequence[Artifact], *, mingw: bool, provisional: bool) -> None:
    """Refuse what mingw's headers went into and what is provisional, unless `mingw` and `provisional` allow it.

    A manifest may call mingw's headers something else.

    Raises: BundleError.
    """
    for item in artifacts:
        if item.manifest.doubts and not provisional:
            raise BundleError(
                f"the stencils for {item.manifest.triple} are provisional: {item.manifest.doubts[0]}",
                where=item.where,
                fix="build them with a stencilkit that knows what they are of, or pass --provisional",
            )
        found = verify.mingw_headers(item.manifest)
        if found and not mingw:
            raise BundleError(
                f"the stencils for {item.manifest.triple} were compiled with mingw's headers"
                + (
                    ""
                    if item.manifest.headers == "mingw"
                    else f", though their manifest says {item.manifest.headers!r}"
                ),
                where=", ".join([item.where, *found[:3]]),
                fix="build them with a Windows SDK (stencilkit build --sysroot), or pass --allow-mingw",
            )


def pack(artifacts: Sequence[Artifact], *, compress: bool) -> bytes:
    """Make a bundle. What is where PEP 774 looks is upstream's LLVM if it is among them, else the oldest.

    Raises: BundleError.
    """
    ordered = sorted(artifacts, key=_order)
    defaults: dict[tuple[str, str], Artifact] = {}
    for item in ordered:
        key = (item.manifest.triple, item.manifest.kind)
        if key not in defaults or (_is_pinned(item) and not _is_pinned(defaults[key])):
            defaults[key] = item
    contents = artifact.lay_out(ordered, tuple(defaults.values()), rendering.GENERATOR)
    return archive.write_tar(contents, compress=compress)


def preferred(artifacts: Sequence[Artifact]) -> Artifact:
    """Choose among several LLVMs: upstream's.

    Raises: BundleError if it is not there and there are several.
    """
    pinned = [item for item in artifacts if _is_pinned(item)]
    chosen = pinned or list(artifacts)
    if len(chosen) != 1:
        raise BundleError(
            "there are several LLVMs' stencils: " + ", ".join(item.manifest.toolchain.version for item in chosen),
            fix="name one with --llvm",
        )
    return chosen[0]


def _order(item: Artifact) -> tuple[str, str, list[int]]:
    return item.manifest.triple, item.manifest.kind, _llvm(item)


def _llvm(item: Artifact) -> list[int]:
    return [int(part) for part in item.manifest.toolchain.version.split(".") if part.isdigit()]


def _is_pinned(item: Artifact) -> bool:
    return knowing.is_upstreams(item.manifest.series, item.manifest.toolchain.version)
