"""From a job of a matrix to what is built for it: the one reading of its words."""

from __future__ import annotations

from pathlib import Path

from stencilkit import configure, headers
from stencilkit.model.gate import Configuration
from stencilkit.model.qualification import Cell
from stencilkit.model.request import BuildRequest
from stencilkit.model.target import split_kind
from stencilkit.pipeline import knowing, requesting
from stencilkit.support.cache import Store


def configuration(cell: Cell, tree: str, pyconfig: str, program: str, store: Store) -> Configuration:
    """Open what a job names: its cell, its folders, and one of its clangs.

    Raises: SourceError, TargetError, ToolchainError.
    """
    flavour, hardened = split_kind(cell.flavour)
    return Configuration(
        tree=knowing.tree(Path(tree)),
        asked=knowing.target(cell.target),
        flavour=flavour,
        hardened=hardened,
        toolchain=requesting.at(program, store),
        pyconfig=Path(pyconfig),
    )


def request(found: Configuration, cflags: str, jobs: int, store: Store) -> BuildRequest:
    """Ask of this process what was asked of another one.

    Raises: ConfigureError, TargetError.
    """
    tool, asked = found.toolchain, found.asked
    return BuildRequest(
        tree=found.tree,
        asked=asked,
        flavour=found.flavour,
        toolchain=tool,
        headers=headers.choose(asked.target, tool, requesting.machine(store)),
        pyconfig=configure.given(found.pyconfig, asked, found.flavour),
        cflags=cflags,
        jobs=jobs,
    )
