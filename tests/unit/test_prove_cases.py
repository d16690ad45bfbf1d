"""Copies of several items in a round, from one number of items on with one compiler and from another with the other."""

from __future__ import annotations

import itertools

import pytest

from stencilkit.model.stencil import HoleValue, Patch, StencilGroup
from stencilkit.prove import apart, cases, terms
from stencilkit.prove.facts import Facts
from tests.proofs import assert_not_proved, assert_proved, given, group

OPARG = terms.sym("oparg", 16)
LAST = "41 0f 11 4c c6 10"  # movups [r14+rax*8+16], xmm1
LITTLE = 3_000_000
REST = "74 15"  # je end


def copies(
    start: int, *, last: str = LAST, rest: str = REST, jump: str = "eb 02", distance: int = 0x20, end: str = ""
) -> StencilGroup:
    """Copy as many words as the oparg says from r13 to r14, four in a round from `start` words on."""
    # mov ecx, oparg; test ecx, ecx; je end; cmp ecx, START; jb scalar
    # mov r10, r14; sub r10, r13; cmp r10, DISTANCE; jb scalar; mov r9d, ecx; and r9d, 0xfffc; xor eax, eax
    checks = f"b9 00 00 00 00 85 c9 74 57 83 f9 {start:02x} 72 3f"
    checks += f"4d 89 f2 4d 29 ea 49 83 fa {distance:02x} 72 33 41 89 c9 41 81 e1 fc ff 00 00 31 c0"
    # vector: movups xmm0, [r13+rax*8]; movups xmm1, [r13+rax*8+16]; movups [r14+rax*8], xmm0; LAST
    # add rax, 4; cmp r9, rax; jne vector; cmp r9, rcx; REST; JUMP (to tail)
    vector = f"41 0f 10 44 c5 00 41 0f 10 4c c5 10 41 0f 11 04 c6 {last}"
    vector += f"48 83 c0 04 49 39 c1 75 e0 49 39 c9 {rest} {jump}"
    # scalar: xor eax, eax; tail: mov r10, [r13+rax*8]; mov [r14+rax*8], r10; inc rax; cmp rcx, rax; jne tail; end: END
    scalar = "31 c0 4d 8b 54 c5 00 4d 89 14 c6 48 ff c0 48 39 c1 75 ef"
    oparg = Patch(func="patch_32", offsets=(1,), value=HoleValue.OPARG)
    return group(checks + vector + scalar + end, oparg)


def only(number: int) -> str:
    # cmp ecx, NUMBER; jne over; mov qword [r14], 0; over:
    return f"83 f9 {number:02x} 75 07 49 c7 06 00 00 00 00"


def without_rest(number: int) -> StencilGroup:
    """Copy no more behind the rounds of four, for one number of words from 18 on."""
    # vector: jmp chosen; end: jmp out; chosen: cmp ecx, NUMBER; je out; jmp tail; out:
    return copies(18, jump="eb 15", end=f"eb 07 83 f9 {number:02x} 74 02 eb e6")


@pytest.mark.parametrize("number", [18, 19, 21])
def test_one_number_of_items_is_enough_to_be_not_proved(number: int) -> None:
    assert_not_proved(given(copies(20), without_rest(number), budget=LITTLE))


@pytest.mark.parametrize("number", [17, 20])
def test_what_never_is_at_that_place_does_not_count(number: int) -> None:
    assert_proved(given(copies(20), without_rest(number)))


@pytest.mark.parametrize(("left", "right"), [(20, 18), (18, 20), (12, 14), (24, 18)])
def test_where_rounds_differ_each_number_of_items_is_a_case(left: int, right: int) -> None:
    assert_proved(given(copies(left), copies(right)))


@pytest.mark.parametrize(
    "wrong",
    [
        *(copies(18, end=only(number)) for number in (17, 18, 19, 20)),
        copies(18, last="41 0f 11 44 c6 10"),  # movups [r14+rax*8+16], xmm0: the first two words twice
        copies(18, last="41 0f 13 4c c6 10"),  # movlps: one word less
        copies(18, rest="eb 15"),  # jmp end: what is left of 18 and 19 is not copied
        copies(18, distance=0x18),  # the fourth word may have been written in the round
    ],
)
def test_a_difference_for_one_number_of_items_is_not_proved(wrong: StencilGroup) -> None:
    assert_not_proved(given(copies(20), wrong, budget=LITTLE))


def test_more_than_a_few_numbers_of_items_are_rounds_of_four_and_one() -> None:
    assert_proved(given(copies(30), copies(18)))
    for wrong in (copies(18, last="41 0f 11 44 c6 10"), copies(18, distance=0x18), copies(18, rest="90 90")):
        assert_not_proved(given(copies(30), wrong, budget=LITTLE))


def test_every_case_has_to_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = copies(20), without_rest(19)
    whole = cases.split

    def without_the_last(*args: object) -> cases.Cases:
        return whole(*args)[:-1]  # type: ignore[arg-type]  # handed on

    # It is the case of 19 that says so, and nothing else would.
    monkeypatch.setattr(cases, "split", without_the_last)
    assert_proved(given(*pair))


def less(term: terms.Term, number: int) -> terms.Term:
    return terms.less(term, terms.const(number, term.width), is_signed=False)


def test_the_cases_are_all_that_comparisons_leave() -> None:
    wide = terms.zext(OPARG, 64)
    facts = Facts().plus(less(OPARG, 20), less(wide, 30), terms.invert(less(wide, 18)), terms.invert(less(OPARG, 4)))
    assert cases._ranges(facts) == {OPARG: range(18, 20)}
    for rows in itertools.combinations(facts.rows, 2):
        left = cases._ranges(Facts().plus(*rows)).get(OPARG, range(0))
        assert not left or {18, 19} <= {*left}
    signed = terms.sext(OPARG, 64)
    for least, most in ((18, 20), (0x7FFE, 0x8000)):
        rows = less(signed, most), terms.invert(less(signed, least))
        assert cases._ranges(Facts().plus(*rows)) == {OPARG: range(least, most)}
        assert cases._ranges(Facts().plus(rows[0], terms.invert(less(OPARG, least)))) == {OPARG: range(least, most)}
    # What has a sign is not between two numbers that are as wide as it.
    assert OPARG not in cases._ranges(Facts().plus(less(signed, 0x8001), terms.invert(less(signed, 0x8000))))
    # Signed numbers, and sums, are not what these are about.
    narrow = terms.less(OPARG, terms.const(20, 16), is_signed=True)
    assert not cases._ranges(Facts().plus(narrow, terms.invert(less(OPARG, 18))))


def test_a_write_is_elsewhere_only_if_no_byte_of_it_can_be_read() -> None:
    gap = terms.sub(terms.sym("to"), terms.sym("from"))
    old = terms.word("memory", terms.sym("from"))
    for least, distance in itertools.product(range(40), range(-50, 20)):
        # gap, which has no sign, is `least` or more: words overlap if gap + distance is from -7 to 7.
        facts = Facts().plus(terms.invert(terms.less(gap, terms.const(least), is_signed=False)))
        overlap = not all(0 <= one - distance < least for one in range(-7, 8))
        for factor in (1, -1):
            read = terms.over(terms.scale(terms.offset(gap, distance), factor), terms.sym("written"), old)
            assert apart.tidied(facts, [(read, old)], whole=True) == ([(read, old)] if overlap else [])


def unlike(distance: int) -> terms.Term:
    """Read at a distance behind what was written from another place on, which is 32 bytes in front or more."""
    gap = terms.offset(terms.sub(terms.sym("to"), terms.sym("from")), distance)
    return terms.over(gap, terms.sym("written"), terms.word("memory", terms.sym("from")))


FAR = Facts().plus(
    terms.invert(terms.less(terms.sub(terms.sym("to"), terms.sym("from")), terms.const(32), is_signed=False))
)


def test_what_is_elsewhere_is_left_out_of_all_that_is_made_of_it() -> None:
    old = terms.word("memory", terms.sym("from"))
    for distance, same in ((-8, True), (-24, True), (0, False), (-32, False)):
        made = terms.concat(terms.offset(terms.extract(unlike(distance), 32, 32), 1), terms.extract(old, 0, 32))
        other = terms.concat(terms.offset(terms.extract(old, 32, 32), 1), terms.extract(unlike(distance), 0, 32))
        assert apart.tidied(FAR, [(made, other)], whole=False) == ([] if same else [(made, other)])
    # Of two pairs, the one that is not the same stays as it is, or gets the form.
    pairs = [(unlike(-8), old), (unlike(-8), terms.sym("other"))]
    assert apart.tidied(FAR, pairs, whole=False) == pairs[1:]
    assert apart.tidied(FAR, pairs, whole=True) == [(old, terms.sym("other"))]


def test_what_is_known_of_a_word_is_known_of_it_read_over_what_is_elsewhere() -> None:
    number, old = terms.const(5), terms.word("memory", terms.sym("from"))
    for distance, same in ((-8, True), (0, False)):
        read = unlike(distance)
        for one, other in ((old, read), (read, old)):
            for condition, truth in ((terms.eq(one, number), True), (terms.invert(terms.eq(one, number)), False)):
                known = FAR.plus(condition)
                assert apart.value(known, terms.eq(other, number)) is (truth if same else None)
                assert apart.value(known, terms.eq(other, terms.const(6))) is None
    assert apart.value(Facts().plus(terms.eq(old, number)), terms.eq(unlike(-8), number)) is None


# cmp qword [r14 - 8], 0; jne here: what is asserted behind the loops
ASSERTING = "49 83 7e f8 00 75 00"


def test_ways_may_part_behind_the_loops() -> None:
    assert_proved(given(copies(20, end=ASSERTING), copies(18, end=ASSERTING)))
    for number in (18, 19):
        assert_not_proved(given(copies(20, end=ASSERTING), copies(18, end=ASSERTING + only(number)), budget=LITTLE))
    # They part eight times at most; where they do more often, rounds have two lengths.
    assert_proved(given(copies(20, end=9 * ASSERTING), copies(18, end=9 * ASSERTING)))
    wrong = copies(18, end=9 * ASSERTING + only(18))
    assert_not_proved(given(copies(20, end=9 * ASSERTING), wrong, budget=LITTLE))


def test_a_term_is_replaced_in_all_that_is_made_of_it() -> None:
    whole = terms.over(terms.sym("gap"), terms.sym("written"), terms.word("memory", terms.sym("place")))
    count = terms.extract(whole, 0, 32)
    done = terms.known(count, 9)
    assert terms.replaced(terms.zext(terms.extract(whole, 2, 30), 64), done).value == 2
    assert terms.replaced(terms.sext(terms.offset(count, -10), 64), done).value == (1 << 64) - 1
    assert terms.replaced(less(count, 11), done) is terms.TRUE
    high = terms.extract(whole, 16, 32)
    assert terms.replaced(high, done) is high


def test_a_proof_costs_less_than_what_refusals_may() -> None:
    assert given(copies(20), copies(18)).spent < LITTLE


def test_a_number_with_a_sign_is_between_its_bounds() -> None:
    narrow = terms.sym("narrow", 4)
    signed = terms.sext(narrow, 8)
    bounds = (0, 1, 6, 7, 8, 9, 15, 16, 17, 128, 240, 247, 248, 249, 255)
    for low, high, (one, other) in itertools.product(bounds, bounds, itertools.product((narrow, signed), repeat=2)):
        if max(low * (one is narrow), high * (other is narrow)) > 15:
            continue
        found = cases._ranges(Facts().plus(terms.invert(less(one, low)), less(other, high)))
        for number in range(16):
            wide = number if number < 8 else number + 240
            values = {narrow: number, signed: wide}
            if values[one] >= low and values[other] < high:
                assert all(values[term] in within for term, within in found.items()), (low, high, number)
