"""`stencilkit prove`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from stencilkit.cli import _options, _progress, _render
from stencilkit.errors import ExitCode, PolicyError
from stencilkit.model.proof import Proof, Proofs, Verdict
from stencilkit.pipeline import proving
from stencilkit.prove import BUDGET, RUNS, assumptions, policy
from stencilkit.support import environ, files, junit
from stencilkit.support.junit import Case, Suite

_QUIET: Final = (Verdict.IDENTICAL, Verdict.PROVED)


@click.command()
@click.argument("paths", metavar="A B [C...]", nargs=-1, type=_options.ANY_PATH)
@click.option(
    "--self",
    "itself",
    is_flag=True,
    help="Prove every stencil of A against itself, to see whether all of it is modelled.",
)
@click.option("--uop", "uops", metavar="NAME", multiple=True, help="Prove only this stencil. Repeatable.")
@click.option("--assume", metavar="FACT", multiple=True, help="Accept proofs that need this fact. Repeatable.")
@_options.shared("--policy", "rules", metavar="FILE", help="Policy file: what else is accepted, with reasons.")
@click.option(
    "--budget",
    type=click.IntRange(min=1),
    default=BUDGET,
    metavar="UNITS",
    help="Work that z3 may do for one stencil, in its own units.",
)
@_options.shared("--jobs", help="Proofs to run at once. [default: one per processor]")
@click.option("--no-replay", is_flag=True, help="Do not run unproved stencils in unicorn.")
@_options.shared("--no-cache", help="Do not use the cache of proofs.")
@_options.shared("--target", "triple")
@_options.shared("--ledger", help="Ledger that says what is proved, to compare with.")
@_options.shared("--update", help="Write what was proved to the ledger, for review.")
@click.option("--assumptions", "listed", is_flag=True, help="List everything that proofs take for granted.")
@_options.format_option("text", "json", "markdown", "junit")
def command(
    paths: tuple[Path, ...],
    itself: bool,
    uops: tuple[str, ...],
    assume: tuple[str, ...],
    rules: Path | None,
    budget: int,
    jobs: int | None,
    no_replay: bool,
    no_cache: bool,
    triple: str | None,
    ledger: Path | None,
    update: bool,
    listed: bool,
    form: str,
) -> int:
    """Prove that the stencils of B do the same as those of A although their code differs.

    Exits with 0 if every stencil is identical or proved, 1 if one is not. With --ledger, it exits with 0 if every
    answer matches the ledger.
    """
    if listed:
        _assumptions(form)
        return ExitCode.OK
    accepted = _policy(assume, rules)
    request = proving.Request(
        uops=uops,
        budget=budget,
        runs=0 if no_replay else RUNS,
        jobs=jobs or environ.cpus(),
        triple=triple,
        itself=itself,
        ledger=ledger,
        update=update,
    )
    found = proving.run(paths, request, store=_options.store(use=not no_cache), progress=_progress.choose(form))
    if ledger is None:
        good = all(accepted.accepts(proof) for item in found for proof in item.proofs)
    else:
        good = not any(item.unlike for item in found)
    if form == "json":
        _render.print_json("proofs", {"proved": good, "pairs": [_as_json(item, accepted) for item in found]})
    elif form == "junit":
        _render.say(_junit(found, accepted))
    else:
        for item in found:
            _render.say_lines(_account(item, accepted, form))
    return ExitCode.OK if good else ExitCode.DIFFERENT


def _policy(assume: tuple[str, ...], rules: Path | None) -> policy.Policy:
    named = policy.of_names(assume)
    if rules is None:
        return named
    fix = "give --policy a file as the page about prove in the documentation describes it"
    read = policy.parse(files.read_text(rules, error=PolicyError, fix=fix), str(rules))
    return policy.Policy(facts=named.facts | read.facts, agreed=read.agreed)


def _assumptions(form: str) -> None:
    rows = assumptions.ASSUMPTIONS
    if form == "json":
        content = [{"name": row.name, "text": row.text, "source": row.source, "optional": row.optional} for row in rows]
        _render.print_json("assumptions", {"assumptions": content, "digest": proving.prover()})
        return
    table = [[row.name, "only with --assume" if row.optional else "always", row.text, row.source] for row in rows]
    head = ["name", "when", "what", "source"]
    if form == "markdown":
        _render.say(_render.markdown_table(head, table))
    else:
        for name, when, text, source in table:
            _render.say(f"{name} ({when})\n    {text}\n    source: {source}")


def _summary(item: Proofs) -> str:
    counts = Counter(proof.verdict for proof in item.proofs)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])


def _account(item: Proofs, accepted: policy.Policy, form: str) -> Iterator[_render.Line]:
    mark = "## " if form == "markdown" else ""
    yield f"{mark}{item.first} -> {item.second}"
    yield f"CPython {item.series}, {item.triple}: {_summary(item)}"
    yield f"prover and assumptions: {item.assumptions[:16]}"
    yield from (f"not as the ledger says: {line}" for line in item.unlike)
    for proof in item.proofs:
        if proof.verdict not in _QUIET:
            word = proof.verdict.value
            rest = _verdict(proof, accepted).removeprefix(word)
            yield f"{'* ' if form == 'markdown' else '  '}{proof.name}: ", _render.Word(word), rest
            yield from (f"      {line}" for line in _difference(proof))


def _verdict(proof: Proof, accepted: policy.Policy) -> str:
    text = f"{proof.verdict.value} {', '.join(proof.facts)}".rstrip() + (f" ({proof.why})" if proof.why else "")
    return f"{text}; accepted" if accepted.accepts(proof) else text


def _difference(proof: Proof) -> Iterator[str]:
    found = proof.difference
    if found is not None:
        yield f"{found.what}, at {found.places[0]:#x} and {found.places[1]:#x}:"
        for letter, text, listing in zip("AB", (found.left, found.right), found.listings, strict=True):
            yield f"{letter}  {text}"
            yield from (f"   {line}" for line in listing)


def _as_json(item: Proofs, accepted: policy.Policy) -> dict[str, Any]:
    return {
        "first": item.first,
        "second": item.second,
        "cpython": item.series,
        "triple": item.triple,
        "assumptions": item.assumptions,
        "unlike_ledger": list(item.unlike),
        "proofs": [
            {
                "name": proof.name,
                "verdict": proof.verdict.value,
                "accepted": accepted.accepts(proof),
                "why": proof.why,
                "facts": list(proof.facts),
                "difference": list(_difference(proof)),
                "runs": proof.runs,
                "spent": proof.spent,
            }
            for proof in item.proofs
        ],
    }


def _junit(found: Sequence[Proofs], accepted: policy.Policy) -> str:
    return junit.render(
        [
            Suite(
                name=f"{item.first} -> {item.second}",
                cases=tuple(_case(proof, accepted) for proof in item.proofs),
            )
            for item in found
        ]
    )


def _case(proof: Proof, accepted: policy.Policy) -> Case:
    if accepted.accepts(proof):
        return Case(group="stencilkit.prove", name=proof.name)
    message, text = _verdict(proof, accepted), "\n".join(_difference(proof))
    return Case(group="stencilkit.prove", name=proof.name, failure=message, text=text)
