"""`stencilkit identify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from stencilkit.cli import _options, _render
from stencilkit.errors import ExitCode, UsageError
from stencilkit.model.signature import Coverage, Identification, Missing
from stencilkit.pipeline import admitting, identifying

_SHOWN = 8


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, type=_options.ANY_PATH)
@click.option(
    "-p", "--pid", "numbers", type=int, multiple=True, help="Identify the Python that runs in this process. Repeatable."
)
@_options.shared("--ledger", help="Ledger with signatures to look for. [default: those that come with stencilkit]")
@_options.shared(
    "--against",
    multiple=True,
    help="Header or output folder with stencils to look for. Without --ledger, only these.",
)
@_options.format_option("text", "json", "markdown")
def command(
    paths: tuple[Path, ...], numbers: tuple[int, ...], ledger: Path | None, against: tuple[Path, ...], form: str
) -> int:
    """Find out which stencils a Python contains: of which CPython, made with which LLVM.

    PATH is a program or library (ELF, PE, Mach-O), a package (.deb, .rpm, .whl, .conda, .apk, .zip, .tar.*), or a
    folder. Exits with 0 if every Python that was found is identified, with 1 if one is not.
    """
    everything = [*paths, *(path for number in numbers for path in identifying.running(number))]
    if not everything:
        raise UsageError("nothing was named", fix="name a program, a package or a folder, or a process with --pid")
    known = identifying.known(ledger, admitting.each(against))
    answers = [identifying.run(path, known) for path in everything]
    if form == "json":
        _render.print_json("identify", {"answers": [_answer_as_json(answer) for answer in answers]})
    else:
        for answer in answers:
            _render.say_lines(_answer(answer, markdown=form == "markdown"))
    if any(answer.problems for answer in answers):
        return ExitCode.TROUBLE
    found = [item for answer in answers for item in answer.found]
    return ExitCode.OK if found and all(item.verdict == "identified" for item in found) else ExitCode.DIFFERENT


def _answer(answer: identifying.Answer, *, markdown: bool) -> Iterator[_render.Line]:
    for item in answer.found:
        yield f"{'### ' if markdown else ''}{item.program.label}: ", _render.Word(item.verdict)
        yield from (f"{'* ' if markdown else '  '}{line}" for line in _lines(item))
    yield from answer.problems
    if not answer.found:
        yield f"{answer.path}: no CPython among {answer.members} files"


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
    return f"{coverage.stencils} of {coverage.of_stencils} stencils, {coverage.size} of {coverage.of_size} bytes"


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


def _answer_as_json(answer: identifying.Answer) -> dict[str, Any]:
    return {
        "path": str(answer.path),
        "files": answer.members,
        "problems": list(answer.problems),
        "pythons": [_as_json(item) for item in answer.found],
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
