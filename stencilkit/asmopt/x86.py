"""x86: i686 and x86_64, in AT&T syntax."""

from __future__ import annotations

import re
from typing import Final

from stencilkit.asmopt.graph import Code, Kind
from stencilkit.asmopt.syntax import InstructionSet, Syntax

# https://www.felixcloutier.com/x86/jcc: every condition and its negation.
_CONDITIONS: Final = {
    "ja": "jna",
    "jae": "jnae",
    "jb": "jnb",
    "jbe": "jnbe",
    "jc": "jnc",
    "je": "jne",
    "jg": "jng",
    "jge": "jnge",
    "jl": "jnl",
    "jle": "jnle",
    "jo": "jno",
    "jp": "jnp",
    "jpe": "jpo",
    "js": "jns",
    "jz": "jnz",
}
# These test a register and have no opposite: https://www.felixcloutier.com/x86/loop:loopcc
_WITHOUT_OPPOSITE: Final = ("jcxz", "jecxz", "jrcxz", "loop", "loope", "loopne", "loopnz", "loopz")
_INVERSES: Final[dict[str, str | None]] = {
    **_CONDITIONS,
    **{inverse: condition for condition, inverse in _CONDITIONS.items()},
    **dict.fromkeys(_WITHOUT_OPPOSITE),
}

# What may follow a target: @PLT, or a comment.
_END: Final = r"(?=@\w|\s*(?:$|#))"

# Windows unwinders know a tail call by its rex64; notrack exempts a jump from CET.
_PREFIXES: Final = r"(?:(?:bnd|notrack|data16|rex64|rep\w*|lock)\s+)*"

INSTRUCTIONS: Final = InstructionSet(
    patterns=(
        (Kind.BRANCH, re.compile(rf"\s*(?P<mnemonic>{'|'.join(_INVERSES)})\s+(?P<target>[\w.]+){_END}")),
        (Kind.JUMP, re.compile(rf"\s*(?P<mnemonic>jmp)\s+(?P<target>[\w.]+){_END}")),
        (Kind.CALL, re.compile(r"\s*(?P<mnemonic>callq?)\s+(?P<target>[\w.]+)")),
        (Kind.RETURN, re.compile(r"\s*retq?\b")),
    ),
    inverses=_INVERSES,
    short_branches=frozenset(),
    relocations={},
    frame_pointer=re.compile(r"\s*movq?\s+%(\w+),\s+%rbp.*"),
    control=re.compile(rf"\s*{_PREFIXES}(?:j|loop|ljmp|xbegin)"),
    indirect=re.compile(rf"\s*{_PREFIXES}jmp[ql]?\s+\*"),
)


def finish(code: Code, syntax: Syntax) -> Code:  # noqa: ARG001  # one interface
    """Leave the rest to the assembler, which has a relocation for everything."""
    return code
