"""Two stencils -> a proof that they do the same, or what stands in its way. Sound before complete.

terms        what registers and memory hold, in a normal form
memory       words of memory, with writes over them
machine      the state of one side, and what comes after an instruction
code         a stencil as code to run; how jit.c patches and relaxes
x86          what each instruction does, as a table, for 64 and 32 bits
aarch64      the same for aarch64
conventions  who passes what where, by target
assumptions  everything that is taken for granted, as a table
facts        what is known on a path
placing      how a row says where an object is
executors    where CPython's executors and their exits are, as a table
generators   the same of generators
placement    where all of CPython's objects are that do not overlap, as a table
objects      the same as regions of memory, for one uop
solver       the one door to z3
world        what both sides share, the two sides, and what they owe each other
meeting      what must be equal at calls and exits
arguments    what a callee can see of its arguments
returning    what is known behind a call
heads        where loops begin
loops        coinduction
unifying     one form for what is the same at the heads of loops
longer       loops where some rounds of one side are one of the other
joining      paths that come together behind a call
cases        loops by the number of their rounds, where a round of one side is not a round of the other
tables       jumps through a table in the data
apart        writes that are elsewhere by the form of what is known
tags         references whose tag is known to be clear
solving      sums that comparisons leave one number for
asking       questions about a path, the cheap ones first
search       paths of both sides, in pairs
filling      a stencil's bytes with its holes filled
seeds        states to run stencils on
running      one run of one stencil
possible     states that CPython could have
emulate      the one door to unicorn: replays, and evidence where there is no proof
policy       what is accepted beside proofs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from stencilkit.model import alignment
from stencilkit.model.machine import Operation
from stencilkit.model.proof import Difference, Proof, Prototype, Verdict
from stencilkit.model.stencil import HoleValue, StencilGroup
from stencilkit.prove import aarch64, conventions, emulate, longer, objects, running, seeds, tables, x86
from stencilkit.prove.assumptions import ASSERTING
from stencilkit.prove.code import Code
from stencilkit.prove.facts import optional
from stencilkit.prove.machine import UnsupportedError
from stencilkit.prove.possible import arranged, possible
from stencilkit.prove.search import Search, Step
from stencilkit.prove.solver import LimitError, Solver
from stencilkit.prove.world import StuckError, World

BUDGET: Final = 120_000_000
"""What one stencil may use of z3's resource units; about five million are a second."""
_STEP: Final = 6_000_000
RUNS: Final = 1000
"""How many states both are run on where no proof is found."""
_WITNESSES: Final = 4
_LOOPS: Final = longer.DIFFER
_TABLES: Final[Mapping[str, tuple[Mapping[str, Step], Mapping[str, int]]]] = {
    "x86_64": (x86.STEPS[64], x86.REGISTERS[64]),
    "i686": (x86.STEPS[32], x86.REGISTERS[32]),
    "aarch64": (aarch64.STEPS, aarch64.REGISTERS),
}

Decoder = Callable[[StencilGroup], tuple[Operation, ...]]
"""Disassembles the code of a stencil."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What both stencils are for: CPython series, target, and the C functions and objects that they may name.

    `layout` has sizes of CPython's types and offsets of fields. `runs` is how many states both are run on in unicorn
    where no proof is found; none if it is 0.
    """

    series: str
    triple: str
    arch: str
    entry: str | None
    prototypes: Mapping[str, Prototype]
    alignments: Mapping[str, int]
    layout: Mapping[str, int]
    decode: Decoder
    budget: int = BUDGET
    runs: int = 0


def prove(left: StencilGroup, right: StencilGroup, setting: Setting) -> Proof:
    """Prove that two stencils of one uop do the same, or say why that is not proved.

    Deterministic in a process that has proved nothing before: the solver's answers depend on what it was asked. The
    budget is for all attempts together.
    """
    first = _attempt(left, right, setting, ())
    if first.proof.verdict is Verdict.PROVED or first.search is None:
        return first.proof
    spent, last = first.proof.spent, first
    # A function's address can be in the data.
    patches = [patch for group in (left, right) for patch in (*group.code.patches, *group.data.patches)]
    asserts = any(patch.symbol in ASSERTING for patch in patches)
    for facts in optional(left.name, setting.series, asserts=asserts) if first.undecided else ():
        given = _attempt(left, right, replace(setting, budget=max(setting.budget - spent, 1)), facts)
        spent += given.proof.spent
        if given.proof.verdict is Verdict.PROVED:
            return replace(given.proof, verdict=Verdict.GIVEN, facts=facts, spent=spent)
        if given.stuck is not None:
            # What a fact does not explain is what to look at.
            last = given
    if first.undecided and first.search.has_loops and spent < setting.budget:
        # Last, as what is proved without it is found at the cost that it had.
        longer = _attempt(left, right, replace(setting, budget=setting.budget - spent), (), longer=True)
        spent += longer.proof.spent
        if longer.proof.verdict is Verdict.PROVED:
            return replace(longer.proof, spent=spent)
    last = replace(last, proof=replace(last.proof, spent=spent))
    return _replayed(last, setting) if setting.runs else last.proof


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What came of one search, which is not there where nothing can be searched, and where it was stuck."""

    proof: Proof
    search: Search | None
    stuck: StuckError | None = None

    @property
    def undecided(self) -> bool:
        """Whether the two may differ, so that a fact could help."""
        return self.stuck is not None or self.proof.why in (_LOOPS, f"unsupported: {tables.BESIDE}")


def _attempt(
    left: StencilGroup, right: StencilGroup, setting: Setting, given: tuple[str, ...], *, longer: bool = False
) -> _Attempt:
    solver = Solver(budget=setting.budget, step=min(_STEP, setting.budget))
    proof = Proof(name=left.name, verdict=Verdict.NOT_PROVED)
    search = None
    try:
        search = _search(left, right, setting, solver, given)
        search.longer = longer
        search.prove()
    except UnsupportedError as error:
        why = str(error) if str(error) == _LOOPS else f"unsupported: {error}"
        return _Attempt(replace(proof, why=why, spent=solver.spent), search)
    except (LimitError, RecursionError):
        return _Attempt(replace(proof, why="limit", spent=solver.spent), search)
    except StuckError as stuck:
        why = f"{stuck.difference.what} may differ"
        return _Attempt(replace(proof, why=why, difference=stuck.difference, spent=solver.spent), search, stuck)
    return _Attempt(replace(proof, verdict=Verdict.PROVED, spent=solver.spent), search)


def _replayed(attempt: _Attempt, setting: Setting) -> Proof:
    """Run both: a difference that shows is one, and runs that agree are evidence."""
    proof, search, stuck = attempt.proof, attempt.search, attempt.stuck
    mode = emulate.MODES.get(setting.arch)
    if mode is None or search is None:
        return proof
    emulator = emulate.Emulator(search.registers, mode)
    states = [arranged(seeds.Seed(number), search.regions, search.world) for number in range(setting.runs)]
    if stuck is not None:
        search.solver.budget += setting.budget
        values, words = search.witness(
            stuck.facts,
            running.addresses(search.left, search.right),
            seeds.REACH[search.left.word],
            running.entry(search.world),
        )
        states = [seeds.Seed(number, values, words) for number in range(_WITNESSES)] + states
    states = possible(states, search.regions, search.world)
    found, ended = emulate.differ(lambda seed: emulator.compare(search.left, search.right, search.world, seed), states)
    if found is not None:
        return replace(proof, verdict=Verdict.DIFFERS, difference=_shown(emulator, search, found), runs=ended)
    if ended >= setting.runs // 4:
        return replace(proof, verdict=Verdict.AGREED, runs=ended)
    return replace(proof, runs=ended)


def _shown(emulator: emulate.Emulator, search: Search, seed: seeds.Seed) -> Difference:
    """Describe the first event in which two runs differ."""
    one, other = emulator.compare(search.left, search.right, search.world, seed)
    for left, right in zip_longest(one, other, fillvalue=("nothing more", (), 0)):
        if left[:2] != right[:2]:
            only = [[row for row in mine[1] if row not in yours[1]] for mine, yours in ((left, right), (right, left))]
            texts = [" ".join((event[0], *map(str, rows))) for event, rows in zip((left, right), only, strict=True)]
            what = "a run in unicorn" + (" on the solver's values" if seed.values else "")
            return Difference(what=what, left=texts[0], right=texts[1], places=(left[2], right[2]))
    return Difference(what="a run in unicorn", left="", right="", places=(0, 0))


def _search(
    left: StencilGroup, right: StencilGroup, setting: Setting, solver: Solver, given: tuple[str, ...]
) -> Search:
    convention = conventions.CONVENTIONS.get(setting.triple)
    passing = conventions.passing(setting.triple, setting.series)
    tables = _TABLES.get(setting.arch)
    if convention is None or passing is None or tables is None:
        raise UnsupportedError(f"{setting.triple} of CPython {setting.series}")
    outside = convention if left.name == setting.entry else None
    if outside is not None:
        convention, passing = conventions.of_entry(convention, passing)
    # A table of places in the code is not the same beside another code.
    shared = left.data == right.data and all(patch.value is not HoleValue.CODE for patch in left.data.patches)
    codes = [
        Code(
            operations={op.offset: op for op in setting.decode(group)},
            stencil=group.code,
            data=group.data,
            name=group.name,
            alignments=setting.alignments,
            shared_data=shared,
            side=side,
            word=convention.word,
        )
        for group, side in ((left, "left"), (right, "right"))
    ]
    for code in codes:
        _check_aligned(code, setting.arch)
    world = World(convention, passing, setting.prototypes, setting.series, setting.layout, outside)
    return Search(codes[0], codes[1], world, *tables, solver, given, objects.regions(world, codes[0]))


def _check_aligned(code: Code, arch: str) -> None:
    """Refuse what faults at some addresses: every address is taken for one that can be read.

    Raises: UnsupportedError.
    """
    for op in code.operations.values():
        memory = ((one.size, one.base) for one in op.operands if one.kind == "memory")
        if alignment.may_fault(op.name, memory, arch):
            raise UnsupportedError(f"memory that may not be aligned, at {op.offset:#x}: {op.text}")
