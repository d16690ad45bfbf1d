"""Dead code, and when it may be left out of a unit without changing a byte of the result.

CPython 3.13 compiles every uop together with all the others, as dead cases of a switch on a constant. LLVM throws
the dead cases away when it propagates constants (IPSCCP), after SROA has turned the locals of all cases into
values. The one trace they leave is an order: SROA promotes locals in an order that depends on how many others
there are (PromoteMem2Reg.cpp, RemoveFromAllocasList, moves the last one into the gap), and where two promoted
locals meet in one block, their phi nodes stand in that order. Later passes follow it.

The other trace is the order of constants: clang makes a string when it first meets it, and that may be in a dead case
(the file name in an assertion, say). LLVM deletes what nobody uses and keeps the order of the rest in the data.

So a unit without its dead code gives the same bytes if no block has two phi nodes at that point, and if it uses no two
constants. clang is asked to print the function there; other units, and all units if what it prints is not understood,
are compiled in full.

What is printed is the function after call site splitting, the last function pass before IPSCCP at -O3
(PassBuilderPipelines.cpp, buildModuleSimplificationPipeline): printing the whole module before IPSCCP would take a
quarter of the compile time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Without -filter-print-funcs: it would apply to the IR that clang writes, too.
ARGUMENTS: Final = ("-mllvm", "-print-after=callsite-splitting")
ENTRY: Final = "_JIT_ENTRY"
_DUMP: Final = re.compile(
    rf"^; \*\*\* IR Dump After CallSiteSplittingPass on {ENTRY} \*\*\*\n(?:;[^\n]*\n)*(define .*?^\}}$)",
    re.MULTILINE | re.DOTALL,
)
# Names that clang gives to constants of its own: strings, __func__ and its likes, initialisers, static locals.
_CONSTANT: Final = re.compile(r"@(?:\.|__(?:PRETTY_FUNCTION__|FUNCTION__|func__|const)\.|_JIT_ENTRY\.)[\w.]*")
_TWO_PHIS: Final = re.compile(r"^  %\S+ = phi [^\n]*\n  %\S+ = phi ", re.MULTILINE)


def insensitive(printed: str, names: Sequence[str]) -> frozenset[str]:
    """Name the units, of those compiled in this order, whose bytes cannot depend on dead code."""
    dumps = _DUMP.findall(printed)
    if len(dumps) != len(names):
        return frozenset()
    return frozenset(name for name, dump in zip(names, dumps, strict=True) if not _order_matters(dump))


def constants(function: str) -> frozenset[str]:
    """Name the constants of clang's own that a function uses."""
    return frozenset(_CONSTANT.findall(function))


def _order_matters(function: str) -> bool:
    return _TWO_PHIS.search(function) is not None or len(constants(function)) > 1
