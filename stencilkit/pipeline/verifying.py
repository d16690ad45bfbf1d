"""From a header or an output folder to a verdict: is it what it claims, and does it fit a tree? No compiler needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from stencilkit import manifest, verify
from stencilkit.model import digest
from stencilkit.model.artifact import Artifact
from stencilkit.model.header import ReadHeader
from stencilkit.model.verdict import Check, Verdict
from stencilkit.pipeline import gathering, questions
from stencilkit.pipeline.evidence import Evidence, Found, Subject, UnreadableError
from stencilkit.pipeline.surveying import Survey
from stencilkit.support import words

Question = Callable[[Evidence], Iterator[Check]]
QUESTIONS: Final[tuple[Question, ...]] = (
    questions.could_all_of_it_be_read,
    questions.is_it_what_the_manifest_says,
    questions.are_the_files_those_of_the_manifest,
    questions.does_the_shim_name_the_same_compiler,
    questions.is_the_unwind_header_canonical,
    questions.are_the_dispatchers_canonical,
    questions.does_it_fit_the_tree,
    questions.is_the_runtime_laid_out_so,
    questions.is_it_what_the_ledger_expects,
    questions.do_others_say_the_same,
    questions.is_it_in_the_binary,
    questions.does_the_policy_accept_it,
)
# What takes minutes is asked last, and only if nothing failed before.
SLOW_QUESTIONS: Final[tuple[Question, ...]] = (questions.is_a_second_build_the_same,)

_SHOWN: Final = 8


def run(subject: Subject) -> Verdict:
    """Verify one header with all that is beside it.

    What is wrong with the header or its manifest is in the verdict.

    Raises: StencilkitError where something needed is missing.
    """
    label = str(subject.path)
    described, checks = gathering.describe(subject)
    try:
        found = gathering.find(subject, described)
    except UnreadableError as error:
        return verify.conclude(label, (*checks, error.check), {}, subject.policy, "")
    if described is None:
        checks = (*checks, *questions.is_it_stencils_and_nothing_else(found))
        return verify.conclude(label, checks, _digests(found), subject.policy, "")
    return _judge(label, gathering.gather(subject, found, described))


def account(survey: Survey) -> tuple[Verdict, ...]:
    """Report the files of a folder that no question was asked about; () where there are none."""
    checks = []
    for reason in dict.fromkeys(survey.ignored.values()):
        places = [str(path) for path, why in survey.ignored.items() if why == reason]
        checks.append(Check(kind="manifest", status="noted", what=f"ignored: {reason}", details=_some(places)))
    for path, reason in survey.refused.items():
        checks.append(Check(kind="manifest", status="failed", what=f"{path}: {reason}"))
    if not checks:
        return ()
    covered = Check(kind="manifest", status="passed", what=f"{words.counted(survey.covered, 'file')} of stencils")
    label = f"other files below {survey.path}"
    return (Verdict(subject=label, checks=(*([covered] if survey.covered else []), *checks), digests={}),)


def _some(places: Sequence[str]) -> tuple[str, ...]:
    more = [f"and {len(places) - _SHOWN} more"] if len(places) > _SHOWN else []
    return (*places[:_SHOWN], *more)


def run_artifact(item: Artifact, subject: Subject) -> Verdict:
    """Verify what was read out of a bundle or a folder; of `subject`, the path is not looked at.

    Raises: StencilkitError where something needed is missing.
    """
    try:
        known = gathering.gather_artifact(subject, item)
    except UnreadableError as error:
        return verify.conclude(item.title, (error.check,), {}, subject.policy, "")
    return _judge(item.title, known)


def _judge(label: str, known: Evidence) -> Verdict:
    """Ask every question."""
    checks = list(questions.is_it_stencils_and_nothing_else(known.found))
    for question in QUESTIONS:
        checks += question(known)
    for question in SLOW_QUESTIONS:
        if not any(check.status == "failed" for check in checks):
            checks += question(known)
    digests = {**_known_digests(known.header), "content": known.summary.content}
    stamp = known.facts.stamp if known.facts else ""
    return verify.conclude(label, checks, digests, known.subject.policy, stamp)


def _known_digests(header: ReadHeader) -> Mapping[str, str]:
    return {
        "input": header.line1,
        "provenance": header.line2,
        "interface": digest.interface_digest(header.stencils),
    }


def _digests(found: Found) -> Mapping[str, str]:
    """Return what a header without a manifest shows; its content is known where nothing that counts is beside it."""
    digests = _known_digests(found.header)
    if found.dialect.EXTRAS:
        return digests
    return {**digests, "content": manifest.summarise(found.header.stencils, {}).content}
