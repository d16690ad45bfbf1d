"""Proofs beside what a ledger says of them: what differs, or what to write there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from stencilkit import ledger
from stencilkit.errors import UsageError
from stencilkit.model.ledger import Entry, Proven
from stencilkit.model.proof import Proof, Proofs, Verdict
from stencilkit.pipeline.opening import Opened

_ACCOUNTED: Final = (Verdict.IDENTICAL, Verdict.PROVED)


def unlike(first: Opened, second: Opened, proofs: Proofs, folder: Path, *, update: bool) -> tuple[str, ...]:
    """Compare proofs with those in a ledger, or write them there; return what differs.

    The first stencils must be those of the entry that the second's differs from.

    Raises: LedgerError, UsageError.
    """
    entries = []
    for opened in (first, second):
        entry = ledger.find(folder, opened.manifest) if opened.manifest is not None else None
        if opened.manifest is None or entry is None or entry != Entry.of(opened.manifest):
            raise UsageError(
                f"{opened.label} is not what the ledger describes",
                fix="give output folders of what stencilkit gate has put there",
            )
        entries.append(entry)
    base, entry = entries
    if ledger.base_of(folder, entry, second.python.support.pinned).content != base.content:
        raise UsageError(f"the ledger does not compare {entry.llvm} with {base.llvm}", fix="give its base first")
    counts = Counter(proof.verdict for proof in proofs.proofs)
    found = Proven(
        prover=proofs.assumptions,
        content=entry.content,
        base=base.content,
        proved=counts[Verdict.PROVED],
        otherwise={proof.name: _account(proof) for proof in proofs.proofs if proof.verdict not in _ACCOUNTED},
    )
    if update:
        ledger.write(folder, replace(entry, proofs=found), second.python.support.pinned)
        return ()
    return tuple(_unlike(found, entry.proofs))


def _account(proof: Proof) -> str:
    text = f"{proof.verdict.value} {', '.join(proof.facts)}".rstrip()
    return f"{text}: {proof.why}" if proof.verdict is Verdict.NOT_PROVED else text


def _unlike(found: Proven, expected: Proven | None) -> Iterator[str]:
    if expected is None:
        yield "the ledger says nothing of proofs"
        return
    for name in sorted(found.otherwise.keys() | expected.otherwise.keys()):
        now, then = (rows.get(name, "proved") for rows in (found.otherwise, expected.otherwise))
        if now != then:
            yield f"{name} is {now}; the ledger says {then}"
