"""The texts of what can be wrong with a uop's code, from the case in the source to the hole in the header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stencilkit import asmopt, dialects, emit, holes, manifest, merge, reader, source, targets, unwind
from stencilkit.errors import StencilkitError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole
from stencilkit.model.stencil import Hole, HoleValue, LoweredUnit, Operation
from stencilkit.model.unwind import FrameTable
from stencilkit.pipeline import knowing
from tests import fakes, goldens, samples

FOLDER = Path(__file__).parent / "core"
TARGETS = {target.triple: target for target in targets.load().targets}
LINUX, MAC = TARGETS["x86_64-unknown-linux-gnu"], TARGETS["aarch64-apple-darwin"]
WINDOWS = TARGETS["x86_64-pc-windows-msvc"]
Case = Callable[[Path], object]


def assembly(*lines: str, frames: asmopt.Frames = "reserved", triple: str = LINUX.triple) -> Case:
    text = "\t.globl\t_JIT_ENTRY\n\t.type\t_JIT_ENTRY,@function\n_JIT_ENTRY:\n" + "".join(
        f"\t{line}\n" for line in lines
    )
    return lambda _: asmopt.rewrite("_LOAD_FAST", text, TARGETS[triple], frames)


def relocation(kind: str, symbol: str = "_PyFoo", offset: int = 4) -> Case:
    relocations = (Relocation(offset=offset, kind=kind, symbol=symbol, addend=-4),)
    section = Section(name=".text", role=SectionRole.CODE, data=bytes(16), relocations=relocations)
    return lambda _: holes.lower("_LOAD_FAST", ObjectFile(sections=(section,)), frozenset(HoleValue))


def cases(text: str) -> Case:
    def read(here: Path) -> object:
        return source.uops(knowing.tree(fakes.tree(here, cases=text)))

    return read


def unit(code: bytes, *code_holes: Hole) -> LoweredUnit:
    return LoweredUnit(
        name="_LOAD_FAST", code=code, data=b"", code_holes=code_holes, data_holes=(), symbols={"x": (HoleValue.DATA, 0)}
    )  # fmt: skip


def finish(series: str, triple: str, one: LoweredUnit) -> Case:
    support = targets.load().pythons[series].targets[triple]
    return lambda _: dialects.dialect_for(series).finish([one], TARGETS[triple], support, ())


def header(old: str, new: str) -> Case:
    form = dialects.dialect_for("3.14").HEADER
    text = emit.render_header(samples.stencils(), form, line1="0" * 64, line2="ours")
    assert old in text
    return lambda _: reader.read(text.replace(old, new), dialects.header_forms(), "jit_stencils.h")


def sealed(old: str, new: str) -> Case:
    def read(here: Path) -> object:
        described = samples.describe(samples.tree(here), samples.FILES, samples.stencils(), "0" * 64)
        text = manifest.render(described)
        assert old in text
        return manifest.parse(text.replace(old, new), "manifest.toml")

    return read


def hole(kind: str, operation: Operation, symbol: str) -> Hole:
    value = HoleValue.GOT if "GOT" in kind else HoleValue.ZERO
    return Hole(offset=0, kind=kind, operation=operation, value=value, symbol=symbol, addend=-4)


NO_FRAMES = FrameTable(code_alignment=1, data_alignment=-8, return_register=16, rows=())
ERRORS: dict[str, Case] = {
    "uop-of-unknown-shape": cases(fakes.CASES.replace("case _NOP: {", "case _NOP:\n        {")),
    "uop-twice": cases(fakes.CASES.replace("_LOAD_FAST", "_NOP")),
    "uops-cut-off": cases(fakes.CASES[:60]),
    "assembly-from-apples-clang": assembly(".cfi_startproc", "ret", triple=MAC.triple),
    "assembly-directive": assembly('.incbin "file"', "retq"),
    "assembly-line": assembly("nop", "!"),
    "assembly-two-statements": assembly("nop; retq"),
    "assembly-jump-table": assembly("jmpq *%rax", ".quad .LBB0_1"),
    "assembly-block-address": assembly("leaq .LBB0_1(%rip), %rax", "retq"),
    "assembly-unknown-jump": assembly("jxx _JIT_ERROR_TARGET", "retq"),
    "assembly-empty": assembly(),
    "frame-pointer-modified": assembly("movq %rsp, %rbp", "retq"),
    "frame-of-unknown-shape": assembly("pushq %rbp", "movq %rsp, %rbp", "leave", "retq", frames="all"),
    "merged-local": lambda _: merge.merge({"_LOAD_FAST": "\t.local\t.Lx\n"}, LINUX),
    "merged-section": lambda _: merge.split(
        ObjectFile(sections=(Section(name=".data", role=SectionRole.DATA, data=b"x"),)), ["_LOAD_FAST"]
    ),
    "relocation-unknown": relocation("R_X86_64_NEW"),
    "relocation-of-pic": relocation("R_X86_64_GOTOFF64"),
    "relocation-of-small-code": relocation("R_X86_64_32S"),
    "relocation-outside": relocation("R_X86_64_64", offset=16),
    "entry-not-first": lambda _: holes.check_entry(unit(b"\x90"), "_JIT_ENTRY"),
    "patch-function-missing": finish(
        "3.14", "aarch64-unknown-linux-gnu", unit(bytes(4), hole("R_AARCH64_CONDBR19", Operation.BRANCH19, "f"))
    ),
    "not-imported-from-dll": finish(
        "3.14", WINDOWS.triple, unit(bytes(4), hole("IMAGE_REL_AMD64_REL32", Operation.COFF_REL32, "PyBar"))
    ),
    "slot-not-given-out": finish(
        "3.15", LINUX.triple, unit(bytes(4), hole("R_X86_64_GOTPCREL", Operation.REL32, "PyBar"))
    ),
    "code-not-aligned": finish("3.14", "aarch64-unknown-linux-gnu", unit(bytes(3))),
    "convention-there-already": lambda _: dialects.dialect_for("3.13").edit_ir("define fastcc i64 @_JIT_ENTRY() {"),
    "shim-calls-twice": lambda _: unwind.derive(NO_FRAMES, [1, 2], "x86_64"),
    "shim-without-frames": lambda _: unwind.derive(NO_FRAMES, [1], "x86_64"),
    "header-line": header("patch_32r(", "patch_33r("),
    "header-size": header("code_body[9]", "code_body[5]"),
    "manifest-field": sealed('flavour = "release"', 'flavour = "fast"'),
    "manifest-seal": sealed('host = "sample"', 'host = "another"'),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_texts(name: str, tmp_path: Path) -> None:
    with pytest.raises(StencilkitError) as caught:
        ERRORS[name](tmp_path)
    text = caught.value.as_text().replace(str(tmp_path), "HERE")
    assert "next:" in text
    goldens.check(FOLDER / f"{name}.txt", f"{type(caught.value).__name__}: {text}\n")


def test_no_text_is_kept_of_errors_that_are_gone() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(ERRORS)
