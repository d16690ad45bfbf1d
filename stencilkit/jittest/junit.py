"""Read the JUnit XML that regrtest writes, and write our own."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from stencilkit.model.testing import StencilsVerdict, TestReport
from stencilkit.support import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """What a run of one module says about its test cases."""

    names: tuple[str, ...]
    failures: tuple[str, ...]
    skipped: int


def read(path: Path) -> Cases:
    """Read regrtest's file; one that is missing or cut short has no cases (the run ended early)."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314  # the CPython that this process has started wrote it
    except (OSError, ET.ParseError):
        return Cases(names=(), failures=(), skipped=0)
    cases = list(root.iter("testcase"))
    failed = sorted({_name(case) for case in cases if any(case.find(tag) is not None for tag in ("failure", "error"))})
    return Cases(
        names=tuple(_name(case) for case in cases),
        failures=tuple(failed),
        skipped=sum(case.find("skipped") is not None for case in cases),
    )


def _name(case: ET.Element) -> str:
    return case.get("name", "").removeprefix("test.")


def render(report: TestReport) -> str:
    """Write a report as JUnit XML: a suite per set of stencils, a case per test module and one for the proof."""
    root = ET.Element("testsuites", name=f"CPython {report.cpython} {report.triple} {report.flavour}")
    for verdict in report.verdicts:
        _suite(root, verdict)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ET.Element, verdict: StencilsVerdict) -> None:
    bad = [module for module in verdict.modules if module.blamed]
    suite = ET.SubElement(
        root,
        "testsuite",
        name=f"LLVM {verdict.llvm}",
        tests=str(len(verdict.modules) + 2),
        failures=str(len(bad) + (not verdict.proof.holds) + bool(verdict.benchmark_failure)),
    )
    proof = ET.SubElement(suite, "testcase", classname="stencilkit", name="the JIT is on and runs")
    if not verdict.proof.holds:
        _fail(proof, verdict.proof.ended.partition("\n")[0] or str(verdict.proof), verdict.proof.ended)
    timed = ET.SubElement(suite, "testcase", classname="stencilkit", name="the benchmarks give the right answers")
    if verdict.benchmark_failure:
        _fail(timed, verdict.benchmark_failure.partition("\n")[0], verdict.benchmark_failure)
    elif not verdict.benchmarks:
        ET.SubElement(timed, "skipped")
    for module in verdict.modules:
        case = ET.SubElement(
            suite, "testcase", classname="test", name=module.jit.name, time=f"{module.jit.seconds:.3f}"
        )
        if module.blamed:
            _fail(case, f"{module.jit.outcome}: {', '.join(module.blamed)}", module.jit.tail)
        elif module.jit.outcome == "skipped":
            ET.SubElement(case, "skipped")
        elif not module.jit.good:
            why = "unsteady: " + ", ".join(module.unsteady) if module.unsteady else "without the JIT too"
            ET.SubElement(case, "system-out").text = f"{module.jit.outcome}, {why}\n{escape.xml(module.jit.tail)}"


def _fail(case: ET.Element, message: str, text: str) -> None:
    ET.SubElement(case, "failure", message=escape.xml(message)).text = escape.xml(text)
