"""What `show` answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas.shapes import Format, answer, count, each, or_null, record, sha256, text, typed, word
from stencilkit.cli._schemas.vocabulary import SERIES, TEXTS
from stencilkit.model.stencil import HoleValue, PatchForm

_HOLE: Final = record(
    offsets=each(count()),
    function=text("The patch function; empty where none is called."),
    form=word([form.value for form in PatchForm], "How the arguments of the call are spelt."),
    value=word([value.value for value in HoleValue]),
    symbol=or_null(text()),
    addend=typed("integer", ""),
    call=text("The call as the header has it."),
)
_PART: Final = record(size=count(), bytes=text("Hexadecimal."), holes=each(_HOLE))
ANSWERS: Final[Mapping[str, Format]] = {
    "stencil": answer(
        "show",
        uop=text(),
        cpython=SERIES,
        content=sha256("Digest of this stencil."),
        code=_PART,
        data=_PART,
        disassembly=TEXTS,
    )
}
