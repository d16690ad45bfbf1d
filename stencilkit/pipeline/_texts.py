"""The files that a CPython's build looks for, as text: rendered for a build, and again to verify one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit import __version__, disassemble, emit
from stencilkit.dialects import Dialect
from stencilkit.model.manifest import FileRole
from stencilkit.model.stencil import StencilSet
from stencilkit.model.target import TargetRequest
from stencilkit.pipeline._extras import Extras

GENERATOR: Final = f"stencilkit {__version__}"
DISPATCHERS: Final[Mapping[FileRole, FileRole]] = {"dispatcher": "stencils", "unwind-dispatcher": "unwind"}


def render(
    dialect: Dialect,
    target: TargetRequest,
    stencils: StencilSet,
    extras: Extras,
    *,
    line1: str,
    line2: str,
    comments: bool,
) -> dict[str, bytes]:
    """Render every file, by name."""
    names = dialect.file_names(target)
    header = render_header(dialect, target.target.arch, stencils, line1=line1, line2=line2, comments=comments)
    texts: dict[FileRole, bytes] = {"stencils": header.encode(), **extras.files(line1, line2)}
    for role, included in DISPATCHERS.items():
        if role in names:
            rows = [(target.target.condition, names[included])]
            texts[role] = emit.render("dispatcher.h.j2", line1=GENERATOR, rows=rows).encode()
    return {name: texts[role] for role, name in names.items()}


def render_header(dialect: Dialect, arch: str, stencils: StencilSet, *, line1: str, line2: str, comments: bool) -> str:
    """Render the stencil header, with disassembly comments if they are wanted."""
    listing = _comments(stencils, dialect, arch) if comments else None
    return emit.render_header(stencils, dialect.HEADER, line1=line1, line2=line2, comments=listing)


def _comments(stencils: StencilSet, dialect: Dialect, arch: str) -> emit.Comments:
    """Disassemble the code of every stencil."""
    ordinals = stencils.ordinals
    return {
        (group.name, "code"): disassemble.listing(
            group.code,
            arch,
            emit.patch_calls(group.code, "code", dialect.HEADER, ordinals),
        )
        for group in stencils.groups
    }
