"""What a packager or a site demands of the Pythons that identify finds: read, and asked of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args

from stencilkit.errors import PolicyError
from stencilkit.model.signature import Identification, Verdict
from stencilkit.model.version import MajorRange
from stencilkit.support.fields import document

_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is enough: one of `accept`; with `ledger`, stencils that the ledger has an entry for.

    `seen` is the least part of a build's stencils that must be visible in the program, in percent. `llvm` None allows
    any.
    """

    accept: tuple[Verdict, ...] = ("identified",)
    ledger: bool = False
    llvm: MajorRange | None = None
    seen: int = 0


def parse(text: str, where: str) -> Policy:
    """Read a policy; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field, or if it accepts everything.
    """
    root = document(text, name=where, schema=_SCHEMA, error=PolicyError)
    accept = root.texts("accept", ("identified",))
    known: tuple[Verdict, ...] = get_args(Verdict)
    for word in accept:
        if word not in known:
            raise root.fail("accept", f"{word!r} is not one of {', '.join(known)}")
    llvm = root.text("llvm", "")
    versions = MajorRange.parse(llvm) if llvm else None
    if llvm and versions is None:
        raise root.fail("llvm", f"is not a version or a range like 19..22: {llvm!r}")
    policy = Policy(
        accept=tuple(word for word in known if word in accept),
        ledger=root.boolean("ledger", False),  # noqa: FBT003  # the default
        llvm=versions,
        seen=root.integer("seen-percent", 0),
    )
    root.done()
    if not policy.accept or set(policy.accept) == set(known):
        raise root.fail("accept", "must name at least one verdict, and not all")
    if not 0 <= policy.seen <= 100:
        raise root.fail("seen-percent", "must be from 0 to 100")
    return policy


def refusals(policy: Policy, found: Identification, *, in_ledger: bool) -> Iterator[str]:
    """List why a Python is not good enough; empty if it is.

    `in_ledger` is whether the ledger has an entry for its stencils.
    """
    if found.verdict not in policy.accept:
        accepted = " or ".join(f'"{verdict}"' for verdict in policy.accept)
        yield f'the verdict is "{found.verdict}", not {accepted}'
    if not found.best:
        # Without stencils, there is nothing more to ask.
        return
    best = found.best[0]
    if policy.ledger and not in_ledger:
        yield f"the ledger has no entry for {best.candidate.made}"
    majors = {item.candidate.made.llvm.partition(".")[0] for item in found.best}
    if policy.llvm is not None and not all(major.isdigit() and int(major) in policy.llvm for major in majors):
        yield f"LLVM {' or '.join(sorted(majors)) or 'unknown'} is not one of {policy.llvm}"
    if best.seen < policy.seen:
        yield f"{best.seen} % of the stencils are visible in it, and the policy demands {policy.seen}"
