"""Configure and make a CPython out of its tree, in a folder of its own, where no LLVM can be found."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stencilkit.errors import JitCrashError, JitTestError
from stencilkit.jittest.hiding import hidden_path
from stencilkit.model.source import SourceTree
from stencilkit.model.target import Flavour, Target, compiler_script, cross_arguments
from stencilkit.support import environ, files, process

_CONFIGURE_SECONDS: Final = 1800.0
_MAKE_SECONDS: Final = 7200.0
# What make and the shell say of a program that a signal ended:
_CRASHED: Final = re.compile(r"Segmentation fault|Illegal instruction|Aborted|Bus error|Fatal Python error")
# The compiler of a build for another C library, on the PATH that is made for it:
_CC: Final = "stencilkit-cc"
_GENERATOR: Final = "/Tools/jit/build.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The folders of one test and the environment of everything that runs there: `path` is a PATH without LLVM."""

    root: Path
    tree: SourceTree
    target: Target
    flavour: Flavour
    path: str
    jobs: int
    emulator: tuple[str, ...] = ()

    @property
    def build(self) -> Path:
        """Name the folder that CPython is built in."""
        return self.root / "build"

    @property
    def native(self) -> bool:
        """Return whether what is built here is for this machine and its C library."""
        return environ.is_native(self.target.native)

    def environment(self) -> dict[str, str]:
        """Give what a build needs beside the fixed environment."""
        # The folder changes from run to run, and ccache must not mind.
        return {**environ.variables("CCACHE_"), "CCACHE_NOHASHDIR": "1", "PATH": self.path}


def open_workplace(root: Path, tree: SourceTree, target: Target, flavour: Flavour, jobs: int) -> Workplace:
    """Make the folders, and the PATH without LLVM.

    Raises: JitTestError where make is missing, the tree was built in, or the target cannot be run here.
    """
    if (tree.root / "Programs" / "python.o").exists():
        raise JitTestError(
            "the source tree has been built in, and CPython refuses to be built beside it",
            where=str(tree.root),
            fix="run `make distclean` there, or give an unpacked release tarball",
        )
    place = Workplace(root=root, tree=tree, target=target, flavour=flavour, path=hidden_path(root / "bin"), jobs=jobs)
    if _which("make", place) is None:
        raise JitTestError("make is not on PATH, and CPython is built with it", fix="install make and a C compiler")
    if not environ.runs(target.native):
        return replace(place, emulator=_emulator(target))
    if not place.native and _which(target.gcc, place) is None:
        raise JitTestError(
            f"{target.gcc} is not on PATH, and CPython for {target.triple} is built with it",
            fix=f"install {target.gcc_package}, or run this command on such a machine",
        )
    return place


def _which(program: str, place: Workplace) -> str | None:
    return shutil.which(program, path=place.path)


def _emulator(target: Target) -> tuple[str, ...]:
    """Find the program that runs the target's programs here, and how it finds their libraries."""
    libraries = _libraries(target)
    for name in target.emulators:
        if target.gcc and (found := shutil.which(name)) and shutil.which(target.gcc) and libraries is not None:
            return (found, *libraries)
    raise JitTestError(
        f"programs for {target.triple} cannot be built and run on this machine",
        fix=(
            f"install qemu-user-static and {target.gcc_package}, or run this command on such a machine"
            if target.gcc
            else "run this command on such a machine"
        ),
    )


def _libraries(target: Target) -> tuple[str, ...] | None:
    """Say how an emulator finds the C library: in its own place, or in a folder of Debian's; None where in neither."""
    if not Path(target.library).exists():
        return None
    return () if target.loader else ("-L", target.library)


def configure(place: Workplace, extra: Sequence[str]) -> tuple[str, ...]:
    """Run the tree's configure with the JIT on; return its arguments.

    Raises: JitTestError with the end of the output and the log's path.
    """
    words = ["--enable-experimental-jit", f"PYTHON_FOR_REGEN={sys.executable}"]
    words += ["--with-pydebug"] if place.flavour == "debug" else []
    if place.emulator:
        words += cross_arguments(place.target, machine=environ.native(), python=str(_build_python(place)))
    words += [*_compiler(place), *extra]
    _configure(place, place.build, words)
    return tuple(words)


def _compiler(place: Workplace) -> Sequence[str]:
    """Name the compiler, where configure would not find it, and ccache where that is there."""
    compiler = "gcc" if place.native else place.target.gcc
    cached = ["ccache"] if _which(compiler, place) and _which("ccache", place) else []
    if place.native or (place.emulator and not place.target.loader):
        return [f"CC={' '.join([*cached, compiler])}"] if cached else []
    # On a machine that runs it, there is no --host: this is not a cross build. A name, as CC takes no spaces.
    script = place.root / "bin" / _CC
    script.write_text(f"#!/bin/sh\n{compiler_script(place.target, [*cached, compiler])}\n", "utf-8")
    script.chmod(0o755)
    return [f"CC={_CC}"]


def _build_python(place: Workplace) -> Path:
    """Build the same CPython for this machine, without a JIT: a cross build freezes its modules with it."""
    folder = place.root / "build-python"
    compiler = ["CC=ccache gcc"] if _which("ccache", place) else []
    # It runs for seconds, and -O1 halves its build.
    _configure(place, folder, ["--disable-test-modules", "OPT=-O1", *compiler])
    _make(place, folder, "all")
    return folder / "python"


def _configure(place: Workplace, folder: Path, words: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    log = place.root / f"{folder.name}-configure.log"
    # The host's pkg-config would find libraries of the wrong architecture, or for another C library:
    cross = {} if place.native or folder != place.build else {"PKG_CONFIG_LIBDIR": str(folder)}
    done = process.run(
        [place.tree.root.resolve() / "configure", "-q", *words],
        cwd=folder,
        env={**place.environment(), **cross},
        timeout=_CONFIGURE_SECONDS,
        stdout_to=log,
    )
    if done.returncode:
        raise JitTestError(
            f"configure of CPython {place.tree.version} failed",
            where=str(log),
            details=files.tail(log),
            fix="fix what it reports, or change its arguments with --configure",
        )


def make(place: Workplace, variables: Sequence[str] = ()) -> tuple[float, bool]:
    """Make CPython; return how long it took in seconds, and whether CPython's own stencil generator was started.

    `variables` are further arguments of make ("NAME=value").

    Raises: JitTestError with the end of the output and the log's path, JitCrashError where the new CPython crashed.
    """
    started = environ.seconds()
    log = _make(place, place.build, "all", *variables)
    if place.emulator:
        _wrap(place)
    return environ.seconds() - started, _GENERATOR in log.read_text("utf-8", "replace")


def _make(place: Workplace, folder: Path, *words: str) -> Path:
    log = place.root / f"{folder.name}-make.log"
    done = process.run(
        [str(_which("make", place)), f"--jobs={place.jobs}", *words],
        cwd=folder,
        env=place.environment(),
        timeout=_MAKE_SECONDS,
        stdout_to=log,
    )
    if done.returncode:
        what, tail = f"make of CPython {place.tree.version} failed", files.tail(log)
        if _CRASHED.search(tail):
            suspects = "make runs the new CPython, with its JIT on: suspect the stencils"
            raise JitCrashError(what, where=str(log), details=tail, fix=suspects)
        fix = "the log has all of it; LLVM was hidden from this build on purpose"
        raise JitTestError(what, where=str(log), details=tail, fix=fix)
    return log


def _wrap(place: Workplace) -> None:
    """Put a script in the program's place that starts it in the emulator, also for what the tests start."""
    program, script = place.build / "python.bin", place.build / "python"
    script.replace(program)
    words = " ".join([*place.emulator, "-0", '"$0"', str(program), '"$@"'])
    script.write_text(f"#!/bin/sh\nexec {words}\n", "utf-8")
    script.chmod(0o755)


def unwrap(place: Workplace) -> None:
    """Undo the script, so that make sees its own program again."""
    program = place.build / "python.bin"
    if program.exists():
        program.replace(place.build / "python")


def keep_program(place: Workplace, name: str) -> Path:
    """Copy the interpreter under another name, so that the next make does not replace it."""
    copy = place.build / name
    shutil.copy2(place.build / "python", copy)
    return copy


def other_files(folder: Path, contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """Name the files that are no longer what was placed."""
    return tuple(
        name for name, data in contents.items() if not (folder / name).is_file() or (folder / name).read_bytes() != data
    )


def is_compiled(folder: Path, contents: Mapping[str, bytes]) -> bool:
    """Return whether make has compiled Python/jit.c since the headers that were placed became what they are."""
    placed = max((folder / name).stat().st_mtime_ns for name in contents if name.endswith(".h"))
    return (folder / "Python" / "jit.o").stat().st_mtime_ns >= placed
