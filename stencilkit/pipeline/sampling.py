"""Some of the uops of a tree -> a tree of these alone, and whether what is built of it stands for the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stencilkit import source
from stencilkit.model.judgement import Sample
from stencilkit.model.manifest import Manifest
from stencilkit.model.source import STENCIL_PARTS, SourceTree
from stencilkit.support import files, trees


def choose(names: Sequence[str], sample: Sample) -> list[str]:
    """Choose some uops by their names alone, in the order of the file."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{sample.seed}:{name}".encode()).digest())
    chosen = frozenset(ranked[: sample.count])
    return [name for name in names if name in chosen]


def shrink(tree: SourceTree, sample: Sample, folder: Path) -> SourceTree:
    """Copy what stencils are made from into a new folder, with the uops of a sample alone.

    Raises: SourceError.
    """
    chosen = frozenset(choose([uop.name for uop in source.uops(tree)], sample))
    files.copy_parts(tree.root, folder, STENCIL_PARTS)
    cases = source.only(trees.read(tree, source.CASES), chosen)
    files.write(folder / source.CASES, cases.encode())
    return replace(tree, root=folder)


def strays(whole: Manifest, small: Manifest) -> set[str]:
    """Name what a build of a sample does not make as the whole build does: stencils, and files beside the header."""
    stencils = set(_stencils(small)) - set(_stencils(whole))
    return {name for name, _ in stencils | (set(_beside(small)) ^ set(_beside(whole)))}


def _stencils(manifest: Manifest) -> Iterator[tuple[str, str]]:
    return ((record.name, record.content) for record in manifest.stencils)


def _beside(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """List what does not depend on which uops there are, with digests."""
    # The first two lines of headers do: of the constants of unwind information, the digest is among the extras.
    yield from manifest.extras.items()
    yield from ((record.name, record.sha256) for record in manifest.files if record.role not in ("stencils", "unwind"))
