"""Two stencils -> a proof that they do the same, or what stands in its way. Sound before complete.

terms        what registers and memory hold, in a normal form
memory       words of memory, with writes over them
machine      the state of one side, and what comes after an instruction
code         a stencil as code to run; how jit.c patches and relaxes
x86          what each instruction does, as a table
assumptions  everything that is taken for granted, as a table
facts        what is known on a path
solver       the one door to z3
meeting      what must be equal at calls and exits
loops        coinduction
search       paths of both sides, in pairs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stencilkit.model.machine import Operation
from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import StencilGroup
from stencilkit.prove import assumptions, x86
from stencilkit.prove.code import Code
from stencilkit.prove.machine import UnsupportedError
from stencilkit.prove.meeting import World
from stencilkit.prove.search import Search, StuckError
from stencilkit.prove.solver import LimitError, Solver

BUDGET: Final = 60_000_000
"""What one stencil may use of z3's resource units; about five million are a second."""
_STEP: Final = 6_000_000
_TABLES: Final = {"x86_64": (x86.STEPS, x86.REGISTERS)}

Decoder = Callable[[StencilGroup], tuple[Operation, ...]]
"""Disassembles the code of a stencil."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What both stencils are for: CPython series, target, and the C functions and objects that they may name."""

    series: str
    triple: str
    arch: str
    entry: str | None
    prototypes: Mapping[str, Prototype]
    alignments: Mapping[str, int]
    decode: Decoder
    budget: int = BUDGET


def prove(left: StencilGroup, right: StencilGroup, setting: Setting) -> Proof:
    """Prove that two stencils of one uop do the same, or say why that is not proved.

    Deterministic in a process that has proved nothing before: the solver's answers depend on what it was asked.
    """
    proof = _attempt(left, right, setting, ())
    if proof.difference is None:
        return proof
    for fact in (one.name for one in assumptions.ASSUMPTIONS if one.optional):
        given = _attempt(left, right, setting, (fact,))
        if given.verdict is Verdict.PROVED:
            return Proof(name=left.name, verdict=Verdict.GIVEN, facts=(fact,), spent=proof.spent + given.spent)
    return proof


def _attempt(left: StencilGroup, right: StencilGroup, setting: Setting, given: tuple[str, ...]) -> Proof:
    solver = Solver(budget=setting.budget, step=min(_STEP, setting.budget))
    try:
        _search(left, right, setting, solver, given).prove()
    except UnsupportedError as error:
        return _no_proof(left.name, f"unsupported: {error}" if str(error) != "loops differ" else str(error), solver)
    except LimitError:
        return _no_proof(left.name, "limit", solver)
    except StuckError as stuck:
        return Proof(
            name=left.name,
            verdict=Verdict.NOT_PROVED,
            why=f"{stuck.difference.what} {'differs in z3' if stuck.certain else 'may differ'}",
            difference=stuck.difference,
            spent=solver.spent,
        )
    return Proof(name=left.name, verdict=Verdict.PROVED, spent=solver.spent)


def _no_proof(name: str, why: str, solver: Solver) -> Proof:
    return Proof(name=name, verdict=Verdict.NOT_PROVED, why=why, spent=solver.spent)


def _search(
    left: StencilGroup, right: StencilGroup, setting: Setting, solver: Solver, given: tuple[str, ...]
) -> Search:
    convention = assumptions.CONVENTIONS.get(setting.triple)
    tables = _TABLES.get(setting.arch)
    if convention is None or tables is None or setting.series not in convention.live:
        raise UnsupportedError(f"{setting.triple} of CPython {setting.series}")
    if left.name == setting.entry:
        raise UnsupportedError("the entry, which is called by C")
    shared = left.data == right.data
    codes = [
        Code(
            operations={op.offset: op for op in setting.decode(group)},
            stencil=group.code,
            data=group.data,
            name=group.name,
            alignments=setting.alignments,
            shared_data=shared,
            side=side,
        )
        for group, side in ((left, "left"), (right, "right"))
    ]
    world = World(convention, convention.live[setting.series], setting.prototypes)
    return Search(codes[0], codes[1], world, *tables, solver, given)
