"""Write docs/proofs.md, and its summary in docs/prove.md: the LLVM that upstream pins against each other one.

    python reproducibility/proofs.py [--jobs N] STENCILS...

Each of STENCILS is an output folder of `stencilkit build`, of any CPython, target, flavour and LLVM. Those of the
pinned LLVM are proved against the others of the same CPython, target and flavour, those with the fewest differences
first; what is proved is kept in the cache, so a run that was stopped goes on. docs/proofs.md has a row for each pair,
and is read again for the summary: a row stays until a later run finds something else.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stencilkit.model.proof import Proof, Verdict
from stencilkit.pipeline import admitting, proving
from stencilkit.pipeline.opening import Opened
from stencilkit.support import environ, files
from stencilkit.support.cache import ENTRIES, Store

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- proofs: begin -->\n", "<!-- proofs: end -->\n"
PAIRS = ("CPython", "target", "LLVM", "prover", "differ", "proved", "given a fact", "agreed on runs", "not proved")
SUMMARY = (
    "CPython",
    "target",
    "LLVM",
    "differ",
    "proved",
    "given a fact",
    "agreed on runs",
    "not proved",
    "proved, in %",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was found of one pair; `rest` says of each stencil that is not proved why."""

    cpython: str
    target: str
    pinned: str
    other: str
    prover: str
    differ: int
    proved: int
    given: int
    agreed: tuple[str, ...]
    rest: str

    def key(self) -> tuple[str, ...]:
        """Return what a row is about."""
        return self.cpython, self.target, self.pinned, self.other

    def cells(self) -> list[str]:
        """Write the row of the page."""
        agreed = [str(len(self.agreed)), *(f"`{name}`" for name in self.agreed)] if self.agreed else []
        numbers = [str(number or "") for number in (self.differ, self.proved, self.given)]
        llvms = f"{self.pinned}, {self.other}"
        return [self.cpython, self.target, llvms, self.prover, *numbers, ", ".join(agreed), self.rest]

    @classmethod
    def read(cls, line: str) -> Row:
        """Read the row of the page."""
        cpython, target, llvms, prover, *numbers, agreed, rest = (cell.strip() for cell in line[1:-2].split(" |"))
        differ, proved, given = (int(number or "0") for number in numbers)
        pinned, other = llvms.split(", ")
        return cls(
            cpython=cpython,
            target=target,
            pinned=pinned,
            other=other,
            prover=prover,
            differ=differ,
            proved=proved,
            given=given,
            agreed=tuple(re.findall("`(.+?)`", agreed)),
            rest=rest,
        )


def pairs(folders: list[Path]) -> Iterator[tuple[Opened, Opened]]:
    """Pair the pinned LLVM's stencils with the others."""
    groups: dict[tuple[str, str, str], list[Opened]] = {}
    for folder in folders:
        opened = admitting.header(folder)
        if opened.manifest is None:
            raise SystemExit(f"{folder} has no manifest")
        key = opened.manifest.cpython, opened.manifest.triple, opened.manifest.flavour
        groups.setdefault(key, []).append(opened)
    found = []
    for group in groups.values():
        pinned = [one for one in group if major(one) == one.python.support.pinned]
        found += [(pinned[0], other) for other in group if pinned and major(other) != major(pinned[0])]
    return iter(sorted(found, key=lambda pair: (differing(*pair), pair[0].label)))


def major(opened: Opened) -> int:
    return int(version(opened).partition(".")[0])


def version(opened: Opened) -> str:
    assert opened.manifest is not None
    return opened.manifest.toolchain.version


def differing(first: Opened, second: Opened) -> int:
    assert first.manifest is not None
    assert second.manifest is not None
    left = {record.name: record.content for record in first.manifest.stencils}
    return sum(left.get(record.name) != record.content for record in second.manifest.stencils)


def row(first: Opened, second: Opened, jobs: int) -> Row:
    request = proving.Request(jobs=jobs)
    store = Store(environ.cache_root() / ENTRIES)
    (proofs,) = proving.run((first.path.parent, second.path.parent), request, store=store)
    counts = Counter(proof.verdict for proof in proofs.proofs)
    rest = [proof for proof in proofs.proofs if proof.verdict in (Verdict.NOT_PROVED, Verdict.DIFFERS)]
    manifest = second.manifest
    assert manifest is not None
    return Row(
        cpython=manifest.cpython,
        target=manifest.triple + (", debug" if manifest.flavour == "debug" else ""),
        pinned=version(first),
        other=version(second),
        prover=proofs.assumptions[:8],
        differ=len(proofs.proofs) - counts[Verdict.IDENTICAL],
        proved=counts[Verdict.PROVED],
        given=counts[Verdict.GIVEN],
        agreed=tuple(proof.name for proof in proofs.proofs if proof.verdict is Verdict.AGREED),
        rest="; ".join(f"`{proof.name}`: {said(proof)}" for proof in rest),
    )


def said(proof: Proof) -> str:
    """Say why a stencil is not proved; that it differs is more than that."""
    return f"differs ({proof.why})" if proof.verdict is Verdict.DIFFERS else proof.why


def rows(page: Path) -> list[Row]:
    """Read the rows of the page."""
    _, begin, rest = page.read_text("utf-8").partition(BEGIN)
    assert begin, f"{page} has no marker"
    return [Row.read(line) for line in rest.partition(END)[0].splitlines()[2:]]


def summary(found: list[Row]) -> Iterator[list[str]]:
    """Add up the rows of each CPython and target."""
    for (cpython, target), group in itertools.groupby(
        sorted(found, key=Row.key), lambda row: (row.cpython, row.target)
    ):
        pairs = list(group)
        differ, proved, given = (sum(getattr(row, name) for row in pairs) for name in ("differ", "proved", "given"))
        agreed = sum(len(row.agreed) for row in pairs)
        llvms = f"{pairs[0].pinned} against {', '.join(row.other for row in pairs)}"
        numbers = [differ, proved, given, agreed, differ - proved - given - agreed]
        share = f"{math.floor(1000 * (proved + given) / differ) / 10}" if differ else ""
        yield [cpython, target, llvms, *(str(number or "") for number in numbers), share]


def write(page: Path, head: tuple[str, ...], lines: Iterable[list[str]]) -> None:
    """Put a table between the markers of a page."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    assert begin, f"{page} has no marker"
    aligned = ["---:" if name in ("differ", "proved", "given a fact", "proved, in %") else "---" for name in head]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in (head, aligned, *lines))
    files.write(page, (before + BEGIN + table + END + rest.partition(END)[2]).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    for first, second in pairs(arguments.folders):
        found = row(first, second, arguments.jobs)
        print(" | ".join(found.cells()), flush=True)
        kept = [other for other in rows(DOCS / "proofs.md") if other.key() != found.key()]
        known = sorted([*kept, found], key=Row.key)
        write(DOCS / "proofs.md", PAIRS, [each.cells() for each in known])
        write(DOCS / "prove.md", SUMMARY, summary(known))


if __name__ == "__main__":
    main()
