"""Proofs over jumps through a table in the data: every entry is a way on, and nothing beside the table is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from stencilkit import disassemble, prove
from stencilkit.model.proof import Proof, Prototype, Verdict
from stencilkit.model.stencil import HoleValue, Patch, Stencil, StencilGroup
from tests.proofs import assert_not_proved, assert_proved, group

SETTING = prove.Setting(
    series="3.13",
    triple="x86_64-unknown-linux-gnu",
    arch="x86_64",
    entry=None,
    prototypes={"PyOne": Prototype(result="ptr", arguments=("ptr",))},
    alignments={},
    layout={},
    decode=lambda group: disassemble.operations(group.code, "x86_64"),
)
WINDOWS = replace(
    SETTING,
    triple="i686-pc-windows-msvc",
    arch="i686",
    decode=lambda group: disassemble.operations(group.code, "i686"),
)

MASK = "41 83 e4 03"  # and r12d, 3
# lea rax, [rip + table]; movsxd rcx, dword ptr [rax + 4*r12]; add rcx, rax; jmp rcx
JUMP = "48 8d 05 00 00 00 00 4a 63 0c a0 48 01 c1 ff e1"
START = len(bytes.fromhex(JUMP))
# mov r13d, 5; jmp to the end, and so on for 6, 7 and 8.
BLOCKS = "41 bd 05 00 00 00 eb 16 41 bd 06 00 00 00 eb 0e 41 bd 07 00 00 00 eb 06 41 bd 08 00 00 00"
PLACES = (0, 8, 16, 24)
SAME = "45 8d 6c 24 05"  # lea r13d, [r12 + 5]


def jumping(
    places: Iterable[int] = PLACES, before: str = MASK, table: int = 0, blocks: str = BLOCKS, name: str = "_UOP"
) -> StencilGroup:
    """Jump through a table of 32-bit distances from its start to these places in the blocks."""
    lead = len(bytes.fromhex(before))
    entries = tuple(
        # A distance is patched in relative to its own place; the code adds the table's start.
        Patch(func="patch_32r", offsets=(4 * number,), value=HoleValue.CODE, addend=lead + START + place + 4 * number)
        for number, place in enumerate(places)
    )
    lea = Patch(func="patch_32r", offsets=(lead + 3,), value=HoleValue.DATA, addend=table - 4)
    made = group(f"{before} {JUMP} {blocks}", lea, name=name)
    return replace(made, data=Stencil(body=bytes(4 * len(entries)), patches=entries))


def verdict(left: StencilGroup, right: StencilGroup, setting: prove.Setting = SETTING) -> Proof:
    return prove.prove(left, right, setting)


def test_a_jump_through_a_table_has_a_way_on_for_each_entry() -> None:
    plain = group(f"{MASK} {SAME}")
    assert_proved(verdict(jumping(), plain))
    assert_proved(verdict(plain, jumping()))
    # The last block ends with the code, so the end may be in the table; r13 is set before.
    ends = jumping((0, 8, 16, 30), before=f"41 bd 08 00 00 00 {MASK}")
    assert_proved(verdict(ends, plain))
    assert_not_proved(verdict(jumping((0, 8, 30, 24), before=f"41 bd 08 00 00 00 {MASK}"), plain))


@pytest.mark.parametrize("places", [row for row in itertools.permutations(PLACES) if row != PLACES], ids=str)
def test_entries_that_are_swapped_are_not_proved(places: tuple[int, ...]) -> None:
    assert_not_proved(verdict(jumping(places), jumping()))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("by", [-8, -1, 2, 6, 8, 1 << 31])
def test_an_entry_that_is_another_one_is_not_proved(number: int, by: int) -> None:
    places = [*PLACES]
    places[number] += by
    assert_not_proved(verdict(jumping(places), group(f"{MASK} {SAME}")))


@pytest.mark.parametrize("table", [-4, -1, 1, 4, 12])
def test_a_table_that_is_elsewhere_is_not_proved(table: int) -> None:
    found = verdict(jumping(table=table), group(f"{MASK} {SAME}"))
    assert_not_proved(found)


def test_an_index_beside_the_table_is_not_modelled() -> None:
    # and r12d, 7; and nothing at all: where the index is bounded by a branch before, it is.
    for before in ("41 83 e4 07", "45 89 e4"):
        found = verdict(jumping(before=before), group(f"{before} {SAME}"))
        assert found.verdict is Verdict.NOT_PROVED
        assert found.why == "unsupported: a jump through a table to what may be beside it"
    # mov r12d, r12d; cmp r12d, 3; ja to the end: jump or lea there.
    checked, more = "45 89 e4 41 83 fc {} 77 {:02x}", START + 30
    plain = group(f"{checked.format('03', 5)} {SAME}")
    assert_proved(verdict(jumping(before=checked.format("03", more)), plain))
    assert_not_proved(verdict(jumping(before=checked.format("04", more)), plain))
    assert_not_proved(verdict(jumping(before=checked.format("02", more)), plain))


def test_blocks_may_be_in_another_order() -> None:
    # mov r13d, 8 first: the table says which is which.
    other = BLOCKS.replace("bd 05", "bd 09").replace("bd 08", "bd 05").replace("bd 09", "bd 08")
    assert_proved(verdict(jumping((24, 8, 16, 0), blocks=other), jumping()))
    # With equal tables, what they go to is another thing.
    assert_not_proved(verdict(jumping(blocks=other), jumping()))


def test_the_opargs_that_are_made_bound_an_index() -> None:
    # mov eax, oparg; tzcnt r12d, eax
    oparg = Patch(func="patch_32", offsets=(1,), value=HoleValue.OPARG)

    def counting(made: StencilGroup) -> StencilGroup:
        return replace(made, code=replace(made.code, patches=(oparg, *made.code.patches)))

    count = "b8 00 00 00 00 f3 44 0f bc e0"
    for name, series, expected in (
        ("_SET_FUNCTION_ATTRIBUTE", "3.13", Verdict.GIVEN),
        ("_SET_FUNCTION_ATTRIBUTE", "3.14", Verdict.NOT_PROVED),
        ("_UOP", "3.13", Verdict.NOT_PROVED),
    ):
        table, plain = counting(jumping(before=count, name=name)), counting(group(f"{count} {SAME}", name=name))
        assert verdict(table, plain, replace(SETTING, series=series)).verdict is expected
        swapped = counting(jumping((0, 8, 24, 16), before=count, name=name))
        assert_not_proved(verdict(swapped, plain, replace(SETTING, series=series)))
        # The oparg 8 has no entry.
        short = counting(jumping((0, 8, 16), before=count, name=name))
        assert_not_proved(verdict(short, plain, replace(SETTING, series=series)))


def test_a_table_of_addresses() -> None:
    def absolute(places: tuple[int, ...]) -> StencilGroup:
        # and edi, 3; jmp [4*edi + table]; mov ebx, 5; jmp to the end, and so on for 6, 7 and 8.
        code = "83 e7 03 ff 24 bd 00 00 00 00"
        blocks = "bb 05 00 00 00 eb 13 bb 06 00 00 00 eb 0c bb 07 00 00 00 eb 05 bb 08 00 00 00"
        entries = tuple(
            Patch(func="patch_32", offsets=(4 * number,), value=HoleValue.CODE, addend=10 + 7 * place)
            for number, place in enumerate(places)
        )
        made = group(f"{code} {blocks}", Patch(func="patch_32", offsets=(6,), value=HoleValue.DATA))
        return replace(made, data=Stencil(body=bytes(4 * len(places)), patches=entries))

    plain = group("83 e7 03 8d 5f 05")  # lea ebx, [edi + 5]
    assert_proved(verdict(absolute((0, 1, 2, 3)), plain, WINDOWS))
    for places in ((1, 0, 2, 3), (0, 1, 3, 2), (1, 2, 3, 0), (0, 1, 2, 2), (0, 1, 2), (0, 0, 2, 3)):
        assert_not_proved(verdict(absolute(places), plain, WINDOWS))


def test_what_is_made_from_an_entry_in_another_way_is_not_modelled() -> None:
    # movzx for movsxd (mov ecx, [rax + 4*r12]): the upper half is lost.
    zeroes = jumping()
    body = zeroes.code.body.replace(bytes.fromhex("4a 63 0c a0"), bytes.fromhex("42 8b 0c a0"))
    assert_not_proved(verdict(replace(zeroes, code=replace(zeroes.code, body=body)), group(f"{MASK} {SAME}")))
    # Two entries, added up: movsxd rsi, [rax + 4*r13]; add rcx, rsi
    masks = "41 83 e4 07 41 83 e5 07"
    many = jumping((0,) * 9, before=masks)
    body = many.code.body.replace(bytes.fromhex("48 01 c1"), bytes.fromhex("4a 63 34 a8 48 01 f1"))
    found = verdict(replace(many, code=replace(many.code, body=body)), group(masks))
    assert found.why == "unsupported: a jump through a table of more than 64 entries"


def test_a_table_is_not_the_same_beside_another_code() -> None:
    # lea rdi, [rip + table]; call PyOne: what the callee could read there are places in two codes.
    def passing(after: str) -> StencilGroup:
        call = Patch(func="patch_32r", offsets=(9,), symbol="PyOne", addend=-4)
        lea = Patch(func="patch_32r", offsets=(4,), value=HoleValue.DATA, addend=-4)
        made = group(f"50 48 8d 3d 00 00 00 00 e8 00 00 00 00 {after} 59", lea, call)
        entry = Patch(func="patch_32r", offsets=(0,), value=HoleValue.CODE, addend=8)
        return replace(made, data=Stencil(body=bytes(4), patches=(entry,)))

    assert_not_proved(verdict(passing("90"), passing("66 90")))


def test_code_is_not_read_or_written() -> None:
    def through(access: str) -> StencilGroup:
        # mov rax, [rip + data]: a place in the code
        load = Patch(func="patch_32r", offsets=(3,), value=HoleValue.DATA, addend=-4)
        made = group(f"48 8b 05 00 00 00 00 {access}", load)
        entry = Patch(func="patch_64", offsets=(0,), value=HoleValue.CODE, addend=2)
        return replace(made, data=Stencil(body=bytes(8), patches=(entry,)))

    # mov rcx, [rax]; mov [rax], rcx
    assert verdict(through("48 8b 08"), through("48 8b 08 90")).why == "unsupported: a load from the code"
    assert verdict(through("48 89 08"), through("48 89 08 90")).why == "unsupported: a write to the code"


def relaxing(
    places: Iterable[int] = PLACES, addend: int | None = None, value: HoleValue = HoleValue.CODE
) -> StencilGroup:
    """Fill the table with the function that fills it on x86_64 Windows; the code goes on behind the last block."""
    made = jumping(places, blocks=f"{BLOCKS}{' 90' * 12}")
    patches = tuple(
        replace(one, func="patch_x86_64_32rx", value=value, addend=one.addend if addend is None else addend)
        for one in made.data.patches
    )
    return replace(made, data=replace(made.data, patches=patches))


def test_a_table_may_be_filled_by_what_relaxes_instructions() -> None:
    plain = group(f"{MASK} {SAME}")
    assert_proved(verdict(relaxing(), plain))
    for places in ((0, 8, 24, 16), (8, 8, 16, 24), (0, 8, 16, 25)):
        assert_not_proved(verdict(relaxing(places), plain))
    # What is not where the code will be can be a number that is near, which it would take for an address.
    for changed in (relaxing(addend=1000), relaxing(addend=-1), relaxing(value=HoleValue.DATA)):
        found = verdict(changed, plain)
        assert found.why == "unsupported: data at a variable place"
    assert verdict(relaxing(), plain, WINDOWS).verdict is not Verdict.PROVED


def in_code(places: Iterable[int] = PLACES, by: int = 0, hole: int | None = None) -> StencilGroup:
    """Jump through a table behind the code, as on x86_64 macOS: distances from its start, without holes."""
    lead, blocks = len(bytes.fromhex(MASK)) + START, len(bytes.fromhex(BLOCKS))
    # The last block ends with a jump over the table.
    around = "eb 10"
    table = lead + blocks + 2
    lea = (table + by - (len(bytes.fromhex(MASK)) + 7)).to_bytes(4, "little", signed=True).hex(" ")
    rows = b"".join((lead + place - table).to_bytes(4, "little", signed=True) for place in places)
    jump = JUMP.replace("00 00 00 00", lea)
    ends = BLOCKS
    for old, new in (("eb 16", "eb 28"), ("eb 0e", "eb 20"), ("eb 06", "eb 18")):
        ends = ends.replace(old, new)
    patches = () if hole is None else (Patch(func="patch_32", offsets=(table + hole,), value=HoleValue.OPARG),)
    return group(f"{MASK} {jump} {ends} {around} {rows.hex(' ')}", *patches)


def test_a_table_in_the_code() -> None:
    plain = group(f"{MASK} {SAME}")
    assert_proved(verdict(in_code(), plain))
    assert_proved(verdict(plain, in_code()))
    for places in [row for row in itertools.permutations(PLACES) if row != PLACES]:
        assert_not_proved(verdict(in_code(places), plain))
    for by in (-4, -1, 1, 4):
        assert_not_proved(verdict(in_code(by=by), plain))
    # What a hole of the code holds is not what the body has there.
    for hole in range(0, 16, 4):
        assert_not_proved(verdict(in_code(hole=hole), plain))


def test_a_table_in_front_of_much_data() -> None:
    def longer(made: StencilGroup) -> StencilGroup:
        return replace(made, data=replace(made.data, body=made.data.body + bytes(range(1, 256)) * 2))

    plain = group(f"{MASK} {SAME}")
    assert_proved(verdict(longer(jumping()), plain))
    assert_not_proved(verdict(longer(jumping((0, 8, 24, 16))), plain))
    found = verdict(longer(jumping(before="41 83 e4 07")), group(f"41 83 e4 07 {SAME}"))
    assert found.why == "unsupported: a jump through a table to what may be beside it"


def test_a_text_may_be_behind_a_table() -> None:
    # lea rdi, [rip + text]; call PyOne
    def calling(text: bytes, table: int) -> StencilGroup:
        lea = Patch(func="patch_32r", offsets=(3,), value=HoleValue.DATA, addend=4 * table - 4)
        call = Patch(func="patch_32r", offsets=(8,), symbol="PyOne", addend=-4)
        made = group("48 8d 3d 00 00 00 00 e8 00 00 00 00", lea, call)
        entries = tuple(
            Patch(func="patch_32r", offsets=(4 * number,), value=HoleValue.CODE, addend=7) for number in range(table)
        )
        return replace(made, data=Stencil(body=bytes(4 * table) + text, patches=entries))

    assert_proved(verdict(calling(b"a text\0", 2), calling(b"a text\0", 1)))
    assert_not_proved(verdict(calling(b"a text\0", 2), calling(b"a tent\0", 1)))


@pytest.mark.parametrize(
    ("last", "hole", "is_read"),
    [("11", None, True), ("8b", None, False), ("11", 4, False), ("11", 5, False), ("11", 6, True), ("8b", 6, True)],
)
def test_what_may_be_relaxed_is_not_what_the_body_has(last: str, hole: int | None, *, is_read: bool) -> None:
    """Two bytes in front of a hole can change, and so can the last one of the code, where the next one has a hole."""

    def reading(before: str) -> StencilGroup:
        # mov ecx, [rip + number]; mov [r13], ecx; jmp to the end; number: 4 bytes; 8 more where there is a hole
        more = 0 if hole is None else 8
        lead = f"{before} 8b 0d 06 00 00 00 41 89 4d 00 eb {4 + more:02x}"
        place = len(bytes.fromhex(lead)) + (hole or 0)
        patch = Patch(func="patch_x86_64_32rx", offsets=(place,), value=HoleValue.DATA, addend=-4)
        return group(f"{lead} 44 33 22 {last} {'90 ' * more}", *(() if hole is None else (patch,)))

    found = verdict(reading(""), reading("90"))
    if is_read:
        assert_proved(found)
    else:
        assert found.why == "unsupported: a load from the code"
