"""Is what a compiler wrote all that it meant to write? Text that is cut off at a line is still valid text.

An object file needs no mark: its tables are at its end, and a reader that does not find them refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stencilkit.model.build import Emits
from stencilkit.model.target import ObjectFormat

# What AsmPrinter::doFinalization writes behind the last function and the last constant, by format; only what no stencil
# keeps (.addrsig_sym) follows.
_ENDS_OF_ASSEMBLY: Final[Mapping[ObjectFormat, re.Pattern[str]]] = {
    "elf": re.compile(r'^\s*\.section\s+"?\.note\.GNU-stack\b', re.MULTILINE),
    "macho": re.compile(r"^\s*\.subsections_via_symbols\s*$", re.MULTILINE),
    "coff": re.compile(r"^\s*\.addrsig\s*$", re.MULTILINE),
}
# AssemblyWriter::printModule: functions, then attributes, then numbered metadata, of which clang always
# writes some (wchar_size).
_END_OF_IR: Final = re.compile(r"^![0-9]+ = (?:distinct )?!.*[)}]\n+\Z", re.MULTILINE)


def problem(emits: Emits, form: ObjectFormat, data: bytes) -> str:
    """Say in words why an output cannot be whole, "" where it may be."""
    if emits == "object":
        return "" if data else "it is empty"
    text = data.decode("utf-8", "replace")
    if not text.endswith("\n"):
        return "its last line is cut off"
    if emits == "llvm-ir":
        return "" if _END_OF_IR.search(text) else "the metadata at the end of LLVM IR is missing"
    whole = _ENDS_OF_ASSEMBLY[form].search(text)
    return "" if whole else "what clang writes at the end of every assembly file is missing"
