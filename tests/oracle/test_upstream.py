"""Our files equal those of CPython's own generator, byte for byte, once comment lines are dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.model.stencil import HoleValue
from stencilkit.model.target import Flavour
from stencilkit.pipeline import admitting
from tests import workbench as wb

# `make test` runs every uop of each dialect for one target, and a sample of them for each dialect and object format;
# `make oracle` runs all.
WHOLE = [(version, major, wb.X86, "release") for version, major in wb.PINNED.items()]
# CPython, LLVMs, triples: the LLVM that upstream asks for comes first.
MATRIX = [
    ("3.13.15", (18, 19, 22), (wb.X86, wb.ARM)),
    ("3.14.7", (19, 21, 22), (wb.X86, wb.ARM)),
    ("3.15.0rc1", (21, 22, 23), (wb.X86, wb.ARM)),
    ("3.13.15", (18, 21), wb.FOREIGN),
    ("3.14.7", (19, 22), wb.FOREIGN),
    ("3.15.0rc1", (21, 23), wb.FOREIGN),
]


def _rows() -> list[object]:
    rows = [
        (version, major, triple, flavour)
        for version, majors, triples in MATRIX
        for triple in triples
        for major in majors
        for flavour in ("release", "debug")
    ]
    return [
        pytest.param(*row, id="-".join(map(str, row)), marks=[] if row in WHOLE else [pytest.mark.matrix])
        for row in rows
    ]


def without_time(data: bytes, triple: str) -> bytes:
    """Clear the time in a COFF object's header, which upstream's may have and ours has not (targets.toml)."""
    return data[:4] + bytes(4) + data[8:] if triple in wb.WINDOWS else data


def compare(version: str, triple: str, ours: Path, theirs: Path) -> None:
    compared = 0
    for path in sorted(theirs.glob("jit_*")):
        if path.suffix == ".o":
            assert (ours / path.name).read_bytes() == without_time(path.read_bytes(), triple), path.name
        else:
            assert not list(wb.differing_lines(ours / path.name, path)), path.name
        compared += 1
    assert compared == {"3.13": 1, "3.14": 2, "3.15": 5}[version[:4]]
    verdict = wb.stencilkit("verify", "--consistent", ours, "--allow-mingw", "--check", check=False)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout


@pytest.mark.parametrize(("version", "major", "triple", "flavour"), _rows())
def test_same_as_upstream(version: str, major: int, triple: str, flavour: Flavour, tmp_path: Path) -> None:
    theirs = wb.upstream(version, major, triple, flavour)
    config = wb.pyconfig(version, triple, flavour)
    debug = ["--debug"] if flavour == "debug" else []
    ours = wb.built(version, major, tmp_path, "--pyconfig-dir", config, *debug, triple=triple)
    compare(version, triple, ours, theirs)


@pytest.mark.parametrize(("version", "major", "triple", "flavour"), wb.SAMPLED)
def test_a_sixth_is_the_same_as_upstreams(
    version: str, major: int, triple: str, flavour: Flavour, tmp_path: Path
) -> None:
    """The other architecture of Linux and the other formats, with what tests/oracle/test_audit.py audits, too."""
    tree, config, theirs = wb.sixth(version, major, triple, flavour, tmp_path)
    debug = ["--debug"] if flavour == "debug" else []
    more: list[str | Path] = ["--pyconfig-dir", config, "--no-cache", *debug]
    compare(version, triple, wb.built(version, major, tmp_path / "out", *more, triple=triple, source_tree=tree), theirs)


@pytest.mark.parametrize(
    ("version", "major", "triple", "flavour", "step"),
    [
        ("3.13.15", 18, wb.MAC_ARM, "release", 10),
        ("3.13.15", 18, wb.WIN_I686, "release", 10),
        ("3.15.0rc1", 21, wb.WIN_X86, "debug", 40),
        ("3.15.0rc1", 21, wb.WIN_I686, "release", 40),
        ("3.15.0rc1", 21, wb.WIN_ARM, "release", 40),
        ("3.15.0rc1", 21, wb.MAC_X86, "release", 40),
        ("3.15.0rc1", 21, wb.MAC_ARM, "release", 40),
    ],
)
def test_a_sample_is_the_same_as_upstreams(
    version: str, major: int, triple: str, flavour: Flavour, step: int, tmp_path: Path
) -> None:
    """Some two dozen uops of what else only the matrix compares."""
    tree = wb.small_tree(version, tmp_path / "tree", uops=24, step=step)
    config = wb.config_for(version, triple, flavour, tmp_path / "config")
    theirs = tmp_path / "theirs"
    wb.run_upstream(version, major, triple, flavour, config, theirs, tree)
    debug = ["--debug"] if flavour == "debug" else []
    more: list[str | Path] = ["--pyconfig-dir", config, "--no-cache", *debug]
    compare(version, triple, wb.built(version, major, tmp_path / "out", *more, triple=triple, source_tree=tree), theirs)


# By CPython and flavour: which LLVMs put a constant of which uop where upstream's generator does not find it.
MISPLACED: dict[tuple[str, str], dict[int, str]] = {
    ("3.13.15", "release"): {23: "_SET_FUNCTION_ATTRIBUTE"},
    ("3.15.0rc1", "release"): {19: "_UNARY_NEGATIVE_FLOAT_INPLACE"},
}


@pytest.mark.matrix
@pytest.mark.parametrize("flavour", ["release", "debug"])
@pytest.mark.parametrize("version", wb.PINNED)
def test_numbers_that_stencils_would_read_from_elsewhere_are_refused(
    version: str, flavour: Flavour, tmp_path: Path
) -> None:
    """Of x86_64 macOS: two LLVMs, and nothing that upstream's LLVM makes (adr/0102)."""
    config = wb.config_for(version, wb.MAC_X86, flavour, tmp_path / "config")
    debug = ["--debug"] if flavour == "debug" else []
    base: list[str | Path] = ["build", "--cpython", wb.tree(version), "--target", wb.MAC_X86, "--pyconfig-dir", config]
    refused = {}
    for major in (19, 21, 22, 23):
        llvm: list[str | Path] = ["--llvm", wb.debian_llvm(major) / "clang", "--out", tmp_path / str(major)]
        done = wb.stencilkit(*base, *llvm, *debug, check=False)
        if done.returncode:
            assert "from beside its data" in done.stderr
            refused[major] = done.stderr.partition("where: uop ")[2].partition(",")[0].partition("_r")[0]
    assert refused == MISPLACED.get((version, flavour), {})


@pytest.mark.parametrize("major", [18, 19])
def test_what_is_imported_is_called_through_its_slot(major: int, tmp_path: Path) -> None:
    """With -fno-plt, LLVM 19 loads what is at the function itself, on aarch64 Windows: 3.13 has no -fplt for it."""
    tree = wb.small_tree("3.13.15", tmp_path / "tree", uops=12, step=12)
    config = wb.config_for("3.13.15", wb.WIN_ARM, "release", tmp_path / "config")
    out = tmp_path / "out"
    folder = wb.built("3.13.15", major, out, "--pyconfig-dir", config, triple=wb.WIN_ARM, source_tree=tree)
    patches = [patch for uop in admitting.header(folder).header.stencils.uops for patch in uop.code.patches]
    loads = [patch for patch in patches if patch.func == "patch_aarch64_12"]
    assert loads
    assert {patch.value for patch in loads} == {HoleValue.DATA}
