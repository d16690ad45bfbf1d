"""A CPython tree's own Tools/jit/build.py, run with any LLVM in a private copy: the judge of what stencilkit builds.

The copy differs from the tree in what makes the generator take another LLVM than its own, and in nothing else that
reaches a stencil; what is done beside that is in the `Call`. Runs Python code of the tree.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import CompileError, OutputError, SourceError, ToolchainError
from stencilkit.model.judgement import Call
from stencilkit.support import files, process

_FOLDER: Final = "Tools/jit"
_BUILD: Final = f"{_FOLDER}/build.py"
_LLVM: Final = f"{_FOLDER}/_llvm.py"
_TARGETS: Final = f"{_FOLDER}/_targets.py"
_CONFIG: Final = "pyconfig.h"
# The version is an integer up to 3.14, and a string from 3.15 on.
_PIN: Final = re.compile(r"""(?m)^(_LLVM_VERSION = (["']?))\d+(["']?)$""")
# In _targets.py's method for sections of COFF, where everything but the section's name is still untouched.
_SECTION: Final = re.compile(
    r'(?m)^( +)flags = \{flag\["Name"\] for flag in section\["Characteristics"\]\["Flags"\]\}$'
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


def run(call: Call, tree: Path, work: Path) -> dict[str, bytes]:
    """Run the generator of `tree`, a copy that is changed for it; return the files that it writes, by name.

    `work` is a folder for what comes and goes.

    Raises: SourceError where the generator has a shape that is not known; ToolchainError where it lacks a program;
    OutputError where the disk is full; CompileError with what it says if it fails.
    """
    _edit(tree / _LLVM, _PIN, rf"\g<1>{call.llvm}\g<3>")
    for section in call.leaves_out:
        skip = f'\\1if section["Name"]["Value"] == "{section}":\n\\1    return\n\\g<0>'
        _edit(tree / _TARGETS, _SECTION, skip)
    out, temporary = work / "out", work / "tmp"
    for folder in (out, temporary):
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
    folder = _programs(call, work / "programs", [] if own else call.cflags, [*([] if own else call.headers), *more])
    # LLVM maps its output into memory: where a small /tmp is full, it dies of SIGBUS without a word.
    places = {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    done = process.run(
        [sys.executable, tree / _BUILD, *arguments],
        cwd=out,
        env={"PATH": os.pathsep.join([str(folder), process.environment().get("PATH", os.defpath)]), **places},
        timeout=_PATIENCE,
    )
    missing = _NOT_FOUND.search(done.err)
    if done.returncode and missing:
        raise ToolchainError(
            f"the tree's own {_BUILD} needs {missing[1]}, and no LLVM of this machine has it",
            fix=f"install your distribution's llvm-{call.llvm} (the wheels of PyPI have clang alone)",
        )
    if done.returncode and done.lacked_room:
        raise OutputError(f"there is no room for what {_BUILD} writes", where=str(work), fix="make some")
    if done.returncode:
        raise CompileError(
            f"the tree's own {_BUILD} {done.ending}",
            where=shlex.join([_BUILD, *arguments]),
            details="\n".join(done.err.splitlines()[-15:]),
            fix=_REPORT,
        )
    return {path.name: path.read_bytes() for path in files.walk(out) if path.name != _CONFIG}


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
