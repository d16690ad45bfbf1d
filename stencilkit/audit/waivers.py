"""Waivers: findings that somebody accepts until a day, read from a file and laid over what rules found."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from stencilkit.errors import PolicyError
from stencilkit.model.audit import Finding, RuleResult, Waiver
from stencilkit.support.fields import document

_SCHEMA: Final = 1
_DAY: Final = re.compile(r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")


def apply(finding: Finding, rule: str, waivers: Sequence[Waiver], today: str) -> Finding:
    """Mark a finding as waived, if it is."""
    for waiver in waivers:
        if waiver.rule == rule and fnmatchcase(finding.stencil, waiver.stencil) and today <= waiver.until:
            return replace(finding, waived=f"{waiver.why} (until {waiver.until})")
    return finding


def stale(results: Sequence[RuleResult], waivers: Sequence[Waiver], today: str) -> Iterator[str]:
    """Name the waivers that ended, or that waive nothing."""
    for waiver in waivers:
        name = f"{waiver.rule} {waiver.stencil}"
        if today > waiver.until:
            yield f"the waiver of {name} ended on {waiver.until}"
            continue
        found = [result for result in results if result.rule == waiver.rule]
        if not any(fnmatchcase(item.stencil, waiver.stencil) for result in found for item in result.findings):
            yield f"the waiver of {name} waives nothing"


def parse(text: str, where: str, rules: Collection[str]) -> tuple[Waiver, ...]:
    """Read a list of waivers of the given rules; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field.
    """
    root = document(text, name=where, schema=_SCHEMA, error=PolicyError)
    found = []
    for row in root.tables("waiver"):
        until = row.text("until")
        if not _DAY.fullmatch(until):
            raise row.fail("until", 'is not a day like "2027-01-31"')
        waiver = Waiver(rule=row.text("rule"), stencil=row.text("stencil"), why=row.text("why"), until=until)
        row.done()
        if waiver.rule not in rules:
            raise row.fail("rule", f"there is no rule {waiver.rule!r}; there are {', '.join(sorted(rules))}")
        if len(waiver.why.split()) < 2:
            raise row.fail("why", "a waiver needs a reason that others can judge")
        found.append(waiver)
    root.done()
    return tuple(found)
