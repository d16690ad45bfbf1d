"""The report of `stencilkit test` as text for people and as JSON for machines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from stencilkit.cli import _render
from stencilkit.model.testing import ModuleVerdict, Proof, StencilsVerdict, TestReport
from stencilkit.support import words


def report(found: TestReport, form: str) -> None:
    """Describe what a test found."""
    if form == "json":
        content = asdict(found)
        for shown, verdict in zip(content["verdicts"], found.verdicts, strict=True):
            shown |= {"good": verdict.good, "blamed": list(verdict.blamed), "executors": verdict.executors}
        _render.print_json("test", {**content, "good": found.good})
        return
    _render.say(f"CPython {found.cpython}, {found.triple}, {found.flavour}, suite {found.suite}")
    if found.emulator:
        _render.say(f"run by {found.emulator}")
    for verdict in found.verdicts:
        _render.say_lines(_lines(verdict))
    if found.off:
        _benchmarks(found)
    _render.say_lines([(_render.Word("passed" if found.good else "FAILED"),)])


def _lines(verdict: StencilsVerdict) -> Iterator[_render.Line]:
    generator = "started, and took them" if verdict.generator_ran else "never started"
    yield ""
    yield f"LLVM {verdict.label}, content {verdict.content_digest[:16]}"
    yield f"  built in {verdict.build_seconds:.0f} s with every LLVM hidden; CPython's own generator: {generator}"
    yield f"  JIT: {_proof(verdict.proof)}"
    for module in verdict.modules:
        yield f"  {_module(module)}"
        yield from (f"    failed once, then passed: {name}" for name in module.unsteady)
        if module.blamed:
            yield from (f"    blamed: {name}" for name in module.blamed)
            yield from (f"    | {line}" for line in module.jit.tail.splitlines())
            yield f"    log: {module.jit.log}"
    if verdict.benchmark_failure:
        yield "  a benchmark breaks with the JIT, and not without:"
        yield from (f"    | {line}" for line in verdict.benchmark_failure.splitlines())
    count, modules = words.counted(verdict.tests, "test"), words.counted(len(verdict.modules), "module")
    yield f"  {count} in {modules}, {verdict.executors} executors seen alive; {len(verdict.blamed)} broken by the JIT"


def _proof(proof: Proof) -> str:
    if proof.ended:
        first, *more = proof.ended.splitlines()
        told = "".join(f"\n    | {line}" for line in more)
        return f"CPython {first} in the first loops that it compiled, and not with the JIT off; no test was run{told}"
    asked = {True: "yes", False: "NO", None: "cannot be asked"}
    return (
        f"available {asked[proof.available]}, enabled {asked[proof.enabled]}, traces compiled {proof.executors}"
        f" ({len(proof.uops)} different uops, {proof.code_bytes} bytes), entered: {proof.entered or 'NO'}"
        + (f", WRONG ANSWERS: {', '.join(proof.wrong)}" if proof.wrong else "")
    )


def _module(module: ModuleVerdict) -> str:
    run = module.jit
    also = ""
    if module.without is not None and not module.without.good:
        also = f"; without the JIT too ({module.without.outcome}: {', '.join(module.without.failures[:5])})"
    return (
        f"{run.name}: {run.outcome}, {run.tests} tests, {run.skipped} skipped, {run.executors} executors"
        f" ({run.code_bytes} bytes), {run.seconds:.1f} s{also}"
    )


def _benchmarks(found: TestReport) -> None:
    timed = [verdict for verdict in found.verdicts if verdict.benchmarks]
    head = ["benchmark", "JIT off, ms", *(f"LLVM {verdict.label}, ms" for verdict in timed)]
    head += [f"off / {verdict.label}" for verdict in timed]
    rows = [
        [
            name,
            f"{found.off[name] * 1000:.1f}",
            *(f"{verdict.benchmarks[name] * 1000:.1f}" for verdict in timed),
            *(f"{found.off[name] / verdict.benchmarks[name]:.2f}" for verdict in timed),
        ]
        for name in sorted(found.off)
    ]
    means = [f"{_mean(found.off, verdict.benchmarks):.2f}" for verdict in timed]
    rows.append(["geometric mean", "", *("" for _ in timed), *means])
    _render.say("")
    _render.print_table(head, rows)


def _mean(off: Mapping[str, float], on: Mapping[str, float]) -> float:
    return math.exp(sum(math.log(off[name] / on[name]) for name in off) / len(off))
