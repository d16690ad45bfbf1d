"""Every instruction that stencils use, in random states: terms and unicorn come to the same."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from stencilkit import disassemble
from stencilkit.model.stencil import Stencil
from stencilkit.pipeline import admitting
from stencilkit.prove.machine import UnsupportedError
from stencilkit.prove.x86 import x87
from tests import semantics, workbench

# Whether a store happens is up to the processor's monitor (Arm ARM, B2.12): the prover refuses both, and loops of them.
EXCLUSIVE = ("ldxr", "ldaxr", "stxr", "stlxr")
# What these were with their holes. On x86 an address in the code is modelled, and what is there is not: an instruction
# alone has no table.
NOT_RUN = ("an address in the code", "a load from the code", "a call within the stencil")


def fuzzed(folders: list[Path], count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run every encoding of some stencils in `count` states; return the states by mnemonic, and what differs."""
    opened = [admitting.header(folder) for folder in folders]
    groups = [group for one in opened for group in one.header.stencils.groups]
    arch = opened[0].target.arch
    engine, seeded = semantics.ENGINES[arch](), random.Random(seed)
    done: Counter[str] = Counter()
    found: list[str] = []
    for op, body in semantics.encodings(groups, arch):
        try:
            found += semantics.mismatches(op, body, engine, count, seeded)
        except UnsupportedError as error:
            assert str(error) in NOT_RUN or op.name in EXCLUSIVE, error
            continue
        done[op.name] += count
    return done, found


def drawn(arch: str, total: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run instructions that were made up, until as many states have been run; each mnemonic about as often."""
    engine, seeded = semantics.ENGINES[arch](), random.Random(seed)
    done: Counter[str] = Counter()
    found: list[str] = []
    most = 3 * total // len(engine.tables.STEPS)
    for op, body in semantics.drawn(arch, engine.tables.STEPS, seeded):
        if sum(done.values()) >= total:
            break
        if done[op.name] >= most:
            continue
        try:
            wrong = semantics.mismatches(op, body, engine, 4, seeded)
        except UnsupportedError:
            continue
        # Where no state can be run (a displacement beyond the memory there is), nothing is learnt.
        if not any("no state of" in text for text in wrong):
            found += wrong
            done[op.name] += 4
    return done, found


@pytest.mark.parametrize("arch", semantics.ENGINES)
def test_instructions_that_are_made_up_do_what_unicorn_does(arch: str) -> None:
    done, found = drawn(arch, 1600, 1)
    assert not found, found[:5]
    assert len(done) > 30


def test_every_form_of_an_instruction_of_the_x87_does_what_unicorn_does() -> None:
    engine, seeded = semantics.I686(), random.Random(3)
    # With every register of its stack, and with what is in memory at [ebp + 8].
    bodies = [bytes((opcode, form)) for opcode in range(0xD8, 0xE0) for form in range(0xC0, 0x100)]
    bodies += [bytes((opcode, 0x45 | digit << 3, 8)) for opcode in range(0xD8, 0xE0) for digit in range(8)]
    done: Counter[str] = Counter()
    for body in bodies:
        ops = disassemble.operations(Stencil(body=body, patches=()), "i686")
        if len(ops) != 1 or ops[0].name not in x87.STEPS:
            continue
        try:
            assert not semantics.mismatches(ops[0], body, engine, 3, seeded)
        except UnsupportedError:
            continue
        done[ops[0].name] += 3
    assert done.keys() == x87.STEPS.keys()


@pytest.mark.matrix
@pytest.mark.parametrize("arch", semantics.ENGINES)
def test_many_instructions_that_are_made_up_do_what_unicorn_does(arch: str) -> None:
    done, found = drawn(arch, 100_000, 2)
    print(f"{sum(done.values())} states of {len(done)} mnemonics of {arch}")
    assert not found, found[:5]


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
@pytest.mark.parametrize("triple", [workbench.X86, workbench.ARM])
def test_semantics_are_those_of_unicorn(triple: str, tmp_path: Path) -> None:
    config = workbench.config_for("3.15.0rc1", triple, "release", tmp_path / "config")
    folder = workbench.built("3.15.0rc1", 21, tmp_path / "out", "--pyconfig-dir", config, triple=triple)
    done, found = fuzzed([folder], 2, 1)
    assert not found, found[:5]
    assert sum(done.values()) > 4000


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
@pytest.mark.matrix
@pytest.mark.parametrize("triple", [workbench.X86, workbench.WIN_I686, workbench.ARM])
def test_semantics_are_those_of_unicorn_in_100_000_states(triple: str, tmp_path: Path) -> None:
    pairs = (("3.15.0rc1", 19), ("3.15.0rc1", 23), ("3.14.7", 19))
    folders = [
        workbench.built(version, major, tmp_path / f"{version}-{major}", triple=triple) for version, major in pairs
    ]
    done, found = fuzzed(folders, 30, 2)
    print(f"{sum(done.values())} states of {len(done)} mnemonics")
    assert not found, found[:5]
    assert sum(done.values()) > 100_000
