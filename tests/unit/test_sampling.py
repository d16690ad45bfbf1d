"""Which uops a sample has, and when a build of it stands for the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stencilkit import manifest, source
from stencilkit.model.judgement import Sample
from stencilkit.model.manifest import MANIFEST_NAME, FileRecord
from stencilkit.pipeline import sampling
from tests import samples

NAMES = [f"_UOP_{number}" for number in range(40)]


def test_a_sample_is_the_same_each_time_and_another_with_another_seed() -> None:
    first = sampling.choose(NAMES, Sample(count=7))
    assert len(first) == 7
    assert first == sorted(first, key=NAMES.index)
    assert sampling.choose(NAMES[::-1], Sample(count=7)) == first[::-1]
    assert sampling.choose(NAMES, Sample(count=7, seed="1")) != first
    assert sampling.choose(NAMES, Sample(count=100)) == NAMES


def test_cases_that_are_not_wanted_go() -> None:
    cases = "".join(f"\n        case {name}: {{\n            break;\n        }}\n" for name in ("_A", "_B", "_C"))
    left = source.only(f"head{cases}#undef TIER_TWO\n", {"_B"})
    assert [name in left for name in ("_A", "_B", "_C")] == [False, True, False]
    assert left.startswith("head\n")
    assert left.endswith("#undef TIER_TWO\n")


def test_a_small_tree_is_the_tree_with_fewer_uops(tmp_path: Path) -> None:
    whole = samples.tree(tmp_path / "whole")
    small = sampling.shrink(whole, Sample(count=1), tmp_path / "small")
    names = [uop.name for uop in source.uops(whole)]
    assert [uop.name for uop in source.uops(small)] == sampling.choose(names, Sample(count=1))
    assert small == replace(whole, root=tmp_path / "small")
    template = "Tools/jit/template.c"
    assert (small.root / template).read_bytes() == (whole.root / template).read_bytes()
    assert [uop.name for uop in source.uops(whole)] == names


def test_what_a_sample_makes_otherwise_is_named(tmp_path: Path) -> None:
    path = samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree")).parent / MANIFEST_NAME
    whole = manifest.parse(path.read_text(), "sample")
    first, *rest = whole.stencils
    shim = FileRecord(role="shim", name="jit_shim.o", sha256="1" * 64)
    whole = replace(whole, extras={"shim": "2" * 64, "unwind": "3" * 64}, files=(*whole.files, shim))
    assert sampling.strays(whole, whole) == set()
    assert sampling.strays(whole, replace(whole, stencils=(first,))) == set()
    assert sampling.strays(replace(whole, stencils=tuple(rest)), whole) == {first.name}
    other = replace(first, content="0" * 64)
    assert sampling.strays(whole, replace(whole, stencils=(other,))) == {first.name}
    # Beside the header, nothing may be missing.
    assert sampling.strays(whole, replace(whole, extras={"shim": "2" * 64})) == {"unwind"}
    assert sampling.strays(whole, replace(whole, files=(*whole.files[:-1], replace(shim, sha256="4" * 64)))) == {
        shim.name
    }
    header = replace(whole.file("stencils"), sha256="5" * 64)
    assert (
        sampling.strays(whole, replace(whole, files=(header, *(r for r in whole.files if r.role != "stencils"))))
        == set()
    )
