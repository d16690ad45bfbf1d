"""Fields that mean the same in many answers."""

from __future__ import annotations

from typing import Final

from stencilkit.cli._schemas.shapes import Schema, count, each, or_null, sha256, text

TEXTS: Final[Schema] = each(text())
PATH: Final[Schema] = text("A path on this machine.")
PAGE: Final[Schema] = text("A page, by its path below the folder of the report; its JSON is beside it.")
TRIPLE: Final[Schema] = text("A canonical triple; `stencilkit targets` lists them.")
SERIES: Final[Schema] = text('A minor version of CPython, as in "3.14".')
CPYTHON: Final[Schema] = text('A CPython, as in "3.14.7".')
LLVM: Final[Schema] = text('An LLVM, as in "19.1.7".')
CONTENT: Final[Schema] = sha256("Digest of code, data and holes of all stencils (docs/digests.md).")
SIZES: Final[Schema] = each(or_null(count()), "Bytes before and after; null where there is none.")
