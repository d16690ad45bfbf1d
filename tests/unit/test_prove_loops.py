"""Proofs over loops of a few instructions: what each side counts, and what a callee leaves of vectors."""

from __future__ import annotations

import pytest

from stencilkit import disassemble, prove
from stencilkit.model.proof import Proof, Prototype
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, StencilGroup
from tests.proofs import arm, assert_not_proved, assert_proved, group


def verdict(left: StencilGroup, right: StencilGroup, arch: str = "x86_64", series: str = "3.15") -> Proof:
    setting = prove.Setting(
        series=series,
        triple=f"{arch}-unknown-linux-gnu",
        arch=arch,
        entry=None,
        prototypes={"PyOne": Prototype(result="ptr", arguments=("ptr", "ptr"))},
        alignments={},
        layout={},
        decode=lambda one: disassemble.operations(one.code, arch),
    )
    return prove.prove(left, right, setting)


def counted(before: str, clears: str, count: str, check: str = "85 c9") -> StencilGroup:
    """Clear as many words as the oparg says, in a loop: mov ecx, oparg; CHECK; je END; BEFORE; loop: ...; jne loop."""
    loop = bytes.fromhex(f"{clears} {count}")
    back = f"75 {-len(loop) - 2 & 0xFF:02x}"
    body = f"{before} {loop.hex()} {back}"
    jump = f"{check} 74 {len(bytes.fromhex(body)):02x}" if check else ""
    return group(f"b9 00 00 00 00 {jump} {body}", Patch(func="patch_32", offsets=(1,), value=HoleValue.OPARG))


POINTED = ("4c 89 f0", "48 c7 00 00 00 00 00 48 83 c0 08")  # rax = r14; loop: [rax] = 0; rax += 8
INDEXED = ("31 c0", "49 c7 04 c6 00 00 00 00")  # eax = 0; loop: [r14 + rax*8] = 0
DOWN, DOWN_16 = "48 ff c9", "66 ff c9"  # dec rcx; dec cx
UP = "48 ff c0 48 39 c8"  # inc rax; cmp rax, rcx


def test_a_number_of_16_bits_is_counted_down_in_64() -> None:
    assert_proved(verdict(counted(*POINTED, DOWN), counted(*INDEXED, UP)))


@pytest.mark.parametrize(
    "wrong",
    [
        counted("b0 01 90", INDEXED[1], UP),  # from what is in rax
        counted("31 c0", "49 c7 04 46 00 00 00 00", UP),  # [r14 + rax*2]
        counted(*INDEXED, "48 83 c0 02 48 39 c8"),  # every second word
        counted(*INDEXED, "48 ff c0 48 83 f8 07"),  # seven words
        counted(*INDEXED, UP, check="85 c0"),
    ],
)
def test_another_start_step_or_end_is_not_proved(wrong: StencilGroup) -> None:
    assert_not_proved(verdict(counted(*POINTED, DOWN), wrong))


def test_the_width_that_is_counted_in_counts() -> None:
    # From 0 on, 16 bits are 0 again after 65,536 rounds, 64 bits much later.
    wide, narrow = (counted(*POINTED, one, check="") for one in (DOWN, DOWN_16))
    assert_proved(verdict(wide, wide))
    assert_not_proved(verdict(wide, narrow))


def calls_three_times(count: str, more: str, compare: str, between: str = "d503201f") -> StencilGroup:
    # stp x29, x30, [sp, #-32]!; str x19, [sp, #16]; COUNT
    # loop: mov x0, #0; mov x1, #0; bl PyOne; BETWEEN; MORE; COMPARE; b.ne loop
    # ldr x19, [sp, #16]; ldp x29, x30, [sp], #32; x0 to x2 = 0
    loop = f"d2800000 d2800001 94000000 {between} {more} {compare} 54ffff41"
    end = "f9400bf3 a8c27bfd d2800000 d2800001 d2800002"
    call = Patch(func="patch_aarch64_trampoline", offsets=(20,), form=PatchForm.TRAMPOLINE, symbol="PyOne")
    return arm(f"a9be7bfd f9000bf3 {count} {loop} {end}", call)


DOWN_TO_0 = ("d2800073", "f1000673", "d503201f")  # mov x19, #3; subs x19, x19, #1; nop
UP_TO_3 = ("d2800013", "91000673", "f1000e7f")  # mov x19, #0; add x19, x19, #1; cmp x19, #3


def test_calls_in_a_loop_leave_the_low_halves_of_what_c_keeps() -> None:
    down, up = calls_three_times(*DOWN_TO_0), calls_three_times(*UP_TO_3)
    assert_proved(verdict(down, up, "aarch64", "3.13"))
    # movi d8, #0
    assert_not_proved(verdict(down, calls_three_times(*UP_TO_3, "2f00e408"), "aarch64", "3.13"))


def test_the_rounds_are_counted() -> None:
    down, fewer = calls_three_times(*DOWN_TO_0), calls_three_times("d2800033", *UP_TO_3[1:])
    assert_not_proved(verdict(down, fewer, "aarch64", "3.13"))


def rounded_down(check: str, mask: str) -> StencilGroup:
    # mov ecx, [r14]; CHECK; js END; r9 = ecx & MASK; mov eax, 7; loop: mov qword [rsi+r9*8], rax; inc r9; dec eax; jne
    loop = "b8 07 00 00 00 4a 89 04 ce 49 ff c1 ff c8 75 f5"
    return group(f"41 8b 0e {check} 78 {len(bytes.fromhex(mask + loop)):02x} {mask} {loop}")


QUADS = "49 89 c9 49 83 e1 fc"  # mov r9, rcx; and r9, -4
QUADS_31 = "41 89 c9 41 81 e1 fc ff ff 7f"  # mov r9d, ecx; and r9d, 0x7ffffffc


def test_what_is_equal_on_the_way_to_a_loop_has_one_form_in_it() -> None:
    found = verdict(rounded_down("85 c9", QUADS), rounded_down("85 c9", QUADS_31))
    assert_proved(found)
    # Without it, memory is compared at addresses of two forms: 1.1 million units.
    assert found.spent < 600_000
    # test r9, r9: ecx may be negative, and bit 31 is in one of them alone.
    assert_not_proved(verdict(rounded_down("4d 85 c9", QUADS), rounded_down("4d 85 c9", QUADS_31)))
