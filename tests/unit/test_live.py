"""What a uop's bytes can depend on, of a function with all uops: what of that is live, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stencilkit.compiler import live
from stencilkit.model.source import NO_LINES
from tests import fakes

NAMES = ("_A", "_B")
DUMP = "; *** IR Dump After CallSiteSplittingPass on {} ***\n{}\n"
# Two cases that share their end, and a third one.
FUNCTION = """\
; Function Attrs: nounwind
define ptr @_JIT_ENTRY(ptr noundef %0, ptr noundef %1) #0 {{
{entry}  br i1 false, label %3, label %4

3:                                                ; preds = %2
  ret ptr %0

4:                                                ; preds = %2
  switch i32 77, label %9 [
    i32 300, label %5
    i32 301, label %7
    i32 302, label %8
  ]

5:                                                ; preds = %4
{a}  br label %10

7:                                                ; preds = %4
{b}  br label %10

8:                                                ; preds = %4
{c}  br label %10

9:                                                ; preds = %4
  unreachable

10:                                               ; preds = %5, %7, %8
{end}  ret ptr %12
}}
"""
END = "  %11 = phi ptr [ %0, %5 ], [ %6, %7 ], [ null, %8 ]\n  %12 = phi ptr [ %0, %5 ], [ %0, %7 ], [ null, %8 ]\n"
PARTS = {"entry": "", "a": "", "b": "  %6 = load ptr, ptr %1, align 8, !tbaa !4\n", "c": "", "end": END}
SHARED = "define internal void @Py_INCREF(ptr noundef %0) #1 {\n  ret void\n}\n"
NUMBERS = (
    "define void @stencilkit_numbers(ptr noundef %0) #0 {\n"
    "  store volatile i32 300, ptr %0, align 4, !tbaa !4\n  store volatile i32 301, ptr %0, align 4, !tbaa !4\n"
    "  ret void\n}\n"
)


def printed(changes: Mapping[str, str] | None = None, *, shared: str = SHARED, numbers: str = NUMBERS) -> str:
    function = FUNCTION.format(**{**PARTS, **(changes or {})})
    dumps = {"_JIT_ENTRY": function, "Py_INCREF": shared, "stencilkit_numbers": numbers}
    return "".join(DUMP.format(name, text) for name, text in dumps.items())


def differing(text: str) -> set[str]:
    before, after = live.digests(printed(), NAMES), live.digests(text, NAMES)
    assert before.keys() == after.keys() == set(NAMES)
    return {name for name in NAMES if before[name] != after[name]}


@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({"c": "  call void @other(ptr noundef @.str.9) #8\n"}, set()),
        ({"b": "  %6 = load ptr, ptr %0, align 8, !tbaa !4\n"}, {"_B"}),
        ({"a": "  store ptr %0, ptr %1, align 8, !tbaa !4\n"}, {"_A"}),
        ({"end": "".join(END.splitlines(keepends=True)[::-1])}, {"_A", "_B"}),
        ({"end": END.replace("[ null, %8 ]", "[ %1, %8 ]")}, set()),
        ({"end": END.replace("[ %6, %7 ]", "[ null, %7 ]")}, {"_B"}),
        ({"entry": "  %13 = alloca i32, align 4\n"}, {"_A", "_B"}),
        ({"b": "  %6 = load ptr, ptr %1, align 8, !tbaa !9\n"}, set()),
        ({"b": "  %6 = load ptr, ptr %1, align 8\n"}, {"_B"}),
        ({"b": "  %6 = load ptr, ptr @.str.3, align 8, !tbaa !4\n"}, {"_B"}),
        ({"end": END.replace("[ %6, %7 ], [ null, %8 ]", "[ null, %8 ], [ %6, %7 ]")}, set()),
        ({"end": END.replace("[ %0, %5 ], [ %6, %7 ]", "[ %6, %7 ], [ %0, %5 ]")}, set()),
        ({"end": END.replace("[ null, %8 ]", "[ null, %8 ], [ null, %4 ], [ null, %4 ]")}, set()),
    ],
    ids=[
        *("dead code", "own code", "own code of another", "order of phi nodes", "a dead value", "a live value"),
        *("a local that is in memory", "a number of metadata", "no metadata", "a constant"),
        *("order of dead values", "order of values of which one is live", "ways from the switch"),
    ],
)
def test_what_is_live_counts(changes: Mapping[str, str], concerned: set[str]) -> None:
    assert differing(printed(changes)) == concerned


def test_places_in_the_function_do_not_count() -> None:
    """Another instruction in a dead case moves the numbers of all behind it."""
    moved = printed()
    for number in range(12, 3, -1):
        for sign in ("%{}", "\n{}:"):
            moved = moved.replace(f"{sign.format(number)}", f"{sign.format(number + 5)}")
    assert moved != printed()
    assert differing(moved) == set()


@pytest.mark.parametrize(
    "shared",
    [SHARED.replace("ret void", "unreachable"), SHARED.replace("Py_INCREF", "Py_DECREF"), ""],
    ids=["text", "name", "none"],
)
def test_what_is_called_counts(shared: str) -> None:
    assert differing(printed(shared=shared)) == set(NAMES)


def test_the_order_of_what_is_called_counts() -> None:
    dumps = [DUMP.format(name, SHARED.replace("Py_INCREF", name)) for name in ("f", "g")]
    first, second = (
        printed().replace(DUMP.format("Py_INCREF", SHARED), "".join(order)) for order in (dumps, dumps[::-1])
    )
    assert not set(live.digests(first, NAMES).values()) & set(live.digests(second, NAMES).values())


def test_blocks_reached_by_a_switch_alone_are_reached_once() -> None:
    """A case without anything in it leads to where the others end."""
    before, after = (
        printed({"c": "  store ptr %0, ptr %1\n", "end": END.replace("[ null, %8 ]", incoming)}).replace(
            "i32 301, label %7", f"i32 301, label %10\n{more}    i32 303, label %7"
        )
        for incoming, more in (
            ("[ null, %4 ], [ null, %8 ]", ""),
            ("[ null, %4 ], [ null, %4 ], [ null, %8 ]", "    i32 305, label %10\n"),
        )
    )
    assert live.digests(before, NAMES) == live.digests(after, NAMES)
    assert live.digests(before, NAMES) != live.digests(before.replace("[ null, %4 ]", "[ %0, %4 ]"), NAMES)


def test_a_case_that_is_not_there_has_the_whole_function() -> None:
    numbers = NUMBERS.replace("i32 301", "i32 400")
    one = live.digests(printed(numbers=numbers), NAMES)
    other = live.digests(printed({"c": "  call void @other() #8\n"}, numbers=numbers), NAMES)
    assert one["_A"] == other["_A"]
    assert one["_B"] != other["_B"]


@pytest.mark.parametrize(
    ("constants", "known"),
    [
        ((".str", ".str.4"), True),
        (("__func__._JIT_ENTRY",), True),
        ((".str", "__func__._JIT_ENTRY"), False),
        ((".str.2", "__const._JIT_ENTRY.x"), False),
    ],
)
def test_constants_whose_order_is_not_known_are_doubtful(constants: tuple[str, ...], known: bool) -> None:
    """`.str.4` was made after `.str`, and nothing says whether `__func__._JIT_ENTRY` was."""
    calls = "".join(f"  call void @f(ptr noundef @{name}) #8\n" for name in constants)
    assert live.digests(printed({"a": calls}), NAMES).keys() == ({"_A", "_B"} if known else {"_B"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error: no",
        printed(numbers=""),
        printed(numbers=NUMBERS.replace("i32 301", "i8 45")),
        printed().replace("switch i32 77", "switch i32 %0"),
        printed({"a": "  switch i32 5, label %9 [\n  ]\n"}),
        printed().replace("\n}\n", "\n"),
        printed().replace("_JIT_ENTRY ***", "_OTHER ***"),
        printed().replace("\n7:  ", "\n77: "),
        printed() + DUMP.format("Py_INCREF", SHARED),
    ],
    ids=[
        *(
            "nothing",
            "no function",
            "no numbers",
            "a number",
            "no switch",
            "two switches",
            "no end",
            "another function",
        ),
        "a label",
        "one function twice",
    ],
)
def test_nothing_is_known_of_what_is_not_understood(text: str) -> None:
    assert live.digests(text, NAMES) == {}


def test_a_unit_says_the_numbers_of_uops() -> None:
    unit = live.asking(fakes.unit("_A", body="all\n", short_body="short\n"), NAMES)
    assert unit.tail == unit.short_tail
    assert f"{NO_LINES}all\n" in unit.tail
    assert unit.tail.endswith("all\n\nvoid stencilkit_numbers(volatile int *to)\n{\n    *to = _A;\n    *to = _B;\n}\n")
