"""identify as a command: programs, packages, folders and processes; lief parses small programs of our own."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import struct
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import cli, packages, programs
from stencilkit.errors import ProcessError, ProgramError, UsageError
from stencilkit.model.stencil import Stencil, StencilGroup, StencilSet
from stencilkit.pipeline import identifying
from stencilkit.support import process
from tests import samples
from tests.unit.test_identify import SIZES, candidate, codes, program

pytestmark = pytest.mark.process
RUNTIME = b"PYTHONHOME\0"
# struct Elf64_Ehdr and Elf64_Phdr (gABI).
EHDR, PHDR = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
SYSCONFIG = b"build_time_vars = {'PY_CORE_CFLAGS': '-O3 -D_Py_TIER2=%d -D_Py_JIT'}\n"


def elf(content: bytes, machine: int = 62, kind: int = 1) -> bytes:
    """Make a shared library of one segment without sections; `kind` is that of the segment (1: PT_LOAD)."""
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    size = EHDR.size + PHDR.size + len(content)
    header = EHDR.pack(ident, 3, machine, 1, 0, EHDR.size, 0, 0, EHDR.size, PHDR.size, 1, 0, 0, 0)
    return header + PHDR.pack(kind, 4, 0, 0, 0, size, size, 4096) + content


def python(bodies: Mapping[str, bytes] | None = None, **more: Any) -> bytes:
    """Make a libpython with stencils in it, by default those of a build that is known."""
    return elf(program(codes() if bodies is None else bodies, **more).content + RUNTIME)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> identifying.Known:
    """Know the stencils of one build, also where the command asks."""
    found = identifying.Known([candidate(codes())])
    monkeypatch.setattr(identifying, "known", lambda *_: found)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Install a Python into a prefix, with its configuration and that of another one."""
    for name, content in {
        "bin/python3.14": python(),
        "lib/python3.14/_sysconfigdata__linux_x86_64-linux-gnu.py": SYSCONFIG % 3,
        "lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py": SYSCONFIG % 4,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path / "bin/python3.14"


def packed(contents: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return raw.getvalue()


def wheel(contents: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return raw.getvalue()


def test_a_program_is_identified_with_the_configuration_beside_it(
    installed: Path, known: identifying.Known, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["identify", str(installed)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{installed}: identified"
    assert "  CPython      3.14.7" in lines
    assert "  target       elf x86_64" in lines
    assert "  JIT          built in; off unless PYTHON_JIT=1" in lines
    assert f"  found        16 of 16 stencils, {sum(SIZES)} of {sum(SIZES)} bytes" in lines


def test_a_changed_program_is_refused_and_named(
    tmp_path: Path, known: identifying.Known, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(python())
    content[content.index(codes()["_UOP_11"]) + 100] ^= 1
    (tmp_path / "python").write_bytes(content)
    assert cli.main(["identify", "--format", "json", str(tmp_path / "python")]) == 1
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    (found,) = answer["pythons"]
    assert (answer["files"], found["verdict"]) == (1, "changed")
    assert found["refused"] == ['the verdict is "changed", not "identified"']
    (rules := tmp_path / "rules.toml").write_text('schema = 1\naccept = ["identified", "changed"]\n')
    assert cli.main(["identify", "--policy", str(rules), str(tmp_path / "python")]) == 0
    rules.write_text("schema = 1\naccept = []\n")
    assert cli.main(["identify", "--policy", str(rules), str(tmp_path / "python")]) == 2
    assert "accept: must name at least one verdict, and not all" in capsys.readouterr().err


def test_a_program_without_a_runtime_is_not_identified(
    tmp_path: Path, known: identifying.Known, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "true").write_bytes(elf(bytes(5000)))
    assert cli.main(["identify", str(tmp_path / "true")]) == 1
    assert f"{tmp_path / 'true'}: unknown" in capsys.readouterr().out


def test_of_a_folder_every_runtime_is_looked_at_and_damage_is_trouble(
    tmp_path: Path, known: identifying.Known, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here"
    for name, content in {
        "a/libpython3.14.so": python(),
        "a/notes.txt": b"not a program, but it mentions " + RUNTIME,
        "b/_sysconfigdata__linux.py": SYSCONFIG % 1,
        "b/other.so": elf(b"no runtime"),
    }.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)
    assert cli.main(["identify", str(here)]) == 0
    printed = capsys.readouterr().out
    assert f"{here}/a/libpython3.14.so: identified" in printed
    assert "built in; on" in printed
    (here / "c").write_bytes(b"\x7fELF" + RUNTIME * 9)
    assert cli.main(["identify", str(here)]) == 2
    printed = capsys.readouterr().out
    assert f"{here}/a/libpython3.14.so: identified" in printed, "the others are still answered"
    assert f"where: {here}/c" in printed
    assert "next:  check that the file is whole" in printed


def test_contradictory_configurations_say_nothing(tmp_path: Path, known: identifying.Known) -> None:
    for number in (1, 3):
        (tmp_path / f"_sysconfigdata_{number}.py").write_bytes(SYSCONFIG % number)
    (tmp_path / "libpython3.14.so").write_bytes(python())
    (found,) = identifying.run(tmp_path, known).found
    assert found.jit_setting == ""


@pytest.mark.parametrize("pack", [packed, wheel])
def test_packages_within_packages_are_opened(pack: Any, tmp_path: Path, known: identifying.Known) -> None:
    inner = pack({"lib/libpython3.14.so": python(), "lib/_sysconfigdata_.py": SYSCONFIG % 6})
    (tmp_path / "outer").write_bytes(packed({"README": b"x", "data.pack": inner}))
    answer = identifying.run(tmp_path / "outer", known)
    (found,) = answer.found
    assert found.program.label == f"{tmp_path}/outer!data.pack!lib/libpython3.14.so"
    assert (found.verdict, found.jit_setting) == ("identified", "interpreter only, off unless PYTHON_JIT=1")
    assert answer.members == 4


def test_what_is_packed_too_deeply_is_not_opened(tmp_path: Path, known: identifying.Known) -> None:
    content = packed({"lib/libpython3.14.so": python()})
    for _ in range(3):
        content = packed({"inner.pack": content})
    (tmp_path / "outer").write_bytes(content)
    assert identifying.run(tmp_path / "outer", known).found == ()


@pytest.mark.parametrize(
    ("content", "what", "step"),
    [
        (packed({"lib/x": b"y" * 5000})[:-30], "it cannot be unpacked", "check that the file is whole"),
        (packed({"../evil": b"y"}), "unsafe path", "do not use this archive"),
        (packed({"large": bytes(3000)}), "it has more than", "unpack it and name the program"),
        (b"#!/bin/sh\n", "neither a program nor a package", "name an ELF, PE or Mach-O"),
        (b"\x7fELF", "nothing of it is loaded from the file", "check that the file is whole"),
        (elf(b"UPX!" + bytes(5000)), "it is packed with UPX", "unpack it first: upx -d"),
        (elf(bytes(5000), kind=4), "nothing of it is loaded from the file", "check that the file is whole"),
    ],
    ids=["cut", "unsafe", "large", "script", "damaged", "upx", "unloaded"],
)
def test_what_cannot_be_read_is_trouble(
    content: bytes,
    what: str,
    step: str,
    tmp_path: Path,
    known: identifying.Known,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "_LARGEST", 2000)
    (tmp_path / "x").write_bytes(content)
    assert cli.main(["identify", str(tmp_path / "x")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert what in printed.err
    assert f"next:  {step}" in printed.err


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, known: identifying.Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "LARGEST", 1 << 20)
    os.truncate(os.open(tmp_path / "x", os.O_CREAT | os.O_WRONLY), (1 << 20) + 1)
    with pytest.raises(ProgramError, match="larger than 1 MiB") as caught:
        identifying.run(tmp_path / "x", known)
    assert caught.value.where == str(tmp_path / "x")
    with pytest.raises(ProgramError, match="larger than 1 MiB"):
        programs.read(bytes((1 << 20) + 1), "x")


@pytest.mark.parametrize("printed", [b"", b"{", b"{}", b"null"])
def test_what_lief_does_not_answer_about_is_not_a_program(printed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    done = process.Completed(command=("x",), returncode=0, stdout=printed, stderr=b"")
    monkeypatch.setattr(process, "run", lambda *_, **__: done)
    with pytest.raises(ProgramError, match="lief cannot parse it"):
        programs.read(b"\x7fELF", "x")


def test_where_lief_hangs_or_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: object, **__: object) -> None:
        raise ProcessError("did not end within 60 seconds", fix="")

    monkeypatch.setattr(process, "run", hangs)
    with pytest.raises(ProgramError, match="lief cannot parse it"):
        programs.read(b"\x7fELF", "x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ProgramError, match="lief, which parses programs, is not installed") as caught:
        programs.read(b"\x7fELF", "x")
    assert caught.value.fix == "pip install 'stencilkit[identify]'"


def test_without_libarchive_the_message_says_so(
    tmp_path: Path, known: identifying.Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libarchive", None)
    monkeypatch.setitem(sys.modules, "libarchive.exception", None)
    (tmp_path / "x.whl").write_bytes(wheel({"a": b"b"}))
    with pytest.raises(ProgramError, match="libarchive, which reads packages") as caught:
        identifying.run(tmp_path / "x.whl", known)
    assert "libarchive13" in caught.value.fix


def test_regions_are_within_the_file_and_do_not_overlap() -> None:
    rows = [("b", 50, 100), ("a", 0, 60), ("inside", 10, 20), ("behind", 200, 10), ("end", 90, 50)]
    found = [(region.name, region.offset, region.size) for region in programs._regions(rows, 100)]
    assert found == [("a", 0, 60), ("b", 60, 40)]


def test_a_running_process_is_found_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert Path(sys.executable).resolve() in identifying.running(os.getpid())
    # No process has a number like this.
    assert cli.main(["identify", "--pid", "999999999"]) == 2
    assert "the files of process 999999999 cannot be seen: No such file or directory" in capsys.readouterr().err


def test_something_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["identify"]) == 2
    assert "nothing was named" in capsys.readouterr().err
    assert cli.main(["identify", str(tmp_path / "none")]) == 2
    assert "is not a file or a folder" in capsys.readouterr().err


def test_one_file_is_not_files(tmp_path: Path, known: identifying.Known, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes").write_text("x")
    assert cli.main(["identify", str(tmp_path / "here")]) == 1
    assert capsys.readouterr().out == f"{tmp_path / 'here'}: no CPython among 1 file\n"


# The question that verify asks of a program that was built.


def evidence(bodies: Mapping[str, bytes], tmp_path: Path) -> Any:
    """Know stencils by their manifest, as verify does once it has read a header."""
    empty = Stencil(body=b"", patches=())
    groups = tuple(
        StencilGroup(name=name, code=Stencil(body=body, patches=()), data=empty) for name, body in bodies.items()
    )
    tree = samples.tree(tmp_path / "tree")
    held = StencilSet(groups=groups, entry="shim")
    manifest = samples.describe(tree, samples.FILES, samples.stencils(), "0" * 64)
    return SimpleNamespace(described=SimpleNamespace(manifest=manifest), header=SimpleNamespace(stencils=held))


def test_verify_finds_the_stencils_in_the_program(tmp_path: Path) -> None:
    (path := tmp_path / "python").write_bytes(python())
    (check,) = identifying.is_it_in_the_binary(evidence(codes(), tmp_path), path)
    assert (check.status, check.what) == ("passed", f"{path} contains all 16 stencils that can be found in a program")


def test_verify_names_stencils_that_are_not_in_the_program(tmp_path: Path) -> None:
    stored = {name: code for name, code in codes().items() if name not in ("_UOP_09", "_UOP_12")}
    (path := tmp_path / "python").write_bytes(python(stored))
    (check,) = identifying.is_it_in_the_binary(evidence(codes(), tmp_path), path)
    assert (check.status, check.what) == ("failed", f"{path} does not contain these stencils (nearest)")
    assert check.details == ("_UOP_09 (130 bytes) is not in it", "_UOP_12 (333 bytes) is not in it")


def test_verify_does_not_pass_where_no_python_was_found(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes").write_text("x")
    (check,) = identifying.is_it_in_the_binary(evidence(codes(), tmp_path), tmp_path / "here")
    assert check.status == "failed"
    assert check.what == f"no CPython was found among 1 file in {tmp_path / 'here'}, so nothing was compared"
    assert check.details[0].startswith("next: name the python or libpython that make built")


def test_only_described_stencils_are_signed(tmp_path: Path) -> None:
    bare: Any = SimpleNamespace(manifest=None, label="jit_stencils.h")
    with pytest.raises(UsageError, match=r"jit_stencils\.h has no manifest") as caught:
        identifying.sign([bare], tmp_path)
    assert caught.value.fix == "give output folders of stencilkit build"
    assert list(tmp_path.iterdir()) == []
