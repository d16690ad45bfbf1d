"""Assembly of many uops as one file, and back."""

from __future__ import annotations

import pytest

from stencilkit import merge, targets
from stencilkit.errors import AssemblyError, ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.model.target import Target

TARGETS = {target.triple: target for target in targets.load().targets}
LINUX, WINDOWS = TARGETS["x86_64-unknown-linux-gnu"], TARGETS["x86_64-pc-windows-msvc"]


def merged(text: str, target: Target = LINUX) -> list[str]:
    """Merge one unit as the second of two; return the lines of it."""
    return merge.merge({"_FIRST": "", "_SECOND": text}, target).splitlines()[1:]


def test_every_unit_has_sections_and_labels_of_its_own() -> None:
    unit = "_JIT_ENTRY:\n\tjmp .LBB0_1\n.LBB0_1:\n\tcall _PyFoo@PLT\n"
    text = merge.merge({"_A": unit, "_B": unit}, LINUX)
    assert text.splitlines() == [
        *('.section "0:.text","ax",@progbits', "_JIT_ENTRY$0:", "\tjmp .LBB0_1$0", ".LBB0_1$0:", "\tcall _PyFoo@PLT"),
        *('.section "1:.text","ax",@progbits', "_JIT_ENTRY$1:", "\tjmp .LBB0_1$1", ".LBB0_1$1:", "\tcall _PyFoo@PLT"),
    ]


def test_sections_keep_their_flags_and_code_its_format() -> None:
    lines = merged('\t.text\n\t.section\t.rodata.str1.1,"aMS",@progbits,1\n')
    assert lines[1:] == [
        '.section "1:.text","ax",@progbits',
        '.section "1:.rodata.str1.1","aMS",@progbits,1',
    ]
    assert merged("\t.text\n", WINDOWS) == ['.section "1:.text","xr"'] * 2


def test_what_describes_the_file_is_left_out() -> None:
    lines = ['\t.file\t"x.c"', '\t.ident\t"clang"', "\t.addrsig", "\t.addrsig_sym x", "\t.aeabi_attribute\t0, 1"]
    assert merged("\n".join([*lines, '\t.section\t".note.GNU-stack","",@progbits'])) == merged("")


def test_a_comdat_is_renamed_with_its_symbol() -> None:
    text = (
        '\t.section\t.rdata,"dr",discard,"??_C@_01@x?$AA@"\n"??_C@_01@x?$AA@":\n\t.asciz\t"_JIT_ENTRY"\n_JIT_ENTRY:\n'
    )
    assert merged(text, WINDOWS)[1:] == [
        '.section "1:.rdata","dr",discard,"??_C@_01@x?$AA@$1"',
        '"??_C@_01@x?$AA@$1":',
        '\t.asciz\t"_JIT_ENTRY"',
        "_JIT_ENTRY$1:",
    ]


def test_strings_are_no_references() -> None:
    lines = merged('\t.section\t.rdata,"dr"\n"odd name":\n\t.asciz\t"odd name"\n', WINDOWS)
    assert lines[2:] == ['"odd name$1":', '\t.asciz\t"odd name"']


def test_records_of_the_compiler_stay_in_one_section() -> None:
    assert merged('\t.section\t.debug$S,"dr"\n', WINDOWS)[1:] == ['.section ".debug$S","dr"']


def test_a_local_symbol_without_a_label_cannot_be_told_apart() -> None:
    with pytest.raises(AssemblyError, match="declared but not defined"):
        merged("\t.set\t.Lx, 4\n")


def test_split_gives_each_unit_its_sections_under_their_own_names() -> None:
    relocation = Relocation(offset=0, kind="K", symbol="x$1", addend=3, indirect=True)
    text = Section(
        name="1:.text",
        role=SectionRole.CODE,
        data=b"\x90",
        symbols=(Symbol(name="_JIT_ENTRY$1", offset=0), Symbol(name="1:.text", offset=0)),
        relocations=(relocation,),
    )
    empty = Section(name=".text", role=SectionRole.CODE, data=b"", symbols=(), relocations=())
    parts = merge.split(ObjectFile(sections=(empty, text)), ["_A", "_B"])
    assert parts["_A"].sections == ()
    (found,) = parts["_B"].sections
    assert (found.name, found.data, [symbol.name for symbol in found.symbols]) == (
        ".text",
        b"\x90",
        ["_JIT_ENTRY", ".text"],
    )
    assert found.relocations == (Relocation(offset=0, kind="K", symbol="x", addend=3, indirect=True),)


@pytest.mark.parametrize("name", [".data", "2:.text", "x:.text"])
def test_split_refuses_contents_that_belong_to_nobody(name: str) -> None:
    stray = Section(name=name, role=SectionRole.DATA, data=b"x", symbols=(), relocations=())
    with pytest.raises(ObjectError, match=r"'[2x]?:?\.\w+' of merged assembly belongs to no uop"):
        merge.split(ObjectFile(sections=(stray,)), ["_A", "_B"])
