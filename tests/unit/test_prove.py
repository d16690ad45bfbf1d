"""Proofs over stencils of a few instructions, written as bytes: what is proved, and what must not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stencilkit import disassemble, prove
from stencilkit.errors import PolicyError, UsageError
from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup
from stencilkit.prove import arguments, asking, policy
from stencilkit.prove.assumptions import ASSUMPTIONS
from stencilkit.prove.machine import UnsupportedError
from tests.proofs import arm, assert_not_proved, assert_proved, group

SETTING = prove.Setting(
    series="3.15",
    triple="x86_64-unknown-linux-gnu",
    arch="x86_64",
    entry=None,
    prototypes={
        "PyOne": Prototype(result="ptr", arguments=("ptr", "ptr")),
        "PyInt": Prototype(result="i32", arguments=("i32",)),
        "PyEnd": Prototype(result="void", arguments=(), returns=False),
        "PyMany": Prototype(result="void", arguments=(*["ptr"] * 8, "i32", "i8", "ptr")),
        "PyDict_Pop": Prototype(result="i32", arguments=("ptr", "ptr", "ptr")),
        "PyObject_Vectorcall": Prototype(result="ptr", arguments=("ptr", "ptr", "i64", "ptr")),
    },
    alignments={},
    layout={},
    decode=lambda group: disassemble.operations(group.code, "x86_64"),
)
CALL = "ff 15 00 00 00 00"


def called(offset: int, symbol: str) -> Patch:
    return Patch(func="patch_x86_64_32rx", offsets=(offset,), form=PatchForm.GOT_SLOT, symbol=symbol, addend=-4)


def calling(before: str, symbol: str = "PyOne", after: str = "31 ff 31 f6 31 d2") -> StencilGroup:
    """Set arguments up, call a function, go on; the stack is aligned as a compiler has it."""
    head = f"50 {before}"
    return group(f"{head} {CALL} {after} 59", called(len(bytes.fromhex(head)) + 2, symbol))


def verdict(left: StencilGroup, right: StencilGroup) -> Proof:
    return prove.prove(left, right, SETTING)


PROVED = {
    "other instructions": ("48 8d 47 01 48 89 c7", "48 ff c7"),
    "less or equal, and not greater": (
        "39 f7 7e 03 48 ff c2",  # cmp edi, esi; jle; inc rdx
        "39 fe 7d 03 48 ff c2",  # cmp esi, edi; jge; inc rdx
    ),
    "not positive, by a test and by a comparison": (
        "85 ff 7e 03 48 ff c2",  # test edi, edi; jle; inc rdx
        "31 c0 39 f8 90 7d 03 48 ff c2 31 c0",  # xor eax, eax; cmp eax, edi; jge; inc rdx; xor eax, eax
    ),
    "a register that nobody reads": ("b8 05 00 00 00", "90"),
    "writes to words beside each other": ("49 89 3e 49 89 76 08", "49 89 76 08 49 89 3e"),
    "writes to words of which one is above the other by a small number": (
        "40 0f b6 c7 49 89 36 49 89 54 c6 08",  # movzx eax, dil; [r14] = rsi; [r14 + rax*8 + 8] = rdx
        "40 0f b6 c7 49 89 54 c6 08 49 89 36",
    ),
    "writes to words of which one is below the other by a small number": (
        "40 0f b6 c7 48 f7 d8 49 89 36 49 89 54 c6 f8",  # movzx eax, dil; neg rax; ...; [r14 + rax*8 - 8] = rdx
        "40 0f b6 c7 48 f7 d8 49 89 54 c6 f8 49 89 36",
    ),
    "a test of one byte, and of the word": (
        "41 f6 46 03 80 74 03 48 ff c7",  # test byte [r14+3], 0x80; je; inc rdi
        "41 f7 06 00 00 00 80 74 03 48 ff c7",  # test dword [r14], 0x80000000
    ),
    "a branch, and a conditional move": (
        "48 85 ff 74 03 48 89 fe",  # if rdi: rsi = rdi
        "48 85 ff 48 0f 45 f7",
    ),
    "a spill": ("57 31 ff 5f", "90"),
    "a loop that counts, and one with a pointer": (
        # for rax in 0, 8, ..., 0x40: [r14+rax] = 0
        "31 c0 49 c7 04 06 00 00 00 00 48 83 c0 08 48 83 f8 40 75 ee",
        # for rax = r14, ... until rcx = r14 + 0x40
        "4c 89 f0 49 8d 4e 40 48 c7 00 00 00 00 00 48 83 c0 08 48 39 c8 75 f0",
    ),
}
REFUSED = {
    "another number": ("48 83 c7 01", "48 83 c7 02"),
    "another condition": ("48 85 ff 74 03 48 ff c7", "48 85 ff 75 03 48 ff c7"),
    "less or equal, and greater or equal": ("39 f7 7e 03 48 ff c2", "39 f7 7d 03 48 ff c2"),
    "less or equal, and less": ("39 f7 7e 03 48 ff c2", "39 fe 7f 03 48 ff c2"),
    "less or equal without its sign": ("39 f7 7e 03 48 ff c2", "39 fe 73 03 48 ff c2"),
    "a comparison without its sign": ("48 39 f7 7c 03 48 ff c7", "48 39 f7 72 03 48 ff c7"),
    "a store that is missing": ("49 89 3e", "90"),
    "writes whose order counts where they overlap": ("48 89 16 48 89 0f", "48 89 0f 48 89 16"),
    "writes to words that may be one": ("40 0f b6 c7 49 89 36 49 89 14 c6", "40 0f b6 c7 49 89 14 c6 49 89 36"),
    "writes to words that may have a byte in common": (
        "40 0f b6 c7 49 89 36 49 89 54 c6 07",
        "40 0f b6 c7 49 89 54 c6 07 49 89 36",
    ),
    "writes to words whose distance may be negative": (
        "48 0f be c7 49 89 36 49 89 54 c6 08",  # movsx rax, dil
        "48 0f be c7 49 89 54 c6 08 49 89 36",
    ),
    "writes to words whose distance is any": ("49 89 36 49 89 54 fe 08", "49 89 54 fe 08 49 89 36"),
    "a narrow store": ("49 89 3e", "41 89 3e"),
    "a register that is not given back": ("55 5d", "90 bd 00 00 00 00"),
    "a stack pointer that is not given back": ("90", "50"),
    "a write to the caller's frame": ("90", "48 89 3c 24"),
    "no way out": ("eb fe", "eb fe"),
    "a jump into an instruction": ("eb 01 b8 90 90 90 90", "eb 01 b8 90 90 90 90"),
    "a jump beyond the code": ("eb 10", "eb 10"),
    "no instruction": ("06", "06"),
    "an instruction that is not modelled": ("0f a2", "0f a2"),
}


@pytest.mark.parametrize("name", PROVED)
def test_is_proved(name: str) -> None:
    left, right = PROVED[name]
    assert_proved(verdict(group(left), group(right)))


@pytest.mark.parametrize("name", REFUSED)
def test_is_not_proved(name: str) -> None:
    left, right = REFUSED[name]
    assert_not_proved(verdict(group(left), group(right)))


def test_loops_that_do_other_things_are_not_proved() -> None:
    left, right = PROVED["a loop that counts, and one with a pointer"]
    for wrong in (
        right.replace("4e 40", "4e 48"),
        right.replace("c0 08", "c0 10"),
        right.replace("c7 00 00", "c7 00 01"),
    ):
        assert wrong != right
        assert verdict(group(left), group(wrong)).verdict is Verdict.NOT_PROVED


def test_calls_have_equal_arguments() -> None:
    straight = calling("48 89 f8 48 89 c7")  # rdi through rax
    assert verdict(straight, calling("90")).verdict is Verdict.PROVED
    for wrong in (
        calling("48 87 f7"),  # xchg is not modelled
        calling("48 89 f7"),  # rdi = rsi
        calling("48 31 f6"),
        calling("90", symbol="PyDict_Pop"),
        calling("90", after="48 ff c0 48 89 c7 31 f6 31 d2"),
    ):
        assert verdict(straight, wrong).verdict is Verdict.NOT_PROVED


def test_of_an_int_only_its_bits_are_an_argument() -> None:
    assert verdict(calling("89 ff", symbol="PyInt"), calling("90", symbol="PyInt")).verdict is Verdict.PROVED
    assert verdict(calling("40 0f b6 ff", symbol="PyInt"), calling("90", symbol="PyInt")).verdict is Verdict.NOT_PROVED


def test_what_a_call_may_change_is_unknown() -> None:
    kept = calling("90", after="48 89 c7 31 f6 31 d2")
    assert verdict(kept, calling("90", after="48 89 c7 31 f6 31 d2 90")).verdict is Verdict.PROVED
    # rsi and rdx are not what they were:
    lost = calling("90", after="48 89 c7")
    assert verdict(lost, calling("90", after="48 89 c7 90")).verdict is Verdict.NOT_PROVED


def test_a_call_that_does_not_return_ends_a_path() -> None:
    ends = calling("90", symbol="PyEnd", after="0f a2")
    assert verdict(ends, calling("90 90", symbol="PyEnd")).verdict is Verdict.PROVED


def test_an_indirect_call_has_the_arguments_that_either_side_sets_up() -> None:
    def through(before: str) -> StencilGroup:
        return group(f"50 {before} ff d0 31 f6 31 d2 31 ff 59")

    assert verdict(through("48 31 f6"), through("31 f6")).verdict is Verdict.PROVED
    assert verdict(through("31 f6"), through("90")).verdict is Verdict.NOT_PROVED


def test_an_array_in_the_frame_is_compared_as_far_as_it_is_read() -> None:
    def vectorcall(stores: str, count: int) -> StencilGroup:
        body = f"48 83 ec 18 {stores} 48 89 e6 ba {count:02x} 00 00 00 31 c9"
        return group(
            f"{body} {CALL} 31 ff 31 f6 31 d2 48 83 c4 18",
            called(len(bytes.fromhex(body)) + 2, "PyObject_Vectorcall"),
        )

    both = "4c 89 3c 24 48 89 7c 24 08"
    assert verdict(vectorcall(both, 2), vectorcall("48 89 7c 24 08 4c 89 3c 24", 2)).verdict is Verdict.PROVED
    assert verdict(vectorcall(both, 1), vectorcall("4c 89 3c 24", 1)).verdict is Verdict.PROVED
    assert verdict(vectorcall(both, 2), vectorcall("4c 89 3c 24", 2)).verdict is Verdict.NOT_PROVED


def test_calls_of_two_functions_that_cannot_meet_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    # If rdi is rsi, PyDict_Pop with a pointer into the frame, else PyOne; the other side asks by exclusive or.
    def either(compare: str) -> StencilGroup:
        one, other = (f"50 48 89 e2 {CALL} 58", f"50 {CALL} 58")
        head, size = f"{compare} 74 0b", len(bytes.fromhex(compare)) + 2
        patches = called(size + 3, "PyOne"), called(size + 11 + 6, "PyDict_Pop")
        return group(f"{head} {other} 90 eb 0b {one} 31 ff 31 f6 31 d2", *patches)

    left, right = either("48 39 f7 90 90 90"), either("48 89 f8 48 31 f0")
    assert verdict(left, right).verdict is Verdict.PROVED
    # Where z3 does not decide which way is open, both are taken.
    monkeypatch.setattr(asking, "decided", lambda *_: None)
    assert verdict(left, right).verdict is Verdict.PROVED
    assert verdict(left, either("48 89 f8 48 31 d0")).verdict is Verdict.NOT_PROVED


def test_a_result_through_a_pointer_is_what_the_callee_wrote() -> None:
    def popping(before: str, after: str) -> StencilGroup:
        body = f"48 83 ec 18 {before} 48 8d 54 24 08"
        return group(
            f"{body} {CALL} {after} 31 f6 31 d2 48 83 c4 18", called(len(bytes.fromhex(body)) + 2, "PyDict_Pop")
        )

    plain = popping("90", "48 8b 7c 24 08")
    assert verdict(plain, popping("48 c7 44 24 08 00 00 00 00", "48 8b 7c 24 08")).verdict is Verdict.PROVED
    assert (
        verdict(popping("48 c7 44 24 08 00 00 00 00", "48 8b 7c 24 08"), popping("90", "31 ff")).verdict
        is Verdict.NOT_PROVED
    )


def test_holes_are_the_same_on_both_sides() -> None:
    def operand(value: HoleValue, addend: int = 0) -> StencilGroup:
        patch = Patch(func="patch_64", offsets=(2,), value=value, addend=addend)
        return group("48 bf 00 00 00 00 00 00 00 00", patch)

    assert verdict(operand(HoleValue.OPARG), operand(HoleValue.OPARG)).verdict is Verdict.PROVED
    assert verdict(operand(HoleValue.OPARG), operand(HoleValue.OPERAND0)).verdict is Verdict.NOT_PROVED
    assert verdict(operand(HoleValue.OPARG), operand(HoleValue.OPARG, 1)).verdict is Verdict.NOT_PROVED
    # An oparg has 16 bits:
    masked = group(
        "48 bf 00 00 00 00 00 00 00 00 0f b7 ff", Patch(func="patch_64", offsets=(2,), value=HoleValue.OPARG)
    )
    assert verdict(operand(HoleValue.OPARG), masked).verdict is Verdict.PROVED


def test_a_hole_where_none_is_read_is_not_modelled() -> None:
    odd = group("48 bf 00 00 00 00 00 00 00 00", Patch(func="patch_64", offsets=(1,), value=HoleValue.OPARG))
    assert verdict(odd, odd).why == "unsupported: a hole in movabs rdi, 0"


def test_what_jit_c_would_take_for_a_load_must_be_one() -> None:
    # The last byte before a jump's own opcode is 0x8b here: patch_x86_64_32rx looks two bytes back.
    odd = group("b0 8b e9 00 00 00 00", Patch(func="patch_x86_64_32rx", offsets=(3,), symbol="PyOne", addend=-4))
    assert "jit.c would take" in verdict(odd, odd).why


def test_jit_c_reads_a_variable_that_it_takes_for_a_slot() -> None:
    # mov rdi, [rip + _Py_Variable]: patch_x86_64_32rx does not know whether that is the address of a slot.
    odd = group("48 8b 3d 00 00 00 00", Patch(func="patch_x86_64_32rx", offsets=(3,), symbol="_Py_Variable", addend=-4))
    assert "for a slot" in verdict(odd, odd).why


def test_a_small_budget_is_a_limit_not_a_proof() -> None:
    setting = replace(SETTING, budget=1)
    left, right = PROVED["a test of one byte, and of the word"]
    assert prove.prove(group(left), group(right), setting).verdict is Verdict.NOT_PROVED


def test_a_policy_accepts_by_name_and_with_a_reason() -> None:
    rules = policy.parse(
        'schema = 1\n[[fact]]\nname = "size-not-negative"\nwhy = "lists refuse it"\n'
        '[[agreed]]\nstencil = "_BUILD_*"\nwhy = "read by hand"\n',
        "rules.toml",
    )
    given = Proof(name="_X", verdict=Verdict.GIVEN, facts=("size-not-negative",))
    assert rules.accepts(given)
    assert not policy.Policy().accepts(given)
    assert rules.accepts(Proof(name="_BUILD_MAP", verdict=Verdict.AGREED, runs=1))
    assert not rules.accepts(Proof(name="_X", verdict=Verdict.AGREED, runs=1))
    assert not rules.accepts(Proof(name="_BUILD_MAP", verdict=Verdict.DIFFERS))
    with pytest.raises(PolicyError, match="reason"):
        policy.parse('schema = 1\n[[fact]]\nname = "size-not-negative"\nwhy = ""\n', "rules.toml")
    with pytest.raises(PolicyError, match="no such fact"):
        policy.parse('schema = 1\n[[fact]]\nname = "luck"\nwhy = "we hope so"\n', "rules.toml")
    with pytest.raises(UsageError, match="no fact luck"):
        policy.of_names(("luck",))


def test_every_assumption_has_a_reason_and_a_source() -> None:
    assert len({row.name for row in ASSUMPTIONS}) == len(ASSUMPTIONS)
    assert all(row.text and row.source for row in ASSUMPTIONS)


def test_what_differs_is_shown_by_a_run() -> None:
    setting = replace(SETTING, runs=20)
    for name in ("another condition", "a narrow store", "writes whose order counts where they overlap"):
        left, right = REFUSED[name]
        found = prove.prove(group(left), group(right), setting)
        assert found.verdict is Verdict.DIFFERS, (name, found)
        assert found.difference is not None
        assert found.difference.left != found.difference.right


def test_what_is_not_modelled_is_run_and_stays_unproved() -> None:
    left, right = REFUSED["an instruction that is not modelled"]
    found = prove.prove(group(left), group(right), replace(SETTING, runs=20))
    assert (found.verdict, found.runs) == (Verdict.AGREED, 20)
    assert not policy.Policy().accepts(found)


def arm_verdict(left: StencilGroup, right: StencilGroup, runs: int = 0) -> Proof:
    setting = replace(
        SETTING,
        runs=runs,
        triple="aarch64-unknown-linux-gnu",
        arch="aarch64",
        decode=lambda one: disassemble.operations(one.code, "aarch64"),
    )
    return prove.prove(left, right, setting)


def test_aarch64_too() -> None:
    add = arm("91000718")  # add x24, x24, #1
    assert arm_verdict(add, arm("d2800028 8b080318")).verdict is Verdict.PROVED  # mov x8, #1; add x24, x24, x8
    assert arm_verdict(add, arm("91000b18")).verdict is Verdict.NOT_PROVED
    assert arm_verdict(add, arm("11000718")).verdict is Verdict.NOT_PROVED  # of 32 bits


def test_adding_is_comparing_with_the_negative_number() -> None:
    sign = arm("d37fff19 d503201f")  # lsr x25, x24, #63
    assert_proved(arm_verdict(arm("b100071f 9a9fc7f9"), sign))  # cmn x24, #1; cset x25, le
    assert_not_proved(arm_verdict(arm("b100071f 9a9fa7f9"), sign))  # lt
    assert_not_proved(arm_verdict(arm("b1000b1f 9a9fc7f9"), sign))  # cmn x24, #2
    # Where x24 < x26 is false, flags are the number's: equal (4), so le, or nothing (0), so gt.
    plain = arm("eb1a031f 9a9fb7e8 d37fff09 aa080139")  # cmp x24, x26; cset x8, ge; lsr x9, x24, #63; orr x25, x9, x8
    assert_proved(arm_verdict(arm("eb1a031f ba41bb04 9a9fc7f9"), plain))  # cmp; ccmn x24, #1, #4, lt; cset x25, le
    for wrong in ("ba41bb00", "ba41bb08 9a9fc7f9 d503201f", "ba42bb04", "ba41ab04"):
        pair = arm(f"eb1a031f {wrong} 9a9fc7f9"), plain
        expected = assert_proved if wrong.startswith("ba41bb08") else assert_not_proved
        expected(arm_verdict(*pair))
    # The register of the address to return to is given back:
    assert arm_verdict(arm("d503201f"), arm("d280001e")).verdict is Verdict.NOT_PROVED


@pytest.mark.parametrize(
    "twice", ["78808463", "f8008463", "b8808fbd", "f8008fde", "f8408463", "b8408463", "a9400c83", "a8c10463"]
)
def test_one_register_that_is_written_twice_is_refused(twice: str) -> None:
    """Loads and stores of x3 that move x3, of fp and lr too, and ldp x3, x3: processors may do either."""
    answer = arm_verdict(arm(twice), arm(f"{twice} d503201f"))
    assert answer.verdict is Verdict.NOT_PROVED
    assert "unsupported: " in answer.why, answer  # the disassembler knows some of them
    is_twice = twice in ("78808463", "f8008463", "b8808fbd", "f8008fde")
    assert ("writes one register twice" in answer.why) == is_twice, answer
    assert_proved(arm_verdict(arm("f8408483"), arm("f8408483 d503201f")))  # ldr x3, [x4], #8


def test_what_differs_on_aarch64_is_shown_by_a_run() -> None:
    def calling(before: str) -> StencilGroup:
        # str x30, [sp, #-16]!; mov x0, x24; BEFORE; bl PyOne; movz/movk x25 = the oparg; ldr x30, [sp], #16
        patches = (
            Patch(func="patch_aarch64_trampoline", offsets=(12,), form=PatchForm.TRAMPOLINE, symbol="PyOne"),
            Patch(func="patch_aarch64_16a", offsets=(16,), value=HoleValue.OPARG),
        )
        return arm(f"f81f0ffe aa1803e0 {before} 94000000 d2800019 d280001a f84107fe", *patches)

    plain = calling("aa1903e1")  # mov x1, x25
    assert arm_verdict(plain, plain, 20).verdict is Verdict.PROVED
    found = arm_verdict(plain, calling("aa1a03e1"), 20)
    assert found.verdict is Verdict.DIFFERS
    assert found.difference is not None
    assert "call PyOne" in found.difference.left
    assert found.difference.places == (12, 12)
    # An instruction that is not modelled (cls) is run.
    odd = calling("dac01401")
    assert (arm_verdict(odd, odd, 20).verdict, arm_verdict(odd, odd, 20).runs) == (Verdict.AGREED, 20)


def test_a_pair_that_jit_c_relaxes_has_one_register() -> None:
    def pair(load: str, between: str = "") -> StencilGroup:
        second = 8 if between else 4
        patch = Patch(func="patch_aarch64_33rx", offsets=(0, second), form=PatchForm.GOT_SLOT, symbol="PyOne")
        return arm(f"90000008 {between} {load} aa0803f8", patch)  # adrp x8; ldr; mov x24, x8

    good = pair("f9400108")  # ldr x8, [x8]
    assert arm_verdict(good, pair("f9400108", "d503201f")).verdict is Verdict.PROVED
    assert "jit.c would take" in arm_verdict(good, pair("f9400109")).why  # ldr x9, [x8]
    assert arm_verdict(good, pair("f9400108", "aa0803f9")).verdict is Verdict.NOT_PROVED  # x25 = x8 in between


def test_a_stencil_that_writes_its_own_data_is_not_modelled() -> None:
    patch = Patch(func="patch_64", offsets=(2,), value=HoleValue.DATA)
    odd = group("48 b8 00 00 00 00 00 00 00 00 48 89 38", patch, data=bytes(8))
    assert "a write to the stencil's data" in verdict(odd, odd).why


def test_an_address_of_32_bits_is_not_modelled() -> None:
    assert "the instruction mov dword ptr [esi]" in verdict(group("67 89 3e"), group("67 89 3e")).why


@pytest.mark.parametrize(
    "code",
    [
        "66 57",  # push di
        "66 c3",  # a return to 16 bits
        "66 75 00",  # a jump to 16 bits
        "ff 2f",  # a far jump
        "66 f2 0f 10 07",  # two prefixes, of which one counts
        "f3 0f 4a f7",  # a prefix that belongs to another opcode
        "64 48 8b 3f",  # a segment
        "f7 cf 01 00 00 00",  # an alias that no manual lists
    ],
)
def test_what_an_encoding_does_beside_its_name_is_not_modelled(code: str) -> None:
    assert verdict(group(code), group(code)).why.startswith("unsupported: the instruction")


def test_an_address_of_the_frame_in_memory_is_not_modelled() -> None:
    # lea rax, [rsp-8]; mov [rdi], rax: a callee could read the frame through it.
    code = "48 8d 44 24 f8 48 89 07"
    assert "an address of the frame in memory" in verdict(group(code), group(f"90 {code}")).why


def test_an_address_of_the_frame_in_an_array_is_not_modelled() -> None:
    # args[0] = &args[1], and what that points to differs.
    def vectorcall(number: int) -> StencilGroup:
        body = (
            f"48 83 ec 18 48 8d 44 24 08 48 c7 44 24 08 {number:02x} 00 00 00 48 89 04 24 48 89 e6 ba 01 00 00 00 31 c9"
        )
        return group(
            f"{body} {CALL} 31 ff 31 f6 31 d2 48 83 c4 18",
            called(len(bytes.fromhex(body)) + 2, "PyObject_Vectorcall"),
        )

    assert "an address of the frame" in verdict(vectorcall(1), vectorcall(2)).why


def test_the_callers_frame_is_as_it_was_at_a_call_too() -> None:
    # mov [rsp+0x18], rdi around a call, with what was there put back behind it.
    spoilt = calling("4c 8b 7c 24 18 48 89 7c 24 18", after="4c 89 7c 24 18 31 ff 31 f6 31 d2")
    plain = calling("4c 8b 7c 24 18", after="31 ff 31 f6 31 d2")
    assert verdict(plain, plain).verdict is Verdict.PROVED
    assert verdict(plain, spoilt).why == "the caller's frame may differ"


def test_shifts_of_lanes_go_their_way() -> None:
    # psllq and psrlq xmm0, 8; movq rdi, xmm0
    left, right = "66 0f 73 f0 08 66 48 0f 7e c7", "66 0f 73 d0 08 66 48 0f 7e c7"
    assert verdict(group(left), group(left)).verdict is Verdict.PROVED
    assert verdict(group(left), group(right)).verdict is Verdict.NOT_PROVED


def test_a_format_says_how_many_arguments_there_are() -> None:
    kinds = ["word", "word", "word", "word", "word", "i32", "word", "i64"]
    assert arguments._conversions(b"%s of %.200s: %5zd %% %V %c %#T %llu\0") == kinds
    for unknown in (b"%f\0", b"%", b"%q\0"):
        with pytest.raises(UnsupportedError):
            arguments._conversions(unknown)


@pytest.mark.parametrize(
    "code",
    [
        "48 85 ff 74 03 48 ff c7" * 60,  # many ways through
        "48 85 ff 48 0f 45 f7 48 85 f6 48 0f 45 fe" * 300,  # deep choices
        "48 ff c7 75 fb" * 40,  # loop after loop
        "48 ff c7 eb fb",  # no end
        "75 fe" * 100,
    ],
)
def test_hostile_code_is_bounded(code: str) -> None:
    setting = replace(SETTING, budget=200_000)
    found = prove.prove(group(code), group(f"90 {code}"), setting)
    assert found.verdict in (Verdict.PROVED, Verdict.NOT_PROVED)
    assert found.verdict is Verdict.PROVED or found.why


def on(
    triple: str, left: StencilGroup, right: StencilGroup, *, series: str = "3.15", entry: str | None = None
) -> Proof:
    arch = triple.partition("-")[0]
    setting = replace(
        SETTING,
        series=series,
        entry=entry,
        triple=triple,
        arch=arch,
        decode=lambda one: disassemble.operations(one.code, arch),
    )
    return prove.prove(left, right, setting)


def test_windows_has_other_registers_and_room_for_the_callee() -> None:
    def call(before: str, spill: int = 0x28) -> StencilGroup:
        # sub rsp, 0x38; [rsp+spill] = rsi; BEFORE; call PyOne; rsi = [rsp+spill]; rdx = 0; add rsp, 0x38
        head = f"48 83 ec 38 48 89 74 24 {spill:02x} {before}"
        after = f"48 8b 74 24 {spill:02x} 31 d2 48 83 c4 38"
        return group(f"{head} {CALL} {after}", called(len(bytes.fromhex(head)) + 2, "PyOne"))

    windows = "x86_64-pc-windows-msvc"
    plain = call("48 89 f9 48 89 f2")  # rcx = rdi, rdx = rsi: both are kept
    assert on(windows, plain, call("48 89 f2 48 89 f9")).verdict is Verdict.PROVED
    assert on(windows, plain, call("48 89 f1 48 89 f2")).verdict is Verdict.NOT_PROVED
    # The 32 bytes above the stack pointer are the callee's.
    assert on(windows, plain, call("48 89 f9 48 89 f2", 0x20)).verdict is Verdict.PROVED
    assert on(windows, plain, call("48 89 f9 48 89 f2", 0x18)).verdict is Verdict.NOT_PROVED


@pytest.mark.parametrize("triple", ["aarch64-apple-darwin", "aarch64-pc-windows-msvc"])
def test_x18_is_the_platforms(triple: str) -> None:
    spoilt = arm("d2800012")  # mov x18, #0
    assert on(triple, arm("d503201f"), spoilt).why == "x18, which is kept may differ"
    assert arm_verdict(arm("d503201f"), spoilt).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    ("other", "apple", "linux"),
    [
        ("f90003f8 390013f9 f90007fa", True, True),  # a whole word, half of which is an argument: str x24, [sp]
        ("b90003f8 b90007f9 f90007fa", True, True),  # four bytes, one of which is one: str w25, [sp, #4]
        ("b90003f9 390013f9 f90007fa", False, False),  # another number: str w25, [sp]
        ("790003f8 390013f9 f90007fa", False, False),  # half of it: strh w24, [sp]
        ("b90003f8 390017f9 f90007fa", False, True),  # beside the byte: strb w25, [sp, #5]
        ("b90003f8 d503201f f90007fa", False, True),  # no byte
        ("b90003f8 390013f9 b9000bfa", False, True),  # half of the address: str w26, [sp, #8]
        ("b90003f8 390013f9 f9000bfa", False, False),  # at the next word: str x26, [sp, #0x10]
    ],
)
def test_arguments_on_the_stack_are_packed_on_macos_alone(other: str, *, apple: bool, linux: bool) -> None:
    def call(store: str) -> StencilGroup:
        # sub sp, sp, #0x30; str x30, [sp, #0x20]; STORE; bl PyMany; ldr x30, [sp, #0x20]; add sp, sp, #0x30
        patch = Patch(func="patch_aarch64_trampoline", offsets=(20,), form=PatchForm.TRAMPOLINE, symbol="PyMany")
        return arm(f"d100c3ff f90013fe {store} 94000000 f94013fe 9100c3ff", patch)

    # str w24, [sp]; strb w25, [sp, #4]; str x26, [sp, #8]: a number, a byte, and an address that is aligned
    plain = call("b90003f8 390013f9 f90007fa")
    for triple, same in (("aarch64-apple-darwin", apple), ("aarch64-unknown-linux-gnu", linux)):
        (assert_proved if same else assert_not_proved)(on(triple, plain, call(other)))


def test_the_shim_is_called_by_c_and_calls_a_stencil() -> None:
    def shim(before: str, push: str = "53", pop: str = "5b") -> StencilGroup:
        # push r12-r15, rbx, rbp; r12 = rdi ... ; call [rdi+0x40]; pop; ret
        return group(
            f"55 41 57 41 56 41 55 41 54 {push} 50 {before} ff 57 40 48 83 c4 08 {pop} 41 5c 41 5d 41 5e 41 5f 5d c3"
        )

    linux = "x86_64-unknown-linux-gnu"
    plain = "49 89 fc 49 89 f5 49 89 d6 49 89 cf"  # r12 = rdi, r13 = rsi, r14 = rdx, r15 = rcx
    other = "49 89 cf 49 89 d6 49 89 f5 49 89 fc"
    swapped = "49 89 f4 49 89 fd 49 89 d6 49 89 cf"
    assert on(linux, shim(plain), shim(other), entry="_UOP_r00").verdict is Verdict.PROVED
    assert on(linux, shim(plain), shim(swapped), entry="_UOP_r00").verdict is Verdict.NOT_PROVED
    # rbx is C's, and no stencil keeps it.
    lost = on(linux, shim(plain), shim(plain, push="50", pop="58"), entry="_UOP_r00")
    assert lost.verdict is Verdict.NOT_PROVED


def test_the_shim_calls_functions_as_c_does() -> None:
    """3.13's shim frees an executor behind the call of a stencil."""

    def shim(behind: str, last: str = "48 89 d8") -> StencilGroup:
        # push rbp, r15-r12, rbx, rax; call [rdi+0x40]; BEHIND; esi = 0; call PyOne; LAST (rax = rbx); add rsp, 8; ...
        head = f"55 41 57 41 56 41 55 41 54 53 50 ff 57 40 {behind} 31 f6"
        after = f"{last} 48 83 c4 08 5b 41 5c 41 5d 41 5e 41 5f 5d c3"
        return group(f"{head} {CALL} {after}", called(len(bytes.fromhex(head)) + 2, "PyOne"))

    linux = "x86_64-unknown-linux-gnu"
    plain = shim("48 89 c3 48 89 c7")  # rbx = rax, rdi = rax
    for other, verdict in (
        (shim("48 89 c7 48 89 c3"), Verdict.PROVED),
        (shim("48 89 c3 31 ff"), Verdict.NOT_PROVED),  # another argument: edi = 0
        (shim("48 89 c3 48 89 c7", "90"), Verdict.NOT_PROVED),  # the result of PyOne
        (shim("49 89 c2 48 89 c7", "4c 89 d0"), Verdict.NOT_PROVED),  # in r10, which PyOne need not keep
    ):
        assert on(linux, plain, other, entry="_UOP_r00").verdict is verdict
    # A stencil need not keep rbx for its caller: behind the call, it is no longer the argument.
    early = shim("48 89 df")
    assert on(linux, early, shim("48 89 c7"), entry="_UOP_r00").verdict is Verdict.NOT_PROVED


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("50 e8 00 00 00 00 59 31 ff 31 f6 31 d2", 2),  # call JUMP_TARGET
        (
            "50 e8 09 00 00 00 59 31 ff 31 f6 31 d2 eb 05 e9 00 00 00 00",
            16,
        ),  # call a function of its own: jmp JUMP_TARGET
    ],
)
def test_a_call_of_an_exit_is_not_taken_for_one_of_a_function(code: str, place: int) -> None:
    """A callee sees its arguments; the next stencil sees all that stencils pass on."""
    exit_ = Patch(func="patch_32r", offsets=(place,), value=HoleValue.JUMP_TARGET, addend=-4)
    calls = group(code, exit_)
    assert verdict(calls, calls).why == "unsupported: a call of an exit"
    to_function = replace(exit_, value=HoleValue.ZERO, symbol="PyOne")
    assert_proved(verdict(*[group(code, to_function)] * 2))


def test_a_call_of_an_exit_in_a_register_is_found() -> None:
    # push rax; mov rax, JUMP_TARGET; call rax; pop rcx
    exit_ = Patch(func="patch_64", offsets=(3,), value=HoleValue.JUMP_TARGET)
    calls = group(f"50 48 b8 {'00' * 8} ff d0 59", exit_)
    assert verdict(calls, calls).why == "unsupported: a call of an exit"
    linked = arm("f81f0ffe 94000000 f84107fe", Patch(func="patch_aarch64_26r", offsets=(4,), value=HoleValue.CONTINUE))
    assert on("aarch64-unknown-linux-gnu", linked, linked).why == "unsupported: a call of an exit"


def test_with_cs_convention_3_13_gives_back_what_c_keeps_on_aarch64() -> None:
    nothing, lost, used = arm("d503201f"), arm("d2800013"), arm("d2800009")  # nop; mov x19, #0; mov x9, #0
    linux = "aarch64-unknown-linux-gnu"
    assert on(linux, nothing, used, series="3.13").verdict is Verdict.PROVED
    assert on(linux, nothing, lost, series="3.13").verdict is Verdict.NOT_PROVED
    assert on(linux, nothing, lost).verdict is Verdict.PROVED
    # movi d8, #0: its low half is C's.
    assert on(linux, nothing, arm("2f00e408"), series="3.13").verdict is Verdict.NOT_PROVED


def arm_data(code: str, data: bytes, *, name: str = "_UOP_r00") -> StencilGroup:
    """Read a word of data that w25 has the number of: adrp x9, data; add x9, x9, data; CODE."""
    patches = (
        Patch(func="patch_aarch64_21r", offsets=(0,), value=HoleValue.DATA),
        Patch(func="patch_aarch64_12", offsets=(4,), value=HoleValue.DATA),
    )
    return replace(arm(f"90000009 91000129 {code}", *patches), name=name, data=Stencil(body=data, patches=()))


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


TABLE = "92400739 f8797938"  # and x25, x25, #3; ldr x24, [x9, x25, lsl #3]
LATER = "92400739 91002129 f8797938"  # add x9, x9, #8: the table is behind another word


def test_data_at_a_variable_place_is_a_choice() -> None:
    table, later = arm_data(TABLE, words(5, 6, 7, 8)), arm_data(LATER, words(0, 5, 6, 7, 8))
    assert_proved(arm_verdict(table, later))
    assert_not_proved(arm_verdict(table, arm_data(LATER, words(0, 5, 6, 8, 7))))
    # What is beside the data is known to nobody.
    short = arm_data(TABLE, words(5, 6, 7))
    assert_not_proved(arm_verdict(short, arm_data(LATER, words(0, 5, 6, 7))))
    many = arm_data(TABLE, words(*range(70)))
    assert arm_verdict(many, arm_data(LATER, words(0, *range(70)))).why == "unsupported: data at a variable place"


def test_bits_are_reversed_and_counted_on_aarch64() -> None:
    for code, same in (
        ("dac00318", "d2f00018"),  # rbit x24, x24; mov x24, #1 << 63
        ("5ac00318", "d2b00018"),  # rbit w24, w24; mov x24, #1 << 31
        ("dac01318", "d28007f8"),  # clz x24, x24; mov x24, #63
        ("5ac01318", "d28003f8"),  # clz w24, w24; mov x24, #31
    ):
        assert_proved(arm_verdict(arm(f"d2800038 {code}"), arm(same)))  # mov x24, #1
        assert_not_proved(arm_verdict(arm(f"d2800058 {code}"), arm(same)))  # mov x24, #2
    # mov x24, #0; clz w24, w24; mov x24, #32
    assert_proved(arm_verdict(arm("d2800018 5ac01318"), arm("d2800418")))


def test_the_opargs_that_are_made_are_a_fact_about_one_uop_of_3_13() -> None:
    # mov ecx, oparg; cmp ecx, 16; je: rdi = 0, or nothing
    patch = Patch(func="patch_32", offsets=(1,), value=HoleValue.OPARG)
    for name, series, number, verdict_ in (
        ("_SET_FUNCTION_ATTRIBUTE", "3.13", "10", Verdict.GIVEN),
        ("_SET_FUNCTION_ATTRIBUTE", "3.13", "08", Verdict.NOT_PROVED),
        ("_SET_FUNCTION_ATTRIBUTE", "3.14", "10", Verdict.NOT_PROVED),
        ("_SET_FUNCTION", "3.13", "10", Verdict.NOT_PROVED),
    ):
        checked = group(f"b9 00 00 00 00 83 f9 {number} 75 03 45 31 ed", patch, name=name)
        plain = group("b9 00 00 00 00", patch, name=name)
        found = on("x86_64-unknown-linux-gnu", checked, plain, series=series)
        assert found.verdict is verdict_, found
        assert found.facts == (("opargs-that-are-made",) if verdict_ is Verdict.GIVEN else ())


def test_the_type_of_what_a_uop_calls_says_what_it_reads() -> None:
    def through(before: str, name: str) -> StencilGroup:
        return group(f"50 {before} ff d0 31 ff 31 f6 31 d2 59", name=name)

    # xor ecx, ecx; xor edx, edx: of three arguments, the fourth register is none, the third is.
    plain, fourth, third = "90 90", "31 c9", "31 d2"
    for name, more, same in (
        ("_CALL_BUILTIN_FAST_r00", fourth, True),
        ("_CALL_BUILTIN_FAST_r00", third, False),
        ("_CALL_BUILTIN_FAST_WITH_KEYWORDS_r00", fourth, False),
        ("_UOP_r00", fourth, False),
    ):
        found = verdict(through(plain, name), through(more, name))
        (assert_proved if same else assert_not_proved)(found)
