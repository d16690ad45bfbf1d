"""The shape of every answer of --format json, and of the JSON files of qualify and report: what a program may rely on.

docs/json_schemas.py publishes them as JSON Schemas (docs/schemas), and the tests validate every answer that
any of them sees. While "schema" stays what it is, fields may be added; none is removed, or changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from stencilkit import report, results
from stencilkit.cli import _render
from stencilkit.model.audit import RuleOutcome
from stencilkit.model.build import Driver, HeaderOrigin
from stencilkit.model.comparison import Likeness
from stencilkit.model.proof import Verdict as Proved
from stencilkit.model.qualification import Depth
from stencilkit.model.qualification import Name as Question
from stencilkit.model.qualification import Outcome as Answered
from stencilkit.model.qualification import Verdict as Qualified
from stencilkit.model.signature import Verdict as Identified
from stencilkit.model.stencil import HoleValue, PatchForm
from stencilkit.model.target import Flavour, ObjectFormat, PyConfigSource
from stencilkit.model.target import Kind as FlavourKind
from stencilkit.model.testing import Entered, Outcome, Suite
from stencilkit.model.toolchain import Origin
from stencilkit.model.verdict import Kind, Scope, Status

Schema = Mapping[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _typed(kind: str, means: str, **more: object) -> Schema:
    return {"type": kind, **more, **({"description": means} if means else {})}


def _text(means: str = "") -> Schema:
    return _typed("string", means)


def _flag(means: str = "") -> Schema:
    return _typed("boolean", means)


def _count(means: str = "", **more: object) -> Schema:
    return _typed("integer", means, **({"minimum": 0} | more))


def _number(means: str = "") -> Schema:
    return _typed("number", means)


def _sha256(means: str, *, absent: bool = False) -> Schema:
    return _typed("string", means, pattern="^([0-9a-f]{64})?$" if absent else "^[0-9a-f]{64}$")


def _word(words: object, means: str = "", *, absent: bool = False) -> Schema:
    known = list(get_args(words)) if not isinstance(words, list) else words
    return {"enum": [*known, *([""] if absent else [])], **({"description": means} if means else {})}


def _each(item: Schema, means: str = "") -> Schema:
    return _typed("array", means, items=item)


def _by_name(item: Schema, means: str = "") -> Schema:
    return _typed("object", means, additionalProperties=item)


def _or_null(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "null"}]}


def _record(means: str = "", /, **fields: Schema) -> Schema:
    return _typed("object", means, properties=fields, required=list(fields))


_TEXTS: Final = _each(_text())
_PATH: Final = _text("A path on this machine.")
_PAGE: Final = _text("A page, by its path below the folder of the report; its JSON is beside it.")
_TRIPLE: Final = _text("A canonical triple; `stencilkit targets` lists them.")
_SERIES: Final = _text('A minor version of CPython, as in "3.14".')
_CPYTHON: Final = _text('A CPython, as in "3.14.7".')
_LLVM: Final = _text('An LLVM, as in "19.1.7".')
_CONTENT: Final = _sha256("Digest of code, data and holes of all stencils (docs/digests.md).")
_DESCRIBED: Final[Mapping[str, Schema]] = {
    "cpython": _CPYTHON,
    "target": _TRIPLE,
    "flavour": _word(FlavourKind),
    "llvm": _LLVM,
    "vendor": _text("The first line of `clang --version`."),
    "driver": _word(Driver, "How units were compiled."),
    "headers": _word(HeaderOrigin, "Where the C library's headers came from."),
    "content_digest": _CONTENT,
    "input_digest": _text("Line 1 of the header: what CPython's build compares."),
    "interface_digest": _sha256("Digest of uops, patch functions and symbols."),
    "stencils": _count("How many stencils there are."),
    "code_bytes": _count(),
    "data_bytes": _count(),
    "files": _by_name(_sha256("SHA-256 of the file."), "The files beside the manifest, by name."),
}
_SIDE: Final = _record(
    "One header.",
    label=_text("The path as it was given."),
    made_by=_text("The generator, as line 2 names it."),
    cpython=_SERIES,
    triple=_TRIPLE,
    stencils=_count(),
    code=_count("Bytes."),
    data=_count("Bytes."),
    line1=_text(),
    content=_text("The content digest, where it is known."),
    interface=_text("The interface digest."),
)
_SIZES: Final = _each(_or_null(_count()), "Bytes before and after; null where there is none.")
_AMOUNT: Final = _record(stencils=_count(), code=_count("Bytes."), data=_count("Bytes."))
_CELL: Final[Mapping[str, Schema]] = {
    "stencilkit": _text("The version that asked."),
    "cell": _record(cpython=_CPYTHON, llvm=_LLVM, target=_TRIPLE, flavour=_word(FlavourKind)),
    "depth": _word(Depth, "How much was asked."),
    "verdict": _word(Qualified),
    "finished": _flag("False where something that is not the stencils' fault stood in the way."),
    "checks": _each(_record(name=_word(Question), outcome=_word(Answered), figure=_text(), reason=_text())),
    "pinned": _flag("Whether CPython's own generator asks for this LLVM."),
    "vendor": _text(),
    "content": _sha256("The content digest; empty where nothing was built.", absent=True),
    "sizes": _or_null(_AMOUNT),
    "reference": _text("The LLVM whose stencils these are compared with; empty if there were none."),
    "before": _or_null(_AMOUNT),
    "identical": _or_null(_count("Stencils that equal those of the reference.")),
    "deviations": _each(_record(what=_text(), why=_text(), cost=_text())),
}
_DIFFERING: Final = _record(
    "A stencil that is not the reference's.",
    name=_text(),
    likeness=_word(Likeness),
    code=_SIZES,
    data=_SIZES,
    rows=_each(
        _typed("array", "", prefixItems=[_text(), _text(), _flag()], minItems=3, maxItems=3),
        "Both listings, aligned: two lines, and whether they are the same.",
    ),
    holes=_TEXTS,
    symbols=_TEXTS,
    data_bytes=_TEXTS,
    proof=_text("What `stencilkit prove` says; empty where it was not asked."),
    why=_text("What it adds."),
)
_COVERAGE: Final = _record(
    "How much of some stencils is in a program.",
    cpython=_text(),
    target=_TRIPLE,
    flavour=_word(FlavourKind),
    llvm=_text('An LLVM, "" if it is not known.'),
    source=_text("Where the stencils came from, as it was named; empty for a ledger."),
    stencils=_count(),
    of_stencils=_count(),
    bytes=_count(),
    of_bytes=_count(),
    hidden=_count("Stencils that cannot be seen in any program."),
    missing=_each(
        _record(
            name=_text(),
            size=_count("Bytes."),
            offset=_count("Where other bytes are in its place, -1 if nowhere.", minimum=-1),
            differing=_each(_count(), "The bytes that differ, counted from 0."),
        )
    ),
)
_MODULE: Final = _record(
    "One run of a test module.",
    name=_text(),
    outcome=_word(Outcome),
    tests=_count(),
    skipped=_count(),
    failures=_TEXTS,
    executors=_count("The most that were alive at once."),
    code_bytes=_count(),
    seconds=_number(),
    tail=_text("The end of its output."),
    log=_PATH,
)
_HOLE: Final = _record(
    offsets=_each(_count()),
    function=_text("The patch function; empty where none is called."),
    form=_word([form.value for form in PatchForm], "How the arguments of the call are spelt."),
    value=_word([value.value for value in HoleValue]),
    symbol=_or_null(_text()),
    addend=_typed("integer", ""),
    call=_text("The call as the header has it."),
)
_PART: Final = _record(size=_count(), bytes=_text("Hexadecimal."), holes=_each(_HOLE))

# Kind -> the command that answers so, and the fields beside "schema" and "kind".
ANSWERS: Final[Mapping[str, tuple[str, Mapping[str, Schema]]]] = {
    "assumptions": (
        "prove --assumptions",
        {
            "assumptions": _each(_record(name=_text(), text=_text(), source=_text(), optional=_flag())),
            "digest": _sha256("Digest of the prover and its assumptions."),
        },
    ),
    "attestation": (
        "attest",
        {
            "path": _PATH,
            "sha256": _sha256("Digest of the file."),
            "what": _text("Which entry of the ledger was built."),
            "content": _CONTENT,
            "same": _flag("Whether the ledger expects what was built."),
        },
    ),
    "audit": (
        "audit",
        {
            "passed": _flag(),
            "audits": _each(
                _record(
                    subject=_text(),
                    passed=_flag(),
                    stale_waivers=_TEXTS,
                    rules=_each(
                        _record(
                            rule=_text("The rule's name; `audit --rules` lists them."),
                            outcome=_word(RuleOutcome),
                            refs=_text(),
                            findings=_each(
                                _record(
                                    stencil=_text("Empty for the header itself."),
                                    what=_text(),
                                    waived=_text("Why it is accepted; empty if it is not."),
                                )
                            ),
                        )
                    ),
                )
            ),
        },
    ),
    "builds": (
        "build",
        {
            "builds": _each(
                _record(
                    folder=_PATH,
                    **_DESCRIBED,
                    seconds=_number(),
                    changed=_flag("Whether anything on disk is another than before."),
                    notes=_each(_text(), "What was done the slow way."),
                    check_upstream=_or_null(
                        _record(
                            "What --check-upstream found; null where it was not asked.",
                            equal=_flag(),
                            uops=_count("How many uops were compared."),
                            of=_count("How many there are."),
                            seed=_text("What chose them; empty where all were compared."),
                            different=_each(_text(), "Uops that differ."),
                            files=_by_name(_flag("Whether it is the same.")),
                            allowed=_each(_record(what=_text(), why=_text()), "Differences that are known."),
                            programs=_by_name(_PATH),
                        )
                    ),
                )
            ),
            "universal": _each(_record(folder=_PATH, changed=_flag()), "Folders of universal platforms."),
        },
    ),
    "bundle": (
        "pack, inspect",
        {
            "path": _PATH,
            "sha256": _sha256("Digest of the bundle; empty for a folder.", absent=True),
            "stencils": _each(_record(**_DESCRIBED)),
        },
    ),
    "cache": (
        "cache info",
        {"folder": _PATH, "parts": _by_name(_record(files=_count(), bytes=_count()))},
    ),
    "comparison": (
        "compare",
        {
            "equal": _flag(),
            "pairs": _each(
                _record(
                    first=_SIDE,
                    second=_SIDE,
                    equal=_flag(),
                    counts=_typed(
                        "object", "Stencils by likeness.", propertyNames=_word(Likeness), additionalProperties=_count()
                    ),
                    line1_causes=_each(_text(), "Why line 1 differs."),
                    extras=_each(_text(), "What differs of the files beside the header."),
                    changes=_each(
                        _record(
                            name=_text(),
                            likeness=_word(Likeness),
                            code=_SIZES,
                            data=_SIZES,
                            instructions=_TEXTS,
                            holes=_TEXTS,
                            symbols=_TEXTS,
                            data_bytes=_TEXTS,
                        )
                    ),
                )
            ),
        },
    ),
    "doctor": (
        "doctor",
        {
            "checks": _each(
                _record(
                    job=_text(),
                    needs=_text(),
                    has=_text("Empty where it is missing."),
                    remedy=_text("What brings it."),
                )
            )
        },
    ),
    "gate": (
        "gate",
        {
            "disagreements": _each(_text(), "LLVMs of one version that do not make the same."),
            "written": _each(_PATH, "Entries of the ledger that were written."),
            "left": _each(_PATH, "Entries that were left as they are, because builds vary."),
            "outcomes": _each(
                _record(
                    cpython=_CPYTHON,
                    target=_TRIPLE,
                    flavour=_word(FlavourKind),
                    llvm=_LLVM,
                    vendor=_text(),
                    content=_CONTENT,
                    passed=_flag(),
                    unstable=_each(_text(), "What depends on a variation."),
                    unexpected=_each(_text(), "What the ledger does not expect."),
                    varied=_TEXTS,
                    not_varied=_each(_text(), "Variations that this machine does not allow."),
                    seconds=_number(),
                )
            ),
        },
    ),
    "identify": (
        "identify",
        {
            "answers": _each(
                _record(
                    path=_PATH,
                    files=_count("How many files were looked at."),
                    problems=_each(_text(), "What could not be read."),
                    pythons=_each(
                        _record(
                            label=_text(),
                            verdict=_word(Identified),
                            cpython=_text(),
                            format=_text(),
                            arch=_text(),
                            jit=_flag(),
                            jit_setting=_text(),
                            best=_each(_COVERAGE),
                            others=_each(_COVERAGE),
                            telling=_each(_text(), "Stencils that the best has and the others have not."),
                            protections=_by_name(_flag()),
                            notes=_TEXTS,
                            refused=_each(_text(), "Why it is not good enough: for the policy, or without one."),
                        )
                    ),
                )
            )
        },
    ),
    "install": (
        "install",
        {
            "accepted": _flag(),
            "files": _by_name(_flag(), "The files that were placed: whether each changed."),
            "make": _text("A variable to pass to make; empty if none is needed."),
            "notes": _TEXTS,
            "failed": _each(_text(), "The checks that failed."),
        },
    ),
    "pins": (
        "pins update",
        {
            "file": _PATH,
            "pins": _each(
                _record(
                    series=_SERIES,
                    before=_text("The release that was pinned before; empty for none."),
                    version=_CPYTHON,
                    sha256=_sha256("Digest of its tarball."),
                    vouched=_text("Where the hash came from; empty where that was not noted."),
                    changed=_flag(),
                    absent=_each(_CPYTHON, "Newer releases in a signed index whose tarballs no mirror has."),
                )
            ),
        },
    ),
    "proofs": (
        "prove",
        {
            "proved": _flag("Whether everything is accepted."),
            "pairs": _each(
                _record(
                    first=_text(),
                    second=_text(),
                    cpython=_SERIES,
                    triple=_TRIPLE,
                    assumptions=_sha256("Digest of the prover and its assumptions."),
                    unlike_ledger=_each(_text("Where the ledger of --ledger says something else.")),
                    proofs=_each(
                        _record(
                            name=_text(),
                            verdict=_word([verdict.value for verdict in Proved]),
                            accepted=_flag(),
                            why=_text(),
                            facts=_each(_text(), "Optional assumptions that the proof needs."),
                            difference=_each(_text(), "Where both sides do other things, as lines of text."),
                            runs=_count("Runs on random states that agreed."),
                            spent=_count("Units of work, in z3's terms."),
                        )
                    ),
                )
            ),
        },
    ),
    "qualification": (
        "qualify, report",
        {
            "cells": _each(
                _record(
                    "What came of one CPython with one LLVM for one target.",
                    **_CELL,
                    why=_text("What decided the verdict."),
                    differing=_each(_text(), "Names of the stencils that differ."),
                )
            )
        },
    ),
    "rules": ("audit --rules", {"rules": _each(_record(rule=_text(), refs=_text(), why=_text()))}),
    "source": ("fetch", {"version": _text(), "folder": _PATH}),
    "stencil": (
        "show",
        {
            "uop": _text(),
            "cpython": _SERIES,
            "content": _sha256("Digest of this stencil."),
            "code": _PART,
            "data": _PART,
            "disassembly": _TEXTS,
        },
    ),
    "targets": (
        "targets",
        {
            "targets": _each(
                _record(
                    triple=_TRIPLE,
                    spellings=_each(_text(), "Patterns of the spellings that mean it."),
                    universal=_text("The universal platform that this is a half of; empty if none."),
                    tier=_text(),
                    format=_word(ObjectFormat),
                    headers=_word(HeaderOrigin, "Where a build here finds headers; empty if nowhere.", absent=True),
                    pyconfig=_word(PyConfigSource),
                    cpython=_by_name(
                        _record(llvm=_text("A range of major versions."), upstream=_count("A major version.")),
                        "By minor version.",
                    ),
                )
            ),
            "refused": _each(_record(pattern=_text(), why=_text())),
        },
    ),
    "test": (
        "test",
        {
            "cpython": _CPYTHON,
            "triple": _TRIPLE,
            "flavour": _word(Flavour),
            "suite": _word(Suite),
            "configure": _TEXTS,
            "emulator": _text("Empty where the machine runs the code itself."),
            "verdicts": _each(
                _record(
                    llvm=_LLVM,
                    hardened=_flag(),
                    content_digest=_CONTENT,
                    placed=_TEXTS,
                    generator_ran=_flag(),
                    build_seconds=_number(),
                    proof=_record(
                        "Whether the JIT is there, and runs.",
                        available=_or_null(_flag()),
                        enabled=_or_null(_flag()),
                        entered=_or_null(_word(Entered)),
                        executors=_count(),
                        code_bytes=_count(),
                        uops=_TEXTS,
                        wrong=_each(_text(), "Exercises that gave wrong answers."),
                        ended=_text("How the process ended; empty if it answered."),
                    ),
                    modules=_each(
                        _record(
                            jit=_MODULE,
                            without=_or_null(_MODULE),
                            again=_or_null(_MODULE),
                            blamed=_TEXTS,
                            unsteady=_TEXTS,
                        )
                    ),
                    benchmarks=_by_name(_number("Seconds.")),
                    benchmark_failure=_text(),
                    good=_flag(),
                    blamed=_each(_text(), "Tests that fail because of the JIT."),
                    executors=_count(),
                )
            ),
            "off": _by_name(_number("Seconds with the JIT off.")),
            "folder": _PATH,
            "good": _flag(),
        },
    ),
    "toolchains": (
        "toolchains",
        {
            "toolchains": _each(
                _record(version=_LLVM, vendor=_text(), origin=_word(Origin), program=_PATH, lacks=_TEXTS)
            ),
            "rejected": _each(_record(program=_PATH, why=_text())),
        },
    ),
    "verify": (
        "verify, witness",
        {
            "accepted": _flag("Whether everything is accepted."),
            "verdicts": _each(
                _record(
                    subject=_text(),
                    accepted=_flag(),
                    scope=_word(Scope, "Whether anything independent was compared, or it only agrees with itself."),
                    stamp=_text("What line 1 must be for the tree; empty if no tree was named."),
                    digests=_by_name(_text()),
                    checks=_each(_record(kind=_word(Kind), status=_word(Status), what=_text(), details=_TEXTS)),
                )
            ),
        },
    ),
}


# Kind -> what the file is, the number of its schema, and the fields beside "schema" and "kind".
FILES: Final[Mapping[str, tuple[str, int, Mapping[str, Schema]]]] = {
    "results": (
        "results.json of a folder of `stencilkit qualify`: whose results are in it.",
        results.SCHEMA,
        {"stencilkit": _text("The version that wrote them; another one refuses to go on with them.")},
    ),
    "cell": (
        "The result of one cell, in a folder of `stencilkit qualify`.",
        results.SCHEMA,
        {
            **_CELL,
            "differing": _each(_DIFFERING),
            "seconds": _by_name(_number(), "How long each check took."),
            "speed": _by_name(_number(), "Time with the JIT off over time with it on, by LLVM; a geometric mean."),
        },
    ),
    "report": (
        "site.json of a report: every cell.",
        report.SCHEMA,
        {"cells": _each(_record(**_CELL, why=_text("What decided the verdict."), page=_PAGE))},
    ),
    "report-plots": (
        "plots.json of a report: the numbers behind the plots.",
        report.SCHEMA,
        {
            "plots": _each(
                _record(
                    title=_text(),
                    unit=_text(),
                    llvms=_each(_LLVM),
                    lines=_by_name(_each(_or_null(_number())), "A value for each LLVM, null where none is known."),
                )
            )
        },
    ),
    "report-cell": (
        "What the page of a cell shows, beside that page.",
        report.SCHEMA,
        {
            **_CELL,
            "why": _text("What decided the verdict."),
            "page": _PAGE,
            "differing": _each(
                _record(name=_text(), likeness=_word(Likeness), code=_SIZES, data=_SIZES, proof=_text(), page=_PAGE)
            ),
        },
    ),
    "report-stencil": (
        "What the page of a stencil shows, beside that page.",
        report.SCHEMA,
        {"cells": _each(_PAGE, "Where it differs so."), "stencil": _DIFFERING},
    ),
}


def document(kind: str) -> Schema:
    """Return the JSON Schema of an answer or of a file, as it is published.

    Raises: KeyError for a kind that there is not.
    """
    if kind in FILES:
        means, number, fields = FILES[kind]
    else:
        command, fields = ANSWERS[kind]
        means, number = f"What `stencilkit {command} --format json` prints.", _render.SCHEMA
    head: dict[str, Schema] = {"schema": {"const": number}, "kind": {"const": kind}}
    return {"$schema": DIALECT, "title": f"stencilkit {kind}", **_record(means, **head, **fields)}


def closed(schema: Schema) -> Schema:
    """Return the same without room for fields that it does not name."""
    found = {key: _closed(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if "properties" in schema else found


def _closed(value: object) -> object:
    if isinstance(value, Mapping):
        return closed(value)
    return [_closed(item) for item in value] if isinstance(value, list) else value
