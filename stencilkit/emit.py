"""Stencils -> header text.

The text is CPython's own, line for line; only the two comment lines at the top are ours to choose. Bytes never
depend on what is installed: disassembly comments appear only where the caller passes them.

A header has up to 50,000 lines, and is rendered again to verify it: joined here, as CPython's own Tools/jit/_writer.py
does, that takes a fifth of the time that a template engine takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from stencilkit.model.header import HeaderFormat, Mask
from stencilkit.model.stencil import Patch, PatchForm, Stencil, StencilGroup, StencilSet

_BYTES_PER_ROW: Final = 8
# Of a word of a symbol mask.
_MASK_BITS: Final = 32
_HEX: Final = tuple(f"{byte:#04x}," for byte in range(256))
_MASK_FORMS: Final[Mapping[Mask, PatchForm]] = {
    "trampoline": PatchForm.TRAMPOLINE,
    "got": PatchForm.GOT_SLOT,
}

Comments = Mapping[tuple[str, str], Sequence[str]]
"""Comment lines by group name and part ("code", "data")."""


def render_header(
    stencils: StencilSet, form: HeaderFormat, *, line1: str, line2: str, comments: Comments | None = None
) -> str:
    """Render a stencil header; `line1` and `line2` are the texts of its first two comments."""
    ordinals = stencils.ordinals
    rows = {group.name: group_row(group, form, ordinals) for group in stencils.groups}
    entry = f"static const StencilGroup {stencils.entry} = {rows.pop(stencils.entry)};\n\n" if stencils.entry else ""
    table = "".join(f"    [{name}] = {row},\n" for name, row in sorted(rows.items()))
    return "".join(
        [
            f"// {line1}\n// {line2}\n\n",
            *(_function(group, form, ordinals, comments or {}) for group in stencils.groups),
            _structure(form, len(stencils.symbols)),
            entry,
            f"static const StencilGroup stencil_groups[{form.largest} + 1] = {{\n{table}}};\n",
            _symbols_map(stencils.symbols) if form.masks else "",
        ]
    )


def _function(group: StencilGroup, form: HeaderFormat, ordinals: Mapping[str, int], comments: Comments) -> str:
    """Render the function that copies a group and patches it (CPython: `_writer._dump_stencil`)."""
    bodies, statements = "", ""
    for part, stencil in (("code", group.code), ("data", group.data)):
        bodies += "".join([f"    // {line}\n" for line in comments.get((group.name, part), ())])
        calls = "".join([f"    {call}\n" for call in patch_calls(stencil, part, form, ordinals)])
        if rows := "".join([f"        {row}\n" for row in _rows(stencil, form)]):
            bodies += f"    const unsigned char {part}_body[{len(stencil.body)}] = {{\n{rows}    }};\n"
            calls = f"    memcpy({part}, {part}_body, sizeof({part}_body));\n{calls}"
        # The data is copied first.
        statements = calls + statements
    return (
        f"void\nemit_{group.name}(\n"
        "    unsigned char *code, unsigned char *data, _PyExecutorObject *executor,\n"
        f"    const _PyUOpInstruction *instruction, {form.state})\n"
        f"{{\n{bodies}{statements}}}\n\n"
    )


def _structure(form: HeaderFormat, symbols: int) -> str:
    """Declare the structure of a group's row, and check that its masks have room for all symbols."""
    masks = "".join(f"    symbol_mask {mask}_mask;\n" for mask in form.masks)
    words = max(-(-symbols // _MASK_BITS), 1)
    check = f'static_assert(SYMBOL_MASK_WORDS >= {words}, "SYMBOL_MASK_WORDS too small");\n\n' if form.masks else ""
    return (
        f"{check}typedef struct {{\n    void (*emit)(\n"
        "        unsigned char *code, unsigned char *data, _PyExecutorObject *executor,\n"
        f"        const _PyUOpInstruction *instruction, {form.state});\n"
        f"    size_t code_size;\n    size_t data_size;\n{masks}}} StencilGroup;\n\n"
    )


def _symbols_map(symbols: Sequence[str]) -> str:
    """List the symbols of the masks; C has no empty array."""
    rows = "".join(f"    [{number}] = &{symbol},\n" for number, symbol in enumerate(symbols)) or "    0\n"
    return f"\nstatic const void * const symbols_map[{len(symbols) or 1}] = {{\n{rows}}};\n"


def constants(line1: str, line2: str, rows: Sequence[tuple[str, int]]) -> str:
    """Render a header of constants under the same two comments."""
    return "".join([f"// {line1}\n// {line2}\n\n", *(f"#define {name} {value}\n" for name, value in rows)])


def dispatcher(generator: str, rows: Sequence[tuple[str, str]]) -> str:
    """Render a header that includes another one by the architecture; `rows` are conditions and names.

    CPython: Tools/jit/build.py.
    """
    words = ["if", *["elif"] * (len(rows) - 1)]
    choices = [f'#{word} {condition}\n#include "{name}"\n' for word, (condition, name) in zip(words, rows, strict=True)]
    return "".join([f"// {generator}\n", *choices, '#else\n#error "unexpected target"\n#endif\n'])


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
    words = [f"{bits >> shift & 0xFFFFFFFF:#04x}" for shift in range(0, bits.bit_length(), _MASK_BITS)]
    return "{" + (", ".join(words) or "0") + "}"
