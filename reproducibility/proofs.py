"""Write the table of proofs in docs/prove.md: the LLVM that upstream pins against each other one.

    python reproducibility/proofs.py [--jobs N] STENCILS...

Each of STENCILS is an output folder of `stencilkit build`, of any CPython, target, flavour and LLVM. Those of the
pinned LLVM are proved against the others of the same CPython, target and flavour, those with the fewest differences
first; what is proved is kept in the cache, so a run that was stopped goes on. The table has a row for each pair.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stencilkit.model.proof import Proof, Verdict
from stencilkit.pipeline import admitting, proving
from stencilkit.pipeline.opening import Opened
from stencilkit.support import environ, files
from stencilkit.support.cache import ENTRIES, Store

PAGE = Path(__file__).parents[1] / "docs" / "prove.md"
BEGIN, END = "<!-- proofs: begin -->\n", "<!-- proofs: end -->\n"
HEAD = (
    "| CPython | target | LLVM | differ | proved | given a fact | agreed on runs | not proved |",
    "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
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


def row(first: Opened, second: Opened, jobs: int) -> str:
    request = proving.Request(jobs=jobs)
    store = Store(environ.cache_root() / ENTRIES)
    (proofs,) = proving.run((first.path.parent, second.path.parent), request, store=store)
    counts = Counter(proof.verdict for proof in proofs.proofs)
    rest = [proof for proof in proofs.proofs if proof.verdict in (Verdict.NOT_PROVED, Verdict.DIFFERS)]
    manifest = second.manifest
    assert manifest is not None
    flavour = ", debug" if manifest.flavour == "debug" else ""
    cells = [
        manifest.cpython,
        manifest.triple + flavour,
        f"{version(first)}, {version(second)}",
        str(len(proofs.proofs) - counts[Verdict.IDENTICAL]),
        *(str(counts[verdict] or "") for verdict in (Verdict.PROVED, Verdict.GIVEN)),
        named([proof for proof in proofs.proofs if proof.verdict is Verdict.AGREED]),
        "; ".join(f"`{proof.name}`: {said(proof)}" for proof in rest),
    ]
    return "| " + " | ".join(cells) + " |"


def said(proof: Proof) -> str:
    """Say why a stencil is not proved; that it differs is more than that."""
    return f"differs ({proof.why})" if proof.verdict is Verdict.DIFFERS else proof.why


def named(proofs: list[Proof]) -> str:
    return ", ".join([str(len(proofs)), *(f"`{proof.name}`" for proof in proofs)]) if proofs else ""


def key(line: str) -> tuple[str, ...]:
    """Return what names a row: CPython, target and LLVMs."""
    return tuple(line.split(" | ", 3)[:3])


def rows(text: str) -> dict[tuple[str, ...], str]:
    """Read the rows of the page."""
    _, begin, rest = text.partition(BEGIN)
    assert begin, "the page has no marker"
    return {key(line): line for line in rest.partition(END)[0].splitlines()[len(HEAD) :]}


def written(text: str, found: dict[tuple[str, ...], str]) -> str:
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return before + BEGIN + "\n".join([*HEAD, *(found[key] for key in sorted(found))]) + "\n" + END + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    for first, second in pairs(arguments.folders):
        line = row(first, second, arguments.jobs)
        print(line, flush=True)
        text = PAGE.read_text("utf-8")
        files.write(PAGE, written(text, {**rows(text), key(line): line}).encode())


if __name__ == "__main__":
    main()
