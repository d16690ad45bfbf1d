"""Stencils -> header text.

The text is CPython's own, line for line; only the two comment lines at the top are ours to choose. Bytes never
depend on what is installed: disassembly comments appear only where the caller passes them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stencilkit.model.header import HeaderFormat, Mask
from stencilkit.model.stencil import Patch, PatchForm, Stencil, StencilGroup, StencilSet

if TYPE_CHECKING:  # loading it takes longer than an answer that nothing has changed
    from jinja2 import Environment

_BYTES_PER_ROW: Final = 8
_HEX: Final = tuple(f"{byte:#04x}," for byte in range(256))
_MASK_FORMS: Final[Mapping[Mask, PatchForm]] = {
    "trampoline": PatchForm.TRAMPOLINE,
    "got": PatchForm.GOT_SLOT,
}

Comments = Mapping[tuple[str, str], Sequence[str]]
"""Comment lines by group name and part ("code", "data")."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One half of a group, as the templates want it."""

    name: str
    size: int
    comments: Sequence[str]
    rows: Sequence[str]
    patches: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    parts: tuple[_Part, _Part]


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  # see above

    return Environment(
        loader=PackageLoader("stencilkit", "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # C, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_header(
    stencils: StencilSet, form: HeaderFormat, *, line1: str, line2: str, comments: Comments | None = None
) -> str:
    """Render a stencil header; `line1` and `line2` are the texts of its first two comments."""
    ordinals = stencils.ordinals
    rows = {group.name: group_row(group, form, ordinals) for group in stencils.groups}
    entry_row = rows.pop(stencils.entry) if stencils.entry else ""
    context: dict[str, Any] = {
        "line1": line1,
        "line2": line2,
        "state": form.state,
        "groups": _groups(stencils, form, ordinals, comments or {}),
        "entry_row": entry_row,
        "rows": sorted(rows.items()),
        "symbols": stencils.symbols,
        "mask_words": max(-(-len(stencils.symbols) // 32), 1),
    }
    return _environment().get_template(form.template).render(context)


def render(template: str, **context: object) -> str:
    """Render one of the small files that are beside the header."""
    return _environment().get_template(template).render(context)


def dispatcher(generator: str, rows: Sequence[tuple[str, str]]) -> str:
    """Render a header that includes another one by the architecture; `rows` are conditions and names.

    CPython: Tools/jit/build.py.
    """
    words = ["if", *["elif"] * (len(rows) - 1)]
    choices = [f'#{word} {condition}\n#include "{name}"\n' for word, (condition, name) in zip(words, rows, strict=True)]
    return "".join([f"// {generator}\n", *choices, '#else\n#error "unexpected target"\n#endif\n'])


def _groups(
    stencils: StencilSet, form: HeaderFormat, ordinals: Mapping[str, int], comments: Comments
) -> Iterator[_Group]:
    for group in stencils.groups:
        code, data = (
            _Part(
                name=name,
                size=len(stencil.body),
                comments=comments.get((group.name, name), ()),
                rows=_rows(stencil, form),
                patches=patch_calls(stencil, name, form, ordinals),
            )
            for name, stencil in (("code", group.code), ("data", group.data))
        )
        yield _Group(group.name, (code, data))


def _rows(stencil: Stencil, form: HeaderFormat) -> list[str]:
    body = stencil.body.rstrip(b"\0") if form.strip_zeros else stencil.body
    return [
        " ".join([_HEX[byte] for byte in body[start : start + _BYTES_PER_ROW]])
        for start in range(0, len(body), _BYTES_PER_ROW)
    ]


def patch_calls(stencil: Stencil, part: str, form: HeaderFormat, ordinals: Mapping[str, int]) -> tuple[str, ...]:
    """Spell the patch calls of one half of a group (`part`: "code" or "data"); a blank one is ""."""
    return tuple(_patch_call(patch, part, form, ordinals) for patch in stencil.patches)


def _patch_call(patch: Patch, part: str, form: HeaderFormat, ordinals: Mapping[str, int]) -> str:
    """Spell one patch call (CPython: `_stencils.Hole.as_c`)."""
    if patch.form is PatchForm.VOID:
        return ""
    places = [f"{part} + {offset:#x}" for offset in patch.offsets] or ["state"]
    value = _value(patch, form, ordinals)
    tail = ", state" if patch.form is PatchForm.TRAMPOLINE else ""
    return f"{patch.func}({', '.join(places)}, {value}{tail});"


def _value(patch: Patch, form: HeaderFormat, ordinals: Mapping[str, int]) -> str:
    if patch.form is PatchForm.ADDRESS:
        terms = [form.values[patch.value]]
        terms += [f"(uintptr_t)&{patch.symbol}"] if patch.symbol else []
        terms += [f"{patch.addend:#x}"] if patch.addend else []
        return " + ".join(filter(None, terms)) or "0x0"
    ordinal = f"{ordinals[str(patch.symbol)]:#x}"
    if patch.form is PatchForm.GOT_SLOT:
        return f"got_symbol_address({ordinal}, state)" + (" - 4" if patch.addend else "")
    return ordinal


def group_row(group: StencilGroup, form: HeaderFormat, ordinals: Mapping[str, int]) -> str:
    """Spell a group's row in the table of groups (CPython: `StencilGroup.as_c`)."""
    columns = [f"emit_{group.name}", str(len(group.code.body)), str(len(group.data.body))]
    columns += [_mask(group, _MASK_FORMS[mask], ordinals) for mask in form.masks]
    return "{" + ", ".join(columns) + "}"


def _mask(group: StencilGroup, form: PatchForm, ordinals: Mapping[str, int]) -> str:
    bits = 0
    for patch in group.code.patches:
        if patch.form is form:
            bits |= 1 << ordinals[str(patch.symbol)]
    words = [f"{bits >> shift & 0xFFFFFFFF:#04x}" for shift in range(0, bits.bit_length(), 32)]
    return "{" + (", ".join(words) or "0") + "}"
