"""Headers of small stencils of our own, character by character: every value, every form of a patch, the tables.

What CPython's own generator makes of real trees is what tests/oracle compares with; these say which line changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import dialects, emit
from stencilkit.model.header import HeaderFormat
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup, StencilSet
from tests import goldens

FOLDER = Path(__file__).parent / "headers"
EMPTY = Stencil(body=b"", patches=())
# One more than a word of a mask has bits.
SYMBOLS = tuple(f"PySymbol_{number}" for number in range(33))


def every_value(form: HeaderFormat) -> Stencil:
    """Patch a pointer with each value that this CPython has."""
    values = [value for value in form.values if value is not HoleValue.GOT]
    return Stencil(
        body=bytes(range(1, 8 * len(values))),
        patches=tuple(
            Patch(func="patch_64", offsets=(8 * index,), value=value, addend=index % 3 - 1)
            for index, value in enumerate(values)
        ),
    )


def every_form(form: HeaderFormat) -> Stencil:
    """Patch in every way that this CPython's header spells."""
    patches = [
        Patch(func="patch_32r", offsets=(1,), symbol="_PyFoo"),
        Patch(func="patch_32r", offsets=(5,), value=HoleValue.DATA, symbol="_PyFoo", addend=-(2**63)),
        Patch(func="patch_64", offsets=(9,)),
    ]
    if "trampoline" in form.masks:
        patches += [
            Patch(func="patch_aarch64_trampoline", offsets=(16,), form=PatchForm.TRAMPOLINE, symbol=SYMBOLS[number])
            for number in (0, 31, 32)
        ]
    if "got" in form.masks:
        patches += [
            Patch(func="patch_x86_64_32rx", offsets=(20,), form=PatchForm.GOT_SLOT, symbol=SYMBOLS[4], addend=-4),
            Patch(func="", offsets=(24,), form=PatchForm.VOID),
            Patch(func="patch_aarch64_33rx", offsets=(24, 28), form=PatchForm.GOT_SLOT, symbol=SYMBOLS[5]),
        ]
    return Stencil(body=b"\x90" * 30 + bytes(2), patches=tuple(patches))


def fills(form: HeaderFormat) -> Stencil:
    patches = [Patch(func="patch_64", offsets=(0,), value=HoleValue.CODE)]
    if "got" in form.masks:
        fill = Patch(func="patch_got_symbol", offsets=(), form=PatchForm.GOT_FILL, symbol=SYMBOLS[5])
        patches.append(fill)
    return Stencil(body=bytes(8), patches=tuple(patches))


def stencils(form: HeaderFormat) -> StencilSet:
    groups = [
        StencilGroup(name="_Z_VALUES", code=every_value(form), data=EMPTY),
        StencilGroup(name="_A_FORMS", code=every_form(form), data=fills(form)),
        StencilGroup(name="_EMPTY", code=EMPTY, data=EMPTY),
    ]
    if form.entry:
        groups.append(StencilGroup(name=form.entry, code=Stencil(body=b"\xc3", patches=()), data=EMPTY))
    return StencilSet(groups=tuple(groups), entry=form.entry, symbols=SYMBOLS if form.masks else ())


@pytest.mark.parametrize("form", dialects.header_forms(), ids=lambda form: form.series)
def test_headers(form: HeaderFormat) -> None:
    comments = {("_A_FORMS", "code"): ["0: nop", "1: nop"], ("_A_FORMS", "data"): ["0: 00"]}
    text = emit.render_header(stencils(form), form, line1="1" * 64, line2="line 2", comments=comments)
    goldens.check(FOLDER / f"{form.series}.h", text)


@pytest.mark.parametrize("form", dialects.header_forms()[1:], ids=lambda form: form.series)
def test_without_symbols_the_map_is_not_empty(form: HeaderFormat) -> None:
    """C has no arrays of no elements."""
    group = StencilGroup(name="_EMPTY", code=EMPTY, data=EMPTY)
    entry = (StencilGroup(name=form.entry, code=EMPTY, data=EMPTY),) if form.entry else ()
    held = StencilSet(groups=(group, *entry), entry=form.entry)
    text = emit.render_header(held, form, line1="1" * 64, line2="line 2")
    assert "symbols_map[1] = {\n    0\n};" in text
    assert "SYMBOL_MASK_WORDS >= 1," in text
