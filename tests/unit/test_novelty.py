"""What is said of a generator that nobody has met yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stencilkit import novelty
from stencilkit.model.novelty import Facts
from stencilkit.model.target import Flag
from stencilkit.model.version import LlvmVersion, MajorRange
from stencilkit.pipeline import knowing

OLD = novelty.known("3.15")


def said(found: Facts) -> list[str]:
    return [f"{item.weight}: {item.what}" for item in novelty.differences(found, OLD)]


def test_the_known_one_has_no_differences() -> None:
    assert said(OLD) == []
    assert len(OLD.patches) > 15
    assert {"-Os", "-fno-plt"} <= OLD.flags


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"files": {**OLD.files, "README.md": "0"}}, ["harmless: Tools/jit/README.md has changed"]),
        ({"files": {**OLD.files, "_writer.py": "0"}}, ["doubtful: Tools/jit/_writer.py has changed"]),
        ({"files": {**OLD.files, "_new.py": "0"}}, ["doubtful: Tools/jit/_new.py is new"]),
        ({"files": {**OLD.files, "notes.md": "0"}}, ["harmless: Tools/jit/notes.md is new"]),
        ({"files": {n: d for n, d in OLD.files.items() if n != "shim.c"}}, ["blocking: Tools/jit/shim.c is gone"]),
        ({"options": OLD.options | {"--fast"}}, ["harmless: build.py's option --fast is new"]),
        (
            {"flags": OLD.flags - {"-Os"} | {"-O2"}},
            ["doubtful: compiler flag -O2 is new", "doubtful: compiler flag -Os is gone"],
        ),
        ({"values": OLD.values | {"COLOUR"}}, ["harmless: HoleValue.COLOUR is new"]),
        (
            {"values": OLD.values | {"COLOUR"}, "symbols": OLD.symbols | {"_JIT_COLOUR"}},
            ["blocking: the C files use _JIT_COLOUR"],
        ),
        ({"values": OLD.values - {"TARGET"}}, ["doubtful: HoleValue.TARGET is gone"]),
        ({"patches": {**OLD.patches, "patch_new": "0"}}, ["harmless: Python/jit.c: patch_new is new"]),
        (
            {"patches": {**OLD.patches, "patch_new": "0"}, "called": frozenset({"patch_new"})},
            ["doubtful: Python/jit.c: patch_new is new"],
        ),
        ({"patches": {**OLD.patches, "patch_64": "0"}}, ["doubtful: Python/jit.c: patch_64 has changed"]),
        ({"patches": {**OLD.patches, "jit_state": "0"}}, ["doubtful: Python/jit.c: jit_state has changed"]),
    ],
)
def test_each_difference_is_weighed(change: dict[str, object], expected: list[str]) -> None:
    assert said(replace(OLD, **change)) == expected  # type: ignore[arg-type]  # fields of Facts


def test_the_weightiest_comes_first() -> None:
    files = {**{n: d for n, d in OLD.files.items() if n != "template.c"}, "README.md": "0", "_writer.py": "0"}
    weights = [item.weight for item in novelty.differences(replace(OLD, files=files), OLD)]
    assert weights == ["blocking", "doubtful", "harmless"]


def test_a_newer_llvm_is_taken_for_the_newest_that_was_checked() -> None:
    support = knowing.python("3.15").support
    wide = support.beyond()
    assert 99 not in support.llvm
    assert 99 in wide.llvm
    assert wide.newest_checked == support.llvm.last
    target = knowing.target("x86_64-unknown-linux-gnu").target
    assert [flag.text for flag in wide.flags_for(target)] == [flag.text for flag in support.flags_for(target)]

    def used(flags: tuple[Flag, ...], llvm: int) -> list[str]:
        return [f.text for f in flags if f.applies(flavour="release", unit="uop", step="emit", llvm=llvm)]

    newest = used(support.flags_for(target), support.llvm.last)
    assert "-Xclang -mframe-pointer=reserved" in newest
    assert used(wide.flags_for(target), 99) == newest
    for major in support.llvm:
        assert used(wide.flags_for(target), major) == used(support.flags_for(target), major)


def test_a_snapshot_is_not_a_release() -> None:
    assert LlvmVersion(24, 0, 0).is_snapshot
    assert not LlvmVersion(24, 1, 0).is_snapshot
    assert not LlvmVersion(17, 0, 6).is_snapshot
    assert MajorRange(19, 23).up_to_any() == MajorRange(19, 999)
