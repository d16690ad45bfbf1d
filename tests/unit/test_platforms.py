"""What is data per platform: which targets are meant, whose headers, which pyconfig.h, which configure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import configure, headers, targets
from stencilkit.asmopt import rewrite
from stencilkit.errors import AssemblyError, ConfigureError, TargetError, ToolchainError
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Target
from stencilkit.model.toolchain import Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import knowing, universal
from stencilkit.support import environ
from tests import fakes

TABLE = targets.load()
TARGETS = {target.triple: target for target in TABLE.targets}
MAC_ARM, MAC_X86 = TARGETS["aarch64-apple-darwin"], TARGETS["x86_64-apple-darwin"]
WINDOWS = [target for target in TABLE.targets if target.format == "coff"]


def wheel(root: Path, *folders: str) -> Toolchain:
    for folder in folders:
        (root / "lib/libc/include" / folder).mkdir(parents=True)
    return Toolchain(
        version=LlvmVersion(21, 1, 0),
        vendor="clang version 21.1.0",
        origin="pypi",
        program=root / "zig",
        command=(str(root / "zig"), "clang"),
        resource=root / "lib",
        libc=root / "lib/libc/include",
        archs=frozenset({"x86_64", "aarch64", "i686"}),
    )


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    return knowing.tree(fakes.tree(tmp_path / "cpython"))


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine that is none of the targets."""
    monkeypatch.setattr(environ, "native", lambda: "riscv64-linux-gnu")


def test_all_means_every_target_that_upstreams_cpython_has() -> None:
    requests = targets.resolve_all(TABLE, "all", "3.15")
    others = [target.triple for target in TABLE.targets if target.like]
    assert others == ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "x86_64-unknown-freebsd"]
    assert [request.target.triple for request in requests] + others == list(TABLE.pythons["3.15"].targets)
    assert len(requests) == 7


def test_a_target_that_upstream_has_not_has_the_flags_of_one_that_it_has() -> None:
    for python in TABLE.pythons.values():
        for target in (target for target in TABLE.targets if target.like):
            like = next(other for other in TABLE.targets if other.triple == target.like)
            assert python.flags_for(target) == python.flags_for(like)
            assert python.targets[target.triple].alignment == python.targets[like.triple].alignment
            assert python.targets[target.triple].reserved_frame_pointer == (python.series == "3.15")
            assert (target.arch, target.cpus, target.nop) == (like.arch, like.cpus, like.nop)


def test_a_universal_platform_is_its_halves_in_the_order_of_configure() -> None:
    requests = targets.resolve_all(TABLE, "universal2-apple-darwin", "3.14")
    assert [request.spelling for request in requests] == [MAC_ARM.triple, MAC_X86.triple]


def test_a_build_for_this_machine_is_no_half_of_anything() -> None:
    """No --target at all is the spelling ""."""
    for triple in ("x86_64-unknown-linux-gnu", "aarch64-apple-darwin"):
        request: Any = SimpleNamespace(target=targets.resolve(TABLE, triple).target, toolchain=None)
        written: Any = SimpleNamespace(build=SimpleNamespace(request=request))
        assert universal.group([written], [""]) == []


def test_a_cpython_with_one_header_has_no_universal_build() -> None:
    requests = targets.resolve_all(TABLE, "universal2-apple-darwin", "3.13")
    with pytest.raises(TargetError, match="one header for one architecture"):
        universal.check(knowing.python("3.13"), requests)
    universal.check(knowing.python("3.14"), requests)


@pytest.mark.parametrize("name", ["any-macos-any", "any-darwin-any"])
def test_macos_headers_come_with_a_wheel_under_its_old_and_new_name(tmp_path: Path, name: str) -> None:
    found = headers.choose(MAC_ARM, wheel(tmp_path, name, "any-windows-any"), [])
    assert found.origin == "toolchain"
    assert found.arguments == ("-nostdlibinc", "-isystem", str(tmp_path / "lib/libc/include" / name))


@pytest.mark.parametrize("target", WINDOWS, ids=lambda target: target.triple)
def test_windows_headers_of_a_wheel_are_mingws_and_say_so(tmp_path: Path, target: Target) -> None:
    found = headers.choose(target, wheel(tmp_path, "any-windows-any"), [])
    assert found.origin == "mingw"
    assert f"--target={target.arch}-pc-windows-gnu" in found.arguments


def test_a_windows_sdk_is_used_as_xwin_lays_it_out(tmp_path: Path) -> None:
    for name in WINDOWS[0].sysroot_headers:
        (tmp_path / name).mkdir(parents=True)
    found = headers.choose(WINDOWS[0], wheel(tmp_path / "wheel"), [], tmp_path)
    assert found.origin == "sysroot"
    assert not any(word.startswith("--target") for word in found.arguments)
    assert found.arguments.count("-idirafter") == len(WINDOWS[0].sysroot_headers)
    with pytest.raises(ToolchainError, match="has no crt/include"):
        headers.choose(WINDOWS[0], wheel(tmp_path / "other"), [], tmp_path / "sdk")


def test_an_apple_sdk_is_for_clang_to_search(tmp_path: Path) -> None:
    found = headers.choose(MAC_ARM, wheel(tmp_path / "wheel", "any-macos-any"), [], tmp_path)
    assert (found.origin, found.arguments, found.root) == ("sysroot", (f"--sysroot={tmp_path}",), tmp_path)
    with pytest.raises(ToolchainError, match=r"there is no folder .*MacOSX\.sdk"):
        headers.choose(MAC_ARM, wheel(tmp_path / "other"), [], tmp_path / "MacOSX.sdk")


@pytest.mark.parametrize("machine", ["aarch64-darwin", "x86_64-windows"])
def test_an_sdk_serves_all_architectures_of_its_system(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """universal2 on a Mac, Win32 on Windows for x64: nothing is borrowed."""
    monkeypatch.setattr(environ, "native", lambda: machine)
    system = machine.partition("-")[2]
    for target in TABLE.targets:
        found = headers.choose(target, wheel(tmp_path / target.triple, *target.zig_headers), [])
        assert (found.origin == "system") == target.native.endswith(f"-{system}"), target.triple


def test_headers_come_from_a_toolchain_that_has_them_for_the_target(tmp_path: Path) -> None:
    """Wheels of LLVM 18 and 19 have none of FreeBSD's."""
    freebsd = TARGETS["x86_64-unknown-freebsd"]
    old, new = wheel(tmp_path / "old", "generic-glibc"), wheel(tmp_path / "new", "generic-freebsd")
    assert headers.choose(freebsd, old, [old, new]).root == new.libc
    with pytest.raises(ToolchainError, match="no C library headers for x86_64-unknown-freebsd"):
        headers.choose(freebsd, old, [old])
    assert configure.compiler_for(freebsd, [old, new])[0] == str(new.program)


def test_without_any_headers_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environ, "is_native", lambda _name: False)
    bare = replace(wheel(tmp_path), libc=None)
    with pytest.raises(ToolchainError, match="no C library headers for aarch64-apple-darwin") as caught:
        headers.choose(MAC_ARM, bare, [bare])
    assert "stencilkit toolchains install" in caught.value.fix
    assert "--sysroot" in caught.value.fix


@pytest.mark.parametrize("name", ["pyconfig.h", "pyconfig.h.in"])
def test_windows_pyconfig_is_the_trees(tree: SourceTree, tmp_path: Path, name: str) -> None:
    request = targets.resolve(TABLE, "i686-pc-windows-msvc")
    with pytest.raises(ConfigureError, match=r"no PC/pyconfig\.h"):
        configure.configured(tree, request, "debug", [], tmp_path / "cache")
    (tree.root / "PC").mkdir()
    text = "#ifdef MS_WIN64\n#define SIZEOF_VOID_P 8\n#else\n#define SIZEOF_VOID_P 4\n#endif\n"
    (tree.root / "PC" / name).write_text(text)
    config = configure.configured(tree, request, "debug", [], tmp_path / "cache")
    assert (config.origin, config.content) == ("tree", text.encode())
    assert (config.folder / "pyconfig.h").read_text() == text


CASES = (
    "\t*-*-linux*)\n\t\tac_sys_system=Linux\n\t\t;;\n\t*-*-vxworks*)\n\t\tx\n\t\t;;\n\t*-*-vxworks*)\n\t\ty\n\t\t;;\n"
)


def test_a_configure_without_cross_builds_for_a_system_is_taught_in_a_copy(tree: SourceTree, tmp_path: Path) -> None:
    (tree.root / "configure").write_text(CASES)
    assert configure._script(tree, MAC_ARM, tmp_path) == "./configure"
    text = (tmp_path / "configure").read_text()
    assert text.index("*-*-darwin*)\n\t\tac_sys_system=Darwin\n") < text.index("\t\tx\n")
    assert text.index("\t\tx\n") < text.index("*-*-darwin*)\n\t\t_host_ident=$host_cpu\n") < text.index("\t\ty\n")


@pytest.mark.parametrize(
    ("text", "triple"),
    [
        (CASES, "aarch64-unknown-linux-gnu"),
        (f"\t*-*-darwin*)\n{CASES}", "aarch64-apple-darwin"),
        (CASES.replace("vxworks", "other"), "aarch64-apple-darwin"),
    ],
    ids=["another system", "known already", "of another shape"],
)
def test_any_other_configure_is_run_as_it_is(tree: SourceTree, tmp_path: Path, text: str, triple: str) -> None:
    (tree.root / "configure").write_text(text)
    assert configure._script(tree, TARGETS[triple], tmp_path) == "tree/configure"


def test_both_halves_take_the_pyconfig_of_a_universal_build(tmp_path: Path) -> None:
    (tmp_path / "pyconfig.h").write_text("#define SIZEOF_VOID_P 8\n")
    for target in (MAC_ARM, MAC_X86):
        request = targets.resolve(TABLE, target.triple)
        assert configure.given(tmp_path, request, "release", "universal2-apple-darwin").origin == "given"


COFF = """\
\t.def\t@feat.00;
\t.scl\t3;
\t.type\t0;
\t.endef
\t.globl\t@feat.00
@feat.00 = 0
\t.file\t"shim.c"
\t.def\t_JIT_ENTRY;
\t.scl\t2;
\t.type\t32;
\t.endef
\t.text
\t.globl\t_JIT_ENTRY
_JIT_ENTRY:
\tcallq\tPyFoo
\tjmp\t_JIT_CONTINUE
"""


def test_assembly_of_windows_has_assignments() -> None:
    text = rewrite("_UOP", COFF, TARGETS["x86_64-pc-windows-msvc"], "any")
    assert "@feat.00 = 0\n" in text
    assert "jmp" not in text
    with pytest.raises(AssemblyError, match="neither a label, nor a directive, nor an instruction"):
        rewrite("_UOP", COFF.replace("@feat.00 = 0", "@feat.00 0"), TARGETS["x86_64-pc-windows-msvc"], "any")


MACHO = """\
\t.macosx_version_min 10, 4
\t.section\t__TEXT,__text,regular,pure_instructions
\t.globl\t__JIT_ENTRY
__JIT_ENTRY:
\tjmp\t__JIT_CONTINUE
\t.cfi_endproc
"""


def test_assembly_of_macos_has_prefixes_and_no_frame_information() -> None:
    text = rewrite("_UOP", MACHO.replace("\t.cfi_endproc\n", ""), MAC_X86, "any")
    assert "jmp" not in text
    assert "L_JIT_CONTINUE:" in text
    with pytest.raises(AssemblyError, match="Apple's clang"):
        rewrite("_UOP", MACHO, MAC_X86, "any")
