"""What identify found, as text, JSON, markdown and JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from stencilkit.cli import _render
from stencilkit.model.signature import Coverage, Identification, Missing
from stencilkit.pipeline.identifying import Answer
from stencilkit.support import escape, junit, words
from stencilkit.support.junit import Case, Suite

_SHOWN: Final = 8
# The words of lines are padded to this.
_COLUMN: Final = 13
Refused = Sequence[Sequence[tuple[str, ...]]]
"""For each answer, for each of its Pythons: why the policy refuses it."""


def show(answers: Sequence[Answer], refused: Refused, form: str) -> None:
    """Print answers, each with why the policy refuses its Pythons."""
    pairs = list(zip(answers, refused, strict=True))
    if form == "json":
        _render.print_json("identify", {"answers": [_answer_as_json(answer, reasons) for answer, reasons in pairs]})
    elif form == "junit":
        _render.say(junit.render([_suite(answer, reasons) for answer, reasons in pairs]))
    else:
        for answer, reasons in pairs:
            _render.say_lines((_markdown if form == "markdown" else _text)(answer, reasons))


def _text(answer: Answer, refused: Sequence[tuple[str, ...]]) -> Iterator[_render.Line]:
    for item, reasons in zip(answer.found, refused, strict=True):
        yield f"{item.program.label}: ", _render.Word(item.verdict)
        yield from (f"  {line}" for line in _lines(item))
        yield from (f"  {'refused':{_COLUMN}}{reason}" for reason in reasons)
    yield from answer.problems
    if not answer.found:
        yield _nothing(answer)


def _markdown(answer: Answer, refused: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for item, reasons in zip(answer.found, refused, strict=True):
        yield from (f"### {escape.code(item.program.label)}: {item.verdict}", "", "| | |", "| --- | --- |")
        for line in _lines(item):
            yield f"| {line[:_COLUMN].rstrip()} | {escape.cell(line[_COLUMN:])} |"
        yield from (f"| refused | {escape.cell(reason)} |" for reason in reasons)
        yield ""
    yield from (f"* {escape.code(' '.join(problem.split()))}" for problem in answer.problems)
    if not answer.found:
        yield f"* {escape.cell(_nothing(answer))}"


def _suite(answer: Answer, refused: Sequence[tuple[str, ...]]) -> Suite:
    cases = [
        Case(
            group="stencilkit.identify",
            name=item.program.label,
            failure=f"{item.verdict}: {'; '.join(reasons)}" if reasons else None,
            text="\n".join(_lines(item)),
        )
        for item, reasons in zip(answer.found, refused, strict=True)
    ]
    failures = [*answer.problems, *([] if answer.found else [_nothing(answer)])]
    cases += [
        Case(group="stencilkit.identify", name=str(answer.path), failure=text.partition("\n")[0], text=text)
        for text in failures
    ]
    return Suite(name=str(answer.path), cases=tuple(cases))


def _nothing(answer: Answer) -> str:
    return f"{answer.path}: no CPython among {words.counted(answer.members, 'file')}"


def _lines(item: Identification) -> Iterator[str]:
    yield f"CPython      {item.python or 'it does not say which'}"
    yield f"target       {item.program.format} {item.program.arch or 'of an architecture without a JIT'}"
    setting = item.jit_setting or "nothing here says whether it is on"
    yield f"JIT          {f'built in; {setting}' if item.jit else 'not built in'}"
    for coverage in item.best:
        yield f"stencils     {coverage.candidate.made}"
    if item.best:
        yield f"found        {_coverage(item.best[0])}"
        yield from _missing(item.best[0].missing)
    if item.telling:
        yield f"telling      {_some(item.telling)}: not so in {item.others[0].candidate.made}"
    for coverage in item.others[:2]:
        yield f"less likely  {coverage.candidate.made}: {_coverage(coverage)}"
    if item.protections:
        yield "protections  " + ", ".join(f"{one.name} {'on' if one.on else 'off'}" for one in item.protections)
    for note in item.notes:
        yield f"note         {note}"


def _coverage(coverage: Coverage) -> str:
    stencils, size = words.counted(coverage.of_stencils, "stencil"), words.counted(coverage.of_size, "byte")
    return f"{coverage.stencils} of {stencils}, {coverage.size} of {size}"


def _missing(missing: Sequence[Missing]) -> Iterator[str]:
    for one in missing[:_SHOWN]:
        where = f"other bytes at offset {one.offset:#x}" if one.offset >= 0 else "nowhere"
        differing = f", differing from byte {one.differing[0]} on" if one.differing else ""
        yield f"missing      {one.name} ({one.size} bytes): {where}{differing}"
    if len(missing) > _SHOWN:
        yield f"missing      and {len(missing) - _SHOWN} more"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _answer_as_json(answer: Answer, refused: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    return {
        "path": str(answer.path),
        "files": answer.members,
        "problems": list(answer.problems),
        "pythons": [
            {**_as_json(item), "refused": list(reasons)} for item, reasons in zip(answer.found, refused, strict=True)
        ],
    }


def _as_json(item: Identification) -> dict[str, Any]:
    return {
        "label": item.program.label,
        "verdict": item.verdict,
        "cpython": item.python,
        "format": item.program.format,
        "arch": item.program.arch,
        "jit": item.jit,
        "jit_setting": item.jit_setting,
        "best": [_coverage_as_json(coverage) for coverage in item.best],
        "others": [_coverage_as_json(coverage) for coverage in item.others],
        "telling": list(item.telling),
        "protections": {one.name: one.on for one in item.protections},
        "notes": list(item.notes),
    }


def _coverage_as_json(coverage: Coverage) -> dict[str, Any]:
    made = coverage.candidate.made
    return {
        "cpython": made.cpython,
        "target": made.triple,
        "flavour": made.flavour,
        "llvm": made.llvm,
        "source": coverage.candidate.source,
        "stencils": coverage.stencils,
        "of_stencils": coverage.of_stencils,
        "bytes": coverage.size,
        "of_bytes": coverage.of_size,
        "hidden": coverage.hidden,
        "missing": [
            {"name": one.name, "size": one.size, "offset": one.offset, "differing": list(one.differing)}
            for one in coverage.missing
        ],
    }
