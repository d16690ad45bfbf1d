"""Builds of both halves of a universal platform -> one folder of files, as a universal CPython's build looks for them.

Tools/jit/build.py takes several triples (configure's ARCH_TRIPLES) and writes dispatchers that choose by architecture;
what else there is carries its triple in its name. Each half keeps its own manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from stencilkit.errors import TargetError
from stencilkit.model.dialect import Python
from stencilkit.model.manifest import MANIFEST_NAME, half_name
from stencilkit.model.request import Build, Written
from stencilkit.model.target import SpelledTarget
from stencilkit.pipeline import rendering


def check(python: Python, targets: Sequence[SpelledTarget]) -> None:
    """Refuse a CPython whose header is for one architecture only.

    Raises: TargetError.
    """
    if any("dispatcher" not in python.dialect.file_names(target) for target in targets):
        raise TargetError(
            f"CPython {python.support.series} has one header for one architecture, "
            "so there is no universal build of its JIT",
            fix="build for " + " or ".join(asked.target.triple for asked in targets) + ", or use CPython 3.14",
        )


def group(written: Sequence[Written], spellings: Iterable[str]) -> list[list[Written]]:
    """Put the halves of every universal platform that was asked for together, one group for each LLVM."""
    wanted = set(spellings)
    groups: dict[tuple[str, str], list[Written]] = {}
    for item in written:
        request = item.build.request
        platform = request.target.universal
        # Most targets belong to none, and a spelling may be empty, too: this machine.
        if platform and platform in wanted:
            groups.setdefault((platform, str(request.toolchain.version)), []).append(item)
    return list(groups.values())


def bundle(builds: Sequence[Build]) -> dict[str, bytes]:
    """Merge the files of several builds of one CPython, in the order of the dispatchers' conditions."""
    dialect = builds[0].request.tree.python.dialect
    merged: dict[str, bytes] = {}
    for build in builds:
        merged |= {name: data for name, data in build.files.items() if name != MANIFEST_NAME}
        merged[half_name(build.request.target.triple)] = build.files[MANIFEST_NAME]
    # In place of those that include one half only.
    return merged | rendering.dispatchers(dialect, [build.request.asked for build in builds])


def folder(builds: Sequence[Build]) -> Path:
    """Name the output folder: that of the halves, with the universal platform in place of the triple."""
    half = builds[0].folder
    version, _, *rest = half.parts
    return Path(version, builds[0].request.target.universal, *rest)
