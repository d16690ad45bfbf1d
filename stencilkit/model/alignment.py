"""Memory that an instruction wants aligned, where nothing aligns it (Intel SDM, volume 1, section 4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from stencilkit.model.audit import Decoded

_SIXTEEN: Final = 16
# Some moves take any address, and so does all of AVX but its aligned moves.
_SSE: Final = re.compile(r"(?!(?:movup[sd]|movdqu|lddqu|v(?!mov(?:ap[sd]|dqa\d*|nt\w+)$).*)$).*")
_WANTS: Final = {"x86_64": _SSE, "i686": _SSE, "aarch64": re.compile(r"(?!)")}
# Compilers align their own frames.
_FRAME: Final = frozenset({"rsp", "rbp", "esp", "ebp"})


def misaligned(code: Iterable[Decoded], arch: str) -> Iterator[Decoded]:
    """Find instructions that may fault."""
    for item in code:
        if may_fault(item.mnemonic, ((one.size, one.register) for one in item.arguments if one.kind == "memory"), arch):
            yield item


def may_fault(mnemonic: str, memory: Iterable[tuple[int, str]], arch: str) -> bool:
    """Say whether an instruction faults where memory is not at a multiple of its size, and is not in a frame.

    `memory` has the size and the base register of each of its operands there. The data of a stencil is at a multiple
    of 8, or anywhere: Python/jit.c, DATA_ALIGN.
    """
    anywhere = any(size >= _SIXTEEN and base not in _FRAME for size, base in memory)
    return anywhere and _WANTS[arch].fullmatch(mnemonic) is not None
