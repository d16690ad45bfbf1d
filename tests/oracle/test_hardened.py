"""Every LLVM's hardened stencils: pads where something is entered through a register, and what the ledger has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stencilkit import ledger, manifest
from stencilkit.model.ledger import place
from stencilkit.model.manifest import MANIFEST_NAME
from tests import workbench as wb

pytestmark = [pytest.mark.matrix]
LEDGER = wb.ROOT / "reproducibility" / "ledger"
# PyPI's LLVMs that a CPython can have, and Debian's of a major version that PyPI has not.
LLVMS = {version: [major for major in (*wb.WHEELS, 23) if major >= min(19, pin)] for version, pin in wb.PINNED.items()}


@pytest.mark.parametrize("triple", [wb.X86, wb.ARM])
@pytest.mark.parametrize("version", wb.PINNED)
def test_pads_are_where_they_are_needed_with_every_llvm(version: str, triple: str, tmp_path: Path) -> None:
    """What is entered begins with one, and the ledger expects these stencils; tests/cli has that plain ones fail."""
    tools = [wb.pypi_llvm(m) if m in wb.WHEELS else wb.debian_llvm(m) / "clang" for m in LLVMS[version]]
    llvms = ",".join(map(str, tools))
    words: list[str | Path] = ["build", "--cpython", wb.tree(version), "--target", triple, "--out", tmp_path]
    wb.stencilkit(*words, "--llvm", llvms, "--hardened", timeout=7200)
    folders = sorted((tmp_path / version / triple / "release-hardened").iterdir())
    assert len(folders) == len(tools)
    for folder in folders:
        demand = ["--demand", "landing-pads", "--format", "json"]
        done = wb.stencilkit("audit", folder, "--cpython", wb.tree(version), *demand, check=False)
        (audit,) = json.loads(done.stdout)["audits"]
        assert (audit["passed"], done.returncode) == (True, 0), done.stdout[-3000:]
        outcomes = {rule["rule"]: rule["outcome"] for rule in audit["rules"]}
        assert outcomes["landing-pads"] == "passed", folder
        wb.stencilkit("verify", folder, "--ledger", LEDGER)
        llvm = folder.name.removeprefix("llvm-")
        before = ledger.read(LEDGER / place(version, triple, "release", llvm)).code_bytes
        after = manifest.parse((folder / MANIFEST_NAME).read_text(), str(folder)).code_bytes
        share = 100 * (after / before - 1)
        print(f"{version} {triple} LLVM {llvm}: {before} -> {after} bytes, +{share:.1f} %")
        assert 0 < share < 15
