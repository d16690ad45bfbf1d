"""No rule of audit fails on what CPython's own generator makes, for any target.

`make test` audits what the rows of tests/oracle/test_upstream.py have made already; `make oracle` all targets, release
and debug. There, what is audited is our build: test_same_as_upstream says that it is the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from stencilkit.model.target import Flavour
from stencilkit.pipeline import auditing, knowing
from tests import workbench as wb

# Faults of upstream's that the rules find, as they should. Here a jump's offset is the byte 8B, and a call follows:
# jit.c would take the two for a mov to relax, if the called function's bytes happened to look like a near address.
FAULTS = {
    ("3.14.7", wb.WIN_I686, "debug"): [
        "holes: _CALL_TYPE_1: patch_x86_64_32rx at 0x28b would rewrite what is not the opcode of call 0x28f"
    ]
}


def failed(path: Path, version: str, triple: str, tree: Path | None = None) -> list[str]:
    found = auditing.run(path, auditing.Asked(triple=triple, tree=knowing.tree(tree or wb.tree(version))))
    return [
        f"{result.rule}: {finding.stencil}: {finding.what}"
        for result in found.results
        if result.outcome == "failed"
        for finding in result.findings[:5]
    ]


def audited(theirs: Path, version: str, triple: str, tree: Path | None = None) -> None:
    (name,) = sorted(theirs.glob("jit_stencils-*.h")) or [theirs / "jit_stencils.h"]
    assert failed(name, version, triple, tree) == []


@pytest.mark.parametrize("version", wb.PINNED)
def test_no_rule_fails_on_upstreams_header(version: str) -> None:
    audited(wb.upstream(version, wb.PINNED[version]), version, wb.X86)


@pytest.mark.parametrize(("version", "major", "triple", "flavour"), wb.SAMPLED)
def test_no_rule_fails_on_a_sixth_of_upstreams(
    version: str, major: int, triple: str, flavour: Flavour, tmp_path: Path
) -> None:
    tree, _, theirs = wb.sixth(version, major, triple, flavour, tmp_path)
    audited(theirs, version, triple, tree)


@pytest.mark.matrix
@pytest.mark.parametrize("flavour", get_args(Flavour))
@pytest.mark.parametrize("triple", [wb.X86, wb.ARM, *wb.FOREIGN])
@pytest.mark.parametrize("version", wb.PINNED)
def test_no_rule_fails_on_any_target(version: str, triple: str, flavour: Flavour, tmp_path: Path) -> None:
    config = wb.pyconfig(version, triple, flavour)
    debug = ["--debug"] if flavour == "debug" else []
    ours = wb.built(version, wb.PINNED[version], tmp_path, "--pyconfig-dir", config, *debug, triple=triple)
    assert failed(ours, version, triple) == FAULTS.get((version, triple, flavour), [])
