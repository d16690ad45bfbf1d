"""What `prove` answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas.shapes import Format, answer, count, each, flag, record, sha256, text, word
from stencilkit.cli._schemas.vocabulary import SERIES, TRIPLE
from stencilkit.model.proof import Verdict as Proved

ANSWERS: Final[Mapping[str, Format]] = {
    "assumptions": answer(
        "prove --assumptions",
        assumptions=each(record(name=text(), text=text(), source=text(), optional=flag())),
        digest=sha256("Digest of the prover and its assumptions."),
    ),
    "proofs": answer(
        "prove",
        proved=flag("Whether everything is accepted."),
        pairs=each(
            record(
                first=text(),
                second=text(),
                cpython=SERIES,
                triple=TRIPLE,
                assumptions=sha256("Digest of the prover and its assumptions."),
                unlike_ledger=each(text("Where the ledger of --ledger says something else.")),
                proofs=each(
                    record(
                        name=text(),
                        verdict=word([verdict.value for verdict in Proved]),
                        accepted=flag(),
                        why=text(),
                        facts=each(text(), "Optional assumptions that the proof needs."),
                        difference=each(text(), "Where both sides do other things, as lines of text."),
                        runs=count("Runs on random states that agreed."),
                        spent=count("Units of work, in z3's terms."),
                    )
                ),
            )
        ),
    ),
}
