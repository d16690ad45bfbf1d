"""Proofs of i686 Windows: arguments on the stack, words of four bytes, and the x87."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stencilkit import disassemble, prove
from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import HoleValue, Patch, StencilGroup
from tests.proofs import assert_not_proved, assert_proved, group

SETTING = prove.Setting(
    series="3.14",
    triple="i686-pc-windows-msvc",
    arch="i686",
    entry=None,
    prototypes={
        "PyOne": Prototype(result="ptr", arguments=("ptr", "ptr")),
        "PyFloat_FromDouble": Prototype(result="ptr", arguments=("double",)),
        "_PyObjectArray_FromStackRefArray": Prototype(result="ptr", arguments=("ptr", "i32", "ptr")),
        "_PyObjectArray_Free": Prototype(result="void", arguments=("ptr", "ptr")),
        "_PyOptimizer_Optimize": Prototype(result="i32", arguments=("ptr", "ptr", "ptr", "i32")),
        "PyNumber": Prototype(result="double", arguments=("ptr",)),
        "PyInt": Prototype(result="i32", arguments=("i32",)),
        "PyLong": Prototype(result="i64", arguments=("i64",)),
        "PyDict_Pop": Prototype(result="i32", arguments=("ptr", "ptr", "ptr")),
        "PyErr_Format": Prototype(result="ptr", arguments=("ptr", "ptr"), variadic=True),
    },
    alignments={},
    layout={},
    decode=lambda group: disassemble.operations(group.code, "i686"),
)
CALL = "e8 00 00 00 00"


def calling(before: str, after: str, symbol: str = "PyOne") -> StencilGroup:
    head = bytes.fromhex(before)
    patch = Patch(func="patch_x86_64_32rx", offsets=(len(head) + 1,), symbol=symbol, addend=-4)
    return group(f"{before} {CALL} {after}", patch)


def verdict(left: StencilGroup, right: StencilGroup, *, series: str = "3.14", runs: int = 0, entry: str = "") -> Proof:
    return prove.prove(left, right, replace(SETTING, series=series, runs=runs, entry=entry or None))


PROVED = {
    "other instructions": ("ff 44 24 04", "83 44 24 04 01"),  # inc [esp+4]; add [esp+4], 1
    "a register that is given back": ("53 31 db 5b", "90"),
    "registers that are nobody's": ("31 c0 31 c9 31 d2", "90"),
    "a word, and its halves": (
        "8b 44 24 04 8b 08 89 48 04",  # eax = [esp+4]; ecx = [eax]; [eax+4] = ecx
        "8b 44 24 04 0f b7 48 02 0f b7 10 66 89 48 06 66 89 50 04",
    ),
    "an argument, and its spill": (
        "8b 44 24 04 8b 4c 24 08 89 4c 24 04 89 44 24 08",  # [esp+4], [esp+8] = [esp+8], [esp+4]
        "50 8b 44 24 08 89 04 24 8b 44 24 0c 89 44 24 08 8b 04 24 89 44 24 0c 58",
    ),
    "a sum by the x87": (
        "8b 44 24 04 dd 40 08 dc 40 10 dd 58 08",  # fld [eax+8]; fadd [eax+0x10]; fstp [eax+8]
        "8b 44 24 04 dd 40 10 dd 40 08 d9 c9 de c1 dd 58 08",  # fld; fld; fxch; faddp
    ),
    "a difference, the other way round": (
        "8b 44 24 04 dd 40 08 dc 60 10 dd 58 08",  # fsub
        "8b 44 24 04 dd 40 10 dc 68 08 dd 58 08",  # fsubr
    ),
    "a comparison by the x87": (
        # fld; fldz; fucomi; fstp st(1); fstp st(0); jne
        "8b 44 24 04 dd 40 08 d9 ee db e9 dd d9 dd d8 75 04 ff 44 24 04",
        "8b 44 24 04 dd 40 08 d9 ee df e9 dd d8 0f 85 04 00 00 00 ff 44 24 04",  # fucompi
    ),
    "what is a prefix of 64 bits": ("48 ff 44 24 04", "ff 44 24 04"),  # dec eax; inc [esp+4]
    "a loop that counts, and one with a pointer": (
        "8b 4c 24 04 31 c0 c7 04 01 00 00 00 00 83 c0 04 83 f8 40 75 f1",
        "8b 44 24 04 8d 48 40 c7 00 00 00 00 00 83 c0 04 39 c8 75 f3",
    ),
}
REFUSED = {
    "another number": ("83 44 24 04 01", "83 44 24 04 02"),
    "another argument": ("83 44 24 04 01", "83 44 24 08 01"),
    "a register that is not given back": ("90", "31 db"),
    "a stack pointer that is not given back": ("90", "50"),
    "a write above the arguments": ("90", "89 44 24 10"),
    "a write to where the address to return to is": ("90", "89 04 24"),
    "a store that is missing": ("8b 44 24 04 89 00", "8b 44 24 04 90 90"),
    "writes whose order counts where they overlap": (
        "8b 44 24 04 8b 4c 24 08 c7 00 01 00 00 00 c7 01 02 00 00 00",
        "8b 44 24 04 8b 4c 24 08 c7 01 02 00 00 00 c7 00 01 00 00 00",
    ),
    "another operation of the x87": (
        "8b 44 24 04 dd 40 08 dc 40 10 dd 58 08",
        "8b 44 24 04 dd 40 08 dc 48 10 dd 58 08",
    ),
    "a difference with its sides swapped": (
        "8b 44 24 04 dd 40 08 dc 60 10 dd 58 08",
        "8b 44 24 04 dd 40 08 dc 68 10 dd 58 08",
    ),
    "a narrower number": ("8b 44 24 04 dd 40 08 dd 58 08", "8b 44 24 04 dd 40 08 d9 58 08"),
    "something left on the x87's stack": ("d9 ee", "d9 ee"),
    "something taken from the x87's stack": ("dd d8", "dd d8"),
    "more than the x87's stack holds": ("d9 ee" * 9 + "dd d8" * 9, "d9 ee" * 9 + "dd d8" * 9),
    "flags of a comparison on which manuals disagree": (
        "d9 ee d9 e8 df f1 dd d8 78 00",
        "d9 ee d9 e8 df f1 dd d8 78 00",
    ),
    "a prefix that is none of 32 bits": ("f3 40", "f3 40"),
    "a segment": ("64 a1 00 00 00 00", "64 a1 00 00 00 00"),
    "an address of 16 bits": ("67 8b 07", "67 8b 07"),
    "the x87's control word": ("d9 6c 24 04", "d9 6c 24 04"),
}


@pytest.mark.parametrize("name", PROVED)
def test_is_proved(name: str) -> None:
    left, right = PROVED[name]
    assert_proved(verdict(group(left), group(right)))


@pytest.mark.parametrize("name", REFUSED)
def test_is_not_proved(name: str) -> None:
    left, right = REFUSED[name]
    assert_not_proved(verdict(group(left), group(right)))


PUSHED = "ff 74 24 08 ff 74 24 08"  # push [esp+8]; push [esp+8]: the two arguments, in their order


def test_a_callee_has_its_arguments_on_the_stack() -> None:
    plain = calling(PUSHED, "83 c4 08")
    moved = calling("8b 44 24 04 8b 4c 24 08 83 ec 08 89 04 24 89 4c 24 04", "83 c4 08")
    swapped = calling("8b 44 24 04 8b 4c 24 08 83 ec 08 89 0c 24 89 44 24 04", "83 c4 08")
    assert verdict(plain, moved).verdict is Verdict.PROVED
    assert verdict(plain, swapped).why == "argument 1 of PyOne may differ"
    # What is above its arguments is none of them.
    assert verdict(calling(f"50 {PUSHED}".replace("08", "0c"), "83 c4 0c"), plain).verdict is Verdict.PROVED


def test_a_callee_may_write_over_its_arguments_and_no_more() -> None:
    reused = calling(PUSHED, "58 59 89 44 24 04")  # pop eax; pop ecx; [esp+4] = eax
    assert verdict(reused, reused).verdict is Verdict.NOT_PROVED
    kept = calling(f"ff 74 24 04 {PUSHED.replace('08', '0c')}", "83 c4 08 58 89 44 24 04")
    assert verdict(kept, calling(PUSHED, "83 c4 08")).verdict is Verdict.PROVED


def test_eight_bytes_take_two_words() -> None:
    def call(before: str) -> StencilGroup:
        return calling(f"8b 44 24 04 83 ec 08 {before}", "83 c4 08", "PyFloat_FromDouble")

    loaded = call("dd 40 08 dd 1c 24")  # fld [eax+8]; fstp [esp]
    moved = call("8b 48 08 89 0c 24 8b 48 0c 89 4c 24 04")
    half = call("8b 48 08 89 0c 24 8b 48 10 89 4c 24 04")
    assert verdict(loaded, loaded).verdict is Verdict.PROVED
    assert verdict(moved, half).verdict is Verdict.NOT_PROVED
    # A number that is loaded may be made quiet, so it is not what was there.
    assert verdict(loaded, moved).verdict is Verdict.NOT_PROVED


def test_a_result_of_eight_bytes_is_in_two_registers() -> None:
    used = "83 c4 08 89 54 24 04"  # [esp+4] = edx
    wide = calling(PUSHED, used, "PyLong")
    narrow = calling("90 90 ff 74 24 08 ff 74 24 08", used, "PyInt")
    assert verdict(wide, wide).verdict is Verdict.PROVED
    assert verdict(narrow, narrow).verdict is Verdict.NOT_PROVED


def test_a_result_of_floating_point_is_on_the_x87s_stack() -> None:
    # push [esp+4]; call; add esp, 4; eax = [esp+4]; fstp [eax+8]
    plain = calling("ff 74 24 04", "83 c4 04 8b 44 24 04 dd 58 08", "PyNumber")
    other = calling("8b 44 24 04 50", "59 8b 4c 24 04 dd 59 08", "PyNumber")
    assert verdict(plain, other).verdict is Verdict.PROVED
    assert verdict(plain, calling("ff 74 24 08", "83 c4 04 8b 44 24 04 dd 58 08", "PyNumber")).why == (
        "argument 1 of PyNumber may differ"
    )
    kept = calling("ff 74 24 04", "83 c4 04", "PyNumber")
    assert "the stack of floating point registers" in verdict(kept, kept).why


def borrowing(room: int = 0x30, scratch: int = 8, between: str = "", freed: int = 4) -> StencilGroup:
    """Give an array of eleven words in the frame away, from its second on, do something, and free what came back."""
    # sub esp, ROOM; eax = esp + SCRATCH; push eax; push [esp+...], twice; call; add esp, 12; BETWEEN
    first = f"83 ec {room:02x} 8d 44 24 {scratch:02x} 50 ff 74 24 {room + 12:02x} ff 74 24 {room + 12:02x}"
    # eax -= 4; ecx = esp + FREED; push ecx; push eax; call; add esp, ROOM + 8
    second = f"83 c4 0c {between} 83 e8 04 8d 4c 24 {freed:02x} 51 50"
    places = [len(bytes.fromhex(first)), len(bytes.fromhex(f"{first} {CALL} {second}"))]
    names = "_PyObjectArray_FromStackRefArray", "_PyObjectArray_Free"
    patches = tuple(
        Patch(func="patch_x86_64_32rx", offsets=(place + 1,), symbol=name, addend=-4)
        for place, name in zip(places, names, strict=True)
    )
    return group(f"{first} {CALL} {second} {CALL} 83 c4 {room + 8:02x}", *patches)


def test_what_a_callee_keeps_is_the_callees() -> None:
    plain = borrowing()
    assert verdict(plain, borrowing(room=0x38, scratch=0x0C, freed=8)).verdict is Verdict.PROVED
    refused = {
        "8b 54 24 08": "a part of the frame that a callee has kept a pointer to",  # edx = [esp+8]
        "89 54 24 2c": "a part of the frame that a callee has kept a pointer to",  # [esp+0x2c] = edx
    }
    for between, why in refused.items():
        odd = borrowing(between=between)
        assert verdict(odd, odd).why == f"unsupported: {why}"
    assert verdict(plain, borrowing(between="8b 14 24")).verdict is Verdict.PROVED  # edx = [esp], which is beside it
    other = borrowing(freed=8)
    assert "that no callee has kept" in verdict(other, other).why
    for wrong in (borrowing(scratch=0x0C, freed=8), borrowing(room=0x28)):
        assert "not to an array in the frame" in verdict(wrong, wrong).why


def optimizing(room: int, used: str) -> StencilGroup:
    """Have an address in the frame written to where a result is positive, and use what is there."""
    # sub esp, ROOM; lea eax, [esp]; push 0; push eax; push eax; push eax; call; add esp, 16; USED; add esp, ROOM
    head = f"83 ec {room:02x} 8d 04 24 6a 00 50 31 c0 50 50"
    place = len(bytes.fromhex(head))
    patch = Patch(func="patch_x86_64_32rx", offsets=(place + 1,), symbol="_PyOptimizer_Optimize", addend=-4)
    return group(f"{head} {CALL} 83 c4 10 8b 0c 24 83 c4 {room:02x} {used}", patch)


def test_what_is_written_where_a_result_is_positive_is_unknown_elsewhere() -> None:
    # test eax, eax; jle +4; [esp+4] = ecx: and without the test
    good, bad = "85 c0 7e 04 89 4c 24 04", "89 4c 24 04"
    assert verdict(optimizing(8, good), optimizing(8, good)).verdict is Verdict.PROVED
    assert verdict(optimizing(8, good), optimizing(12, good)).verdict is Verdict.PROVED
    # What was there before is at another place of the frame.
    assert verdict(optimizing(8, bad), optimizing(12, bad)).verdict is Verdict.NOT_PROVED
    other = "85 c0 7f 04 89 4c 24 04"
    assert verdict(optimizing(8, other), optimizing(12, other)).verdict is Verdict.NOT_PROVED


def test_runs_have_the_operands_that_the_uop_has() -> None:
    def adding(number: int) -> StencilGroup:
        # eax = oparg; [esp+4] += NUMBER where it is 3
        code = f"b8 00 00 00 00 83 f8 03 75 05 83 44 24 04 {number:02x}"
        patch = Patch(func="patch_32", offsets=(1,), value=HoleValue.OPARG)
        return group(code, patch)

    def named(name: str) -> Proof:
        return verdict(replace(adding(1), name=name), replace(adding(2), name=name), runs=40)

    assert named("_UOP_r00").verdict is Verdict.DIFFERS
    assert named("_SET_FUNCTION_ATTRIBUTE_r01").verdict is Verdict.AGREED


def test_a_run_that_reads_beside_the_data_is_none() -> None:
    # eax = [esp+4] & 0x7c; eax = [data + eax]; [esp+8] = eax: of a table of two words
    code = "8b 44 24 04 83 e0 7c 8b 80 00 00 00 00 89 44 24 08"
    patch = Patch(func="patch_32", offsets=(9,), value=HoleValue.DATA)
    tables = [bytes.fromhex(text) for text in ("0100000002000000", "010000000200000003000000")]
    left, right = (group(code, patch, data=table) for table in tables)
    found = verdict(left, right, runs=400)
    assert (found.verdict, found.why) == (Verdict.NOT_PROVED, "the argument at 4 on the stack may differ")
    assert 0 < found.runs < 100


def test_the_x87_is_empty_at_calls() -> None:
    left = calling(f"d9 ee {PUSHED}", "83 c4 08 dd d8")
    assert "the stack of floating point registers" in verdict(left, left).why


def test_how_many_arguments_are_on_the_stack_follows_from_the_uop() -> None:
    code = f"8b 44 24 0c {PUSHED} ff 50 08 83 c4 08"  # call [eax+8]
    other = f"8b 4c 24 0c {PUSHED} ff 51 08 83 c4 08"
    assert "how many" in verdict(group(code), group(other)).why
    name = "_CALL_BUILTIN_O_r03"
    assert verdict(group(code, name=name), group(other, name=name)).verdict is Verdict.PROVED
    swapped = other.replace("ff 74 24 08 ff 74 24 08", "ff 74 24 04 ff 74 24 0c")
    assert verdict(group(code, name=name), group(swapped, name=name)).verdict is Verdict.NOT_PROVED


def test_a_format_with_arguments_of_two_words() -> None:
    text = b"%lld %ld\0"
    patch = Patch(func="patch_32", offsets=(13,), value=HoleValue.DATA)

    def call(before: str) -> StencilGroup:
        # push the last, the two words before it, the format, the exception
        head = f"{before} 68 00 00 00 00 50"
        place = len(bytes.fromhex(head))
        called = Patch(func="patch_x86_64_32rx", offsets=(place + 1,), symbol="PyErr_Format", addend=-4)
        return group(f"{head} {CALL} 83 c4 14", patch, called, data=text)

    plain = call("50 ff 74 24 0c ff 74 24 14 90 90 90")
    assert plain.code.body[12] == 0x68
    other = call("50 ff 74 24 10 ff 74 24 14 90 90 90")
    assert verdict(plain, plain).verdict is Verdict.PROVED
    assert verdict(plain, other).verdict is Verdict.NOT_PROVED


def test_a_format_that_is_elsewhere_asks_for_one_word() -> None:
    def call(before: str) -> StencilGroup:
        return calling(f"8b 44 24 04 {before} ff 30 50", "83 c4 10", "PyErr_Format")

    plain = call("ff 74 24 08 ff 74 24 10")  # push [esp+8]; push [esp+0x10]; push [eax]; push eax
    assert verdict(plain, call("ff 74 24 0c ff 74 24 10")).verdict is Verdict.PROVED
    assert verdict(plain, call("ff 74 24 08 ff 74 24 0c")).verdict is Verdict.NOT_PROVED
    # It is the callee's, and what is above is not.
    for taken, expected in ((8, Verdict.NOT_PROVED), (12, Verdict.PROVED)):
        # add esp, TAKEN; ecx = [esp]; add esp, the rest; [esp+4] = ecx
        after = f"83 c4 {taken:02x} 8b 0c 24 83 c4 {16 - taken:02x} 89 4c 24 04"
        used = calling("8b 44 24 04 50 50 ff 30 50", after, "PyErr_Format")
        assert verdict(used, used).verdict is expected


def test_operands_of_64_bits_are_two_holes() -> None:
    def code(low: HoleValue, high: HoleValue) -> StencilGroup:
        # eax = low; ecx = high; [esp+4] = eax; [esp+8] = ecx
        patches = tuple(
            Patch(func="patch_32", offsets=(offset,), value=value) for offset, value in ((1, low), (6, high))
        )
        return group("b8 00 00 00 00 b9 00 00 00 00 89 44 24 04 89 4c 24 08", *patches)

    plain = code(HoleValue.OPERAND0_LO, HoleValue.OPERAND0_HI)
    assert verdict(plain, plain).verdict is Verdict.PROVED
    assert verdict(plain, code(HoleValue.OPERAND0_HI, HoleValue.OPERAND0_LO)).verdict is Verdict.NOT_PROVED
    assert verdict(plain, code(HoleValue.OPERAND0_LO, HoleValue.OPERAND1_HI)).verdict is Verdict.NOT_PROVED


def test_3_13_passes_on_registers_and_keeps_none() -> None:
    assert verdict(group("43"), group("83 c3 01"), series="3.13").verdict is Verdict.PROVED  # inc ebx
    assert verdict(group("43"), group("90"), series="3.13").verdict is Verdict.NOT_PROVED
    assert verdict(group("31 f6"), group("90"), series="3.13").verdict is Verdict.PROVED
    assert verdict(group("31 f6"), group("90")).verdict is Verdict.NOT_PROVED


def test_a_shim_that_jumps_passes_on_its_arguments() -> None:
    same = verdict(group("90"), group("66 90"), entry="_UOP_r00")
    other = verdict(group("90"), group("ff 44 24 04"), entry="_UOP_r00")
    assert (same.verdict, other.verdict) == (Verdict.PROVED, Verdict.NOT_PROVED)


def test_a_difference_is_shown_by_a_run() -> None:
    found = verdict(group("83 44 24 04 01"), group("83 44 24 04 02"), runs=8)
    assert found.verdict is Verdict.DIFFERS
    # Only where an argument is 5 is there a difference: the solver's values are what shows it.
    rare = verdict(group("90"), group("81 7c 24 04 05 43 21 00 75 04 ff 44 24 08"), runs=8)
    assert rare.verdict is Verdict.DIFFERS
    assert rare.difference is not None
    assert "the solver's values" in rare.difference.what
    # The x87 runs, too, and the same comes out of both.
    sums = ("8b 44 24 04 dd 40 08 dc 40 10 dd 58 08", "8b 44 24 04 dd 40 08 dc 48 10 dd 58 08")
    assert verdict(group(sums[0]), group(sums[1]), runs=40).verdict is Verdict.DIFFERS
