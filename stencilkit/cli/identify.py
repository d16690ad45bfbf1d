"""`stencilkit identify`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit.cli import _identified, _options
from stencilkit.errors import ExitCode, PolicyError, UsageError
from stencilkit.identify import policy
from stencilkit.pipeline import admitting, identifying
from stencilkit.support import files


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, type=_options.ANY_PATH)
@click.option(
    *("-p", "--pid", "numbers"),
    type=int,
    metavar="PID",
    multiple=True,
    help="Identify the Python that runs in this process. Repeatable.",
)
@_options.shared("--ledger", help="Ledger with signatures to look for. [default: those that come with stencilkit]")
@_options.shared(
    "--against",
    multiple=True,
    help="Header or output folder with stencils to look for. Without --ledger, only these.",
)
@_options.shared("--policy", "rules", metavar="FILE", help="Policy file: what is enough. [default: identified]")
@_options.format_option("text", "json", "markdown", "junit")
def command(
    paths: tuple[Path, ...],
    numbers: tuple[int, ...],
    ledger: Path | None,
    against: tuple[Path, ...],
    rules: Path | None,
    form: str,
) -> int:
    """Find out which stencils a Python contains: from which CPython, made by which LLVM.

    PATH is a program or library (ELF, PE, Mach-O), a package (.deb, .rpm, .whl, .conda, .apk, .zip, .tar.*), or a
    folder. Exits with 0 if every Python that was found is identified, or accepted by --policy, 1 if one is not.
    """
    everything = [*paths, *(path for number in numbers for path in identifying.running(number))]
    if not everything:
        raise UsageError("nothing was named", fix="name a program, a package or a folder, or a process with --pid")
    demanded = _policy(rules)
    known = identifying.known(ledger, admitting.each(against))
    answers = [identifying.run(path, known) for path in everything]
    refused = [[identifying.refusals(item, demanded, ledger) for item in answer.found] for answer in answers]
    _identified.show(answers, refused, form)
    if any(answer.problems for answer in answers):
        return ExitCode.TROUBLE
    good = [not reasons for answer in refused for reasons in answer]
    return ExitCode.OK if good and all(good) else ExitCode.DIFFERENT


def _policy(path: Path | None) -> policy.Policy:
    if path is None:
        return policy.Policy()
    fix = "give --policy a file as the page about identify in the documentation describes it"
    return policy.parse(files.read_text(path, error=PolicyError, fix=fix), str(path))
