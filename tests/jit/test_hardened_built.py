"""Whole CPythons on hardened stencils: they keep their notes, and run with landing pads enforced."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stencilkit.model.manifest import MANIFEST_NAME
from tests import workbench as wb
from tests.jit.test_built import outcomes

pytestmark = pytest.mark.matrix

VERSION = "3.15.0rc1"
SMOKE = dict.fromkeys(["test_capi.test_opt", "test_generators", "test_call"], "passed")
FLAGS = {wb.X86: "-fcf-protection=full", wb.ARM: "-mbranch-protection=standard"}
NOTES = {wb.X86: {"IBT", "SHSTK"}, wb.ARM: {"BTI", "PAC"}}
# Not -z pac-plt: glibc signs no addresses of the PLT, and a program that authenticates them dies at its first call.
STRICT = {
    wb.X86: ["-Wl,-z,cet-report=error"],
    wb.ARM: ["-Wl,-z,force-bti", "-Wl,--fatal-warnings"],
}
# Debian 12's start files (crt1.o, crti.o) and libc_nonshared.a have no notes, and take them away from every program.
# This does what they do for a program of a glibc of 2.34 or later.
ATEXIT = """
extern int __cxa_atexit(void (*)(void *), void *, void *);
int atexit(void (*function)(void)) { return __cxa_atexit((void (*)(void *))function, 0, 0); }
"""
# libgcc's has no notes either. jit.c calls it for code that it has written.
CLEAR_CACHE = """
void __clear_cache(void *start, void *end) {
    unsigned long first = (unsigned long)start & ~15UL, last = (unsigned long)end, line;
    for (line = first; line < last; line += 16) __asm__ volatile("dc cvau, %0" :: "r"(line) : "memory");
    __asm__ volatile("dsb ish" ::: "memory");
    for (line = first; line < last; line += 16) __asm__ volatile("ic ivau, %0" :: "r"(line) : "memory");
    __asm__ volatile("dsb ish\\n\\tisb" ::: "memory");
}
"""
START = {
    wb.X86: r"""
__asm__(".globl _start\n_start: endbr64\n\txor %ebp, %ebp\n\tmov %rdx, %r9\n\tpop %rsi\n\tmov %rsp, %rdx\n"
        "\tand $-16, %rsp\n\tpush %rax\n\tpush %rsp\n\txor %r8d, %r8d\n\txor %ecx, %ecx\n"
        "\tmov main@GOTPCREL(%rip), %rdi\n\tcall *__libc_start_main@GOTPCREL(%rip)\n\thlt\n");
""",
    wb.ARM: r"""
__asm__(".globl _start\n_start: hint 34\n\tmov x29, #0\n\tmov x30, #0\n\tmov x5, x0\n\tldr x1, [sp]\n"
        "\tadd x2, sp, #8\n\tmov x6, sp\n\tmov x3, #0\n\tmov x4, #0\n\tadrp x0, :got:main\n"
        "\tldr x0, [x0, #:got_lo12:main]\n\tbl __libc_start_main\n\tbl abort\n");
"""
    + CLEAR_CACHE,
}
COMPILERS = {wb.X86: "gcc", wb.ARM: "aarch64-linux-gnu-gcc"}
LOOP = "import sys\nactive = False\nfor n in range(100000): active = active or sys._jit.is_active()\nprint(active)\n"
# What jit.c would have to say to have pads enforced in its traces, and how its trampolines would have to jump then.
UNGUARDED, GUARDED = "PROT_EXEC | PROT_READ)", "PROT_EXEC | PROT_READ | 0x10 /* PROT_BTI */)"
THROUGH_X8 = "p[0] = 0x58000048;\n    p[1] = 0xD61F0100;"
THROUGH_X16 = "p[0] = 0x58000050;\n    p[1] = 0xD61F0200;"


# The tests do without these modules, which are a third of a build. (regrtest needs pyexpat.)
LEFT_OUT = [
    word
    for name in (
        *("_bz2", "_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp", "_codecs_kr", "_codecs_tw", "_ctypes"),
        *("_curses", "_curses_panel", "_dbm", "_decimal", "_gdbm", "_hashlib", "_lzma", "_sqlite3"),
        *("_ssl", "_tkinter", "_uuid", "_zoneinfo", "_zstd", "readline", "zlib"),
    )
    for word in ("--configure", f"py_cv_module_{name}=n/a")
]


def stencils(triple: str, out: Path) -> dict[str, Path]:
    """Build both flavours with Debian's LLVM."""
    folders = [wb.built(VERSION, wb.PINNED[VERSION], out, *more, triple=triple) for more in ((), ("--hardened",))]
    return {folder.parent.name: folder for folder in folders}


def start_file(triple: str, folder: Path) -> Path:
    """Compile what starts a program, with notes."""
    (folder / "start.c").write_text(START[triple] + ATEXIT)
    command = [COMPILERS[triple], FLAGS[triple], "-c", "start.c", "-o", "start.o"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "start.o"


def linked(build: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Link python in a build folder once more, with another command."""
    (build / "python").unlink(missing_ok=True)
    words = ["make", "-j2", "python", f"LINKCC={command}"]
    return subprocess.run(words, cwd=build, capture_output=True, text=True, check=False)


def notes(triple: str, program: Path) -> set[str]:
    """List the notes of a program, as binutils and as stencilkit identify read them."""
    said = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    found = {word for word in NOTES[triple] if word in said}
    done = wb.stencilkit("identify", program, "--format", "json", check=False)
    (python,) = json.loads(done.stdout)["answers"][0]["pythons"]
    assert {name for name in NOTES[triple] if python["protections"].get(name)} == found
    return found


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[bool, dict[str, Any]]:
    """Read what `test` found, by whether the stencils are hardened."""
    return {verdict["hardened"]: verdict for verdict in json.loads(done.stdout)["verdicts"]}


def test_3_15_keeps_ibt_and_shstk(tmp_path: Path) -> None:
    """CPython's own files have the notes with -fcf-protection=full; the shim of plain stencils takes them away."""
    folders, work = stencils(wb.X86, tmp_path / "out"), tmp_path / "work"
    tested = ["--suite", "smoke", "--benchmarks", "--format", "json", *LEFT_OUT]
    for argument in (f"CFLAGS={FLAGS[wb.X86]}", "OPT=-O2 -Wall -DNDEBUG"):
        tested += ["--configure", argument]
    words: list[str | Path] = ["test", tmp_path / "out", "--cpython", wb.tree(VERSION), "--work", work]
    done = wb.stencilkit(*words, *tested, check=False, timeout=3600)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    report = json.loads(done.stdout)
    for verdict in report["verdicts"]:
        assert outcomes(verdict) == SMOKE
        speeds = {name: round(seconds / verdict["benchmarks"][name], 2) for name, seconds in report["off"].items()}
        print(f"hardened: {verdict['hardened']}, JIT off / on: {speeds}")
    keeps_its_notes(folders, work / "build", start_file(wb.X86, tmp_path))


def keeps_its_notes(folders: dict[str, Path], build: Path, start: Path) -> None:
    """Place each of the stencils in a build folder, and link with and without the demand for notes."""
    command = f"gcc -nostartfiles {start}"
    strict = " ".join([command, *STRICT[wb.X86]])
    for kind, expected in (("release", set()), ("release-hardened", NOTES[wb.X86])):
        place(folders[kind], build)
        done = linked(build, strict)
        if not expected:
            assert done.returncode != 0
            assert "jit_shim" in done.stderr, done.stderr[-3000:]
            assert "missing IBT" in done.stderr
            done = linked(build, command)
        assert done.returncode == 0, done.stderr[-3000:]
        assert notes(wb.X86, build / "python") == expected
        ran = subprocess.run([build / "python", "-c", LOOP], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr


def place(folder: Path, build: Path) -> None:
    """Place stencils where install would refuse them: the build folder's CFLAGS_JIT does not ask for both flavours."""
    for path in folder.iterdir():
        if path.name != MANIFEST_NAME:
            shutil.copy(path, build)


def guarded_tree(to: Path) -> Path:
    """Copy CPython, and let jit.c ask for PROT_BTI, and its trampolines jump as guarded pages demand it."""
    shutil.copytree(wb.tree(VERSION), to)
    path = to / "Python/jit.c"
    text = path.read_text()
    for before, after in ((UNGUARDED, GUARDED), (THROUGH_X8, THROUGH_X16)):
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return to


def test_3_15_runs_with_bti_enforced(tmp_path: Path) -> None:
    """Under qemu, with PROT_BTI for the traces and for python itself.

    Hardened stencils pass the tests; plain ones die of SIGILL. What jit.c's own trampolines jump to does so, too
    (tests/cli/test_hardened.py): here they are changed, though qemu 7 puts traces where a branch reaches python.
    """
    tree, work = guarded_tree(tmp_path / "tree"), tmp_path / "work"
    folders = stencils(wb.ARM, tmp_path / "out")
    link = f"{COMPILERS[wb.ARM]} -nostartfiles {start_file(wb.ARM, tmp_path)}"
    # libgcc's outlined atomics have a constructor (init_have_lse_atomics), which Debian 12 compiles without a pad.
    flags = f"CFLAGS={FLAGS[wb.ARM]} -mno-outline-atomics"
    configure = [flags, "OPT=-O1 -Wall -DNDEBUG", f"LINKCC={link} -Wl,-z,force-bti"]
    words = [*LEFT_OUT, *(word for argument in configure for word in ("--configure", argument))]
    base: list[str | Path] = ["test", tmp_path / "out", "--cpython", tree, "--target", wb.ARM, "--suite", "smoke"]
    more = ["--timeout", "3600", "--format", "json"]
    done = wb.stencilkit(*base, *words, "--work", work, *more, check=False, timeout=10000)
    assert done.returncode == 1, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    found = verdicts(done)
    assert outcomes(found[True]) == SMOKE, done.stdout[-3000:]
    assert found[True]["good"]
    assert f"signal {signal.SIGILL:d}" in found[False]["proof"]["ended"]

    keeps_bti_and_pac(folders, work / "build", link)


def keeps_bti_and_pac(folders: dict[str, Path], build: Path, link: str) -> None:
    """Link with the demand for notes, which the shim of plain stencils does not meet."""
    strict = " ".join([link, *STRICT[wb.ARM]])
    place(folders["release"], build)
    done = linked(build, strict)
    assert done.returncode != 0
    assert {line.partition(": warning:")[0].rsplit("/")[-1] for line in done.stderr.splitlines() if "BTI" in line} == {
        f"ld: jit_shim-{wb.ARM}.o"
    }, done.stderr[-3000:]
    place(folders["release-hardened"], build)
    done = linked(build, strict)
    assert done.returncode == 0, done.stderr[-3000:]
    assert notes(wb.ARM, build / "python") == NOTES[wb.ARM]
    assert looped(build) == (0, "True\n")


def looped(build: Path) -> tuple[int, str]:
    """Run a loop that is compiled, under qemu."""
    emulator = ["qemu-aarch64-static", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu"]
    done = subprocess.run([*emulator, str(build / "python"), "-c", LOOP], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout
