"""Builds of both halves of a universal platform -> one folder of files, as a universal CPython's build looks for them.

Tools/jit/build.py takes several triples (configure's ARCH_TRIPLES) and writes dispatchers that choose by architecture;
what else there is carries its triple in its name. Each half keeps its own manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from stencilkit import dialects, emit, manifest
from stencilkit.errors import TargetError
from stencilkit.model.request import Build, Written
from stencilkit.model.target import TargetRequest
from stencilkit.pipeline._texts import DISPATCHERS, GENERATOR


def check(series: str, targets: Sequence[TargetRequest]) -> None:
    """Refuse a CPython whose header is for one architecture only.

    Raises: TargetError.
    """
    if any("dispatcher" not in dialects.dialect_for(series).file_names(target) for target in targets):
        raise TargetError(
            f"CPython {series} has one header for one architecture, so there is no universal build of its JIT",
            fix="build for " + " or ".join(target.target.triple for target in targets) + ", or use CPython 3.14",
        )


def group(written: Sequence[Written], spellings: Iterable[str]) -> list[list[Written]]:
    """Put the halves of every universal platform that was asked for together, one group for each LLVM."""
    wanted = set(spellings)
    groups: dict[tuple[str, str], list[Written]] = {}
    for item in written:
        request = item.build.request
        platform = request.target.target.universal
        # Most targets belong to none, and a spelling may be empty, too: this machine.
        if platform and platform in wanted:
            groups.setdefault((platform, str(request.toolchain.version)), []).append(item)
    return list(groups.values())


def bundle(builds: Sequence[Build]) -> dict[str, bytes]:
    """Merge the files of several builds of one CPython, in the order of the dispatchers' conditions."""
    series = builds[0].request.tree.version.series
    merged: dict[str, bytes] = {}
    names = [dialects.dialect_for(series).file_names(build.request.target) for build in builds]
    shared = {name for own in names for role, name in own.items() if role in DISPATCHERS}
    for build in builds:
        merged |= {name: data for name, data in build.files.items() if name not in shared | {manifest.NAME}}
        merged[f"manifest-{build.request.target.target.triple}.toml"] = build.files[manifest.NAME]
    for role, included in DISPATCHERS.items():
        if role in names[0]:
            rows = [
                (build.request.target.target.condition, own[included]) for build, own in zip(builds, names, strict=True)
            ]
            merged[names[0][role]] = emit.render("dispatcher.h.j2", line1=GENERATOR, rows=rows).encode()
    return merged


def folder(builds: Sequence[Build]) -> Path:
    """Name the output folder: that of the halves, with the universal platform in place of the triple."""
    half = builds[0].folder
    version, _, *rest = half.parts
    return Path(version, builds[0].request.target.target.universal, *rest)
