"""From a manifest and a tree to a second build of the same, with the recorded LLVM or another one."""

from __future__ import annotations

from pathlib import Path

from stencilkit import buildfolder, configure, headers, toolchain
from stencilkit.errors import UsageError
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import SourceTree
from stencilkit.model.toolchain import Wanted
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import building, requesting
from stencilkit.pipeline.opening import Described
from stencilkit.support import environ
from stencilkit.support.cache import NoStore, Store


def again(described: Described, tree: SourceTree, pyconfig: Path, llvm: str, store: Store) -> Build:
    """Compile all of it again, without the cache of compiled uops.

    `llvm` is as for --llvm, "" for the exact version that the manifest names. `store` only remembers which toolchains
    this machine has.

    Raises: ToolchainError where the LLVM is not here; UsageError for flags that only the manifest names, which are
    somebody else's; whatever a build raises.
    """
    recorded = described.manifest
    build = buildfolder.read(pyconfig) if buildfolder.is_one(pyconfig) else None
    own = build.cflags if build else ""
    if recorded.cflags != own:
        raise UsageError(
            f"it was compiled with CFLAGS_JIT={recorded.cflags!r}, and {pyconfig} has {own!r}",
            fix="give --pyconfig-dir a build folder that was configured with those flags",
        )
    machine = requesting.machine(store)
    # Not parsed as --llvm is: that may be the path of a program.
    exact = Wanted(exact=LlvmVersion.parse(recorded.toolchain.version))
    tool = toolchain.select(toolchain.parse_wanted(llvm) if llvm else (exact,), machine)[0]
    asked = described.request
    building.check(tree, asked, tool, recorded.cflags)
    request = BuildRequest(
        tree=tree,
        asked=asked,
        flavour=recorded.flavour,
        toolchain=tool,
        headers=headers.choose(asked.target, tool, machine),
        pyconfig=configure.given(pyconfig, asked, recorded.flavour, build.host if build else ""),
        cflags=recorded.cflags,
        jobs=environ.cpus(),
        hardened=recorded.hardened,
    )
    return building.build(request, NoStore())
