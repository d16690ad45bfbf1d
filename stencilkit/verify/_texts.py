"""A header's bytes beside its stencils, rendered again: there must be nothing else in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from stencilkit.model.header import ReadHeader
from stencilkit.model.stencil import Patch, Stencil, StencilGroup
from stencilkit.model.verdict import Check
from stencilkit.support import words

_PROVENANCE: Final = re.compile(r"stencilkit [0-9A-Za-z.+]{1,40}, content sha256:([0-9a-f]{64})")
_CARRIED_ON: Final = re.compile(rb"(?:\\|\?\?/)[ \t\v\f\r]*$")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
# CPython: Tools/jit/build.py writes the command that it was run with.
_COMMAND: Final = re.compile(r"[ -~]{1,4000}")
_COMMENT_LINE: Final = re.compile(rb"^ *//[^\n]*\n", re.MULTILINE)
_WIDTHS: Final[Mapping[str, int]] = {"patch_64": 8}
_INSTRUCTION: Final = 4
# Python/jit.c: this one rewrites the opcode and ModRM in the two bytes before its place, too, to relax a load, call or
# jump through a slot. A direct call or jump (COFF has one kind for both) has one byte, and nothing to relax.
_RELAXING: Final = "patch_x86_64_32rx"
_REWRITTEN: Final = 2
_DIRECT: Final = (b"\xe8", b"\xe9")
_PRINTED: Final = 100


def canonical(original: bytes, rendered: str, header: ReadHeader) -> Check:
    """Check that a header is exactly what its stencils look like when they are rendered again.

    So it carries no other C, hidden statement or stray byte.
    """
    problems = tuple(_not_canonical(original, rendered.encode(), header))
    if problems:
        return Check(kind="canonical", status="failed", what="it holds more than stencils", details=problems)
    outside = tuple(_outside(header.stencils.groups))
    if outside:
        return Check(kind="canonical", status="failed", what="it patches what is not its own", details=outside)
    return _nothing_else(header)


def _nothing_else(header: ReadHeader) -> Check:
    count = words.counted(len(header.stencils.groups), "stencil")
    return Check(kind="canonical", status="passed", what=f"{count} of CPython {header.format.series}, nothing else")


def _not_canonical(original: bytes, again: bytes, header: ReadHeader) -> Iterator[str]:
    if _PROVENANCE.fullmatch(header.line2) is None:
        yield f"line 2 is not what stencilkit writes there: {_printable(header.line2.encode())}"
    if original == again:
        return
    bare, bare_again = (b"".join(_COMMENT_LINE.split(data)) for data in (original, again))
    if bare == bare_again:
        yield f"{header.comments} comment lines are not stencilkit's disassembly"
    else:
        yield _first(original, again, bare=header.comments > 0)


def _foreign_text(original: bytes, again: bytes) -> Iterator[str]:
    """Find what a header of any generator holds beside its stencils and comments.

    `again` are its stencils, rendered. A comment may not carry on in the next line: C joins a line with the next one at
    a backslash, which C11 also spells ??/ (6.4.2.1, 5.2.1.1), and compilers allow blanks behind it.
    """
    for number, line in enumerate(original.split(b"\n"), start=1):
        if _CARRIED_ON.search(line):
            yield f"line {number} carries on in the next one: {_printable(line)}"
        elif _CONTROL.search(line):
            yield f"line {number} has a control character: {_printable(line)}"
    bare, bare_again = (b"".join(_COMMENT_LINE.split(data)) for data in (original, again))
    if bare != bare_again:
        yield _first(original, again, bare=True)


def generators_own(original: bytes, rendered: str, header: ReadHeader) -> Check:
    """Check that a header is what CPython's own generator writes: comment lines aside, the same bytes again."""
    problems = []
    if _PROVENANCE.fullmatch(header.line2) is None and _COMMAND.fullmatch(header.line2) is None:
        problems.append(f"line 2 is neither CPython's nor stencilkit's: {_printable(header.line2.encode())}")
    problems += _foreign_text(original, rendered.encode())
    problems += _outside(header.stencils.groups)
    if problems:
        return Check(kind="canonical", status="failed", what="it holds more than stencils", details=tuple(problems))
    return _nothing_else(header)


def content_claim(header: ReadHeader) -> str:
    """Return the content digest that line 2 names, "" if it names none."""
    match = _PROVENANCE.fullmatch(header.line2)
    return match[1] if match else ""


def small_file(name: str, original: bytes, rendered: bytes | None) -> Iterator[Check]:
    """Compare a file beside the header with what stencilkit writes; yield nothing where it is the same."""
    if original != rendered:
        detail = "cannot be understood" if rendered is None else _first(original, rendered)
        yield Check(kind="canonical", status="failed", what=f"{name} is not what stencilkit writes", details=(detail,))


def _first(original: bytes, again: bytes, *, bare: bool = False) -> str:
    """Describe the first line that differs; comment lines are not compared if the texts are `bare` of them."""
    pairs = zip(_lines(original, bare=bare), _lines(again, bare=bare), strict=False)
    number, left, right = next((number, left, right) for (number, left), (_, right) in pairs if left != right)
    return f"line {number} is {_printable(left)}, and should be {_printable(right)}"


def _lines(text: bytes, *, bare: bool) -> Iterator[tuple[int, bytes]]:
    """Give each line of a text, and its end, a number; comment lines are counted even where they are left out."""
    *lines, last = text.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not (bare and _COMMENT_LINE.fullmatch(line + b"\n")):
            yield number, line
    yield len(lines) + 1, last
    yield len(lines) + 2, b"(the end)"


def _printable(line: bytes) -> str:
    text = ascii(line[:_PRINTED].decode("utf-8", "replace"))
    return text + ("..." if len(line) > _PRINTED else "")


def _outside(groups: Iterable[StencilGroup]) -> Iterator[str]:
    """Name the patches that would write past the end of their stencil, or before its start."""
    for group in groups:
        for part, stencil in (("code", group.code), ("data", group.data)):
            for patch in stencil.patches:
                if patch.func and any(end > len(stencil.body) for end in _ends(patch)):
                    yield f"{group.name}: {patch.func} writes past the end of the {part}"
                # Upstream has such places at the start of data (3.13's jump tables on Windows); code comes before it.
                elif patch.func == _RELAXING and part == "code" and _rewrites_before(stencil, patch):
                    yield f"{group.name}: {patch.func} rewrites what is before the start of the {part}"


def _rewrites_before(stencil: Stencil, patch: Patch) -> bool:
    return any(stencil.body[:offset] not in _DIRECT for offset in patch.offsets if offset < _REWRITTEN)


def _ends(patch: Patch) -> Iterator[int]:
    width = _WIDTHS.get(patch.func, _INSTRUCTION)
    return (offset + width for offset in patch.offsets)
