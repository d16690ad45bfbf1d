"""Stencils of a real CPython with one thing wrong: none is proved that does something else when it is run."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from stencilkit import disassemble, prove
from stencilkit.model.proof import Verdict
from stencilkit.model.stencil import StencilGroup
from stencilkit.pipeline import admitting, proving
from stencilkit.prove import Setting, emulate, seeds
from stencilkit.prove.possible import possible
from stencilkit.prove.solver import Solver
from stencilkit.support import forks
from tests import mutants, workbench

Pair = tuple[StencilGroup, mutants.Mutant]
# Longer stencils take longer, and are made of the same.
LONGEST = 700


def accepted(setting: Setting, pair: Pair) -> bytes:
    """Say whether a mutant is proved to do the same."""
    found = prove.prove(pair[0], pair[1].group, setting)
    return b"accepted" if found.verdict in (Verdict.PROVED, Verdict.GIVEN) else b"refused"


def run(setting: Setting, runs: int, pair: Pair) -> str:
    """Run a mutant that was proved; say what is changed in it, and whether a run shows that."""
    left, mutant = pair
    search = prove._search(left, mutant.group, setting, Solver(1, 1), ())
    emulator = emulate.Emulator(search.registers, emulate.MODES[setting.arch])
    states = possible((seeds.Seed(number) for number in range(runs)), search.regions, search.world)
    seed, ended = emulate.differ(lambda one: emulator.compare(search.left, search.right, search.world, one), states)
    changed = [
        f"{old.offset:#x} {old.text} -> {new.text}"
        for old, new in zip(
            disassemble.operations(left.code, setting.arch),
            disassemble.operations(mutant.group.code, setting.arch),
            strict=False,
        )
        if old.text != new.text
    ]
    verdict = "WRONG" if seed else "accepted"
    said = "; ".join(changed[:3]) or "the same instructions"
    return f"{verdict} {left.name} {mutant.kind}: {said} (agreed on {ended} of {runs} runs)"


def run_all(setting: Setting, runs: int, pairs: Sequence[Pair]) -> bytes:
    """Run mutants, one after the other: pages of memory follow from states, and are made once."""
    made = seeds.Seed.page
    lasting = functools.cache(lambda number, start, word: made(seeds.Seed(number), start, word))
    # Both sides of one run reach the same objects.
    passing = functools.lru_cache(64)(lasting.__wrapped__)

    def page(seed: seeds.Seed, start: int, word: int) -> bytes:
        if seed.words:
            return made(seed, start, word)
        return (lasting if start < seeds.HEAP else passing)(seed.number, start, word)

    seeds.Seed.page = page  # type: ignore[assignment,method-assign]  # this process runs nothing else
    return "\n".join(run(setting, runs, pair) for pair in pairs).encode()


def survivors(
    folder: Path, count: int, runs: int, seed: int, names: str = "*", *, longest: int = LONGEST, budget: int = 6_000_000
) -> tuple[Counter[str], list[str]]:
    opened = admitting.header(folder)
    groups = [
        group
        for group in opened.header.stencils.uops
        if 0 < len(group.code.body) < longest and fnmatchcase(group.name, names)
    ]
    setting = replace(proving._setting(opened, proving.Request(budget=budget)), runs=0)
    pairs = mutants.mutants(groups, opened.target.arch, count, seed)
    answers = [
        (answer or b"died").decode() for answer in forks.each(functools.partial(accepted, setting), pairs, jobs=1)
    ]
    left = [pair for pair, answer in zip(pairs, answers, strict=True) if answer == "accepted"]
    (said,) = forks.each(functools.partial(run_all, setting, runs), [left], jobs=1)
    assert said is not None, "the process that runs mutants died"
    print(said.decode())
    return Counter(answers), [text for text in said.decode().splitlines() if text.startswith("WRONG")]


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
@pytest.mark.parametrize("triple", [workbench.X86, workbench.ARM])
def test_no_mutant_is_proved_that_does_something_else(triple: str, tmp_path: Path) -> None:
    counts, wrong = survivors(workbench.built("3.15.0rc1", 21, tmp_path, triple=triple), 42, 100, 1)
    assert not wrong
    # Most changes matter: a prover that accepts more than a few does not look.
    assert counts["refused"] > 30, counts


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
def test_no_mutant_is_proved_by_objects_that_do_not_overlap(tmp_path: Path) -> None:
    counts, wrong = survivors(workbench.built("3.15.0rc1", 21, tmp_path), 20, 100, 3, "_PUSH_FRAME_r10")
    assert not wrong
    assert counts["refused"] > 10, counts


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
@pytest.mark.matrix
@pytest.mark.parametrize(
    ("triple", "count"), [(workbench.X86, 2500), (workbench.ARM, 2000), (workbench.WIN_I686, 1000)]
)
def test_no_mutant_of_thousands_is_proved_that_does_something_else(triple: str, count: int, tmp_path: Path) -> None:
    folder = workbench.built("3.15.0rc1", 21, tmp_path, triple=triple)
    # Short stencils have every kind of instruction.
    counts, wrong = survivors(folder, count, 10_000, 2, longest=300, budget=1_000_000)
    print(counts)
    assert not wrong
    assert counts["died"] == 0
