"""manifest.toml: what went in, what came out, every digest; and reading it back.

_describing   a build -> a manifest, and the digests of stencils in one
_writing      a manifest -> TOML, sealed
_reading      TOML -> a manifest, or what is wrong with it
_layout       the table of what stencils have compiled in
"""

from __future__ import annotations

from stencilkit.manifest._describing import content_digest, describe, summarise
from stencilkit.manifest._reading import parse, parse_layout, read
from stencilkit.manifest._writing import document, render, render_layout

__all__ = [
    "content_digest",
    "describe",
    "document",
    "parse",
    "parse_layout",
    "read",
    "render",
    "render_layout",
    "summarise",
]
