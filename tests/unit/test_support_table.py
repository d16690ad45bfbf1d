"""What README.md and docs/support.md say is what the ledger says, and the ledger stays small enough to review."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from stencilkit import ledger, targets
from stencilkit.model.version import LlvmVersion, PythonVersion
from tests import scripts

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "reproducibility" / "ledger"
# What `build` does not make for x86_64 macOS: a stencil would read from beside its data (adr/0102).
REFUSED: dict[str, dict[str, set[int]]] = {"release": {"3.13": {23}, "3.15": {19}}, "debug": {"3.15": {19}}}


def test_the_pages_say_what_the_ledger_says() -> None:
    module = scripts.script("docs/support_table.py")
    stale = [path.name for path, text in module.pages().items() if path.read_text("utf-8") != text]
    assert stale == [], "run: make table"
    assert "| 3.14.7 |" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("flavour", ["release", "debug"])
@pytest.mark.parametrize("triple", [target.triple for target in targets.load().targets if not target.like])
def test_every_supported_llvm_is_in_the_ledger(triple: str, flavour: str) -> None:
    entries = [entry for entry in ledger.read_all(LEDGER) if (entry.triple, entry.flavour) == (triple, flavour)]
    found: dict[str, set[int]] = {}
    for entry in entries:
        version, llvm = PythonVersion.parse(entry.cpython), LlvmVersion.parse(entry.llvm)
        assert version is not None
        assert llvm is not None
        found.setdefault(version.series, set()).add(llvm.major)
    refused = REFUSED[flavour] if triple == "x86_64-apple-darwin" else {}
    supported = targets.load().pythons.items()
    assert found == {series: set(support.llvm) - refused.get(series, set()) for series, support in supported}


def test_a_person_can_review_it() -> None:
    """Of a CPython, target and flavour, one entry names every stencil, and the others those that differ from it."""
    files = sorted(LEDGER.glob("*/*.toml"))
    texts = {path: path.read_text("utf-8") for path in files}
    whole = [path for path in files if "\nbase = " not in texts[path]]
    assert statistics.median(texts[path].count("\n") for path in files if path not in whole) < 100
    # Where an LLVM changes nearly every stencil, its entry is as long as a whole one, and never longer.
    longest = {path.parent: max(texts[one].count("\n") for one in whole if one.parent == path.parent) for path in files}
    assert all(texts[path].count("\n") < 1.2 * longest[path.parent] for path in files)
    assert len(whole) == len({entry.group for entry in ledger.read_all(LEDGER)})
