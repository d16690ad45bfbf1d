"""Read the JUnit XML that regrtest writes, and say in it what came of a run."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from stencilkit.model.testing import ModuleVerdict, StencilsVerdict, TestReport
from stencilkit.support import junit
from stencilkit.support.junit import Case, Suite


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
    name = f"CPython {report.cpython} {report.triple} {report.flavour}"
    return junit.render([_suite(verdict) for verdict in report.verdicts], name) + "\n"


def _suite(verdict: StencilsVerdict) -> Suite:
    proof, broken = verdict.proof, verdict.benchmark_failure
    proved = Case(
        group="stencilkit",
        name="the JIT is on and runs",
        failure=None if proof.holds else proof.ended.partition("\n")[0] or str(proof),
        text="" if proof.holds else proof.ended,
    )
    timed = Case(
        group="stencilkit",
        name="the benchmarks give the right answers",
        failure=broken.partition("\n")[0] if broken else None,
        text=broken,
        skipped=not broken and not verdict.benchmarks,
    )
    return Suite(name=f"LLVM {verdict.label}", cases=(proved, timed, *map(_case, verdict.modules)))


def _case(module: ModuleVerdict) -> Case:
    run, text = module.jit, ""
    if module.blamed:
        text = run.tail
    elif not run.good:
        why = "unsteady: " + ", ".join(module.unsteady) if module.unsteady else "without the JIT too"
        text = f"{run.outcome}, {why}\n{run.tail}"
    return Case(
        group="test",
        name=run.name,
        failure=f"{run.outcome}: {', '.join(module.blamed)}" if module.blamed else None,
        text=text,
        skipped=run.outcome == "skipped",
        seconds=run.seconds,
    )
