"""What differs between CPythons, by hand-written units: texts to compile, and holes that become patches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import dialects, source, targets
from stencilkit.dialects import _common, _ghccc, _pairs
from stencilkit.errors import CompileError, ObjectError, RelocationError, SourceError
from stencilkit.model.dialect import Dialect
from stencilkit.model.source import NO_LINES, SourceTree, Variant
from stencilkit.model.stencil import (
    Hole,
    HoleValue,
    LoweredUnit,
    Operation,
    Patch,
    PatchForm,
    StencilGroup,
    StencilSet,
    signed64,
)
from stencilkit.model.target import SpelledTarget, Target
from stencilkit.pipeline import knowing
from tests import fakes

TABLE = targets.load()
TARGETS = {target.triple: target for target in TABLE.targets}
X86, ARM = TARGETS["x86_64-unknown-linux-gnu"], TARGETS["aarch64-unknown-linux-gnu"]
WIN, I686 = TARGETS["x86_64-pc-windows-msvc"], TARGETS["i686-pc-windows-msvc"]
MAC = TARGETS["x86_64-apple-darwin"]
PY313, PY314, PY315 = (dialects.dialect_for(series) for series in ("3.13", "3.14", "3.15"))
B = HoleValue


def hole(
    offset: int,
    kind: str = "R_X86_64_64",
    operation: Operation = Operation.ABS64,
    value: HoleValue = B.ZERO,
    symbol: str | None = None,
    addend: int = 0,
) -> Hole:
    return Hole(offset=offset, kind=kind, operation=operation, value=value, symbol=symbol, addend=addend)


def unit(
    code: bytes = b"",
    *holes: Hole,
    name: str = "_UOP",
    data: bytes = b"",
    data_holes: tuple[Hole, ...] = (),
    marks: Mapping[str, tuple[HoleValue, int]] | None = None,
) -> LoweredUnit:
    symbols = {"_JIT_ENTRY": (B.CODE, 0), **(marks or {})}
    return LoweredUnit(
        name=name, code=code, data=data, code_holes=holes, data_holes=data_holes, symbols=symbols,
    )  # fmt: skip


def finish(
    dialect: Dialect, *units: LoweredUnit, target: Target = X86, variants: tuple[Variant, ...] = ()
) -> StencilSet:
    series = TABLE.pythons[dialect.SERIES]
    return dialect.finish(units, target, series.targets[target.triple], variants)


def finished(dialect: Dialect, one: LoweredUnit, target: Target = X86) -> StencilGroup:
    return finish(dialect, one, target=target)[one.name]


def opened(root: Path, version: str) -> SourceTree:
    return knowing.tree(fakes.tree(root, version))


def jump(kind: str, operation: Operation, offset: int, addend: int, *, slot: bool = False) -> Hole:
    value, symbol = (B.GOT, "_JIT_CONTINUE") if slot else (B.CONTINUE, None)
    return hole(offset, kind, operation, value, symbol, addend)


NOP = b"\x1f\x20\x03\xd5"
PLT_JUMP = jump("R_X86_64_PLT32", Operation.REL32, 3, -4)
SLOT_JUMP = jump("R_X86_64_GOTPCRELX", Operation.GOT_REL32, 4, -4, slot=True)
COFF_JUMP = jump("IMAGE_REL_AMD64_REL32", Operation.COFF_REL32, 5, -4, slot=True)
ARM_JUMP = jump("R_AARCH64_JUMP26", Operation.BRANCH26, 8, 0)
BRANCH = b"\0\0\0\x14"


# The C that is compiled

SHARED = '#include "a.h"\n\n// note\n#include <b.h>\n'


@pytest.mark.parametrize(
    ("text", "prefix", "line"),
    [
        ("", "", 1),
        ("int x;\n", "", 1),
        (f'{SHARED}int x;\n#include "c.h"\n', SHARED, 5),
        ('#include "a.h"\n', '#include "a.h"\n', 2),
        ('#define X\n#include "a.h"\n', "", 1),
        ('#  include "a.h"\nint x;\n', "", 1),
        ('/* a\n*/\n#include "a.h"\n', "", 1),
        ("#include_next <a.h>\n", "", 1),
    ],
)  # fmt: skip
def test_only_includes_and_comments_are_shared(text: str, prefix: str, line: int) -> None:
    assert _common.split_prefix(text) == (prefix, text[len(prefix) :], line)


@pytest.mark.parametrize("dialect", [PY314, PY315], ids=lambda dialect: dialect.SERIES)
def test_each_uop_is_put_into_the_template(dialect: Dialect, tmp_path: Path) -> None:
    tree = opened(tmp_path, f"{dialect.SERIES}.7")
    (tmp_path / "Tools/jit/shim.c").write_text('#include "Python.h"\nint shim;\n')
    found = {one.name: one for one in dialect.units(tree, source.uops(tree), X86)}
    nop = found["_NOP"]
    assert nop.prefix == '#include "Python.h"\n\n'
    assert nop.body == "int f(void) {\n    case _NOP: {\n            break;\n        }\n}\n"
    assert (nop.body_line, nop.file, nop.role) == (3, "./_NOP.c", "uop")
    assert nop.tail == f'#define _JIT_OPCODE _NOP\n#line 3 "./_NOP.c"\n{nop.body}'
    assert nop.whole == f'#define _JIT_OPCODE _NOP\n#line 1 "./_NOP.c"\n{nop.prefix}{nop.body}'
    assert (found["shim"].body, found["shim"].file) == ("int shim;\n", "./Tools/jit/shim.c")


def test_the_shim_is_a_group_in_314_and_an_object_in_315(tmp_path: Path) -> None:
    fakes.tree(tmp_path)
    (tmp_path / "Tools/jit/shim.c").write_text("int shim;\n")
    tree = knowing.tree(tmp_path)
    uops = source.uops(tree)
    assert [(one.name, one.role) for one in PY314.units(tree, uops, X86)] == [
        ("shim", "group"), ("_LOAD_FAST", "uop"), ("_NOP", "uop"),
    ]  # fmt: skip
    assert [(one.name, one.role) for one in PY315.units(tree, uops, X86)] == [
        ("_LOAD_FAST", "uop"), ("_NOP", "uop"), ("shim", "object"),
    ]  # fmt: skip


def test_uops_are_in_the_order_of_their_texts(tmp_path: Path) -> None:
    """Upstream sorts "case _A:" and "case _A_B:"; an underscore sorts behind a colon, and digits before it."""
    names = ["_A_B", "_A", "_A1", "_AB"]
    cases = "".join(f"        case {name}: {{\n            break;\n        }}\n\n" for name in names)
    tree = knowing.tree(fakes.tree(tmp_path, cases=f"\n{cases}#undef TIER_TWO\n"))
    assert [one.name for one in _common.template_units(tree, source.uops(tree))] == ["_A1", "_A", "_AB", "_A_B"]


@pytest.mark.parametrize("template", ['#include "Python.h"\nint f;\n', "// CASE\nint f(void) {\n CASE\n}\n"])
def test_a_template_without_a_place_for_uops_is_refused(template: str, tmp_path: Path) -> None:
    tree = opened(tmp_path, "3.14.7")
    (tmp_path / "Tools/jit/template.c").write_text(template)
    with pytest.raises(SourceError, match="no place for a uop") as caught:
        _common.template_units(tree, source.uops(tree))
    assert caught.value.where.endswith("template.c")


# What comes behind the last case.
LAST_LINES = "\n#undef TIER_TWO\n"
INCLUDING = '#include "Python.h"\nint f(void) {\n#include "executor_cases.c.h"\n    return 0;\n}\n'


def test_313_includes_all_uops_and_offers_each_alone(tmp_path: Path) -> None:
    tree = opened(tmp_path, "3.13.15")
    (tmp_path / "Tools/jit/template.c").write_text(INCLUDING)
    (tmp_path / "Tools/jit/trampoline.c").write_text("int trampoline;\n")
    nop = {one.name: one for one in PY313.units(tree, source.uops(tree), X86)}["_NOP"]
    start = 'int f(void) {\n#line 1 "./Python/executor_cases.c.h"\n'
    end = '#line 4 "./Tools/jit/template.c"\n    return 0;\n}\n'
    assert nop.body == f"{start}{fakes.CASES}{end}"
    head, _, rest = fakes.CASES.partition("        case _NOP: {")
    case = "        case _NOP: {\n            break;\n        }\n"
    assert nop.short_body == f"{start}{head}{NO_LINES}{case}{rest[rest.index(LAST_LINES) :]}{end}"
    assert nop.body_line == 2


def test_313s_uops_alone_do_not_depend_on_their_line(tmp_path: Path) -> None:
    tree = opened(tmp_path, "3.13.15")
    (tmp_path / "Tools/jit/template.c").write_text(INCLUDING)
    (tmp_path / "Tools/jit/trampoline.c").write_text("int trampoline;\n")
    before = {one.name: one for one in PY313.units(tree, source.uops(tree), X86)}
    first, *others = (one.name for one in source.uops(tree))
    (tmp_path / "Python/executor_cases.c.h").write_text(
        fakes.CASES.replace(f"case {first}: {{\n", f"case {first}: {{\n            (void)0;\n")
    )
    after = {one.name: one for one in PY313.units(tree, source.uops(tree), X86)}
    assert before[first].short_body != after[first].short_body
    for name in others:
        assert before[name].short_body == after[name].short_body, name
        assert before[name].body != after[name].body, "the whole of it has the changed one"


def test_313_has_a_trampoline_where_the_calling_convention_is_edited(tmp_path: Path) -> None:
    tree = opened(tmp_path, "3.13.15")
    (tmp_path / "Tools/jit/template.c").write_text(INCLUDING)
    (tmp_path / "Tools/jit/trampoline.c").write_text("int trampoline;\n")
    for target, emits, last in ((X86, "llvm-ir", "trampoline"), (ARM, "object", "_NOP")):
        assert PY313.emits(target) == emits
        assert PY313.units(tree, source.uops(tree), target)[-1].name == last
    (tmp_path / "Tools/jit/template.c").write_text("int f;\n")
    with pytest.raises(SourceError, match="does not include the uops"):
        PY313.units(tree, source.uops(tree), X86)


def test_315_goes_through_assembly_and_314_does_not() -> None:
    assert {PY315.emits(target) for target in TABLE.targets} == {"assembly"}
    assert {PY314.emits(target) for target in TABLE.targets} == {"object"}
    assert PY314.edit_ir("define @_JIT_X()") == PY315.edit_ir("define @_JIT_X()") == "define @_JIT_X()"


# The functions that each version's Python/jit.c defines and a header may call.
RELAXING = {"patch_aarch64_12x", "patch_aarch64_21rx", "patch_aarch64_33rx"}
FUNCTIONS = {
    *("patch_32", "patch_32r", "patch_64", "patch_aarch64_12", "patch_aarch64_16a", "patch_aarch64_16b"),
    *("patch_aarch64_16c", "patch_aarch64_16d", "patch_aarch64_21r", "patch_aarch64_26r", "patch_x86_64_32rx"),
}
NEW_IN_315 = {
    *("patch_aarch64_19r", "patch_got_symbol", "patch_x86_64_trampoline"),
}


def test_headers_call_what_jit_c_has() -> None:
    assert PY313.HEADER.functions == FUNCTIONS | RELAXING
    assert PY314.HEADER.functions == FUNCTIONS | RELAXING | {"patch_aarch64_trampoline"}
    assert PY315.HEADER.functions == FUNCTIONS | RELAXING | {"patch_aarch64_trampoline"} | NEW_IN_315
    for dialect in (PY313, PY314, PY315):
        assert set(dialect.PATCHES.values()) <= dialect.HEADER.functions


# What CPython's build looks at


def test_line_1_digests_what_upstream_digests(tmp_path: Path) -> None:
    """Written a second time, from Tools/jit/_targets.py of 3.14: the sum is over the contents in this order."""
    tree = opened(tmp_path, "3.14.7")
    (tmp_path / "Tools/jit/README.md").write_text("read me")
    (tmp_path / "Tools/jit/sub").mkdir()
    (tmp_path / "Tools/jit/sub/x").write_text("x")
    (tmp_path / "Tools/jit/__pycache__").mkdir()
    (tmp_path / "Tools/jit/__pycache__/a.pyc").write_text("no part of it")
    contents = [
        b"x86_64-redhat-linux-gnu", b"\1", b"-O3", fakes.CASES.encode(), b"#define X", b"read me",
        (tmp_path / "Tools/jit/template.c").read_bytes(), b"x",
    ]  # fmt: skip
    request = SpelledTarget(target=X86, spelling="x86_64-redhat-linux-gnu")
    expected = hashlib.sha256(b"".join(contents)).hexdigest()
    assert PY314.input_digest(tree, b"#define X", request, "debug", "-O3") == expected
    # 3.13 knows no CFLAGS_JIT, and 3.15 no spellings.
    contents[2] = b""
    assert (
        PY313.input_digest(tree, b"#define X", request, "debug", "-O3")
        == hashlib.sha256(b"".join(contents)).hexdigest()
    )
    contents[:3] = [b"x86_64-unknown-linux-gnu", b"\0", b"-O3"]
    assert (
        PY315.input_digest(tree, b"#define X", request, "release", "-O3")
        == hashlib.sha256(b"".join(contents)).hexdigest()
    )


def test_files_are_named_as_each_build_expects() -> None:
    request = SpelledTarget(target=X86, spelling="x86_64-redhat-linux-gnu")
    assert dict(PY313.file_names(request)) == {"stencils": "jit_stencils.h"}
    assert dict(PY314.file_names(request)) == {
        "stencils": "jit_stencils-x86_64-redhat-linux-gnu.h", "dispatcher": "jit_stencils.h",
    }  # fmt: skip
    assert dict(PY315.file_names(request)) == {
        "stencils": "jit_stencils-x86_64-unknown-linux-gnu.h",
        "dispatcher": "jit_stencils.h",
        "shim": "jit_shim-x86_64-unknown-linux-gnu.o",
        "unwind": "jit_unwind_info-x86_64-unknown-linux-gnu.h",
        "unwind-dispatcher": "jit_unwind_info.h",
    }


def test_an_unknown_series_is_refused() -> None:
    with pytest.raises(SourceError, match=r"does not know CPython 3\.16") as caught:
        dialects.dialect_for("3.16")
    assert "3.13, 3.14, 3.15" in caught.value.fix


# 3.13: calling conventions in LLVM IR


@pytest.mark.parametrize(
    ("line", "edited"),
    [
        ("define i64 @_JIT_ENTRY(ptr %0) {", "define ghccc i64 @_JIT_ENTRY(ptr %0) {"),
        (
            "define hidden noundef range(i64 0, 2) ptr @_JIT_ENTRY(ptr noundef %0) #0 {",
            "define hidden ghccc noundef range(i64 0, 2) ptr @_JIT_ENTRY(ptr noundef %0) #0 {",
        ),
        ("declare dso_local ptr @_JIT_CONTINUE(ptr) #1", "declare dso_local ghccc ptr @_JIT_CONTINUE(ptr) #1"),
        ("  %4 = musttail call ptr %3(ptr %0)", "  %4 = musttail call ghccc ptr %3(ptr %0)"),
        ("  %4 = tail call noundef ptr @_JIT_TOP(ptr %0)", "  %4 = tail call ghccc noundef ptr @_JIT_TOP(ptr %0)"),
        ("  call void @_JIT_X(ptr %0)", "  call ghccc void @_JIT_X(ptr %0)"),
        ("  %r.i = call nnan fast double @_JIT_X()", "  %r.i = call nnan fast ghccc double @_JIT_X()"),
        # What keeps its convention:
        ("define i64 @_ENTRY(ptr %0) {", None),
        ("  %4 = tail call ptr @PyFoo(ptr %0)", None),
        ("  %4 = call ptr %3(ptr @_JIT_OPARG)", None),
        ("  store ptr @_JIT_OPARG, ptr %2", None),
        ("@_JIT_OPARG = external global i8", None),
        ('!3 = !{!"define @_JIT_X()"}', None),
        ("; define @_JIT_X()", None),
    ],
)
def test_conventions_are_edited_in(line: str, edited: str | None) -> None:
    """Whatever return attributes this LLVM prints (upstream's replacement depends on them)."""
    assert PY313.edit_ir(f"a\n{line}\nb\n") == f"a\n{edited or line}\nb\n"


@pytest.mark.parametrize("convention", ["fastcc", "preserve_nonecc", "ghccc", "cc 10", "win64cc"])
def test_a_convention_that_is_there_already_is_refused(convention: str) -> None:
    for line in (f"define {convention} i64 @_JIT_ENTRY() {{", f"  musttail call {convention} void %1()"):
        with pytest.raises(CompileError, match="calling convention") as caught:
            _ghccc.use_ghccc(line)
        assert caught.value.where == line.strip()


# Jumps to the next stencil


@pytest.mark.parametrize(
    ("dialect", "code", "last", "target", "kept"),
    [
        (PY314, b"\x90\x90\xe9\0\0\0\0", PLT_JUMP, X86, b"\x90\x90"),
        (PY314, b"\x90\x90\x48\xff\x25\0\0\0\0", COFF_JUMP, WIN, b"\x90\x90"),
        (PY313, b"\x90\x90\x48\xff\x25\0\0\0\0", COFF_JUMP, WIN, b"\x90\x90"),
        (PY313, b"\x90\x90\xff\x25\0\0\0\0", SLOT_JUMP, X86, b"\x90\x90"),
        (PY314, b"\x90\x90\xe9\0\0\0\0", replace(PLT_JUMP, kind="IMAGE_REL_I386_REL32"), I686, b"\x90\x90"),
        (PY314, b"\x90\x90\xe9\0\0\0\0", replace(PLT_JUMP, kind="X86_64_RELOC_BRANCH"), MAC, b"\x90\x90"),
        (PY313, b"\x90\x90\xe9\0\0\0\0", replace(PLT_JUMP, kind="X86_64_RELOC_BRANCH"), MAC, b"\x90\x90"),
        (PY314, NOP * 2 + BRANCH, ARM_JUMP, ARM, NOP * 2),
        (PY313, NOP * 2 + BRANCH, ARM_JUMP, ARM, NOP * 2),
    ],
)
def test_a_last_jump_to_the_next_stencil_is_dropped(
    dialect: Dialect, code: bytes, last: Hole, target: Target, kept: bytes
) -> None:
    group = finished(dialect, unit(code, last), target)
    assert (group.code.body, group.code.patches) == (kept, ())


@pytest.mark.parametrize(
    ("dialect", "code", "last"),
    [
        # Not among this version's:
        (PY313, b"\x90\x90\xe9\0\0\0\0", PLT_JUMP),
        (PY314, b"\x90\x90\xff\x25\0\0\0\0", SLOT_JUMP),
        # Not the last instruction, a call, or to another place:
        (PY314, b"\x90\x90\xe9\0\0\0\0\x90", PLT_JUMP),
        (PY314, b"\x90\x90\xe8\0\0\0\0", PLT_JUMP),
        (PY314, b"\x90\x90\xe9\0\0\0\0", replace(PLT_JUMP, addend=4)),
        (PY314, b"\x90\x90\xe9\0\0\0\0", replace(PLT_JUMP, value=B.JUMP_TARGET)),
        (PY314, b"\x90\x90\xe9\0\0\0\0", replace(PLT_JUMP, value=B.ZERO, symbol="_PyFoo")),
        (PY313, b"\x90\x90\xff\x25\0\0\0\0", replace(SLOT_JUMP, symbol="_JIT_TOP")),
    ],
)
def test_other_jumps_stay(dialect: Dialect, code: bytes, last: Hole) -> None:
    group = finished(dialect, unit(code, last))
    assert group.code.body == code
    assert len(group.code.patches) == 1


def test_313_drops_no_jump_that_leaves_code_unaligned() -> None:
    """Upstream: `if code[start:] == b"..." and start % alignment == 0`."""
    group = finished(PY313, unit(NOP + BRANCH, replace(ARM_JUMP, offset=4)), ARM)
    assert group.code.body == NOP + BRANCH
    assert [patch.func for patch in group.code.patches] == ["patch_aarch64_26r"]


# Patches


@pytest.mark.parametrize("dialect", [PY313, PY314, PY315], ids=lambda dialect: dialect.SERIES)
def test_holes_become_patches_in_order(dialect: Dialect) -> None:
    group = finished(
        dialect,
        unit(
            bytes(32),
            hole(16, value=B.OPARG, addend=7),
            hole(8, symbol="_PyFoo", addend=-8),
            hole(0, "R_X86_64_PC32", Operation.REL32, symbol="local", addend=-4),
            data=b"abc",
            data_holes=(hole(0, symbol="_JIT_ENTRY"),),
            marks={"local": (B.DATA, 2)},
        ),
    )
    assert group.code.patches == (
        Patch(func="patch_32r", offsets=(0,), value=B.DATA, addend=-2),
        Patch(func="patch_64", offsets=(8,), symbol="_PyFoo", addend=-8),
        Patch(func="patch_64", offsets=(16,), value=B.OPARG, addend=7),
    )
    assert group.data.patches == (Patch(func="patch_64", offsets=(0,), value=B.CODE),)
    assert (group.code.body, group.data.body) == (bytes(32), b"abc" + bytes(5))


def got(offset: int, symbol: str, addend: int = -4) -> Hole:
    return hole(offset, "R_X86_64_REX_GOTPCRELX", Operation.GOT_REL32, B.GOT, symbol, addend)


@pytest.mark.parametrize("dialect", [PY313, PY314], ids=lambda dialect: dialect.SERIES)
def test_slots_lie_behind_the_data(dialect: Dialect) -> None:
    """One per symbol, in order of first use: a value of the uop's, a symbol of its own, a symbol outside."""
    group = finished(
        dialect,
        unit(
            bytes(16),
            *(got(0, "_JIT_OPARG"), got(4, "own"), got(8, "_PyFoo"), got(12, "own")),
            data=b"abc",
            marks={"own": (B.DATA, 1)},
        ),
    )
    assert [(patch.func, patch.value, patch.addend) for patch in group.code.patches] == [
        ("patch_x86_64_32rx", B.DATA, 4), ("patch_x86_64_32rx", B.DATA, 12),
        ("patch_x86_64_32rx", B.DATA, 20), ("patch_x86_64_32rx", B.DATA, 12),
    ]  # fmt: skip
    assert group.data.body == b"abc" + bytes(5 + 24)
    assert group.data.patches == (
        Patch(func="patch_64", offsets=(8,), value=B.OPARG),
        Patch(func="patch_64", offsets=(16,), value=B.DATA, addend=1),
        Patch(func="patch_64", offsets=(24,), symbol="_PyFoo"),
    )


@pytest.mark.parametrize("addend", [0, 1, -1, 2**63 - 1, 2**63, -(2**63), 2**64 + 5])
def test_addends_are_signed(addend: int) -> None:
    group = finished(PY314, unit(bytes(8), hole(0, value=B.OPARG, addend=addend)))
    found = group.code.patches[0].addend
    assert found == signed64(addend)
    assert -(2**63) <= found < 2**63
    assert (found - addend) % 2**64 == 0


def test_a_symbol_that_is_not_imported_is_refused_on_windows() -> None:
    direct = hole(0, "IMAGE_REL_AMD64_REL32", Operation.COFF_REL32, symbol="_PyFoo", addend=-4)
    with pytest.raises(RelocationError, match="_PyFoo is used without being imported") as caught:
        finished(PY314, unit(bytes(8), direct), WIN)
    assert "PyAPI_FUNC" in caught.value.fix
    assert caught.value.where == "uop _UOP, offset 0x0"
    finished(PY314, unit(bytes(8), replace(direct, value=B.OPARG, symbol=None)), WIN)


def test_an_operation_that_jit_c_cannot_do_is_refused() -> None:
    branch = hole(4, "R_AARCH64_CONDBR19", Operation.BRANCH19, symbol="_PyFoo")
    for dialect in (PY313, PY314):
        with pytest.raises(RelocationError, match=r"R_AARCH64_CONDBR19 needs a patch function .*jit\.c does not have"):
            finished(dialect, unit(bytes(8), branch), ARM)
    assert finished(PY315, unit(bytes(8), branch), ARM).code.patches[0].func == "patch_aarch64_19r"


# Trampolines


CALL = hole(4, "R_AARCH64_CALL26", Operation.BRANCH26, symbol="_PyFoo")
CALL_SITE = NOP + b"\0\0\0\x94" + NOP


def test_313_puts_trampolines_behind_the_code() -> None:
    group = finished(PY313, unit(CALL_SITE, CALL), ARM)
    body = group.code.body
    assert len(body) % 8 == 0
    # bl goes to the trampoline at the next multiple of eight: from 4 to 16 are three words.
    assert body[4:8] == (0x94000000 | 3).to_bytes(4, "little")
    words = [int.from_bytes(body[at : at + 4], "little") for at in range(16, 36, 4)]
    assert words == [0xD2800008, 0xF2A00008, 0xF2C00008, 0xF2E00008, 0xD61F0100]
    assert [(patch.func, patch.offsets, patch.symbol) for patch in group.code.patches] == [
        (f"patch_aarch64_16{part}", (16 + 4 * index,), "_PyFoo") for index, part in enumerate("abcd")
    ]


def test_313_always_has_an_entry_group_and_sorts_groups() -> None:
    found = finish(PY313, unit(b"\x90", name="_Z"), unit(b"\x90", name="_A"), target=ARM)
    assert [group.name for group in found.groups] == ["_A", "_Z", "trampoline"]
    assert (found.entry, found["trampoline"].code.body, found.symbols) == ("trampoline", b"", ())


@pytest.mark.parametrize("dialect", [PY314, PY315], ids=lambda dialect: dialect.SERIES)
def test_later_versions_share_trampolines_by_ordinal(dialect: Dialect) -> None:
    other = replace(CALL, offset=0, symbol="PyBar")
    found = finish(
        dialect,
        *(unit(CALL_SITE, CALL), unit(CALL_SITE, other, CALL, name="_TWO"), unit(CALL_SITE, name="shim")),
        target=ARM,
    )
    assert found.symbols == ("_PyFoo", "PyBar")
    assert found["_TWO"].code.patches == (
        Patch(func="patch_aarch64_trampoline", offsets=(0,), form=PatchForm.TRAMPOLINE, symbol="PyBar"),
        Patch(func="patch_aarch64_trampoline", offsets=(4,), form=PatchForm.TRAMPOLINE, symbol="_PyFoo"),
    )
    assert found["_TWO"].code.body[: len(CALL_SITE)] == CALL_SITE


@pytest.mark.parametrize("dialect", [PY314, PY315], ids=lambda dialect: dialect.SERIES)
def test_branches_within_a_stencil_need_no_trampoline(dialect: Dialect) -> None:
    own = replace(CALL, symbol="helper")
    group = finished(dialect, unit(CALL_SITE, own, marks={"helper": (B.CODE, 8)}), ARM)
    assert group.code.patches == (Patch(func="patch_aarch64_26r", offsets=(4,), value=B.CODE, addend=8),)
    target = hole(4, "R_AARCH64_JUMP26", Operation.BRANCH26, B.JUMP_TARGET)
    assert finished(dialect, unit(CALL_SITE, target), ARM).code.patches[0].form is PatchForm.ADDRESS


def test_only_macos_has_x86_trampolines_in_315() -> None:
    call = hole(1, "X86_64_RELOC_BRANCH", Operation.REL32, symbol="PyBar", addend=-4)
    assert finished(PY315, unit(b"\xe8\0\0\0\0", call), MAC).code.patches[0].func == "patch_x86_64_trampoline"
    plain = replace(call, kind="R_X86_64_PLT32")
    assert finished(PY315, unit(b"\xe8\0\0\0\0", plain)).code.patches[0].func == "patch_32r"


def test_what_verify_and_audit_ask_for() -> None:
    assert [dialect.SERIES for dialect in (PY313, PY314, PY315)] == list(dialects.KNOWN)
    assert [dialect.MAKE_STAMP for dialect in (PY313, PY314, PY315)] == ["", "", ".jit-stamp"]
    assert [dialect.EXTRAS for dialect in (PY313, PY314, PY315)] == [False, False, True]
    assert [dialect.ENTRY_SYMBOLS[-1] for dialect in (PY313, PY314, PY315)] == ["_ENTRY", "_JIT_ENTRY", "_JIT_ENTRY"]


# 3.14: alignment


def test_314_fills_with_nops() -> None:
    arm = finished(PY314, unit(CALL_SITE), ARM).code.body
    assert arm == CALL_SITE + NOP
    with pytest.raises(ObjectError, match="cannot be aligned"):
        finished(PY314, unit(bytes(3)), ARM)


# 3.15: slots of a whole trace, and marks of the assembly passes


def test_315_shares_slots_of_the_interpreters_symbols() -> None:
    found = finish(
        PY315,
        unit(bytes(12), got(0, "_PyFoo"), got(4, "_JIT_OPARG"), got(8, "_PyFoo"), name="_A"),
        unit(bytes(4), got(0, "PyBar"), name="_B"),
    )
    assert found.symbols == ("_PyFoo", "PyBar")
    slot = Patch(
        func="patch_x86_64_32rx", offsets=(0,), form=PatchForm.GOT_SLOT, value=B.ZERO, symbol="_PyFoo", addend=-4
    )
    own = Patch(func="patch_x86_64_32rx", offsets=(4,), value=B.DATA, addend=-4)
    assert found["_A"].code.patches == (slot, own, replace(slot, offsets=(8,)))
    assert found["_A"].data.body == bytes(8), "the uop's own value has a slot of its own"
    requests = [patch for patch in found["_A"].data.patches if patch.form is PatchForm.GOT_FILL]
    assert [(patch.func, patch.symbol) for patch in requests] == [("patch_got_symbol", "_PyFoo")]
    assert PatchForm.GOT_FILL in {patch.form for patch in found["_B"].data.patches}


def test_315_narrow_operands_are_the_operand() -> None:
    group = finished(PY315, unit(bytes(16), hole(0, value=B.OPERAND0_16), hole(8, value=B.OPARG_16)))
    assert [patch.value for patch in group.code.patches] == [B.OPERAND0, B.OPARG]


def test_315_narrow_operands_in_slots_are_the_operand_too() -> None:
    """They are on macOS: a header says `instruction->oparg` for both, and is read as the wider one."""
    group = finished(PY315, unit(bytes(8), got(0, "_JIT_OPARG_16"), got(4, "_JIT_OPERAND1_32")))
    assert [patch.value for patch in group.data.patches] == [B.OPARG, B.OPERAND1]


def test_315_reads_the_marks_of_folded_constants() -> None:
    marks = {
        "CUSTOM_AARCH64_CONST16a_JIT_RELOCATION_CONST_JIT_OPERAND0_JIT_RELOCATION_0": (B.CODE, 0),
        "CUSTOM_AARCH64_CONST16b_JIT_RELOCATION_CONST_JIT_OPERAND0_JIT_RELOCATION_1": (B.CODE, 4),
        "CUSTOM_AARCH64_BRANCH19_JIT_RELOCATION__JIT_ERROR_TARGET_JIT_RELOCATION_2": (B.CODE, 8),
    }
    group = finished(PY315, unit(bytes(12), marks=marks), ARM)
    assert group.code.patches == (
        Patch(func="patch_aarch64_16a", offsets=(0,), value=B.OPERAND0),
        Patch(func="patch_aarch64_16b", offsets=(4,), value=B.OPERAND0),
        Patch(func="patch_aarch64_19r", offsets=(8,), value=B.ERROR_TARGET),
    )


@pytest.mark.parametrize(
    "label", ["CUSTOM_AARCH64_NEW_JIT_RELOCATION_x_JIT_RELOCATION_0", "CUSTOM_AARCH64_CONST16a_JIT_RELOCATION_x"]
)
def test_315_refuses_marks_that_it_does_not_know(label: str) -> None:
    with pytest.raises(ObjectError, match="stands for no hole that is known"):
        finished(PY315, unit(bytes(4), marks={label: (B.CODE, 0)}), ARM)


PAGE = hole(0, "R_AARCH64_ADR_GOT_PAGE", Operation.GOT_PAGE21, B.GOT, "_PyFoo")
LOAD = hole(8, "R_AARCH64_LD64_GOT_LO12_NC", Operation.GOT_LO12, B.GOT, "_PyFoo")
PAIR = {
    "CUSTOM_AARCH64_CONST33a_JIT_PAIR__PyFoo_JIT_PAIR_0": (B.CODE, 0),
    "CUSTOM_AARCH64_CONST33b_JIT_PAIR__PyFoo_JIT_PAIR_0": (B.CODE, 8),
}


def test_315_folds_pairs_and_keeps_a_blank_line() -> None:
    group = finished(PY315, unit(bytes(12), PAGE, LOAD, marks=PAIR), ARM)
    assert group.code.patches == (
        Patch(func="", offsets=(0,), form=PatchForm.VOID),
        Patch(func="patch_aarch64_33rx", offsets=(0, 8), form=PatchForm.GOT_SLOT, symbol="_PyFoo"),
    )
    own = finished(
        PY315, unit(bytes(12), replace(PAGE, symbol="_JIT_OPARG"), replace(LOAD, symbol="_JIT_OPARG"), marks=PAIR), ARM
    )
    assert own.code.patches[1] == Patch(func="patch_aarch64_33rx", offsets=(0, 8), value=B.DATA)


def test_315_numbers_slots_of_nested_pairs_as_upstream_does() -> None:
    """The half that is folded away comes first, and its symbol has the first slot."""
    holes = [
        replace(PAGE, offset=0, symbol="_JIT_OPERAND0"),
        replace(PAGE, offset=4, symbol="_JIT_OPERAND1"),
        replace(LOAD, offset=8, symbol="_JIT_OPERAND1"),
        replace(LOAD, offset=12, symbol="_JIT_OPERAND0"),
    ]
    marks = {
        "CUSTOM_AARCH64_CONST33a_JIT_PAIR__JIT_OPERAND0_JIT_PAIR_1": (B.CODE, 0),
        "CUSTOM_AARCH64_CONST33a_JIT_PAIR__JIT_OPERAND1_JIT_PAIR_0": (B.CODE, 4),
        "CUSTOM_AARCH64_CONST33b_JIT_PAIR__JIT_OPERAND1_JIT_PAIR_0": (B.CODE, 8),
        "CUSTOM_AARCH64_CONST33b_JIT_PAIR__JIT_OPERAND0_JIT_PAIR_1": (B.CODE, 12),
    }
    group = finished(PY315, unit(bytes(16), *holes, marks=marks), ARM)
    assert [patch for patch in group.code.patches if patch.func] == [
        Patch(func="patch_aarch64_33rx", offsets=(4, 8), value=B.DATA, addend=8),
        Patch(func="patch_aarch64_33rx", offsets=(0, 12), value=B.DATA),
    ]
    assert [(patch.offsets, patch.value) for patch in group.data.patches] == [((0,), B.OPERAND0), ((8,), B.OPERAND1)]


def test_315_without_marks_folds_nothing() -> None:
    group = finished(PY315, unit(bytes(12), PAGE, LOAD), ARM)
    assert [patch.func for patch in group.code.patches] == ["patch_aarch64_21rx", "patch_aarch64_12x"]


@pytest.mark.parametrize(
    "second",
    [replace(LOAD, symbol="PyBar"), replace(LOAD, addend=8), replace(PAGE, offset=8)],
    ids=["another symbol", "another addend", "two first halves"],
)
def test_315_refuses_halves_that_do_not_belong_together(second: Hole) -> None:
    with pytest.raises(ObjectError, match="do not belong together"):
        finished(PY315, unit(bytes(12), PAGE, second, marks=PAIR), ARM)


@pytest.mark.parametrize(
    ("plain", "target"),
    [
        (hole(0, "R_X86_64_GOTPCREL", Operation.REL32, B.GOT, "_PyFoo", -4), X86),
        (hole(0, "IMAGE_REL_I386_DIR32", Operation.ABS32, B.GOT, "_PyFoo"), I686),
    ],
    ids=["x86_64", "i686"],
)
def test_315_refuses_a_slot_that_jit_c_does_not_give_out(plain: Hole, target: Target) -> None:
    """Whether or not another uop has a slot for the same symbol: the order of uops must not matter."""
    asking = unit(bytes(4), got(0, "_PyFoo"), name="_A")
    for units in ([unit(bytes(4), plain)], [asking, unit(bytes(4), plain)], [unit(bytes(4), plain), asking]):
        with pytest.raises(ObjectError, match=f"{plain.kind} wants a slot for _PyFoo") as caught:
            finish(PY315, *units, target=target)
        assert caught.value.where == "uop _UOP, offset 0x0"
        assert "-fPIC" in caught.value.fix


def test_315_refuses_a_slot_of_the_trace_in_data() -> None:
    with pytest.raises(ObjectError, match="wants a slot for _PyFoo"):
        finished(PY315, unit(bytes(4), got(0, "_PyFoo"), data=bytes(8), data_holes=(got(0, "_PyFoo"),)))


# What patch releases of 3.13 and 3.14 do differently


def slot_load(adrp: int, load: int, *, symbol: str = "_PyFoo", apart: int = 4) -> LoweredUnit:
    """adrp and ldr of a slot: the words, and how many bytes are between their starts."""
    code = adrp.to_bytes(4, "little") + NOP * (apart // 4 - 1) + load.to_bytes(4, "little") + NOP * 2
    return unit(
        code,
        hole(0, "R_AARCH64_ADR_GOT_PAGE", Operation.GOT_PAGE21, B.GOT, "_PyFoo"),
        hole(apart, "R_AARCH64_LD64_GOT_LO12_NC", Operation.GOT_LO12, B.GOT, symbol),
    )


ADRP_X8, LDR_X8_X8, LDR_X0_X8 = 0x90000008, 0xF9400108, 0xF9400100
RELAXES = (_pairs.RELAXED,)
COMPARES = (_pairs.RELAXED, _pairs.SAME_REGISTER)
FOLDED = [("patch_aarch64_33rx", (0,))]
HALVES = [("patch_aarch64_21rx", (0,)), ("patch_aarch64_12x", (4,))]


@pytest.mark.parametrize("dialect", [PY313, PY314], ids=lambda dialect: dialect.SERIES)
@pytest.mark.parametrize(
    ("variants", "one", "expected"),
    [
        ((), slot_load(ADRP_X8, LDR_X8_X8), [("patch_aarch64_21r", (0,)), ("patch_aarch64_12", (4,))]),
        (RELAXES, slot_load(ADRP_X8, LDR_X8_X8), FOLDED),
        # Only some releases look at the registers:
        (RELAXES, slot_load(ADRP_X8, LDR_X0_X8), FOLDED),
        (COMPARES, slot_load(ADRP_X8, LDR_X8_X8), FOLDED),
        (COMPARES, slot_load(ADRP_X8, LDR_X0_X8), HALVES),
        # Not a pair:
        (RELAXES, slot_load(ADRP_X8, LDR_X8_X8, symbol="_PyBar"), HALVES),
        (RELAXES, slot_load(ADRP_X8, LDR_X8_X8, apart=8), [HALVES[0], ("patch_aarch64_12x", (8,))]),
    ],
)
def test_older_patch_releases_relax_loads_from_slots(
    dialect: Dialect, variants: tuple[Variant, ...], one: LoweredUnit, expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    """As the generators of 3.13.5 (RELAXES), 3.14.0 (COMPARES) and 3.14.7 (none) do."""
    group = finish(dialect, one, target=ARM, variants=variants)["_UOP"]
    assert [(patch.func, patch.offsets) for patch in group.code.patches] == expected


@pytest.mark.parametrize("dialect", [PY313, PY314], ids=lambda dialect: dialect.SERIES)
@pytest.mark.parametrize("value", [B.ZERO, B.DATA], ids=["of something else", "of a constant"])
def test_relaxed_loads_that_are_not_from_slots_are_refused(dialect: Dialect, value: B) -> None:
    """COFF has one kind for all loads; patch_aarch64_33rx would put what is there now into a general register."""
    code = ADRP_X8.to_bytes(4, "little") + LDR_X8_X8.to_bytes(4, "little") + NOP * 2
    symbol = "_PyFoo" if value is B.ZERO else None
    halves = (
        hole(0, "IMAGE_REL_ARM64_PAGEBASE_REL21", Operation.COFF_PAGE21, value, symbol),
        hole(4, "IMAGE_REL_ARM64_PAGEOFFSET_12L", Operation.COFF_LO12_LOAD, value, symbol),
    )
    one = replace(unit(code, *halves), data=bytes(8))
    with pytest.raises(RelocationError, match="it is no slot") as caught:
        finish(dialect, one, target=ARM, variants=RELAXES)
    assert caught.value.where == "uop _UOP, offset 0x0"
    # Where each half is patched by itself, the load stays one.
    assert finish(dialect, one, target=ARM)["_UOP"].code.patches
    slots = replace(one, code_holes=tuple(replace(half, value=B.GOT, symbol="_PyFoo") for half in halves))
    (patch,) = finish(dialect, slots, target=ARM, variants=RELAXES)["_UOP"].code.patches
    assert patch.func == "patch_aarch64_33rx"


def test_two_loads_in_a_row_are_two_pairs() -> None:
    pair = slot_load(ADRP_X8, LDR_X8_X8)
    twice = replace(
        pair,
        code=pair.code[:8] * 2,
        code_holes=(*pair.code_holes, *(replace(h, offset=h.offset + 8) for h in pair.code_holes)),
    )
    group = finish(PY313, twice, target=ARM, variants=RELAXES)["_UOP"]
    assert [(patch.func, patch.offsets) for patch in group.code.patches] == [*FOLDED, ("patch_aarch64_33rx", (8,))]


JIT_C = "void\npatch_aarch64_33rx(unsigned char *location, uint64_t value)\n"


@pytest.mark.parametrize(
    ("version", "jit_c", "generator", "expected"),
    [
        ("3.13.15", "void\npatch_64(int x)\n", "", ()),
        ("3.13.5", JIT_C, "", RELAXES),
        ("3.14.0", JIT_C, "            and reg_a == reg_b1 == reg_b2\n", COMPARES),
        # What a refinement looks for means nothing without what it refines:
        ("3.14.7", "void\npatch_64(int x)\n", "reg_a == reg_b1 == reg_b2", ()),
        # 3.15's only way:
        ("3.15.0rc1", JIT_C, "reg_a == reg_b1 == reg_b2", ()),
    ],
)
def test_a_patch_release_is_recognised_by_its_files(
    version: str, jit_c: str, generator: str, expected: tuple[Variant, ...], tmp_path: Path
) -> None:
    tree = opened(tmp_path, version)
    (tmp_path / "Python/jit.c").write_text(jit_c)
    (tmp_path / "Tools/jit/_stencils.py").write_text(generator)
    assert dialects.variants(tree) == expected


def test_a_release_that_relaxes_must_say_how(tmp_path: Path) -> None:
    tree = opened(tmp_path, "3.13.5")
    (tmp_path / "Python/jit.c").write_text(JIT_C)
    with pytest.raises(SourceError, match=r"_stencils\.py"):
        dialects.variants(tree)


def test_only_what_configure_does_not_know_is_said_to_make() -> None:
    """3.15's configure has the shim's name for upstream's triples alone."""
    table = targets.load().targets
    said = {dialect.SERIES: {t.triple: dialect.make_arguments(t) for t in table} for dialect in (PY313, PY314, PY315)}
    assert not any(words for series in ("3.13", "3.14") for words in said[series].values())
    others = {triple: words for triple, words in said["3.15"].items() if words}
    assert set(others) == {target.triple for target in table if target.like}
    shim = "jit_shim-x86_64-unknown-linux-musl.o"
    assert others["x86_64-unknown-linux-musl"] == (f"JIT_OBJS={shim}", f"JIT_SHIM_BUILD_OBJS={shim}")
    for target in (target for target in table if target.like):
        asked = SpelledTarget(target=target, spelling=target.triple)
        assert PY315.make_arguments(target)[0] == f"JIT_OBJS={PY315.file_names(asked)['shim']}"
