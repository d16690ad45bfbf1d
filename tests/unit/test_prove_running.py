"""Runs in unicorn: what a random pointer leads to where CPython has no object is not a difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stencilkit import disassemble
from stencilkit.model.stencil import HoleValue, Patch, PatchForm, Stencil, StencilGroup
from stencilkit.prove import conventions, emulate, running, x86
from stencilkit.prove.code import Code
from stencilkit.prove.running import EndlessError, Event
from stencilkit.prove.seeds import HEAP, Seed
from stencilkit.prove.world import World
from tests.proofs import LINUX, group

CODE, DATA, SLOTS = running._CODE, running._DATA, running._SLOTS


def ran(one: StencilGroup, seed: Seed) -> list[Event]:
    """Run one stencil of x86_64."""
    passing = conventions.passing(LINUX, "3.15")
    assert passing is not None
    operations = {op.offset: op for op in disassemble.operations(one.code, "x86_64")}
    code = Code(operations, one.code, one.data, one.name, {}, shared_data=False, side="left")
    emulator = emulate.Emulator(x86.REGISTERS[64], emulate.MODES["x86_64"])
    return emulator.compare(code, code, World(conventions.CONVENTIONS[LINUX], passing, {}, "3.15", {}), seed)[0]


@pytest.mark.parametrize("place", [CODE, CODE + 0x800, running._EXITS, DATA - 8, DATA + 0x10, SLOTS - 8])
@pytest.mark.parametrize("code", ["48 8b 03", "48 89 03", "01 03"])  # rax = [rbx]; [rbx] = rax; [rbx] += eax
def test_nothing_of_cpython_is_where_the_code_is(place: int, code: str) -> None:
    one = replace(group(code), data=Stencil(body=bytes(16), patches=()))
    with pytest.raises(EndlessError, match="an access to code, or beside the stencil's data"):
        ran(one, Seed(1, {"rbx": place}))
    assert ran(one, Seed(1, {"rbx": HEAP}))[-1][0] == "exit CONTINUE"


@pytest.mark.parametrize("place", [DATA, SLOTS])
def test_data_and_slots_are_read_and_not_written(place: int) -> None:
    one = replace(group("48 8b 03"), data=Stencil(body=bytes(16), patches=()))
    assert ran(one, Seed(1, {"rbx": place}))[-1][0] == "exit CONTINUE"
    with pytest.raises(EndlessError, match="an access to code"):
        ran(replace(one, code=group("48 89 03").code), Seed(1, {"rbx": place}))


@pytest.mark.parametrize("code", ["ff d3", "ff e3", "ff 13", "ff 23"])  # call rbx; jmp rbx; call [rbx]; jmp [rbx]
def test_a_random_pointer_does_not_lead_back_into_the_stencil(code: str) -> None:
    seed = Seed(1, {"rbx": HEAP if code[3] in "12" else CODE}, {HEAP: CODE})
    with pytest.raises(EndlessError, match="a random pointer to the code"):
        ran(group(f"90 {code}"), seed)


def test_a_table_of_jumps_leads_into_the_stencil() -> None:
    # rax = the data; jmp [rax], which leads to the end
    place = Patch(func="patch_64", offsets=(2,), value=HoleValue.DATA)
    entry = Patch(func="patch_64", offsets=(0,), value=HoleValue.CODE, addend=12)
    body = group("48 b8 00 00 00 00 00 00 00 00 ff 20 90", place).code
    one = StencilGroup(name="_UOP_r00", code=body, data=Stencil(body=bytes(8), patches=(entry,)))
    assert ran(one, Seed(1))[-1][0] == "exit CONTINUE"


@pytest.mark.parametrize("code", ["ff d3 90", "ff d3"])  # the last one has nothing behind it
def test_a_call_comes_back(code: str) -> None:
    assert [event[0] for event in ran(group(code), Seed(1, {"rbx": HEAP}))] == [f"call {HEAP:#x}", "exit CONTINUE"]


def test_a_function_within_the_stencil_returns() -> None:
    # call 8; jmp to the end; nop; 8: ret
    assert [event[0] for event in ran(group("e8 03 00 00 00 eb 02 90 c3"), Seed(1))] == ["exit CONTINUE"]


@pytest.mark.parametrize(("callee", "is_new"), [("_Py_MakeCoro", True), ("PyObject_GetIter", False)])
def test_a_new_object_is_apart_from_all_others(callee: str, is_new: bool) -> None:
    # call callee; if rax is not NULL: [rax] = rbx
    patch = Patch(func="patch_x86_64_32rx", offsets=(2,), form=PatchForm.GOT_SLOT, symbol=callee, addend=-4)
    one = group("ff 15 00 00 00 00 48 85 c0 74 03 48 89 18", patch)
    written = [row for number in range(1, 60) for row in ran(one, Seed(3 * number + 1, {"rbx": 1}))[-1][1]]
    places = {int(str(row).partition("=")[0], 16) for row in written if str(row).startswith("0x")}
    assert places
    assert all(running._MADE <= place < HEAP for place in places) is is_new
