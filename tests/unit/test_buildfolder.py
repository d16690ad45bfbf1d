"""What make is asked about a build folder, on makefiles of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit import buildfolder
from stencilkit.errors import BuildFolderError
from stencilkit.model.buildfolder import BuildFolder
from stencilkit.model.jitcommand import JitCommand

pytestmark = pytest.mark.process

MAKEFILE = """\
SHELL=\t/bin/sh -e
HOST_GNU_TYPE=  x86_64-pc-linux-gnu
CONFIG_ARGS=\t'--enable-experimental-jit' 'CFLAGS=-O2 -g'
CONFIGURE_CFLAGS=\t-O2 -DNAME=\\"a\\"
srcdir=\t\t../src
PYTHON_FOR_REGEN?=python3.11
all:\tbuild_all
build_all:
jit_stencils.h: $(srcdir)/a.c pyconfig.h
\t{command}
$(srcdir)/a.c pyconfig.h:
\ttouch $@
Makefile: Makefile.pre
\ttouch remade
Makefile.pre:
\ttouch remade
{more}
"""
BUILD = "$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py"
PC = "x86_64-pc-linux-gnu"


def folder(here: Path, command: str, more: str = "", config: str = "") -> Path:
    here = here / "a build"
    here.mkdir(exist_ok=True)
    (here / "Makefile").write_text(MAKEFILE.format(command=command, more=more))
    (here / "pyconfig.h").write_text(config)
    return here


def read(here: Path, command: str, more: str = "", config: str = "") -> BuildFolder:
    return buildfolder.read(folder(here, command, more, config))


def jit(here: Path, command: str, more: str = "") -> JitCommand:
    found = read(here, command, more).jit
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("command", "cflags"),
    [
        (f'{BUILD} {PC} --output-dir . --pyconfig-dir . --cflags="-O3 -DX"', "-O3 -DX"),
        (f"{BUILD} {PC}", ""),
        (f'{BUILD} {PC} --with-cflags="$(CONFIGURE_CFLAGS)"', '-O2 -DNAME="a"'),
        (f"{BUILD} {PC} --cflags='-O3 -DX=\"1\"'", '-O3 -DX="1"'),
        (f'{BUILD} {PC} --cflags "-O3 -DX"', "-O3 -DX"),
        (f"{BUILD} {PC} --cflags=-O3", "-O3"),
        (f"{BUILD} {PC} --cflags=-O3\\ -DX", "-O3 -DX"),
        (f'{BUILD} {PC} --cflags="-I$(srcdir)/x"', "-I../src/x"),
        (f'{BUILD} {PC} --cflags="-I$$HOME/x"', "-I/home/me/x"),
        (f"{BUILD} {PC} --cflags='-I$$HOME/x'", "-I$HOME/x"),
        (f'{BUILD} {PC} --cflags="-DX=\\"y z\\""', '-DX="y z"'),
        (f'{BUILD} -f -v --cflags="-O3" -o . -p . {PC}', "-O3"),
        (f'{BUILD} --cfl="-O3" {PC}', "-O3"),
        (f'@{BUILD} {PC} \\\n\t\t--cflags="-O3"', "-O3"),
        (f'+{BUILD} {PC} --cflags="-O3"', "-O3"),
        (f'-{BUILD} {PC} --cflags="$(shell echo -O3)"', "-O3"),
        (f'{BUILD} {PC} --cflags="$(if $(srcdir),-O3,-O1)"', "-O3"),
        (f'$(PYTHON_FOR_REGEN) -E ./Tools/jit/build.py {PC} --cflags="-O3"', "-O3"),
    ],
)
def test_flags_however_they_are_spelt(
    command: str, cflags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = jit(tmp_path, command)
    assert (found.cflags, found.triples) == (cflags, (PC,))


@pytest.mark.parametrize(
    ("command", "llvm"),
    [
        (f'{BUILD} {PC} --llvm-version="21" --llvm-tools-install-dir=""', "21"),
        (f"{BUILD} {PC} --llvm-version= --llvm-tools-install-dir=", ""),
        (f'{BUILD} {PC} --llvm-version="21" --llvm-tools-install-dir="/opt/llvm"', "/opt/llvm/bin/clang"),
        (f"LLVM_VERSION=20 {BUILD} {PC}", "20"),
        (f"env LLVM_VERSION=20 {BUILD} {PC}", "20"),
        (f"{BUILD} {PC}", ""),
    ],
)
def test_the_llvm_that_a_folder_asks_for(command: str, llvm: str, tmp_path: Path) -> None:
    assert read(tmp_path, command).llvm == llvm


def test_an_llvm_that_the_makefile_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLVM_VERSION", "18")
    assert read(tmp_path, f"{BUILD} {PC}").llvm == ""
    assert read(tmp_path, f"{BUILD} {PC}", "export LLVM_VERSION = 22").llvm == "22"


def test_what_else_there_is(tmp_path: Path) -> None:
    found = read(tmp_path, f"{BUILD} aarch64-apple-darwin x86_64-apple-darwin --debug", config="#define Py_DEBUG 1\n")
    assert found == BuildFolder(
        path=tmp_path / "a build",
        host=PC,
        pyconfig=b"#define Py_DEBUG 1\n",
        jit=JitCommand(
            triples=("aarch64-apple-darwin", "x86_64-apple-darwin"), debug=True, cflags="", llvm="", tools=""
        ),
        python="python3.11",
        deletes_stencils=False,
        # make's own, where the makefile has none
        compiler="cc",
    )
    assert found.flavour == "debug"


def test_a_universal_build_folder_says_so(tmp_path: Path) -> None:
    more = (
        "CONFIG_ARGS=\t'--with-universal-archs=universal2' '--with-pydebug'\nHOST_GNU_TYPE=\taarch64-apple-darwin24\n"
    )
    assert read(tmp_path, "", more).host == "universal2-apple-darwin"


def test_the_jit_is_off(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    assert (found.jit, found.cflags, found.llvm) == (None, "", "")
    here = folder(tmp_path, "")
    (here / "Makefile").write_text("HOST_GNU_TYPE=x\nall:\n")
    assert buildfolder.read(here).jit is None


def test_nothing_is_made_and_the_environment_does_not_interfere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-i PYTHON_FOR_REGEN=other")
    monkeypatch.setenv("GNUMAKEFLAGS", "--trace")
    monkeypatch.setenv("MAKEFILES", "/nowhere/else.mk")
    more = "jit_stencils.h: sub\nsub:\n\t+touch made\n\t$(MAKE) -f Makefile made\nmade:\n\ttouch made\n"
    here = folder(tmp_path, f"{BUILD} {PC}\n\ttouch made", more)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in here.iterdir()}
    found = buildfolder.read(here)
    assert (found.jit is not None, found.python) == (True, "python3.11")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in here.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (f"{BUILD} {PC} --new-option", "unrecognized arguments: --new-option"),
        (f"{BUILD}", "the following arguments are required: target"),
        (f"{BUILD} {PC} --cflags", "expected one argument"),
        (f"{BUILD} {PC} --llvm 21", "ambiguous option"),
        (f'{BUILD} {PC} --cflags="`cat flags`"', "command substitution"),
        (f'{BUILD} {PC} --cflags="$$EXTRA"', r"\$EXTRA is not known before make runs"),
        (f"cd .. && {BUILD} {PC}", "another command beside it"),
        (f"{BUILD} {PC} >log", "a redirection"),
        (f"{BUILD} {PC} --output-dir elsewhere", "--output-dir elsewhere is another folder"),
        (f"{BUILD} {PC} -p ..", r"--pyconfig-dir \.\. is another folder"),
        (f"{BUILD} {PC}\n\t{BUILD} {PC} --cflags=-O1", "several such commands"),
    ],
)
def test_a_command_that_is_not_understood_is_refused(command: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFolderError, match=f"is not understood: .*{why}") as caught:
        read(tmp_path, command)
    assert "Tools/jit/build.py" in str(caught.value.details)


def test_stencils_of_another_flavour_than_pyconfigs(tmp_path: Path) -> None:
    with pytest.raises(BuildFolderError, match=r"wants debug stencils, but pyconfig\.h is that of a release build"):
        read(tmp_path, f"{BUILD} {PC} -d")


def test_a_makefile_that_does_not_work(tmp_path: Path) -> None:
    with pytest.raises(BuildFolderError, match="make cannot say") as caught:
        read(tmp_path, f"{BUILD} {PC}", "this is no rule\n")
    assert "missing separator" in str(caught.value.details)


def test_no_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = folder(tmp_path, f"{BUILD} {PC}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFolderError, match="make is not on PATH") as caught:
        buildfolder.read(here)
    assert "install GNU make" in caught.value.fix


@pytest.mark.parametrize(
    ("goal", "command", "deletes"),
    [
        ("profile-opt", "-rm -f jit_stencils*.h", True),
        ("build_all", "-rm -f jit_stencils*.h", False),
        ("profile-opt", "-rm -f profile-gen-stamp", False),
        ("profile-opt", "find . -name 'x' | xargs rm -f jit_stencils.h", True),
        ("$(DEF_MAKE_ALL_RULE)", "@rm -f a; rm -f jit_stencils.[ch]", True),
        ("profile-opt", "echo rm jit_stencils.h", False),
    ],
)
def test_a_pgo_build_that_deletes_the_stencils(goal: str, command: str, deletes: bool, tmp_path: Path) -> None:  # a row
    more = (
        f"DEF_MAKE_ALL_RULE=profile-opt\nall: {goal}\nprofile-opt:\nclean-retain-profile: other\n\t{command}\nother:\n"
    )
    assert read(tmp_path, f"{BUILD} {PC}", more).deletes_stencils is deletes
