"""Stage 2b: a toolchain and a target -> where the C library's headers come from.

The machine's own headers serve for its own platform; a cross build takes Debian's cross libc, or the headers that
a ziglang wheel carries for every target. The choice is recorded in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stencilkit.errors import ToolchainError
from stencilkit.model.build import Headers
from stencilkit.model.target import Target
from stencilkit.model.toolchain import Toolchain
from stencilkit.support import environ

_PROBE: Final = "stdio.h"


def choose(target: Target, toolchain: Toolchain, others: Iterable[Toolchain], sysroot: Path | None = None) -> Headers:
    """Choose the headers for a target.

    `others` are more toolchains of this machine, whose headers can be lent to one that has none.

    Raises: ToolchainError that says what to install.
    """
    if sysroot is not None:
        return _sysroot(sysroot)
    if environ.is_native(target.multiarch) and Path("/usr/include", _PROBE).is_file():
        return Headers(origin="system", arguments=(), root=Path("/"))
    cross = Path("/usr", target.multiarch, "include")
    if (cross / _PROBE).is_file():
        return Headers(origin="cross", arguments=("-nostdlibinc", "-isystem", str(cross)), root=Path("/"))
    for candidate in (toolchain, *others):
        if candidate.libc is not None:
            return _from_wheel(target, candidate.libc)
    raise ToolchainError(
        f"there are no C library headers for {target.triple}",
        fix=(
            "stencilkit toolchains install 19 (its wheel carries headers for every target), "
            f"or install the libc development package for {target.multiarch or target.triple}, or give --sysroot"
        ),
    )


def _sysroot(sysroot: Path) -> Headers:
    if not sysroot.is_dir():
        raise ToolchainError(f"there is no folder {sysroot}", fix="give --sysroot the root of an SDK")
    return Headers(origin="sysroot", arguments=(f"--sysroot={sysroot}",), root=sysroot)


def _from_wheel(target: Target, libc: Path) -> Headers:
    folders = [libc / name for name in target.zig_headers if (libc / name).is_dir()]
    includes = [word for folder in folders for word in ("-isystem", str(folder))]
    return Headers(origin="toolchain", arguments=("-nostdlibinc", *includes, *target.zig_defines), root=libc)
