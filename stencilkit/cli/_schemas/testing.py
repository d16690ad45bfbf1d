"""What `test` answers."""

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
    or_null,
    record,
    text,
    word,
)
from stencilkit.cli._schemas.vocabulary import CONTENT, CPYTHON, LLVM, PATH, TEXTS, TRIPLE
from stencilkit.model.target import Flavour
from stencilkit.model.testing import Entered, Outcome, Suite

_MODULE: Final = record(
    "One run of a test module.",
    name=text(),
    outcome=word(Outcome),
    tests=count(),
    skipped=count(),
    failures=TEXTS,
    executors=count("The most that were alive at once."),
    code_bytes=count(),
    seconds=number(),
    tail=text("The end of its output."),
    log=PATH,
)
ANSWERS: Final[Mapping[str, Format]] = {
    "test": answer(
        "test",
        cpython=CPYTHON,
        triple=TRIPLE,
        flavour=word(Flavour),
        suite=word(Suite),
        configure=TEXTS,
        emulator=text("Empty where the machine runs the code itself."),
        verdicts=each(
            record(
                llvm=LLVM,
                hardened=flag(),
                content_digest=CONTENT,
                placed=TEXTS,
                generator_ran=flag(),
                build_seconds=number(),
                proof=record(
                    "Whether the JIT is there, and runs.",
                    available=or_null(flag()),
                    enabled=or_null(flag()),
                    entered=or_null(word(Entered)),
                    executors=count(),
                    code_bytes=count(),
                    uops=TEXTS,
                    wrong=each(text(), "Exercises that gave wrong answers."),
                    ended=text("How the process ended; empty if it answered."),
                ),
                modules=each(
                    record(jit=_MODULE, without=or_null(_MODULE), again=or_null(_MODULE), blamed=TEXTS, unsteady=TEXTS)
                ),
                benchmarks=by_name(number("Seconds.")),
                benchmark_failure=text(),
                good=flag(),
                blamed=each(text(), "Tests that fail because of the JIT."),
                executors=count(),
            )
        ),
        off=by_name(number("Seconds with the JIT off.")),
        folder=PATH,
        good=flag(),
    )
}
