"""JUnit XML, as every CI reads it: the one writer. Texts of others go through `escape.xml`.

Source: the schema of Jenkins' xunit plugin, junit-10.xsd.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from stencilkit.support import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test case; `failure` is the message of one that failed, None for the others.

    `text` is what there is to read: of the failure, or as the output of a case that passed. `seconds` is None where
    nobody measured it.
    """

    group: str
    name: str
    failure: str | None = None
    text: str = ""
    skipped: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A name and its cases, in the order of the file."""

    name: str
    cases: tuple[Case, ...]


def render(suites: Sequence[Suite], name: str = "") -> str:
    """Render a document of suites, without a line end after it."""
    root = ET.Element("testsuites", {"name": escape.xml(name)} if name else {})
    for suite in suites:
        failures = sum(case.failure is not None for case in suite.cases)
        counts = {"tests": str(len(suite.cases)), "failures": str(failures)}
        element = ET.SubElement(root, "testsuite", {"name": escape.xml(suite.name), **counts})
        for case in suite.cases:
            _case(element, case)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _case(suite: ET.Element, case: Case) -> None:
    time = {} if case.seconds is None else {"time": f"{case.seconds:.3f}"}
    names = {"classname": escape.xml(case.group), "name": escape.xml(case.name)}
    element = ET.SubElement(suite, "testcase", {**names, **time})
    text = escape.xml(case.text)
    if case.failure is not None:
        ET.SubElement(element, "failure", message=escape.xml(case.failure)).text = text
    elif case.skipped:
        ET.SubElement(element, "skipped")
    elif text:
        ET.SubElement(element, "system-out").text = text
