"""Every gate objects to what it is for, waivers end, and nothing passes because nothing was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import samples

from stencilkit import audit, cli, dialects, disassemble, emit, targets
from stencilkit.errors import PolicyError
from stencilkit.model.audit import Audit, Audited
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup, StencilSet
from stencilkit.pipeline import auditing

TODAY = "2026-11-21"
X86, ARM, I686 = samples.TRIPLE, "aarch64-unknown-linux-gnu", "i686-pc-windows-msvc"
PLAIN = Stencil(body=b"", patches=())


def audited(
    code: Stencil, data: Stencil = PLAIN, *, triple: str = X86, series: str = "3.15", **more: object
) -> Audited:
    target = targets.resolve(targets.load(), triple).target
    held = StencilSet(groups=(StencilGroup(name="_UOP", code=code, data=data),))
    found = Audited(
        stencils=held,
        target=target,
        line2="stencilkit 0.1.0, content sha256:0",
        code={"_UOP": disassemble.decode(code, target.arch)},
        reserved_frame_pointer=dialects.dialect_for(series).RESERVES_FRAME_POINTER,
        baseline=None,
        allowed_growth=2.0,
    )
    return replace(found, **more)


def asked(given: Audited, *waivers: audit.Waiver, demanded: tuple[str, ...] = ()) -> Audit:
    return audit.run("sample", given, waivers, demanded, TODAY)


def objections(found: Audit) -> Mapping[str, str]:
    return {
        result.gate: "; ".join(finding.what for finding in result.findings)
        for result in found.results
        if result.outcome == "failed"
    }


def outcome(found: Audit, gate: str) -> str:
    return next(result.outcome for result in found.results if result.gate == gate)


def code(text: str, *patches: Patch) -> Stencil:
    return Stencil(body=bytes.fromhex(text), patches=patches)


def at(func: str, offset: int, **more: object) -> Patch:
    return Patch(func=func, offsets=(offset,), **more)  # type: ignore[arg-type]


TRAMPOLINE = "patch_aarch64_trampoline"
RET, ARM_RET = "c3", "c0035fd6"
HARMFUL = {
    "relocations: GOTPCREL made absolute": (code("b800000000", at("patch_32", 1, symbol="PyErr_Clear")), X86),
    "relocations: a direct call to a symbol": (code("e800000000", at("patch_32r", 1, symbol="PyErr_Clear")), X86),
    "relocations: a branch to a symbol": (code("00000094", at("patch_aarch64_26r", 0, symbol="PyErr_Clear")), ARM),
    "relocations: another architecture": (code("00000094", at("patch_aarch64_26r", 0)), X86),
    "helpers: memset": (code("48b80000000000000000", at("patch_64", 2, symbol="memset")), X86),
    "helpers: __bzero": (code("48b80000000000000000", at("patch_64", 2, symbol="__bzero")), X86),
    "helpers: outlined atomics": (
        code(
            "00000094", at("patch_aarch64_trampoline", 0, symbol="__aarch64_ldadd8_acq_rel", form=PatchForm.TRAMPOLINE)
        ),
        ARM,
    ),
    "canaries: a check": (code("48b80000000000000000", at("patch_64", 2, symbol="__stack_chk_fail")), X86),
    "canaries: a load": (code("64488b042528000000"), X86),
    "stack-probes: x86": (code("4881ec0010000048c7042400000000"), X86),
    "stack-probes: aarch64": (code("ff0740d1ff0300f9"), ARM),
    "stack-probes: Windows": (code("e800000000", at("patch_x86_64_32rx", 1, symbol="__chkstk")), X86),
    "frame-pointer: push and mov": (code("554889e5"), X86),
    "frame-pointer: pop": (code("5d"), X86),
    "frame-pointer: aarch64": (code("fd7b41a9"), ARM),
    "writable-data: x86": (code("48890500000000", at("patch_32r", 3, value=HoleValue.DATA, addend=-4)), X86),
    "writable-data: aarch64": (code("000000f9", at("patch_aarch64_12", 0, value=HoleValue.DATA)), ARM),
    "instructions: syscall": (code("0f05"), X86),
    "instructions: int 0x80": (code("cd80"), I686),
    "instructions: svc": (code("010000d4"), ARM),
    "instructions: wrmsr": (code("0f30"), X86),
    "instructions: a far return": (code("cb"), X86),
    "stray-jumps: a call": (code("e800010000c3"), X86),
    "stray-jumps: backwards": (code("ebf0"), X86),
    "stray-jumps: aarch64": (code("00010014"), ARM),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_hurts_is_found(name: str) -> None:
    stencil, triple = HARMFUL[name]
    found = asked(audited(stencil, triple=triple))
    assert not found.passed
    assert name.partition(":")[0] in objections(found), objections(found)


STRINGS = {
    "paths: a temporary folder": b"\0/tmp/tmpab12/_UOP.c\0",
    "paths: Windows": b"\0C:\\build\\python\\_UOP.c\0",
    "paths: within text": b"assert at /builddir/Python-3.13.0/Objects/dict.c\0",
    "compiler-strings: .debug$S": b"\0clang version 21.1.0\0",
    "compiler-strings: .comment": b"GCC: (Debian 12.2.0) 12.2.0\0",
}


@pytest.mark.parametrize("name", STRINGS)
def test_leaked_strings_are_found(name: str) -> None:
    found = asked(audited(code(RET), Stencil(body=STRINGS[name], patches=())))
    assert list(objections(found)) == [name.partition(":")[0]]


def test_line_2_of_upstream_is_noted() -> None:
    line2 = "$ /usr/bin/python3.14 /home/user/cpython/Tools/jit/build.py x86_64-pc-linux-gnu"
    stencils = audited(code(RET), line2=line2)
    assert outcome(asked(stencils), "paths") == "noted"
    assert objections(asked(stencils, demanded=("paths",))) == {"paths": f"line 2: {line2}"}


def test_a_gate_that_was_not_asked_has_not_passed() -> None:
    found = asked(replace(audited(code(RET)), reserved_frame_pointer=False))
    assert outcome(found, "growth") == outcome(found, "frame-pointer") == "not asked"
    assert found.passed


def test_growth_is_measured() -> None:
    stencil = code("90" * 103)
    assert objections(asked(audited(stencil, baseline=100))) == {"growth": "100 -> 103 bytes, +3.00 %; 2 % are allowed"}
    assert asked(audited(stencil, baseline=102)).passed
    assert objections(asked(audited(stencil, baseline=0))) == {
        "growth": "0 -> 103 bytes, from nothing; 2 % are allowed"
    }


HARMLESS = {
    "a jump to the end": (code("eb0090"), X86),
    "a jump past the removed jump": (code("7400"), X86),
    "a patched call": (code("ff1500000000", at("patch_x86_64_32rx", 2, value=HoleValue.DATA, addend=-4)), X86),
    "a 32-bit address on i686": (code("b800000000", at("patch_32", 1, symbol="PyErr_Clear")), I686),
    "what may not come": (code("0f0b"), X86),
    "brk": (code("200020d4"), ARM),
    "reading data": (code("488b0500000000", at("patch_32r", 3, value=HoleValue.DATA, addend=-4)), X86),
    "an assert": (code("48b80000000000000000", at("patch_64", 2, symbol="__assert_fail")), X86),
    "a large frame": (code("4881ec00200000"), X86),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_passes(name: str) -> None:
    stencil, triple = HARMLESS[name]
    assert objections(asked(audited(stencil, triple=triple))) == {}


def test_the_frame_pointer_is_free_where_cpython_does_not_reserve_it() -> None:
    assert asked(audited(code("554889e5"), series="3.14")).passed


@pytest.mark.parametrize(("pad", "triple"), [("f30f1efa", X86), ("5f2403d5", ARM), ("3f2303d5", ARM)])
def test_landing_pads_are_noted_or_demanded(pad: str, triple: str) -> None:
    bare = audited(code(RET if triple == X86 else ARM_RET), triple=triple)
    found = asked(bare)
    assert found.passed
    assert [result.gate for result in found.results if result.outcome == "noted"] == ["landing-pads"]
    assert "landing-pads" in objections(asked(bare, demanded=("landing-pads",)))
    assert asked(audited(code(pad), triple=triple), demanded=("landing-pads",)).passed


def test_data_among_code_is_noted() -> None:
    found = asked(audited(code("c3ffffffff")))
    assert found.passed
    assert "data-in-code" in [result.gate for result in found.results if result.outcome == "noted"]


def waiver(**changes: object) -> audit.Waiver:
    base = audit.Waiver(gate="instructions", stencil="_U*", why="a good reason", until="2026-12-31")
    return replace(base, **changes)


def test_waivers_serve_until_their_day() -> None:
    given = audited(code("0f05"))
    found = asked(given, waiver(until=TODAY))
    assert found.passed
    (finding,) = next(result.findings for result in found.results if result.gate == "instructions")
    assert finding.waived == "a good reason (until 2026-11-21)"
    late = asked(given, waiver(until="2026-11-20"))
    assert not late.passed
    assert late.stale == ("the waiver of instructions _U* ended on 2026-11-20",)
    other = asked(given, waiver(stencil="_OTHER"))
    assert not other.passed
    assert other.stale == ("the waiver of instructions _OTHER waives nothing",)


ROW = 'schema = 1\n[[waiver]]\ngate = "paths"\nstencil = "_UOP"\nwhy = "known and harmless"\nuntil = "2027-01-31"\n'


def test_waivers_are_read() -> None:
    (found,) = audit.parse_waivers(ROW, "waivers.toml")
    assert found == waiver(gate="paths", stencil="_UOP", why="known and harmless", until="2027-01-31")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('gate = "paths"', 'gate = "all"', "there is no gate 'all'"),
        ('"known and harmless"', '"ok"', "needs a reason"),
        ('"2027-01-31"', '"never"', "is not a day"),
        ("until = ", "till = ", "until: missing"),
        ('stencil = "_UOP"\n', 'stencil = "_UOP"\nmore = 1\n', "unknown field"),
    ],
)
def test_bad_waivers_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        audit.parse_waivers(ROW.replace(old, new), "waivers.toml")


def test_an_audit_that_asked_nothing_did_not_pass() -> None:
    assert not Audit(subject="x", results=(), stale=()).passed


def test_the_documentation_lists_the_gates() -> None:
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", text, re.MULTILINE))
    assert rows == {gate.name: gate.refs for gate in audit.GATES}


@pytest.fixture
def header(tmp_path: Path) -> Path:
    return samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree")).parent


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_the_command(form: str, header: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert auditing.run(header).results
    assert cli.main(["audit", str(header), "--against", str(header), "--format", form]) == 0
    assert "landing-pads" in capsys.readouterr().out
    assert cli.main(["audit", str(header), "--demand", "landing-pads", "--format", form]) == 1
    out = capsys.readouterr().out
    assert "_POP_TOP" in out
    if form == "json":
        assert json.loads(out)["passed"] is False


def test_the_command_needs_something_to_audit(header: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit"]) == 2
    assert cli.main(["audit", str(header), "--demand", "love"]) == 2
    assert "there is no gate love" in capsys.readouterr().err
    assert cli.main(["audit", "--gates"]) == 0
    assert capsys.readouterr().out.count("\n") == len(audit.GATES) + 1


def test_the_command_knows_waivers(header: Path, tmp_path: Path) -> None:
    path = tmp_path / "waivers.toml"
    path.write_text(ROW.replace('"paths"', '"landing-pads"').replace("_UOP", "*").replace("2027", "2099"))
    assert cli.main(["audit", str(header), "--demand", "landing-pads", "--waive", str(path)]) == 0


def test_growth_needs_the_same_target(header: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.h"
    form = dialects.dialect_for("3.14").HEADER
    other.write_text(emit.render_header(samples.stencils(), form, line1="0" * 64, line2=f"build.py {ARM}"))
    assert cli.main(["audit", str(header), "--against", str(other)]) == 2
    assert "is of another CPython or target" in capsys.readouterr().err
