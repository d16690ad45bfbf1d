"""Our files equal those of CPython's own generator, byte for byte, once comment lines are dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
import workbench as wb

# One row per dialect, and one for the other architecture, run in `make test`; the rest with `make oracle`.
MATRIX = [
    ("3.13.15", 18, wb.X86, "release", True),
    ("3.14.7", 19, wb.X86, "release", True),
    ("3.15.0rc1", 21, wb.X86, "release", True),
    ("3.14.7", 19, wb.ARM, "debug", True),
    *[("3.13.15", major, wb.X86, "release", False) for major in (19, 22)],
    *[("3.13.15", major, wb.X86, "debug", False) for major in (18, 19, 22)],
    *[("3.14.7", major, wb.X86, flavour, False) for major in (21, 22) for flavour in ("release", "debug")],
    ("3.14.7", 19, wb.X86, "debug", False),
    *[("3.14.7", major, wb.ARM, "release", False) for major in (19, 21, 22)],
    *[("3.15.0rc1", major, wb.X86, "release", False) for major in (22, 23)],
    *[("3.15.0rc1", major, wb.X86, "debug", False) for major in (21, 22, 23)],
    *[("3.15.0rc1", major, wb.ARM, "release", False) for major in (21, 22, 23)],
    ("3.15.0rc1", 21, wb.ARM, "debug", False),
    ("3.13.15", 18, wb.ARM, "release", False),
    # One row per object format:
    ("3.14.7", 19, wb.MAC_ARM, "release", True),
    ("3.14.7", 19, wb.WIN_X86, "release", True),
    *[
        (version, major, triple, flavour, False)
        for version, pinned, newer in (("3.13.15", 18, 21), ("3.14.7", 19, 22), ("3.15.0rc1", 21, 23))
        for triple in (wb.MAC_ARM, wb.MAC_X86, wb.WIN_X86, wb.WIN_I686, wb.WIN_ARM)
        for major in (pinned, newer)
        for flavour in ("release", "debug")
        if (version, major, triple, flavour)
        not in (("3.14.7", 19, wb.MAC_ARM, "release"), ("3.14.7", 19, wb.WIN_X86, "release"))
    ],
]


@pytest.mark.parametrize(
    ("version", "major", "triple", "flavour"),
    [
        pytest.param(*row[:4], id="-".join(map(str, row[:4])), marks=[] if row[4] else [pytest.mark.matrix])
        for row in MATRIX
    ],
)
def test_same_as_upstream(version: str, major: int, triple: str, flavour: str, tmp_path: Path) -> None:
    theirs = wb.upstream(version, major, triple, flavour)
    config = wb.pyconfig(version, triple, flavour)
    debug = ["--debug"] if flavour == "debug" else []
    ours = wb.built(version, major, tmp_path, "--pyconfig-dir", config, *debug, triple=triple)
    compared = 0
    for path in sorted(theirs.glob("jit_*")):
        if path.suffix == ".o":
            assert (ours / path.name).read_bytes() == path.read_bytes(), path.name
        else:
            assert not list(wb.differing_lines(ours / path.name, path)), path.name
        compared += 1
    assert compared == {"3.13": 1, "3.14": 2, "3.15": 5}[version[:4]]
