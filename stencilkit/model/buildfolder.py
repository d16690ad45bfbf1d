"""What a folder that CPython's configure ran in says about its JIT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stencilkit.model.jitcommand import JitCommand
from stencilkit.model.pyconfig import flavour, macros
from stencilkit.model.target import Flavour


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFolder:
    """A folder with a Makefile and pyconfig.h of CPython's.

    `host` is the triple that it was configured for, as configure spelt it, or the universal platform; "" if it does
    not say. `jit` is None where the JIT is off. `python` is what the makefile runs generators with.
    `deletes_stencils` says that a plain `make` there is a PGO build that deletes the stencils midway. `compiler` and
    `core_cflags` are what Python/jit.c and the like are compiled with ("" where nobody asked make).
    """

    path: Path
    host: str
    pyconfig: bytes
    jit: JitCommand | None
    python: str
    deletes_stencils: bool
    compiler: str = ""
    core_cflags: str = ""

    @property
    def flavour(self) -> Flavour:
        """Return which flavour it was configured for."""
        return flavour(macros(self.pyconfig.decode("utf-8", "replace")))

    @property
    def cflags(self) -> str:
        """Return its CFLAGS_JIT, "" where the JIT is off."""
        return self.jit.cflags if self.jit else ""

    @property
    def llvm(self) -> str:
        """Return the LLVM that it asks for, as --llvm takes it: a clang, or a version; "" for upstream's."""
        return self.jit.wanted if self.jit else ""
