"""From a job to a result: build one cell, and ask everything of it that its depth asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from stencilkit import __version__, results
from stencilkit.errors import (
    AssemblyError,
    CompileError,
    FlagError,
    ObjectError,
    ProcessError,
    RelocationError,
    ResultError,
    StencilkitError,
    ToolchainError,
)
from stencilkit.model import qualification
from stencilkit.model.comparison import Comparison
from stencilkit.model.gate import Configuration
from stencilkit.model.proof import Proof
from stencilkit.model.qualification import QUESTIONS, Check, Differing, Job, Name, Result, Sizes
from stencilkit.pipeline import answering, building, comparing, configuring, gate, recalling
from stencilkit.pipeline.answering import Answered
from stencilkit.pipeline.subject import Subject
from stencilkit.support import environ, files
from stencilkit.support.cache import Store

# What an LLVM or a CPython is to blame for; everything else is this machine's trouble.
_REFUSED: Final = (AssemblyError, CompileError, FlagError, ObjectError, RelocationError)


def qualify(job: Job, store: Store) -> Result:
    """Ask everything of one cell that its depth asks, or recall what the same questions were answered before.

    What cannot be asked is an answer, too. What failed, and what depends on how busy a machine is, is not recalled.

    Raises: OutputError where this machine has no room for what is made, and other errors where it lacks what the job
    names: then nothing is known of the cell.
    """
    key = _key(job, store) if job.cached and job.depth != "run" else ""
    known = store.read(key, lambda entry: results.parse(entry, "the cache"), ResultError) if key else None
    if known is not None:
        return known
    result, lasting = _qualify(job, store)
    if key and lasting and result.verdict not in ("not qualified", "not finished"):
        store.put(key, results.render(result))
    return result


def _key(job: Job, store: Store) -> str:
    try:
        return recalling.answers(job, answering.variations(), store)
    except StencilkitError:
        # Whatever it is, the build finds it, too, and says to what question it is an answer.
        return ""


def _qualify(job: Job, store: Store) -> tuple[Result, bool]:
    """Return also whether the same would be answered again, of the same things."""
    seconds: dict[str, float] = {}
    with files.scratch("cell") as scratch:
        started = environ.seconds()
        try:
            subject = _build(job, scratch, store)
        except _REFUSED as error:
            built = Check(name="built", outcome="failed", reason=answering.line(error))
            return _result(job, qualification.alone(built, "nothing was built")), False
        seconds["built"] = environ.seconds() - started
        result = _result(job, ())
        answers = []
        for name in QUESTIONS:
            started = environ.seconds()
            answers.append(answering.ask(name, subject) if name in result.asked else _beyond_depth(name))
            if name != "built" and answers[-1].check.outcome != "not asked":
                seconds[name] = environ.seconds() - started
        checks = tuple(answer.check for answer in answers)
        found = _described(replace(result, checks=checks, seconds=seconds), subject)
        return found, all(answer.lasting for answer in answers)


def _beyond_depth(name: Name) -> Answered:
    reason = f"--depth {QUESTIONS[name].depth} asks this"
    return Answered(check=Check(name=name, outcome="not asked", reason=reason))


def _build(job: Job, scratch: Path, store: Store) -> Subject:
    configuration = configuring.configuration(job.cell, job.tree, job.pyconfig, job.program, store)
    if str(configuration.toolchain.version) != job.cell.llvm:
        raise ToolchainError(f"{job.program} is LLVM {configuration.toolchain.version}, not {job.cell.llvm}")
    try:
        plain = gate.build(configuration, scratch)
    except CompileError as error:
        raise _cause(error, configuration, job, store) from None
    subject = Subject(job=job, scratch=scratch, store=store, configuration=configuration, plain=plain)
    if subject.pinned and job.cached and job.program == job.reference:
        recalling.put_folder(recalling.stencils(job, store), plain, store)
    return subject


def _cause(failed: CompileError, configuration: Configuration, job: Job, store: Store) -> StencilkitError:
    """Build again in this process, where an error has a class: of another process, only its end is known."""
    try:
        building.build(configuring.request(configuration, "", job.jobs, store), store)
    except StencilkitError as error:
        return error
    return ProcessError("a build failed, and did not fail again", details=failed.details)


def _result(job: Job, checks: tuple[Check, ...]) -> Result:
    return Result(cell=job.cell, depth=job.depth, checks=checks, stencilkit=__version__)


def _described(result: Result, subject: Subject) -> Result:
    """Add what a page shows beside the checks."""
    described = subject.described
    asked = {check.name: check.outcome for check in result.checks}
    found = replace(
        result,
        pinned=subject.pinned,
        vendor=described.toolchain.vendor,
        content=described.content_digest,
        sizes=Sizes(stencils=len(described.stencils), code=described.code_bytes, data=described.data_bytes),
        deviations=described.deviations,
        speed=answering.speeds(subject.tests) if asked["speed"] != "not asked" else {},
    )
    try:
        compared = subject.comparison
    except StencilkitError:
        # A check that needs the reference says why there is none.
        return found
    if compared is None:
        return found
    first = compared.first
    return replace(
        found,
        reference=first.made_by.removeprefix("LLVM "),
        before=Sizes(stencils=first.stencils, code=first.code, data=first.data),
        identical=compared.counts.get("identical", 0),
        differing=_differing(compared, subject, proved=asked["proof"] != "not asked"),
    )


def _differing(compared: Comparison, subject: Subject, *, proved: bool) -> tuple[Differing, ...]:
    if not compared.changes or subject.before is None:
        return ()
    proofs: dict[str, Proof] = {}
    if proved and subject.proofs is not None:
        proofs = {proof.name: proof for proof in subject.proofs.proofs}
    return tuple(
        Differing(
            name=change.name,
            likeness=change.likeness,
            code=change.code,
            data_size=change.data_size,
            rows=comparing.beside(subject.before, subject.opened, change.name),
            holes=change.holes,
            symbols=change.symbols,
            data=change.data,
            proof=" ".join((proof.verdict.value, *proof.facts)) if proof else "",
            why=proof.why if proof else "",
        )
        for change in compared.changes
        for proof in [proofs.get(change.name)]
    )
