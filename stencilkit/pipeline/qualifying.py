"""From a job to a result: build one cell, and ask everything of it that its depth asks."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stencilkit import __version__, configure, headers, results, toolchain
from stencilkit.errors import (
    CompileError,
    ConfigureError,
    FetchError,
    ManifestError,
    ProcessError,
    StencilkitError,
    TargetError,
    ToolchainError,
    UsageError,
)
from stencilkit.model import qualification
from stencilkit.model.comparison import Comparison
from stencilkit.model.gate import Configuration
from stencilkit.model.judgement import Sample
from stencilkit.model.ledger import place
from stencilkit.model.manifest import MANIFEST_NAME, Manifest
from stencilkit.model.proof import Proof, Proofs
from stencilkit.model.proof import Verdict as ProofVerdict
from stencilkit.model.qualification import QUESTIONS, Check, Differing, Job, Name, Outcome, Result, Sizes
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import STENCIL_PARTS
from stencilkit.model.target import split_kind
from stencilkit.model.testing import TestReport
from stencilkit.pipeline import (
    admitting,
    auditing,
    bundling,
    comparing,
    gate,
    judging,
    knowing,
    opening,
    proving,
    requesting,
    testing,
    varying,
)
from stencilkit.support import environ, files, limits, resources
from stencilkit.support.cache import Store
from stencilkit.support.progress import SILENT

# What says nothing about the stencils: the question was not answered.
_TROUBLE: Final = (ConfigureError, FetchError, ProcessError, TargetError, ToolchainError, UsageError)
_PROVED: Final = (ProofVerdict.IDENTICAL, ProofVerdict.PROVED)
_SHOWN: Final = 5
# A benchmark on a busy machine varies by a few percent.
_SLOWER: Final = 0.9
_TEST_SECONDS: Final = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer, before it is known to which question."""

    outcome: Outcome
    figure: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What a cell's questions are asked of; what several of them need is made once."""

    job: Job
    scratch: Path
    store: Store
    configuration: Configuration
    plain: Path
    manifest: Manifest

    @property
    def pinned(self) -> bool:
        """Return whether upstream asks for this LLVM."""
        return knowing.is_upstreams(self.job.cell.series, self.job.cell.llvm)

    @functools.cached_property
    def reference(self) -> Path | None:
        """Build the stencils of the LLVM that upstream pins, None where this machine has none."""
        if self.pinned:
            return self.plain
        if not self.job.reference:
            return None
        tool = requesting.at(self.job.reference, self.store)
        return gate.build_reference(replace(self.configuration, toolchain=tool), self.scratch)

    @functools.cached_property
    def comparison(self) -> Comparison | None:
        """Compare with the reference."""
        if self.reference is None:
            return None
        return comparing.run((self.reference, self.plain))[0]

    @functools.cached_property
    def proofs(self) -> Proofs | None:
        """Prove what differs from the reference."""
        if self.reference is None:
            return None
        request = proving.Request(jobs=self.job.jobs)
        return proving.run((self.reference, self.plain), request, store=self.store)[0]

    @functools.cached_property
    def tests(self) -> TestReport:
        """Build that CPython on these stencils, and on the reference's to compare speeds; run its tests."""
        folders = [self.plain] if self.pinned or self.reference is None else [self.plain, self.reference]
        request = testing.TestRequest(
            tree=self.configuration.tree,
            target=self.configuration.asked.target,
            flavour=self.configuration.flavour,
            artifacts=tuple(item for folder in folders for item in bundling.open_all(folder)),
            suite="jit",
            modules=(),
            benchmarks=True,
            configure=(),
            jobs=self.job.jobs,
            timeout=_TEST_SECONDS,
            folder=self.scratch / "test",
        )
        return testing.run(request, SILENT)


def qualify(job: Job, store: Store) -> Result:
    """Ask everything of one cell that its depth asks, or recall what the same questions were answered before.

    What cannot be asked is an answer, too. What failed, and what depends on how busy a machine is, is not recalled.

    Raises: OutputError where this machine has no room for what is made; SourceError, ToolchainError where what the job
    names is not there.
    """
    key = _key(job, store) if job.cached and job.depth != "run" else ""
    if key and (known := store.get(key)) is not None:
        return results.parse(known, "the cache")
    result = _qualify(job, store)
    if key and result.verdict != "not qualified":
        store.put(key, results.render(result))
    return result


def _key(job: Job, store: Store) -> str:
    """Name everything that decides the answers; where trees and toolchains lie is not among it."""
    tree = Path(job.tree)
    hasher = hashlib.sha256()
    for path in (path for part in STENCIL_PARTS for path in files.walk(tree / part)):
        hasher.update(f"{path.relative_to(tree)} {files.sha256(path)}\n".encode())
    tools = [requesting.at(program, store) for program in (job.program, job.reference) if program]
    identities = [toolchain.identity(tool, store) for tool in tools]
    works, fails = varying.usable(gate.load(_variations()))
    rows = [
        resources.whole_digest(),
        hasher.hexdigest(),
        files.sha256(Path(job.pyconfig, "pyconfig.h")),
        [[identity.program, *sorted(identity.libraries.items())] for identity in identities],
        [*(item.name for item in works), *fails],
        [str(job.cell), job.depth, job.sample, sorted(job.ledger.items())],
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _variations() -> Path:
    return resources.folder("data/variations", "reproducibility") / "variations.toml"


def _qualify(job: Job, store: Store) -> Result:
    seconds: dict[str, float] = {}
    with files.scratch("cell") as scratch:
        started = environ.seconds()
        try:
            subject = _build(job, scratch, store)
        except StencilkitError as error:
            built = Check(name="built", outcome="failed", reason=_line(error))
            return _result(job, qualification.alone(built, "nothing was built"))
        seconds["built"] = environ.seconds() - started
        result = _result(job, ())
        checks = []
        for name in QUESTIONS:
            started = environ.seconds()
            checks.append(_check(name, result, subject))
            if name != "built" and checks[-1].outcome != "not asked":
                seconds[name] = environ.seconds() - started
        return _described(replace(result, checks=tuple(checks), seconds=seconds), subject)


def _build(job: Job, scratch: Path, store: Store) -> _Subject:
    tree = knowing.tree(Path(job.tree))
    flavour, hardened = split_kind(job.cell.flavour)
    configuration = Configuration(
        tree=tree,
        asked=knowing.target(job.cell.target),
        flavour=flavour,
        hardened=hardened,
        toolchain=requesting.at(job.program, store),
        pyconfig=Path(job.pyconfig),
    )
    if str(configuration.toolchain.version) != job.cell.llvm:
        raise ToolchainError(f"{job.program} is LLVM {configuration.toolchain.version}, not {job.cell.llvm}")
    plain = gate.build(configuration, scratch)
    path = plain / MANIFEST_NAME
    described = opening.read_manifest(files.read_text(path, error=ManifestError, limit=limits.MANIFEST), str(path))
    return _Subject(
        job=job,
        scratch=scratch,
        store=store,
        configuration=configuration,
        plain=plain,
        manifest=described.manifest,
    )


def _result(job: Job, checks: tuple[Check, ...]) -> Result:
    return Result(cell=job.cell, depth=job.depth, checks=checks, stencilkit=__version__)


def _line(error: StencilkitError) -> str:
    """Say an error in one line."""
    lines = [error.what, *error.details.strip().splitlines()[-1:]]
    return ": ".join(line.strip() for line in lines if line.strip())


def _check(name: Name, result: Result, subject: _Subject) -> Check:
    if name not in result.asked:
        return Check(name=name, outcome="not asked", reason=f"--depth {QUESTIONS[name].depth} asks this")
    try:
        answer = _ASKED[name](subject)
    except _TROUBLE as error:
        answer = _Answer(outcome="not asked", reason=_line(error))
    except StencilkitError as error:
        answer = _Answer(outcome="failed", reason=_line(error))
    return Check(name=name, outcome=answer.outcome, figure=answer.figure, reason=answer.reason)


def _built(subject: _Subject) -> _Answer:
    described = subject.manifest
    figure = f"{len(described.stencils)} stencils"
    if described.deviations:
        what = ", ".join(item.what for item in described.deviations)
        return _Answer(outcome="noted", figure=figure, reason=f"in another way than upstream's generator: {what}")
    return _Answer(outcome="passed", figure=figure)


def _varied(subject: _Subject) -> _Answer:
    found = gate.vary(subject.configuration, gate.load(_variations()), subject.plain, subject.scratch)
    figure = f"{len(found.varied)} variations at once"
    if found.unstable:
        return _Answer(outcome="failed", figure=figure, reason=f"differs with {_some(found.unstable)}")
    if found.not_varied:
        return _Answer(outcome="noted", figure=figure, reason=f"not varied: {_some(found.not_varied)}")
    return _Answer(outcome="passed", figure=figure)


def _ledger(subject: _Subject) -> _Answer:
    job, cell = subject.job, subject.job.cell
    if not job.ledger:
        return _Answer(outcome="not asked", reason="no ledger was given")
    wanted = place(cell.cpython, cell.target, cell.flavour, cell.llvm)
    if wanted.name not in job.ledger:
        return _Answer(outcome="not asked", reason="the ledger has no entry for it")
    folder = subject.scratch / "ledger"
    files.write_together(folder / cell.cpython, {name: text.encode() for name, text in job.ledger.items()})
    unexpected = tuple(gate.unexpected_of(subject.plain, folder))
    figure = f"{len(subject.manifest.stencils)} stencils"
    if unexpected:
        return _Answer(outcome="failed", figure=figure, reason=_some(unexpected))
    return _Answer(outcome="passed", figure=figure)


def _generator(subject: _Subject) -> _Answer:
    sample = Sample(count=subject.job.sample) if subject.job.sample else None
    try:
        found = judging.judge(_as_build(subject), requesting.machine(subject.store), subject.store, sample)
    except CompileError as error:
        # Upstream's 3.15 stops with LLVM 19 and 20 (docs/adr/0006): there is nothing to compare with.
        return _Answer(outcome="not asked", reason=f"it does not work with this LLVM: {_line(error)}")
    figure = f"{found.uops} of {found.of} uops"
    chosen = f"chosen by the seed {found.seed}" if found.seed else ""
    if found.equal:
        return _Answer(outcome="passed", figure=figure, reason=chosen)
    differing = [f"{name} differs" for name in found.different] or [
        f"{file.name}: {file.lines[0]}" for file in found.files if file.lines
    ]
    return _Answer(outcome="failed", figure=figure, reason=_some(differing) or "nothing was compared")


def _as_build(subject: _Subject) -> Build:
    """Give what was built in another process as a build of this one."""
    configuration, described = subject.configuration, subject.manifest
    tool, asked = configuration.toolchain, configuration.asked
    return Build(
        request=BuildRequest(
            tree=configuration.tree,
            asked=asked,
            flavour=configuration.flavour,
            toolchain=tool,
            headers=headers.choose(asked.target, tool, requesting.machine(subject.store)),
            pyconfig=configure.given(configuration.pyconfig, asked, configuration.flavour),
            cflags=described.cflags,
            jobs=subject.job.jobs,
        ),
        stencils=admitting.header(subject.plain).header.stencils,
        manifest=described,
        files={path.name: path.read_bytes() for path in files.walk(subject.plain)},
        notes=(),
    )


def _audit(subject: _Subject) -> _Answer:
    found = auditing.run(subject.plain, auditing.Asked(tree=subject.configuration.tree))
    failed = [result for result in found.results if result.outcome == "failed"]
    asked = [result for result in found.results if result.outcome != "not asked"]
    noted = [f"{result.rule} ({len(result.findings)})" for result in found.results if result.outcome == "noted"]
    figure = f"{len(asked) - len(failed)} of {len(asked)} rules"
    if not found.passed:
        what = (f"{item.rule}: {item.findings[0].stencil} {item.findings[0].what}" for item in failed)
        return _Answer(outcome="failed", figure=figure, reason=_some(what) or "no rule was asked")
    return _Answer(outcome="passed", figure=figure, reason=f"also found: {', '.join(noted)}" if noted else "")


def _proof(subject: _Subject) -> _Answer:
    if subject.pinned:
        return _Answer(outcome="passed", figure="0 differ", reason="upstream asks for this LLVM")
    if subject.proofs is None:
        return _Answer(outcome="not asked", reason="the LLVM that upstream asks for is not here")
    open_ = [proof for proof in subject.proofs.proofs if proof.verdict not in _PROVED]
    differ = [proof for proof in open_ if proof.verdict is ProofVerdict.DIFFERS]
    count = sum(proof.verdict is not ProofVerdict.IDENTICAL for proof in subject.proofs.proofs)
    figure = f"{count - len(open_)} of {count} proved"
    if differ:
        return _Answer(outcome="failed", figure=figure, reason=_some(f"{proof.name} differs" for proof in differ))
    if open_:
        reason = _some(f"{proof.name}: {proof.verdict.value}" for proof in open_)
        return _Answer(outcome="noted", figure=figure, reason=reason)
    return _Answer(outcome="passed", figure=figure)


def _run(subject: _Subject) -> _Answer:
    verdict = subject.tests.verdicts[0]
    figure = f"{verdict.tests} tests in {len(verdict.modules)} modules"
    if not verdict.good:
        blamed = _some(verdict.blamed) or verdict.benchmark_failure or verdict.proof.ended or "the JIT did not work"
        return _Answer(outcome="failed", figure=figure, reason=blamed.replace("\n", " "))
    by = f"run by {subject.tests.emulator}" if subject.tests.emulator else ""
    return _Answer(outcome="passed", figure=figure, reason=by)


def _speeds(report: TestReport) -> dict[str, float]:
    """Give the geometric mean of JIT off over on, by LLVM."""
    return {
        verdict.llvm: math.exp(
            sum(math.log(report.off[name] / verdict.benchmarks[name]) for name in report.off) / len(report.off)
        )
        for verdict in report.verdicts
        if report.off and report.off.keys() <= verdict.benchmarks.keys()
    }


def _speed(subject: _Subject) -> _Answer:
    speeds = list(_speeds(subject.tests).values())
    if subject.pinned:
        return _Answer(outcome="passed" if speeds else "not asked", reason="upstream asks for this LLVM")
    if len(speeds) < 2:
        return _Answer(outcome="not asked", reason="there is nothing to compare it with")
    if speeds[0] < _SLOWER * speeds[1]:
        return _Answer(outcome="noted", reason="the JIT is more than 10 % slower than with upstream's LLVM")
    return _Answer(outcome="passed")


_ASKED: Final[Mapping[Name, Callable[[_Subject], _Answer]]] = {
    "built": _built,
    "varied": _varied,
    "ledger": _ledger,
    "generator": _generator,
    "audit": _audit,
    "proof": _proof,
    "run": _run,
    "speed": _speed,
}


def _some(texts: Iterable[str]) -> str:
    """List a few, and count the others."""
    all_ = list(texts)
    return "; ".join(all_[:_SHOWN]) + (f"; and {len(all_) - _SHOWN} more" if len(all_) > _SHOWN else "")


def _described(result: Result, subject: _Subject) -> Result:
    """Add what a page shows beside the checks."""
    described, compared = subject.manifest, subject.comparison
    asked = {check.name: check.outcome for check in result.checks}
    found = replace(
        result,
        pinned=subject.pinned,
        vendor=described.toolchain.vendor,
        content=described.content_digest,
        sizes=Sizes(stencils=len(described.stencils), code=described.code_bytes, data=described.data_bytes),
        deviations=described.deviations,
        speed=_speeds(subject.tests) if asked["speed"] != "not asked" else {},
    )
    if compared is None or subject.reference is None:
        return found
    first = compared.first
    return replace(
        found,
        reference=first.made_by.removeprefix("LLVM "),
        before=Sizes(stencils=first.stencils, code=first.code, data=first.data),
        identical=compared.counts.get("identical", 0),
        differing=_differing(compared, subject, proved=asked["proof"] != "not asked"),
    )


def _differing(compared: Comparison, subject: _Subject, *, proved: bool) -> tuple[Differing, ...]:
    if not compared.changes or subject.reference is None:
        return ()
    before, after = admitting.header(subject.reference), admitting.header(subject.plain)
    proofs: dict[str, Proof] = {}
    if proved and subject.proofs is not None:
        proofs = {proof.name: proof for proof in subject.proofs.proofs}
    return tuple(
        Differing(
            name=change.name,
            likeness=change.likeness,
            code=change.code,
            data_size=change.data_size,
            rows=comparing.beside(before, after, change.name),
            holes=change.holes,
            symbols=change.symbols,
            data=change.data,
            proof=" ".join((proof.verdict.value, *proof.facts)) if proof else "",
            why=proof.why if proof else "",
        )
        for change in compared.changes
        for proof in [proofs.get(change.name)]
    )
