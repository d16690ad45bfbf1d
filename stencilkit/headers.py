"""A toolchain and a target -> where the C library's headers come from.

The machine's own headers serve for its own platform; a cross build takes Debian's cross libc, or the headers that
a ziglang wheel carries for every target: those of the C library, or for Windows mingw's. The choice is recorded in
the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stencilkit.errors import ToolchainError
from stencilkit.model.build import Headers
from stencilkit.model.target import Target
from stencilkit.model.toolchain import Toolchain
from stencilkit.support import environ, files

_PROBE: Final = "stdio.h"


def choose(target: Target, toolchain: Toolchain, others: Iterable[Toolchain], sysroot: Path | None = None) -> Headers:
    """Choose the headers for a target.

    `others` are more toolchains of this machine, whose headers can be lent to one that has none.

    Raises: ToolchainError that says what to install.
    """
    if sysroot is not None:
        return _sysroot(target, sysroot)
    if _has_own(target) or environ.is_system(target.system):
        return Headers(origin="system", arguments=(), root=Path("/"))
    # Where Debian has a cross libc, and where its musl-dev is; there, glibc's have no stdio.h.
    for cross in (Path("/usr", target.native, "include"), Path("/usr/include", target.native)):
        if (cross / _PROBE).is_file():
            return Headers(origin="cross", arguments=("-nostdlibinc", "-isystem", str(cross)), root=Path("/"))
    for candidate in (toolchain, *others):
        if candidate.libc is not None and (found := files.folders(candidate.libc, target.zig_headers)):
            return _from_wheel(target, candidate.libc, found)
    raise ToolchainError(
        f"there are no C library headers for {target.triple}",
        fix=(
            "stencilkit toolchains install 22 (its wheel carries headers for every target), "
            f"or install the libc development package for {target.triple}, or give --sysroot"
        ),
    )


def _has_own(target: Target) -> bool:
    """Return whether this machine is of the target's platform, and has the C library's headers."""
    return environ.is_native(target.native) and (not target.system_headers or Path(target.system_headers).is_file())


def _sysroot(target: Target, sysroot: Path) -> Headers:
    if not sysroot.is_dir():
        raise ToolchainError(f"there is no folder {sysroot}", fix="give --sysroot the root of an SDK")
    if target.sysroot_headers:
        missing = [name for name in target.sysroot_headers if not (sysroot / name).is_dir()]
        if missing:
            raise ToolchainError(
                f"{sysroot} is not an SDK for {target.triple}: it has no {missing[0]}",
                fix="give the folder that xwin splat --output wrote (it holds crt and sdk)",
            )
        # Behind clang's own headers, which replace some of the SDK's (intrinsics).
        includes = [word for name in target.sysroot_headers for word in ("-idirafter", str(sysroot / name))]
        return Headers(origin="sysroot", arguments=("-nostdlibinc", *includes), root=sysroot)
    return Headers(origin="sysroot", arguments=(f"--sysroot={sysroot}",), root=sysroot)


def _from_wheel(target: Target, libc: Path, folders: Iterable[Path]) -> Headers:
    includes = [word for folder in folders for word in ("-isystem", str(folder))]
    arguments = ("-nostdlibinc", *includes, *target.zig_arguments)
    return Headers(origin=target.wheel_headers, arguments=arguments, root=libc)
