"""Bit-vector terms: hash-consed, put into a normal form when they are made, so that equal code gives equal objects.

A term is what a register, a flag or a word of memory holds, as a function of symbols. Nothing here knows a solver or a
machine. The order of commutative operands follows from their structure alone: the same terms come out in every process.
Booleans are terms of one bit.

Operations beside the usual ones: `word` is a word of a memory as it was at some time (an uninterpreted function of the
address, and as wide); `over` is such a word, read at a distance from a later write; `call` is any other uninterpreted
function.
"""

from __future__ import annotations

from stencilkit.prove.terms.bits import bitwise, both, concat, either, extract, invert, ite, multiple, sext, shift, zext
from stencilkit.prove.terms.comparisons import bound, eq, less
from stencilkit.prove.terms.node import FALSE, FRAME_NAME, TRUE, WORD, Term, call, const, over, show, signed, sym, word
from stencilkit.prove.terms.ranges import reach
from stencilkit.prove.terms.replacing import known, replaced
from stencilkit.prove.terms.sums import add, mul, offset, parts, scale, sub
from stencilkit.prove.terms.values import Given, below, evaluate, symbols

__all__ = [
    "FALSE",
    "FRAME_NAME",
    "TRUE",
    "WORD",
    "Given",
    "Term",
    "add",
    "below",
    "bitwise",
    "both",
    "bound",
    "call",
    "concat",
    "const",
    "either",
    "eq",
    "evaluate",
    "extract",
    "invert",
    "ite",
    "known",
    "less",
    "mul",
    "multiple",
    "offset",
    "over",
    "parts",
    "reach",
    "replaced",
    "scale",
    "sext",
    "shift",
    "show",
    "signed",
    "sub",
    "sym",
    "symbols",
    "word",
    "zext",
]
