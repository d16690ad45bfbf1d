"""What came of compiling units: their bytes, how each was compiled, and what did not compile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stencilkit.errors import CompileError
from stencilkit.model.build import Plan

_SHOWN_LINES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How some units were compiled.

    `alone` names those that needed a process of their own, `shortened` those compiled without their dead code;
    `failures` has the diagnostics of those that did not compile; `notes` say what did not work out, in order.
    """

    alone: frozenset[str] = frozenset()
    shortened: frozenset[str] = frozenset()
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __add__(self, later: Account) -> Account:
        return Account(
            alone=self.alone | later.alone,
            shortened=self.shortened | later.shortened,
            failures={**self.failures, **later.failures},
            notes=(*self.notes, *later.notes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The bytes of those units that compiled, by name, and the account of all."""

    data: Mapping[str, bytes] = field(default_factory=dict)
    account: Account = field(default_factory=Account)

    def __add__(self, later: Outputs) -> Outputs:
        return Outputs(data={**self.data, **later.data}, account=self.account + later.account)


def alone(name: str) -> Outputs:
    """Account for a unit that was compiled in a process of its own."""
    return Outputs(account=Account(alone=frozenset({name})))


def failed(name: str, why: str) -> Outputs:
    """Account for a unit that did not compile."""
    return Outputs(account=Account(failures={name: why}))


def check_failures(plan: Plan, failures: Mapping[str, str]) -> None:
    """Report every unit that did not compile, each with its diagnostics.

    Raises: CompileError.
    """
    if failures:
        raise CompileError(
            f"{len(failures)} of {len(plan.units)} units did not compile",
            where=plan.toolchain.label,
            details=_by_diagnostics(failures),
            fix="fix the source or the flags (--cflags); nothing was written",
        )


def _by_diagnostics(failures: Mapping[str, str]) -> str:
    """List all failures, those with the same first error together; long diagnostics are cut."""
    groups: dict[str, list[str]] = {}
    for name in sorted(failures):
        errors = [line.partition("error: ")[2] for line in failures[name].splitlines() if "error: " in line]
        groups.setdefault(errors[0] if errors else "", []).append(name)
    blocks = []
    for names in sorted(groups.values()):
        lines = failures[names[0]].splitlines()
        cut = [f"... {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
        blocks.append("\n".join([f"[{', '.join(names)}]", *lines[:_SHOWN_LINES], *cut]))
    return "\n".join(blocks)
