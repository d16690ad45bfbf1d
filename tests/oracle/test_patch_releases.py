"""Stencils of other patch releases are those of that release's own generator, and its headers can be read.

Those are the releases that mirrors carry beside the pinned ones, and the newest that a signed source index lists today.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import workbench as wb

# The LLVM of a series, and the release whose pyconfig.h serves for all of it.
SERIES = {version[:4]: (major, version) for version, major in wb.PINNED.items()}
RELAXING = ("3.13.5", "3.13.12")
# `make test` runs the one that differs most from the pinned releases: it relaxes, and does not look at registers.
SAMPLE = [("3.13.12", wb.ARM)]


def _rows() -> list[object]:
    rows = [(version, triple) for version in (*wb.RELEASES, *SERIES) for triple in (wb.ARM, wb.X86)]
    return [pytest.param(*row, id="-".join(row), marks=[] if row in SAMPLE else [pytest.mark.matrix]) for row in rows]


@pytest.mark.parametrize(("version", "triple"), _rows())
def test_a_patch_release_is_the_same_as_its_own_generators(version: str, triple: str, tmp_path: Path) -> None:
    major, pinned = SERIES[version[:4]]
    tree = wb.small_tree(version, tmp_path / "tree", uops=12, step=19)
    config = wb.config_for(pinned, triple, "release", tmp_path / "config")
    theirs = tmp_path / "theirs"
    wb.run_upstream(version, major, triple, "release", config, theirs, tree)
    arguments: list[str | Path] = ["--pyconfig-dir", config, "--no-cache"]
    ours = wb.built(version, major, tmp_path / "out", *arguments, triple=triple, source_tree=tree)
    made = sorted(theirs.glob("jit_*"))
    for path in made:
        if path.suffix == ".o":
            assert (ours / path.name).read_bytes() == path.read_bytes()
        else:
            assert not list(wb.differing_lines(ours / path.name, path)), path.name
    header = next((path for path in made if path.name.startswith("jit_stencils-")), made[0])
    relaxes = version in RELAXING and triple == wb.ARM
    assert ("patch_aarch64_33rx(" in header.read_text()) == (relaxes or (triple == wb.ARM and version[:4] == "3.15"))
    assert ("relaxed-pairs" in (ours / "manifest.toml").read_text()) == (version in RELAXING)
    # Upstream's own header can be read: 2 is trouble.
    assert wb.stencilkit("compare", header, ours, "--target", triple, check=False).returncode == 0
    assert wb.stencilkit("audit", header, "--target", triple, check=False).returncode in (0, 1)
    assert wb.stencilkit("verify", ours, "--consistent", check=False).returncode == 0
