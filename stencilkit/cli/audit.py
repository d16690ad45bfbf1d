"""`stencilkit audit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from stencilkit import audit
from stencilkit.cli import _options, _progress, _render
from stencilkit.errors import ExitCode, PolicyError, UsageError
from stencilkit.model.audit import Audit, Finding
from stencilkit.pipeline import auditing, surveying
from stencilkit.support import files, limits, suggest, words

_SHOWN: Final = 5
# What an LLVM update may cost unnoticed, in percent.
_GROWTH: Final = 2.0


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, type=_options.ANY_PATH)
@click.option(
    "--waive",
    type=_options.ANY_PATH,
    metavar="FILE",
    help="File of accepted findings, each with a reason and an end date.",
)
@click.option(
    "--demand", "demanded", multiple=True, metavar="RULE", help="Fail if this rule notes anything. Repeatable."
)
@_options.shared("--against", help="Stencils that these replace, for the rule growth.")
@click.option("--growth", type=float, metavar="PERCENT", help="Accepted growth over --against. [default: 2]")
@_options.shared("--target", "triple")
@click.option(
    "--isa",
    default="",
    metavar="NAME",
    help="Instruction set that the code may need, such as x86-64-v3. [default: the target's]",
)
@_options.shared("--cpython", help="Check that this source's uops reach the names that the stencils use.")
@_options.shared(
    "--ledger", type=_options.ANY_PATH, help="Check that the stencils use the names that this ledger expects."
)
@click.option("--rules", is_flag=True, help="List the rules and where they come from, and exit.")
@_options.format_option("text", "json", "markdown")
def command(
    paths: tuple[Path, ...],
    waive: Path | None,
    demanded: tuple[str, ...],
    against: Path | None,
    growth: float | None,
    triple: str | None,
    isa: str,
    cpython: str | None,
    ledger: Path | None,
    rules: bool,
    form: str,
) -> int:
    """Check headers or output folders for what stencils must not contain.

    A folder with output folders below it stands for all of them.

    Exits with 0 if no rule failed, 1 if one did.
    """
    if rules:
        _rules(form)
        return ExitCode.OK
    if not paths:
        raise UsageError("nothing was given to audit", fix="name headers or output folders")
    names = {rule.name for rule in audit.RULES}
    for name in demanded:
        if name not in names:
            near = suggest.question(suggest.nearest(name, sorted(names)))
            raise UsageError(f"there is no rule {name}", fix=near or f"there are {', '.join(sorted(names))}")
    if growth is not None and against is None:
        raise UsageError("--growth needs --against", fix="name the stencils that these replace")
    allowed = _GROWTH if growth is None else growth
    # Not "< 0": nan would pass everything.
    if not allowed >= 0:
        raise UsageError(f"--growth {growth} is not a percentage", fix="give one like 2 or 0.5")
    fix = "give --waive a file as the page about audit in the documentation describes it"
    text = files.read_text(waive, error=PolicyError, limit=limits.MANIFEST, fix=fix) if waive is not None else ""
    waivers = audit.parse_waivers(text, str(waive)) if waive is not None else ()
    tree = _options.open_tree(cpython, _progress.choose(form)) if cpython else None
    asked = auditing.Asked(
        waivers=waivers,
        demanded=demanded,
        against=against,
        growth=allowed,
        triple=triple,
        isa=isa,
        tree=tree,
        expected=ledger,
    )
    found = [auditing.run(path, asked) for given in paths for path in surveying.demand(given)]
    if form == "json":
        answer = {"passed": all(item.passed for item in found), "audits": [_as_json(item) for item in found]}
        _render.print_json("audit", answer)
    else:
        for item in found:
            _render.say_lines(_markdown(item) if form == "markdown" else _text(item))
    return ExitCode.OK if all(item.passed for item in found) else ExitCode.DIFFERENT


def _rules(form: str) -> None:
    if form == "json":
        rows = [{"rule": rule.name, "refs": rule.refs, "why": rule.why} for rule in audit.RULES]
        _render.print_json("rules", {"rules": rows})
    elif form == "markdown":
        _render.say("| Rule | Why | From |\n| --- | --- | --- |")
        for rule in audit.RULES:
            _render.say(f"| `{rule.name}` | {rule.why} | {rule.refs} |")
    else:
        _render.print_table(["rule", "why", "from"], [[rule.name, rule.why, rule.refs] for rule in audit.RULES])


def _text(item: Audit) -> Iterator[_render.Line]:
    yield f"{item.subject}: ", _render.Word("passed" if item.passed else "FAILED")
    for result in item.results:
        count = words.counted(len(result.findings), "finding") if result.findings else ""
        padding = " " * (9 - len(result.outcome))
        yield "  ", _render.Word(result.outcome), f"{padding}  {result.rule:16}  {count}".rstrip()
        yield from (f"{'':31}{line}" for line in _findings(result.findings))
        if result.outcome == "failed":
            yield f"{'':31}({result.why}; {result.refs})"
    yield from (f"  note: {line}" for line in item.stale)


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings[:_SHOWN]:
        waived = f"; waived: {finding.waived}" if finding.waived else ""
        yield f"{finding.stencil or 'the header'}: {finding.what}{waived}"
    if len(findings) > _SHOWN:
        yield f"and {len(findings) - _SHOWN} more (--format json lists all)"


def _markdown(item: Audit) -> Iterator[str]:
    yield f"### `{item.subject}`: {'passed' if item.passed else 'failed'}\n\n| Rule | | Findings | From |"
    yield "| --- | --- | --- | --- |"
    for result in item.results:
        lines = "<br>".join(line.replace("|", "\\|") for line in _findings(result.findings))
        yield f"| {result.rule} | {result.outcome} | {lines} | {result.refs} |"
    yield from (f"\n* {line}" for line in item.stale)


def _as_json(item: Audit) -> dict[str, Any]:
    return {
        "subject": item.subject,
        "passed": item.passed,
        "stale_waivers": list(item.stale),
        "rules": [
            {
                "rule": result.rule,
                "outcome": result.outcome,
                "refs": result.refs,
                "findings": [
                    {"stencil": finding.stencil, "what": finding.what, "waived": finding.waived}
                    for finding in result.findings
                ],
            }
            for result in item.results
        ],
    }
