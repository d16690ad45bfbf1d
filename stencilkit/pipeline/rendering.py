"""The files that a CPython's build looks for, as text: rendered for a build, and again to verify one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from stencilkit import __version__, emit
from stencilkit.model.dialect import Dialect
from stencilkit.model.manifest import FileRole
from stencilkit.model.stencil import StencilSet
from stencilkit.model.target import SpelledTarget

if TYPE_CHECKING:  # what renders only dispatchers reads no objects
    from stencilkit.pipeline.companions import Companions

GENERATOR: Final = f"stencilkit {__version__}"
DISPATCHERS: Final[Mapping[FileRole, FileRole]] = {"dispatcher": "stencils", "unwind-dispatcher": "unwind"}
# What line 1 of a dispatcher says of its origin: stencilkit, or the command of build.py. make runs that when the tree
# was touched; it leaves a header alone whose line 1 is right, and writes the dispatchers again: that line is another.
_STENCILKIT: Final = re.compile(r"stencilkit [0-9A-Za-z.+]{1,40}")
_BUILD_PY: Final = re.compile(r"\$ [ -~]*/Tools/jit/build\.py [ -~]*")


def generator_of(data: bytes) -> str:
    """Return what line 1 of a dispatcher says of its origin, "" where that is unknown.

    A backslash at the end of it, with or without blanks behind, would make the next line a comment, and so would a
    trigraph.
    """
    line = data.partition(b"\n")[0].decode("ascii", "replace").removeprefix("// ")
    if _STENCILKIT.fullmatch(line):
        return line
    is_plain = not line.rstrip().endswith("\\") and "??/" not in line
    return line if is_plain and _BUILD_PY.fullmatch(line) else ""


def before_make(data: bytes, generator: str) -> bytes:
    """Return a dispatcher as stencilkit wrote it, where line 1 names build.py; other files as they are."""
    if not data.startswith(b"// $ ") or not generator_of(data):
        return data
    return f"// {generator}\n".encode() + data.partition(b"\n")[2]


def render(
    dialect: Dialect,
    asked: SpelledTarget,
    stencils: StencilSet,
    beside: Companions,
    *,
    line1: str,
    line2: str,
    comments: bool,
) -> dict[str, bytes]:
    """Render every file, by name."""
    names = dialect.file_names(asked)
    header = render_header(dialect, asked.target.arch, stencils, line1=line1, line2=line2, comments=comments)
    texts: dict[FileRole, bytes] = {"stencils": header.encode(), **beside.files(line1, line2)}
    shared = dispatchers(dialect, [asked])
    return {name: shared[name] if role in DISPATCHERS else texts[role] for role, name in names.items()}


def dispatchers(dialect: Dialect, requests: Sequence[SpelledTarget], generator: str = GENERATOR) -> dict[str, bytes]:
    """Render the small headers that include those of the architecture at hand, by name.

    `requests` are one target, or the halves of a universal platform in the order of the conditions. CPython:
    Tools/jit/build.py.
    """
    names = [dialect.file_names(request) for request in requests]
    rendered = {}
    for role, included in DISPATCHERS.items():
        if role in names[0]:
            rows = [(request.target.condition, own[included]) for request, own in zip(requests, names, strict=True)]
            rendered[names[0][role]] = emit.dispatcher(generator, rows).encode()
    return rendered


def render_header(dialect: Dialect, arch: str, stencils: StencilSet, *, line1: str, line2: str, comments: bool) -> str:
    """Render the stencil header, with disassembly comments if they are wanted."""
    listing = _comments(stencils, dialect, arch) if comments else None
    return emit.render_header(stencils, dialect.HEADER, line1=line1, line2=line2, comments=listing)


def _comments(stencils: StencilSet, dialect: Dialect, arch: str) -> emit.Comments:
    """Disassemble the code of every stencil."""
    from stencilkit import disassemble  # noqa: PLC0415  # few headers have such comments

    ordinals = stencils.ordinals
    return {
        (group.name, "code"): disassemble.listing(
            group.code,
            arch,
            emit.patch_calls(group.code, "code", dialect.HEADER, ordinals),
        )
        for group in stencils.groups
    }
