"""What README.md and docs/support.md say is what the ledger says, and the ledger stays small enough to review."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import ledger, targets
from stencilkit.model.version import LlvmVersion, PythonVersion
from tests import scripts

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "reproducibility" / "ledger"


def test_the_pages_say_what_the_ledger_says() -> None:
    module = scripts.script("docs/support_table.py")
    stale = [path.name for path, text in module.pages().items() if path.read_text("utf-8") != text]
    assert stale == [], "run: make table"
    assert "| 3.14.7 |" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_every_supported_llvm_of_linux_is_in_the_ledger(triple: str) -> None:
    entries = [entry for entry in ledger.read_all(LEDGER) if (entry.triple, entry.flavour) == (triple, "release")]
    found: dict[str, set[int]] = {}
    for entry in entries:
        version, llvm = PythonVersion.parse(entry.cpython), LlvmVersion.parse(entry.llvm)
        assert version is not None
        assert llvm is not None
        found.setdefault(version.series, set()).add(llvm.major)
    assert found == {series: set(support.llvm) for series, support in targets.load().pythons.items()}


def test_a_person_can_review_it() -> None:
    files = sorted(LEDGER.glob("*/*.toml"))
    lines = {path.name: path.read_text("utf-8").count("\n") for path in files}
    assert sum(lines.values()) < 20_000
    whole = [path for path in files if "\nbase = " not in path.read_text("utf-8")]
    assert len(whole) == len({entry.group for entry in ledger.read_all(LEDGER)})
