"""Every LLVM's hardened stencils: pads where something is entered through a register, and what the ledger has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stencilkit import manifest
from stencilkit.model.manifest import MANIFEST_NAME
from tests import workbench as wb

pytestmark = [pytest.mark.matrix]
LEDGER = wb.ROOT / "reproducibility" / "ledger"
# PyPI's LLVMs that a CPython can have, and Debian's of a major version that PyPI has not.
LLVMS = {version: [major for major in (*wb.WHEELS, 23) if major >= min(19, pin)] for version, pin in wb.PINNED.items()}


@pytest.mark.parametrize("triple", [wb.X86, wb.ARM])
@pytest.mark.parametrize("version", wb.PINNED)
def test_pads_are_where_they_are_needed_with_every_llvm(version: str, triple: str, tmp_path: Path) -> None:
    """What is entered begins with one; plain stencils are refused for that; and the ledger expects these digests."""
    wheels, others = wb.WHEELS, wb.debian_llvm
    tools = [wb.pypi_llvm(major) if major in wheels else others(major) / "clang" for major in LLVMS[version]]
    words: list[str | Path] = ["build", "--cpython", wb.tree(version), "--target", triple, "--out", tmp_path]
    base = [*words, "--llvm", ",".join(map(str, tools))]
    wb.stencilkit(*base, "--hardened", timeout=7200)
    wb.stencilkit(*base, timeout=7200)
    plain, hardened = (
        sorted((tmp_path / version / triple / kind).iterdir()) for kind in ("release", "release-hardened")
    )
    assert len(plain) == len(hardened) == len(tools)
    for before, after in zip(plain, hardened, strict=True):
        refused, passed = (audited(folder, version) for folder in (before, after))
        assert (refused["landing-pads"], passed["landing-pads"]) == ("failed", "passed"), after
        wb.stencilkit("verify", after, "--ledger", LEDGER)
        sizes = [code_bytes(folder) for folder in (before, after)]
        share = 100 * (sizes[1] / sizes[0] - 1)
        print(f"{version} {triple} {after.name}: {sizes[0]} -> {sizes[1]} bytes, +{share:.1f} %")
        assert 0 < share < 15


def audited(folder: Path, version: str) -> dict[str, str]:
    """Say how each rule ended, with landing pads demanded."""
    demand = ["--demand", "landing-pads", "--format", "json"]
    done = wb.stencilkit("audit", folder, "--cpython", wb.tree(version), *demand, check=False)
    (audit,) = json.loads(done.stdout)["audits"]
    return {rule["rule"]: rule["outcome"] for rule in audit["rules"]}


def code_bytes(folder: Path) -> int:
    """Read how much code all stencils have."""
    return manifest.parse((folder / MANIFEST_NAME).read_text(), str(folder)).code_bytes
