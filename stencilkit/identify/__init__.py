"""Find stencils in programs by their signatures, and say which build they come from.

CPython's `Python/jit.c` includes `jit_stencils.h`, so every `code_body` array is constant data of the program, with
zeros for holes: the code of a stencil is in a shipped file byte for byte, unless the C compiler turned a short array
into instructions. `searching` finds bodies, `explaining` accounts for the bytes between them, `judging` says what it
means. All judge values; none reads a file.
"""

from stencilkit.identify.judging import judge, version
from stencilkit.identify.searching import Found, Index, find, index

__all__ = ["Found", "Index", "find", "index", "judge", "version"]
