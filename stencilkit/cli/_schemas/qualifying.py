"""What `qualify` and `report` answer, and the files that they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stencilkit import report, results
from stencilkit.cli._schemas.shapes import (
    Format,
    Schema,
    answer,
    by_name,
    count,
    each,
    file,
    flag,
    number,
    or_null,
    record,
    sha256,
    text,
    typed,
    word,
)
from stencilkit.cli._schemas.vocabulary import CPYTHON, LLVM, PAGE, SIZES, TEXTS, TRIPLE
from stencilkit.model.comparison import Likeness
from stencilkit.model.qualification import Depth
from stencilkit.model.qualification import Name as Question
from stencilkit.model.qualification import Outcome as Answered
from stencilkit.model.qualification import Verdict as Qualified
from stencilkit.model.target import Kind as FlavourKind

_AMOUNT: Final = record(stencils=count(), code=count("Bytes."), data=count("Bytes."))
_CELL: Final[Mapping[str, Schema]] = {
    "stencilkit": text("The version that asked."),
    "cell": record(cpython=CPYTHON, llvm=LLVM, target=TRIPLE, flavour=word(FlavourKind)),
    "depth": word(Depth, "How much was asked."),
    "verdict": word(Qualified),
    "finished": flag("False where something that is not the stencils' fault stood in the way."),
    "checks": each(record(name=word(Question), outcome=word(Answered), figure=text(), reason=text())),
    "pinned": flag("Whether CPython's own generator asks for this LLVM."),
    "vendor": text(),
    "content": sha256("The content digest; empty where nothing was built.", absent=True),
    "sizes": or_null(_AMOUNT),
    "reference": text("The LLVM whose stencils these are compared with; empty if there were none."),
    "before": or_null(_AMOUNT),
    "identical": or_null(count("Stencils that equal those of the reference.")),
    "deviations": each(record(what=text(), why=text(), cost=text())),
}
_DIFFERING: Final = record(
    "A stencil that is not the reference's.",
    name=text(),
    likeness=word(Likeness),
    code=SIZES,
    data=SIZES,
    rows=each(
        typed("array", "", prefixItems=[text(), text(), flag()], minItems=3, maxItems=3),
        "Both listings, aligned: two lines, and whether they are the same.",
    ),
    holes=TEXTS,
    symbols=TEXTS,
    data_bytes=TEXTS,
    proof=text("What `stencilkit prove` says; empty where it was not asked."),
    why=text("What it adds."),
)
ANSWERS: Final[Mapping[str, Format]] = {
    "qualification": answer(
        "qualify",
        "report",
        cells=each(
            record(
                "What came of one CPython with one LLVM for one target.",
                **_CELL,
                why=text("What decided the verdict."),
                differing=each(text(), "Names of the stencils that differ."),
            )
        ),
    )
}
FILES: Final[Mapping[str, Format]] = {
    "results": file(
        "results.json of a folder of `stencilkit qualify`: whose results are in it.",
        results.SCHEMA,
        stencilkit=text("The version that wrote them; another one refuses to go on with them."),
    ),
    "cell": file(
        "The result of one cell, in a folder of `stencilkit qualify`.",
        results.SCHEMA,
        **_CELL,
        differing=each(_DIFFERING),
        inputs=text("A digest of all that the cell was about; where it is another one, --resume does the cell again."),
        seconds=by_name(number(), "How long each check took."),
        speed=by_name(number(), "Time with the JIT off over time with it on, by LLVM; a geometric mean."),
    ),
    "report": file(
        "site.json of a report: every cell.",
        report.SCHEMA,
        cells=each(record(**_CELL, why=text("What decided the verdict."), page=PAGE)),
    ),
    "report-plots": file(
        "plots.json of a report: the numbers behind the plots.",
        report.SCHEMA,
        plots=each(
            record(
                title=text(),
                unit=text(),
                llvms=each(LLVM),
                lines=by_name(each(or_null(number())), "A value for each LLVM, null where none is known."),
            )
        ),
    ),
    "report-cell": file(
        "What the page of a cell shows, beside that page.",
        report.SCHEMA,
        **_CELL,
        why=text("What decided the verdict."),
        page=PAGE,
        differing=each(record(name=text(), likeness=word(Likeness), code=SIZES, data=SIZES, proof=text(), page=PAGE)),
    ),
    "report-stencil": file(
        "What the page of a stencil shows, beside that page.",
        report.SCHEMA,
        cells=each(PAGE, "Where it differs so."),
        stencil=_DIFFERING,
    ),
}
