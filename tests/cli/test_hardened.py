"""The hardened flavour: built, equal to upstream's, linked, and entered on pages whose landing pads are enforced."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from stencilkit import dialects, reader
from stencilkit.model.stencil import StencilSet
from stencilkit.pipeline import knowing
from tests import workbench as wb

pytestmark = [pytest.mark.process, pytest.mark.network]

VERSION = "3.15.0rc1"
PADS = {wb.X86: "f30f1efa", wb.ARM: "5f2403d5"}
NOTES = {wb.X86: ("IBT", "SHSTK"), wb.ARM: ("BTI", "PAC")}
# A program without a C library, whose start files may lack the notes.
START = "void _start(void) { for (;;) { } } extern void *_PyJIT_Entry; void **used(void) { return &_PyJIT_Entry; }"
COMPILE = {
    wb.X86: ["gcc", "-fcf-protection=full"],
    wb.ARM: ["aarch64-linux-gnu-gcc", "-mbranch-protection=standard"],
}
STRICT = {
    wb.X86: ["-z", "cet-report=error"],
    wb.ARM: ["-z", "force-bti", "-z", "pac-plt", "--fatal-warnings"],
}
LINKERS = {wb.X86: "ld", wb.ARM: "aarch64-linux-gnu-ld"}
# Jumps to the code in a file, placed on a page with PROT_BTI, as a trace is entered: through a register.
HARNESS = """\
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
int main(int argc, char **argv) {
    unsigned char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *file = fopen(argv[argc - 1], "rb");
    size_t size = fread(page, 1, 4096, file);
    if (size < 8 || mprotect(page, 4096, PROT_READ | PROT_EXEC | 0x10)) return 1;
    __builtin___clear_cache((char *)page, (char *)page + size);
    ((void (*)(void))page)();
    return 0;
}
"""
# From a page with PROT_BTI, jumps to a function by the trampoline that Python/jit.c writes, through a register whose
# number is given (x8 in CPython). The function's own page has PROT_BTI, as a program has that keeps its notes, or not.
TRAMPOLINE = """\
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((aligned(4096))) void reached(void) { _exit(7); }
int main(int argc, char **argv) {
    unsigned number = atoi(argv[argc - 2]);
    /* bti c; ldr xN, 8; br xN */
    unsigned code[] = {0xd503245f, 0x58000040 | number, 0xd61f0000 | number << 5};
    void (*target)(void) = reached;
    unsigned char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    memcpy(page + sizeof code, &target, sizeof target);
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC | 0x10)) return 1;
    if (atoi(argv[argc - 1]) && mprotect(reached, 4096, PROT_READ | PROT_EXEC | 0x10)) return 1;
    __builtin___clear_cache((char *)page, (char *)page + 4096);
    ((void (*)(void))page)();
    return 0;
}
"""


def with_what_is_entered(version: str, to: Path) -> Path:
    """Copy CPython with few uops, among them those that start a trace."""
    tree = wb.small_tree(version, to, uops=40, step=24 if version.startswith("3.15") else 7)
    text = (wb.tree(version) / "Python/executor_cases.c.h").read_text()
    cases = tree / "Python/executor_cases.c.h"
    here = cases.read_text()
    missing = [
        f"        case {item.name}: {{\n{text.partition(f'case {item.name}: {{')[2].partition('        case ')[0]}"
        for item in knowing.python(version[:4]).dialect.ENTERED
        if f"case {item.name}: {{" in text and f"case {item.name}: {{" not in here
    ]
    cases.write_text(here.replace("#undef TIER_TWO", "\n".join([*missing, "#undef TIER_TWO"])))
    return tree


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Build few uops for both targets, plain and hardened."""
    tree = with_what_is_entered(VERSION, tmp_path_factory.mktemp("small") / "tree")
    found = {}
    for triple in PADS:
        config = wb.config_for(VERSION, triple, "release", tmp_path_factory.mktemp("config") / triple)
        for more in ((), ("--hardened",)):
            out = tmp_path_factory.mktemp("out")
            folder = wb.built(VERSION, 21, out, "--pyconfig-dir", config, *more, triple=triple, source_tree=tree)
            found[triple, folder.parent.name] = folder
    return found


def stencils(folder: Path) -> StencilSet:
    (header,) = folder.glob("jit_stencils-*.h")
    return reader.read(header.read_text(), dialects.header_forms(), header.name).stencils


@pytest.mark.parametrize("triple", PADS)
def test_what_is_entered_begins_with_a_pad(triple: str, builds: dict[tuple[str, str], Path]) -> None:
    entered = {item.name for item in knowing.python("3.15").dialect.ENTERED}
    groups = {group.name: group.code.body for group in stencils(builds[triple, "release-hardened"]).groups}
    assert entered <= groups.keys()
    pads = (PADS[triple], "3f2303d5")
    assert all(groups[name].hex().startswith(pads) for name in entered)
    demand = ["--demand", "landing-pads"]
    assert wb.stencilkit("audit", builds[triple, "release-hardened"], *demand).returncode == 0
    assert wb.stencilkit("audit", builds[triple, "release"], *demand, check=False).returncode == 1


@pytest.mark.parametrize("linker", ["binutils", "lld"])
@pytest.mark.parametrize("triple", PADS)
def test_the_shim_lets_a_binary_keep_its_notes(
    triple: str, linker: str, builds: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    """CPython 3.15 links jit_shim.o; the linker keeps of the notes what every object has."""
    (tmp_path / "start.c").write_text(START)
    compiler = [*COMPILE[triple], "-ffreestanding", "-c", "start.c", "-o", "start.o"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    command = [str(wb.pypi_llvm(wb.NEWEST_WHEEL)), "ld.lld"] if linker == "lld" else [LINKERS[triple]]

    def link(kind: str, *flags: str) -> subprocess.CompletedProcess[str]:
        (shim,) = builds[triple, kind].glob("jit_shim-*.o")
        words: list[str | Path] = [*command, *flags, "-o", "linked", "start.o", shim]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    def notes() -> set[str]:
        said = subprocess.run(["readelf", "-n", "linked"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return {word for word in NOTES[triple] if word in said.stdout}

    done = link("release-hardened", *STRICT[triple])
    assert done.returncode == 0, done.stderr
    assert notes() == set(NOTES[triple])
    # What CPython's own generator makes of the shim without flags:
    done = link("release", *STRICT[triple])
    assert done.returncode != 0
    assert "jit_shim" in done.stderr
    assert link("release").returncode == 0
    assert notes() == set()


def test_pads_are_enforced_on_guarded_pages(builds: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    """CPython's jit.c maps no page with PROT_BTI; this program does, under qemu, which enforces it."""
    (tmp_path / "harness.c").write_text(HARNESS)
    command = ["aarch64-linux-gnu-gcc", "-O1", "-static", "-o", "harness", "harness.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    groups = {group.name: group.code.body for group in stencils(builds[wb.ARM, "release-hardened"]).groups}
    nop, authenticate, ret = bytes.fromhex("1f2003d5"), bytes.fromhex("bf2303d5"), bytes.fromhex("c0035fd6")
    for item in knowing.python("3.15").dialect.ENTERED:
        pad = groups[item.name][:4]
        back = (authenticate if pad.hex() == "3f2303d5" else b"") + ret
        for first, expected in ((pad, 0), (nop, -signal.SIGILL)):
            (tmp_path / "code").write_bytes(first + (back if first == pad else ret))
            run = ["qemu-aarch64-static", "-cpu", "max", "./harness", "code"]
            assert subprocess.run(run, cwd=tmp_path, capture_output=True, check=False).returncode == expected, item.name


def test_cpythons_trampolines_are_not_for_guarded_pages(tmp_path: Path) -> None:
    """From one, a jump through x8 enters no function of a program that is guarded itself; one through x16 or x17 does.

    So CPython cannot ask for PROT_BTI before its trampolines use one of those.
    """
    for version in ("3.14.7", "3.15.0rc1"):
        text = (wb.tree(version) / "Python/jit.c").read_text()
        assert "p[0] = 0x58000048;" in text
        assert "p[1] = 0xD61F0100;" in text
    (tmp_path / "trampoline.c").write_text(TRAMPOLINE)
    compiler = ["aarch64-linux-gnu-gcc", "-mbranch-protection=standard", "-O1", "-static", "trampoline.c"]
    subprocess.run([*compiler, "-o", "trampoline"], cwd=tmp_path, check=True)
    run = ["qemu-aarch64-static", "-cpu", "max", "./trampoline"]
    ends = {
        (register, guarded): subprocess.run([*run, register, guarded], cwd=tmp_path, check=False).returncode
        for register in ("8", "16", "17")
        for guarded in ("0", "1")
    }
    # From a page that is not guarded, any register will do (Arm ARM, BTYPE); qemu 10 ends that run, qemu 7 does not.
    assert ends.pop(("8", "0")) in (7, -signal.SIGILL)
    assert ends == dict.fromkeys(ends, 7) | {("8", "1"): -signal.SIGILL}


@pytest.mark.parametrize(
    ("version", "major"),
    [("3.14.7", 19), *(pytest.param(v, m, marks=pytest.mark.matrix) for v, m in wb.PINNED.items() if v != "3.14.7")],
)
@pytest.mark.parametrize("triple", PADS)
def test_it_is_what_upstream_makes_with_the_same_flags(version: str, major: int, triple: str, tmp_path: Path) -> None:
    tree = wb.small_tree(version, tmp_path / "tree", uops=3, step=30)
    # A cross configure with Debian's gcc; tests/cli/test_build.py has one with PyPI's.
    config = wb.pyconfig(version, triple)
    folder = wb.built(
        *(version, major, tmp_path / "out", "--hardened", "--check-upstream", "--pyconfig-dir", config),
        triple=triple,
        source_tree=tree,
    )
    assert folder.parent.name == "release-hardened"


@pytest.mark.parametrize("version", wb.PINNED)
def test_the_table_of_what_is_entered_is_what_cpython_says(version: str) -> None:
    """Where one of these texts is gone, somebody must look again."""
    for item in knowing.python(".".join(version.split(".")[:2])).dialect.ENTERED:
        text = " ".join((wb.tree(version) / item.file).read_text().replace("\\\n", " ").split())
        assert " ".join(item.text.split()) in text, item
