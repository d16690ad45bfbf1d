"""The one writer of JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from stencilkit.support import junit
from stencilkit.support.junit import Case, Suite


def test_cases_are_counted_and_kept_in_order() -> None:
    cases = (
        Case(group="g", name="good", text="said"),
        Case(group="g", name="bad", failure="why", text="more", seconds=1.5),
        Case(group="g", name="left out", skipped=True),
    )
    root = ET.fromstring(junit.render([Suite(name="one", cases=cases)], "all"))
    assert root.attrib == {"name": "all"}
    (suite,) = root
    assert suite.attrib == {"name": "one", "tests": "3", "failures": "1"}
    assert [(case.get("name"), [part.tag for part in case]) for case in suite] == [
        ("good", ["system-out"]),
        ("bad", ["failure"]),
        ("left out", ["skipped"]),
    ]
    assert (suite[1].get("time"), suite[0].get("time")) == ("1.500", None)
    assert (suite[1][0].get("message"), suite[1][0].text) == ("why", "more")


def test_every_text_may_be_hostile() -> None:
    nasty = "<a>\0\x1b[2J\ufffe&"
    case = Case(group=nasty, name=nasty, failure=nasty, text=nasty)
    text = junit.render([Suite(name=nasty, cases=(case,))], nasty)
    assert ET.fromstring(text)[0][0][0].text == "<a>\\x00\\x1b[2J\\ufffe&"
    assert not set(text) & set("\0\x1b\ufffe")
