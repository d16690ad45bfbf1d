"""Verdicts as text, JSON, markdown and JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stencilkit import verify
from stencilkit.cli import _render
from stencilkit.model.verdict import Check, Verdict
from stencilkit.support import escape

_MARKS: Final = {"passed": "ok", "noted": "note", "failed": "FAILED"}


def show(verdicts: Sequence[Verdict], form: str, *, quiet: bool) -> None:
    """Print verdicts; with `quiet`, text and markdown leave out what was accepted."""
    shown = [verdict for verdict in verdicts if not (quiet and verdict.accepted)]
    if form == "json":
        _render.print_json("verify", {"accepted": _all(verdicts), "verdicts": [_as_json(item) for item in verdicts]})
    elif form == "junit":
        _render.say(_junit(verdicts))
    else:
        for verdict in shown:
            _render.say_lines(_markdown(verdict) if form == "markdown" else _text(verdict))


def _all(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.accepted for verdict in verdicts)


def _words(verdict: Verdict) -> tuple[str, str]:
    """Return the verdict in one word, and what limits it."""
    if not verdict.accepted:
        return "refused", ""
    # What only accounts for other files has no digests, and was not to be compared.
    return "accepted", "" if verdict.scope == "compared" or not verdict.digests else f" ({verify.CONSISTENT})"


def _text(verdict: Verdict) -> list[_render.Line]:
    word, limit = _words(verdict)
    lines: list[_render.Line] = [(f"{verdict.subject}: ", _render.Word(word), limit)]
    for check in verdict.checks:
        mark = _MARKS[check.status]
        lines.append(("  ", _render.Word(mark), f"{'':{6 - len(mark)}}  {check.kind:9}  {check.what}"))
        lines += [f"{'':21}{line}" for detail in check.details for line in detail.splitlines()]
    lines += [f"  {name:10}  {value}" for name, value in verdict.digests.items()]
    if verdict.stamp:
        lines.append(f"  {'line 1':10}  {verdict.stamp}  (for this tree)")
    return lines


def _markdown(verdict: Verdict) -> list[str]:
    word = "".join(_words(verdict))
    lines = [f"### {escape.code(verdict.subject)}: {word}", "", "| | Compared with | |", "| --- | --- | --- |"]
    for check in verdict.checks:
        details = "".join(f"<br>{escape.code(detail)}" for detail in check.details)
        lines.append(f"| {_MARKS[check.status]} | {check.kind} | {escape.cell(check.what)}{details} |")
    lines.append("")
    lines += [f"* {name}: {escape.code(value)}" for name, value in verdict.digests.items()]
    if verdict.stamp:
        lines.append(f"* line 1 for this tree: {escape.code(verdict.stamp)}")
    return [*lines, ""]


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "subject": verdict.subject,
        "accepted": verdict.accepted,
        "scope": verdict.scope,
        "stamp": verdict.stamp,
        "digests": dict(verdict.digests),
        "checks": [
            {"kind": check.kind, "status": check.status, "what": check.what, "details": list(check.details)}
            for check in verdict.checks
        ],
    }


def _junit(verdicts: Sequence[Verdict]) -> str:
    from stencilkit.support import junit

    def case(check: Check) -> junit.Case:
        failure = check.what if check.status == "failed" else None
        return junit.Case(
            group=f"stencilkit.{check.kind}", name=check.what, failure=failure, text="\n".join(check.details)
        )

    return junit.render([junit.Suite(name=item.subject, cases=tuple(map(case, item.checks))) for item in verdicts])
