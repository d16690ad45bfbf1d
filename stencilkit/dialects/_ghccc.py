"""Change calling conventions in LLVM IR, for CPython 3.13 on x86.

clang has no C spelling of the GHC calling convention, so 3.13 edits the IR that clang prints
(Tools/jit/_targets.py, `_compile`). Upstream replaces text next to the return type, and depends on which return
attributes a version of LLVM prints; here the keyword goes where the grammar puts a calling convention
(LLVM Language Reference: "Functions" and "'call' Instruction"), whatever follows it.
"""

from __future__ import annotations

import re
from typing import Final

from stencilkit.errors import REPORT, CompileError

_CONVENTION: Final = "ghccc"
# A name followed by its argument list: the function that a line defines, declares or calls.
_JIT_FUNCTION: Final = re.compile(r"@_JIT_\w+\(")
_HEADER: Final = re.compile(
    r"(?:define|declare)"
    r"(?: (?:private|internal|available_externally|linkonce|weak|common|appending|extern_weak|linkonce_odr"
    r"|weak_odr|external|dso_local|dso_preemptable|default|hidden|protected|dllimport|dllexport))* "
)
_CALL: Final = re.compile(
    r"  (?:%[\w.]+ = )?(?P<tail>(?:tail|musttail|notail) )?call "
    r"(?:(?:nnan|ninf|nsz|arcp|contract|afn|reassoc|fast) )*"
)
_OTHER_CONVENTION: Final = re.compile(r"(?:ccc|fastcc|coldcc|ghccc|tailcc|preserve_\w+cc|x86_\w+cc|win64cc|cc \d+) ")


def use_ghccc(text: str) -> str:
    """Give `_JIT_*` functions, and every callee of a musttail call, the GHC calling convention.

    Raises: CompileError where such a function has another convention already.
    """
    return "\n".join(_edit(line) for line in text.split("\n"))


def _edit(line: str) -> str:
    if line.startswith(("define ", "declare ")):
        match = _HEADER.match(line)
        concerned = _JIT_FUNCTION.search(line) is not None
    else:
        match = _CALL.match(line)
        concerned = match is not None and (match["tail"] == "musttail " or _JIT_FUNCTION.search(line) is not None)
    if not concerned or match is None:
        return line
    if _OTHER_CONVENTION.match(line, match.end()):
        raise CompileError(
            "clang printed a calling convention where there should be none",
            where=line.strip()[:120],
            fix=REPORT,
        )
    return f"{line[: match.end()]}{_CONVENTION} {line[match.end() :]}"
