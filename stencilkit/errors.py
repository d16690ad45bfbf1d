"""The errors a user can meet, and the exit codes: both are API.

Every `StencilkitError` says what was wrong, where, and the next step. Rendering is the command line's
business; nothing here prints. A traceback reaches a user only for a bug (exit 70).
"""

from __future__ import annotations

import enum
from typing import Final


class ExitCode(enum.IntEnum):
    """What a process ended with; the numbers are those of diff and diffoscope."""

    OK = 0
    DIFFERENT = 1
    TROUBLE = 2
    BUG = 70
    INTERRUPTED = 130


EXIT_CODE_MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done, identical, or passed",
    ExitCode.DIFFERENT: 'worked, and the answer is "different" or "failed"',
    ExitCode.TROUBLE: "wrong usage, or something needed is missing or broken; the message says how to fix it",
    ExitCode.BUG: "a bug in stencilkit",
    ExitCode.INTERRUPTED: "interrupted",
}


# The next step where a compiler wrote something that nobody has met yet.
REPORT: Final = "report this with the uop's name, the version of clang and the flags"


class StencilkitError(Exception):
    """Trouble that a user can fix.

    `what` is one sentence; `where` names a file, a uop, or a field; `fix` is the next step; `details` is
    longer text (a compiler's diagnostics) that belongs to the same block.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", details: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.details = details

    @property
    def kind(self) -> str:
        """Name the error class, as it appears in text and in JSON."""
        return type(self).__name__

    def as_text(self) -> str:
        """Lay the error out as one block."""
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.details:
            lines.extend(f"  | {line}" for line in self.details.rstrip().splitlines())
        if self.fix:
            lines.append(f"  next:  {self.fix}")
        return "\n".join(lines)


class UsageError(StencilkitError):
    """The command line asks for something that has no meaning."""


class SourceError(StencilkitError):
    """A CPython source tree is missing, damaged, or not one that stencilkit knows."""


class FetchError(StencilkitError):
    """Something could not be downloaded, or is not what its hash says."""


class ContentError(FetchError):
    """What was downloaded is there, and is not what its hash or its size says."""


class TargetError(StencilkitError):
    """A triple is unknown, or this CPython has no JIT for it."""


class ToolchainError(StencilkitError):
    """An LLVM toolchain is missing, unsuitable, or not what it claims to be."""


class ConfigureError(StencilkitError):
    """pyconfig.h could not be had, or does not belong to the target."""


class BuildFolderError(StencilkitError):
    """A build folder's makefile does not work, or asks for stencils in a way that is not understood."""


class FlagError(StencilkitError):
    """A compiler flag would make stencils that CPython cannot run."""


class CompileError(StencilkitError):
    """One or more uops did not compile."""


class AssemblyError(StencilkitError):
    """An assembly line is not one that the passes understand."""


class ObjectError(StencilkitError):
    """An object file is damaged or has a shape that no stencil can have."""


class RelocationError(StencilkitError):
    """A relocation cannot be expressed with this CPython's patch functions."""


class HeaderError(StencilkitError):
    """A stencil header does not follow the grammar that its CPython's generator writes."""


class ManifestError(StencilkitError):
    """A manifest cannot be read; the message has the path to the bad field."""


class RefusedError(StencilkitError):
    """Stencils that verify refuses were given to a command that would use them."""


class PolicyError(StencilkitError):
    """A policy or a list of waivers cannot be read, or demands nothing."""


class LedgerError(StencilkitError):
    """The ledger of expected digests is empty, or an entry cannot be read."""


class ResultError(StencilkitError):
    """A folder of results cannot be used: another run is in it, another version wrote it, or a file is damaged."""


class ClusterError(StencilkitError):
    """A cluster cannot be used: no scheduler, no worker, or a worker with another stencilkit."""


class AttestationError(StencilkitError):
    """A signed statement cannot be read or written, or a key cannot be used."""


class OutputError(StencilkitError):
    """An output cannot be written."""


class ProcessError(StencilkitError):
    """A program could not be run, or ran too long."""


class BundleError(StencilkitError):
    """A bundle or an output folder is damaged, or has nothing that fits."""


class InstallError(StencilkitError):
    """Stencils cannot be placed where a CPython build takes them."""


class WitnessError(StencilkitError):
    """The compiler of a runtime cannot be asked for the layout that stencils expect."""


class JitTestError(StencilkitError):
    """A CPython could not be built or run, so nothing was tested."""


class JitCrashError(JitTestError):
    """A CPython crashed while it was built, which runs it with its JIT on: its stencils are the suspects."""


class ProgramError(StencilkitError):
    """A linked program, or a package of them, is damaged or cannot be parsed."""


class DataError(StencilkitError):
    """A data file that travels with stencilkit contradicts itself."""
