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

SAMPLE = [
    ("3.13.15", 18, wb.X86, "release"),
    ("3.14.7", 19, wb.X86, "release"),
    ("3.15.0rc1", 21, wb.X86, "release"),
    ("3.14.7", 19, wb.ARM, "debug"),
    ("3.14.7", 19, wb.MAC_ARM, "release"),
    ("3.14.7", 19, wb.WIN_X86, "release"),
]


# Faults of upstream's that the rules find, as they should. Here a jump's offset is the byte 8B, and a call follows:
# jit.c would take the two for a mov to relax, if the called function's bytes happened to look like a near address.
FAULTS = {
    ("3.14.7", wb.WIN_I686, "debug"): [
        "holes: _CALL_TYPE_1: patch_x86_64_32rx at 0x28b would rewrite what is not the opcode of call 0x28f"
    ]
}


def failed(path: Path, version: str, triple: str) -> list[str]:
    tree = knowing.tree(wb.tree(version))
    found = auditing.run(path, auditing.Asked(triple=triple, tree=tree))
    return [
        f"{result.rule}: {finding.stencil}: {finding.what}"
        for result in found.results
        if result.outcome == "failed"
        for finding in result.findings[:5]
    ]


@pytest.mark.parametrize(("version", "major", "triple", "flavour"), SAMPLE)
def test_no_rule_fails_on_upstreams_header(version: str, major: int, triple: str, flavour: Flavour) -> None:
    theirs = wb.upstream(version, major, triple, flavour)
    names = sorted(theirs.glob("jit_stencils-*.h")) or [theirs / "jit_stencils.h"]
    assert [failed(name, version, triple) for name in names] == [[]]


@pytest.mark.matrix
@pytest.mark.parametrize("flavour", get_args(Flavour))
@pytest.mark.parametrize("triple", [wb.X86, wb.ARM, *wb.FOREIGN])
@pytest.mark.parametrize("version", wb.PINNED)
def test_no_rule_fails_on_any_target(version: str, triple: str, flavour: Flavour, tmp_path: Path) -> None:
    config = wb.pyconfig(version, triple, flavour)
    debug = ["--debug"] if flavour == "debug" else []
    ours = wb.built(version, wb.PINNED[version], tmp_path, "--pyconfig-dir", config, *debug, triple=triple)
    assert failed(ours, version, triple) == FAULTS.get((version, triple, flavour), [])
