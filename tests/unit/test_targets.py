"""targets.toml and pins.toml: what they say, and that a table which contradicts itself is refused."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from stencilkit import pins, targets
from stencilkit.dialects import KNOWN
from stencilkit.errors import ConfigureError, DataError, TargetError, ToolchainError
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.version import PythonVersion
from stencilkit.pipeline import building, requesting
from stencilkit.support import resources

TEXT = resources.text("targets.toml")
TABLE = targets.load()


def changed(pattern: str, replacement: str) -> str:
    text, count = re.subn(pattern, replacement, TEXT, count=1)
    assert count
    return text


def test_every_dialect_has_a_table_and_every_table_a_dialect() -> None:
    assert tuple(sorted(TABLE.pythons)) == KNOWN


def test_every_flag_has_a_reason_and_every_deviation_a_price() -> None:
    for python in TABLE.pythons.values():
        for flag in (*python.flags, *(flag for support in python.targets.values() for flag in support.flags)):
            assert flag.why.strip(), flag
            assert bool(flag.deviates) == bool(flag.cost), flag


def test_what_is_left_out_for_windows_is_a_deviation_where_upstream_keeps_it() -> None:
    for series, python in TABLE.pythons.items():
        for triple, support in python.targets.items():
            expected = [".debug$S sections are left out"] if "windows" in triple and series != "3.15" else []
            reads = series == "3.15" and triple.startswith("x86_64-") and "darwin" not in triple
            expected += ["constants of 16 bytes are read wherever they are"] if reads else []
            expected += [f"the target {triple}"] if "musl" in triple or "freebsd" in triple else []
            assert [known.what for known in support.deviations] == expected
            assert all(known.why and known.cost for known in support.deviations)


@pytest.mark.parametrize(
    ("spelling", "triple"),
    [
        ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("x86_64-pc-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("x86_64-redhat-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("x86_64-suse-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("aarch64-redhat-linux-gnu", "aarch64-unknown-linux-gnu"),
        ("x86_64-alpine-linux-musl", "x86_64-unknown-linux-musl"),
        ("x86_64-pc-linux-musl", "x86_64-unknown-linux-musl"),
        ("aarch64-alpine-linux-musl", "aarch64-unknown-linux-musl"),
        ("x86_64-unknown-freebsd14.2", "x86_64-unknown-freebsd"),
        ("amd64-portbld-freebsd15.0", "x86_64-unknown-freebsd"),
    ],
)
def test_vendors_spellings_are_understood(spelling: str, triple: str) -> None:
    request = targets.resolve(TABLE, spelling)
    assert (request.target.triple, request.spelling) == (triple, spelling)


@pytest.mark.parametrize(
    ("spelling", "reason"),
    [
        ("x86_64-linux-muslx32", "no muslx32"),
        ("i686-alpine-linux-musl", "32-bit x86 on Windows only"),
        ("aarch64-unknown-freebsd14.2", "only FreeBSD target is x86_64"),
        ("arm64-portbld-freebsd15.0", "only FreeBSD target is x86_64"),
        ("riscv64-linux-gnu", "no LLVM has for RISC-V"),
        ("loongarch64-unknown-linux-gnu", "no LLVM has for LoongArch"),
        ("powerpc64le-linux-gnu", "no LLVM has for PowerPC"),
        ("ppc64le-redhat-linux-gnu", "no LLVM has for PowerPC"),
        ("s390x-ibm-linux-gnu", "no LLVM has for SystemZ"),
        ("x86_64-unknown-linux-gnux32", "no x32"),
        ("i686-pc-linux-gnu", "32-bit x86 on Windows only"),
        ("aarch64-linux-android", "no Android target"),
        ("x86_64-pc-windows-gnu", "name the msvc triple"),
        ("arm64-apple-ios13.0-simulator", "no app make memory executable"),
        ("aarch64-apple-visionos", "no app make memory executable"),
        ("wasm32-unknown-emscripten", "WebAssembly"),
    ],
)
def test_what_no_cpython_has_is_refused_with_the_reason(spelling: str, reason: str) -> None:
    with pytest.raises(TargetError, match=f"no stencils for {spelling}: .*{reason}") as caught:
        targets.resolve(TABLE, spelling)
    assert "choose one of x86_64-unknown-linux-gnu" in caught.value.fix


def test_no_refusal_hides_a_target() -> None:
    for target in TABLE.targets:
        assert targets.resolve(TABLE, target.triple).target == target


@pytest.mark.parametrize("spelling", ["", "x86_64", "riscv64-unknown-linux-gnu", "*"])
def test_unknown_targets_are_refused_with_those_that_exist(spelling: str) -> None:
    with pytest.raises(TargetError) as caught:
        targets.resolve(TABLE, spelling)
    assert "x86_64-unknown-linux-gnu" in caught.value.fix


def test_no_spelling_means_two_targets() -> None:
    for target in TABLE.targets:
        for other in TABLE.targets:
            if other is not target:
                assert not any(fnmatchcase(other.triple, pattern) for pattern in target.spellings)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r'triple = "aarch64-unknown-linux-gnu"', 'triple = "x86_64-unknown-linux-gnu"', "spellings|twice"),
        (r"pinned = 19", "pinned = 7", r"cpython\.3\.14\.pinned: 7 is outside"),
        (r'llvm = "18..23"', 'llvm = "23..18"', r"cpython\.3\.13\.llvm: must be a range"),
        (r'format = "elf"', 'format = "aout"', r"target\[\d+\]\.format: must be one of elf"),
        (r"pointer-bytes = 8", "pointer-byte = 8", r"target\[\d+\]\.pointer-bytes: missing"),
        (r"(\[\[cpython.*flag\]\]\n)", r"\1surprise = 1\n", r"flag\[0\]\.surprise: unknown field"),
        (r"(\[\[cpython.*flag\]\]\nflag = .*\n)why = .*\n", r'\1why = " "\n', r"flag\[0\]\.why: every flag needs"),
        (r"nop = \"[0-9a-f]+\"", 'nop = "9"', r"target\[\d+\]\.nop: "),
        (r"\[cpython\.\"3\.14\"\.target\.x86_64-unknown-linux-gnu\]", '[cpython."3.14".target.vax]', "no .*target"),
        (r"schema = 1", "schema = 2", "a newer stencilkit"),
        (r"(?ms:(^\[\[target\]\]$.*?)(?=^\[\[target\]\]$))", r"\1\1", "a triple occurs twice"),
        (r'like = "x86_64-unknown-linux-gnu"', 'like = "vax"', "musl is like a target that is not here"),
        (r"(like = .*\nwhy = .*\n)cost = .*\n", r"\1", r"target\[\d+\]\.why: and cost must be there"),
        (r"configure-host = .*\n", "", r"target\[\d+\]\.configure-host: is missing"),
        (r'order = \["target", "common"', 'order = ["target", "target"', "order: must name each part .* once"),
        (r"(deviates = .*\n)cost = .*\n", r"\1", r"flag\[\d+\]\.cost: a flag that deviates"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(pattern: str, replacement: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        targets.parse(changed(pattern, replacement))


@pytest.mark.parametrize(("series", "major"), [("3.13", 17), ("3.14", 18), ("3.15", 18), ("3.14", 99)])
def test_an_llvm_outside_the_range_is_refused_with_reason_and_alternative(series: str, major: int) -> None:
    support = TABLE.pythons[series]
    with pytest.raises(ToolchainError, match=f"LLVM {major} cannot build") as caught:
        building.check_llvm(support, major)
    reason = support.too_old if major < support.llvm.first else support.too_new
    assert reason in caught.value.what
    assert str(support.llvm) in caught.value.fix
    for good in support.llvm:
        building.check_llvm(support, good)


def config(tmp_path: object, **macros: str | None) -> PyConfig:
    return PyConfig(folder=tmp_path, content=b"", macros=macros, origin="given")  # type: ignore[arg-type]


def test_free_threaded_builds_are_refused_for_upstreams_reason(tmp_path: object) -> None:
    free = config(tmp_path, Py_GIL_DISABLED="1")
    for series, words in (("3.13", "specialisation is off"), ("3.14", "never uses it")):
        with pytest.raises(ConfigureError, match=words):
            building.check_threading(TABLE.pythons[series], free)
    assert "does not work correctly" in building.check_threading(TABLE.pythons["3.15"], free)[0]


def test_builds_with_the_gil_pass(tmp_path: object) -> None:
    for with_gil in (config(tmp_path), config(tmp_path, Py_GIL_DISABLED=None)):
        for python in TABLE.pythons.values():
            assert building.check_threading(python, with_gil) == ()


def test_pins_have_full_hashes() -> None:
    loaded = pins.load()
    assert {pin.version.major for pin in loaded.wheels} >= {19, 20, 21, 22}
    assert loaded.source(PythonVersion(3, 14, "7")) is not None
    assert loaded.source(PythonVersion(3, 14, "0")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[llvm]]\nversion = "19"\npackage = "x"\nsha256 = []', r"llvm\[0\]\.version"),
        ('[[llvm]]\nversion = "19.1.7"\npackage = "x"\nsha256 = []', r"llvm\[0\]\.sha256: a download without"),
        ('[[llvm]]\nversion = "19.1.7"\npackage = "x"\nsha256 = ["ABC"]', r"llvm\[0\]\.sha256: not a SHA-256"),
        ('[[cpython]]\nversion = "3.14.7"\npool = "x"\npath = "x"\nsha256 = ""', r"cpython\[0\]\.sha256"),
        ('[[cpython]]\nversion = "3.14"\npool = "x"\npath = "x"\nsha256 = ""', r"cpython\[0\]\.version: must be a"),
    ],
)
def test_a_pin_without_a_hash_or_a_version_is_refused(text: str, message: str) -> None:
    both = "" if "[[cpython]]" in text else "cpython = []\n"
    both += "" if "[[llvm]]" in text else "llvm = []\n"
    with pytest.raises(DataError, match=message):
        pins.parse(f"schema = 1\n{both}{text}")


def test_hardened_has_flags_on_linux_and_a_reason_everywhere() -> None:
    hardened = {target.triple: target.hardened for target in TABLE.targets if target.hardened}
    assert hardened["x86_64-unknown-linux-gnu"] == ("-fcf-protection=full",)
    assert hardened["aarch64-unknown-linux-gnu"] == ("-mbranch-protection=standard",)
    assert all("-linux-" in triple for triple in hardened)
    assert all(target.hardened_why for target in TABLE.targets)


def test_hardening_flags_join_the_users() -> None:
    target = targets.resolve(TABLE, "x86_64-unknown-linux-gnu").target
    assert requesting.hardened("", target) == "-fcf-protection=full"
    assert requesting.hardened("-O2 -fcf-protection=full", target) == "-O2 -fcf-protection=full"
    with pytest.raises(TargetError, match="no hardened flavour for x86_64-pc-windows-msvc: Windows uses CFG"):
        requesting.hardened("", targets.resolve(TABLE, "x86_64-pc-windows-msvc").target)
