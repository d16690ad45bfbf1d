"""Relocations -> holes: rows, and refusals with their reason."""

from __future__ import annotations

import pytest

from stencilkit import holes
from stencilkit.errors import ObjectError, RelocationError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.model.stencil import Hole, HoleValue, Operation
from stencilkit.objects import coff, elf, macho, stored

VALUES = frozenset(HoleValue)


def section(
    name: str = ".text", data: bytes = bytes(16), role: SectionRole = SectionRole.CODE, **more: object
) -> Section:
    return Section(name=name, role=role, data=data, **more)  # type: ignore[arg-type]


def relocation(kind: str, symbol: str = "_PyFoo", offset: int = 4, addend: int = -4, **more: bool) -> Relocation:
    return Relocation(offset=offset, kind=kind, symbol=symbol, addend=addend, **more)


def lower(kind: str, symbol: str = "_PyFoo", **more: int) -> Hole:
    obj = ObjectFile(sections=(section(relocations=(relocation(kind, symbol, **more),)),))  # type: ignore[arg-type]
    return holes.lower("_UOP", obj, VALUES).code_holes[0]


@pytest.mark.parametrize("kind", sorted(holes.TABLE))
def test_every_row_lowers_what_it_says(kind: str) -> None:
    row = holes.TABLE[kind]
    symbol = "_PyFoo" if row.values is None else f"_JIT_{min(row.values, key=lambda value: value.name).name}"
    hole = lower(kind, symbol)
    assert (hole.kind, hole.operation, hole.offset, hole.addend) == (kind, row.operation, 4, -4)
    assert (hole.value is HoleValue.GOT) == row.got


def test_values_are_told_from_symbols() -> None:
    assert (lower("R_X86_64_64", "_JIT_OPARG").value, lower("R_X86_64_64", "_JIT_OPARG").symbol) == (
        HoleValue.OPARG,
        None,
    )
    assert lower("R_X86_64_64", "_JIT_NO_SUCH_VALUE").symbol == "_JIT_NO_SUCH_VALUE"
    hole = lower("R_X86_64_GOTPCREL", "_JIT_OPARG")
    assert (hole.value, hole.symbol, hole.operation) == (HoleValue.GOT, "_JIT_OPARG", Operation.REL32)


@pytest.mark.parametrize("kind", sorted(holes.REFUSED))
def test_refusals_give_the_reason_and_the_place(kind: str) -> None:
    with pytest.raises(RelocationError) as caught:
        lower(kind)
    assert holes.REFUSED[kind] in caught.value.what
    assert caught.value.where == "uop _UOP, section .text, offset 0x4"
    assert caught.value.fix


def test_rows_have_names_that_parsers_give() -> None:
    """A row under a name that no parser ever gives would never be used: the kind would be refused as unknown."""
    given = {name for kinds in elf._RELOCATION_NAMES.values() for name in kinds.values()}
    given |= {name for machine in macho._MACHINES.values() for name in machine.kinds}
    given |= {f"IMAGE_REL_{machine}_{name}" for machine, kinds in coff._MACHINES.values() for name in kinds.values()}
    assert holes.TABLE.keys() | holes.REFUSED.keys() <= given
    assert not holes.TABLE.keys() & holes.REFUSED.keys()


LDR_Q0, STR_Q0, LDR_D0, STR_S0 = 0x3DC00100, 0x3D800100, 0xFD400100, 0xBD000100
LDR_B0, LDR_X0, ADD_X0, PRFM = 0x3D400100, 0xF9400100, 0x91000100, 0xF9800100
ARM_LOW_12 = sorted(kind for kind, row in holes.TABLE.items() if "LO12" in row.operation.name)


def access(kind: str, word: int) -> ObjectFile:
    text = section(data=bytes(4) + word.to_bytes(4, "little"), relocations=(relocation(kind),))
    return ObjectFile(sections=(text,))


@pytest.mark.parametrize("kind", ARM_LOW_12)
def test_128_bit_accesses_are_refused_whatever_the_kind_says(kind: str) -> None:
    """jit.c would scale them by 1 instead of 16, and asserts in debug builds only."""
    for word in (LDR_Q0, STR_Q0):
        with pytest.raises(RelocationError, match="cannot scale 128-bit accesses") as caught:
            holes.lower("_UOP", access(kind, word), VALUES)
        assert caught.value.where == "uop _UOP, section .text, offset 0x4"
    for word in (LDR_D0, STR_S0, LDR_B0, LDR_X0, ADD_X0, PRFM):
        assert holes.lower("_UOP", access(kind, word), VALUES).code_holes


def constants(kind: str, word: int, *sizes: int, addend: int = 0) -> ObjectFile:
    """Make code that refers to the last of some constants, each in a section of its own."""
    text = section(data=word.to_bytes(4, "little"), relocations=(relocation(kind, f"c{len(sizes)}", 0, addend),))
    data = [
        section(f".rodata.cst{size}", bytes(size), SectionRole.DATA, symbols=(Symbol(name=f"c{index}", offset=0),))
        for index, size in enumerate(sizes, start=1)
    ]
    return ObjectFile(sections=(text, *data))


@pytest.mark.parametrize("kind", ["R_AARCH64_LDST64_ABS_LO12_NC", "ARM64_RELOC_PAGEOFF12"])
def test_constants_that_a_scaled_load_cannot_reach_are_refused(kind: str) -> None:
    """A place that is not a multiple of 8 would be rounded down: `ldr d0` would load half of each of two constants."""
    with pytest.raises(RelocationError, match=r"8 bytes at 0x4 of the stencil's data are not aligned") as caught:
        holes.lower("_UOP", constants(kind, LDR_D0, 4, 8), VALUES)
    assert caught.value.where == "uop _UOP, offset 0x0"
    with pytest.raises(RelocationError, match="8 bytes at 0x4"):
        holes.lower("_UOP", constants(kind, LDR_D0, 8, 8, addend=-4), VALUES)
    for word, sizes, addend in ((LDR_D0, (8, 8), 0), (STR_S0, (8, 4), 0), (LDR_D0, (4, 8), 4), (LDR_B0, (3, 1), 0)):
        assert holes.lower("_UOP", constants(kind, word, *sizes, addend=addend), VALUES).code_holes
    # An addition of the address is not scaled, and a place outside the stencil has an alignment of its own.
    assert holes.lower("_UOP", constants(kind, ADD_X0, 4, 8), VALUES).code_holes
    assert holes.lower("_UOP", access(kind, LDR_D0), VALUES).code_holes


def test_slots_are_aligned_wherever_the_symbol_is() -> None:
    text = section(
        data=LDR_X0.to_bytes(4, "little") + bytes(12),
        symbols=(Symbol(name="helper", offset=12),),
        relocations=(relocation("R_AARCH64_LD64_GOT_LO12_NC", "helper", 0, 0),),
    )
    assert holes.lower("_UOP", ObjectFile(sections=(text,)), VALUES).code_holes


def test_code_is_aligned_to_instructions_only() -> None:
    kind = "R_AARCH64_LDST64_ABS_LO12_NC"
    text = section(
        data=LDR_D0.to_bytes(4, "little") + bytes(12),
        symbols=(Symbol(name="pool", offset=8),),
        relocations=(relocation(kind, "pool", 0, 0),),
    )
    with pytest.raises(RelocationError, match="8 bytes at 0x8 of the stencil's code are not aligned"):
        holes.lower("_UOP", ObjectFile(sections=(text,)), VALUES)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(RelocationError, match="has no row for it"):
        lower("R_X86_64_NEW")


def test_absolute_32_bits_are_for_small_values_only() -> None:
    assert lower("R_X86_64_32", "_JIT_TARGET").operation is Operation.ABS32
    for kind, symbol in (("R_X86_64_32", "_PyFoo"), ("R_X86_64_32S", "_JIT_TARGET"), ("R_X86_64_32", "_JIT_EXECUTOR")):
        with pytest.raises(RelocationError, match="mcmodel"):
            lower(kind, symbol)


@pytest.mark.parametrize("offset", [-1, 9, 16, 1 << 40])
def test_a_relocation_outside_its_section_is_an_error(offset: int) -> None:
    with pytest.raises(RelocationError, match="outside its section"):
        lower("R_X86_64_64", offset=offset)


def test_sections_are_laid_out_in_order() -> None:
    obj = ObjectFile(
        sections=(
            section(data=bytes(8), symbols=(Symbol(name="_JIT_ENTRY", offset=0),)),
            section(".rodata", b"abc", SectionRole.DATA, symbols=(Symbol(name="s", offset=1),)),
            section(".text.cold", bytes(4), relocations=(relocation("R_X86_64_PC32", offset=0),)),
            section(".rodata.2", b"de", SectionRole.DATA, padding=5, symbols=(Symbol(name="t", offset=0),)),
        )
    )
    unit = holes.lower("_UOP", obj, VALUES)
    assert (len(unit.code), unit.data) == (12, b"abc" + bytes(5) + b"de")
    assert unit.symbols == {
        "_JIT_ENTRY": (HoleValue.CODE, 0),
        "s": (HoleValue.DATA, 1),
        "t": (HoleValue.DATA, 8),
    }
    assert [hole.offset for hole in unit.code_holes] == [8]
    holes.check_entry(unit, "_JIT_ENTRY")
    with pytest.raises(ObjectError, match="is not the first thing"):
        holes.check_entry(unit, "s")


def test_objects_survive_the_cache() -> None:
    obj = ObjectFile(
        sections=(
            section(symbols=(Symbol(name="ü", offset=3),), relocations=(relocation("K", indirect=True),), padding=3),
            section(".rodata", b"\0\xff", SectionRole.DATA),
        )
    )
    assert stored.load(stored.dump(obj)) == obj


@pytest.mark.parametrize("number", range(43, 52))
def test_relocations_of_apx_name_the_flag(number: int) -> None:
    """llvm/llvm-project#106681; the names are those of llvm-readobj."""
    kind = elf._RELOCATION_NAMES["EM_X86_64"][number]
    text = section(data=bytes(8), relocations=(relocation(kind),))
    with pytest.raises(RelocationError, match=f"{kind} against .* cannot be patched: .*-mapx-features"):
        holes.lower("_UOP", ObjectFile(sections=(text,)), VALUES)
