"""One question about a cell -> its answer: what was looked at, and the reason.

Trouble that says nothing about the stencils (no toolchain, no compiler, a time limit) leaves a question unasked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit import source
from stencilkit.errors import (
    BuildFolderError,
    CompileError,
    ConfigureError,
    FetchError,
    JitCrashError,
    JitTestError,
    LedgerError,
    OutputError,
    ProcessError,
    StencilkitError,
    TargetError,
    ToolchainError,
    UsageError,
    WitnessError,
)
from stencilkit.model.gate import Variation
from stencilkit.model.judgement import DEFAULT_SEED
from stencilkit.model.proof import Verdict as ProofVerdict
from stencilkit.model.qualification import Check, Name, Outcome
from stencilkit.model.request import Build
from stencilkit.model.testing import TestReport
from stencilkit.pipeline import auditing, configuring, gate, judging, requesting, sampling
from stencilkit.pipeline.subject import Subject
from stencilkit.support import files, resources, words

# What says nothing about the stencils: the question was not answered.
_TROUBLE: Final = (
    *(BuildFolderError, ConfigureError, FetchError, JitTestError, ProcessError, TargetError, ToolchainError),
    *(UsageError, WitnessError),
)
# Of these, what is as it is until a file changes that the key of the answers has (pipeline/recalling.py).
_LASTING: Final = (ConfigureError, TargetError, ToolchainError)
_PROVED: Final = (ProofVerdict.IDENTICAL, ProofVerdict.PROVED)
_SHOWN: Final = 5
# What stands for the uops that are not in the sample, where the ledger has an entry.
_KNOWN: Final = "the whole is as in the ledger, which has only what the gate built the same under variations"
# A benchmark on a busy machine varies by a few percent.
_SLOWER: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer, before it is known to which question."""

    outcome: Outcome
    figure: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question and its answer; `lasting` says whether the same would be answered again, of the same things."""

    check: Check
    lasting: bool = True


def variations() -> tuple[Variation, ...]:
    """Read what is varied: the repository's variations.toml, which the package carries.

    Raises: LedgerError.
    """
    return gate.load(resources.folder("data/variations", "reproducibility") / "variations.toml")


def ask(name: Name, subject: Subject) -> Answered:
    """Ask one question.

    Raises: OutputError where this machine has no room for the answer.
    """
    lasting = True
    try:
        answer = _ASKED[name](subject)
    except OutputError:
        raise
    except JitCrashError as error:
        answer = _Answer(outcome="failed", reason=line(error))
    except _TROUBLE as error:
        answer = _Answer(outcome="not asked", reason=line(error))
        lasting = isinstance(error, _LASTING)
    except StencilkitError as error:
        answer = _Answer(outcome="failed", reason=line(error))
    check = Check(name=name, outcome=answer.outcome, figure=answer.figure, reason=answer.reason)
    return Answered(check=check, lasting=lasting)


def _built(subject: Subject) -> _Answer:
    described = subject.described
    figure = words.counted(len(described.stencils), "stencil")
    if described.deviations:
        what = ", ".join(item.what for item in described.deviations)
        return _Answer(outcome="noted", figure=figure, reason=f"differently from upstream's generator: {what}")
    return _Answer(outcome="passed", figure=figure)


def _varied(subject: Subject) -> _Answer:
    small = subject.small if _is_known(subject) else None
    if small is None:
        return _vary(subject, "", "")
    strays = sampling.strays(subject.described, small.described)
    if strays:
        differ = _some(f"{name} differs" for name in sorted(strays))
        return _Answer(outcome="failed", reason=f"{differ} where only a sample of the uops is built")
    chosen, all_ = (len(source.uops(item.configuration.tree)) for item in (small, subject))
    return _vary(small, f", {chosen} of {all_} uops", _KNOWN)


def _is_known(subject: Subject) -> bool:
    """Say whether the ledger has exactly these stencils: then the gate found that variations do not change them."""
    try:
        return subject.unexpected == ()
    except LedgerError:
        # It is the answer to the next question.
        return False


def _vary(subject: Subject, of: str, known: str) -> _Answer:
    found = gate.vary(subject.configuration, variations(), subject.plain, subject.scratch)
    figure = f"{len(found.varied)} variations at once{of}"
    if found.unstable:
        return _Answer(outcome="failed", figure=figure, reason=f"differs with {_some(found.unstable)}")
    if found.not_varied:
        reason = "; ".join(filter(None, (f"not varied: {_some(found.not_varied)}", known)))
        return _Answer(outcome="noted", figure=figure, reason=reason)
    return _Answer(outcome="passed", figure=figure, reason=known)


def _ledger(subject: Subject) -> _Answer:
    if not subject.job.ledger:
        return _Answer(outcome="not asked", reason="no ledger was given")
    try:
        unexpected = subject.unexpected
    except LedgerError as error:
        # It was read from a copy: its last two names are those that it has in the ledger, too.
        named = "/".join(error.where.replace("\\", "/").split("/")[-2:])
        return _Answer(outcome="failed", reason=f"{named}: {line(error)}")
    if unexpected is None:
        return _Answer(outcome="not asked", reason="the ledger has no entry for it")
    figure = words.counted(len(subject.described.stencils), "stencil")
    if unexpected:
        return _Answer(outcome="failed", figure=figure, reason=_some(unexpected))
    return _Answer(outcome="passed", figure=figure)


def _generator(subject: Subject) -> _Answer:
    build, small = _as_build(subject), subject.small
    few, seed = (_as_build(small), DEFAULT_SEED) if small else (build, "")
    try:
        found = judging.judge_by(build, few, requesting.machine(subject.store), seed=seed)
    except CompileError as error:
        # Upstream's 3.15 stops with LLVM 19 and 20 (docs/adr/0006): there is nothing to compare with.
        return _Answer(outcome="not asked", reason=f"it does not work with this LLVM: {line(error)}")
    figure = f"{found.uops} of {found.of} uops"
    chosen = f"chosen by the seed {found.seed}" if found.seed else ""
    if found.equal:
        return _Answer(outcome="passed", figure=figure, reason=chosen)
    differing = [f"{name} differs" for name in found.different] or [
        f"{file.name}: {file.lines[0]}" for file in found.files if file.lines
    ]
    return _Answer(outcome="failed", figure=figure, reason=_some(differing) or "nothing was compared")


def _as_build(subject: Subject) -> Build:
    """Give what was built in another process as a build of this one."""
    described = subject.described
    return Build(
        request=configuring.request(subject.configuration, described.cflags, subject.job.jobs, subject.store),
        manifest=described,
        files={path.name: path.read_bytes() for path in files.walk(subject.plain)},
        notes=(),
    )


def _audit(subject: Subject) -> _Answer:
    found = auditing.of(subject.opened, auditing.Asked(tree=subject.configuration.tree))
    failed = [result for result in found.results if result.outcome == "failed"]
    asked = [result for result in found.results if result.outcome != "not asked"]
    noted = [f"{result.rule} ({len(result.findings)})" for result in found.results if result.outcome == "noted"]
    figure = f"{len(asked) - len(failed)} of {len(asked)} rules"
    if not found.passed:
        what = (f"{item.rule}: {item.findings[0].stencil} {item.findings[0].what}" for item in failed)
        return _Answer(outcome="failed", figure=figure, reason=_some(what) or "no rule was asked")
    return _Answer(outcome="passed", figure=figure, reason=f"also found: {', '.join(noted)}" if noted else "")


def _proof(subject: Subject) -> _Answer:
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
        reason = _some(f"{proof.name}: {' '.join((proof.verdict.value, *proof.facts))}" for proof in open_)
        return _Answer(outcome="noted", figure=figure, reason=reason)
    return _Answer(outcome="passed", figure=figure)


def _run(subject: Subject) -> _Answer:
    verdict = subject.tests.verdicts[0]
    figure = f"{words.counted(verdict.tests, 'test')} in {words.counted(len(verdict.modules), 'module')}"
    if not verdict.good:
        otherwise = "no test ran" if verdict.proof.holds else "the JIT did not work"
        blamed = _some(verdict.blamed) or verdict.benchmark_failure or verdict.proof.ended or otherwise
        return _Answer(outcome="failed", figure=figure, reason=blamed.replace("\n", " "))
    by = f"run by {subject.tests.emulator}" if subject.tests.emulator else ""
    return _Answer(outcome="passed", figure=figure, reason=by)


def speeds(report: TestReport) -> dict[str, float]:
    """Give the geometric mean of JIT off over on, by LLVM, of what ran every benchmark."""
    return {
        verdict.llvm: math.exp(
            sum(math.log(report.off[name] / verdict.benchmarks[name]) for name in report.off) / len(report.off)
        )
        for verdict in report.verdicts
        if report.off and report.off.keys() <= verdict.benchmarks.keys()
    }


def _speed(subject: Subject) -> _Answer:
    if subject.tests.emulator:
        return _Answer(
            outcome="not asked", reason=f"times in {Path(subject.tests.emulator.split()[0]).name} say nothing"
        )
    found = speeds(subject.tests)
    own = found.pop(subject.job.cell.llvm, None)
    if own is None:
        return _Answer(outcome="not asked", reason="the benchmarks did not run on these stencils")
    if subject.pinned:
        return _Answer(outcome="passed", reason="upstream asks for this LLVM")
    if not found:
        return _Answer(outcome="not asked", reason="there is nothing to compare it with")
    if own < _SLOWER * min(found.values()):
        return _Answer(outcome="noted", reason="the JIT is more than 10 % slower than with upstream's LLVM")
    return _Answer(outcome="passed")


_ASKED: Final[Mapping[Name, Callable[[Subject], _Answer]]] = {
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


def line(error: StencilkitError) -> str:
    """Write an error in one line."""
    lines = [error.what, *error.details.strip().splitlines()[-1:]]
    return ": ".join(line.strip() for line in lines if line.strip())
