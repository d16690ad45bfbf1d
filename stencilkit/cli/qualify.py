"""`stencilkit qualify`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, get_args

import click

from stencilkit.cli import _board, _cells, _options, _progress, _render
from stencilkit.errors import ExitCode, ResultError, UsageError
from stencilkit.model.qualification import DEPTHS, Depth, Result
from stencilkit.model.target import Flavour
from stencilkit.pipeline import clustering, matrix, planning, requesting, scheduling
from stencilkit.support import environ

# What --format github depends on: it prints which cells there are.
_OF_THE_MATRIX: Final = ("sources", "llvm", "patterns", "wheels", "form")


@click.command()
@_options.shared("--cpython", "sources", multiple=True, help="The source. Repeatable. [default: the current folder]")
@_options.shared("--llvm", metavar="VERSIONS", help="Versions such as 18..23 or 19,21.1.0. [default: upstream's]")
@_options.shared(
    "--target",
    "patterns",
    multiple=True,
    help="A triple, a pattern such as *-linux-gnu, or all. Repeatable. [default: this machine]",
)
@_options.shared(
    "--flavour",
    type=click.Choice((*get_args(Flavour), "both")),
    default="release",
    show_default=True,
    help="Stencils for a CPython configured --with-pydebug (debug) or without.",
)
@click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    default="build",
    show_default=True,
    help="How much to ask: each depth asks what those before it ask.",
)
@_options.shared("--ledger")
@_options.shared("--pyconfig-dir")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    metavar="N",
    help="Compare N uops with what this tree's own generator makes, and vary the build of these alone where the whole "
    "is as the ledger says; 0: all of them.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster, such as tcp://host:8786.")
@_options.shared("--jobs", help="Cells to do at once on this machine. [default: one per processor]")
@_options.shared("--timeout", default=7200, metavar="SECONDS", help="Give up on a cell after this time.")
@_options.shared("--out", default=Path("qualified"), show_default=True, help="Folder of results.")
@click.option("--resume", is_flag=True, help="Keep the results in OUT, and do the cells that are missing.")
@_options.shared("--no-cache", help="Ask everything again; do not use answers of earlier runs.")
@_options.shared("--skip-missing")
@click.option("--wheels", is_flag=True, help="With --format github: only LLVMs that PyPI has.")
@_options.format_option("text", "json", "markdown", "github")
def command(
    sources: tuple[str, ...],
    llvm: str | None,
    patterns: tuple[str, ...],
    flavour: str,
    depth: Depth,
    ledger: Path | None,
    pyconfig_dir: Path | None,
    sample: int,
    scheduler: str | None,
    jobs: int | None,
    timeout: float,
    out: Path,
    resume: bool,
    no_cache: bool,
    skip_missing: bool,
    wheels: bool,
    form: str,
) -> int:
    """Decide which LLVM may be used for which CPython, for each target and flavour, with the evidence.

    Every cell of that matrix is built and checked, and its result is a file in OUT; `stencilkit report` makes web pages
    of them. --depth build checks that it builds, that the result is the same under variations, matches the ledger and
    this tree's own generator, and passes the audit. --depth prove also proves that stencils which differ from those of
    upstream's LLVM do the same. --depth run also builds a CPython on the stencils, and runs its tests and benchmarks.
    A check that was not made never counts as passed.

    --format github builds nothing. It prints the matrix on one line, for GitHub's `fromJSON`.

    Exits with 0 if every cell is qualified, 1 if one is not, 2 if one could not be finished.
    """
    if form == "github":
        _refuse_idle_options()
        _github(sources, llvm, patterns, wheels=wheels)
        return ExitCode.OK
    if wheels:
        raise UsageError("--wheels is for --format github", fix="leave it out")
    progress = _progress.choose(form)
    asked = planning.Asked(
        llvm=llvm,
        patterns=patterns or (requesting.native().triple,),
        flavours=get_args(Flavour) if flavour == "both" else (_flavour(flavour),),
        depth=depth,
        ledger=ledger,
        pyconfig=pyconfig_dir,
        sample=sample,
        jobs=environ.cpus(),
        cached=not no_cache,
        skip_missing=skip_missing,
    )
    trees = [_options.open_tree(source, progress) for source in sources or (None,)]
    planned = planning.plan(trees, asked, _options.store(), progress)
    request = scheduling.Run(folder=out, jobs=jobs or environ.cpus(), timeout=timeout, resume=resume)
    do = clustering.doer(scheduler) if scheduler is not None else None
    try:
        found = scheduling.run(planned, request, _board.choose(form), do)
    except KeyboardInterrupt:
        _progress.say("the cells that are done are kept; --resume does the others")
        raise
    _cells.show(found, form)
    return _end(found)


def _flavour(name: str) -> Flavour:
    (found,) = (flavour for flavour in get_args(Flavour) if flavour == name)
    return found  # type: ignore[no-any-return]  # get_args forgets


def _end(found: tuple[Result, ...]) -> ExitCode:
    """Conclude.

    Raises: ResultError where a cell could not be finished and none of the others failed.
    """
    open_ = [result for result in found if not result.finished]
    if any(result.verdict == "not qualified" for result in found):
        return ExitCode.DIFFERENT
    if open_:
        raise ResultError(
            f"{len(open_)} of {len(found)} cells could not be finished",
            where=open_[0].cell.label,
            details=open_[0].checks[0].reason,
            fix="fix that, and go on with --resume",
        )
    return ExitCode.OK


def _refuse_idle_options() -> None:
    """Refuse options that a matrix that is only printed does not depend on.

    Raises: UsageError.
    """
    context = click.get_current_context()
    given = (
        option.opts[0]
        for option in context.command.params
        if option.name not in _OF_THE_MATRIX
        and context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    )
    name = next(given, None)
    if name is not None:
        raise UsageError(f"{name} has no effect with --format github, which builds nothing", fix="leave it out")


def _github(sources: tuple[str, ...], llvm: str | None, patterns: tuple[str, ...], *, wheels: bool) -> None:
    rows: list[dict[str, Any]] = [
        asdict(cell)
        for cell in matrix.combinations(tuple("*" if pattern == "all" else pattern for pattern in patterns) or ("*",))
        if (cell.wheel or not wheels) and (not sources or cell.cpython in sources) and matrix.is_in(cell.llvm, llvm)
    ]
    if not rows:
        known = ", ".join(dict.fromkeys(cell.cpython for cell in matrix.combinations()))
        raise UsageError(
            f"the matrix is empty: its CPythons are {known}", fix="leave out some of --cpython, --llvm and --target"
        )
    _render.say(json.dumps({"include": rows}, separators=(",", ":")))
