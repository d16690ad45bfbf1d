"""The fact that objects of CPython do not overlap: what it is true of, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from stencilkit.model.proof import Proof, Verdict
from stencilkit.model.stencil import HoleValue, Patch, StencilGroup
from stencilkit.pipeline import proving
from stencilkit.prove import conventions, objects
from stencilkit.prove.code import Code
from stencilkit.prove.objects import Region
from stencilkit.prove.placement import OBJECTS
from stencilkit.prove.placing import Object
from stencilkit.prove.possible import arranged, possible
from stencilkit.prove.seeds import HEAP, Seed
from stencilkit.prove.world import World
from tests.proofs import LAYOUT, LINUX, arm, assert_given, assert_not_proved, given, group

PUSHING = "_INIT_CALL_PY_EXACT_ARGS"


# [r13 + 0x40] = r14, the frame's stack pointer; eax = [r15 + 0x30] - 1, a counter of the thread state, which is
# written back at the end.
SAVE, COUNT, BACK = "4d 89 75 40", "41 8b 47 30 ff c8", "41 89 47 30"


def swapped(save: str = SAVE, count: str = COUNT, back: str = BACK) -> tuple[StencilGroup, StencilGroup]:
    return group(f"{save} {count} {back}"), group(f"{count} {save} {back}")


def test_a_frame_and_the_thread_state_are_read_and_written_in_any_order_given_the_fact() -> None:
    assert_given(given(*swapped()))
    assert_given(given(*reversed(swapped()), runs=20))


@pytest.mark.parametrize(
    "other",
    [
        # The first word behind the frame's fields, and the thread state's first.
        {"save": "4d 89 75 50", "count": "41 8b 07 ff c8", "back": "41 89 07"},
        # The word below the frame, and the thread state's last.
        {"save": "4d 89 75 f8", "count": "41 8b 87 78 01 00 00 ff c8", "back": "41 89 87 78 01 00 00"},
        # The frame's first word, and the one behind the thread state.
        {"save": "4d 89 75 00", "count": "41 8b 87 80 01 00 00 ff c8", "back": "41 89 87 80 01 00 00"},
        # The frame's last word, and the one below the thread state.
        {"save": "4d 89 75 48", "count": "41 8b 47 f8 ff c8", "back": "41 89 47 f8"},
        {"count": "8b 47 30 ff c8", "back": "89 47 30"},  # [rdi + 0x30]: anything
        {"count": "41 8b 46 30 ff c8", "back": "41 89 46 30"},  # [r14 + 0x30]: the evaluation stack
        {"save": "4c 89 77 40", "count": "8b 46 30 ff c8", "back": "89 46 30"},  # rdi and rsi: two of anything
        {"count": "41 8b 44 f7 30 ff c8", "back": "41 89 44 f7 30"},  # [r15 + 8*rsi + 0x30]
        {"save": "4d 89 77 30"},  # the same word
    ],
)
def test_what_may_overlap_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(given(*swapped(**other)))


def test_the_first_and_last_words_of_objects_are_theirs() -> None:
    for save in ("4d 89 75 00", "4d 89 75 48"):
        assert_given(given(*swapped(save, "41 8b 07 ff c8", "41 89 07")))
        assert_given(given(*swapped(save, "41 8b 87 78 01 00 00 ff c8", "41 89 87 78 01 00 00")))


def test_another_place_differs_whatever_overlaps() -> None:
    left, _ = swapped()
    for save, count, back in (("4d 89 75 48", COUNT, BACK), (SAVE, "41 8b 47 30 ff c0", BACK), (SAVE, COUNT, "90")):
        _, right = swapped(save, count, back)
        found = given(left, right, runs=20)
        assert found.verdict is Verdict.DIFFERS, found


def test_aarch64_too() -> None:
    # str x22, [x21, #0x40]; ldr w8, [x23, #0x34]; sub w8, w8, #1; str w8, [x23, #0x34]
    left, right = arm("f90022b6 b94036e8 51000508 b90036e8"), arm("b94036e8 51000508 f90022b6 b90036e8")
    assert_given(given(left, right, triple="aarch64-unknown-linux-gnu"))
    # The second address is x24's.
    left, right = arm("f90022b6 b9403708 51000508 b9003708"), arm("b9403708 51000508 f90022b6 b9003708")
    assert_not_proved(given(left, right, triple="aarch64-unknown-linux-gnu"))


def test_arguments_on_the_stack_too() -> None:
    # eax, ecx = [esp+4], [esp+TSTATE]; [eax+0x20] = [esp+8]; edx = [ecx+0x18] - 1; [ecx+0x18] = edx
    def pair(tstate: str, later: str) -> tuple[StencilGroup, StencilGroup]:
        return (
            group(f"8b 44 24 04 8b 4c 24 {tstate} 8b 54 24 08 89 50 20 8b 51 18 4a 89 51 18"),
            group(f"53 8b 44 24 08 8b 4c 24 {later} 8b 5c 24 0c 8b 51 18 4a 89 58 20 89 51 18 5b"),
        )

    assert_given(given(*pair("0c", "10"), series="3.14", triple="i686-pc-windows-msvc"))
    assert_not_proved(given(*pair("08", "0c"), series="3.14", triple="i686-pc-windows-msvc"))


# Of CPython 3.13: rax = the function, [rbp - 0x10]; rcx = the new frame, [r12 + 0x100].
FUNCTION, FRAME = "48 8b 45 f0", "49 8b 8c 24 00 01 00 00"
# [rcx + 8], [rcx + 0x10] = [rax + 0x40], [rax + 0x48]; by one word, or both at once
BY_ONE = "48 8b 50 40 48 89 51 08 48 8b 50 48 48 89 51 10"
AT_ONCE = "48 8b 50 40 48 8b 70 48 48 89 51 08 48 89 71 10"


def pushing(before: str, name: str, *patches: Patch) -> tuple[StencilGroup, StencilGroup]:
    one, other = (group(f"{before} {rest}", *patches, name=name) for rest in (BY_ONE, AT_ONCE))
    return one, other


def test_a_function_is_copied_to_a_new_frame_in_any_order_given_the_fact() -> None:
    assert_given(given(*pushing(f"{FUNCTION} {FRAME}", f"{PUSHING}_0"), series="3.13"))
    # [rax + 0x30] is the code object; 48 8b 40 30: rax = it
    assert_given(given(*pushing(f"{FUNCTION} 48 8b 40 30 {FRAME}", f"{PUSHING}_0"), series="3.13"))
    # Two arguments are above self, and the function is below that.
    assert_given(given(*pushing(f"48 8b 45 e0 {FRAME}", f"{PUSHING}_2"), series="3.13"))
    # The function is below as many arguments as the oparg says: [rbp - 8*oparg - 0x10].
    oparg = Patch(func="patch_64", offsets=(2,), value=HoleValue.OPARG)
    before = f"48 b8 00 00 00 00 00 00 00 00 48 f7 d8 48 8b 44 c5 f0 {FRAME}"
    assert_given(given(*pushing(before, PUSHING, oparg), series="3.13"))


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (f"{FUNCTION} {FRAME}", "_UOP"),  # what another uop has on the stack is not known
        (f"{FUNCTION} {FRAME}", f"{PUSHING}_1"),  # self, there
        (f"48 8b 45 f8 {FRAME}", f"{PUSHING}_0"),  # self
        (f"{FUNCTION} 49 8b 8c 24 08 01 00 00", f"{PUSHING}_0"),  # the next field of the thread state
        (f"{FUNCTION} 48 8b 40 38 {FRAME}", f"{PUSHING}_0"),  # the next field of the function
        (f"{FUNCTION} 49 89 bc 24 00 01 00 00 {FRAME}", f"{PUSHING}_0"),  # [r12 + 0x100] = rdi: not what it was
    ],
)
def test_what_is_no_function_or_frame_keeps_its_order(before: str, name: str) -> None:
    assert_not_proved(given(*pushing(before, name), series="3.13"))


def test_a_new_frame_has_room_for_locals_given_the_fact() -> None:
    # rdx = the code object, [rax + 0x30]; ecx = its co_nlocalsplus; the last local = 0, and the function's
    # first word is read before or behind that.
    def pair(last: str) -> tuple[StencilGroup, StencilGroup]:
        head = f"{FUNCTION} 48 8b 50 30 49 8b bc 24 00 01 00 00 8b 4a 48 85 c9 7e 18"
        read, clear, keep = "4c 8b 10 90", f"48 c7 44 cf {last} 00 00 00 00", "4c 89 57 40 90 90 90 90 90 90 90"
        one, other = (
            group(f"{head} {rest}", name=f"{PUSHING}_0")
            for rest in (f"{read} {clear} {keep}", f"{clear} {read} {keep}")
        )
        return one, other

    assert_given(given(*pair("48"), series="3.13"))  # [rdi + 8*rcx + 0x48], where localsplus is at 0x50
    assert_not_proved(given(*pair("50"), series="3.13"))  # beyond it


def test_the_frame_of_a_trampoline_is_new() -> None:
    # Of CPython 3.15: rax = [r15 + 0x100], the new frame; r11 = &_Py_InitCleanup
    def pair(name: str, symbol: str) -> tuple[StencilGroup, StencilGroup]:
        patch = Patch(func="patch_64", offsets=(9,), symbol=symbol)
        head = "49 8b 87 00 01 00 00 49 bb 00 00 00 00 00 00 00 00"
        # [rax + 8] = r13; ecx, rdi = [r11], [r13 + 0x40]; [rax + 0x10] = rdi; [rax + 0x48] = ecx
        write, read, keep = "4c 89 68 08", "41 8b 0b 49 8b 7d 40", "48 89 78 10 89 48 48"
        one, other = (
            group(f"{head} {rest} {keep}", patch, name=name) for rest in (f"{write} {read}", f"{read} {write}")
        )
        return one, other

    assert_given(given(*pair("_CREATE_INIT_FRAME_r01", "_Py_InitCleanup")))
    assert_not_proved(given(*pair("_CREATE_INIT_FRAME_r01", "_Py_NoneStruct")))
    assert_not_proved(given(*pair("_UOP_r00", "_Py_InitCleanup")))


# Of CPython 3.14: rax = the names of the frame's code object, [([r12] & -2) + 0x20]; rcx = the oparg
NAMES = "49 8b 04 24 48 83 e0 fe 48 8b 40 20 48 b9 00 00 00 00 00 00 00 00"


def naming(name: str, before: str = NAMES, read: str = "48 8b 54 c8 18") -> tuple[StencilGroup, StencilGroup]:
    """Read a name, [rax + 8*rcx + 0x18], before the frame's stack pointer is saved, or behind that; it is kept."""
    patch = Patch(func="patch_64", offsets=(14,), value=HoleValue.OPARG)
    save, keep = "4d 89 6c 24 40", "49 89 56 30"
    one, other = (group(f"{before} {rest} {keep}", patch, name=name) for rest in (f"{read} {save}", f"{save} {read}"))
    return one, other


def test_a_name_is_in_a_tuple() -> None:
    assert_given(given(*naming("_STORE_GLOBAL"), series="3.14"))
    assert_given(given(*naming("_LOAD_ATTR", f"{NAMES} d1 e9"), series="3.14"))  # shr ecx, 1
    assert_given(given(*naming("_LOAD_FROM_DICT_OR_DEREF", NAMES.replace("40 20", "40 60")), series="3.14"))


@pytest.mark.parametrize(
    ("name", "before", "read"),
    [
        ("_UOP", NAMES, "48 8b 54 c8 18"),  # its oparg can be anything
        ("_LOAD_ATTR", NAMES, "48 8b 54 c8 18"),  # half of it is the number
        ("_STORE_GLOBAL", NAMES, "48 8b 94 c8 98 00 00 00"),  # a name far behind that
        ("_STORE_GLOBAL", NAMES.replace("40 20", "40 28"), "48 8b 54 c8 18"),  # another field
        ("_STORE_GLOBAL", NAMES.replace("e0 fe", "e0 ff"), "48 8b 54 c8 18"),  # a tagged address
    ],
)
def test_what_is_no_name_keeps_its_order(name: str, before: str, read: str) -> None:
    assert_not_proved(given(*naming(name, before, read), series="3.14"))


def test_the_number_of_a_name_depends_on_the_series() -> None:
    assert "tuple" in [one.kind for one in found("_IMPORT_NAME", "3.14")[0]]
    assert "tuple" not in [one.kind for one in found("_IMPORT_NAME_r21", "3.15")[0]]


def test_an_exit_is_in_an_executor() -> None:
    # Of CPython 3.14: rax = operand0, a pointer to an exit; ecx = [rax + 4]; [r14] = 0; [rax + 4] = ecx + 1
    def pair(offset: str) -> tuple[StencilGroup, StencilGroup]:
        patch = Patch(func="patch_64", offsets=(2,), value=HoleValue.OPERAND0)
        head, read, write = "48 b8 00 00 00 00 00 00 00 00", f"8b 48 {offset}", "49 c7 06 00 00 00 00"
        one, other = (
            group(f"{head} {rest} ff c1 89 48 {offset}", patch, name="_EXIT_TRACE")
            for rest in (f"{read} {write}", f"{write} {read}")
        )
        return one, other

    assert_given(given(*pair("04"), series="3.14"))
    assert_not_proved(given(*pair("10"), series="3.14"))


def test_a_generator_yields_to_the_previous_frame() -> None:
    # rdi = [r13 + 8], the previous frame; r14 = [rdi + 0x40]; [r15 + PLACE] = 1, a field behind PyThreadState
    def pair(place: str, name: str = "_YIELD_VALUE_r11") -> tuple[StencilGroup, StencilGroup]:
        read, write = "4c 8b 77 40", f"41 c7 87 {place} 00 00 01 00 00 00"
        one, other = (group(f"49 8b 7d 08 {rest}", name=name) for rest in (f"{read} {write}", f"{write} {read}"))
        return one, other

    assert_given(given(*pair("18 02")))
    assert_not_proved(given(*pair("18 02", "_UOP_r00")))
    assert_not_proved(given(*pair("c0 01")))  # in the frame that the thread state has


# Of CPython 3.14: rdi = [r12 + 8], the previous frame; r13 = [rdi + 0x40]; [r12 - 0x20] = 0, a field of the generator
PREVIOUS, RESUMED, LEFT = "49 8b 7c 24 08", "4c 8b 6f 40", "49 c7 44 24 e0 00 00 00 00"


def yielding(
    *, previous: str = PREVIOUS, read: str = RESUMED, write: str = LEFT, name: str = "_YIELD_VALUE"
) -> tuple[StencilGroup, StencilGroup]:
    return group(f"{previous} {read} {write}", name=name), group(f"{previous} {write} {read}", name=name)


def test_a_generator_is_in_front_of_its_frame_and_apart_from_the_previous_one() -> None:
    assert_given(given(*yielding(), series="3.14"))
    # The first word of the generator, the last before its frame, and the previous frame's last.
    assert_given(given(*yielding(write="49 c7 44 24 b8 00 00 00 00"), series="3.14"))
    assert_given(given(*yielding(write="49 c7 44 24 f8 00 00 00 00"), series="3.14"))
    assert_given(given(*yielding(read="4c 8b 6f 48"), series="3.14"))
    # The generator's frame is another one.
    assert_given(given(*yielding(write="49 c7 44 24 48 00 00 00 00"), series="3.14"))
    # Of CPython 3.15: rdi = [r13 + 8]; r14 = [rdi + 0x40]; [r13 - 0x20] = 0
    words = {"previous": "49 8b 7d 08", "read": "4c 8b 77 40", "write": "49 c7 45 e0 00 00 00 00"}
    assert_given(given(*yielding(**words, name="_YIELD_VALUE_r11")))


@pytest.mark.parametrize(
    "other",
    [
        # In front of the generator, and the previous frame's last word; and half there.
        {"write": "49 c7 44 24 b0 00 00 00 00", "read": "4c 8b 6f 48"},
        {"write": "49 c7 44 24 b4 00 00 00 00", "read": "4c 8b 6f 48"},
        # The generator's first word, and the one behind the previous frame's fields.
        {"write": "49 c7 44 24 b8 00 00 00 00", "read": "4c 8b 6f 50"},
        # Its last word, and one in front of the previous frame.
        {"write": "49 c7 44 24 f8 00 00 00 00", "read": "4c 8b 6f a0"},
        {"write": "49 c7 44 24 50 00 00 00 00", "read": "4c 8b 6f 00"},  # behind the fields of the generator's frame
        {"write": "48 c7 46 e0 00 00 00 00"},  # [rsi - 0x20]: anything
        {"previous": "49 8b 7c 24 10"},  # another field of the frame
        {"previous": "49 89 7c 24 08 49 8b 7c 24 08"},  # [r12 + 8] = rdi: not what it was
        {"name": "_UOP"},  # its frame may be in no generator
    ],
)
def test_what_is_no_generator_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(given(*yielding(**other), series="3.14"))


# Of CPython 3.13: rdi = [r13 + 8], the previous frame; movsxd rax, [rdi + 0x40]; and two writes:
# [rdi + 8*rax + 0x50] = 0, on top of its evaluation stack, and another.
RESUMING, TOP, PUSHED = "49 8b 7d 08", "48 63 47 40", "48 c7 44 c7 50 00 00 00 00"
FORGOTTEN = "49 c7 45 08 01 00 00 00"  # [r13 + 8] = 1: the frame has no previous one


def resuming(
    *,
    previous: str = RESUMING,
    top: str = TOP,
    value: str = PUSHED,
    write: str = FORGOTTEN,
    name: str = "_YIELD_VALUE",
    series: str = "3.13",
) -> Proof:
    orders = (f"{value} {write}", f"{write} {value}")
    one, other = (group(f"{previous} {top} {rest}", name=name) for rest in orders)
    return given(one, other, series=series)


@pytest.mark.parametrize(
    "write",
    [
        FORGOTTEN,
        "49 c7 45 00 01 00 00 00",  # the frame's first word
        "49 c7 45 48 01 00 00 00",  # its last before the values there
        "49 c7 45 b8 01 00 00 00",  # the generator's first word
        "49 c7 45 f8 01 00 00 00",  # its last before the frame
        "49 c7 04 24 01 00 00 00",  # the thread state's first word
        "49 c7 84 24 78 01 00 00 01 00 00 00",  # and its last
    ],
)
def test_the_previous_frame_of_a_generator_gets_a_value(write: str) -> None:
    assert_given(resuming(write=write))
    # Its fields are apart, too: [rdi + 0x48] = 0
    assert_given(resuming(write=write, value="48 c7 47 48 00 00 00 00"))


@pytest.mark.parametrize(
    "other",
    [
        {"value": "48 c7 44 c7 58 00 00 00 00"},  # above the value
        {"value": "48 c7 44 c7 54 00 00 00 00"},  # and half there
        {"value": "48 c7 44 c7 48 00 00 00 00"},  # below it
        {"top": "48 63 47 44"},  # another number
        {"top": "8b 47 40 90"},  # one without its sign
        {"top": "89 77 40 48 63 47 40"},  # not what it was
        {"value": "48 c7 44 87 50 00 00 00 00"},  # four bytes for each word
        {"previous": "49 8b 7d 10"},  # another field of the frame
        {"previous": "49 8b 7c 24 08"},  # or of the thread state
        {"write": "48 c7 47 40 01 00 00 00"},  # in the previous frame itself
        {"write": "49 c7 45 50 01 00 00 00"},  # behind the frame's fields
        {"write": "49 c7 45 b0 01 00 00 00"},  # in front of the generator
        {"write": "49 c7 84 24 80 01 00 00 01 00 00 00"},  # behind the thread state
        {"write": "48 c7 46 e0 01 00 00 00"},  # [rsi - 0x20]: anything
        {"name": "_SEND_GEN_FRAME"},
        {"series": "3.14"},
    ],
)
def test_what_is_not_a_value_of_the_previous_frame_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(resuming(**other))


# rax = [r15 + 0x90], what tstate->exc_info points to; rcx = [rax]; [r13 + 0x40] = r14
STATE, HANDLED = "49 8b 87 90 00 00 00", "48 8b 08"


def handling(
    *, state: str = STATE, read: str = HANDLED, write: str = SAVE, name: str = "_POP_EXCEPT_r10"
) -> tuple[StencilGroup, StencilGroup]:
    """Read the exception before the frame's stack pointer is saved, or behind that; it is kept."""
    one, other = (group(f"{state} {rest} 49 89 4f 30", name=name) for rest in (f"{read} {write}", f"{write} {read}"))
    return one, other


def test_what_is_handled_is_in_no_frame() -> None:
    assert_given(given(*handling(), runs=20))
    assert_given(given(*handling(read="48 8b 48 08")))
    assert_given(given(*handling(name="_PUSH_EXC_INFO_r02")))


@pytest.mark.parametrize(
    "other",
    [
        {"write": "4d 89 77 38"},  # [r15 + 0x38] = r14: the thread state, which it may be in
        {"write": "4d 89 76 38"},  # [r14 + 0x38]: the evaluation stack
        {"write": "4d 89 75 f8", "read": "48 8b 48 08"},  # in front of the frame, where a generator's is
        {"write": "4d 89 75 50"},  # behind the frame's fields
        {"write": "4d 89 75 00", "read": "48 8b 48 10"},  # the frame's first word, and the one behind the state
        {"write": "4d 89 75 48", "read": "48 8b 48 f8"},  # its last, and the one in front of the state
        {"state": "49 8b 87 98 00 00 00"},  # another field of the thread state
        {"state": f"49 89 bf 90 00 00 00 {STATE}"},  # [r15 + 0x90] = rdi: not what it was
        {"name": "_UOP_r00"},
    ],
)
def test_what_may_be_handled_keeps_its_order(other: dict[str, str]) -> None:
    assert_not_proved(given(*handling(**other)))


def test_an_exception_state_may_be_in_the_thread_state_and_in_a_generator() -> None:
    for series in conventions.ARGUMENTS:
        kinds = [[one.kind for one in found(name, series)[0]] for name in ("_POP_EXCEPT", "_PUSH_EXC_INFO")]
        assert kinds == [["thread state", "frame", "thread state"]] * 2
    yielded = ["thread state", "frame", "generator", "previous frame"]
    assert [one.kind for one in found("_YIELD_VALUE", "3.14")[0]] == yielded
    assert [one.kind for one in found("_YIELD_VALUE", "3.13")[0]] == [*yielded, "previous frame"]
    # Where it is the thread state's own, or a generator's in front of the frame, is possible, and in the frame is not.
    regions, world = found("_POP_EXCEPT_r10")
    start = Seed(0, {"r15": HEAP, "r13": HEAP + 0x1000})
    places = (HEAP + 0x100, HEAP + 0xFF0, HEAP + 0xFF8, HEAP + 0x1048, HEAP + 0x1050)
    states = [replace(start, words={HEAP + 0x90: place}) for place in places]
    assert possible(states, regions, world) == [states[0], states[1], states[4]]


def test_a_specialization_is_in_no_frame() -> None:
    # rax = operand0, a pointer to a specialization; rcx = a field of it; [r13 + 0x40] = r14; [r15 + 0x30] = rcx
    def pair(
        offset: str,
        save: str = SAVE,
        name: str = "_BINARY_OP_EXTEND_r23",
        hole: HoleValue = HoleValue.OPERAND0,
    ) -> tuple[StencilGroup, StencilGroup]:
        patch = Patch(func="patch_64", offsets=(2,), value=hole)
        head, read = "48 b8 00 00 00 00 00 00 00 00", f"48 8b 48 {offset}"
        one, other = (
            group(f"{head} {rest} 49 89 4f 30", patch, name=name) for rest in (f"{read} {save}", f"{save} {read}")
        )
        return one, other

    for offset in ("00", "10", "30"):
        assert_given(given(*pair(offset)))
    assert_not_proved(given(*pair("38", "4d 89 75 00")))  # behind it, and the frame's first word
    assert_not_proved(given(*pair("f8", "4d 89 75 48")))  # in front of it, and the frame's last word
    assert_not_proved(given(*pair("10", name="_UOP_r23")))
    assert_not_proved(given(*pair("10", hole=HoleValue.OPERAND1)))


def test_a_reference_has_a_tag() -> None:
    # Of CPython 3.14: rax = [r13 - 0x10]; and rax, -2; rcx = [r14 + 0x100]
    plain, frame = "49 8b 45 f0", "49 8b 8e 00 01 00 00"
    assert_given(given(*pushing(f"{plain} 48 83 e0 fe {frame}", f"{PUSHING}_0"), series="3.14"))
    assert_not_proved(given(*pushing(f"{plain} {frame}", f"{PUSHING}_0"), series="3.14"))


def test_the_function_of_a_subscript_is_on_top_of_the_stack() -> None:
    # Of CPython 3.14: rax = [r13 - 8] & -2; rcx = [r14 + 0x100]
    name, head = "_BINARY_OP_SUBSCR_INIT_CALL", "49 8b 45 f8 48 83 e0 fe 49 8b 8e 00 01 00 00"
    assert_given(given(*pushing(head, name), series="3.14"))
    assert_not_proved(given(*pushing(head.replace("f8", "f0"), name), series="3.14"))
    assert_not_proved(given(*pushing(head.replace("8e 00", "8e 08"), name), series="3.14"))
    assert_not_proved(given(*pushing(head, "_BINARY_OP_SUBSCR_CHECK_FUNC"), series="3.14"))
    # Of CPython 3.13: rax = [rbp - 8]; rcx = [r12 + 0x100]
    assert_not_proved(given(*pushing("48 8b 45 f8 49 8b 8c 24 00 01 00 00", name), series="3.13"))


def found(
    name: str, series: str = "3.15", layout: Mapping[str, int] = LAYOUT, *, entry: bool = False
) -> tuple[tuple[Region, ...], World]:
    """Find the regions of a uop on x86_64 Linux."""
    passing = conventions.passing(LINUX, series)
    assert passing is not None
    convention = conventions.CONVENTIONS[LINUX]
    world = World(convention, passing, {}, series, layout, convention if entry else None)
    one = group("90", name=name)
    code = Code({}, one.code, one.data, one.name, {}, shared_data=True, side="left")
    return objects.regions(world, code), world


def test_states_in_which_objects_overlap_are_not_run() -> None:
    regions, world = found("_UOP_r00")
    kinds = [("thread state", 0x180), ("frame", 0x50)]
    assert [(one.kind, one.size.value) for one in regions] == kinds
    states = [Seed(0, {"r15": HEAP + 0x1000, "r13": HEAP + place}) for place in (0x0FB0, 0x0FB8, 0x1178, 0x1180)]
    assert possible(states, regions, world) == [states[0], states[3]]


def test_where_objects_are_can_be_in_memory() -> None:
    regions, world = found(f"{PUSHING}_0", "3.13")
    assert [one.kind for one in regions] == [
        row.kind for row in OBJECTS if row.uops is None or row.uops.fullmatch(f"{PUSHING}_0")
    ]
    top, function, code, locals_ = HEAP + 0x100, HEAP + 0x1FF0, HEAP + 0x4030, HEAP + 0x5048
    words = {top: HEAP + 0x3000, function: HEAP + 0x4000, code: HEAP + 0x5000, locals_: 3}
    apart = Seed(0, {"r12": HEAP, "r13": HEAP + 0x1000, "rbp": HEAP + 0x2000}, words)
    # A new frame in the thread state; a function in it; code in a function; a frame that ends in the function.
    overlapping = ((top, HEAP + 0x50), (function, HEAP + 0x3040), (code, HEAP + 0x4090), (locals_, 0x1F7))
    others = [replace(apart, words={**words, place: to}) for place, to in overlapping]
    assert possible([apart, *others], regions, world) == [apart]
    largest = replace(apart, words={**words, locals_: 0x1F6})
    assert possible([largest], regions, world) == [largest]


def test_random_states_are_made_so_that_objects_do_not_overlap() -> None:
    for name, series in (
        ("_UOP_r00", "3.15"),
        ("_POP_EXCEPT_r10", "3.15"),
        ("_YIELD_VALUE", "3.14"),
        ("_BINARY_OP_EXTEND_r23", "3.15"),
        (f"{PUSHING}_0", "3.13"),
        (PUSHING, "3.14"),
    ):
        regions, world = found(name, series)
        states = [Seed(number) for number in range(60)]
        made = [arranged(one, regions, world) for one in states]
        assert made == [arranged(one, regions, world) for one in states]
        assert len(possible(states, regions, world)) < len(possible(made, regions, world))
        assert len(possible(made, regions, world)) > 30
        # What is apart already stays as it is, but for how long it is.
        (kept,) = possible(states, regions, world)[:1]
        assert set(arranged(kept, regions, world).values) == set()


def test_the_shim_gets_other_arguments() -> None:
    assert found("shim", entry=True)[0] == ()
    assert found("_CREATE_INIT_FRAME_r01", entry=True)[0] == ()


def test_where_the_layout_is_not_known_nothing_is() -> None:
    names = ("_UOP_r00", f"{PUSHING}_0", "_CREATE_INIT_FRAME_r01", "_YIELD_VALUE_r11", "_BINARY_OP_EXTEND_r23")
    for name in names:
        assert [one.kind for one in found(name, layout={})[0]] in ([], ["evaluation stack"])


def names_of(row: Object) -> tuple[str, ...]:
    """List what a row needs of the layout."""
    index = (row.index.step, row.index.field) if row.index is not None else ()
    where = (row.where.field,) if row.where is not None else ()
    return row.start, row.before, row.size, row.field, row.words, row.item, *index, *where


def test_the_layout_of_every_cpython_is_known() -> None:
    for series in conventions.ARGUMENTS:
        rows = [row for row in OBJECTS if series in (row.series or (series,))]
        names = {name for row in rows for name in names_of(row)} - {""}
        for table in (series, f"{series}-32", f"{series}-windows"):
            layout = proving._sizes(table)
            assert names <= layout.keys(), table
            assert layout["PyThreadState.datastack_top"] < layout["PyThreadState"]
