"""What clang's driver really passes on, beside what stencilkit and the user asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stencilkit import cc1, toolchain
from stencilkit.errors import FlagError
from stencilkit.model import cc1 as arguments
from stencilkit.model.build import Plan
from stencilkit.model.cc1 import Argument, Cpu
from stencilkit.model.manifest import Deviation
from stencilkit.model.target import Step

_KINDS: Final[tuple[tuple[bool, Step], ...]] = ((False, "emit"), (True, "emit"), (False, "finish"))
# clang's manual, Configuration files:
_UNCONFIGURED: Final = "--no-default-config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The processor of the uops' code, and what neither stencilkit nor the user has asked for, as cc1's arguments.

    `changed` are those that the user's flags add (+) or take away (-).
    """

    cpu: Cpu
    unasked: tuple[str, ...]
    changed: tuple[str, ...]

    def deviations(self) -> tuple[Deviation, ...]:
        """Return them as a manifest records them."""
        return tuple(
            Deviation(
                what=argument,
                why="clang's wrapper, configuration file or vendor says it, and --allow-driver-flags allowed it",
                cost="CPython's own generator makes the same of this clang only; with another one, it makes other code",
            )
            for argument in self.unasked
        )


@dataclass(frozen=True, slots=True)
class Questions:
    """What the driver of a plan is being asked, in the folder `work`; `real` is the command of the clang itself."""

    plan: Plan
    work: Path
    real: tuple[str, ...]
    answers: tuple[Future[_Answer], ...]

    def said(self) -> str:
        """Wait for the first answer, which begins as that to --version does: with the driver's version."""
        return self.answers[0].result().said

    def digest(self) -> str:
        """Digest all that the driver said; "" where that may come from anywhere: of a wrapper or configuration file."""
        found = [answer.result() for answer in self.answers]
        if not all(answer.plainly for answer in found):
            return ""
        # The name of the folder is another one each time.
        said = [answer.said.replace(str(self.work), "") for answer in found]
        return hashlib.sha256("\0".join(said).encode()).hexdigest()


def begin(plan: Plan, work: Path, pool: Executor) -> Questions:
    """Begin to ask the driver of a plan.

    Raises: FlagError for a flag that needs no question.
    """
    if plan.cflags:
        cc1.check_words(cc1.load(), plan.cflags)
    real = (*toolchain.starts(plan.toolchain), _UNCONFIGURED)
    kinds = {
        tuple(plan.driver_arguments(entry=entry, step=step, files=cc1.PROBE)): (entry, step)
        for entry, step in reversed(_KINDS)
    }
    answers = tuple(pool.submit(_ask, plan, kind, real, work) for kind in reversed(kinds.values()))
    return Questions(plan=plan, work=work, real=real, answers=answers)


def find(asked: Questions, *, allow: bool) -> Told:
    """Judge the answers, and refuse what stencils may not have.

    `allow` records what nobody has asked for instead of refusing it.

    Raises: FlagError.
    """
    plan = asked.plan
    unasked: dict[str, None] = {}
    # It takes as long to read them as to ask.
    rules = cc1.rules_for(f"{plan.target.format} {plan.emits}")
    answers = [answer.result() for answer in asked.answers]
    for answer in answers:
        _check_user(plan, answer, asked.real, asked.work)
        baseline = [f"-target-cpu {name}" for name in plan.target.cpus]
        baseline += [f"-target-feature {feature}" for feature in plan.target.features]
        unasked |= dict.fromkeys(cc1.vendors(rules, answer.plain, baseline))
        unasked |= dict.fromkeys(cc1.unasked(rules, answer.told_of_all, answer.told))
    if unasked and not allow:
        raise _not_asked(plan, tuple(unasked))
    differences = [arguments.difference(answer.plain, answer.told_of_all) for answer in answers]
    changed = [
        f"{sign}{one}"
        for difference in differences
        for sign, found in zip("-+", difference, strict=True)
        for one in found
    ]
    return Told(cpu=arguments.cpu(answers[0].told), unasked=tuple(unasked), changed=tuple(changed))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What cc1 is told by the clang itself of stencilkit's flags; by it, and by the program named, of all flags.

    `said` is all that the program named printed; `plainly` says that it is clang itself, without configuration files.
    """

    kind: tuple[bool, Step]
    plain: tuple[Argument, ...]
    told_of_all: tuple[Argument, ...]
    told: tuple[Argument, ...]
    said: str
    plainly: bool


def _ask(plan: Plan, kind: tuple[bool, Step], real: Sequence[str], work: Path) -> _Answer:
    """Ask three questions; one that is the same as another is asked once.

    Where the program named is clang itself and has read no configuration file, to forbid it those changes nothing.
    """
    entry, step = kind
    own = replace(plan, cflags=()).driver_arguments(entry=entry, step=step, files=cc1.PROBE)
    words = plan.driver_arguments(entry=entry, step=step, files=cc1.PROBE)
    named = plan.toolchain.command
    told = cc1.ask((*named, *words), work)
    plainly = not told.configured and real == (*named, _UNCONFIGURED)
    told_of_all = told.arguments if plainly else cc1.ask((*real, *words), work).arguments
    plain = told_of_all if own == words else cc1.ask((*real, *own), work).arguments
    return _Answer(kind, plain, told_of_all, told.arguments, told.said, plainly)


def _check_user(plan: Plan, answer: _Answer, real: Sequence[str], work: Path) -> None:
    """Refuse what the user's flags come to; name the one of them that does it, where one alone does.

    Raises: FlagError.
    """
    rules = cc1.rules_for(f"{plan.target.format} {plan.emits}")
    try:
        cc1.check_user(rules, answer.plain, answer.told_of_all, " ".join(plan.cflags))
    except FlagError:
        entry, step = answer.kind
        for flag in plan.cflags:
            alone = replace(plan, cflags=(flag,)).driver_arguments(entry=entry, step=step, files=cc1.PROBE)
            cc1.check_user(rules, answer.plain, cc1.ask((*real, *alone), work).arguments, flag)
        raise


def _not_asked(plan: Plan, unasked: tuple[str, ...]) -> FlagError:
    return FlagError(
        "this clang gets more flags than stencilkit and --cflags ask for, so its stencils would not be what they say",
        where=plan.toolchain.label,
        details="\n".join(unasked),
        fix="name the clang that it starts, or pass the same flags with --cflags; "
        "--allow-driver-flags accepts and records them",
    )
