"""Read a stencil's data wherever it is, in x86-64 code.

    xorps .LCPI0_0(%rip), %xmm0     becomes     movups .LCPI0_0(%rip), %xmm15
                                                xorps  %xmm15, %xmm0

SSE wants 16 bytes of memory aligned (Intel SDM, volume 1, section 4.1.1), compilers align their constants, and
Python/jit.c puts a stencil's data anywhere. What is not known here is left as it is: whether a stencil faults is asked
of its code (model.alignment).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from stencilkit.asmopt.graph import Code, Instruction, Kind
from stencilkit.errors import AssemblyError

_SYMBOL: Final = r'(?P<data>["\w.$?@]+(?:[+-]\d+)?\(%rip\))'
# What an instruction does with its bytes is the same wherever they come from.
_MOVE: Final = re.compile(rf"(?P<start>\s*)mov(?:ap[sd]|dqa)(?P<between>\s+){_SYMBOL}(?P<rest>, %xmm\d+\s*(?:#.*)?)$")
_COMPUTE: Final = re.compile(
    rf"(?P<start>\s*)(?P<name>(?:and|andn|or|xor)p[sd]|p(?:andn?|x?or))\s+{_SYMBOL}, (?P<register>%xmm\d+)\s*(?:#.*)?$"
)
# Nothing is passed in these, and nobody keeps them for a caller: x86-64 psABI, section 3.2.1; Microsoft's x64 calling
# convention, "Caller/callee saved registers".
_SCRATCH: Final = {"elf": "%xmm15", "macho": "%xmm15", "coff": "%xmm5"}


def unalign(code: Code, object_format: str) -> Code:
    """Have no instruction read data that must be aligned, where that is known to do.

    Raises: AssemblyError where the register that it takes is in use.
    """
    scratch = _SCRATCH[object_format]
    # It is the lower part of AVX's registers of the same number.
    in_use = re.compile(rf"%[xyz]{scratch.removeprefix('%x')}\b")
    used = any(in_use.search(one.text) for block in code.blocks for one in block.instructions)

    def rewritten(instructions: tuple[Instruction, ...]) -> Iterator[Instruction]:
        for one in instructions:
            match = _COMPUTE.match(one.text)
            if match is None:
                yield replace(one, text=_MOVE.sub(r"\g<start>movups\g<between>\g<data>\g<rest>", one.text))
                continue
            if used:
                raise AssemblyError(
                    f"{scratch} is not free to read data that may not be aligned",
                    where=one.text.strip(),
                    fix="report this with the version of clang, or use LLVM 20 or newer",
                )
            yield Instruction(Kind.OTHER, "movups", f"{match['start']}movups\t{match['data']}, {scratch}")
            yield replace(one, text=f"{match['start']}{match['name']}\t{scratch}, {match['register']}")

    return code.with_blocks(replace(block, instructions=tuple(rewritten(block.instructions))) for block in code.blocks)
