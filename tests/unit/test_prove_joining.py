"""Paths that come together behind calls: what is proved there once, and what must not be left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import Patch, PatchForm, StencilGroup
from stencilkit.prove import joining
from tests.proofs import assert_not_proved, assert_proved, given, group

PROTOTYPES = {
    "PyOne": Prototype(result="void", arguments=()),
    "PyTwo": Prototype(result="void", arguments=()),
    "PyEnd": Prototype(result="void", arguments=(), returns=False),
    "PyGet": Prototype(result="ptr", arguments=()),
    "_Py_assert_within_stack_bounds": Prototype(result="void", arguments=()),
}
WAYS = 14
"""Two to this power are more than the paths that are looked at one by one."""
END = "58"


def code(*parts: str) -> StencilGroup:
    """Write code, in which the name of a function is a call."""
    body, patches = "50", list[Patch]()
    for part in parts:
        if part in PROTOTYPES:
            place = len(bytes.fromhex(body)) + 2
            form = PatchForm.GOT_SLOT
            patches.append(Patch(func="patch_x86_64_32rx", offsets=(place,), form=form, symbol=part, addend=-4))
        body += "ff 15 00 00 00 00" if part in PROTOTYPES else part
    return group(body + END, *patches)


def proof(left: StencilGroup, right: StencilGroup, runs: int = 0) -> Proof:
    return given(left, right, prototypes=PROTOTYPES, series="3.14", runs=runs)


def forks(*, last: str = "74", before: str = "", kept: str = "") -> StencilGroup:
    """Call one function if a bit in memory is set, and another one in any case, again and again."""
    ways = [f"{before} 41 f6 45 {8 * number:02x} 01" for number in range(WAYS)]
    rows = [(f"{way} {kept} {'74' if number else last} 06", "PyOne", "PyTwo") for number, way in enumerate(ways)]
    return code(*(part for row in reversed(rows) for part in row))


def test_what_was_proved_behind_a_call_is_not_proved_for_each_way_there() -> None:
    assert_proved(proof(forks(), forks(before="90")))


def test_a_difference_behind_all_of_them_is_found() -> None:
    answer = proof(forks(), forks(last="75"), runs=40)
    assert answer.verdict is Verdict.DIFFERS, answer
    assert_not_proved(proof(forks(), forks(last="75")))


# rbx = [r13 + 8]; go to the end unless [r13] is less, and greater than 5.
BOUNDED = "49 8b 5d 08 49 39 5d 00 73 {} 49 83 7d 00 05 76 {}"
CHECK = "48 85 db 75 06"  # go on unless rbx is zero


def bounded(ends: str, *check: str) -> StencilGroup:
    return code(BOUNDED.format(*ends.split()), "PyOne", *check)


def test_a_path_knows_all_that_it_knew_where_less_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the word that both comparisons are about nothing is left behind the call, but it says that rbx is not zero."""
    refused = set[joining.Call]()
    explore = joining.Joins.explore

    def watched(self: joining.Joins, *args: Any) -> None:
        explore(self, *args)
        refused.update(self.refused)

    monkeypatch.setattr(joining, "FEW", 0)
    monkeypatch.setattr(joining.Joins, "explore", watched)
    assert_proved(proof(bounded("18 11", CHECK, "PyEnd"), bounded("0d 06")))
    assert refused


def test_what_no_path_knows_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    for few in (0, joining.FEW):
        monkeypatch.setattr(joining, "FEW", few)
        assert_not_proved(proof(code("49 8b 5d 08", "PyOne", CHECK, "PyEnd"), code("49 8b 5d 08", "PyOne")))


READ, STORED = "49 8b 5d 00", "49 89 5d 08"  # rbx = [r13]; [r13 + 8] = rbx


@pytest.mark.parametrize(
    ("name", "before", "is_proved"),
    [
        ("_Py_assert_within_stack_bounds", "", True),
        ("PyOne", "", False),
        ("_Py_assert_within_stack_bounds", STORED, False),  # what was written has no name of its own
    ],
)
def test_what_only_reads_leaves_memory_as_it_was(name: str, before: str, *, is_proved: bool) -> None:
    answer = proof(code(before, READ, name, STORED), code(before, name, READ, STORED))
    (assert_proved if is_proved else assert_not_proved)(answer)


def test_it_must_be_given_the_same_memory() -> None:
    name = "_Py_assert_within_stack_bounds"
    assert_not_proved(proof(code(STORED, name), code(name, STORED)))


@pytest.mark.parametrize("jump", ["74", "75"])
def test_what_one_way_knows_is_no_proof_for_another(jump: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways come to one state, of which one knows that rbx is not zero, and the other that it is."""
    monkeypatch.setattr(joining, "FEW", 0)
    ways = f"49 8b 5d 08 48 85 db {jump} 01 90"  # rbx = [r13 + 8]; nop if it is zero, or if not
    assert_not_proved(proof(code(ways, "PyOne", CHECK, "PyEnd"), code(ways, "PyOne")))


BIT = "41 f6 45 00 01"  # test byte [r13], 1
IN_REGISTER = ("31 db", "bb 01 00 00 00"), ""  # rbx = 0; rbx = 1
IN_FRAME = ("48 c7 04 24 00 00 00 00", "48 c7 04 24 01 00 00 00"), "48 8b 1c 24"  # [rsp] = 0; [rsp] = 1; rbx = [rsp]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("values", "read"), [IN_REGISTER, IN_FRAME])
def test_what_is_in_a_register_or_the_frame_is_a_part_of_the_state(
    order: tuple[int, int], values: tuple[str, str], read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 1 on the way that is looked at first, or on the other one."""
    monkeypatch.setattr(joining, "FEW", 0)
    always = code(f"{BIT} 74 01 90", "PyOne", "49 c7 45 08 01 00 00 00")  # [r13 + 8] = 1
    for (first, second), holds in ((order, assert_not_proved), ((1, 1), assert_proved)):
        chosen = f"{values[first]} {BIT} 74 {len(bytes.fromhex(values[second])):02x} {values[second]}"
        holds(proof(always, code(chosen, "PyOne", read, STORED)))


@pytest.mark.parametrize("jump", ["74 06", "74 02 eb 06"])
def test_memory_that_a_callee_may_have_written_is_another_state(jump: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "FEW", 0)
    # Test r15b, 1; call PyOne or not; clear r15, so that nothing is known of that.
    before = READ, f"41 f6 c7 01 {jump}", "PyOne", "45 31 ff", "_Py_assert_within_stack_bounds"
    assert_not_proved(proof(code(*before, READ, STORED), code(*before, STORED)))


@pytest.mark.parametrize(("stored", "holds"), [("45", assert_proved), ("5d", assert_not_proved)])
def test_two_calls_at_one_place_have_two_results(
    stored: str, holds: Callable[[Proof], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of the stencil's own calls another one: rbx is the first result, rax the second."""
    monkeypatch.setattr(joining, "FEW", 0)

    def twice(stored: str) -> StencilGroup:
        # call own; rbx = rax; call own; [r13] = rax or rbx; pop rcx; jmp to the end; own: call PyGet; ret
        calls = f"50 e8 0f 00 00 00 48 89 c3 e8 07 00 00 00 49 89 {stored} 00 59 eb 07 ff 15 00 00 00 00 c3"
        slot = Patch(func="patch_x86_64_32rx", offsets=(0x17,), form=PatchForm.GOT_SLOT, symbol="PyGet", addend=-4)
        return group(calls, slot)

    holds(proof(twice("45"), twice(stored)))


@pytest.mark.parametrize(("most", "holds"), [("03", assert_proved), ("09", assert_not_proved)])
def test_what_was_left_out_can_say_that_no_values_lead_to_the_only_exit(
    most: str, holds: Callable[[Proof], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rbx is not below 5 and above 3, or 9, both go round and round; behind the call rbx is forgotten."""
    monkeypatch.setattr(joining, "FEW", 0)
    # rbx = [r13 + 8]; cmp rbx, 5; jae spin; cmp rbx, MOST; jbe spin; clear rbx; call; jmp end; spin: jmp spin
    bounds = f"49 8b 5d 08 48 83 fb 05 73 10 48 83 fb {most} 76 0a 31 db"
    spinning = bounds, "PyOne", "eb 02 eb fe"
    holds(proof(code(*spinning), code("90", *spinning)))
