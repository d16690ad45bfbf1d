"""Write the support tables of README.md and docs/support.md from the ledger.

    make table

The ledger is what reproducibility/gate found to be the same under all variations; nothing is built here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from stencilkit import targets
from stencilkit.pipeline import matrix
from stencilkit.pipeline.matrix import Supported

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "reproducibility" / "ledger"
BEGIN, END = "<!-- ledger: begin -->\n", "<!-- ledger: end -->\n"


def summary(found: Iterable[Supported]) -> Iterator[str]:
    """One row for each CPython."""
    yield "| CPython | LLVM | upstream accepts | target | stencils | identical to those of upstream's LLVM |"
    yield "| --- | --- | --- | --- | --- | --- |"
    release = [item for item in found if item.entry.flavour == "release"]
    for (version, triple), items in groupby(release, lambda item: (item.entry.cpython, item.entry.triple)):
        group = list(items)
        llvms = ", ".join(item.entry.llvm for item in group)
        pinned = targets.load().pythons[version.rpartition(".")[0]].pinned
        counts = [item.same for item in group if item.same is not None and not item.pinned]
        same = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else ""
        yield f"| {version} | {llvms} | {pinned} | {triple} | {len(group[0].entry.stencils)} | {same} |"


def details(found: Iterable[Supported]) -> Iterator[str]:
    """One row for each entry, and the reason for each LLVM that is refused."""
    head = "CPython | target | flavour | LLVM | stencils | code bytes | data bytes"
    yield f"| {head} | same as upstream's LLVM | proved the same | |"
    yield "|" + " --- |" * 10
    for item in found:
        entry = item.entry
        note = "upstream's choice" if item.pinned else "; ".join(f"`{what}`" for what in entry.deviations)
        sizes = f"{entry.code_bytes} | {entry.data_bytes}"
        same = "" if item.same is None else str(item.same)
        head = f"{entry.cpython} | {entry.triple} | {entry.flavour} | {entry.llvm}"
        yield f"| {head} | {len(entry.stencils)} | {sizes} | {same} | {proved(item)} | {note} |"
    yield ""
    for series, support in targets.load().pythons.items():
        yield f"* {series} with LLVM {support.llvm.first - 1} and older is refused: {support.too_old}."


def proved(item: Supported) -> str:
    """Say how many stencils are proved to do the same as those of upstream's LLVM, and what the others are."""
    found = item.entry.proofs
    if found is None or item.same is None:
        return ""
    rest = Counter(text.partition(":")[0] for text in found.otherwise.values())
    counts = [f"{item.same + found.proved} of {len(item.entry.stencils)}"]
    return ", ".join(counts + [f"{count} {text}" for text, count in sorted(rest.items())])


def between(text: str, lines: Iterable[str]) -> str:
    """Put lines between the markers of a text."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the text has no marker"
    assert end, "the text has no marker"
    return before + BEGIN + "\n".join(lines) + "\n" + END + after


def pages() -> dict[Path, str]:
    """Make the pages as they should be."""
    found = matrix.supported(LEDGER)
    return {
        path: between(path.read_text("utf-8"), lines)
        for path, lines in (
            (ROOT / "README.md", summary(found)),
            (ROOT / "docs" / "support.md", details(found)),
        )
    }


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
    sys.exit()
