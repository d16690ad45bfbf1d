"""From a job of a matrix to what is built for it: the one reading of its words."""

from __future__ import annotations

from pathlib import Path

from stencilkit import configure, headers
from stencilkit.model.gate import Configuration
from stencilkit.model.qualification import Job
from stencilkit.model.request import BuildRequest
from stencilkit.model.target import split_kind
from stencilkit.pipeline import knowing, requesting
from stencilkit.support.cache import Store


def configuration(job: Job, program: str, store: Store) -> Configuration:
    """Open what a job names, with one of the clangs that it names.

    Raises: SourceError, TargetError, ToolchainError.
    """
    flavour, hardened = split_kind(job.cell.flavour)
    return Configuration(
        tree=knowing.tree(Path(job.tree)),
        asked=knowing.target(job.cell.target),
        flavour=flavour,
        hardened=hardened,
        toolchain=requesting.at(program, store),
        pyconfig=Path(job.pyconfig),
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
