"""What uops touch, found in LLVM IR of our own; the C that asks for it; what is made of a compiler's answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import manifest, witness
from stencilkit.errors import CompileError, ManifestError, WitnessError
from stencilkit.model.layout import CONFIGURATION, PLATFORM, Layout, Row, Span
from stencilkit.model.manifest import Manifest
from stencilkit.pipeline import opening, witnessing
from stencilkit.witness import Part, _types
from tests import samples

# struct frame { int a; char b : 3, c : 5; union { struct { short x, y; }; long both; }; struct cell { long v; } cell; }
# typedef struct { long first; } Plain;  struct cell cells[2];  struct frame runtime;
IR = """\
%struct.frame = type { i32, i8, %union.anon, %struct.cell }
%union.anon = type { i64 }
%struct.anon.0 = type { i16, i16 }
%struct.cell = type { i64 }
%struct.Plain = type { i64 }
%struct.other = type { i64 }
@runtime = external global %struct.frame, align 8
define i32 @uop(ptr %0, ptr %1) {
  %2 = getelementptr inbounds nuw %struct.frame, ptr %0, i32 0, i32 1, !dbg !90
  %3 = getelementptr inbounds %struct.frame, ptr %0, i32 0, i32 2
  %4 = getelementptr inbounds %struct.anon.0, ptr %3, i32 0, i32 1
  %5 = getelementptr inbounds %struct.Plain, ptr %1, i32 0, i32 0
  %6 = getelementptr inbounds %struct.other, ptr %1, i32 0, i32 0
  %7 = load i64, ptr getelementptr inbounds (i8, ptr @runtime, i64 16), align 8
  %8 = getelementptr inbounds [2 x %struct.cell], ptr %1, i64 0, i64 %7
}
!1 = !DIFile(filename: "/tree/Include/frame.h", directory: "/tmp")
!2 = !DIFile(filename: "/usr/include/other.h", directory: "/tmp")
!3 = !DIBasicType(name: "long", size: 64, encoding: DW_ATE_signed)
!10 = !DICompositeType(tag: DW_TAG_structure_type, name: "frame", file: !1, line: 1, size: 192, elements: !11)
!11 = !{!12, !13, !14, !15, !16}
!12 = !DIDerivedType(tag: DW_TAG_member, name: "a", scope: !10, file: !1, baseType: !3, size: 32)
!13 = !DIDerivedType(tag: DW_TAG_member, name: "b", baseType: !3, size: 3, offset: 32, flags: DIFlagBitField)
!14 = !DIDerivedType(tag: DW_TAG_member, name: "c", baseType: !3, size: 5, offset: 35, flags: DIFlagBitField)
!15 = !DIDerivedType(tag: DW_TAG_member, scope: !10, file: !1, baseType: !20, size: 64, offset: 64)
!16 = !DIDerivedType(tag: DW_TAG_member, name: "cell", scope: !10, file: !1, baseType: !30, size: 64, offset: 128)
!20 = distinct !DICompositeType(tag: DW_TAG_union_type, scope: !10, file: !1, size: 64, elements: !21)
!21 = !{!22, !23}
!22 = !DIDerivedType(tag: DW_TAG_member, scope: !20, file: !1, baseType: !24, size: 32)
!23 = !DIDerivedType(tag: DW_TAG_member, name: "both", scope: !20, file: !1, baseType: !3, size: 64)
!24 = distinct !DICompositeType(tag: DW_TAG_structure_type, scope: !20, file: !1, size: 32, elements: !25)
!25 = !{!26, !27}
!26 = !DIDerivedType(tag: DW_TAG_member, name: "x", scope: !24, file: !1, baseType: !3, size: 16)
!27 = !DIDerivedType(tag: DW_TAG_member, name: "y", scope: !24, file: !1, baseType: !3, size: 16, offset: 16)
!30 = !DICompositeType(tag: DW_TAG_structure_type, name: "cell", file: !1, size: 64, elements: !31)
!31 = !{!32}
!32 = !DIDerivedType(tag: DW_TAG_member, name: "v", scope: !30, file: !1, baseType: !3, size: 64)
!40 = !DIDerivedType(tag: DW_TAG_typedef, name: "Plain", file: !1, baseType: !41)
!41 = distinct !DICompositeType(tag: DW_TAG_structure_type, file: !1, size: 64, elements: !42)
!42 = !{!43}
!43 = !DIDerivedType(tag: DW_TAG_member, name: "first", scope: !41, file: !1, baseType: !3, size: i64 64)
!50 = !DICompositeType(tag: DW_TAG_structure_type, name: "other", file: !2, size: 64, elements: !51)
!51 = !{!52}
!52 = !DIDerivedType(tag: DW_TAG_member, name: "theirs", scope: !50, file: !2, baseType: !3, size: 64)
!60 = !DICompositeType(tag: DW_TAG_enumeration_type, file: !1, size: 32, elements: !61)
!61 = !{!62, !63}
!62 = !DIEnumerator(name: "USED", value: 1)
!63 = !DIEnumerator(name: "UNUSED", value: 2)
"""
PREPROCESSED = """\
# 1 "<built-in>"
#define __INT_MAX__ 2147483647
# 1 "/usr/include/limits.h" 1 3
#define PATH_MAX 4096
#define INT_MAX __INT_MAX__
#define NAME "text"
#define _POSIX_X 1
#define UNKNOWN 5
#define CALL(x) 1
# 1 "/tree/Include/frame.h" 1
#define PyTree 7
enum { USED = 1, UNUSED = 2 };
int x = USED + PATH_MAX;
"""
WORDS = frozenset({"PATH_MAX", "INT_MAX", "NAME", "_POSIX_X", "CALL", "PyTree"})


def found(ir: str = IR) -> Layout:
    common = witness.read(ir, PREPROCESSED, root="/tree", own=["/tree"], mark="mark")
    parts = witness.parts(ir, PREPROCESSED, common, mark="mark", pointer=8)
    return witness.find(parts.values(), common, words=WORDS)


def test_only_members_that_are_touched_are_found() -> None:
    layout = found()
    assert list(layout.members) == [
        "Plain.first",
        "struct frame.both",
        "struct frame.cell",
        "struct frame.cell.v",
        "struct frame.x",
        "struct frame.y",
    ]
    assert layout.members["struct frame.y"] == Span(start=0, size=2)


def test_bit_fields_are_found_with_all_of_their_unit() -> None:
    assert found().bits == {"struct frame.b": Span(start=32, size=3), "struct frame.c": Span(start=35, size=5)}


def test_types_of_other_headers_are_not_the_trees_and_elements_of_arrays_are() -> None:
    assert list(found().types) == ["Plain", "struct cell", "struct frame"]


def test_enumerators_count_that_occur_outside_their_definition() -> None:
    assert list(found().enumerators) == ["USED"]


def test_constants_are_numbers_of_system_headers_whose_names_the_tree_has() -> None:
    assert list(found().macros) == ["INT_MAX", "PATH_MAX"]


def test_a_structure_without_a_name_is_looked_for_by_its_size() -> None:
    """Through a pointer to a union, nothing says what the structure is in."""
    layout = found(IR.replace("%struct.anon.0, ptr %3", "%struct.anon.0, ptr %1"))
    assert {"struct frame.x", "struct frame.y"} <= layout.members.keys()


# Two uops, of which the second one calls a function and refers to a table of functions.
MARKED = """\
%struct.frame = type { i32, i8, i64, %struct.cell }
%struct.cell = type { i64 }
%struct.Plain = type { i64 }
@mark = external global i32
@table = internal constant [1 x ptr] [ptr @in_table]
define i32 @uop(ptr %0) {
  %2 = getelementptr inbounds %struct.frame, ptr %0, i32 0, i32 2
  store i32 0, ptr @mark, align 4
  %3 = getelementptr inbounds %struct.frame, ptr %0, i32 0, i32 0
  store i32 1, ptr @mark, align 4
  call void @called()
  %4 = load ptr, ptr @table
  store i32 -1, ptr @mark, align 4
  call void @behind()
}
define internal void @called() {
  call void @below()
}
define internal void @below() {
  %1 = getelementptr inbounds %struct.frame, ptr %0, i32 0, i32 3
}
define internal void @in_table() {
  %1 = getelementptr inbounds %struct.Plain, ptr %0, i32 0, i32 0
}
define internal void @behind() {
  %1 = getelementptr inbounds %struct.cell, ptr %0, i32 0, i32 0
}
"""
TEXT = """\
enum { USED = 1, UNUSED = 2 };
int x; mark = 0; y = USED; mark = 1; z = 3; mark = -1; w = 3;
"""


def part(number: str, ir: str = MARKED, text: str = TEXT) -> Part:
    debug = IR[IR.index("!1 = ") :]
    common = witness.read(ir + debug, text, root="/tree", own=["/tree"], mark="mark")
    return witness.parts(ir + debug, text, common, mark="mark", pointer=8)[number]


def test_each_uop_uses_what_is_behind_its_mark_and_what_that_calls() -> None:
    assert part("0").members.keys() == {"struct frame.a"}
    assert part("1").members.keys() == {"struct frame.cell", "struct frame.cell.v", "Plain.first"}
    assert part("").members.keys() == {"struct frame.both", "struct frame.x", "struct cell.v"}
    assert [part(number).enumerators for number in ("0", "1", "")] == [{"USED"}, set(), set()]
    assert part("", text=TEXT.replace("w = 3", "w = USED")).enumerators == {"USED"}


def test_what_all_have_does_not_depend_on_which_uops_are_asked_about() -> None:
    lines = MARKED.splitlines(keepends=True)
    start, end = (lines.index(f"  store i32 {number}, ptr @mark, align 4\n") for number in (1, -1))
    without = "".join([*lines[:start], *lines[end:]])
    # Of what nothing refers to, clang writes nothing.
    for name in ("called", "below", "in_table"):
        at = without.index(f"define internal void @{name}(")
        without = without[:at] + without[without.index("}\n", at) + 2 :]
    without = without.replace("@table = internal constant [1 x ptr] [ptr @in_table]\n", "")
    for number in ("", "0"):
        assert part(number, without) == part(number)


def test_what_uops_use_is_written_and_read() -> None:
    known = {f"uop {number}": part(number) for number in ("", "0", "1")}
    known["bits"] = Part(types=frozenset(), members={}, bits={"s.b": Span(start=3, size=5)}, enumerators=frozenset())
    assert witness.load(witness.dump(known)) == known


def test_what_holds_for_whatever_uops_is_written_and_read() -> None:
    debug = IR[IR.index("!1 = ") :]
    common = witness.read(MARKED + debug, f"extern int mark;{TEXT}", root="/tree", own=["/tree"], mark="mark")
    again = witness.load_common(witness.dump_common(common), "/tree")
    assert again.enumerators == common.enumerators == {"USED", "UNUSED"}
    parts = witness.parts(MARKED + debug, TEXT, common, mark="mark", pointer=8)
    # Neither the types nor the headers are asked for again.
    start = TEXT.index("int x")
    alone = witness.parts(MARKED, TEXT[start:], again, mark="mark", pointer=8)
    assert [alone[number] for number in ("0", "1")] == [parts[number] for number in ("0", "1")]


@pytest.mark.parametrize("text", ["", "\0" * 4, "\0" * 6, "a" + "\0" * 5, "a\tb" + "\0" * 5, "\0a" + "\0" * 4])
def test_an_entry_that_is_not_what_holds_for_uops_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unpack"):
        witness.load_common(text, "/tree")


def definitions(text: str) -> str:
    return witness.read("", f"{text}\nextern int mark;\n#define AFTER 1\n", root="/", own=["/"], mark="mark").macros


def test_macros_are_those_that_hold_behind_the_headers() -> None:
    assert definitions("#define A 1\n#define F(x) x\n#undef A\nint x;\n#define F(x) y") == "#undef A\n#define F(x) y\n"
    assert definitions("#undef A\n#define A 2") == "#define A 2\n"
    assert definitions("#define A 1\n#define A$B 2\n#undef A$C") == "#define A 1\n#define A$B 2\n#undef A$C\n"


@pytest.mark.parametrize("text", ['#pragma pop_macro("A")', '__pragma(pop_macro("A"))'])
def test_macros_that_may_come_back_are_not_known(text: str) -> None:
    assert not definitions(f"#define A 1\n{text}")
    assert not witness.read("", "#define A 1\n", root="/", own=["/"], mark="mark").macros


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("struct a *x; (union b)y; sizeof(struct c); enum d e; f(struct g, struct h[2]);", False),
        ("structure { typedefs; }", False),
        ("struct a { int b; } c;", True),
        ("enum { A } b;", True),
        ("union __attribute__((packed)) a { int b; };", True),
        ("struct\na\n{ int b; };", True),
        ("typedef int a;", True),
    ],
)
def test_types_that_a_uop_declares_are_seen(text: str, answer: bool) -> None:  # a parameter of a test
    text = text.replace("struct h[2]", "struct h *")
    assert witness.declares(f"typedef int z; struct y {{ int z; }};\nmark = 0; {text}", "mark") is answer
    assert not witness.declares(text, "mark")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "[[], []]",
        '[[["type", "x", 0, "0"]], {"a": [0]}]',
        '[[["other", "x", 0, 0]], {"a": [0]}]',
        '[[], {"a": [0]}]',
    ],
)
def test_an_entry_that_is_not_what_uops_use_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        witness.load(text)


def test_a_structure_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(CompileError, match=r"struct\.anon\.0"):
        found(
            IR.replace("%struct.anon.0, ptr %3", "%struct.anon.0, ptr %1").replace(
                "%struct.anon.0 = type { i16, i16 }", "%struct.anon.0 = type { i64, i64, i64 }"
            )
        )


@pytest.mark.parametrize(
    ("spelt", "extent"),
    [
        ("i1", (1, 1)),
        ("i24", (4, 4)),
        ("i128", (16, 16)),
        ("{ i8, i32 }", (8, 4)),
        ("<{ i8, i32 }>", (5, 1)),
        ("[3 x { i8, [2 x ptr] }]", (72, 8)),
        ("{}", (0, 1)),
        ("x86_fp80", (16, 16)),
    ],
)
def test_sizes_are_those_of_the_abi(spelt: str, extent: tuple[int, int]) -> None:
    assert _types.read("", 8).extent(spelt) == extent


def layout() -> Layout:
    return Layout(
        platform=dict.fromkeys(PLATFORM, 8),
        configuration=dict.fromkeys(CONFIGURATION, 0),
        macros={"PATH_MAX": 4096},
        enumerators={"FRAME_CREATED": -3},
        types={"struct _ts": Span(start=8, size=696)},
        members={"struct _ts.interp": Span(start=16, size=8), "struct _ts.rest": Span(start=24, size=0)},
        bits={"PyASCIIObject.state.kind": Span(start=258, size=3)},
    )


def test_the_text_asserts_every_number_once() -> None:
    text = witness.asserting(layout(), '#include "Python.h"\n', "CPython").text
    rows = list(layout().rows())
    assert text.count("_Static_assert") == len(rows) == len(PLATFORM) + len(CONFIGURATION) + 2 + 2 + 3
    assert '_Static_assert((__builtin_offsetof(struct _ts, interp)) == 16, "offset of struct _ts.interp is 16' in text
    # What a flag like -m32 changes is said even if the headers stop at it.
    assert text.index("sizeof(void *)") < text.index("#include") < text.index("struct _ts")


def test_errors_are_those_of_rows_or_of_the_rest() -> None:
    text = witness.asserting(layout(), '#include "Python.h"\n', "CPython")
    line = text.text.splitlines().index(next(x for x in text.text.splitlines() if "PATH_MAX" in x)) + 1
    rows, others = text.failed(
        f"/tmp/a/witness.c:{line}:1: error: static assertion failed: x\n"
        "/usr/include/x.h:3:2: error: #error no\ncc1: error: bad value\n"
        "fatal error: too many errors emitted, stopping now [-ferror-limit=]\n"
    )
    assert [row.subject for row in rows if isinstance(row, Row)] == ["PATH_MAX"]
    assert others == ("/usr/include/x.h:3:2: error: #error no", "cc1: error: bad value")


def test_numbers_are_found_in_an_object_of_any_format() -> None:
    data = b"\x7fELF" + b"stencilkit-value-3".ljust(64, b"\0") + (-3).to_bytes(8, "little", signed=True)
    data += b"stencilkit-bits-0".ljust(64, b"\0") + bytes([0, 0b00011100]).ljust(512, b"\0")
    assert witness.numbers(data) == {3: -3}
    assert witness.spans(data) == {0: Span(start=10, size=3)}


@pytest.mark.parametrize("bits", [b"\0", b"\x05"])
def test_bits_that_are_no_run_are_no_bit_field(bits: bytes) -> None:
    assert witness.spans(b"stencilkit-bits-0".ljust(64, b"\0") + bits)[0].size == 0


def test_a_difference_is_named_with_both_values() -> None:
    rows = {row.subject: row for row in layout().rows()}
    different: dict[Row, int | str] = {
        rows["PATH_MAX"]: 1024,
        rows["offset of struct _ts.interp"]: "no member named 'interp'",
    }
    bits: dict[str, Span | str] = {"PyASCIIObject.state.kind": Span(start=256, size=3)}
    (check,) = witness.judge(layout(), different, bits, ())
    assert check.status == "failed"
    assert check.details == (
        "PATH_MAX: 4096 in the stencils, 1024 here",
        "offset of struct _ts.interp: 16 in the stencils, none (no member named 'interp') here",
        "PyASCIIObject.state.kind: 3 bits from bit 258 in the stencils, 3 bits from bit 256 here",
    )


def test_what_does_not_compile_is_no_yes() -> None:
    (check,) = witness.judge(layout(), {}, {}, ("x.h:1: error: no",))
    assert check.status == "failed"
    (check,) = witness.judge(layout(), {}, layout().bits, ())
    assert check.status == "passed"


@pytest.fixture
def described(tmp_path: Path) -> Manifest:
    opened = samples.tree(tmp_path / "tree")
    return samples.describe(opened, samples.FILES, samples.stencils(), "0" * 64)


def test_a_manifest_keeps_a_layout(described: Manifest) -> None:
    with_layout = replace(described, layout=layout())
    assert manifest.parse(manifest.render(with_layout), "m").layout == layout()
    assert manifest.parse(manifest.render(described), "m").layout is None
    assert manifest.parse_layout(manifest.render_layout(layout())) == layout()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"macros": {'X"); system("x': 1}}, "layout.macros"),
        ({"types": {"struct a b": Span(start=1, size=1)}}, "layout.types"),
        ({"members": {"struct a": Span(start=1, size=1)}}, "layout.members"),
        ({"members": {"struct a.b[0]": Span(start=1, size=1)}}, "layout.members"),
        ({"bits": {"struct a.b\u00e9": Span(start=1, size=1)}}, "layout.bits"),
        ({"bits": {"struct a.b": Span(start=-1, size=1)}}, "layout.bits"),
        ({"platform": {}}, "layout.platform"),
        ({"configuration": {"Py_OTHER": 1}}, "layout.configuration"),
    ],
)
def test_what_is_no_name_in_c_is_refused(change: dict[str, object], where: str, described: Manifest) -> None:
    """Names of a manifest, which anybody can write, end up in C."""
    wrong = replace(described, layout=replace(layout(), **change))  # type: ignore[arg-type]
    with pytest.raises(ManifestError) as caught:
        manifest.parse(manifest.render(wrong), "m")
    assert caught.value.what.startswith(where)


def test_stencils_of_an_older_stencilkit_have_none(described: Manifest, tmp_path: Path) -> None:
    known = opening.describe(described)
    with pytest.raises(WitnessError, match="compiled in"):
        witnessing.text_of(known, samples.tree(tmp_path / "again"))


def test_where_nothing_says_which_compiler_it_is(tmp_path: Path) -> None:
    tree = samples.tree(tmp_path / "tree")
    with pytest.raises(WitnessError, match="not a configured build folder"):
        witnessing.runtime(tree, tmp_path)
    (tmp_path / "pyconfig.h").touch()
    with pytest.raises(WitnessError, match="is not here: no-such-cc"):
        witnessing.runtime(tree, tmp_path, "no-such-cc")
