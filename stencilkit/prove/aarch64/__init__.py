"""What the aarch64 instructions of stencils do, as a table by mnemonic.

Source: Arm Architecture Reference Manual for A-profile, section C6 (base instructions) and C7 (floating point). The
mnemonics are capstone's, aliases included. What is not here is `UnsupportedError`.

How `Python/jit.c` patches: `patch_aarch64_33rx` turns an adrp and a load into other instructions that leave the same in
the register, if it is one register, which nothing reads in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.prove.aarch64 import choices, floats, integers, jumps, loads
from stencilkit.prove.aarch64.operands import REGISTERS, VIEWS, Step

STEPS: Final[Mapping[str, Step]] = {
    **loads.STEPS,
    **integers.STEPS,
    **choices.STEPS,
    **jumps.STEPS,
    **floats.STEPS,
}
__all__ = ["REGISTERS", "STEPS", "VIEWS"]
