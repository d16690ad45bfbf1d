"""Finding, identifying and choosing clangs, with scripts that answer like one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stencilkit import toolchain
from stencilkit.errors import ToolchainError, UsageError
from stencilkit.model.toolchain import Found, Rejected, Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.support import files, process
from stencilkit.support.cache import NoStore, Store
from stencilkit.toolchain import _asking, _finding
from tests import fakes

pytestmark = pytest.mark.process

FOLDERS = _finding._FOLDERS


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the LLVMs of this machine."""
    monkeypatch.setattr(_finding, "_FOLDERS", ())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name in ("STENCILKIT_LLVM", "LLVM_TOOLS_INSTALL_DIR", "LLVM_ROOT", "CONDA_PREFIX"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


def discover(tmp_path: Path) -> Found:
    found = toolchain.discover(tmp_path / "data", NoStore())
    # A clang of the machine's in /usr/bin is not this test's business.
    return Found(
        toolchains=tuple(tool for tool in found.toolchains if tmp_path in tool.program.parents),
        rejected=tuple(item for item in found.rejected if tmp_path in item.program.parents),
    )


def identify(program: Path) -> Toolchain | Rejected:
    return toolchain.identify(program, "named", NoStore())


def why(program: Path) -> str:
    found = identify(program)
    assert isinstance(found, Rejected), found
    return found.why


def test_a_clang_is_identified(tmp_path: Path) -> None:
    found = identify(fakes.clang(tmp_path / "clang-19", "19.1.7"))
    assert isinstance(found, Toolchain)
    assert found.version == LlvmVersion(19, 1, 7)
    assert found.vendor == "Debian clang version 19.1.7 (1~fake)"
    assert found.archs == {"x86_64", "i686", "aarch64"}
    assert found.resource == tmp_path / "resource"


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("clang version 21.1.8 (Fedora 21.1.8-1.fc43)", "21.1.8"),
        ("Ubuntu clang version 18.1.3 (1ubuntu1)", "18.1.3"),
        ("clang version 22.0.0git (https://github.com/llvm/llvm-project 0123abc)", "22.0.0"),
        ("Homebrew clang version 20.1.2", "20.1.2"),
        ("warning: something first\nclang version 19.1.7", "19.1.7"),
    ],
)
def test_vendors_spell_versions_differently(tmp_path: Path, banner: str, version: str) -> None:
    found = identify(fakes.clang(tmp_path / "clang", banner=banner))
    assert isinstance(found, Toolchain)
    assert str(found.version) == version


def test_impostors_are_refused_with_the_reason(tmp_path: Path) -> None:
    assert "Apple's clang" in why(fakes.clang(tmp_path / "a" / "clang", banner=fakes.APPLE))
    assert "gcc under clang's name" in why(fakes.clang(tmp_path / "b" / "clang", banner=fakes.GCC))
    name = why(fakes.clang(tmp_path / "c" / "clang-19", "18.1.8"))
    assert name == "its name says 19, but it is version 18.1.8"
    assert "it is not a clang: --version says" in why(fakes.clang(tmp_path / "d" / "clang", banner="hello"))
    assert "cannot run" in why(fakes.program(tmp_path / "e" / "clang", "").with_name("none"))


def test_a_clang_that_fails_is_refused_with_what_it_said(tmp_path: Path) -> None:
    broken = fakes.program(
        tmp_path / "clang",
        "echo 'clang: error while loading shared libraries: libLLVM.so.19: cannot open' >&2; exit 127",
    )
    assert "libLLVM.so.19" in why(broken)
    assert "was killed by SIGSEGV" in why(fakes.program(tmp_path / "x" / "clang", "kill -SEGV $$"))


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    """A library that was missing is there now; the binary is the same, so its key in the cache is."""
    store = Store(tmp_path / "store")
    binary = tmp_path / "clang"
    shutil.copy("/bin/cat", binary)
    # cat --version answers; cat -print-targets fails, and nothing of that is stored.
    assert isinstance(toolchain.identify(binary, "named", store), Rejected)
    before = store.info().entries
    assert before == 1
    assert isinstance(toolchain.identify(binary, "named", store), Rejected)
    assert store.info().entries == before


def test_the_best_comes_first_and_rejections_are_kept(tmp_path: Path) -> None:
    fakes.clang(tmp_path / "bin" / "clang-19", "19.1.7")
    fakes.clang(tmp_path / "bin" / "clang-20", "20.1.8")
    fakes.clang(tmp_path / "bin" / "clang-18", "17.0.6")
    (tmp_path / "bin" / "clang").symlink_to("clang-19")
    found = discover(tmp_path)
    assert [str(tool.version) for tool in found.toolchains] == ["20.1.8", "19.1.7"]
    assert [item.program.name for item in found.rejected] == ["clang-18"]


def test_named_folders_come_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.clang(tmp_path / "bin" / "clang", "19.1.7")
    mine = fakes.clang(tmp_path / "mine" / "clang", "19.1.7")
    monkeypatch.setenv("STENCILKIT_LLVM", str(tmp_path / "mine"))
    assert discover(tmp_path).toolchains[0].program == mine


def programs(tmp_path: Path) -> list[str]:
    return [tool.program.relative_to(tmp_path).as_posix() for tool in discover(tmp_path).toolchains]


def test_of_one_major_the_first_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with CPython's own generator: a newer patch release elsewhere does not overtake it."""
    for name, version in (("first/clang", "19.1.1"), ("second/clang-19", "19.1.7"), ("second/clang-20", "20.1.0")):
        fakes.clang(tmp_path / name, version)
    for name, version in (("folder/a/clang", "19.1.6"), ("folder/b/clang", "19.1.9")):
        fakes.clang(tmp_path / name, version)
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}:/usr/bin:/bin")
    monkeypatch.setattr(_finding, "_FOLDERS", (str(tmp_path / "folder/*"),))
    expected = ["second/clang-20", "first/clang", "second/clang-19", "folder/b/clang", "folder/a/clang"]
    assert programs(tmp_path) == expected
    monkeypatch.setenv("PATH", f"{tmp_path / 'second'}:{tmp_path / 'first'}:/usr/bin:/bin")
    assert programs(tmp_path)[1:3] == ["second/clang-19", "first/clang"]


def test_the_choice_is_said_with_its_path_and_what_was_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (fakes.clang(tmp_path / name / "clang", f"19.1.{name}") for name in "17")
    fakes.clang(tmp_path / "bin" / "clang", "20.1.0")
    monkeypatch.setenv("PATH", f"{first.parent}:{second.parent}:{tmp_path / 'bin'}:/usr/bin:/bin")
    here = fakes.machine(discover(tmp_path))
    newest, used, _ = here
    said = toolchain.choice(used, here)
    assert said == f"using LLVM 19.1.1 (path: {first}), and not 19.1.7 ({second})"
    assert toolchain.choice(newest, here) == f"using LLVM 20.1.0 (path: {tmp_path}/bin/clang)"


@pytest.mark.parametrize(
    ("variable", "first"),
    [("LLVM_TOOLS_INSTALL_DIR", "prefix"), ("LLVM_ROOT", "bin"), ("CONDA_PREFIX", "bin")],
)
def test_prefixes_that_variables_name(
    variable: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPython's variable goes before PATH, the others do not."""
    fakes.clang(tmp_path / "bin" / "clang", "19.1.1")
    fakes.clang(tmp_path / "prefix" / "bin" / "clang", "19.1.7")
    monkeypatch.setenv(variable, str(tmp_path / "prefix"))
    assert sorted(programs(tmp_path)) == ["bin/clang", "prefix/bin/clang"]
    assert programs(tmp_path)[0].startswith(first)


@pytest.mark.parametrize(
    "folder",
    [
        *("usr/lib/llvm-19/bin", "usr/lib/llvm19/bin", "usr/lib64/llvm19/bin", "usr/lib/llvm/19/bin"),
        *("usr/local/llvm19/bin", "opt/local/libexec/llvm-19/bin", "opt/homebrew/opt/llvm@19/bin"),
    ],
)
def test_the_folders_of_distributions(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.clang(tmp_path / folder / "clang", "19.1.7")
    monkeypatch.setattr(_finding, "_FOLDERS", tuple(f"{tmp_path}{pattern}" for pattern in FOLDERS))
    assert programs(tmp_path) == [f"{folder}/clang"]


def test_links_to_ccache_are_different_clangs(tmp_path: Path) -> None:
    fakes.clang(tmp_path / "lib" / "ccache", "19.1.7")
    for folder in ("bin", "bin2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clang").symlink_to(tmp_path / "lib" / "ccache")
    first, second = (tmp_path / folder / "clang" for folder in ("bin", "bin2"))
    with pytest.raises(UsageError, match=r"two of the LLVMs asked for have the version 19\.1\.7"):
        select(f"{first},{second}", discover(tmp_path))


def select(text: str, found: Found, **options: bool) -> list[str]:
    chosen = toolchain.select(toolchain.parse_wanted(text), fakes.machine(found), **options)
    return [str(tool.version) for tool in chosen]


@pytest.fixture
def three(tmp_path: Path) -> Found:
    for version in ("19.1.7", "20.1.8", "21.1.0"):
        fakes.clang(tmp_path / "bin" / f"clang-{version[:2]}", version)
    return discover(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19", ["19.1.7"]),
        ("21,19", ["21.1.0", "19.1.7"]),
        ("19..21", ["19.1.7", "20.1.8", "21.1.0"]),
        ("19..20,20..21", ["19.1.7", "20.1.8", "21.1.0"]),
        ("20.1.8", ["20.1.8"]),
        (" 19 , 20 ", ["19.1.7", "20.1.8"]),
    ],
)
def test_wanted_versions_are_chosen_in_order(three: Found, text: str, expected: list[str]) -> None:
    assert select(text, three) == expected


def test_what_is_absent_is_an_error_that_helps(three: Found) -> None:
    with pytest.raises(ToolchainError) as caught:
        select("18..20", three)
    assert caught.value.what == "LLVM 18 not found (available: 19.1.7, 20.1.8, 21.1.0)"
    assert caught.value.fix.startswith("stencilkit toolchains install 18 (from PyPI, no root), or your distribution's ")
    assert caught.value.fix.endswith("--skip-missing to build with the others")
    with pytest.raises(ToolchainError) as caught:
        select("23", three)
    assert "toolchains install" not in caught.value.fix
    assert "--skip-missing" not in caught.value.fix
    assert select("18..20", three, skip_missing=True) == ["19.1.7", "20.1.8"]
    with pytest.raises(ToolchainError):
        select("18", three, skip_missing=True)
    with pytest.raises(ToolchainError, match=r"19\.1\.6"):
        select("19.1.6", three)


@pytest.mark.parametrize("text", ["", ",", "19,", "clang", "21..19", "19.1", "19..", "-19", "nineteen"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UsageError, match="is not a version"):
        toolchain.parse_wanted(text)


def test_a_program_can_be_named_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fakes.clang(tmp_path / "bin" / "clang", "19.1.7")
    monkeypatch.chdir(tmp_path)
    wanted = toolchain.parse_wanted("./bin/clang")
    assert wanted[0].program == program
    assert [tool.command for tool in toolchain.select(wanted, fakes.machine(discover(tmp_path)))] == [(str(program),)]


def test_the_same_clang_twice_is_one_and_two_of_a_version_are_refused(three: Found, tmp_path: Path) -> None:
    assert select(f"19,{tmp_path}/bin/clang-19", three) == ["19.1.7"]
    other = fakes.clang(tmp_path / "other" / "clang", "19.1.7")
    with pytest.raises(UsageError, match="two of the LLVMs"):
        select(f"19,{other}", three)


def test_windows_names_a_program_without_its_suffix(tmp_path: Path) -> None:
    """PCbuild's command line has the folder of an LLVM; what is bin/clang to a shell there is bin/clang.exe."""
    fakes.clang(tmp_path / "llvm" / "bin" / "clang.exe", "21.1.0")
    (chosen,) = toolchain.select(
        toolchain.parse_wanted(str(tmp_path / "llvm" / "bin" / "clang")), toolchain.Machine(tmp_path, NoStore())
    )
    assert chosen.program == tmp_path / "llvm" / "bin" / "clang.exe"


def test_a_named_program_that_cannot_be_used(tmp_path: Path) -> None:
    found = Found(toolchains=(), rejected=())
    with pytest.raises(ToolchainError, match="there is no program"):
        select(f"{tmp_path}/none", found)
    fakes.clang(tmp_path / "llvm" / "bin" / "clang")
    with pytest.raises(ToolchainError, match="is a folder") as caught:
        select(f"{tmp_path}/llvm", found)
    assert caught.value.fix.endswith("llvm/bin/clang")
    with pytest.raises(ToolchainError, match="Apple"):
        select(str(fakes.clang(tmp_path / "clang", banner=fakes.APPLE)), found)


def test_a_clang_without_a_back_end(tmp_path: Path) -> None:
    only_x86 = identify(fakes.clang(tmp_path / "clang", targets="  Registered Targets:\n    x86-64  - 64-bit X86"))
    assert isinstance(only_x86, Toolchain)
    toolchain.check_arch(only_x86, "x86_64")
    with pytest.raises(ToolchainError, match="no back end for aarch64"):
        toolchain.check_arch(only_x86, "aarch64")


def test_identity_follows_the_binary(tmp_path: Path) -> None:
    program = fakes.clang(tmp_path / "clang")
    tool = identify(program)
    assert isinstance(tool, Toolchain)
    first = toolchain.identity(tool, NoStore())
    program.write_text(program.read_text() + "# changed\n")
    assert toolchain.identity(tool, NoStore()) != first


def test_identity_takes_what_the_program_says_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All answers to -### begin as that to --version does, so one process is enough; another version is refused."""
    (tmp_path / "clang.cfg").write_text("-O1\n")
    program = fakes.clang(tmp_path / "clang", banner="Debian clang version 19.1.7 (3)")
    tool = identify(program)
    assert isinstance(tool, Toolchain)
    plainly = toolchain.identity(tool, NoStore())
    run = process.run

    def unasked(command: Sequence[str | Path], **options: Any) -> process.Completed:
        assert "--version" not in command
        return run(command, **options)

    monkeypatch.setattr(process, "run", unasked)
    said = 'Debian clang version 19.1.7 (3)\nTarget: x86_64-pc-linux-gnu\n{} "clang" "-cc1"\n'
    assert toolchain.identity(tool, NoStore(), lambda: said.format("")) == plainly
    configured = toolchain.identity(tool, NoStore(), lambda: said.format(f"Configuration file: {tmp_path}/clang.cfg\n"))
    assert configured.libraries.keys() - plainly.libraries.keys() == {"clang.cfg"}
    with pytest.raises(ToolchainError, match="is another one now"):
        toolchain.identity(tool, NoStore(), lambda: said.replace("19.1.7", "19.1.8"))


def test_identity_sees_through_wrappers(tmp_path: Path) -> None:
    """The clang behind a script changes while the script, and what it says its version is, do not."""
    real = tmp_path / "real-clang"
    real.write_bytes(b"one build of it")
    wrapper = fakes.clang(tmp_path / "clang")
    answer = f' "{real}" "-cc1" "-triple" "x86_64-unknown-linux-gnu"'
    wrapper.write_text(wrapper.read_text().replace("echo 'error: this is not a compiler' >&2", f"echo '{answer}' >&2"))
    tool = identify(wrapper)
    assert isinstance(tool, Toolchain)
    first = toolchain.identity(tool, NoStore())
    assert "real-clang" in first.libraries
    real.write_bytes(b"another build of it")
    second = toolchain.identity(tool, NoStore())
    assert (second.program, second.libraries) != (first.program, first.libraries)
    assert second.program == first.program


def test_identity_has_configuration_files_with_what_they_include(tmp_path: Path) -> None:
    (tmp_path / "clang.cfg").write_text("# Gentoo's are like this\n@common.cfg\n")
    common = tmp_path / "common.cfg"
    common.write_text("--rtlib=libgcc\n@clang.cfg\n")
    banner = f"clang version 19.1.7\nInstalledDir: /usr/bin\nConfiguration file: {tmp_path}/clang.cfg"
    tool = identify(fakes.clang(tmp_path / "bin" / "clang", banner=banner))
    assert isinstance(tool, Toolchain)
    first = toolchain.identity(tool, NoStore())
    assert {"clang.cfg", "common.cfg"} <= first.libraries.keys()
    common.write_text("--rtlib=compiler-rt\n")
    assert toolchain.identity(tool, NoStore()) != first


def test_named_folders_that_are_not_there_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STENCILKIT_LLVM", str(tmp_path / "no"))
    monkeypatch.setenv("PATH", "")
    (rejected,) = [item for item in discover(tmp_path).rejected if item.program == tmp_path / "no"]
    assert rejected.why == "STENCILKIT_LLVM names it, and it is not there"


def test_libraries_are_those_that_the_listing_names(tmp_path: Path) -> None:
    """With blanks in their paths, in the dozens of BUILD_SHARED_LIBS, and as macOS spells its own."""
    folder = tmp_path / "my llvm" / "lib"
    folder.mkdir(parents=True)
    names = ("libLLVM.so.21.1", "libclang-cpp.so.21.1", "libclangCodeGen.so.22", "libPolly.so")
    for name in (*names, "libLLVM.dylib", "libz.so"):
        (folder / name).touch()
    program = folder.parent / "bin" / "clang-21"
    listing = (
        "\tlinux-vdso.so.1 (0x00007ffc)\n"
        f"\tlibLLVM.so.21.1 => {folder.parent}/bin/../lib/libLLVM.so.21.1 (0x00007f3a5c000000)\n"
        f"\tlibclang-cpp.so.21.1 => {folder}/libclang-cpp.so.21.1 (0x00007f3a5c000000)\n"
        f"\tlibclangCodeGen.so.22 => {folder}/libclangCodeGen.so.22 (0x00007f3a5c000000)\n"
        f"\t{folder}/libPolly.so (0x00007f3a5c000000)\n"
        f"\tlibz.so => {folder}/libz.so (0x00007f3a5c000000)\n"
        "\tlibLLVMCore.so => not found\n"
    )
    program.parent.mkdir()
    assert [path.name for path in toolchain.loaded(listing, program)] == sorted(names)
    listing = (
        f"{program}:\n"
        "\t@rpath/libLLVM.dylib (compatibility version 1.0.0, current version 21.1.0)\n"
        "\t/usr/lib/libSystem.B.dylib (compatibility version 1.0.0, current version 1351.0.0)\n"
    )
    assert toolchain.loaded(listing, program) == [folder / "libLLVM.dylib"]


def test_a_binary_that_is_replaced_with_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    """Files of images and packages may all have one time."""
    store, program = Store(tmp_path / "store"), tmp_path / "clang"
    program.write_bytes(b"\x7fELF one")
    times = program.stat()
    first = _asking._digest(program, store)
    program.write_bytes(b"\x7fELF two")
    os.utime(program, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert _asking._digest(program, store) != first


def test_without_a_cache_programs_are_those_that_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written then: what is not known is asked each time."""
    kept, program = Store(tmp_path / "store"), tmp_path / "clang"
    program.write_bytes(b"\x7fELF one")
    hashed: list[Path] = []
    sha256 = files.sha256

    def hash_(path: Path) -> str:
        hashed.append(path)
        return sha256(path)

    monkeypatch.setattr(files, "sha256", hash_)
    for store in (NoStore(programs=kept), NoStore(programs=kept), kept, NoStore(programs=kept)):
        assert _asking._digest(program, store) == hashlib.sha256(b"\x7fELF one").hexdigest()
    assert hashed == [program] * 3


def test_a_clang_that_became_another_version_is_refused_and_forgotten(tmp_path: Path) -> None:
    """The program is the same file; what it starts, or a library that it loads, is not."""
    if shutil.which("gcc") is None:
        pytest.fail("gcc is needed: apt-get install gcc")
    store = Store(tmp_path / "store")
    behind, program = fakes.clang(tmp_path / "real" / "clang", "19.1.7"), tmp_path / "clang"
    source = f'#include <unistd.h>\nint main(int n, char **v) {{ (void)n; return execv("{behind}", v); }}\n'
    subprocess.run(["gcc", "-x", "c", "-o", program, "-"], input=source.encode(), check=True)
    tool = toolchain.identify(program, "named", store)
    assert isinstance(tool, Toolchain)
    assert toolchain.identity(tool, store).stamps
    fakes.clang(behind, "19.1.8")
    again = toolchain.identify(program, "named", store)
    assert again == tool  # as remembered
    with pytest.raises(ToolchainError, match=r"was Debian clang version 19\.1\.7 .*, and is another one now"):
        toolchain.identity(tool, store)
    found = toolchain.identify(program, "named", store)
    assert isinstance(found, Toolchain)
    assert str(found.version) == "19.1.8"
    assert toolchain.replaced(toolchain.identity(found, store)) == ()


def test_what_is_replaced_after_it_was_asked_is_named(tmp_path: Path) -> None:
    program = fakes.clang(tmp_path / "clang")
    tool = identify(program)
    assert isinstance(tool, Toolchain)
    found = toolchain.identity(tool, NoStore())
    assert toolchain.replaced(found) == ()
    (tmp_path / "link").hardlink_to(program)
    assert toolchain.replaced(found) == ()
    program.write_text(program.read_text() + "# patched\n")
    assert toolchain.replaced(found) == (program,)
    program.unlink()
    assert toolchain.replaced(found) == (program,)
