"""What a callee has returned is a new object, apart from what was there before, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stencilkit.model.proof import Proof, Prototype
from stencilkit.model.stencil import Patch, PatchForm, StencilGroup
from tests.proofs import assert_given, assert_not_proved, given, group

BUDGET = 3_000_000
MAKING, ASKING = "_Py_MakeCoro", "PyObject_GetIter"
PROTOTYPES = {name: Prototype(result="ptr", arguments=("ptr",)) for name in (MAKING, ASKING)}
# Of CPython 3.13: rsi = the word at [r13 + 0x40], the frame's; the generator's word at [rax + 0x50] = r12
READ, WRITE = "49 8b 75 40", "4c 89 a0 50 00 00 00"


def slot(name: str, offset: int) -> Patch:
    return Patch(func="patch_x86_64_32rx", offsets=(offset,), form=PatchForm.GOT_SLOT, symbol=name, addend=-4)


def stencil(*accesses: str, callee: str, check: str, name: str) -> StencilGroup:
    # push rax; rdi = [r13 + 0x10]; call; test rax, rax; CHECK (to the end); the accesses; [r12 + 8] = rsi
    body = bytes.fromhex(f"{' '.join(accesses)} 49 89 74 24 08").hex()
    # end: clear what is not the same on both sides; pop rcx
    end = "31 c9 31 f6 31 ff 31 d2 31 c0 59"
    code = f"50 49 8b 7d 10 ff 15 00 00 00 00 48 85 c0 {check} {len(body) // 2:02x} {body} {end}"
    return group(code, slot(callee, 7), name=name)


def swapped(
    read: str = READ,
    write: str = WRITE,
    *,
    callee: str = MAKING,
    check: str = "74",
    name: str = "_RETURN_GENERATOR",
    series: str = "3.13",
) -> Proof:
    one, other = (
        stencil(*accesses, callee=callee, check=check, name=name) for accesses in ((read, write), (write, read))
    )
    return given(one, other, series=series, prototypes=PROTOTYPES, budget=BUDGET)


@pytest.mark.parametrize("read", ["49 8b 75 00", "49 8b 75 50", "49 8b 74 24 30"])
@pytest.mark.parametrize("write", ["00 00 00 00", "40 00 00 00", "48 00 00 00", "98 00 00 00"])
def test_a_new_generator_is_apart_from_the_frame_and_the_thread_state(read: str, write: str) -> None:
    # The first words of the objects, and the last ones, and the first of the frame that is in the generator.
    assert_given(swapped(read, f"4c 89 a8 {write}" if "24" in read else f"4c 89 a0 {write}"))


@pytest.mark.parametrize(
    "other",
    [
        # Behind the first value of the generator, half of which is behind it, and in front of the generator.
        {"write": "4c 89 a0 a0 00 00 00", "read": "49 8b 75 00"},
        {"write": "4c 89 a0 9c 00 00 00", "read": "49 8b 75 00"},
        {"write": "4c 89 a0 f8 ff ff ff", "read": "49 8b 75 50"},
        # Behind the first value of the frame, and in front of the frame.
        {"write": "4c 89 a0 00 00 00 00", "read": "49 8b 75 58"},
        {"write": "4c 89 a0 98 00 00 00", "read": "49 8b 75 f8"},
        {"read": "48 8b 33"},  # [rbx]: anything
        {"read": "48 8b 70 50"},  # [rax + 0x50]: the generator
        {"write": "4c 89 a3 50 00 00 00"},  # [rbx + 0x50]
        {"callee": ASKING},  # which may return anything that was there before
        {"check": "a8"},  # test al, so many: no jump
        {"check": "75"},  # null is no generator
        {"name": "_UOP"},
        {"series": "3.14"},
    ],
)
def test_what_may_be_no_new_generator_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(swapped(**other))


def looping(*accesses: str, last: str) -> StencilGroup:
    """Call one function in all rounds of a loop but the last, and another one in that."""
    # push rbx; push rax; ebx = 2; head: rdi = [r13 + 0x10]; cmp ebx, 1; jne make; call; jmp test; make: call
    calls = "53 50 bb 02 00 00 00 49 8b 7d 10 83 fb 01 75 08 ff 15 00 00 00 00 eb 06 ff 15 00 00 00 00"
    # test: test rax, rax; je next; the accesses; [r12 + 8] = rsi; next: dec ebx; jne head; clear; pop rcx; pop rbx
    rest = f"48 85 c0 74 10 {' '.join(accesses)} 49 89 74 24 08 ff cb 75 d0 31 c9 31 f6 31 ff 31 d2 31 c0 59 5b"
    return group(f"{calls} {rest}", slot(last, 0x12), slot(MAKING, 0x1A), name="_RETURN_GENERATOR")


@pytest.mark.parametrize(("last", "holds"), [(MAKING, assert_given), (ASKING, assert_not_proved)])
def test_another_call_of_a_number_that_is_free_again_makes_nothing(last: str, holds: Callable[[Proof], None]) -> None:
    one, other = (looping(*accesses, last=last) for accesses in ((READ, WRITE), (WRITE, READ)))
    holds(given(one, other, series="3.13", prototypes=PROTOTYPES, budget=3 * BUDGET))
