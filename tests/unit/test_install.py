"""Placing stencils in a build folder: what is written, what is refused; on trees and makefiles of our own."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli, dialects, manifest
from stencilkit.errors import BuildFolderError, BundleError, InstallError, OutputError
from stencilkit.model.artifact import Artifact
from stencilkit.model.build import IncludedFile
from stencilkit.model.buildfolder import BuildFolder
from stencilkit.pipeline import bundling, installing, knowing, placing
from tests import samples

pytestmark = pytest.mark.process

MAKEFILE = """\
HOST_GNU_TYPE=  {host}
PYTHON_FOR_REGEN?=python3.11

all:\t\t{goal}

jit_stencils.h: $(JIT_DEPS)
\t$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py {triples} --output-dir . --pyconfig-dir . --cflags="{cflags}"{debug}

build_all profile-opt pycremoval:

.PHONY: clean-retain-profile
clean-retain-profile: pycremoval
\tfind . -name '*.[oa]' -exec rm -f {{}} ';'

\t-rm -f Include/pydtrace_probes.h{deleted}
\t-rm -f profile-gen-stamp

.PHONY: clean
clean:
\t-rm -f jit_stencils*.h
"""
PC = "x86_64-pc-linux-gnu"


class Case:
    """A tree, stencils for it, and a build folder beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = samples.tree(root / "tree")
        samples.folder(root / "out", self.tree)
        (self.item,) = bundling.open_all(root / "out")
        self.build = root / "build"
        self.build.mkdir()
        self.configure()
        (self.build / "pyconfig.h").write_text(samples.PYCONFIG)

    def configure(self, host: str = PC, triples: str = PC, **changes: str) -> None:
        values = {"goal": "build_all", "cflags": "", "debug": "", "deleted": "", **changes}
        (self.build / "Makefile").write_text(MAKEFILE.format(host=host, triples=triples, **values))

    def install(
        self, *items: Artifact, llvm: str = "", mingw: bool = False, check: bool = False
    ) -> installing.Installed:
        place = placing.look_at(knowing.tree(self.tree.root), self.build)
        return installing.install(place, items or (self.item,), llvm=llvm, mingw=mingw, check=check)

    def placed(self) -> list[str]:
        return sorted(path.name for path in self.build.iterdir() if path.name not in ("Makefile", "pyconfig.h"))

    def failures(self, done: installing.Installed) -> str:
        assert not done.accepted
        assert self.placed() == []
        failed = [c for verdict in done.verdicts for c in verdict.checks if c.status == "failed"]
        return "\n".join(f"{check.what}: {'; '.join(check.details)}" for check in failed)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_names_and_line_1_are_those_of_the_build_folder(case: Case) -> None:
    done = case.install()
    assert done.accepted
    assert done.files == ((f"jit_stencils-{PC}.h", True), ("jit_stencils.h", True))
    (verdict,) = done.verdicts
    header = (case.build / f"jit_stencils-{PC}.h").read_bytes()
    assert header.startswith(f"// {verdict.stamp}\n".encode())
    # The spelling is in the digest of 3.14.
    assert verdict.stamp != case.item.manifest.input_digest
    assert header.partition(b"\n")[2] == case.item.contents["stencils"].partition(b"\n")[2]
    assert f'#include "jit_stencils-{PC}.h"' in (case.build / "jit_stencils.h").read_text()
    assert done.make_argument == ""


def test_twice_changes_nothing(case: Case) -> None:
    case.install()
    times = {path: path.stat().st_mtime_ns for path in case.build.iterdir()}
    (case.build / "Python").mkdir()
    (case.build / "Python" / "jit.o").write_text("")
    done = case.install()
    assert [changed for _, changed in done.files] == [False, False]
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_other_stencils_make_make_compile_jit_c_again(case: Case) -> None:
    """3.14's jit.o depends on jit_stencils.h alone, whose text is the same for all stencils of a target."""
    case.install()
    dispatcher, header = case.build / "jit_stencils.h", case.build / f"jit_stencils-{PC}.h"
    for path in (dispatcher, header):
        os.utime(path, (1, 1))
    header.write_bytes(header.read_bytes().replace(b"// stencilkit", b"// another", 1))
    case.install()
    assert dispatcher.stat().st_mtime_ns >= header.stat().st_mtime_ns > 1_000_000_000


def test_check_places_nothing(case: Case) -> None:
    done = case.install(check=True)
    assert done.accepted
    assert done.files == ()
    assert case.placed() == []


def test_stamped_stencils_are_what_make_expects_and_install_elsewhere(case: Case) -> None:
    place = placing.look_at(knowing.tree(case.tree.root), case.build)
    foreign = replace(case.item, manifest=replace(case.item.manifest, triple="aarch64-unknown-linux-gnu"))
    stamped, verdicts = installing.stamp([place], [foreign, case.item])
    assert [verdict.accepted for verdict in verdicts] == [True]
    assert stamped[0] == foreign
    expected = placing.files_for(place, [case.item])
    assert stamped[1].contents["stencils"] == expected[f"jit_stencils-{PC}.h"] != case.item.contents["stencils"]
    path = case.root / "stamped.tar"
    path.write_bytes(bundling.pack(stamped[1:], compress=False))
    assert bundling.open_all(path)[0].contents == case.item.contents
    assert stamped[1].contents["stencils"] in path.read_bytes()
    (case.build / "Makefile").write_text((case.build / "Makefile").read_text().replace(PC, samples.TRIPLE))
    assert case.install(*bundling.open_all(path)).accepted


def test_stencils_that_do_not_fit_are_not_stamped(case: Case) -> None:
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("WITH_PYMALLOC 1", "WITH_PYMALLOC 2"))
    place = placing.look_at(knowing.tree(case.tree.root), case.build)
    _, (verdict,) = installing.stamp([place], [case.item])
    assert not verdict.accepted
    case.configure(PC.replace("x86_64", "aarch64"), PC.replace("x86_64", "aarch64"))
    place = placing.look_at(knowing.tree(case.tree.root), case.build)
    with pytest.raises(BundleError, match="there are no release stencils of CPython"):
        installing.stamp([place], [case.item])


@pytest.mark.parametrize(("asked", "notes"), [("19", 0), ("19.1", 0), ("21", 1), ("", 0)])
def test_another_llvm_than_the_folder_asks_for_is_noted(case: Case, asked: str, notes: int) -> None:
    case.configure(debug=f' --llvm-version="{asked}"')
    done = case.install()
    assert done.accepted
    assert len(done.notes) == notes
    if notes:
        assert done.notes[0].endswith("asks for LLVM 21, and these stencils were made by LLVM 19.1.7")


def test_in_tree(case: Case) -> None:
    (case.tree.root / "Makefile").write_bytes((case.build / "Makefile").read_bytes())
    case.build = case.tree.root
    assert case.install().accepted
    assert (case.tree.root / f"jit_stencils-{PC}.h").is_file()
    assert [changed for _, changed in case.install().files] == [False, False]


def test_other_flags_for_stencils_are_refused(case: Case) -> None:
    case.configure(cflags="-O3 -DWIDE")
    assert "-DWIDE" in case.failures(case.install())


def test_another_tree_is_refused(case: Case) -> None:
    path = case.tree.root / "Include/Python.h"
    path.write_text(path.read_text() + "int more;\n")
    assert "Include/Python.h" in case.failures(case.install())


def test_another_pyconfig_is_refused(case: Case) -> None:
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("#define WITH_PYMALLOC 1", ""))
    assert "WITH_PYMALLOC" in case.failures(case.install())


def test_a_macro_that_no_stencil_sees_is_no_matter(case: Case) -> None:
    """What autoconf 2.73 adds (python/cpython#148646) changes line 1 and nothing else."""
    case.install()
    (before,) = case.build.glob("jit_stencils-*.h")
    line1, _, rest = before.read_bytes().partition(b"\n")
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("#define H", "#define _COSMO_SOURCE 1\n#define H"))
    assert case.install().accepted
    assert before.read_bytes().partition(b"\n")[2] == rest
    assert not before.read_bytes().startswith(line1)


def test_another_flavour_is_refused(case: Case) -> None:
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("/* #undef Py_DEBUG */", "#define Py_DEBUG 1"))
    with pytest.raises(BuildFolderError, match=r"wants release stencils, but pyconfig\.h is that of a debug build"):
        case.install()
    case.configure(debug=" --debug")
    with pytest.raises(BundleError, match="there are no debug stencils") as caught:
        case.install()
    assert "release, LLVM 19.1.7" in caught.value.fix
    assert case.placed() == []


def test_another_cpython_is_refused(case: Case) -> None:
    path = case.tree.root / "Include/patchlevel.h"
    path.write_text(path.read_text().replace("3.14.7", "3.14.6"))
    with pytest.raises(BundleError, match=r"no release stencils of CPython 3\.14\.6"):
        case.install()


def test_another_target_is_refused(case: Case) -> None:
    case.configure(host="aarch64-unknown-linux-gnu", triples="aarch64-unknown-linux-gnu")
    with pytest.raises(BundleError, match="for aarch64-unknown-linux-gnu"):
        case.install()


def test_an_llvm_that_is_not_there_is_refused(case: Case) -> None:
    with pytest.raises(BundleError, match="by LLVM 20"):
        case.install(llvm="20")


def test_smuggled_code_is_refused_whatever_the_digests_say(case: Case) -> None:
    data = case.item.contents["stencils"].replace(b"typedef struct {", b"int evil;\ntypedef struct {", 1)
    records = tuple(
        replace(record, sha256=samples.digest(data)) if record.role == "stencils" else record
        for record in case.item.manifest.files
    )
    described = replace(case.item.manifest, files=records)
    item = replace(
        case.item,
        manifest=described,
        manifest_text=manifest.render(described).encode(),
        contents={**case.item.contents, "stencils": data},
    )
    assert "it holds more than stencils" in case.failures(case.install(item))


def test_not_configured(case: Case) -> None:
    (case.build / "pyconfig.h").unlink()
    with pytest.raises(InstallError, match="not a configured build folder"):
        case.install()
    (case.build / "Makefile").unlink()
    with pytest.raises(InstallError, match="not a configured build folder"):
        case.install()


def test_configured_without_the_jit(case: Case) -> None:
    makefile = case.build / "Makefile"
    makefile.write_text("".join(line for line in makefile.read_text().splitlines(True) if "build.py" not in line))
    with pytest.raises(InstallError, match="configured without the JIT"):
        case.install()


@pytest.mark.parametrize("check", [False, True])
def test_built_on_other_stencils(case: Case, *, check: bool) -> None:
    (case.build / "Python").mkdir()
    (case.build / "Python" / "jit.o").write_text("")
    with pytest.raises(InstallError, match=r"already been built, on other stencils: jit_stencils"):
        case.install(check=check)


def test_what_make_wrote_again_is_left_alone(case: Case) -> None:
    """A touched tree makes make run build.py once, which only names itself in the dispatcher."""
    case.install()
    (case.build / "Python").mkdir()
    (case.build / "Python" / "jit.o").write_text("")
    path = case.build / "jit_stencils.h"
    path.write_text("// $ python3.11 ./Tools/jit/build.py x\n" + path.read_text().partition("\n")[2])
    before = path.read_bytes(), path.stat().st_mtime_ns
    done = case.install()
    assert [changed for _, changed in done.files] == [False, False]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    path.write_text("// $ python3.11 ./Tools/jit/build.py x \\\n" + path.read_text().partition("\n")[2])
    with pytest.raises(InstallError, match="already been built"):
        case.install()


def with_headers(item: Artifact, origin: str, *names: str) -> Artifact:
    more = tuple(IncludedFile(origin="system", name=name, sha256=samples.digest(b"")) for name in names)
    described = replace(item.manifest, headers=origin, includes=(*item.manifest.includes, *more))  # type: ignore[arg-type]  # a Literal
    return replace(item, manifest=described, manifest_text=manifest.render(described).encode())


def test_mingws_headers_must_be_allowed(case: Case) -> None:
    item = with_headers(case.item, "mingw")
    with pytest.raises(BundleError, match=r"were compiled with mingw's headers$"):
        case.install(item)
    assert case.install(item, mingw=True).accepted


@pytest.mark.parametrize(
    ("doubt", "said"),
    [({"provisional": "3.14"}, "was built as 3.14"), ({"provisional_llvm": 18}, "LLVM 19.1.7 was taken for 18")],
)
def test_provisional_stencils_must_be_allowed_where_they_are_packed_or_installed(
    doubt: dict[str, Any], said: str, case: Case
) -> None:
    described = replace(case.item.manifest, **doubt)
    item = replace(case.item, manifest=described, manifest_text=manifest.render(described).encode())
    with pytest.raises(BundleError, match=said) as caught:
        case.install(item)
    assert "--provisional" in caught.value.fix
    assert case.placed() == []
    bundling.check_marks([item], mingw=False, provisional=True)


@pytest.mark.parametrize("name", ["_mingw.h", "include/any-windows-any/_mingw_mac.h"])
def test_mingw_that_poses_as_msvc_is_refused(case: Case, name: str) -> None:
    with pytest.raises(BundleError, match="though their manifest says 'sysroot'") as caught:
        case.install(with_headers(case.item, "sysroot", name))
    assert name in caught.value.where
    assert case.placed() == []


def test_a_makefile_that_deletes_midway_gets_a_keeper(case: Case) -> None:
    case.configure(goal="profile-opt", deleted="\n\t-rm -f jit_stencils*.h")
    done = case.install()
    keeper = case.build.resolve() / installing.KEEPER
    assert done.make_argument == f"PYTHON_FOR_REGEN={keeper / 'python'}"
    assert (keeper / "python").stat().st_mode & 0o111
    assert 'exec python3.11 "$@"' in (keeper / "python").read_text()
    for name, _ in done.files:
        assert (keeper / "files" / name).read_bytes() == (case.build / name).read_bytes()


@pytest.mark.parametrize("below", ["", "files"])
def test_a_keeper_that_is_a_link_is_not_followed(case: Case, below: str, tmp_path: Path) -> None:
    case.configure(goal="profile-opt", deleted="\n\t-rm -f jit_stencils*.h")
    (tmp_path / "elsewhere").mkdir()
    link = case.build / installing.KEEPER / below if below else case.build / installing.KEEPER
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "elsewhere")
    for check in (True, False):
        with pytest.raises(InstallError, match="is a link"):
            case.install(check=check)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not list(case.build.glob("jit_stencils*"))


def test_the_argument_for_make_survives_make_and_the_shell(tmp_path: Path) -> None:
    case = Case(tmp_path / "it's $(touch oops) here")
    case.configure(goal="profile-opt", deleted="\n\t-rm -f jit_stencils*.h")
    argument = case.install().make_argument
    value = argument.removeprefix("PYTHON_FOR_REGEN=").replace("$$", "$")
    assert shlex.split(value) == [str(case.build.resolve() / installing.KEEPER / "python")]
    assert "$(" not in argument.replace("$$", "")


def test_a_keeper_only_where_something_is_deleted(case: Case) -> None:
    for goal, deleted in (("profile-opt", ""), ("build_all", "\n\t-rm -f jit_stencils*.h")):
        case.configure(goal=goal, deleted=deleted)
        assert case.install().make_argument == ""


def test_what_tells_make_that_all_is_current_is_written_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, it would make older stencils count as current."""
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "jit_stencils.h").mkdir()
    tree = samples.tree(tmp_path / "tree")
    build = BuildFolder(path=folder, host="", pyconfig=b"", jit=None, python="", deletes_stencils=False)
    place = placing.Place(tree=tree, build=build, requests=())
    monkeypatch.setattr(dialects.dialect_for(tree.version.series), "MAKE_STAMP", ".jit-stamp")
    with pytest.raises(OutputError):
        placing.write(place, {"jit_stencils.h": b"x"})
    assert [path.name for path in folder.iterdir()] == ["jit_stencils.h"]


def command(case: Case, *words: str) -> int:
    given = [str(case.root / "out"), "--cpython", str(case.tree.root), "--build-dir", str(case.build)]
    return cli.main(["install", *given, *words])


def test_the_command_says_what_was_placed(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(case, "--check") == 0
    printed = capsys.readouterr().out
    assert f"nothing was placed in {case.build}" in printed
    assert case.placed() == []
    assert command(case) == 0
    names = [f"jit_stencils-{PC}.h", "jit_stencils.h"]
    assert capsys.readouterr().out.splitlines()[:2] == [f"placed {case.build / name}" for name in names]
    assert case.placed() == names
    assert command(case) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [f"unchanged {case.build / name}" for name in names]


def test_the_command_answers_in_json(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(case, "--format", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["accepted"], answer["failed"]) == (True, [])
    assert answer["files"] == {f"jit_stencils-{PC}.h": True, "jit_stencils.h": True}
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("WITH_PYMALLOC 1", "WITH_PYMALLOC 0"))
    assert command(case, "--format", "json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["accepted"] is False
    assert answer["failed"] != []


def test_the_command_places_nothing_that_does_not_fit(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("WITH_PYMALLOC 1", "WITH_PYMALLOC 0"))
    assert command(case) == 1
    printed = capsys.readouterr().out
    assert "WITH_PYMALLOC" in printed
    assert printed.splitlines()[-1] == f"nothing was placed in {case.build}"
    assert case.placed() == []


@pytest.mark.parametrize(
    ("words", "what", "step"),
    [
        (
            ("--target", "aarch64-unknown-linux-gnu"),
            f"was configured for {samples.TRIPLE}, not for aarch64",
            "--target",
        ),
        (("--flavour", "debug"), "was configured for a release build, not for debug", "configure --with-pydebug"),
    ],
)
def test_the_command_compares_what_was_said_with_the_folder(
    words: tuple[str, ...], what: str, step: str, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(case, *words) == 2
    printed = capsys.readouterr()
    assert what in printed.err
    assert step in printed.err
    assert (printed.out, case.placed()) == ("", [])


def test_the_command_says_how_stencils_survive_a_pgo_build(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.configure(goal="profile-opt", deleted=" jit_stencils*.h")
    assert command(case) == 0
    *_, why, how = capsys.readouterr().out.splitlines()
    assert why.startswith("this makefile deletes stencils between the passes of a PGO build")
    assert how.startswith("  make ")


def fedora(case: Case, *words: str) -> int:
    return cli.main(["pack", str(case.root / "out"), "--names", "fedora", "-o", str(case.root / "sources"), *words])


def test_fedoras_names_are_for_stencils_that_fit_a_build(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert fedora(case) == 2
    printed = capsys.readouterr().err
    assert "line 1 of these would fit no build" in printed
    assert "next:  name the folder that each is for with --stamp" in printed
    stamp = ("--stamp", str(case.build), "--cpython", str(case.tree.root))
    assert fedora(case, *stamp) == 0
    (header,) = (case.root / "sources").iterdir()
    assert header.name == "Python-3.14.7-x86_64-optimized-jit_stencils.h"
    case.install()
    assert header.read_bytes().splitlines()[0] == (case.build / f"jit_stencils-{PC}.h").read_bytes().splitlines()[0]
    header.unlink()
    (case.build / "pyconfig.h").write_text(samples.PYCONFIG.replace("WITH_PYMALLOC 1", "WITH_PYMALLOC 0"))
    assert fedora(case, *stamp) == 1
    assert list((case.root / "sources").iterdir()) == []
