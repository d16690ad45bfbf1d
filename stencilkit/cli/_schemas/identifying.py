"""What `identify` answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas.shapes import Format, answer, by_name, count, each, flag, record, text, word
from stencilkit.cli._schemas.vocabulary import PATH, TEXTS, TRIPLE
from stencilkit.model.signature import Verdict as Identified
from stencilkit.model.target import Kind as FlavourKind

_COVERAGE: Final = record(
    "How much of some stencils is in a program.",
    cpython=text(),
    target=TRIPLE,
    flavour=word(FlavourKind),
    llvm=text('An LLVM, "" if it is not known.'),
    source=text("Where the stencils came from, as it was named; empty for a ledger."),
    stencils=count(),
    of_stencils=count(),
    bytes=count(),
    of_bytes=count(),
    hidden=count("Stencils that cannot be seen in any program."),
    missing=each(
        record(
            name=text(),
            size=count("Bytes."),
            offset=count("Where other bytes are in its place, -1 if nowhere.", minimum=-1),
            differing=each(count(), "The bytes that differ, counted from 0."),
        )
    ),
)
ANSWERS: Final[Mapping[str, Format]] = {
    "identify": answer(
        "identify",
        answers=each(
            record(
                path=PATH,
                files=count("How many files were looked at."),
                problems=each(text(), "What could not be read."),
                pythons=each(
                    record(
                        label=text(),
                        verdict=word(Identified),
                        cpython=text(),
                        format=text(),
                        arch=text(),
                        jit=flag(),
                        jit_setting=text(),
                        best=each(_COVERAGE),
                        others=each(_COVERAGE),
                        telling=each(text(), "Stencils that the best has and the others have not."),
                        protections=by_name(flag()),
                        notes=TEXTS,
                        refused=each(text(), "Why it is not good enough: for the policy, or without one."),
                    )
                ),
            )
        ),
    )
}
