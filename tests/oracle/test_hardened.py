"""Every LLVM's hardened stencils: pads where something is entered through a register, and what the ledger has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stencilkit import ledger, manifest
from stencilkit.model.ledger import place
from stencilkit.model.manifest import MANIFEST_NAME
from tests import workbench as wb
from tests.cli.test_hardened import with_what_is_entered

pytestmark = [pytest.mark.matrix]
LEDGER = wb.ROOT / "reproducibility" / "ledger"
# PyPI's LLVMs that a CPython can have, and Debian's of a major version that PyPI has not.
LLVMS = {version: [major for major in (*wb.WHEELS, 23) if major >= min(19, pin)] for version, pin in wb.PINNED.items()}


def tools(version: str) -> str:
    """Name every LLVM that a CPython can have."""
    found = [wb.pypi_llvm(m) if m in wb.WHEELS else wb.debian_llvm(m) / "clang" for m in LLVMS[version]]
    return ",".join(map(str, found))


def audited(folder: Path, version: str) -> tuple[bool, str]:
    """Say whether no rule fails where landing pads are demanded, and how the rule ended."""
    demand = ["--demand", "landing-pads", "--format", "json"]
    done = wb.stencilkit("audit", folder, "--cpython", wb.tree(version), *demand, check=False)
    (audit,) = json.loads(done.stdout)["audits"]
    outcomes = {rule["rule"]: rule["outcome"] for rule in audit["rules"]}
    assert done.returncode == (0 if audit["passed"] else 1), done.stdout[-3000:]
    return audit["passed"], outcomes["landing-pads"]


@pytest.mark.parametrize("triple", [wb.X86, wb.ARM])
@pytest.mark.parametrize("version", wb.PINNED)
def test_what_is_entered_has_pads_with_every_llvm(version: str, triple: str, tmp_path: Path) -> None:
    """Few uops, among them those that are entered through a register; without --hardened, they have none."""
    tree = with_what_is_entered(version, tmp_path / "tree")
    words: list[str | Path] = ["build", "--cpython", tree, "--target", triple, "--llvm", tools(version)]
    words += ["--pyconfig-dir", wb.pyconfig(version, triple), "--out", tmp_path / "out"]
    for more in ((), ("--hardened",)):
        wb.stencilkit(*words, *more, timeout=7200)
    folders = sorted((tmp_path / "out").glob("*/*/*/llvm-*"))
    assert len(folders) == 2 * len(LLVMS[version])
    for folder in folders:
        expected = (True, "passed") if folder.parent.name == "release-hardened" else (False, "failed")
        assert audited(folder, version) == expected, folder


@pytest.mark.parametrize("triple", [wb.X86, wb.ARM])
@pytest.mark.parametrize("version", wb.PINNED)
def test_pads_are_where_they_are_needed_with_every_llvm(version: str, triple: str, tmp_path: Path) -> None:
    """What is entered begins with one, and the ledger expects these stencils."""
    words: list[str | Path] = ["build", "--cpython", wb.tree(version), "--target", triple, "--out", tmp_path]
    wb.stencilkit(*words, "--llvm", tools(version), "--hardened", timeout=7200)
    folders = sorted((tmp_path / version / triple / "release-hardened").iterdir())
    assert len(folders) == len(LLVMS[version])
    for folder in folders:
        assert audited(folder, version) == (True, "passed"), folder
        wb.stencilkit("verify", folder, "--ledger", LEDGER)
        llvm = folder.name.removeprefix("llvm-")
        before = ledger.read(LEDGER / place(version, triple, "release", llvm)).code_bytes
        made = manifest.parse((folder / MANIFEST_NAME).read_text(), str(folder))
        share = 100 * (made.code_bytes / before - 1)
        print(f"{version} {triple} LLVM {llvm}: {before} -> {made.code_bytes} bytes, +{share:.1f} %")
        # Where frames are taken out again, aarch64 goes on signing as if they were there.
        framed = any("-mframe-pointer=all" in deviation.what for deviation in made.deviations)
        assert 0 < share < (22 if framed else 11)
