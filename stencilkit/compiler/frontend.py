"""What clang's front end makes of a text with the flags of a build, before anything is optimised."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stencilkit.errors import REPORT, CompileError
from stencilkit.model.build import Plan
from stencilkit.support import process

# Of all types, even of those that only a pointer mentions (clang's manual, "Controlling Debug Information").
_DEBUG: Final = ("-g", "-fno-eliminate-unused-debug-types")
# Which line an instruction comes from is of no interest here, and is half of the text; types are described even so.
_NO_LINES: Final = "#pragma clang attribute push (__attribute__((nodebug)), apply_to = hasType(functionType))\n"
_LINES_AGAIN: Final = "#pragma clang attribute pop\n"
_UNOPTIMISED: Final = ("-w", "-Xclang", "-disable-llvm-passes", "-S", "-emit-llvm")
_OBJECT: Final = ("-w", "-ferror-limit=0", "-c")
_TIMEOUT_SECONDS: Final = 600.0
_SHOWN_LINES: Final = 12


def ir(plan: Plan, text: str, work: Path, name: str) -> str:
    """Compile a text to LLVM IR with all types in its debug information.

    Raises: CompileError.
    """
    # Where a type is from is of interest here: of two such flags, the last one counts.
    unmapped = f"-ffile-prefix-map={plan.tree.root}={plan.tree.root}"
    text = f"{_NO_LINES}{text}\n{_LINES_AGAIN}"
    done = _run(plan, text, work, name, (*_UNOPTIMISED, *_DEBUG, unmapped, "-o", f"{name}.ll"))
    if done.returncode:
        raise CompileError(
            "all uops in one unit do not compile",
            where=plan.toolchain.label,
            details="\n".join(done.err.splitlines()[:_SHOWN_LINES]),
            fix=REPORT,
        )
    return (work / f"{name}.ll").read_text("utf-8")


def obj(plan: Plan, text: str, work: Path, name: str) -> tuple[bytes, str]:
    """Compile a text of constants; return the object, empty where it does not compile, and what clang printed."""
    done = _run(plan, text, work, name, (*_OBJECT, "-o", f"{name}.o"))
    return b"" if done.returncode else (work / f"{name}.o").read_bytes(), done.err


def preprocessed(plan: Plan, text: str, work: Path, name: str) -> str:
    """Preprocess a text; keep definitions of macros, and the names of the files that lines come from."""
    return _run(plan, text, work, name, ("-w", "-E", "-dD")).out


def expanded(plan: Plan, text: str, work: Path, name: str) -> str:
    """Preprocess a text that has all that it needs; "" where it has not."""
    done = _run(plan, text, work, name, ("-w", "-E"))
    return "" if done.returncode else done.out


def _run(plan: Plan, text: str, work: Path, name: str, words: tuple[str, ...]) -> process.Completed:
    (work / f"{name}.c").write_text(text, "utf-8")
    arguments = plan.driver_arguments(entry=False, step="emit", files=(*words, f"{name}.c"))
    return process.run([*plan.toolchain.command, *arguments], cwd=work, timeout=_TIMEOUT_SECONDS)
