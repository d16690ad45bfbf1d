"""Every instruction that stencils use, in random states: terms and unicorn come to the same."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import semantics
import workbench

from stencilkit.pipeline import admitting
from stencilkit.prove.machine import UnsupportedError

# Without its hole, an address in the code is none.
NOT_RUN = "an address in the code"


def fuzzed(folders: list[Path], count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run every encoding of some stencils in `count` states; return the states by mnemonic, and what differs."""
    groups = [group for folder in folders for group in admitting.header(folder).header.stencils.groups]
    engine, seeded = semantics.X86(), random.Random(seed)
    done: Counter[str] = Counter()
    found: list[str] = []
    for op in semantics.encodings(groups, "x86_64"):
        try:
            found += semantics.mismatches(op, engine, count, seeded)
        except UnsupportedError as error:
            assert str(error) == NOT_RUN, error
            continue
        done[op.name] += count
    return done, found


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
def test_semantics_are_those_of_unicorn(tmp_path: Path) -> None:
    folder = workbench.built("3.15.0rc1", 21, tmp_path)
    done, found = fuzzed([folder], 2, 1)
    assert not found, found[:5]
    assert sum(done.values()) > 4000


@pytest.mark.process
@pytest.mark.network
@pytest.mark.oracle
@pytest.mark.matrix
def test_semantics_are_those_of_unicorn_in_100_000_states(tmp_path: Path) -> None:
    pairs = (("3.15.0rc1", 19), ("3.15.0rc1", 23), ("3.14.7", 19), ("3.13.15", 18))
    folders = [workbench.built(version, major, tmp_path / f"{version}-{major}") for version, major in pairs]
    done, found = fuzzed(folders, 30, 2)
    print(f"{sum(done.values())} states of {len(done)} mnemonics")
    assert not found, found[:5]
    assert sum(done.values()) > 100_000
