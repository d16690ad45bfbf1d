"""The fact that objects of CPython begin at words: what it is true of, and what it must not be used for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup
from stencilkit.prove.objects import Region, all_aligned
from stencilkit.prove.possible import arranged, possible
from stencilkit.prove.seeds import HEAP, Seed
from stencilkit.prove.terms import TRUE, const, evaluate, offset, sym
from tests.proofs import assert_not_proved, given, group
from tests.unit.test_prove_objects import PUSHING, found

ENDS = {name: Prototype(result="void", arguments=(), returns=False) for name in ("__assert_fail", "PyEnd")}
PUSHED = "_CREATE_INIT_FRAME_r01"
TOP = "49 8b 87 00 01 00 00"  # rax = [r15 + 0x100], where the next frame will be


def asserting(
    test: str, *before: Patch, head: str = "50", symbol: str = "__assert_fail", name: str = "_UOP_r00"
) -> StencilGroup:
    """Test something; call a function that does not return unless the result is zero."""
    start = f"{head} {test} 74 06"
    place = len(bytes.fromhex(start)) + 2
    call = Patch(func="patch_x86_64_32rx", offsets=(place,), form=PatchForm.GOT_SLOT, symbol=symbol, addend=-4)
    return group(f"{start} ff 15 00 00 00 00 58", *before, call, name=name)


def without(name: str = "_UOP_r00") -> StencilGroup:
    return group("90", name=name)


def verdict(left: StencilGroup, right: StencilGroup, runs: int = 0) -> Proof:
    return given(left, right, prototypes=ENDS, runs=runs)


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("41 f6 c5 07", "_UOP_r00"),  # test r13b, 7: the frame
        ("41 f6 c5 03", "_UOP_r00"),
        ("41 f6 c7 07", "_UOP_r00"),  # test r15b, 7: the thread state
        (f"{TOP} a8 07", PUSHED),  # test al, 7
    ],
)
def test_an_assertion_about_low_bits_can_be_left_out(test: str, name: str) -> None:
    pair = asserting(test, name=name), without(name)
    for one, other in (pair, reversed(pair)):
        answer = verdict(one, other, runs=20)
        assert (answer.verdict, answer.facts) == (Verdict.GIVEN, ("objects-are-aligned",)), answer


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("41 f6 c5 0f", "_UOP_r00"),  # test r13b, 15: more than a word
        ("41 f6 c6 07", "_UOP_r00"),  # test r14b, 7: no object
        ("40 f6 c7 07", "_UOP_r00"),  # test dil, 7
        (f"{TOP} a8 07", "_UOP_r00"),  # a uop that pushes no frame
        ("49 8b 87 08 01 00 00 a8 07", PUSHED),  # [r15 + 0x108]: another field
        ("49 8b 85 00 01 00 00 a8 07", PUSHED),  # [r13 + 0x100]
    ],
)
def test_an_assertion_about_anything_else_must_stay(test: str, name: str) -> None:
    pair = asserting(test, name=name), without(name)
    assert_not_proved(verdict(*pair))
    assert verdict(*pair, runs=20).verdict is Verdict.DIFFERS


OPERAND = Patch(func="patch_64", offsets=(3,), value=HoleValue.OPERAND0)


def keeping(test: str, name: str) -> StencilGroup:
    """Put operand0 into rax, and assert something of it."""
    return asserting(test, OPERAND, head="50 48 b8 00 00 00 00 00 00 00 00", name=name)


@pytest.mark.parametrize("name", ["_LOAD_CONST_INLINE_r01", "_LOAD_ATTR_CLASS_r11", "_LOAD_ATTR_METHOD_NO_DICT_r12"])
def test_the_object_whose_address_is_an_operand_begins_at_a_word(name: str) -> None:
    answer = verdict(keeping("a8 07", name), without(name), runs=20)
    assert (answer.verdict, answer.facts) == (Verdict.GIVEN, ("objects-are-aligned",)), answer


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("a8 0f", "_LOAD_CONST_INLINE_r01"),
        ("a8 07", "_UOP_r00"),  # whose operand0 may be any number
        ("a8 07", "_GUARD_TYPE_VERSION_r11"),
    ],
)
def test_any_other_operand_may_be_odd(test: str, name: str) -> None:
    assert verdict(keeping(test, name), without(name), runs=20).verdict is Verdict.DIFFERS


UNTAGGED = "48 83 e0 fe"  # and rax, ~1
ITERATING = {  # where the iterator is, by the stencil's name
    "_FOR_ITER_GEN_FRAME_r03": "49 8b 46 f0",  # rax = [r14 - 16]
    "_FOR_ITER_GEN_FRAME_r13": "49 8b 46 f8",
    "_FOR_ITER_GEN_FRAME_r23": "48 89 f8",  # rax = rdi
    "_SEND_GEN_FRAME_r33": "48 89 f8",
}


def iterating(address: str, name: str) -> Proof:
    """If the object has no type, assert that it is at a word."""
    test = f"{address} 48 83 78 08 00 75 0a a8 07"
    return verdict(asserting(test, name=name), without(name), runs=20)


@pytest.mark.parametrize("name", ITERATING)
def test_a_generator_is_where_the_stencils_name_says(name: str) -> None:
    address = ITERATING[name]
    answer = iterating(f"{address} {UNTAGGED}", name)
    assert (answer.verdict, answer.facts) == (Verdict.GIVEN, ("objects-are-aligned",)), answer
    others = [f"{other} {UNTAGGED}" for other in {*ITERATING.values(), "48 89 f0"} - {address}]
    assert all(iterating(other, name).verdict is not Verdict.GIVEN for other in (*others, address))
    assert iterating(f"{address} {UNTAGGED}", "_UOP_r33").verdict is not Verdict.GIVEN


def test_an_assertion_can_be_called_through_the_stencils_data() -> None:
    call = Patch(func="patch_x86_64_32rx", offsets=(9,), value=HoleValue.DATA, addend=-4)
    code = group("50 41 f6 c5 07 74 06 ff 15 00 00 00 00 58", call)
    address = Patch(func="patch_64", offsets=(0,), symbol="__assert_fail")
    left = replace(code, data=Stencil(body=bytes(8), patches=(address,)))
    answer = verdict(left, without(), runs=20)
    assert (answer.verdict, answer.facts) == (Verdict.GIVEN, ("objects-are-aligned",)), answer


def test_it_is_asked_only_where_something_is_asserted() -> None:
    assert_not_proved(verdict(asserting("41 f6 c5 07", symbol="PyEnd"), without()))


def test_states_in_which_objects_are_at_no_word_are_not_run() -> None:
    regions, world = found("_UOP_r00")
    states = [Seed(0, {"r15": HEAP + 0x1000, "r13": HEAP + place}) for place in (0x0F80, 0x0F84, 0x0F81)]
    assert possible(states, regions, world) == states[:1]
    assert all(possible([arranged(one, regions, world)], regions, world) for one in states)


def test_a_tag_is_not_of_the_object_and_stays() -> None:
    regions, world = found(f"{PUSHING}_0", "3.14")
    made = [arranged(Seed(number), regions, world) for number in range(60)]
    tags = {place & 1 for one in made for place in one.words.values()}
    assert tags == {0, 1}
    assert len(possible(made, regions, world)) == 60


def test_nothing_is_said_of_what_begins_within_a_word() -> None:
    one = sym("rdi", 64)
    assert all_aligned([Region("object", offset(one, 4), const(8, 64))]) == []
    (fact,) = all_aligned([Region("object", offset(one, 8), const(8, 64), TRUE)])
    values = [evaluate(fact, _Is(value), {}) for value in (0x1000, 0x1008, 0x1004, 0x1001)]
    assert values == [1, 1, 0, 0]


class _Is:
    """Every symbol is one number."""

    def __init__(self, value: int) -> None:
        self.value = value

    def symbol(self, name: str) -> int:
        del name
        return self.value

    def word(self, memory: str, address: int) -> int:
        raise AssertionError(memory, address)

    def function(self, name: str, values: list[int]) -> int:
        raise AssertionError(name, values)
