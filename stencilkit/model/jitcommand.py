"""The command line of Tools/jit/build.py: how `make` says which stencils it wants, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

GENERATOR: Final = "Tools/jit/build.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class JitCommand:
    """The arguments with which `make` runs Tools/jit/build.py.

    `cflags` is CFLAGS_JIT. `llvm` is the LLVM that it asks for ("21"), `tools` the folder that it takes the LLVM from;
    both are "" where it asks for none. `output` and `pyconfig` are folders, as spelt there. `force` builds again what
    is up to date.
    """

    triples: tuple[str, ...]
    debug: bool
    cflags: str
    llvm: str
    tools: str
    output: str = "."
    pyconfig: str = "."
    force: bool = False

    @property
    def wanted(self) -> str:
        """Return the LLVM that it asks for, as --llvm takes it: a clang, or a version; "" for none."""
        return str(Path(self.tools, "bin", "clang")) if self.tools else self.llvm
