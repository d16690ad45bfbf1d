"""`stencilkit witness` with real headers, compilers and flags: it holds, or what does not is named with both values."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import workbench

pytestmark = [pytest.mark.process, pytest.mark.network]

VERSION = "3.14.7"
MAKEFILE = """\
HOST_GNU_TYPE= x86_64-pc-linux-gnu
CC= gcc
CFLAGS= {flags}
PY_CORE_CFLAGS= $(CFLAGS) -std=c11 -D_Py_JIT -DNDEBUG -O2 -I. -I{tree}/Include -I{tree}/Include/internal -DPy_BUILD_CORE
PYTHON_FOR_REGEN= python3
jit_stencils.h:
\t$(PYTHON_FOR_REGEN) {tree}/Tools/jit/build.py x86_64-pc-linux-gnu --output-dir . --pyconfig-dir .
"""


@pytest.fixture(scope="module")
def tree() -> Path:
    """Return a tree with all uops, which the cache has compiled."""
    return workbench.tree(VERSION)


@pytest.fixture(scope="module")
def stencils(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build stencils of that tree."""
    workbench.pypi_llvm(19)
    out = tmp_path_factory.mktemp("out")
    config = workbench.pyconfig(VERSION)
    workbench.stencilkit("build", "--cpython", tree, "--llvm", "19", "--pyconfig-dir", config, "--out", out)
    (found,) = out.glob("*/*/*/*")
    return found


def build_folder(tree: Path, to: Path, flags: str = "") -> Path:
    to.mkdir()
    shutil.copy(workbench.pyconfig(VERSION) / "pyconfig.h", to)
    (to / "Makefile").write_text(MAKEFILE.format(tree=tree, flags=flags))
    return to


def ask(stencils: Path, tree: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return workbench.stencilkit("witness", stencils, "--cpython", tree, "--build-dir", folder, *more, check=False)


def test_gcc_lays_out_as_clang_does(stencils: Path, tree: Path, tmp_path: Path) -> None:
    folder = build_folder(tree, tmp_path / "build")
    done = ask(stencils, tree, folder, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)["verdicts"]
    (check,) = verdict["checks"]
    assert (check["kind"], check["status"]) == ("witness", "passed")
    base: list[str | Path] = ["--cpython", tree, "--pyconfig-dir", folder, "--consistent", "--check"]
    assert workbench.stencilkit("verify", stencils, *base, "--witness").stdout == ""
    install: list[str | Path] = ["install", stencils, "--cpython", tree, "--build-dir", folder, "--llvm", "19"]
    assert "placed" in workbench.stencilkit(*install, "--witness").stdout
    (folder / "Makefile").write_text(MAKEFILE.format(tree=tree, flags="-fshort-enums"))
    assert workbench.stencilkit("verify", stencils, *base, "--witness", check=False).returncode == 1
    assert workbench.stencilkit(*install, "--witness", check=False).returncode == 1
    assert workbench.stencilkit(*install).returncode == 0


def test_what_stencils_are_compiled_without(tmp_path: Path) -> None:
    """Every CPython with a JIT is compiled with _Py_TIER2, and upstream's stencils are not: 3.15's were refused."""
    version = "3.15.0rc1"
    config, text = workbench.pyconfig(version), tmp_path / "witness.c"
    tree = workbench.small_tree(version, tmp_path / "tree", uops=24, step=20)
    out = workbench.built(version, 21, tmp_path / "out", "--pyconfig-dir", config, source_tree=tree)
    folder = tmp_path / "build"
    folder.mkdir()
    shutil.copy(config / "pyconfig.h", folder)

    def asked(flags: str, *more: str) -> subprocess.CompletedProcess[str]:
        (folder / "Makefile").write_text(MAKEFILE.format(tree=tree, flags=flags))
        return ask(out, tree, folder, *more)

    done = asked("-D_Py_TIER2=1")
    assert done.returncode == 0, done.stdout
    # What else changes sizes is seen, and what changes members is, too.
    assert "size of struct pyruntimestate: " in asked("-D_Py_TIER2=1 -DPy_STATS").stdout
    assert "offset of " in asked("-D_Py_TIER2=1 -fpack-struct").stdout
    asked("-D_Py_TIER2=1", "--write", str(text))

    def compiled(include: Path, *more: str) -> subprocess.CompletedProcess[str]:
        folders = (folder, include, include / "internal", tree / "Python", tree / "Tools/jit")
        command = ["gcc", "-w", "-std=c11", "-DPy_BUILD_CORE", "-D_Py_JIT", *more, "-fsyntax-only"]
        words: list[str | Path] = [*command, *(f"-I{place}" for place in folders), text]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert compiled(tree / "Include", "-D_Py_TIER2=1").returncode == 0
    assert "size of struct pyruntimestate is" in compiled(tree / "Include", "-fpack-struct").stderr
    more = "#ifdef _Py_TIER2\n    long more;\n#endif\n"
    more_before = f"struct pyruntimestate {{\n{more}"
    stops = "#ifndef _Py_TIER2\n#error no\n#endif\n#if _Py_TIER2"
    element = "} _PyBinaryOpSpecializationDescr;"
    # A member in front moves others, without the macro there may be no answer, and elements of arrays may be longer.
    for name, old, new, said in (
        ("pycore_runtime_structs.h", "struct pyruntimestate {", more_before, "offset of struct pyruntimestate."),
        ("pycore_tstate.h", "#if _Py_TIER2", stops, "size of struct pyruntimestate: "),
        ("pycore_code.h", element, f"\n{more}{element}", "size of _PyBinaryOpSpecializationDescr: "),
    ):
        include = tmp_path / name
        shutil.copytree(tree / "Include", include)
        header = include / "internal" / name
        written = header.read_text()
        assert old in written
        header.write_text(written.replace(old, new, 1))
        done = asked(f"-D_Py_TIER2=1 -I{include} -I{include}/internal")
        assert done.returncode == 1, (name, done.stdout)
        assert said in done.stdout, (name, done.stdout)
        assert compiled(include, "-D_Py_TIER2=1").returncode == (name != "pycore_tstate.h")


def test_the_text_needs_no_stencilkit(stencils: Path, tree: Path, tmp_path: Path) -> None:
    folder, text = build_folder(tree, tmp_path / "build"), tmp_path / "witness.c"
    ask(stencils, tree, folder, "--write", str(text))
    places = [f"-I{tree}/{name}" for name in ("Include", "Include/internal", "Python", "Tools/jit")]
    command: list[str | Path] = [
        "gcc",
        "-w",
        "-std=c11",
        "-DPy_BUILD_CORE",
        "-D_Py_JIT",
        f"-I{folder}",
        *places,
        "-fsyntax-only",
        text,
    ]
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run([*command, "-fshort-enums"], check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("-fshort-enums", "size of an enum: 4 in the stencils, 1 here"),
        ("-fpack-struct", "alignment of long long: 8 in the stencils, 1 here"),
        ("-m32", "size of a pointer: 8 in the stencils, 4 here"),
        ("-funsigned-char", "char is signed: 1 in the stencils, 0 here"),
        ("-DPy_DEBUG", "Py_DEBUG: 0 in the stencils, 1 here"),
        ("-DPy_GIL_DISABLED", "offset of struct _object.ob_type: 8 in the stencils, 24 here"),
        ("-DPYLONG_BITS_IN_DIGIT=15", "size of struct _PyLongValue.ob_digit: 4 in the stencils, 2 here"),
    ],
)
def test_flags_that_change_a_layout(flag: str, named: str, stencils: Path, tree: Path, tmp_path: Path) -> None:
    done = ask(stencils, tree, build_folder(tree, tmp_path / "build", flag))
    assert done.returncode == 1, done.stdout + done.stderr
    assert named in done.stdout
    assert done.stderr == ""


PATCHES = {
    "a member more": ("pycore_dict.h", "struct _dictkeysobject {", "struct _dictkeysobject { long more;"),
    "a wider bit-field": ("../cpython/unicodeobject.h", "interned:2;", "interned:3;"),
    "a member less": ("pycore_range.h", "long len;", "long length;"),
    "another mimalloc": ("mimalloc/mimalloc/types.h", "  MI_MEM_NONE,", "  MI_MEM_FIRST, MI_MEM_NONE,"),
}


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ("a member more", "offset of struct _dictkeysobject.dk_kind: 10 in the stencils, 18 here"),
        (
            "a wider bit-field",
            "PyASCIIObject.state.kind: 3 bits from bit 258 in the stencils, 3 bits from bit 259 here",
        ),
        ("a member less", "offset of _PyRangeIterObject.len: 32 in the stencils, none ("),
        ("another mimalloc", "MI_MEM_NONE: 0 in the stencils, 1 here"),
    ],
)
def test_a_header_that_no_list_of_files_has(patch: str, named: str, stencils: Path, tree: Path, tmp_path: Path) -> None:
    """The tree is as it was; the runtime is compiled with other headers in front of its."""
    name, old, new = PATCHES[patch]
    shutil.copytree(tree / "Include", tmp_path / "Include")
    header = tmp_path / "Include/internal" / name
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, 1))
    flags = f"-I{tmp_path}/Include -I{tmp_path}/Include/internal"
    done = ask(stencils, tree, build_folder(tree, tmp_path / "build", flags))
    assert done.returncode == 1, done.stdout + done.stderr
    assert named in done.stdout


def test_another_c_library(stencils: Path, tree: Path, tmp_path: Path) -> None:
    """The sources are equal, and pyconfig.h is; only its headers say that this is musl."""
    include = workbench.pypi_llvm(19).parent / "lib/libc/include"
    places = [include / name for name in ("x86_64-linux-musl", "generic-musl", "any-linux-any")]
    own = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
    flags = " ".join(["-nostdinc", *(f"-isystem {place}" for place in (own, *places))])
    done = ask(stencils, tree, build_folder(tree, tmp_path / "build", flags))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "PTHREAD_KEYS_MAX: 1024 in the stencils, 128 here" in done.stdout


def test_a_folder_without_a_makefile(stencils: Path, tree: Path, tmp_path: Path) -> None:
    folder = build_folder(tree, tmp_path / "build")
    (folder / "Makefile").unlink()
    assert ask(stencils, tree, folder).returncode == 2
    assert ask(stencils, tree, folder, "--cc", "gcc -O2").returncode == 0
    assert ask(stencils, tree, folder, "--cc", "gcc", "--cflags", "-fshort-enums").returncode == 1


def test_headers_that_do_not_compile_are_no_yes(stencils: Path, tree: Path, tmp_path: Path) -> None:
    folder = build_folder(tree, tmp_path / "build")
    (folder / "pyconfig.h").write_text("#error this is not it\n")
    done = ask(stencils, tree, folder)
    assert done.returncode == 1
    assert "does not compile" in done.stdout
    assert "this is not it" in done.stdout
