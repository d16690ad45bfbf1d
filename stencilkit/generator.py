"""A CPython tree's own Tools/jit/build.py, run with any LLVM in a private copy: the judge of what stencilkit builds.

The copy differs from the tree in what makes the generator take another LLVM than its own, and in nothing else that
reaches a stencil; what is done beside that is in the `Call`. Runs Python code of the tree.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import CompileError, OutputError, SourceError, ToolchainError
from stencilkit.model.judgement import Allowed, Call, Made
from stencilkit.support import files, process

_FOLDER: Final = "Tools/jit"
_BUILD: Final = f"{_FOLDER}/build.py"
_LLVM: Final = f"{_FOLDER}/_llvm.py"
_TARGETS: Final = f"{_FOLDER}/_targets.py"
_CONFIG: Final = "pyconfig.h"
# In the folder for what comes and goes.
_OUT: Final = "out"
# The version is an integer up to 3.14, and a string from 3.15 on.
_PIN: Final = re.compile(r"""(?m)^(_LLVM_VERSION = (["']?))\d+(["']?)$""")
# In _targets.py's methods for sections of ELF and COFF, where everything but the section's name is still untouched.
_ELF_SECTION: Final = re.compile(r'(?m)^( +)section_type = section\["Type"\]\["Name"\]$')
_SECTION: Final = re.compile(
    r'(?m)^( +)flags = \{flag\["Name"\] for flag in section\["Characteristics"\]\["Flags"\]\}$'
)
# What it stops with at a section of a type that is none of its own; some llvm-readobj have no name for this one.
_STOPPED: Final = re.compile(r"AssertionError: (?:Unknown|SHT_AARCH64_ATTRIBUTES)$", re.MULTILINE)
# Build attributes (Build Attributes for the Arm 64-bit Architecture): for the linker, as notes are.
_SHT_AARCH64_ATTRIBUTES: Final = 0x70000003
_STEPS_OVER: Final = Allowed(
    what="build attributes of objects (.ARM.attributes) are stepped over",
    why="LLVM 21 and later write them with -mbranch-protection and its like, and the tree's own generator stops there",
)
# Up to 3.13 there is none of these: pyconfig.h and the output are in the current folder. A patch of
# python-build-standalone gives 3.13 --with-cflags.
_CFLAGS: Final = ("--cflags", "--with-cflags")
_OUTPUT, _PYCONFIG = "--output-dir", "--pyconfig-dir"
# On two cores, all of 3.15 takes two minutes.
_PATIENCE: Final = 3600.0
_PROGRAM: Final = re.compile(r"""["'](llvm-[a-z]+)["']""")
_NOT_FOUND: Final = re.compile(r"Can't find ([\w-]+)!")
_REPORT: Final = "leave --check-upstream out, or report it with the version of this CPython"


def programs(tree: Path) -> tuple[str, ...]:
    """List the programs of LLVM's beside clang that a tree's generator calls."""
    texts = [files.read_text(path, error=SourceError) for path in files.walk(tree / _FOLDER) if path.suffix == ".py"]
    return tuple(sorted({name for text in texts for name in _PROGRAM.findall(text)}))


def run(call: Call, tree: Path, work: Path) -> Made:
    """Run the generator of `tree`, a copy that is changed for it.

    `work` is a folder for what comes and goes.

    Raises: SourceError where the generator has a shape that is not known; ToolchainError where it lacks a program;
    OutputError where the disk is full; CompileError with what it says if it fails.
    """
    _edit(tree / _LLVM, _PIN, rf"\g<1>{call.llvm}\g<3>")
    for section in call.leaves_out:
        _skip(tree, _SECTION, f'section["Name"]["Value"] == "{section}"')
    allowed: tuple[Allowed, ...] = ()
    arguments, done = _start(call, tree, work)
    if done.returncode and _STOPPED.search(done.err):
        _skip(tree, _ELF_SECTION, f'section["Type"]["Value"] == {_SHT_AARCH64_ATTRIBUTES:#x}')
        allowed = (_STEPS_OVER,)
        arguments, done = _start(call, tree, work)
    _check(call, arguments, done, work)
    made = {path.name: path.read_bytes() for path in files.walk(work / _OUT) if path.name != _CONFIG}
    return Made(files=made, allowed=allowed)


def _skip(tree: Path, place: re.Pattern[str], condition: str) -> None:
    """Let the generator leave out sections of objects."""
    _edit(tree / _TARGETS, place, f"\\1if {condition}:\n\\1    return\n\\g<0>")


def _start(call: Call, tree: Path, work: Path) -> tuple[Sequence[str], process.Completed]:
    """Run the generator as it is; return its arguments, and how it ended."""
    out, temporary = work / _OUT, work / "tmp"
    for folder in (out, temporary):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    text = files.read_text(tree / _BUILD, error=SourceError)
    arguments = [call.spelling, *(["--debug"] if call.flavour == "debug" else [])]
    users = [*call.headers, *call.cflags]
    own = next((option for option in _CFLAGS if f'"{option}"' in text), "")
    if own:
        arguments.append(f"{own}={shlex.join(users)}")
        users = []
    if f'"{_OUTPUT}"' in text:
        arguments += [_OUTPUT, str(out), _PYCONFIG, str(call.pyconfig)]
    else:
        files.write(out / _CONFIG, (call.pyconfig / _CONFIG).read_bytes())
    more = [word.replace("{tree}", str(tree)) for word in call.more]
    behind = [*([] if own else call.headers), *more]
    folder = _programs(call, work / "programs", [] if own else call.cflags, behind)
    # LLVM maps its output into memory: where a small /tmp is full, it dies of SIGBUS without a word.
    places = {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    done = process.run(
        [sys.executable, tree / _BUILD, *arguments],
        cwd=out,
        env={"PATH": os.pathsep.join([str(folder), process.environment().get("PATH", os.defpath)]), **places},
        timeout=_PATIENCE,
    )
    return arguments, done


def _check(call: Call, arguments: Sequence[str], done: process.Completed, work: Path) -> None:
    missing = _NOT_FOUND.search(done.err)
    if done.returncode and missing:
        raise ToolchainError(
            f"the tree's own {_BUILD} needs {missing[1]}, and no LLVM of this machine has it",
            fix=f"install your distribution's llvm-{call.llvm} (the wheels of PyPI have clang alone)",
        )
    if done.returncode and done.lacked_room:
        raise OutputError(f"there is no room for what {_BUILD} writes", where=str(work), fix="free some space there")
    if done.returncode:
        raise CompileError(
            f"the tree's own {_BUILD} {done.ending}",
            where=shlex.join([_BUILD, *arguments]),
            details="\n".join(done.err.splitlines()[-15:]),
            fix=_REPORT,
        )


def _edit(path: Path, place: re.Pattern[str], replacement: str) -> None:
    text, count = place.subn(replacement, files.read_text(path, error=SourceError))
    if count != 1:
        raise SourceError(
            f"stencilkit cannot run this generator as a judge: {count} lines match {place.pattern[:60]!r}, not one",
            where=str(path),
            fix=_REPORT,
        )
    files.write(path, text.encode())


def _programs(call: Call, folder: Path, before: Sequence[str], behind: Sequence[str]) -> Path:
    """Make a folder with LLVM's programs under the names that the generator looks for.

    What is there beside clang may be another LLVM's: it says that it is this one's.
    """
    scripts = {"clang": f'exec {shlex.join(call.clang)} {shlex.join(before)} "$@" {shlex.join(behind)}\n', "brew": ""}
    for name, program in call.programs.items():
        version = f'if [ "$1" = --version ]; then echo "LLVM version {call.llvm}.0.0 "; exit; fi'
        scripts[name] = f'{version}\nexec {shlex.quote(str(program))} "$@"\n'
    for name, text in scripts.items():
        files.write(folder / name, f"#!/bin/sh\n{text}".encode(), executable=True)
    return folder
