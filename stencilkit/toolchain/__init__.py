"""Find, identify and choose LLVM toolchains.

_asking     a program -> a toolchain, or why it is none; what its clang is made of
_finding    the toolchains of this machine
_choosing   what --llvm means -> one toolchain for each version
"""

from __future__ import annotations

from stencilkit.toolchain._asking import identify, identity, loaded, replaced, starts
from stencilkit.toolchain._choosing import beside, check_arch, choice, majors, parse_wanted, select
from stencilkit.toolchain._finding import Machine, discover

__all__ = [
    "Machine",
    "beside",
    "check_arch",
    "choice",
    "discover",
    "identify",
    "identity",
    "loaded",
    "majors",
    "parse_wanted",
    "replaced",
    "select",
    "starts",
]
