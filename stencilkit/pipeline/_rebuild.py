"""From a manifest and a tree to a second build of the same, with the recorded LLVM or another one."""

from __future__ import annotations

from pathlib import Path

from stencilkit import configure, headers, pins, targets, toolchain
from stencilkit.model.manifest import Manifest
from stencilkit.model.request import BuildRequest
from stencilkit.model.source import SourceTree
from stencilkit.pipeline import building
from stencilkit.support import environ
from stencilkit.support.cache import NoStore, Store


def again(described: Manifest, tree: SourceTree, pyconfig: Path, llvm: str, store: Store) -> Manifest:
    """Compile all of it again, without the cache of compiled uops; return what the new manifest says.

    `llvm` is as for --llvm, "" for the exact version that the manifest names. `store` only remembers which toolchains
    this machine has.

    Raises: ToolchainError where the LLVM is not here; whatever a build raises.
    """
    target = targets.resolve(targets.load(), described.spelling)
    machine = toolchain.Machine(environ.data_root(), store, pins.load().majors)
    tool = toolchain.select(toolchain.parse_wanted(llvm or described.toolchain.version), machine)[0]
    building.check(tree, target, tool, described.cflags)
    request = BuildRequest(
        tree=tree,
        target=target,
        flavour=described.flavour,
        toolchain=tool,
        headers=headers.choose(target.target, tool, machine),
        pyconfig=configure.given(pyconfig, target, described.flavour),
        cflags=described.cflags,
        jobs=environ.cpus(),
    )
    return building.build(request, NoStore()).manifest
