"""Objects that are there if something is true: executors, generators, builtins' definitions; and what is not them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stencilkit.model.proof import Proof, Prototype
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, StencilGroup
from stencilkit.prove import conventions, objects
from stencilkit.prove.code import Code
from stencilkit.prove.possible import possible
from stencilkit.prove.seeds import HEAP, Seed
from stencilkit.prove.world import World
from tests.proofs import LAYOUT, LINUX, assert_given, assert_not_proved, given, group

SYMBOL = "48 b9 00 00 00 00 00 00 00 00"  # rcx = a symbol, or the oparg


BUDGET = 10_000_000


def length(code: str) -> int:
    return len(bytes.fromhex(code))


def swapped(
    head: str, one: str, other: str, keep: str, *patches: Patch, name: str
) -> tuple[StencilGroup, StencilGroup]:
    """Do two things in both orders, if the head does not jump: its last byte is how far."""
    head += f" {length(f'{one} {other} {keep}'):02x}" if head.endswith(("75", "7e")) else ""
    return group(f"{head} {one} {other} {keep}", *patches, name=name), group(
        f"{head} {other} {one} {keep}", *patches, name=name
    )


# Of CPython 3.13: rax = [rbp - 8], the iterator; if [rax + 8] is PyGen_Type: rdx = [r12] and a write to the
# generator, in some order; [r13 + 0x40] = rdx
ITERATOR, CHECK = "48 8b 45 f8", "48 39 48 08 75"
FIRST, LAST = "49 8b 14 24", "49 8b 94 24 78 01 00 00"


def iterating(
    *,
    iterator: str = ITERATOR,
    symbol: str = "PyGen_Type",
    check: str = CHECK,
    read: str = FIRST,
    write: str = "c6 40 43 00",
    name: str = "_FOR_ITER_GEN_FRAME",
    series: str = "3.13",
) -> Proof:
    patch = Patch(func="patch_64", offsets=(length(iterator) + 2,), symbol=symbol)
    return given(
        *swapped(f"{iterator} {SYMBOL} {check}", read, write, "49 89 55 40", patch, name=name),
        series=series,
        budget=BUDGET,
    )


@pytest.mark.parametrize(
    "write",
    [
        "c6 40 00 00",  # the generator's first byte
        "c6 40 43 00",  # its state
        "48 c7 40 40 00 00 00 00",  # its last word before the frame
        "48 c7 40 48 00 00 00 00",  # its frame's first word
        "48 c7 80 90 00 00 00 00 00 00 00",  # and the last before the values there
        "48 63 b0 88 00 00 00 48 c7 84 f0 98 00 00 00 00 00 00 00",  # the word above those: movsxd rsi, [rax + 0x88]
    ],
)
def test_a_generator_that_is_asked_is_not_in_the_thread_state(write: str) -> None:
    assert_given(iterating(write=write))
    assert_given(iterating(write=write, read=LAST))


@pytest.mark.parametrize(
    "other",
    [
        {"check": "48 39 48 08 90 90"},  # it may be anything
        {"symbol": "PyCoro_Type"},
        {"check": "48 39 48 10 75"},  # another field is its address
        {"check": "48 39 48 08 74"},  # it is something else
        {"iterator": "48 8b 45 f0"},  # the value below it
        {"iterator": "48 8b 45 00"},  # above the stack
        {"write": "48 c7 40 f8 00 00 00 00", "read": LAST},  # in front of the generator
        {"write": "48 c7 40 fc 00 00 00 00", "read": LAST},  # and half there
        {"write": "48 c7 80 98 00 00 00 00 00 00 00"},  # behind its frame's fields
        {"write": "48 63 b0 88 00 00 00 48 c7 84 f0 a0 00 00 00 00 00 00 00"},  # beyond the word above the values
        {"write": "8b b0 88 00 00 00 90 48 c7 84 f0 98 00 00 00 00 00 00 00"},  # a number without its sign
        {"write": "48 63 b0 8c 00 00 00 48 c7 84 f0 98 00 00 00 00 00 00 00"},  # another number
        {"read": "49 8b 94 24 80 01 00 00", "write": "c6 40 00 00"},  # behind the thread state
        {"read": "49 8b 54 24 f8", "write": "48 c7 80 90 00 00 00 00 00 00 00"},  # in front of it
        {"read": "48 8b 57 40"},  # [rdi + 0x40]: anything
        {"name": "_FOR_ITER_GEN"},
        {"series": "3.14"},
    ],
)
def test_what_may_be_no_generator_keeps_its_order(other: dict[str, str]) -> None:
    if other.get("check", "75").endswith("74"):
        other = {**other, "check": f"{other['check']} 10"}
    assert_not_proved(iterating(**other))


def test_a_generator_can_ask_itself() -> None:
    """Its frame is the one that runs then, and what is in front of that is still apart."""
    # rdx = [r13 + 0x40], a field of the frame, and a write in front of the generator's frame; and in that
    for write, proved in (("c6 40 43 00", True), ("c6 80 88 00 00 00 00", False)):
        found = iterating(read="49 8b 55 40", write=write)
        (assert_given if proved else assert_not_proved)(found)


# Of CPython 3.14: rax = [r13 - 8*oparg - 0x10] & -2, the callable; if [rax + 8] is PyCFunction_Type: rcx = [rax + 0x10]
CALLABLE = f"{SYMBOL} 48 f7 d9 49 8b 44 cd f0 48 83 e0 fe"
CALLED, FRAME_FIRST = "48 39 48 08 75", "4d 89 6c 24 00"


def calling(
    *,
    callable_: str = CALLABLE,
    symbol: str = "PyCFunction_Type",
    field: str = "48 8b 48 10",
    check: str = CALLED,
    read: str = "48 8b 51 08",
    save: str = "4d 89 6c 24 40",
    name: str = "_CALL_BUILTIN_FAST_WITH_KEYWORDS",
    series: str = "3.14",
) -> Proof:
    """Read a field of the definition, and save the frame's stack pointer, in some order; keep what was read."""
    patches = (
        Patch(func="patch_64", offsets=(2,), value=HoleValue.OPARG),
        Patch(func="patch_64", offsets=(length(callable_) + 2,), symbol=symbol),
    )
    keep = "49 89 56 30"
    far = length(f"{field} {read} {save} {keep}")
    head = f"{callable_} {SYMBOL} {check} {far:02x} {field}"
    return given(*swapped(head, read, save, keep, *patches, name=name), series=series, budget=BUDGET)


def test_the_definition_of_a_method_is_not_in_a_frame() -> None:
    for read in ("48 8b 51 00", "48 8b 51 08", "48 8b 51 18"):
        for save in ("4d 89 6c 24 00", "4d 89 6c 24 40", "4d 89 6c 24 48"):
            assert_given(calling(read=read, save=save))


@pytest.mark.parametrize(
    "other",
    [
        {"symbol": "PyFunction_Type"},
        {"check": "48 39 48 10 75"},  # another field is its address
        {"check": "48 39 48 08 72"},  # it is above that address
        {"callable_": CALLABLE.replace("cd f0", "cd f8")},  # self
        {"callable_": CALLABLE.replace("e0 fe", "e0 ff")},  # with its tag
        {"field": "48 8b 48 18"},  # self, of the function
        {"read": "48 8b 51 20", "save": FRAME_FIRST},  # behind the definition
        {"read": "48 8b 51 1c", "save": FRAME_FIRST},  # and half there
        {"read": "48 8b 51 f8", "save": "4d 89 6c 24 48"},  # in front of it
        {"read": "48 8b 51 00", "save": "4d 89 6c 24 50"},  # behind the frame's fields
        {"read": "48 8b 51 18", "save": "4d 89 6c 24 f8"},  # in front of the frame
        {"save": "4c 89 6f 40 90"},  # [rdi + 0x40]: anything
        {"name": "_CALL_BUILTIN_FAST"},
        {"series": "3.15"},
    ],
)
def test_what_may_be_no_definition_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(calling(**other))


# Of CPython 3.13: rdi = [r12 + 0x110] + 16*oparg, whose exit is at 0x80; eax = the exit's target; rdx = the instruction
# there, [r13] + 0xd0 + 2*rax; rax = [r13]; if [rdx] is 70: rax = the executor, [[rax + 0x98] + 8*[rdx + 1] + 8]
EXIT = "49 8b bc 24 10 01 00 00 48 c1 e1 04 48 01 cf"
TARGET, INSTRUCTION = "8b 97 80 00 00 00 49 8b 45 00", "48 8d 94 50 d0 00 00 00"
ENTERED = "80 3a 46 75"
EXECUTOR = "48 8b 80 98 00 00 00 0f b6 52 01 48 8b 44 d0 08"


def leaving(
    *,
    exit_: str = EXIT,
    target: str = TARGET,
    instruction: str = INSTRUCTION,
    check: str = ENTERED,
    executor: str = EXECUTOR,
    read: str = "48 8b 70 78",
    write: str = "48 89 87 88 00 00 00",
    name: str = "_COLD_EXIT",
    series: str = "3.13",
) -> Proof:
    """Read a field of the executor, and write the exit, in some order; keep what was read."""
    patch = Patch(func="patch_64", offsets=(2,), value=HoleValue.OPARG)
    keep = "49 89 75 40"
    far = length(f"{executor} {read} {write} {keep}")
    head = f"{SYMBOL} {exit_} {target} {instruction} {check} {far:02x} {executor}"
    return given(*swapped(head, read, write, keep, patch, name=name), series=series, budget=BUDGET)


def test_an_executor_is_not_in_the_middle_of_its_exits() -> None:
    for read in ("48 8b 70 00", "48 8b 70 78"):
        for write in ("48 89 87 80 00 00 00", "48 89 87 88 00 00 00"):
            assert_given(leaving(read=read, write=write))


@pytest.mark.parametrize(
    "other",
    [
        {"read": "48 8b b0 80 00 00 00", "write": "48 89 87 80 00 00 00"},  # the first exit
        {"read": "48 8b 70 7c", "write": "48 89 87 80 00 00 00"},  # half in it
        {"read": "48 8b 70 f8"},  # in front of the executor
        {"write": "48 89 87 78 00 00 00"},  # in front of the exit
        {"read": "48 8b 70 00", "write": "48 89 87 90 00 00 00"},  # behind it, where the next one is
        {"check": "80 3a 45 75"},  # another instruction
        {"check": "80 7a 01 46 75"},  # an oparg
        {"exit_": EXIT.replace("10 01", "18 01")},  # another field of the thread state
        {"target": TARGET.replace("80", "84")},  # the exit's temperature
        {"target": TARGET.replace("45 00", "45 08")},  # another field of the frame
        {"instruction": INSTRUCTION.replace("94 50", "94 90")},  # four bytes for each instruction
        {"executor": EXECUTOR.replace("98", "90")},  # another field of the code object
        {"executor": EXECUTOR.replace("52 01", "52 02")},  # another number
        {"executor": EXECUTOR.replace("d0 08", "d0 10")},  # the next executor's place
        {"name": "_UOP"},
        {"series": "3.14"},
    ],
)
def test_what_may_be_no_executor_or_exit_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(leaving(**other))


# Of CPython 3.13: push rax; rdi = [r12 + 0x110] + 16*oparg is kept in rbx; rcx = rsp, where the result goes; rdi, rsi
# and rdx are what they are for both; call; if eax is positive: rax = [rsp]
PROTOTYPE = Prototype(result="i32", arguments=("ptr", "ptr", "ptr", "ptr"))


def optimizing(
    *,
    callee: str = "_PyOptimizer_Optimize",
    check: str = "85 c0 7e",
    result: str = "48 8b 04 24",
    read: str = "48 8b 70 78",
    write: str = "48 89 83 88 00 00 00",
    previous: str = "49 8b 9c 24 10 01 00 00",
    name: str = "_COLD_EXIT",
) -> Proof:
    keep, end = "49 89 75 40", "31 c9 31 f6 31 ff 31 d2 31 c0 5b"
    head = f"50 {previous} {SYMBOL} 48 c1 e1 04 48 01 cb 48 89 e1 31 ff 31 f6 31 d2"
    patches = (
        Patch(func="patch_64", offsets=(1 + length(previous) + 2,), value=HoleValue.OPARG),
        Patch(
            func="patch_x86_64_32rx",
            offsets=(length(head) + 2,),
            form=PatchForm.GOT_SLOT,
            symbol=callee,
            addend=-4,
        ),
    )
    far = length(f"{result} {read} {write} {keep}")
    head = f"{head} ff 15 00 00 00 00 {check} {far:02x} {result}"
    one, other = swapped(head, read, write, f"{keep} {end}", *patches, name=name)
    prototypes = {"_PyOptimizer_Optimize": PROTOTYPE, "_PyForIter_VirtualIteratorNext": PROTOTYPE}
    return given(one, other, series="3.13", prototypes=prototypes, budget=BUDGET)


def test_an_executor_that_was_made_is_not_in_the_exits_of_another() -> None:
    assert_given(optimizing())
    assert_given(optimizing(read="48 8b 70 00", write="48 89 83 80 00 00 00"))


@pytest.mark.parametrize(
    "other",
    [
        {"callee": "_PyForIter_VirtualIteratorNext"},  # which writes something else there
        {"check": "85 c0 7c"},  # nothing was made if it is zero
        {"check": "85 c0 7f"},
        {"result": "48 89 c0 90"},  # what was returned
        {"read": "48 8b b0 80 00 00 00", "write": "48 89 83 80 00 00 00"},  # the first exit
        {"read": "48 8b 70 f8"},  # in front of the executor
        {"read": "48 8b 70 00", "write": "48 89 83 90 00 00 00"},  # behind the exit
        {"write": "48 89 83 78 00 00 00"},  # in front of it
        {"previous": "49 8b 9c 24 18 01 00 00"},
        {"name": "_UOP"},
    ],
)
def test_what_was_made_may_be_something_else(other: dict[str, str]) -> None:
    assert_not_proved(optimizing(**other))


def test_states_in_which_an_executor_is_in_exits_are_not_run() -> None:
    passing = conventions.passing(LINUX, "3.13")
    assert passing is not None
    world = World(conventions.CONVENTIONS[LINUX], passing, {}, "3.13", LAYOUT)
    one = group("90", name="_COLD_EXIT")
    regions = objects.regions(world, Code({}, one.code, one.data, one.name, {}, shared_data=True, side="left"))
    # tstate, its previous executor, code object, its executors; exit 0's target is 0; the instruction's oparg is 2
    state, frame, previous, code, array = (HEAP + 0x1000 * number for number in range(5))
    words = {
        state + 0x110: previous,
        previous + 0x80: 0,
        frame: code,
        code + 0x98: array,
        code + 0xD0: 70 | 2 << 8,
        array + 0x18: HEAP + 0x5000,
    }
    apart = Seed(0, {"r12": state, "r13": frame, "rbp": frame + 0x100, "oparg": 0}, words)
    places = (previous, previous - 0x80, previous + 0x90, previous + 0x10, previous + 0x88)
    others = [replace(apart, words={**words, array + 0x18: place}) for place in places]
    assert [bool(possible([one], regions, world)) for one in (apart, *others)] == [True, True, True, True, False, False]
    # What another instruction's oparg leads to is not an executor.
    jumped = replace(others[3], words={**others[3].words, code + 0xD0: 71 | 2 << 8})
    assert possible([jumped], regions, world) == [jumped]
