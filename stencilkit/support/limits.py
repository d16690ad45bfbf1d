"""How much each reader takes of what comes from elsewhere; docs/limits.md is this table, with what real files have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from stencilkit.errors import StencilkitError

MANIFEST: Final = 2 << 20
"""Bytes of a TOML document: a manifest, a policy, waivers, an entry of the ledger."""
KEY_PARTS: Final = 16
"""Parts of a dotted key in TOML, of which a decoder keeps a copy for each part."""
HEADER: Final = 64 << 20
"""Bytes of a stencil header, with disassembly in its comments."""
OUTPUT: Final = 64 << 20
"""Bytes of any other file of an output folder."""
TEXT: Final = 16 << 20
"""Bytes of a text of a CPython tree or build folder: pyconfig.h, Makefile, configure, executor_cases.c.h."""
LOOKUPS: Final = 1_000_000
"""Places where verify looks for a file that would be included in place of a recorded one."""
PATH: Final = 1024
"""Characters of a path in a manifest."""
FOUND: Final = 100_000
"""Files and folders below a folder that is searched for stencils."""


@contextlib.contextmanager
def bounded(error: type[StencilkitError], where: str = "") -> Iterator[None]:
    """Raise `error` for what is nested too deeply for Python, or too large for this machine."""
    try:
        yield
    except RecursionError:
        raise error("it is nested too deeply", where=where, fix="do not use it; no program of ours wrote it") from None
    except MemoryError:
        raise error("there is not enough memory to read it", where=where, fix="use a machine with more") from None
