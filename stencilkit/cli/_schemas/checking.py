"""Verdicts on stencils: verify, compare, audit, gate and attest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit.cli._schemas.shapes import (
    Format,
    answer,
    by_name,
    count,
    each,
    flag,
    number,
    record,
    sha256,
    text,
    typed,
    word,
)
from stencilkit.cli._schemas.vocabulary import CONTENT, CPYTHON, LLVM, PATH, SERIES, SIZES, TEXTS, TRIPLE
from stencilkit.model.audit import RuleOutcome
from stencilkit.model.comparison import Likeness
from stencilkit.model.target import Kind as FlavourKind
from stencilkit.model.verdict import Kind, Scope, Status

_SIDE: Final = record(
    "One header.",
    label=text("The path as it was given."),
    made_by=text("The generator, as line 2 names it."),
    cpython=SERIES,
    triple=TRIPLE,
    stencils=count(),
    code=count("Bytes."),
    data=count("Bytes."),
    line1=text(),
    content=text("The content digest, where it is known."),
    interface=text("The interface digest."),
)
ANSWERS: Final[Mapping[str, Format]] = {
    "attestation": answer(
        "attest",
        path=PATH,
        sha256=sha256("Digest of the file."),
        what=text("Which entry of the ledger was built."),
        content=CONTENT,
        same=flag("Whether the ledger expects what was built."),
    ),
    "audit": answer(
        "audit",
        passed=flag(),
        audits=each(
            record(
                subject=text(),
                passed=flag(),
                stale_waivers=TEXTS,
                rules=each(
                    record(
                        rule=text("The rule's name; `audit --rules` lists them."),
                        outcome=word(RuleOutcome),
                        refs=text(),
                        findings=each(
                            record(
                                stencil=text("Empty for the header itself."),
                                what=text(),
                                waived=text("Why it is accepted; empty if it is not."),
                            )
                        ),
                    )
                ),
            )
        ),
    ),
    "comparison": answer(
        "compare",
        equal=flag(),
        pairs=each(
            record(
                first=_SIDE,
                second=_SIDE,
                equal=flag(),
                counts=typed(
                    "object", "Stencils by likeness.", propertyNames=word(Likeness), additionalProperties=count()
                ),
                line1_causes=each(text(), "Why line 1 differs."),
                extras=each(text(), "What differs of the files beside the header."),
                changes=each(
                    record(
                        name=text(),
                        likeness=word(Likeness),
                        code=SIZES,
                        data=SIZES,
                        instructions=TEXTS,
                        holes=TEXTS,
                        symbols=TEXTS,
                        data_bytes=TEXTS,
                    )
                ),
            )
        ),
    ),
    "gate": answer(
        "gate",
        disagreements=each(text(), "LLVMs of one version that do not make the same."),
        written=each(PATH, "Entries of the ledger that were written."),
        left=each(PATH, "Entries that were left as they are, because builds vary."),
        outcomes=each(
            record(
                cpython=CPYTHON,
                target=TRIPLE,
                flavour=word(FlavourKind),
                llvm=LLVM,
                vendor=text(),
                content=CONTENT,
                passed=flag(),
                unstable=each(text(), "What depends on a variation."),
                unexpected=each(text(), "What the ledger does not expect."),
                varied=TEXTS,
                not_varied=each(text(), "Variations that this machine does not allow."),
                seconds=number(),
            )
        ),
    ),
    "rules": answer("audit --rules", rules=each(record(rule=text(), refs=text(), why=text()))),
    "verify": answer(
        "verify",
        "witness",
        accepted=flag("Whether everything is accepted."),
        verdicts=each(
            record(
                subject=text(),
                accepted=flag(),
                scope=word(Scope, "Whether anything independent was compared, or it only agrees with itself."),
                stamp=text("What line 1 must be for the tree; empty if no tree was named."),
                digests=by_name(text()),
                checks=each(record(kind=word(Kind), status=word(Status), what=text(), details=TEXTS)),
            )
        ),
    ),
}
