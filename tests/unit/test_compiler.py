"""How units are compiled, with a stand-in for clang: in batches where it takes them, one by one where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import compiler
from stencilkit.compiler import Account, Session, closure, completeness
from stencilkit.errors import CompileError, FlagError, ProcessError
from stencilkit.model.build import Closure, Emits
from stencilkit.model.source import Unit
from stencilkit.model.target import Flag, Flavour, ObjectFormat
from stencilkit.support import process
from tests import fakes

TRIPLE = "x86_64-unknown-linux-gnu"
SUFFIXES = {"-emit-obj": ".o", "-c": ".o", "-emit-llvm": ".ll", "-S": ".s"}


class Clang:
    """Answers like a clang, in this process; `bad` inputs do not compile, `lost` ones not in a batch.

    A batch `dies` after it has written all its outputs, one of them in part.
    """

    def __init__(
        self, *, batches: bool = True, bad: Sequence[str] = (), lost: Sequence[str] = (), dies: int = 0
    ) -> None:
        self.batches = batches
        self.dies = dies
        self.bad = set(bad)
        self.lost = set(lost)
        self.printed = ""
        self.answer = '"/usr/bin/clang" "-cc1" "-triple" "t" {action} "-disable-free" "-main-file-name" "{name}" "-O3" "-o" "probe.out" "-x" "c" "{name}"'  # noqa: E501  # one line, as clang prints it
        self.calls: list[tuple[str, ...]] = []

    def __call__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        timeout: float = 0,
        stdin_from: Path | None = None,
        stdout_to: Path | None = None,
    ) -> process.Completed:
        assert stdin_from in (None, cwd / "prefix.h")
        done = self._answer(tuple(map(str, command)), cwd)
        if stdout_to is None:
            return done
        stdout_to.write_bytes(done.stdout + done.stderr)
        return replace(done, stdout=b"", stderr=b"")

    def _answer(self, words: tuple[str, ...], cwd: Path) -> process.Completed:
        self.calls.append(words)
        if "-###" in words:
            name = next(word for word in words if word.startswith("probe.") and word != "probe.out")
            action = '"-S"' if "-S" in words else '"-emit-obj"'
            return self.done(words, err=f"clang version 19\n{self.answer.format(name=name, action=action)}\n")
        inputs = [word for word in words if Path(word).suffix in (".c", ".ir", ".ll", ".s") and word != "prefix.c"]
        if "-emit-pch" in words:
            if not self.batches:
                return self.done(words, code=1, err="error: unknown argument: -cc1")
            (cwd / "prefix.pch").write_text((cwd / "prefix.h").read_text())
            return self.done(words)
        if "-o" in words:
            inputs = [words[words.index("-o") + 2]]
        suffix = next(SUFFIXES[word] for word in words if word in SUFFIXES)
        batched = "-o" not in words
        failed = [name for name in inputs if Path(name).stem in (self.bad | self.lost if batched else self.bad)]
        for name in inputs:
            if name not in failed:
                target = cwd / (name if batched else words[words.index("-o") + 1])
                text = (cwd / name).read_text()
                target.with_suffix(suffix).write_text(f"{'batch' if batched else 'single'}: {text}")
        err = "".join(f"{name}:1:1: error: no such thing\nnote: {name}\n" for name in failed)
        unwell = self.bad.intersection(Path(name).stem for name in inputs)
        code = self.dies if batched and not unwell else int(bool(unwell))
        return self.done(words, code=code, err=self.printed + err)

    @staticmethod
    def done(command: tuple[str, ...], *, code: int = 0, err: str = "") -> process.Completed:
        return process.Completed(command=command, returncode=code, stdout=b"", stderr=err.encode())


UNITS = (fakes.unit("_A"), fakes.unit("_B"), fakes.unit("shim", role="group"))


def session(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    clang: Clang,
    *,
    units: tuple[Unit, ...] = UNITS,
    emits: Emits = "object",
    flavour: Flavour = "release",
    command: tuple[str, ...] = ("/usr/bin/clang",),
    batched: bool = True,
    single: bool = False,
    kept: bytes | None = None,
) -> Session:
    monkeypatch.setattr(process, "run", clang)
    plan = fakes.plan(here, units, emits=emits, flavour=flavour, command=command)
    work = here / "work"
    work.mkdir(parents=True)
    return compiler.prepare(compiler.ask(plan, work, batched=batched), single=single, kept=kept)


def text(data: bytes) -> str:
    return data.decode()


def test_uops_share_a_process_and_a_precompiled_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang()
    build = session(tmp_path, monkeypatch, clang)
    made = build.emit(UNITS)
    outputs = made.data
    assert build.driver == "batched"
    assert (build.notes, made.account.failures) == ((), {})
    assert (tmp_path / "work/prefix.pch").read_text() == UNITS[0].prefix
    assert text(outputs["_A"]) == f"batch: {UNITS[0].tail}"
    assert text(outputs["_B"]) == f"batch: {UNITS[1].tail}"
    assert text(outputs["shim"]) == f"single: {UNITS[2].whole}", "it has flags of its own"
    assert made.account.alone == {"shim"}
    (batch,) = [call for call in clang.calls if call[1] == "-cc1" and "-emit-pch" not in call]
    assert batch == (
        *("/usr/bin/clang", "-cc1", "-triple", "t", "-emit-obj", "-O3"),
        *("-include-pch", str(tmp_path / "work/prefix.pch"), "-x", "c", "_A.c", "_B.c"),
    )


@pytest.mark.parametrize("short", [True, False])
def test_a_single_uop_is_compiled_with_its_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: bool) -> None:
    clang = Clang()
    unit = fakes.unit("_A", short_body="short\n") if short else UNITS[0]
    if short:
        clang.printed = DUMP
    build = session(tmp_path, monkeypatch, clang, units=(unit,), single=True)
    made = build.emit([unit])
    assert text(made.data["_A"]) == f"batch: {unit.prefix}{unit.short_tail}"
    assert made.account.alone == frozenset(), "as one of a batch, which is what the manifest says"
    assert made.account.shortened == ({"_A"} if short else frozenset())
    assert not [call for call in clang.calls if "-emit-pch" in call or "-include-pch" in call]
    assert build.driver == "batched"


def test_a_prefix_that_was_kept_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang()
    build = session(tmp_path, monkeypatch, clang, single=True, kept=b"kept")
    assert text(build.emit(UNITS[:1]).data["_A"]) == f"batch: {UNITS[0].tail}"
    (batch,) = [call for call in clang.calls if call[1] == "-cc1"]
    assert batch[-5:] == ("-include-pch", str(build.prefix), "-x", "c", "_A.c")
    assert build.prefix.read_bytes() == b"kept"


def test_flags_are_those_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang()
    build = session(tmp_path, monkeypatch, clang)
    build.emit(UNITS)
    asked = next(call for call in clang.calls if "-###" in call)
    assert asked[:2] == ("/usr/bin/clang", f"--target={TRIPLE}")
    assert f"-I{tmp_path / 'cpython'}/Include" in asked
    assert f"-I{tmp_path / 'config'}" in asked
    # As in upstream's 3.14: the user's flags come last, behind the file.
    assert asked[-2:] == ("-DMINE", "-###")
    start = asked.index("-std=c11") + 1
    assert asked[start : start + 5] == ("-c", "-o", "probe.out", "probe.c", "-fno-pic")
    assert not [word for call in clang.calls for word in call if "{" in word]


@pytest.mark.parametrize(
    ("spoil", "note"),
    [
        (lambda clang: setattr(clang, "batches", False), "clang -cc1 -emit-pch failed: error: unknown argument: -cc1"),
        (lambda clang: setattr(clang, "answer", "nothing of use"), "names no single -cc1 command"),
        (lambda clang: setattr(clang, "answer", f"{clang.answer}\n{clang.answer}"), "names no single -cc1 command"),
    ],
    ids=["refuses -cc1", "answers something else", "several jobs"],
)
def test_a_clang_that_refuses_is_called_once_per_unit(
    spoil: object, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang()
    spoil(clang)  # type: ignore[operator]
    build = session(tmp_path, monkeypatch, clang)
    assert build.driver == "plain"
    assert len(build.notes) == 1
    assert note in build.notes[0]
    made = build.emit(UNITS)
    assert {name: text(data) for name, data in made.data.items()} == {
        one.name: f"single: {one.whole}" for one in UNITS
    }  # fmt: skip
    assert made.account.alone == {"_A", "_B", "shim"}


def test_a_clang_that_hangs_at_the_question_is_called_once_per_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_arguments: object, **_more: object) -> process.Completed:
        raise ProcessError("clang did not end")

    clang = Clang()
    monkeypatch.setattr(clang, "done", hang)
    build = session(tmp_path, monkeypatch, clang)
    assert (build.driver, build.notes) == ("plain", ("one compiler process per uop: clang did not end",))


def test_one_process_per_uop_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang()
    build = session(tmp_path, monkeypatch, clang, batched=False)
    build.emit(UNITS)
    assert (build.driver, build.notes) == ("plain", ())
    assert len(clang.calls) == len(UNITS)


def test_units_that_share_no_prefix_are_compiled_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Unit(name="_C", prefix="", body="", body_line=1, file="./_C.c", sources=())
    build = session(tmp_path, monkeypatch, Clang(), units=(*UNITS, odd))
    assert build.notes == ("one compiler process per uop: the units share no prefix",)


def test_a_unit_that_a_batch_loses_gets_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = session(tmp_path, monkeypatch, Clang(lost=["_A"]))
    made = build.emit(UNITS)
    assert text(made.data["_A"]).startswith("single: ")
    assert text(made.data["_B"]).startswith("batch: ")
    assert made.account == Account(alone=frozenset({"_A", "shim"}))
    compiler.check_failures(build.plan, made.account.failures)


@pytest.mark.parametrize("code", [1, -9, -11, 70])
def test_nothing_is_kept_of_a_batch_that_did_not_end_well(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clang that was killed while it wrote had left half of a uop, which became a stencil."""
    build = session(tmp_path, monkeypatch, Clang(dies=code))
    made = build.emit(UNITS)
    assert {name: text(data) for name, data in made.data.items()} == {one.name: f"single: {one.whole}" for one in UNITS}
    assert made.account.alone == {"_A", "_B", "shim"}
    assert not made.account.failures
    assert made.account.notes[0].startswith("a batch was thrown away: clang ")
    assembled = build.assemble({"_A": "a", "_B": "b"})
    assert (assembled.data, assembled.account.failures) == ({"_A": b"single: a", "_B": b"single: b"}, {})
    other = session(tmp_path / "ir", monkeypatch, Clang(dies=code), emits="llvm-ir")
    assert other.finish_ir({"_A": "ir"}).data == {"_A": b"single: ir"}


ELF = '\t.text\n\t.globl\tf\n\t.type\tf,@function\nf:\n\tincl\t%eax\n\tretq\n\t.size\tf, .-f\n\t.ident\t"clang"\n'
WHOLE: dict[tuple[Emits, ObjectFormat], str] = {
    ("assembly", "elf"): ELF + '\t.section\t".note.GNU-stack","",@progbits\n\t.addrsig\n\t.addrsig_sym f\n',
    ("assembly", "macho"): "\t.globl\t_f\n_f:\n\tretq\n\t.section\t__TEXT,__const\n.subsections_via_symbols\n",
    ("assembly", "coff"): "\t.def\tf;\n\t.endef\nf:\n\tincl\t%eax\n\tretq\n\t.addrsig\n\t.addrsig_sym f\n",
    ("llvm-ir", "elf"): "define void @f() #0 {\n  ret void\n}\nattributes #0 = { noinline }\n"
    '!llvm.module.flags = !{!0}\n!0 = !{i32 1, !"wchar_size", i32 4}\n',
}


@pytest.mark.parametrize(("emits", "form"), WHOLE, ids=str)
def test_assembly_and_ir_that_end_early_are_not_taken(emits: Emits, form: ObjectFormat) -> None:
    """They would assemble all the same, without the last instruction of a function."""
    whole = WHOLE[emits, form].encode()
    assert completeness.problem(emits, form, whole) == ""
    needed = whole.split(b"\t.addrsig_sym")[0]
    # .addrsig says which addresses matter to a linker: on ELF the note before it is the end.
    needed = needed.removesuffix(b"\t.addrsig\n") if form == "elf" else needed
    cuts = [cut for cut in range(len(needed)) if not completeness.problem(emits, form, needed[:cut])]
    assert cuts == []


def test_a_compiler_that_ends_well_with_half_of_its_output_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = session(tmp_path, monkeypatch, Clang(), emits="assembly")
    made = build.emit(UNITS[:1])
    assert made.data == {}
    assert made.account.failures["_A"].startswith("clang wrote _A.s in part, although it ended with 0: ")


def test_all_failures_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = session(tmp_path, monkeypatch, Clang(bad=["_A", "_B"]))
    made = build.emit(UNITS)
    assert made.data.keys() == {"shim"}
    with pytest.raises(CompileError) as caught:
        compiler.check_failures(build.plan, made.account.failures)
    assert caught.value.what == "2 of 3 units did not compile"
    assert caught.value.where == "LLVM 19.1.7 (path: /usr/bin/clang)"
    assert caught.value.details == "[_A, _B]\n_A.c:1:1: error: no such thing\nnote: _A.c"


def test_long_diagnostics_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = session(tmp_path, monkeypatch, Clang())
    failures = {"_A": "\n".join(["x: error: one", *map(str, range(20))]), "_B": "x: error: two"}
    with pytest.raises(CompileError) as caught:
        compiler.check_failures(build.plan, failures)
    lines = str(caught.value.details).splitlines()
    assert lines[:2] == ["[_A]", "x: error: one"]
    assert lines[-3:] == ["... 9 more lines", "[_B]", "x: error: two"]


@pytest.mark.parametrize(
    ("code", "err", "told"),
    [
        (-9, "", "clang was killed by SIGKILL"),
        (0, "", "clang ended with 0"),
        (-11, "a trace", "clang was killed by SIGSEGV\na trace"),
    ],
)  # rows
def test_a_compiler_that_dies_is_told(
    code: int, err: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = session(tmp_path, monkeypatch, Clang(), batched=False)
    monkeypatch.setattr(process, "run", lambda command, **_: Clang.done(tuple(command), code=code, err=err))
    made = build.emit(UNITS[:1])
    assert made.data == {}
    assert made.account.failures["_A"].startswith(told)


DUMP = "; *** IR Dump After CallSiteSplittingPass on _JIT_ENTRY ***\ndefine i64 @_JIT_ENTRY() {\n  ret i64 0\n}\n"
PHIS = DUMP.replace("  ret", "  %1 = phi i64 [0, %2]\n  %3 = phi i64 [0, %2]\n  ret")
SHORT = tuple(fakes.unit(name, short_body=f"short {name}\n") for name in ("_A", "_B"))


def test_dead_code_is_left_out_where_that_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang()
    clang.printed = DUMP + PHIS
    build = session(tmp_path, monkeypatch, clang, units=SHORT)
    made = build.emit(SHORT)
    assert made.account.shortened == {"_A"}
    assert text(made.data["_A"]) == f"batch: {SHORT[0].short_tail}"
    assert text(made.data["_B"]) == f"batch: {SHORT[1].tail}"


def test_debug_builds_and_silent_clangs_compile_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flavours: tuple[Flavour, ...] = ("release", "debug")
    for flavour, printed in zip(flavours, ("", DUMP * 2), strict=True):
        clang = Clang()
        clang.printed = printed
        build = session(tmp_path / flavour, monkeypatch, clang, units=SHORT, flavour=flavour)
        made = build.emit(SHORT)
        assert {text(data) for data in made.data.values()} == {f"batch: {one.tail}" for one in SHORT}
        assert made.account.shortened == frozenset()


def test_a_unit_that_stays_an_object_is_compiled_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang()
    units = (fakes.unit("_A"), fakes.unit("shim", role="object"))
    build = session(tmp_path, monkeypatch, clang, units=units, emits="assembly", batched=False)
    build.emit(units)
    assert [call[call.index("-o") - 1] for call in clang.calls] == ["-S", "-c"]


def test_ir_is_compiled_in_a_second_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(lost=["_B"])
    build = session(tmp_path, monkeypatch, clang, emits="llvm-ir")
    made = build.finish_ir({"_A": "ir of a", "_B": "ir of b"})
    assert {name: text(data) for name, data in made.data.items()} == {"_A": "batch: ir of a", "_B": "single: ir of b"}
    assert made.account.alone == {"_B"}
    assert build.finish_ir({}) == compiler.Outputs()


def test_texts_of_ir_keep_the_names_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM 24 does not read a second text that has lost them."""
    clang = Clang()
    clang.answer = clang.answer.replace('"-O3"', '"-O3" "-discard-value-names"')
    build = session(tmp_path, monkeypatch, clang, emits="llvm-ir")
    assert "-discard-value-names" in build.second_cc1
    build.finish_ir({"_A": "ir of a", "_B": "ir of b"})
    assert clang.calls[-1][-4:] == ("-x", "ir", "_A.ll", "_B.ll")
    assert "-discard-value-names" not in clang.calls[-1]


def test_a_note_of_a_batch_says_what_clang_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = session(tmp_path, monkeypatch, Clang(bad=["_A"]))
    (note,) = build.emit(UNITS).account.notes
    assert note == "a batch was thrown away: clang ended with 1: _A.c:1:1: error: no such thing"


def test_assembly_goes_through_one_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(lost=["_B"], bad=["_C"])
    build = replace(session(tmp_path, monkeypatch, clang, batched=False), driver="batched")
    made = build.assemble({"_A": "a", "_B": "b"})
    assert made.data == {"_A": b"batch: a", "_B": b"single: b"}
    assert clang.calls[0] == ("/usr/bin/clang", f"--target={TRIPLE}", "-c", "_A.s", "_B.s")
    assert made.account == Account()
    (tmp_path / "work" / "assemble-_A").rename(tmp_path / "work" / "first")
    made = build.assemble({"_A": "a", "_C": "c"})
    assert made.data == {"_A": b"single: a"}
    assert made.account.failures == {"_C": "_C.s:1:1: error: no such thing\nnote: _C.s"}


def test_cc1_has_its_own_resource_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel's clang is called with -resource-dir, and -cc1 must come first."""
    clang = Clang()
    build = session(tmp_path, monkeypatch, clang, command=("/zig", "clang", "-resource-dir", "/lib"))
    build.emit(UNITS)
    starts = {call[:4] for call in clang.calls}
    assert ("/zig", "clang", "-cc1", "-triple") in starts
    assert ("/zig", "clang", "-resource-dir", "/lib") in starts


# What is included


def closure_of(
    here: Path, monkeypatch: pytest.MonkeyPatch, rule: str, *, code: int = 0, bad: str = "", link: str = ""
) -> tuple[Closure, list[tuple[str, ...]]]:
    calls = []

    def run(command: Sequence[str], *, cwd: Path, timeout: float) -> process.Completed:
        source = cwd / command[command.index("-MF") + 2]
        calls.append((*map(str, command), source.read_text()))
        source.with_suffix(".d").write_text(rule.replace("closure", source.stem))
        ended = code or int(bad in command)
        return process.Completed(command=(), returncode=ended, stdout=b"text", stderr=b"no Python.h")

    build = session(here, monkeypatch, Clang(), batched=False)
    (here / "config").mkdir()
    (here / "config" / (link or "pyconfig.h")).write_text("#define A")
    if link:
        (here / "config/pyconfig.h").symlink_to(link)
    monkeypatch.setattr(process, "run", run)
    return closure.find(build.plan, build.work), calls


@pytest.mark.parametrize("link", ["", "pyconfig-64.h"])
def test_every_file_that_is_included_is_found_by_its_origin(
    link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cpython/Include/a b.h", "resource/include/stddef.h", "system/errno$#.h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    rule = (
        "closure.o: closure.c \\\n"
        f"  {tmp_path}/cpython/Include/a\\ b.h {tmp_path}/resource/include/stddef.h \\\n"
        f"  {tmp_path}/system/errno$$\\#.h {tmp_path}/config/pyconfig.h\n"
    )
    found, calls = closure_of(tmp_path, monkeypatch, rule, link=link)
    below = tmp_path.relative_to("/").as_posix()
    assert [(file.origin, file.name) for file in found.files] == [
        ("compiler", "stddef.h"),
        ("pyconfig", "pyconfig.h"),
        ("system", f"{below}/system/errno$#.h"),
        ("tree", "Include/a b.h"),
        ("tree", "Tools/jit/template.c"),
    ]
    assert not {"pyconfig.h", "pyconfig-64.h"} & {path.name for path, _ in found.paths}
    start = calls[0].index("-E")
    assert calls[0][start : start + 5] == ("-E", "-P", "-dD", "-MD", "-MF")
    assert calls[0][-1] == UNITS[0].prefix, "what all units share is there once"
    assert found.digest == "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"


def test_headers_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CompileError, match="cannot preprocess") as caught:
        closure_of(tmp_path, monkeypatch, "", code=1)
    assert caught.value.details == "no Python.h"
    assert "pyconfig.h is for this target" in caught.value.fix


def test_flags_that_clang_does_not_take_are_not_blamed_on_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fakes.plan() compiles with -DMINE: without it, this clang is content."""
    with pytest.raises(FlagError, match="cannot preprocess what all uops include with these flags") as caught:
        closure_of(tmp_path, monkeypatch, "", bad="-DMINE")
    assert caught.value.where == "--cflags (CPython's CFLAGS_JIT): -DMINE"
    assert caught.value.details == "no Python.h"
    assert "headers" not in caught.value.fix


def test_what_only_the_shim_includes_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, 3.15's shim is compiled with other macros than uops are."""
    build = session(tmp_path, monkeypatch, Clang())
    shim = fakes.unit("shim", role="object", prefix="#include <shim.h>\n")
    other = Flag(text="-UPy_BUILD_CORE_MODULE", why="a reason", unit="entry")
    plan = replace(build.plan, units=(*build.plan.units, shim), flags=(*build.plan.flags, other))
    assert closure._kinds(plan) == {False: UNITS[0].prefix, True: f"{UNITS[0].prefix}\n{shim.prefix}"}
    assert closure._kinds(build.plan) == {False: UNITS[0].prefix}
