"""Every reader answers every input in time, with what it read or a typed error: seeds, old faults, mutations."""

from __future__ import annotations

import itertools

import pytest

from tests.fuzz import cases
from tests.fuzz.readers import READERS

# 20,000 in a minute; readers of files and of code take ten times as long as those of text.
CASES = 1700
SLOW = {"bundle": 400, "tarball": 300, "elf": 900, "manifest": 700, "code": 60, "assembly": 2000}
SEED = 20261125


@pytest.mark.parametrize("name", READERS)
def test_its_seeds_are_what_it_reads(name: str) -> None:
    """A mutation of what is refused at the first byte tests nothing."""
    assert any(cases.run(name, data) for data in READERS[name].seeds)


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, path.name, id=f"{name}-{path.name}") for name in READERS for path in cases.corpus(name)],
)
def test_what_was_a_fault_once_is_none(name: str, case: str) -> None:
    cases.run(name, (cases.CORPUS / name / case).read_bytes())


@pytest.mark.parametrize("name", READERS)
def test_mutations_are_read_or_refused(name: str) -> None:
    for number, data in enumerate(itertools.islice(cases.generate(name, SEED), SLOW.get(name, CASES))):
        try:
            cases.run(name, data)
        except BaseException as error:
            error.add_note(f"case {number} of {name}: {data[:2000]!r}")
            raise


def test_there_is_nothing_in_the_corpus_that_no_reader_reads() -> None:
    assert {path.name for path in cases.CORPUS.iterdir() if path.is_dir()} <= READERS.keys()


def test_twenty_thousand_cases() -> None:
    assert sum(SLOW.get(name, CASES) for name in READERS) >= 19_000
