"""Every rule objects to what it is for, waivers end, and nothing passes because nothing was asked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import audit, cli, dialects, disassemble, emit, targets
from stencilkit.audit import flow
from stencilkit.cli import audit as audit_command
from stencilkit.errors import HeaderError, PolicyError
from stencilkit.model.audit import Audit, Audited, Finding, References, Waiver
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup, StencilSet
from stencilkit.pipeline import auditing
from tests import samples

TODAY = "2026-11-21"
X86, ARM, I686 = samples.TRIPLE, "aarch64-unknown-linux-gnu", "i686-pc-windows-msvc"
PLAIN = Stencil(body=b"", patches=())


def audited(code: Stencil, data: Stencil = PLAIN, *, triple: str = X86, series: str = "3.15", **more: Any) -> Audited:
    target = targets.resolve(targets.load(), triple).target
    held = StencilSet(groups=(StencilGroup(name="_UOP", code=code, data=data),))
    found = Audited(
        stencils=held,
        target=target,
        line2="stencilkit 0.1.0, content sha256:0",
        decode=lambda stencil: disassemble.decode(stencil, target.arch),
        reserved_frame_pointer=targets.load().pythons[series].targets[triple].reserved_frame_pointer,
        isa=target.isa,
        cpu=None,
        references=References(by="a test", proven=True),
        baseline=None,
        allowed_growth=2.0,
    )
    return replace(found, **more)


def asked(given: Audited, *waivers: Waiver, demanded: tuple[str, ...] = ()) -> Audit:
    return audit.run("sample", given, waivers, demanded, TODAY)


def objections(found: Audit) -> Mapping[str, str]:
    return {
        result.rule: "; ".join(finding.what for finding in result.findings)
        for result in found.results
        if result.outcome == "failed"
    }


def outcome(found: Audit, rule: str) -> str:
    return next(result.outcome for result in found.results if result.rule == rule)


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
    "alignment: the data": (
        code("0f570500000000", at("patch_32r", 3, value=HoleValue.DATA, addend=-4)),  # xorps xmm0, [rip]
        X86,
    ),
    "alignment: movaps": (code("410f284508"), X86),  # movaps xmm0, [r13 + 8]
    "alignment: an aligned move of AVX": (code("c4c178284508"), X86),
    "alignment: i686": (code("0f5800"), I686),  # addps xmm0, [eax]
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


MOVABS = "48b80000000000000000"  # mov rax, 0


def rax(value: HoleValue = HoleValue.DATA, **more: object) -> Patch:
    return at("patch_64", 2, value=value, **more)


PAGE, LOW = (at(f"patch_aarch64_{name}", place, value=HoleValue.DATA) for name, place in (("21r", 0), ("12", 4)))
HOSTILE = {
    # What a patch makes of code.
    "holes: a system call by a patch": (code("b800000000c3", at("patch_32", 0, addend=0xC3050F)), X86),
    "holes: half of an operand": (code(MOVABS, at("patch_32", 2)), X86),
    "holes: beyond an operand": (code("e80000000090909090", at("patch_64", 1, value=HoleValue.OPERAND0)), X86),
    "holes: between two operands": (code("c705000000000000000000", at("patch_32", 4)), X86),
    "holes: svc is not a conditional branch": (
        code("010000d4", at("patch_aarch64_19r", 0, value=HoleValue.JUMP_TARGET)),
        ARM,
    ),
    "holes: add for a load's address": (code("00000014", at("patch_aarch64_12", 0, value=HoleValue.DATA)), ARM),
    "holes: another instruction is relaxed": (
        code("b08be800000000", at("patch_x86_64_32rx", 3, symbol="PyErr_Clear", addend=-4)),
        X86,
    ),
    "holes: a variable is taken for a slot": (
        code("488b0500000000", at("patch_x86_64_32rx", 3, symbol="_PyRuntime", addend=-4)),
        X86,
    ),
    "holes: two at one place": (code(MOVABS, rax(), at("patch_64", 2, value=HoleValue.OPARG)), X86),
    "holes: a pair of two registers": (
        code("08000090290140f9", Patch(func="patch_aarch64_33rx", offsets=(0, 4), value=HoleValue.DATA)),
        ARM,
    ),
    # Code that reads in two ways.
    "decodings: the middle of an instruction": (code("eb01b80f0590c3"), X86),
    "decodings: the middle, by a patch": (
        code("e900000000b80f0590c3", at("patch_32r", 1, value=HoleValue.CODE, addend=6 - 4)),
        X86,
    ),
    "decodings: nothing leads there": (code("c331c0c3"), X86),
    "decodings: a jump of 16 bits": (code("66e800000000"), X86),
    "decodings: no instruction": (code("06"), X86),
    "decodings: the end is cut off": (code("9048b8000000"), X86),
    # Where jumps lead.
    "targets: data": (code("e900000000", at("patch_32r", 1, value=HoleValue.DATA, addend=-4)), X86),
    "targets: data in a register": (code(MOVABS + "ffe0", rax()), X86),
    "targets: data, computed": (code(MOVABS + "4883c008ffe0", rax()), X86),
    "targets: data on aarch64": (code("080000900801009100011fd6", PAGE, LOW), ARM),
    "targets: a constant": (code("48b80000400000000000ffe0"), X86),
    "targets: a constant operand": (code("e900000000", at("patch_32r", 1, addend=0x400000)), X86),
    "targets: a computed address": (code("488d4708ffe0"), X86),
    "targets: a pushed constant": (code("6800000000c3"), X86),
    "targets: a stored constant": (code("5048c704240000400058ffe0"), X86),
    "targets: its own code, in between": (code(MOVABS + "ffe0", rax(HoleValue.CODE, addend=3)), X86),
    "targets: the middle of a function": (
        code(MOVABS + "ffe0", rax(HoleValue.ZERO, symbol="PyErr_Clear", addend=5)),
        X86,
    ),
    "targets: the middle of the next stencil": (
        code("e900000000", at("patch_32r", 1, value=HoleValue.CONTINUE, addend=-1)),
        X86,
    ),
    "targets: an operand": (code(MOVABS + "ffe0", rax(HoleValue.OPARG)), X86),
    "targets: a computed return": (code("1e200091c0035fd6"), ARM),
    "targets: another stack": (code("4883ec08"), X86),
    # Stores to what is read-only.
    "writable-data: through a register": (code(MOVABS + "48ff00", rax()), X86),
    "writable-data: through the stack": (code(MOVABS + "5059c60100", rax()), X86),
    "writable-data: through a vector": (code(MOVABS + "66480f6ec066480f7ec1c60100", rax()), X86),
    "writable-data: by an index": (code(MOVABS + "488d0cf8488911", rax()), X86),
    "writable-data: on one of two ways": (code(MOVABS + "480f45c7c60000", rax()), X86),
    "writable-data: behind a call": (code(MOVABS + "4889c3ffd7c60300", rax()), X86),
    "writable-data: by a string instruction": (
        code("48bf0000000000000000f348ab", at("patch_64", 2, value=HoleValue.DATA)),
        X86,
    ),
    "writable-data: kept in memory": (code(MOVABS + "488907", rax()), X86),
    "writable-data: i686": (code("b800000000ff00", at("patch_32", 1, value=HoleValue.DATA)), I686),
    "writable-data: on aarch64": (code("0800009008010091000100f9", PAGE, LOW), ARM),
    "writable-data: an exclusive store": (code("080000900801009101fd00c8", PAGE, LOW), ARM),
    "writable-data: its own code": (code("488d0500000000c60000"), X86),
    "writable-data: the next stencil": (code(MOVABS + "c60000", rax(HoleValue.CONTINUE)), X86),
    # Pairs that are rewritten as one.
    "relaxed-pairs: a branch to the second": (
        code("400000b408000090080140f9", Patch(func="patch_aarch64_33rx", offsets=(4, 8), value=HoleValue.DATA)),
        ARM,
    ),
    "relaxed-pairs: as 3.13.12 writes them": (
        code("400000b408000090080140f9", Patch(func="patch_aarch64_33rx", offsets=(4,), value=HoleValue.DATA)),
        ARM,
    ),
    "relaxed-pairs: its register is used between": (
        code("08000090e00308aa080140f9", Patch(func="patch_aarch64_33rx", offsets=(0, 8), value=HoleValue.DATA)),
        ARM,
    ),
    # Other processors.
    "isa: popcnt": (code("f30fb8c1"), X86),
    "isa: lzcnt, which older ones read as bsr": (code("f30fbdc1"), X86),
    "isa: AVX": (code("c5f877"), X86),
    "isa: AVX-512": (code("62f17c4858c1"), X86),
    "isa: SSSE3, which the disassembler has in no group": (code("660f3a0fc108"), X86),
    "isa: APX, REX2": (code("d54801c8"), X86),
    "isa: APX, EVEX map 4": (code("62f47c1801c0"), X86),
    "isa: APX, a register of it in EVEX": (code("62f9784858c1"), X86),
    "isa: in no table": (code("0f31"), X86),
    "isa: LSE": (code("2000e0b8"), ARM),
    "isa: half precision": (code("2028e21e"), ARM),
    "isa: pointer authentication": (code("ff0b5fd6"), ARM),
    "isa: SSE3 on i686": (code("f20ff0c0"[:6] + "08"), I686),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hidden_is_found(name: str) -> None:
    stencil, triple = HOSTILE[name]
    found = asked(audited(stencil, Stencil(body=bytes(16), patches=()), triple=triple))
    assert name.partition(":")[0] in objections(found), objections(found)


# movabs rax, data; mov rax, [rax + rdi*8]; mov [rax + rsi], rcx
INDEXED = code(MOVABS + "488b04f848890c30", rax())
ITSELF = at("patch_64", 8, value=HoleValue.DATA)


@pytest.mark.parametrize(
    ("patches", "objected"),
    [((), False), ((ITSELF,), True), ((replace(ITSELF, value=HoleValue.CONTINUE),), True)],
)
def test_an_offset_from_a_table_of_numbers_is_not_an_address(patches: tuple[Patch, ...], *, objected: bool) -> None:
    """clang makes such a table of the switch in 3.13's _SET_FUNCTION_ATTRIBUTE, from LLVM 19 on."""
    found = objections(asked(audited(INDEXED, Stencil(body=bytes(32), patches=patches))))
    assert ("writable-data" in found) is objected, found


# movabs rcx, data; test eax, eax; jne; mov [rdi], cx; mov [rdi], cl: with a mov cx, 5 nowhere, before all of it, and
# where the jump leads past it
OF_THE_ADDRESS = code("48b9000000000000000085c0750066890f880f", rax())
BEHIND_IT = code("48b9000000000000000066b9050085c0750066890f880f", rax())
ON_ONE_WAY = code("48b9000000000000000085c0750466b9050066890f880f", rax())


@pytest.mark.parametrize(("kept", "objected"), [(OF_THE_ADDRESS, True), (BEHIND_IT, False), (ON_ONE_WAY, True)])
def test_the_low_bytes_of_a_register_are_what_was_written_there(kept: Stencil, *, objected: bool) -> None:
    """clang does so behind _wassert, which leaves its arguments in registers: 3.13's debug build for Windows."""
    found = objections(asked(audited(kept, Stencil(body=bytes(32), patches=()))))
    assert ("writable-data" in found) is objected, found


SLOT = at("patch_64", 8, symbol="PyErr_Clear")
THROUGH = at("patch_x86_64_32rx", 2, value=HoleValue.DATA, addend=8 - 4)


@pytest.mark.parametrize("opcode", ["ff15", "ff25"])
def test_jumps_through_slots_are_followed(opcode: str) -> None:
    jump = code(opcode + "00000000", THROUGH)
    assert asked(audited(jump, Stencil(body=bytes(16), patches=(SLOT,)))).passed
    for other in (
        replace(SLOT, symbol=None, value=HoleValue.DATA),
        replace(SLOT, addend=4),
        replace(SLOT, offsets=(4,)),
    ):
        assert "targets" in objections(asked(audited(jump, Stencil(body=bytes(16), patches=(other,)))))


# lea rcx, [rip + data]; movsxd rax, [rcx + rdi*4]; add rax, rcx; jmp rax; ret; nop; ret
TABLE = code(
    "488d0d0000000048630 4b94801c8ffe0c390c3".replace(" ", ""), at("patch_32r", 3, value=HoleValue.DATA, addend=-4)
)


def rows(*targets: int) -> Stencil:
    return Stencil(
        body=bytes(4 * len(targets)),
        patches=tuple(
            at("patch_32r", 4 * row, value=HoleValue.CODE, addend=target + 4 * row)
            for row, target in enumerate(targets)
        ),
    )


def test_jump_tables_are_followed() -> None:
    assert objections(asked(audited(TABLE, rows(0x10, 0x11)))) == {}
    assert "decodings" in objections(asked(audited(TABLE, rows(0x10, 0x11, 3))))
    assert "targets" in objections(asked(audited(TABLE, Stencil(body=bytes(8), patches=()))))


def test_jump_tables_behind_code_are_followed() -> None:
    """As Mach-O has them: the table's rows are not instructions, whatever they look like."""
    body = "488d0d0a000000486304b94801c8ffe0c3" + "90"
    table = b"".join((target - 0x11).to_bytes(4, "little", signed=True) for target in (0x10, 0))
    good = Stencil(body=bytes.fromhex(body)[:0x11] + table, patches=())
    assert objections(asked(audited(good))) == {}
    bad = Stencil(body=good.body[:-4] + (3 - 0x11).to_bytes(4, "little", signed=True), patches=())
    assert "decodings" in objections(asked(audited(bad)))


ALLOWED = {
    "popcnt": ("f30fb8c1", X86, "x86-64-v2"),
    "AVX": ("c5f877", X86, "x86-64-v3"),
    "AVX-512": ("62f17c4858c1", X86, "x86-64-v4"),
    "x87 between registers": ("d9c0ddd8", X86, ""),
    "LSE": ("2000e0b8", ARM, "armv8.1-a"),
    "LSE on an M1": ("2000e0b8", "aarch64-apple-darwin", ""),
    "SSSE3 on a Mac": ("660f3a0fc108", "x86_64-apple-darwin", ""),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_other_instruction_sets_can_be_allowed(name: str) -> None:
    text, triple, isa = ALLOWED[name]
    given = audited(code(text), triple=triple)
    assert objections(asked(replace(given, isa=isa or given.isa))) == {}


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        # push rbp; mov rbp, rsp; leave; ret
        ("55 4889e5 c9 c3", ""),
        # push rbp; lea rbp, [rsp + 8]; leave; ret: the stack is eight bytes above where it was found
        ("55 488d6c2408 c9 c3", "targets"),
        # lea rax, [rip]; mov [rsp - 8], rax; fild qword ptr [rsp - 8]; fistp qword ptr [rdi]; ret
        ("488d0500000000 48894424f8 df6c24f8 df3f c3", "writable-data"),
        # xor eax, eax instead of the address: a number
        ("31c0 48894424f8 df6c24f8 df3f c3", ""),
    ],
)
def test_values_are_followed_through_leave_and_the_x87(text: str, objection: str) -> None:
    found = objections(asked(audited(code(text), series="3.14")))
    assert list(found) == ([objection] if objection else [])


@pytest.mark.parametrize("text", ["8fe97880c1"])
def test_xop_is_never_allowed(text: str) -> None:
    assert "xop" in objections(asked(replace(audited(code(text)), isa="x86-64-v4")))["isa"]


@pytest.mark.parametrize("text", ["d54801c8", "62f47c1801c0"])
def test_apx_is_never_allowed(text: str) -> None:
    assert "isa" in objections(asked(replace(audited(code(text)), isa="x86-64-v4")))


@pytest.mark.parametrize(
    ("cpu", "said"),
    [
        (("x86-64-v3", ()), "avx"),
        (("x86-64", ("+avx2",)), r"\+avx2"),
        (("zen5", ()), "does not know"),
        (("x86-64", ("+cx8", "-sse4.2")), ""),
    ],
)
def test_the_record_is_compared_with_what_is_allowed(cpu: tuple[str, tuple[str, ...]], said: str) -> None:
    found = objections(asked(audited(code(RET), cpu=cpu)))
    assert re.search(said, found["isa"]) if said else found == {}


def test_external_names_are_those_that_sources_reach() -> None:
    call = code("48b80000000000000000", at("patch_64", 2, symbol="PyRun_SimpleString"))
    known = References(by="the sources", proven=True, symbols={"_UOP": frozenset({"PyErr_Clear"})})
    assert "PyRun_SimpleString" in objections(asked(audited(call, references=known)))["externals"]
    reached = replace(known, symbols={"_UOP": frozenset({"PyRun_SimpleString"})})
    assert asked(audited(call, references=reached)).passed
    unproven = asked(audited(call, references=References(by="nobody", proven=False)))
    assert outcome(unproven, "externals") == "noted"
    differing = References(by="the ledger", proven=True, problem="not the ledger's")
    assert "externals" in objections(asked(audited(call, references=differing)))


# aarch64: x24 = an address of data; f(); then x24 = what x20 is, or not; f(); *x24 = x8; where f saves x24, changes it,
# and restores it.
MAIN = "fd7bbfa9 18000090 18030091 06000094 {second} 04000094 080300f9 fd7bc1a8 c0035fd6"
SAVES = "f80f1ff8 380080d2 f80741f8 c0035fd6"


@pytest.mark.parametrize(("second", "objection"), [("f80314aa", ""), ("1f2003d5", "writable-data")])
def test_a_function_gives_each_caller_its_own_registers_back(second: str, objection: str) -> None:
    patches = (at("patch_aarch64_21r", 4, value=HoleValue.DATA), at("patch_aarch64_12", 8, value=HoleValue.DATA))
    body = code(MAIN.format(second=second) + SAVES, *patches)
    # macOS: no register is reserved.
    found = objections(asked(audited(body, code("00" * 8), triple="aarch64-apple-darwin")))
    assert set(found) == ({objection} if objection else set())


# sxtw, sbfx, lsr, uxtb and asr x24, x8 overwrite x24, which bfxil does not: then *x24 = x8.
@pytest.mark.parametrize(
    ("text", "objection"),
    [
        *((text, "") for text in ("187d4093", "18154493", "18fd43d3", "181d0053", "18fd4393")),
        ("181d40b3", "writable-data"),
    ],
)
def test_what_is_overwritten_is_not_read(text: str, objection: str) -> None:
    patches = (at("patch_aarch64_21r", 0, value=HoleValue.DATA), at("patch_aarch64_12", 4, value=HoleValue.DATA))
    body = f"1800009018030091{text}080300f9c0035fd6"
    found = objections(asked(audited(code(body, *patches), code("00" * 8), triple=ARM)))
    assert set(found) == ({objection} if objection else set())


# 32-bit code that pushes three operands of _wassert and calls it: with what is behind it, or nothing.
ASSERTION = "6a006a006a00e800000000"


@pytest.mark.parametrize(
    ("behind", "function", "objection"),
    [
        # The compiler thinks that it returns, and clears the stack.
        ("83c40cc3", "_wassert", ""),
        # It has proven that it cannot go on.
        ("", "_wassert", ""),
        ("", "_Py_FatalRefcountErrorFunc", ""),
        # What returns must clear the stack, and what does not has nothing behind it.
        ("c3", "_wassert", "targets"),
        ("", "PyErr_Clear", "targets"),
        ("83c40cc3", "_Py_FatalRefcountErrorFunc", "decodings"),
    ],
)
def test_windows_assertions_may_return(behind: str, function: str, objection: str) -> None:
    call = code(ASSERTION + behind, at("patch_x86_64_32rx", 7, symbol=function, addend=-4))
    known = References(by="the sources", proven=True, symbols={"_UOP": frozenset({function})})
    found = objections(asked(audited(call, triple=I686, series="3.13", references=known)))
    assert set(found) == ({objection} if objection else set())


def test_what_is_too_intricate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_LEAST", 10)
    monkeypatch.setattr(flow, "_PATIENCE", 0)
    assert "decodings" in objections(asked(audited(code("7400" * 100))))


def test_no_cpython_has_so_much_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_LARGEST", 3)
    with pytest.raises(HeaderError, match="4 bytes of code"):
        asked(audited(code("90909090")))


@pytest.mark.parametrize(
    "body", [bytes(1 << 13), b"\x74\x00" * (1 << 12), b"\x75\x80" * (1 << 12), b"\xff" * (1 << 13)]
)
def test_hostile_code_takes_no_time(body: bytes) -> None:
    """Zeros, thousands of jumps: time grows with the size, and not faster."""
    assert asked(audited(Stencil(body=body, patches=()))).results


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


def test_a_rule_that_was_not_asked_has_not_passed() -> None:
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
    "a 32-bit address on i686": (code("b800000000", at("patch_32", 1, symbol="PyErr_Clear")), I686),
    "what may not come": (code("0f0b"), X86),
    "brk": (code("200020d4"), ARM),
    "reading data": (code("488b0500000000", at("patch_32r", 3, value=HoleValue.DATA, addend=-4)), X86),
    "an assert": (code("48b80000000000000000", at("patch_64", 2, symbol="__assert_fail")), X86),
    "a large frame": (code("4881ec002000004881c400200000"), X86),
    "the address of data on the stack": (
        code("83ec04c704240000000083c404", at("patch_32", 6, value=HoleValue.DATA)),
        I686,
    ),
    "rep bsf": (code("f30fbcc1"), X86),
    "long NOPs behind a return": (code("c3660f1f440000"), X86),
    "a hint of pointer authentication": (code("3f2303d5"), ARM),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_passes(name: str) -> None:
    stencil, triple = HARMLESS[name]
    assert objections(asked(audited(stencil, triple=triple))) == {}


def test_the_frame_pointer_is_free_where_cpython_does_not_reserve_it() -> None:
    assert asked(audited(code("554889e55d"), series="3.14")).passed


@pytest.mark.parametrize(("pad", "triple"), [("f30f1efa", X86), ("5f2403d5", ARM), ("3f2303d5", ARM)])
def test_landing_pads_are_noted_or_demanded(pad: str, triple: str) -> None:
    bare = audited(code(RET if triple == X86 else ARM_RET), triple=triple)
    found = asked(bare)
    assert found.passed
    assert [result.rule for result in found.results if result.outcome == "noted"] == ["landing-pads"]
    assert "landing-pads" in objections(asked(bare, demanded=("landing-pads",)))
    assert asked(audited(code(pad), triple=triple), demanded=("landing-pads",)).passed


@pytest.mark.parametrize(("pad", "triple"), [("f30f1efa", X86), ("5f2403d5", ARM)])
def test_pads_are_asked_for_where_something_enters_and_noted_elsewhere(pad: str, triple: str) -> None:
    both = ("landing-pads", "needless-pads")
    ret = RET if triple == X86 else ARM_RET
    for text, entered, wrong in (
        (ret, {"_UOP"}, {"landing-pads"}),
        (pad + ret, {"_UOP"}, set()),
        (ret, set(), set()),
        (pad + ret, set(), {"needless-pads"}),
    ):
        given = audited(code(text), triple=triple, entered=frozenset(entered))
        assert set(objections(asked(given, demanded=both))) == wrong
        assert asked(given).passed


# str x30, [sp, #-16]! and ldr x30, [sp], #16
SAVED, RESTORED, SIGN, AUTHENTICATE = "fe0f1ff8", "fe0741f8", "3f2303d5", "bf2303d5"


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        (SIGN + SAVED + RESTORED + AUTHENTICATE + ARM_RET, ""),
        (SIGN + SAVED + RESTORED + ARM_RET, "a signed address may run, at 0xc: ret"),
        (SAVED + RESTORED + AUTHENTICATE + ARM_RET, "an address that is computed may run, at 0xc: ret"),
        # Signed with one stack pointer, authenticated with another:
        (SIGN + SAVED + AUTHENTICATE + RESTORED + ARM_RET, "a signed address may run, at 0x10: ret"),
        # With the other key (autibsp):
        (SIGN + "ff2303d5" + ARM_RET, "an address that is computed may run, at 0x8: ret"),
    ],
)
def test_a_signed_way_back_is_authenticated_as_it_was_signed(text: str, objection: str) -> None:
    assert objections(asked(audited(code(text), triple=ARM))).get("targets", "") == objection


def test_data_among_code_is_noted() -> None:
    found = asked(audited(code("c3ffffffff")))
    assert found.passed
    assert "data-in-code" in [result.rule for result in found.results if result.outcome == "noted"]


def waiver(**changes: Any) -> Waiver:
    base = Waiver(rule="instructions", stencil="_U*", why="a good reason", until="2026-12-31")
    return replace(base, **changes)


def test_waivers_serve_until_their_day() -> None:
    given = audited(code("0f05"))
    found = asked(given, waiver(until=TODAY))
    assert found.passed
    (finding,) = next(result.findings for result in found.results if result.rule == "instructions")
    assert finding.waived == "a good reason (until 2026-11-21)"
    late = asked(given, waiver(until="2026-11-20"))
    assert not late.passed
    assert late.stale == ("the waiver of instructions _U* ended on 2026-11-20",)
    other = asked(given, waiver(stencil="_OTHER"))
    assert not other.passed
    assert other.stale == ("the waiver of instructions _OTHER waives nothing",)


ROW = 'schema = 1\n[[waiver]]\nrule = "paths"\nstencil = "_UOP"\nwhy = "known and harmless"\nuntil = "2027-01-31"\n'


def test_waivers_are_read() -> None:
    (found,) = audit.parse_waivers(ROW, "waivers.toml")
    assert found == waiver(rule="paths", stencil="_UOP", why="known and harmless", until="2027-01-31")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('rule = "paths"', 'rule = "all"', "there is no rule 'all'"),
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


def test_the_documentation_lists_the_rules() -> None:
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", text, re.MULTILINE))
    assert rows == {rule.name: rule.refs for rule in audit.RULES}


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
    assert "shim" in out
    if form == "json":
        assert json.loads(out)["passed"] is False


def test_the_command_needs_something_to_audit(header: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit"]) == 2
    assert cli.main(["audit", str(header), "--demand", "love"]) == 2
    assert "there is no rule love" in capsys.readouterr().err
    assert cli.main(["audit", "--rules"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert listed == ["rule", *(rule.name for rule in audit.RULES)]
    assert cli.main(["audit", "--rules", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rules"]
    assert [(row["rule"], row["why"]) for row in rows] == [(rule.name, rule.why) for rule in audit.RULES]
    assert cli.main(["audit", "--rules", "--format", "markdown"]) == 0
    head, line, *cells = capsys.readouterr().out.splitlines()
    assert (head, line) == ("| Rule | Why | From |", "| --- | --- | --- |")
    assert [row.split(" | ")[0] for row in cells] == [f"| `{rule.name}`" for rule in audit.RULES]
    assert {row.count(" | ") for row in cells} == {2}, "no cell breaks the table"


def test_of_many_findings_a_few_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Finding(stencil=f"_UOP_{number}", what="it is bad") for number in range(30)]
    shown = list(audit_command._findings(found))
    assert shown[0] == "_UOP_0: it is bad"
    assert shown[-1] == f"and {30 - len(shown) + 1} more (--format json lists all)"
    assert len(shown) < 30
    assert list(audit_command._findings([Finding(stencil="", what="x", waived="it is")])) == [
        "the header: x; waived: it is"
    ]


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


def test_growth_takes_the_build_alike_from_a_folder_above(
    header: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "before"
    shutil.copytree(header, before / "one")
    assert cli.main(["audit", str(header), "--against", str(before)]) == 0
    shutil.copytree(header, before / "two")
    capsys.readouterr()
    assert cli.main(["audit", str(header), "--against", str(before)]) == 2
    said = capsys.readouterr().err
    assert f"below {before} are 2 builds that {header} could replace" in said
    assert str(before / "two") in said


LINE_2 = r"(?<=\n)(// [^\n]*)\n"
HIDDEN = {
    "a backslash at the end of line 2": (LINE_2, "\\1\\\\\n"),
    "a backslash and blanks": (LINE_2, "\\1\\\\ \t\n"),
    "a trigraph": (LINE_2, "\\1??/\n"),
    "a line's end that only some compilers see": (LINE_2, "\\1\x0bint more;\n"),
    "another comment with a backslash": (LINE_2, "\\1\n// more \\\\\n"),
    "blanks": (r"\n\n", "\n\n\n"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden_in_the_text_is_found(name: str, header: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(header.glob("jit_stencils-*.h"))
    pattern, text = HIDDEN[name]
    changed, count = re.subn(pattern, text, path.read_text(), count=1)
    assert count
    path.write_text(changed)
    code = cli.main(["audit", str(path), "--target", X86])
    answer = capsys.readouterr()
    assert (code == 1 and "failed     text" in answer.out) or code == 2, answer


def test_a_constructor_is_no_stencil(header: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(header.glob("jit_stencils-*.h"))
    path.write_text(path.read_text().replace("void\nemit_", "__attribute__((constructor)) void\nemit_", 1))
    assert cli.main(["audit", str(path), "--target", X86]) != 0


def test_the_command_takes_an_instruction_set(header: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", str(header), "--isa", "x86-64-v3"]) == 0
    assert cli.main(["audit", str(header), "--isa", "armv9-a"]) == 2
    assert "there are x86-64, core2" in capsys.readouterr().err


def test_the_command_compares_names_with_a_tree(
    header: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "tree" / "Python" / "executor_cases.c.h"
    cases.write_text("\n        case _POP_TOP: {\n            Py_DECREF(value);\n        }\n#undef TIER_TWO\n")
    assert cli.main(["audit", str(header), "--cpython", str(tmp_path / "tree")]) == 1
    assert "cannot reach" in capsys.readouterr().out
    assert cli.main(["audit", str(header), "--demand", "externals"]) == 1


def test_the_command_compares_names_with_a_ledger(
    header: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ledger"
    samples.ledger(folder, header)
    asked = ["audit", str(header), "--demand", "externals", "--ledger", str(folder)]
    assert cli.main(asked) == 0
    (entry,) = folder.rglob("*.toml")
    text = entry.read_text()
    entry.write_text(re.sub(r'(interface.* = )"[0-9a-f]+"', rf'\1"{"0" * 64}"', text))
    capsys.readouterr()
    assert cli.main(asked) == 1
    assert "are not those of the ledger" in capsys.readouterr().out


def test_a_tree_of_another_series_vouches_for_no_names(
    header: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patchlevel = tmp_path / "tree/Include/patchlevel.h"
    patchlevel.write_text(patchlevel.read_text().replace("3.14.7", "3.13.15").replace("14", "13"))
    assert cli.main(["audit", str(header), "--cpython", str(tmp_path / "tree")]) == 1
    assert "the stencils are of CPython 3.14, and --cpython is 3.13.15" in capsys.readouterr().out
