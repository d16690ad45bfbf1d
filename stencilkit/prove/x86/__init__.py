"""What the x86 instructions of stencils do, as tables by mnemonic; nearly all rows serve 64 and 32 bits.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. A mnemonic or a form of one that is not
here is `UnsupportedError`. Flags that the manual leaves undefined are unknown symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.prove.x86 import integers, jumps, vectors, x87
from stencilkit.prove.x86.operands import REGISTERS, VIEWS, Step

_STEPS: Final = {**integers.STEPS, **jumps.STEPS, **vectors.STEPS}
STEPS: Final[Mapping[int, Mapping[str, Step]]] = {64: _STEPS, 32: {**_STEPS, **x87.STEPS}}
"""What each mnemonic does, by the width of an address."""
__all__ = ["REGISTERS", "STEPS", "VIEWS"]
