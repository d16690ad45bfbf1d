"""What verify refuses, by name, and what it lets pass; on small headers, manifests and trees of our own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import cli, configure, dialects, emit, ledger, manifest, reader, source, verify
from stencilkit.errors import BundleError, ConfigureError, PolicyError, UsageError
from stencilkit.model.build import IncludedFile
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME, Manifest
from stencilkit.model.novelty import Difference
from stencilkit.model.source import SourceTree
from stencilkit.model.verdict import Check, Policy, Verdict
from stencilkit.pipeline import evidence, gathering, knowing, opening, rebuilding, rendering, verifying
from stencilkit.pipeline.evidence import Subject
from stencilkit.support import archive
from stencilkit.support.cache import NoStore
from tests import samples


class Case:
    """An output folder, and the tree that it was built for."""

    def __init__(self, folder: Path, tree: SourceTree | None = None) -> None:
        self.tree = tree or samples.tree(folder / "tree")
        self.header = samples.folder(folder / "out", self.tree)
        self.manifest = self.header.with_name(MANIFEST_NAME)

    def verify(self, *, tree: bool = True, policy: Policy = verify.DEFAULT_POLICY) -> Verdict:
        opened = knowing.tree(self.tree.root) if tree else None
        return verifying.run(Subject(path=self.header.parent, tree=opened, policy=policy))

    def cases(self) -> bytes:
        return (self.tree.root / source.CASES).read_bytes()

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.tree.root / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def edit_header(self, old: str, new: str) -> None:
        text = self.header.read_text()
        assert old in text
        self.header.write_text(text.replace(old, new, 1))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def failures(verdict: Verdict) -> str:
    """Spell the failed checks of a verdict that must not accept."""
    assert not verdict.accepted
    failed = [check for check in verdict.checks if check.status == "failed"]
    assert failed
    return "\n".join(f"{check.kind}: {check.what}: {'; '.join(check.details)}" for check in failed)


def notes(verdict: Verdict) -> str:
    assert verdict.accepted, failures(verdict)
    return "\n".join(f"{c.what}: {'; '.join(c.details)}" for c in verdict.checks if c.status == "noted")


def test_a_build_is_accepted(case: Case) -> None:
    verdict = case.verify()
    assert notes(verdict) == ""
    assert verdict.stamp == verdict.digests["input"] == case.header.read_text()[3:67]
    assert {check.kind for check in verdict.checks} == {"canonical", "manifest", "tree"}
    assert set(verdict.digests) == {"input", "provenance", "content", "interface"}


def test_a_build_with_disassembly_is_accepted(tmp_path: Path) -> None:
    opened = samples.tree(tmp_path / "tree")
    header = samples.folder(tmp_path / "out", opened, comments=True)
    assert header.read_text().count("    // ") > 5
    assert notes(verifying.run(Subject(path=header))) == ""
    header.write_text(header.read_text().replace("    // ", "    // and ", 1))
    assert "holds more than stencils" in failures(verifying.run(Subject(path=header)))


def test_a_header_alone_is_no_yes(case: Case) -> None:
    case.manifest.unlink()
    assert "manifest: not checked: there is no manifest" in failures(verifying.run(Subject(path=case.header)))


@pytest.mark.parametrize("kind", ["tree", "ledger", "rebuild", "witness"])
def test_what_needs_a_manifest_is_not_said_to_need_anything_else(case: Case, kind: str) -> None:
    """A ledger that was given is not what is missing."""
    demanding = verify.parse_policy(f'schema = 1\nrequire = ["{kind}"]\n', "policy.toml")
    ledger_given = case.header.parent if kind == "ledger" else None
    case.manifest.unlink()
    found = failures(verifying.run(Subject(path=case.header, policy=demanding, ledger=ledger_given)))
    assert f"{kind}: not checked: there is no manifest (--manifest)" in found


def test_nor_is_anything_said_to_be_missing_where_the_header_is_refused(case: Case) -> None:
    """Its manifest is there, and nothing is compared with a header that holds something else."""
    demanding = verify.parse_policy('schema = 1\nrequire = ["manifest", "tree"]\n', "policy.toml")
    case.header.write_text(case.header.read_text().replace("0x", "0X", 1))
    found = failures(verifying.run(Subject(path=case.header, policy=demanding)))
    assert "there is no manifest" not in found
    assert "manifest: not checked: it takes a header that holds nothing but stencils" in found


HOSTILE = {
    "a statement": ("    memcpy(code, ", "    system(0);\n    memcpy(code, "),
    "a statement in the place of a blank": ("\n}\n\nvoid\nemit_shim", "\n    abort();\n}\n\nvoid\nemit_shim"),
    "C between functions": ("}\n\nvoid\nemit_shim(", "}\nint evil;\n\nvoid\nemit_shim("),
    "C between rows": ("    [_POP_TOP] =", "    [_EVIL] = {0},\n    [_POP_TOP] ="),
    "C at the end": ("static const void * const symbols_map[1]", "int evil;\nstatic const void * const symbols_map[1]"),
    "a macro": ("typedef struct {", "#define memcpy evil\ntypedef struct {"),
    "an include": ("typedef struct {", '#include "evil.h"\ntypedef struct {'),
    "an include in a comment": ("typedef struct {", '// fine \\\n#include "evil.h"\ntypedef struct {'),
    "a line continuation": (", content sha256:", ", content \\\nsha256:"),
    "a line continuation in line 2": ("\n\nvoid", " \\\n\nvoid"),
    "a trigraph": (", content sha256:", ", content ??/ sha256:"),
    "a trigraph at the end of line 2": ("\n\nvoid", "??/\n\nvoid"),
    "a call among the arguments": ("instruction->operand0)", "instruction->operand0), evil()"),
    "a call in place of a symbol": ("&_Py_Dealloc", "&_Py_Dealloc, evil()"),
    "an expression in place of a symbol": ("&_Py_Dealloc", "&x[evil()]"),
    "a function that jit.c does not have": ("patch_64(code", "patch_65(code"),
    "a comment": ("static_assert(", "// a comment\nstatic_assert("),
    "a comment in a body": ("        0x48,", "        /* x */ 0x48,"),
    "a carriage return": ("typedef struct {\n", "typedef struct {\r\n"),
    "a form feed": ("typedef struct {\n", "typedef struct {\f\n"),
    "a homoglyph": ("emit_shim(", "emit_\u0455him("),
    "a byte order mark": ("// ", "\ufeff// "),
    "a zero byte": ("typedef struct {\n", "typedef struct {\0\n"),
    "a hex digit": ("0x48,", "0x49,"),
    "a hole": ("code + 0x2,", "code + 0x3,"),
    "an addend": ("-0x4", "-0x8"),
    "a hole past the end": ("code + 0x2,", "code + 0x9,"),
    "a mask": ("{emit__NOP, 16, 8, {0}}", "{emit__NOP, 16, 8, {0x01}}"),
    "a size": ("{emit__NOP, 16, 8, {0}}", "{emit__NOP, 17, 8, {0}}"),
    "another name": ("emit__POP_TOP", "emit__POP_TWO"),
    "line 1": ("// ", "// 0"),
    "another CPython": ("jit_state *state)", "uintptr_t instruction_starts[])"),
    "an empty line more": ("};\n", "};\n\n"),
    "a blank at a line's end": ("};\n", "}; \n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused(case: Case, name: str) -> None:
    case.edit_header(*HOSTILE[name])
    assert failures(case.verify())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_headers_are_refused(case: Case, share: float) -> None:
    data = case.header.read_bytes()
    case.header.write_bytes(data[: int(len(data) * share)])
    assert "canonical: " in failures(case.verify())


def test_smuggled_code_is_refused_even_if_the_manifest_agrees(case: Case) -> None:
    before = case.header.read_bytes()
    case.edit_header("typedef struct {", "#define memcpy evil\ntypedef struct {")
    text = case.manifest.read_text().replace(samples.digest(before), samples.digest(case.header.read_bytes()))
    reseal(case, text)
    verdict = failures(case.verify())
    assert "canonical: it holds more than stencils: line" in verdict
    assert "'#define memcpy evil'" in verdict


def judged(old: str, new: str) -> Check:
    """Judge a header of the sample stencils with one patch of _NOP's edited."""
    form = dialects.dialect_for("3.14").HEADER
    line2 = f"stencilkit 0.1.0, content sha256:{'0' * 64}"
    text = emit.render_header(samples.stencils(), form, line1="0" * 64, line2=line2)
    assert old in text
    text = text.replace(old, new)
    return verify.canonical(text.encode(), text, reader.read(text, [form], "sample"))


def test_a_write_past_the_end_is_refused_even_if_everything_agrees() -> None:
    check = judged("code + 0x2,", "code + 0x9,")
    assert (check.status, check.details) == ("failed", ("_NOP: patch_64 writes past the end of the code",))


@pytest.mark.parametrize("offset", ["0x0", "0x1"])
def test_rewriting_the_stencil_before_is_refused_even_if_everything_agrees(offset: str) -> None:
    check = judged("patch_64(code + 0x2,", f"patch_x86_64_32rx(code + {offset},")
    detail = "_NOP: patch_x86_64_32rx rewrites what is before the start of the code"
    assert (check.status, check.details) == ("failed", (detail,))


def test_a_direct_call_at_the_start_is_accepted() -> None:
    """It has one byte before its displacement; and what upstream writes at the start of data is upstream's."""
    for old, new in (("patch_32r(code + 0x1,", "code + 0x1,"), ("patch_64(data + 0x0,", "data + 0x0,")):
        check = judged(old, f"patch_x86_64_32rx({new}")
        assert (check.status, check.details) == ("passed", ())


def reseal(case: Case, text: str) -> None:
    """Write a manifest with the seal that its text should have."""
    body = text[: text.rindex("seal = ")]
    case.manifest.write_text(f'{body}seal = "{samples.digest(body.encode())}"\n')


def test_a_lie_in_any_field_breaks_the_seal(case: Case) -> None:
    text = case.manifest.read_text()
    values = list(re.finditer(r'"([^"\n]+)"|= (\d+)\n', text))
    assert len(values) > 60
    for match in values:
        start, end = match.span(1) if match[1] else match.span(2)
        value = text[start:end]
        lie = value[:-1] + ("1" if value[-1] != "1" else "2")
        case.manifest.write_text(text[:start] + lie + text[end:])
        assert "manifest: the manifest is invalid" in failures(case.verify()), value


LIES = {
    "the CPython": ('cpython = "3.14.7"', 'cpython = "3.14.6"', "version: "),
    "the series": ('cpython = "3.14.7"', 'cpython = "3.15.7"', "its files are not those of CPython 3.15"),
    "a series that nobody knows": ('cpython = "3.14.7"', 'cpython = "3.99.7"', "does not know CPython 3.99"),
    "no version": ('cpython = "3.14.7"', 'cpython = "main"', "is not a CPython version"),
    "the LLVM": ('version = "19.1.7"', 'version = "./evil"', "is not an exact LLVM version"),
    "two files of a role": ('role = "dispatcher"', 'role = "stencils"', "no role twice"),
    "a file that is not one of these": ('role = "dispatcher"', 'role = "unwind"', "its files are not those of"),
    "what runs them": (
        'use = "runtime"\nname = "Python/jit.c"',
        'use = "line-1"\nname = "Python/jit.c"',
        "Python/jit.c",
    ),
    "a folder": ("Include/Python.h", "..", "is not a path below a folder"),
    "the triple": (f'triple = "{samples.TRIPLE}"', 'triple = "aarch64-unknown-linux-gnu"', "artifact.triple is"),
    "the flavour": ('flavour = "release"', 'flavour = "debug"', "flavour: "),
    "the processor": ('name = "x86-64"', 'name = "x86-64-v4"', "CFLAGS_JIT does not ask for"),
    "an instruction set": ("features = []", 'features = [\n    "+avx2",\n]', "CFLAGS_JIT does not ask for"),
    "no instruction set": ("features = []", 'features = [\n    "avx2",\n]', "must be of the form"),
    "cflags": ('cflags = ""', 'cflags = "-O3"', "does not follow from what it says went in"),
    "an included file": ("Include/Python.h", "Include/patchlevel.h", "Include/patchlevel.h: other content"),
    "the uops": (
        '"Python/executor_cases.c.h" = ',
        '"Python/generated_cases.c.h" = ',
        "which must name it",
    ),
    "a file of line 1": ('name = "Tools/jit/_llvm.py"', 'name = "Tools/jit/_ll.py"', "does not follow from"),
    "a macro": ('WITH_PYMALLOC = "1"', 'WITH_PYMALLOC = "2"', "WITH_PYMALLOC: '2' when built, '1' here"),
    "a hidden macro": ("#define HAVE_SOMETHING 1", "#define HAVE_SOMETHING 2", "what is not in it"),
    "a path out of the tree": ("Include/Python.h", "../Python.h", "is not a path below a folder"),
    "a newer schema": ("schema = 1", "schema = 2", "a newer stencilkit wrote it"),
    "an unknown field": ("[provenance]\n", "[provenance]\nmore = 1\n", "unknown field"),
    "the sizes": (" 16 8 3", " 17 8 3", "add up"),
    "holes": (" 16 8 3", " 16 8 4", "number of holes differ"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_under_a_good_seal_are_named(case: Case, name: str) -> None:
    old, new, message = LIES[name]
    text = case.manifest.read_text()
    assert old in text
    reseal(case, text.replace(old, new, 1))
    assert message in failures(case.verify())


# What a manifest records and nobody can hold against anything without building again: who built, with which
# program, from which headers of the machine's, and why.
ONLY_RECORDED = {
    *(
        "cpu.tune",
        "toolchain.vendor",
        "toolchain.program",
        "build.deviation",
        "build.flag",
        "pyconfig.foreign-words",
    ),
    *("include.system", "provenance.stencilkit", "provenance.host", "provenance.command"),
}


def places(text: str) -> Iterator[tuple[str, int, int]]:
    """List every value of a manifest: the table and key that it is under, and where it is."""
    table = key = ""
    for line in re.finditer(r".*\n", text):
        if title := re.fullmatch(r"\[+([\w.-]+)\]+\n", line[0]):
            table, key = title[1], ""
            continue
        if named := re.match(r"([\w-]+|\"[^\"\n]+\") = ", line[0]):
            # Names of files are values, too.
            key = "" if named[1].startswith('"') else named[1]
        for value in re.finditer(r'"([^"\n]+)"|= (\d+)\n', line[0]):
            start, end = value.span(1) if value[1] else value.span(2)
            yield f"{table}.{key}".strip("."), line.start() + start, line.start() + end


def test_a_lie_in_any_field_under_a_good_seal_is_refused(case: Case, tmp_path: Path) -> None:
    """With the tree and a ledger beside it, but for what is only recorded."""
    text = case.manifest.read_text()
    ledger.write(tmp_path / "ledger", Entry.of(manifest.parse(text, "sample")), 19)
    opened = knowing.tree(case.tree.root)
    believed, tried = set(), 0
    for key, _, end in places(text):
        if key == "provenance.seal":
            continue
        reseal(case, text[: end - 1] + ("1" if text[end - 1] != "1" else "2") + text[end:])
        tried += 1
        if verifying.run(Subject(path=case.header.parent, tree=opened, ledger=tmp_path / "ledger")).accepted:
            believed.add(key)
    assert tried > 60
    assert believed == ONLY_RECORDED


def test_a_file_with_two_digests_is_refused(case: Case) -> None:
    text = case.manifest.read_text()
    place = text.index('[[used]]\nuse = "line-1"\nname = "Python/executor_cases.c.h"')
    start = text.index('sha256 = "', place) + len('sha256 = "')
    reseal(case, text[:start] + "0" * 64 + text[start + 64 :])
    assert "has another digest than among the included files" in failures(case.verify(tree=False))


def test_a_header_that_is_missing_is_named(case: Case) -> None:
    case.header.unlink()
    assert "jit_stencils-x86_64-unknown-linux-gnu.h, which the manifest names, is missing" in failures(case.verify())


def test_a_macro_that_no_stencil_can_see_does_not_matter(case: Case) -> None:
    """#148646: autoconf 2.73 adds _COSMO_SOURCE."""
    before = case.verify().stamp
    case.edit(
        "pyconfig.h",
        "#ifndef _GNU_SOURCE",
        "#ifndef _COSMO_SOURCE\n# define _COSMO_SOURCE 1\n#endif\n#ifndef _GNU_SOURCE",
    )
    verdict = case.verify()
    text = notes(verdict)
    assert "pyconfig.h differs, in what no stencil can see: only here: #ifndef _COSMO_SOURCE" in text
    assert "line 1 differs; content equal: this tree's build computes another input digest" in text
    assert f"line 1 must be {verdict.stamp}" in text
    assert verdict.stamp != before


def test_a_restamped_header_is_accepted_for_its_tree_only(case: Case) -> None:
    case.edit("pyconfig.h", "#define HAVE_SOMETHING 1\n", "")
    stamp = case.verify().stamp
    case.header.write_text(f"// {stamp}\n" + case.header.read_text().split("\n", 1)[1])
    assert "restamped for this tree" in notes(case.verify())
    assert "line 1 is not the manifest's input digest" in failures(case.verify(tree=False))


def under_another_name(case: Case, folder: Path, name: str) -> Subject:
    """Copy the header, as somebody does who has no output folder; its manifest is named."""
    folder.mkdir()
    (folder / name).write_bytes(case.header.read_bytes())
    return Subject(path=folder / name, manifest=case.manifest)


def test_a_header_may_have_any_name_if_its_manifest_is_named(case: Case, tmp_path: Path) -> None:
    asked = under_another_name(case, tmp_path / "elsewhere", "stencils.h")
    assert verifying.run(asked).accepted
    asked.path.write_text(asked.path.read_text().replace("stencilkit 0", "stencilkit 9"))
    assert "files are not those of the manifest" in failures(verifying.run(asked))


def test_a_dispatcher_follows_the_spelling_of_the_header_beside_it(case: Case, tmp_path: Path) -> None:
    """What install places in a folder that configure guessed the triple of: x86_64-pc-linux-gnu."""
    spelt = knowing.target("x86_64-pc-linux-gnu")
    dialect = knowing.python("3.14").dialect
    asked = under_another_name(case, tmp_path / "build", dialect.file_names(spelt)["stencils"])
    dispatcher = asked.path.with_name("jit_stencils.h")
    ((_, rendered),) = rendering.dispatchers(dialect, [spelt]).items()
    dispatcher.write_bytes(rendered)
    assert verifying.run(asked).accepted
    dispatcher.write_bytes(rendered.replace(b"-pc-", b"-redhat-"))
    assert "jit_stencils.h is not what stencilkit writes" in failures(verifying.run(asked))


@pytest.mark.parametrize(
    ("series", "name", "spelling"),
    [
        ("3.14", "jit_stencils-x86_64-unknown-linux-gnu.h", samples.TRIPLE),
        ("3.14", "jit_stencils-x86_64-pc-linux-gnu.h", "x86_64-pc-linux-gnu"),
        ("3.14", "jit_stencils-aarch64-unknown-linux-gnu.h", samples.TRIPLE),
        ("3.14", "stencils.h", samples.TRIPLE),
        # The name is the manifest's; it spells the triple differently from the manifest.
        ("3.15", "jit_stencils-x86_64-unknown-linux-gnu.h", "x86_64-redhat-linux-gnu"),
    ],
)
def test_a_spelling_is_that_of_the_name_only_where_the_name_is_not_the_manifests(
    series: str, name: str, spelling: str, case: Case
) -> None:
    python = knowing.python(series)
    known = opening.describe(manifest.parse(case.manifest.read_text(), "m"))
    if series == "3.15":
        known = replace(known, request=knowing.target(spelling))
    known = replace(known, python=python)
    found = evidence.Found(
        name=name,
        original=b"",
        header=opening.read_header(case.header.read_text(), "h")[0],
        python=python,
        arch="x86_64",
    )
    assert gathering._as_named(found, known).spelling == spelling


PYMALLOC = "#define WITH_PYMALLOC 1"
SOMETHING = "#define HAVE_SOMETHING 1"
FRAME = "Include/internal/pycore_frame.h"
CONFIG = "pyconfig.h"
MISFITS = {
    "a macro's value": (CONFIG, PYMALLOC, "#define WITH_PYMALLOC 2", "WITH_PYMALLOC: '1' when built, '2' here"),
    "a macro less": (CONFIG, f"{PYMALLOC}\n", "", "WITH_PYMALLOC: '1' when built, not defined here"),
    "a macro of a system header": (CONFIG, SOMETHING, "#define errno 1", "errno: not defined when built, '1' here"),
    "a condition": (CONFIG, "#ifndef _GNU_SOURCE", "#ifdef _GNU_SOURCE", "only here: #ifdef _GNU_SOURCE | #define"),
    "other lines": (CONFIG, SOMETHING, '#include "more.h"', 'only here: #include "more.h"'),
    "a value": (CONFIG, PYMALLOC, "#define WITH_PYMALLOC HAVE_SOMETHING", "HAVE_SOMETHING: not defined when built"),
    "debug": (CONFIG, "/* #undef Py_DEBUG */", "#define Py_DEBUG 1", "flavour: the tree has 'debug'"),
    "a struct": (FRAME, "int a", "int b", f"{FRAME}: other content"),
    "a uop": ("Python/executor_cases.c.h", "break", "return", "Python/executor_cases.c.h: other content"),
    "jit.c": ("Python/jit.c", "int x", "int y", "Python/jit.c: other content"),
    "another release": ("Include/patchlevel.h", "3.14.7", "3.14.8", "version: the tree has '3.14.8'"),
    "a function less": ("Python/jit.c", "patch_64", "patch_63", "patch functions that the stencils call: patch_64"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_named(case: Case, name: str) -> None:
    file, old, new, message = MISFITS[name]
    case.edit(file, old, new)
    verdict = case.verify()
    assert message in failures(verdict)
    assert verdict.stamp == ""


def test_the_stencils_are_those_of_the_uops(case: Case) -> None:
    """One left of hundreds, and one that nobody knows, used to be accepted."""
    case.edit("Python/executor_cases.c.h", "case _POP_TOP: {", "case _POP_TWO: {")
    text = case.manifest.read_text()
    before, after = (samples.digest(data) for data in (samples.TREE[source.CASES].encode(), case.cases()))
    reseal(case, text.replace(before, after))
    assert "_POP_TWO: only in the tree; _POP_TOP: not in the tree" in failures(case.verify())


@pytest.mark.parametrize("condition", ["#if 0\n{}\n#endif\n", "{}\n"])
def test_what_an_include_names_must_be_in_the_manifest(case: Case, condition: str, tmp_path: Path) -> None:
    """A stale file passed when its row was left out."""
    line = condition.format('#  include "internal/pycore_frame.h"')
    (tmp_path / "other").mkdir()
    tree = samples.tree(tmp_path / "other", more={"Tools/jit/template.c": f"{line}CASE\n"})
    case = Case(tmp_path / "other", tree)
    assert case.verify().accepted
    text = case.manifest.read_text()
    row = re.search(r'"Include/internal/pycore_frame.h" = "[0-9a-f]+"\n', text)
    assert row
    reseal(case, text.replace(row[0], ""))
    assert "Include/internal/pycore_frame.h: not in the manifest, which must name it" in failures(case.verify())


def test_a_missing_file_is_named(case: Case) -> None:
    (case.tree.root / "Include/Python.h").unlink()
    assert "Include/Python.h: missing" in failures(case.verify())


def test_a_file_that_hides_a_system_header_is_named(case: Case) -> None:
    (case.tree.root / "Include/errno.h").write_text("")
    assert "Include/errno.h, in place of usr/include/errno.h" in failures(case.verify())


def test_the_generator_may_differ(case: Case) -> None:
    case.edit("Tools/jit/_llvm.py", "19", "20")
    assert "Tools/jit/_llvm.py: other content" in notes(case.verify())


def test_a_file_that_is_missing_in_a_folder_is_named(case: Case) -> None:
    case.header.with_name("jit_stencils.h").unlink()
    assert "jit_stencils.h is missing" in failures(case.verify())


def test_a_dispatcher_that_does_more_is_named(case: Case) -> None:
    path = case.header.with_name("jit_stencils.h")
    before = path.read_bytes()
    path.write_bytes(before.replace(b"#else", b'#include "evil.h"\n#else'))
    text = case.manifest.read_text().replace(samples.digest(before), samples.digest(path.read_bytes()))
    reseal(case, text)
    assert "canonical: jit_stencils.h is not what stencilkit writes" in failures(case.verify())


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("", "jit_stencils-x86_64-unknown-linux-gnu.h"),
        ("jit_stencils-b.h", "jit_stencils-x86_64-unknown-linux-gnu.h or jit_stencils-b.h"),
        ("../jit_stencils-c.h", "jit_stencils-x86_64-unknown-linux-gnu.h"),
    ],
)
def test_a_dispatcher_alone_is_said_to_be_one_and_the_header_is_named(case: Case, more: str, named: str) -> None:
    path = case.header.with_name("jit_stencils.h")
    path.write_text(path.read_text().replace("#else", f'#include "{more}"\n#else'))
    said = failures(verifying.run(Subject(path=path)))
    assert (
        f"it is the dispatcher: it has no stencils, and includes {named}; jit_stencils.h; next: give {named}," in said
    )


COMMAND = "// $ python3.14 /src/Tools/jit/build.py x86_64-pc-linux-gnu --cflags=-DX"


def test_a_dispatcher_that_make_wrote_again_is_the_same(case: Case) -> None:
    """A touched tree makes make run build.py, which leaves the header alone and names itself in the dispatcher."""
    path = case.header.with_name("jit_stencils.h")
    _, _, rest = path.read_text().partition("\n")
    path.write_text(f"{COMMAND}\n{rest}")
    assert case.verify().accepted


@pytest.mark.parametrize(
    "line",
    [
        "// $ anything",
        f"{COMMAND}\\",
        f"{COMMAND} \\ ",
        f"{COMMAND} ??/",
        f"{COMMAND}\x0b",
        COMMAND[2:],
        f"{COMMAND}\n#define EVIL",
    ],
)
def test_a_first_line_of_a_dispatcher_that_is_more_than_a_comment_is_named(case: Case, line: str) -> None:
    path = case.header.with_name("jit_stencils.h")
    _, _, rest = path.read_text().partition("\n")
    path.write_text(f"{line}\n{rest}")
    assert "canonical: jit_stencils.h is not what stencilkit writes" in failures(case.verify())


def test_policies_are_obeyed(case: Case) -> None:
    def parsed(text: str) -> Policy:
        return verify.parse_policy(f"schema = 1\n{text}", "policy.toml")

    fine = 'require = ["canonical", "tree"]\nllvm = "18..19"\nvendors = ["Sample*"]\n'
    assert notes(case.verify(policy=parsed(fine))) == ""
    assert "tree: not checked" in failures(case.verify(tree=False, policy=parsed(fine)))
    assert "LLVM 19.1.7 is not one of 20" in failures(
        case.verify(policy=parsed('require = ["canonical"]\nllvm = "20"'))
    )
    assert "Sample clang is not one" in failures(case.verify(policy=parsed('require = ["canonical"]\nvendors = ["x"]')))
    strict = parsed('require = ["canonical"]\ndeviations = false')
    assert "differently from CPython's own generator: -fno-plt" in failures(case.verify(policy=strict))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("require = []", "demands nothing"),
        ("", "require: missing"),
        ('require = ["love"]', "is not one of canonical"),
        ('require = ["tree"]\nllvm = "new"', "is not a version"),
        ('require = ["tree"]\nmore = 1', "unknown field"),
    ],
)
def test_policies_that_demand_nothing_are_no_policies(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        verify.parse_policy(f"schema = 1\n{text}", "policy.toml")


SIGNER = 'name = "one"\nidentity = "a@b"\nissuer = "https://example.org"'


@pytest.mark.parametrize(
    ("threshold", "signer", "message"),
    [
        (0, SIGNER, "threshold: must be from 1 to the number of builders named, 1"),
        (2, SIGNER, "threshold: must be from 1 to the number of builders named, 1"),
        (1, SIGNER.replace('"one"', '""'), r"signer\[0\].name: must be 1 to 80 printable characters"),
        (1, SIGNER.partition("\n")[0], "must have a key"),
        (1, f'{SIGNER}\nkey = "x"', "must have a key .* or an identity with its issuer, and not both"),
        (1, SIGNER.rpartition("\n")[0], "must have a key .* or an identity with its issuer"),
    ],
)
def test_policies_name_signers_that_can_be_counted(threshold: int, signer: str, message: str) -> None:
    text = f'require = ["attested"]\n[attestations]\nthreshold = {threshold}\n[[attestations.signer]]\n{signer}\n'
    with pytest.raises(PolicyError, match=message):
        verify.parse_policy(f"schema = 1\n{text}", "policy.toml")


def test_nothing_checked_is_no_yes() -> None:
    assert not Verdict(subject="x", checks=(), digests={}).accepted
    assert not verify.conclude("x", [], {}, verify.DEFAULT_POLICY, "").accepted


def test_where_pyconfig_is_looked_for(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.13 has Windows' as pyconfig.h.in; in a tree's root, that name is autoconf's template."""
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    (case.tree.root / "PC").mkdir()
    (case.tree.root / "PC" / "pyconfig.h.in").write_text("#define MS_WINDOWS\n")
    linux = samples.describe(case.tree, samples.FILES, samples.stencils(), "0" * 64)
    windows = replace(linux, spelling="x86_64-pc-windows-msvc", triple="x86_64-pc-windows-msvc")

    def place(described: Manifest, given: Path | None = None) -> Path:
        subject = Subject(path=case.header, tree=case.tree, pyconfig=given)
        return gathering.config_folder(subject, case.tree, opening.describe(described))

    with pytest.raises(
        ConfigureError, match=r"there is no pyconfig\.h of CPython 3\.14\.7 for x86_64-unknown-linux-gnu"
    ):
        # Nothing says that a build was configured here.
        (case.tree.root / "pyconfig.h").rename(tmp_path / "kept.h")
        place(linux)
    made = tmp_path / "cache" / "pyconfig" / "made"
    monkeypatch.setattr(configure, "made", lambda *_: made)
    assert place(linux) == made
    (tmp_path / "kept.h").rename(case.tree.root / "pyconfig.h")
    assert place(linux) == case.tree.root
    assert (place(windows) / "pyconfig.h").read_text() == "#define MS_WINDOWS\n"
    assert place(windows, tmp_path) == tmp_path


def test_another_series_is_named_first_and_nothing_else_is_asked(case: Case, tmp_path: Path) -> None:
    (samples.tree(tmp_path / "newer").root / "Include/patchlevel.h").write_text('#define PY_VERSION "3.15.0rc1"\n')
    (tmp_path / "newer" / "pyconfig.h").unlink()
    verdict = verifying.run(Subject(path=case.header.parent, tree=knowing.tree(tmp_path / "newer")))
    (failure,) = failures(verdict).splitlines()
    assert failure.startswith(f"tree: it was built for CPython 3.14, and {tmp_path / 'newer'} is CPython 3.15.0rc1")


def with_headers(case: Case, origin: str, *names: str) -> None:
    """Say in the manifest whose headers the stencils were compiled with."""
    read = manifest.parse(case.manifest.read_text(), "manifest.toml")
    more = tuple(IncludedFile(origin="system", name=name, sha256=samples.digest(b"")) for name in names)
    changed = replace(read, headers=origin, includes=(*read.includes, *more))  # type: ignore[arg-type]  # a Literal
    case.manifest.write_text(manifest.render(changed))


@pytest.mark.parametrize(
    ("origin", "names"),
    [("mingw", ()), ("sysroot", ("_mingw.h",)), ("system", ("include/any-windows-any/_mingw_mac.h",))],
)
def test_mingws_headers_make_no_msvc_stencils_unless_that_is_allowed(
    case: Case, origin: str, names: tuple[str, ...]
) -> None:
    with_headers(case, origin, *names)
    found = failures(case.verify(tree=False))
    assert "policy: it was compiled with mingw's headers" in found
    assert "(stencilkit build --sysroot); verify, pack and install accept it with --allow-mingw" in found
    assert all(name in found for name in names)
    assert case.verify(tree=False, policy=Policy(mingw=True)).accepted
    text = 'schema = 1\nrequire = ["canonical", "manifest"]\n'
    assert not case.verify(tree=False, policy=verify.parse_policy(text, "p")).accepted
    assert case.verify(tree=False, policy=verify.parse_policy(f"{text}mingw = true\n", "p")).accepted


def test_a_windows_sdk_is_no_mingw(case: Case) -> None:
    with_headers(case, "sysroot", "sdk/include/ucrt/stdio.h", "not_mingw.h")
    assert case.verify(tree=False).accepted


@pytest.mark.parametrize(("more", "code"), [((), 1), (("--allow-mingw",), 0)])
def test_the_command_refuses_mingw_unless_told_to(case: Case, more: tuple[str, ...], code: int) -> None:
    with_headers(case, "mingw")
    assert cli.main(["verify", "--consistent", str(case.header.parent), *more]) == code


def test_pack_refuses_mingw_unless_told_to(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_headers(case, "mingw")
    output = tmp_path / "packed.tar.gz"
    command = ["pack", str(case.header.parent), "-o", str(output)]
    assert cli.main(command) == 2
    assert "were compiled with mingw's headers" in capsys.readouterr().err
    assert not output.exists()
    assert cli.main([*command, "--allow-mingw"]) == 0
    assert output.exists()


def test_what_is_provisional_is_refused_unless_that_is_allowed(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An LLVM that was taken for another; a CPython that is known now is not provisional any more."""
    read = manifest.parse(case.manifest.read_text(), "manifest.toml")
    unknown = Difference(what="README.md has changed", weight="harmless", why="it is text")
    case.manifest.write_text(manifest.render(replace(read, provisional_llvm="18", differences=(unknown,))))
    assert manifest.parse(case.manifest.read_text(), "m").differences == (unknown,)
    folder, output = str(case.header.parent), tmp_path / "packed.tar.gz"
    assert "policy: it is provisional" in failures(case.verify(tree=False))
    assert case.verify(tree=False, policy=Policy(provisional=True)).accepted
    text = 'schema = 1\nrequire = ["canonical", "manifest"]\nprovisional = true\n'
    assert case.verify(tree=False, policy=verify.parse_policy(text, "p")).accepted
    assert cli.main(["verify", "--consistent", folder]) == 1
    assert cli.main(["verify", "--consistent", folder, "--provisional"]) == 0
    assert cli.main(["pack", folder, "-o", str(output)]) == 2
    assert "are provisional: LLVM" in capsys.readouterr().err
    assert not output.exists()
    assert cli.main(["pack", folder, "-o", str(output), "--provisional"]) == 0
    case.manifest.write_text(manifest.render(replace(read, provisional="3.13")))
    assert cli.main(["verify", "--consistent", folder, "--provisional"]) == 1
    assert "which stencilkit knows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("-o", "{out}.zip"), "is not the name of a bundle"),
        (("-o", "{out}.tar", "--cpython", "."), "--cpython is for --stamp"),
        (("-o", "{out}.tar", "--names", "fedora"), "--names fedora writes a folder"),
        (("-o", "{out}", "--names", "fedora"), "line 1 of these would fit no build: CPython 3.14.7"),
    ],
)
def test_pack_ignores_no_option(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], what: str
) -> None:
    words = [option.format(out=tmp_path / "packed") for option in options]
    assert cli.main(["pack", str(case.header.parent), *words]) == 2
    assert what in (said := capsys.readouterr().err)
    assert "  next:  " in said
    assert not list(tmp_path.glob("packed*"))


@pytest.mark.parametrize("command", ["verify", "audit", "compare", "show"])
def test_a_bundle_is_called_one(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    bundle = tmp_path / "b.tar.gz"
    assert cli.main(["pack", str(case.header.parent), "-o", str(bundle)]) == 0
    words = {"compare": [str(bundle), str(bundle)], "show": ["_NOP", str(bundle)]}.get(command, [str(bundle)])
    capsys.readouterr()
    assert cli.main([command, *words]) == 2
    said = capsys.readouterr().err
    assert f"{bundle} is a bundle" in said
    assert f"unpack it (tar -xf {bundle})" in said


@pytest.mark.parametrize("command", ["verify", "audit", "compare", "show"])
def test_the_headers_of_an_unpacked_bundle_are_taken(case: Case, tmp_path: Path, command: str) -> None:
    """What is said of a bundle gets a user on."""
    bundle = tmp_path / "b.tar.gz"
    assert cli.main(["pack", str(case.header.parent), "-o", str(bundle)]) == 0
    # Not extractall: the Python 3.11.2 of Debian 12 has no filters.
    for name, data in archive.read_tar(bundle, archive.Bounds(members=99, size=1 << 20), BundleError).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    header = tmp_path / "Tools/jit/stencils" / f"{samples.TRIPLE}.h"
    words = {
        "verify": [str(header), "--manifest", str(header.with_suffix(".manifest.toml")), "--consistent"],
        "audit": [str(header)],
        "compare": [str(header), str(header)],
        "show": ["_NOP", str(header)],
    }[command]
    assert cli.main([command, *words]) == 0


def test_a_policy_that_is_no_text_is_refused(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.toml").write_bytes(b"schema = \xff\n")
    assert cli.main(["verify", str(case.header), "--policy", str(tmp_path / "policy.toml")]) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_sizes_that_cost_no_bytes_are_refused(case: Case) -> None:
    """Zeroes at a body's end are left out, so a table can say anything."""
    text = case.header.read_text()
    case.header.write_text(text.replace("{emit__NOP, 16, 8, ", "{emit__NOP, 16, 99999999, ", 1))
    assert text != case.header.read_text()
    assert "bytes for _NOP" in failures(case.verify())


def test_a_rebuild_takes_no_flags_from_a_manifest(case: Case) -> None:
    """They could load a plugin: who can write a manifest can write its digests, too."""
    opened = knowing.tree(case.tree.root)
    described = replace(manifest.parse(case.manifest.read_text(), "m"), cflags="-Wl,anything")
    with pytest.raises(UsageError, match="-Wl,anything") as caught:
        rebuilding.again(opening.describe(described), opened, case.tree.root, "", NoStore())
    assert "configured with those flags" in caught.value.fix
