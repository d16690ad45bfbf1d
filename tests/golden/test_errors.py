"""The texts that users meet when something is wrong: one block, exit code 2, nothing on stdout, no traceback.

The expected texts are files beside this one; STENCILKIT_UPDATE_GOLDEN=1 writes them anew, to be read before they are
committed. Trees and compilers here are stand-ins: no error of these needs a real one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stencilkit import __version__, headers
from stencilkit.cli import main
from stencilkit.errors import ExitCode
from stencilkit.toolchain import _finding
from tests import fakes, goldens

pytestmark = pytest.mark.process
JIT_MAKEFILE = "jit_stencils.h:\n\tpython3 ./Tools/jit/build.py x86_64-pc-linux-gnu --cflags=$$X\n"
FOLDER = Path(__file__).parent / "errors"
PYCONFIG = "#define SIZEOF_VOID_P 8\n#define HAVE_GCC_ASM_FOR_X64 1\n"
BUILD = ("build", "--pyconfig-dir", "config")


def tree(version: str) -> Callable[[Path], None]:
    return lambda here: void(fakes.tree(here / "cpython", version))


def void(*_: object) -> None:
    """Do nothing with a result."""


def pyconfig(text: str, makefile: str = "") -> Callable[[Path], None]:
    def make(here: Path) -> None:
        fakes.tree(here / "cpython")
        (here / "config" / "pyconfig.h").write_text(text)
        if makefile:
            (here / "config" / "Makefile").write_text(makefile)

    return make


def clang(
    version: str = "19.1.7", *, name: str = "clang", banner: str = "", python: str = "3.14.7", **more: str
) -> Callable[[Path], None]:
    def make(here: Path) -> None:
        fakes.tree(here / "cpython", python)
        fakes.clang(here / "bin" / name, version, banner=banner, **more)

    return make


def bytes_at(name: str, content: bytes) -> Callable[[Path], None]:
    def make(here: Path) -> None:
        path = fakes.tree(here / "cpython") / name if not name.startswith("/") else here / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return make


def free_threaded(version: str) -> Callable[[Path], None]:
    def make(here: Path) -> None:
        clang(python=version)(here)
        (here / "config" / "pyconfig.h").write_text(f"{PYCONFIG}#define Py_GIL_DISABLED 1\n")

    return make


def apple_in_range(here: Path) -> None:
    fakes.tree(here / "cpython")
    fakes.clang(here / "path" / "clang-19", banner=fakes.APPLE)
    fakes.clang(here / "path" / "clang-20", "19.1.7")
    fakes.clang(here / "path" / "clang-21", banner=fakes.GCC)
    fakes.clang(here / "path" / "clang", "18.1.8")


X86 = ("--target", "x86_64-unknown-linux-gnu")
MINE = ("--cpython", "cpython", "--llvm", "bin/clang")
# name, what is there, the command line
CASES: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("not-a-tree", void, (*BUILD, "--cpython", ".")),
    ("no-such-tree", void, (*BUILD, "--cpython", "./python-3.14")),
    ("python-3.12", tree("3.12.9"), (*BUILD, "--cpython", "cpython")),
    ("python-3.16", tree("3.16.0a1"), (*BUILD, "--cpython", "cpython")),
    ("tree-without-jit", lambda here: (fakes.tree(here / "cpython") / "Python/jit.c").unlink(), (*BUILD, *MINE)),
    ("tree-is-no-text", bytes_at("Include/patchlevel.h", b"\xff\xfe#define"), (*BUILD, *MINE)),
    ("tarball-is-none", bytes_at("/Python-3.14.7.tar.xz", b"<html>"), (*BUILD, "--cpython", "Python-3.14.7.tar.xz")),
    ("version-without-hash", void, (*BUILD, "--cpython", "3.14.0")),
    ("no-version", void, (*BUILD, "--cpython", "latest")),
    ("llvm-is-no-version", clang(), (*BUILD, *MINE, "--llvm", "21..19")),
    ("llvm-absent", apple_in_range, (*BUILD, "--cpython", "cpython", "--llvm", "19..21")),
    ("llvm-no-program", clang(), (*BUILD, *MINE, "--llvm", "./clang")),
    ("llvm-is-a-folder", clang(), (*BUILD, *MINE, "--llvm", "./bin")),
    ("llvm-is-apples", clang(banner=fakes.APPLE), (*BUILD, *MINE)),
    ("llvm-is-gcc", clang(banner=fakes.GCC), (*BUILD, *MINE)),
    ("llvm-is-of-another-version", clang("18.1.8", name="clang-19"), (*BUILD, *MINE, "--llvm", "bin/clang-19")),
    ("llvm-does-not-run", lambda h: (tree("3.14.7")(h), void(fakes.program(h / "bin/clang", "exit 127"))),
     (*BUILD, *MINE)),
    ("llvm-18-for-3.14", clang("18.1.8"), (*BUILD, *MINE, *X86)),
    ("llvm-17-for-3.13", clang("17.0.6", python="3.13.15"), (*BUILD, *MINE, *X86)),
    ("llvm-18-for-3.15", clang("18.1.8", python="3.15.0rc1"), (*BUILD, *MINE, *X86)),
    ("llvm-24-for-3.15", clang("24.1.0", python="3.15.0rc1"), (*BUILD, *MINE, *X86)),
    ("llvm-without-back-end", clang(targets="  Registered Targets:\n    aarch64 - AArch64"), (*BUILD, *MINE, *X86)),
    ("two-llvms-of-one-version", lambda h: (clang()(h), void(fakes.clang(h / "other/clang"))),
     (*BUILD, "--cpython", "cpython", "--llvm", "bin/clang,other/clang")),
    ("target-unknown", clang(), (*BUILD, *MINE, "--target", "sparc64-unknown-linux-gnu")),
    ("target-musl", clang(), (*BUILD, *MINE, "--target", "i686-alpine-linux-musl")),
    ("target-ios", clang(), (*BUILD, *MINE, "--target", "arm64-apple-ios")),
    ("universal-3.13", clang(python="3.13.15"), (*BUILD, *MINE, "--target", "universal2-apple-darwin")),
    ("sysroot-without-sdk", lambda h: (clang()(h), (h / "sdk").mkdir()),
     (*BUILD, *MINE, "--target", "x86_64-pc-windows-msvc", "--sysroot", "sdk")),
    ("sysroot-nowhere", clang(), (*BUILD, *MINE, "--target", "aarch64-apple-darwin", "--sysroot", "MacOSX.sdk")),
    ("target-twice", clang(), (*BUILD, *MINE, *X86, "--target", "x86_64-pc-linux-gnu")),
    ("pyconfig-missing", lambda h: (clang()(h), (h / "config/pyconfig.h").unlink()), (*BUILD, *MINE, *X86)),
    ("pyconfig-of-32-bits", lambda h: (clang()(h), pyconfig("#define SIZEOF_VOID_P 4\n")(h)), (*BUILD, *MINE, *X86)),
    ("pyconfig-of-windows",
     lambda h: (clang()(h), pyconfig("#define MS_WIN64\n#define SIZEOF_VOID_P 8\n")(h)), (*BUILD, *MINE, *X86)),
    ("pyconfig-of-x86-for-aarch64", clang(), (*BUILD, *MINE, "--target", "aarch64-unknown-linux-gnu")),
    ("pyconfig-of-aarch64",
     lambda h: (clang()(h), pyconfig("#define SIZEOF_VOID_P 8\n/* #undef HAVE_GCC_ASM_FOR_X64 */\n")(h)),
     (*BUILD, *MINE, *X86)),
    ("pyconfig-of-debug",
     lambda h: (clang()(h), pyconfig(f"{PYCONFIG}#define Py_DEBUG 1\n")(h)), (*BUILD, *MINE, *X86)),
    ("pyconfig-of-release", clang(), (*BUILD, *MINE, *X86, "--debug")),
    ("pyconfig-of-another-host",
     lambda h: (clang()(h), pyconfig(PYCONFIG, "HOST_GNU_TYPE=\taarch64-redhat-linux-gnu\n")(h)),
     (*BUILD, *MINE, *X86)),
    ("makefile-not-understood",
     lambda h: (clang()(h), pyconfig(PYCONFIG, JIT_MAKEFILE)(h)),
     (*BUILD, *MINE, *X86)),
    ("free-threaded-3.13", free_threaded("3.13.15"), (*BUILD, *MINE, *X86)),
    ("free-threaded-3.14", free_threaded("3.14.7"), (*BUILD, *MINE, *X86)),
    ("cflags-quotes", clang(), (*BUILD, *MINE, *X86, "--cflags", "-DX='1")),
    ("cflags-native", clang(), (*BUILD, *MINE, *X86, "--cflags", "-O2 -march=native")),
    ("out-is-a-file", lambda h: (clang()(h), (h / "out").write_text("mine")), (*BUILD, *MINE, "--out", "out")),
    ("option-unknown", void, ("build", "--llmv", "19")),
    ("command-unknown", void, ("biuld",)),
    ("jobs-zero", void, ("build", "--jobs", "0")),
    ("show-nothing-there", void, ("show", "_NOP", "nothing.h")),
    ("show-folder-without-manifest", void, ("show", "_NOP", "config")),
    ("show-header-is-no-text", bytes_at("/jit_stencils-x86_64-unknown-linux-gnu.h", b"\xff\xfe"),
     ("show", "_NOP", "jit_stencils-x86_64-unknown-linux-gnu.h")),
    ("show-header-is-something-else", bytes_at("/jit_stencils-x86_64-unknown-linux-gnu.h", b"int main;\n"),
     ("show", "_NOP", "jit_stencils-x86_64-unknown-linux-gnu.h")),
    ("show-manifest-is-no-toml", bytes_at("/out/manifest.toml", b"schema = \n"), ("show", "_NOP", "out")),
    ("show-manifest-is-newer", bytes_at("/out/manifest.toml", b"schema = 99\n"), ("show", "_NOP", "out")),
    ("show-manifest-is-no-text", bytes_at("/out/manifest.toml", b"\xff"), ("show", "_NOP", "out")),
    ("verify-nothing-there", void, ("verify", "nothing.h")),
    ("verify-empty-folder", void, ("verify", "config")),
    ("verify-pyconfig-without-source", void, ("verify", "config", "--pyconfig-dir", "config")),
    ("verify-rebuild-without-source", void, ("verify", "config", "--rebuild")),
    ("verify-llvm-without-rebuild", void, ("verify", "config", "--llvm", "19")),
    ("verify-policy-demands-nothing", bytes_at("/policy.toml", b"schema = 1\nrequire = []\n"),
     ("verify", "config", "--policy", "policy.toml")),
    ("verify-policy-is-newer", bytes_at("/policy.toml", b"schema = 2\n"),
     ("verify", "config", "--policy", "policy.toml")),
    ("compare-one", void, ("compare", "config")),
    ("compare-seven", void, ("compare", *["config"] * 7)),
    ("audit-nothing", void, ("audit",)),
    ("audit-unknown-rule", void, ("audit", "config", "--demand", "love")),
    ("audit-waiver-without-end",
     bytes_at("/waivers.toml", b'schema = 1\n[[waiver]]\nrule = "growth"\nreason = "mine"\n'),
     ("audit", "config", "--waive", "waivers.toml")),
    ("qualify-unknown-target", void, ("qualify", "--target", "vax-*", "--format", "github")),
    ("qualify-wheels-alone", void, ("qualify", "--wheels")),
    ("report-ledger-is-empty", void, ("report", "config")),
    ("report-nothing-there", void, ("report", "absent")),
    ("gate-ledger-is-empty",
     bytes_at("/vary.toml", b'schema = 1\n[[variation]]\nname = "home"\nwhy = "b"\nenvironment = {HOME = "/"}\n'),
     ("gate", "--cpython", "cpython", "--ledger", "config", "--variations", "vary.toml")),
    ("gate-varies-nothing", bytes_at("/vary.toml", b"schema = 1\n"),
     ("gate", "--cpython", "cpython", "--ledger", "config", "--variations", "vary.toml")),
    ("fetch-version-without-hash", void, ("fetch", "3.14.0")),
    ("fetch-hash-is-none", void, ("fetch", "3.14.0", "--sha256", "abc")),
    ("fetch-to-a-folder-of-mine", void, ("fetch", "3.14.7", "--to", "config")),
    ("install-unknown", void, ("toolchains", "install", "17")),
    ("install-exact", void, ("toolchains", "install", "19.1.7")),
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder to be in, with no LLVM but those of the case."""
    folder = tmp_path.resolve()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(_finding, "_FOLDERS", ())
    # Whether this machine has a C library's headers must not show in a text.
    monkeypatch.setattr(headers, "_has_own", lambda target: target.triple.startswith("x86_64-unknown-linux"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (folder / "path").mkdir()
    for name in ("sh", "cat", "ldd", "bash", "make", "env"):
        (folder / "path" / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    for name, value in {
        "PATH": str(folder / "path"),
        "STENCILKIT_LLVM": "",
        "STENCILKIT_CACHE": str(folder / "cache"),
        "STENCILKIT_DATA": str(folder / "data"),
        "SOURCE_DATE_EPOCH": "",
    }.items():
        monkeypatch.setenv(name, value)
    (folder / "config").mkdir()
    (folder / "config" / "pyconfig.h").write_text(PYCONFIG)
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_relative_to(folder / "cache")
    }


@pytest.mark.parametrize(("name", "prepare", "arguments"), CASES, ids=[case[0] for case in CASES])
def test_error(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    prepare: Callable[[Path], object],
    arguments: tuple[str, ...],
) -> None:
    prepare(here)
    before = state(here)
    assert main(list(arguments)) == ExitCode.TROUBLE
    printed = capsys.readouterr()
    assert printed.out == ""
    text = printed.err.replace(str(here), "HERE").replace(__version__, "VERSION")
    blocks = re.findall(r"^stencilkit: error: ", text, re.MULTILINE)
    assert len(blocks) == 1
    assert "Traceback" not in text
    assert "\n  next:  " in text
    assert state(here) == before, "a run that failed left something behind"
    goldens.check(FOLDER / f"{name}.txt", text)


def test_a_malformed_source_date_is_told_before_any_work(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert main([*BUILD, *MINE]) == ExitCode.TROUBLE
    goldens.check(FOLDER / "source-date.txt", capsys.readouterr().err)


def test_every_text_belongs_to_a_case() -> None:
    names = {case[0] for case in CASES} | {"source-date"}
    assert {path.stem for path in FOLDER.glob("*.txt")} == names


def test_a_bug_is_no_verdict(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("stencilkit.pins.load", bug)
    assert main(["fetch", "3.14.7"]) == ExitCode.BUG
    text = capsys.readouterr().err
    assert "ZeroDivisionError: a mistake of ours" in text
    assert "this is a bug; please report" in text
