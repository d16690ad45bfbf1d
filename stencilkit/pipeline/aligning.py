"""Refuse stencils that fault where their data is not aligned: only those are decoded that could."""

from __future__ import annotations

import re
from typing import Final

from stencilkit import disassemble
from stencilkit.errors import ObjectError
from stencilkit.model import alignment
from stencilkit.model.stencil import HoleValue, StencilGroup, StencilSet
from stencilkit.support import resources
from stencilkit.support.cache import Store, key_of

# What all that takes sixteen bytes has in front of an address (Intel SDM, volume 2, chapter 2): an opcode of two bytes,
# but for what reads eight at most (CMOVcc, IMUL, MOVZX, POPCNT, BSF, BSR, MOVSX), or of three, or the prefix of AVX or
# AVX-512 (of which FF is no opcode); then ModRM, and SIB if that says so. Of 3.13, to decode 70 stencils more took as
# long as a changed uop.
_WIDE: Final = re.compile(
    rb"(?:\x0f[^\x40-\x4f\xaf\xb6-\xb8\xbc-\xbf]|\x0f[\x38\x3a].|\xc5.[^\xff]|\xc4..[^\xff]|\x62...[^\xff])"
    rb"(?:[\x04\x0c\x14\x1c\x24\x2c\x34\x3c\x84\x8c\x94\x9c\xa4\xac\xb4\xbc].|.)\Z",
    re.DOTALL,
)
_REACH: Final = 7
"""How many bytes that takes at most."""
# The same anywhere, where no address is behind it: opcodes of SSE, and the aligned moves of AVX.
_SSE: Final = re.compile(
    rb"\x0f[\x14\x15\x28-\x2b\x51-\x7f\xc2\xc6\xd0-\xff\x38\x3a]|(?:\xc5.|\xc4..|\x62...)[\x28\x29\x2b\x6f\x7f\xe7]",
    re.DOTALL,
)
_SIXTEEN: Final = 16


def check(stencils: StencilSet, arch: str, store: Store) -> None:
    """Refuse stencils that fault where their data is not aligned, although upstream's generator would make them.

    Those that were decoded before are known to be good.

    Raises: ObjectError.
    """
    groups = [group for group in stencils.groups if _may_fault(group)]
    code = resources.code_digest("disassemble.py", "model/alignment.py", "pipeline/aligning.py")
    key = key_of("aligned", code, resources.installed("capstone"), arch, [group.code.body.hex() for group in groups])
    if not groups or store.get(key) is not None:
        return
    for group in groups:
        for item in alignment.misaligned(disassemble.decode(group.code, arch), arch):
            raise ObjectError(
                f"{item.text} faults unless its data is aligned, and Python/jit.c puts data anywhere",
                where=f"uop {group.name}, at {item.offset:#x}",
                fix="use another LLVM, or leave out the flag that causes it (--cflags)",
            )
    store.put(key, b"")


def _may_fault(group: StencilGroup) -> bool:
    """Look at what is in front of the addresses of data: to decode all stencils takes too long.

    An address can be in a register first. Then there must be sixteen bytes of data, and what could read them.
    """
    body = group.code.body
    places = [place for patch in group.code.patches if patch.value is HoleValue.DATA for place in patch.offsets]
    if any(_WIDE.search(body[max(0, place - _REACH) : place]) for place in places):
        return True
    return bool(places) and len(group.data.body) >= _SIXTEEN and _SSE.search(body) is not None
