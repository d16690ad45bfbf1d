"""The order of flags: our whole command lines are upstream's, whatever the user's flags are; and so are the bytes.

A clang that writes down what it is called with stands before the real one. What the user adds is between two markers,
and the real clang never sees it, so that forty flags that contradict ours can be tried at once: their place
is all that matters.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stencilkit import compiler, configure, headers, targets, toolchain
from stencilkit.errors import TargetError
from stencilkit.model.build import Plan
from stencilkit.model.request import BuildRequest
from stencilkit.model.target import Flavour
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import building, knowing
from stencilkit.support import process
from stencilkit.support.cache import NoStore
from tests import sweep
from tests import workbench as wb

BEGIN, END = "-DUSERS_FLAGS_BEGIN", "-DUSERS_FLAGS_END"
# For each flag of ours, of any CPython and target, what says the opposite or something else.
CONTRADICTIONS: Mapping[str, Sequence[str]] = {
    "--target=": ("--target=i386-unknown-none", "-m32"),
    "-DPy_BUILD_CORE_MODULE": ("-UPy_BUILD_CORE_MODULE",),
    "-UPy_BUILD_CORE_MODULE": ("-DPy_BUILD_CORE_MODULE=2",),
    "-DPy_BUILD_CORE_BUILTIN": ("-UPy_BUILD_CORE_BUILTIN",),
    "-D_DEBUG": ("-U_DEBUG",),
    "-DNDEBUG": ("-UNDEBUG", "-DNDEBUG=0"),
    "-DSUPPORTS_SMALL_CONSTS=": ("-DSUPPORTS_SMALL_CONSTS=7",),
    "-DPy_NO_ENABLE_SHARED": ("-UPy_NO_ENABLE_SHARED",),
    "-D_PyJIT_ACTIVE": ("-U_PyJIT_ACTIVE",),
    "-D_Py_JIT": ("-U_Py_JIT",),
    "-I": ("-I/elsewhere", "-isystem /elsewhere", "-iquote /elsewhere"),
    "-O3": ("-O0", "-O1", "-O2"),
    "-Os": ("-Oz", "-O3"),
    "-ffile-prefix-map=": ("-ffile-prefix-map=/a=/b",),
    "-fno-asynchronous-unwind-tables": ("-fasynchronous-unwind-tables",),
    "-fasynchronous-unwind-tables": ("-fno-asynchronous-unwind-tables",),
    "-fno-unwind-tables": ("-funwind-tables",),
    "-fno-builtin": ("-fbuiltin",),
    "-fno-plt": ("-fplt",),
    "-fplt": ("-fno-plt",),
    "-fno-stack-protector": ("-fstack-protector-strong",),
    "-std=c11": ("-std=gnu17",),
    "-fpic": ("-fno-pic", "-fPIE"),
    "-fno-pic": ("-fPIC", "-fpic"),
    "-fomit-frame-pointer": ("-fno-omit-frame-pointer",),
    "-Wno-unused-command-line-argument": ("-Wunused-command-line-argument",),
    "-Wno-ignored-attributes": ("-Wignored-attributes",),
    "-mno-outline-atomics": ("-moutline-atomics",),
    "-mcmodel=medium": ("-mcmodel=large",),
    "-mlarge-data-threshold=0": ("-mlarge-data-threshold=65536",),
    "-mno-sse": ("-msse2",),
    "-fms-runtime-lib=": ("-fms-runtime-lib=static",),
    "-mno-incremental-linker-compatible": ("-mincremental-linker-compatible",),
    "-Xclang -mframe-pointer=": ("-Xclang -mframe-pointer=none",),
}
FLAGS = list(dict.fromkeys(flag for flags in CONTRADICTIONS.values() for flag in flags))
USERS = " ".join([BEGIN, *FLAGS, END])
RECORDER = """\
#!{python} -IS
import os, sys
words = sys.argv[1:]
if "-o" in words:
    with open(os.path.join("{log}", str(os.getpid())), "w") as file:
        file.write("\\0".join(words))
if "{begin}" in words:
    words[words.index("{begin}") : words.index("{end}") + 1] = []
os.execv("{clang}", ["clang", *words])
"""
# `make test` runs these; `make oracle` runs all targets, in both flavours.
SAMPLE = [
    ("3.13.15", wb.X86, "release"),
    ("3.14.7", wb.X86, "release"),
    ("3.15.0rc1", wb.X86, "release"),
    ("3.15.0rc1", wb.WIN_X86, "debug"),
]
ROWS = [
    pytest.param(version, triple, flavour, marks=[] if (version, triple, flavour) in SAMPLE else [pytest.mark.matrix])
    for version in wb.PINNED
    for triple in (wb.X86, wb.ARM, *wb.FOREIGN)
    for flavour in ("release", "debug")
]


@dataclass(frozen=True, slots=True)
class Recorder:
    """A folder with a clang that writes its command lines down, and what it wrote."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def lines(self) -> Iterator[list[str]]:
        for path in sorted(self.log.iterdir()):
            yield path.read_text().split("\0")


def recorder(folder: Path, major: int) -> Recorder:
    made = Recorder(folder)
    made.log.mkdir(parents=True)
    clang = wb.debian_llvm(major) / "clang"
    script = folder / "clang"
    script.write_text(RECORDER.format(python=sys.executable, log=made.log, begin=BEGIN, end=END, clang=clang))
    script.chmod(0o755)
    return made


def test_there_is_something_against_each_flag_of_ours() -> None:
    assert len(FLAGS) >= 40
    table = targets.load()
    flags = {
        flag.text for python in table.pythons.values() for target in table.targets for flag in python.flags_for(target)
    }
    assert [flag for flag in flags if not flag.startswith(tuple(CONTRADICTIONS))] == []
    assert [flag for flag in CONTRADICTIONS if not any(text.startswith(flag) for text in {*flags, "--target="})] == []


def normal(words: list[str], places: Mapping[str, str], dropped: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
    """Name the unit and the step of a command line, and spell it without what docs/flags.md says is another thing."""
    at = words.index("-o")
    output, given = words[at + 1 : at + 3]
    step = {".ll": "finish", ".s": "assemble"}.get(Path(given).suffix, "emit")
    words = [*words[:at], "{files}", *words[at + 3 :]]
    for path, name in places.items():
        words = [word.replace(path, name) for word in words]
    drop = (*dropped, "-c", "-S", "-emit-llvm")
    varying = ("-D_JIT_OPCODE=", f"-ffile-prefix-map={tempfile.gettempdir()}")
    kept = [word for word in words if word not in drop and not word.startswith(varying)]
    stem = Path(output).stem
    return "shim" if stem.startswith("jit_shim") else stem, step, tuple(kept)


def test_the_recorder_writes_all_down_and_keeps_the_users_flags(tmp_path: Path) -> None:
    """What it is called with is written down whole, and what is the user's does not reach clang."""
    made = recorder(tmp_path, 19)
    (tmp_path / "a.c").write_text("int a;")
    words = [str(tmp_path / "clang"), BEGIN, "-nonsense", END, "-c", "-o", str(tmp_path / "a.o"), str(tmp_path / "a.c")]
    assert process.run(words).returncode == 0
    assert list(made.lines()) == [words[1:]]


def plan(version: str, triple: str, flavour: Flavour, tree: Path, config: Path, made: Recorder) -> Plan:
    """Plan our build with the recorder and the users' flags, whatever else would refuse them."""
    opened = knowing.tree(tree)
    table = targets.load()
    asked = targets.resolve(table, triple)
    clang = toolchain.identify(made.folder / "clang", "named", NoStore())
    zig = toolchain.identify(wb.pypi_llvm(wb.NEWEST_WHEEL), "pypi", NoStore())
    assert isinstance(clang, Toolchain)
    assert isinstance(zig, Toolchain)
    request = BuildRequest(
        tree=opened,
        asked=asked,
        flavour=flavour,
        toolchain=clang,
        headers=headers.choose(asked.target, clang, [zig]),
        pyconfig=configure.given(config, asked, flavour),
        cflags=USERS,
        jobs=1,
    )
    return building.plan_of(request)


def compile_plain(planned: Plan, work: Path) -> None:
    """Run every step of every unit in a process of its own."""
    session = compiler.ask(planned, work, batched=False)
    made = session.emit(planned.units)
    texts = {
        unit.name: made.data[unit.name].decode()
        for unit in planned.units
        if unit.role != "object" and planned.emits != "object"
    }
    if planned.emits == "llvm-ir":
        made += session.finish_ir(texts)
    elif planned.emits == "assembly":
        made += session.assemble(texts)
    compiler.check_failures(planned, made.account.failures)


@pytest.mark.parametrize(("version", "triple", "flavour"), ROWS)
def test_our_command_lines_are_upstreams(version: str, triple: str, flavour: Flavour, tmp_path: Path) -> None:
    major = wb.PINNED[version]
    tree = wb.small_tree(version, tmp_path / "tree", uops=2)
    config = wb.config_for(version, triple, flavour, tmp_path / "config")
    theirs, ours = recorder(tmp_path / "theirs-log", major), recorder(tmp_path / "ours-log", major)
    work = tmp_path / "theirs"
    wb.run_upstream(version, major, triple, flavour, config, work, tree, cflags=USERS, tools=theirs.folder)
    planned = plan(version, triple, flavour, tree, config, ours)
    (tmp_path / "ours").mkdir()
    compile_plain(planned, tmp_path / "ours")

    lent = wb.header_flags(triple).split() if triple in wb.FOREIGN else list(planned.headers.arguments)
    places = {str(work / "tree"): "{tree}", str(tree): "{tree}", str(config): "{pyconfig}", "-I.": "-I{pyconfig}"}
    # With upstream's own LLVM these are a flag more that we have.
    dropped = [*lent, *(flag.text for flag in planned.used_flags() if flag.deviates)]
    expected = {normal(line, places, dropped) for line in theirs.lines()}
    found = {normal(line, places, dropped) for line in ours.lines()}
    assert found == expected
    steps = {"object": {"emit"}, "llvm-ir": {"emit", "finish"}, "assembly": {"emit", "assemble"}}[planned.emits]
    assert {step for _, step, _ in found} == steps
    assert all(BEGIN in words for _, step, words in found if step != "assemble")


# What both generators take, alone and on these targets: for each CPython, flags that contradict ours.
TAKEN = {
    "3.13.15": "-fno-omit-frame-pointer -O1 -std=gnu17 -fasynchronous-unwind-tables -fbuiltin -fplt -fno-pic -UNDEBUG",
    "3.14.7": "-O2 -std=gnu17 -fno-omit-frame-pointer -UNDEBUG",
    "3.15.0rc1": "-O1 -std=gnu17 -fno-builtin -UNDEBUG",
}


def both(version: str, triple: str, cflags: str, here: Path) -> tuple[Path | None, Path]:
    """Build a sample with both generators; None where ours refuses."""
    tree = wb.small_tree(version, here / "tree", uops=24, step=10)
    config, major = wb.pyconfig(version, triple), wb.PINNED[version]
    theirs = here / "theirs"
    arguments = ("--pyconfig-dir", config, "--no-cache", f"--cflags={cflags}")
    try:
        ours = wb.built(version, major, here / "out", *arguments, triple=triple, source_tree=tree)
    except AssertionError as refused:
        assert "ended with 2" in str(refused), refused
        return None, theirs
    wb.run_upstream(version, major, triple, "release", config, theirs, tree, cflags=cflags)
    return ours, theirs


@pytest.mark.parametrize("version", wb.PINNED)
def test_flags_that_contradict_ours_make_upstreams_bytes(version: str, tmp_path: Path) -> None:
    ours, theirs = both(version, wb.X86, TAKEN[version], tmp_path)
    assert ours is not None
    for path in sorted(theirs.glob("jit_*.h")):
        assert not list(wb.differing_lines(ours / path.name, path)), path.name


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("version", "triple"), [(version, triple) for version in wb.PINNED for triple in (wb.X86, wb.ARM)]
)
def test_each_flag_alone_makes_upstreams_bytes_or_is_refused(version: str, triple: str, tmp_path: Path) -> None:
    found = sweep.Sweep(sweep.Bench(version, wb.PINNED[version], triple, tmp_path))
    found.run(FLAGS)
    print(version, triple, dict(sorted(found.counts.items())))
    assert not found.wrong, "\n".join(found.wrong)
    assert found.counts["refused"]
    assert found.counts["compared"]


# Architectures that targets.toml refuses because of it, as clang spells them; those of targets have it since LLVM 19.
WITHOUT = ("riscv64-linux-gnu", "loongarch64-linux-gnu", "powerpc64le-linux-gnu", "s390x-linux-gnu")


@pytest.mark.parametrize("major", wb.DEBIAN)
def test_which_targets_have_preserve_none(major: int, tmp_path: Path) -> None:
    """What the refusals of targets.toml say is true of every LLVM here; jit.c's stencils are called with it."""
    source = tmp_path / "convention.c"
    source.write_text("__attribute__((preserve_none)) void f(int a) { (void)a; }\n")
    clang = wb.debian_llvm(major) / "clang"

    def has(triple: str) -> bool:
        done = process.run([clang, f"--target={triple}", "-fsyntax-only", "-Wall", source], timeout=60)
        assert done.returncode == 0, done.err
        assert ("preserve_none" in done.err) == ("warning: " in done.err), done.err
        return not done.err

    assert {triple for triple in (wb.X86, wb.ARM, *WITHOUT) if has(triple)} == (
        {wb.X86, wb.ARM} if major > 18 else set()
    )
    for triple in WITHOUT:
        with pytest.raises(TargetError, match="preserve_none convention, which no LLVM has for"):
            targets.resolve(targets.load(), triple)
