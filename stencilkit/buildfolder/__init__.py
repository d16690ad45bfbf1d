"""A folder in which configure ran -> what `make` would do there about the JIT, asked of make itself.

make reads the makefile; another one behind it has the values of variables printed, and gives the goals in question a
shell that writes commands down and runs none. So the command is the one that make would run, with every variable,
conditional and quote in it. Only what the makefile computes while it is read ($(shell ...)) runs, as it does whenever
make reads it. Refuses a command that it does not understand.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from stencilkit.buildfolder.command import NotUnderstoodError, is_generator, parse
from stencilkit.errors import BuildFolderError
from stencilkit.model.buildfolder import BuildFolder
from stencilkit.model.jitcommand import GENERATOR, JitCommand
from stencilkit.support import environ, files, process, shell

_MAKEFILE: Final = "Makefile"
_PYCONFIG: Final = "pyconfig.h"
_STENCILS: Final = "jit_stencils.h"
_CLEAN: Final = "clean-retain-profile"
_VARIABLES: Final = ("HOST_GNU_TYPE", "CONFIG_ARGS", "PYTHON_FOR_REGEN", ".DEFAULT_GOAL", "CC", "PY_CORE_CFLAGS")
_MARK: Final = "stencilkit-says "
_UNIVERSAL: Final = "--with-universal-archs="
_TIMEOUT_SECONDS: Final = 120.0
# A recipe's shell: appends the command to one file; the environment of the one that is looked for goes to another.
# make uses it for $(shell ...) in a recipe, too, whose answer it reads through a pipe; its own output is a file.
_RECORDER: Final = """\
#!/bin/sh
for last; do :; done
test ! -p /dev/stdout || exec /bin/sh -c "$last"
printf '%s\\0' "$last" >>{commands}
case $last in *{generator}*) env -0 >{variables};; esac
"""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What make printed: values of variables, commands of the two goals, the environment, and the prerequisites."""

    values: Mapping[str, str]
    jit: tuple[str, ...]
    clean: tuple[str, ...]
    variables: Mapping[str, str]
    needs: Mapping[str, Sequence[str]]


def is_one(folder: Path) -> bool:
    """Return whether configure ran in a folder: one with a pyconfig.h alone says less."""
    return (folder / _MAKEFILE).is_file() and (folder / _PYCONFIG).is_file()


def read(folder: Path) -> BuildFolder:
    """Ask make what it would do in a build folder.

    Raises: BuildFolderError where there is no make, where the makefile does not work, or where the command that makes
    the stencils is not understood.
    """
    answer = _ask(folder)
    pyconfig = files.read_bytes(folder / _PYCONFIG, error=BuildFolderError, fix="run configure there again")
    found = BuildFolder(
        path=folder,
        host=_host(answer.values),
        pyconfig=pyconfig,
        jit=_jit(folder, answer),
        python=answer.values["PYTHON_FOR_REGEN"],
        deletes_stencils=_is_pgo(answer) and any(_deletes(text) for text in answer.clean),
        compiler=answer.values["CC"],
        core_cflags=answer.values["PY_CORE_CFLAGS"],
    )
    if found.jit and found.jit.debug != (found.flavour == "debug"):
        asked = "debug" if found.jit.debug else "release"
        raise BuildFolderError(
            f"the makefile wants {asked} stencils, but {_PYCONFIG} is that of a {found.flavour} build",
            where=str(folder),
            fix="run configure there again",
        )
    return found


def _ask(folder: Path) -> _Answer:
    program = shutil.which("gmake") or shutil.which("make")
    if program is None:
        raise BuildFolderError(
            "make is not on PATH, and only it knows what the makefile says",
            where=str(folder / _MAKEFILE),
            fix="install GNU make (the package make; gmake on the BSDs)",
        )
    with files.scratch("ask") as work:
        for goal in ("jit", "clean"):
            script = _RECORDER.format(
                commands=shlex.quote(str(work / goal)), variables=shlex.quote(str(work / "env")), generator=GENERATOR
            )
            # Found on PATH: make cannot do with a space in SHELL.
            files.write(work / "bin" / f"stencilkit-{goal}", script.encode(), executable=True)
        ask = work / "ask.mk"
        ask.write_text(_question(), "utf-8")
        path = ":".join([str(work / "bin"), *map(str, environ.search_path("PATH"))])
        # -B: as if nothing had been made; -o: the makefile itself is not made again; -p prints who needs whom.
        words: list[str | Path] = [
            "-C",
            folder,
            "-f",
            _MAKEFILE,
            "-f",
            ask,
            "-o",
            _MAKEFILE,
            "-o",
            ask,
            "-B",
            "-p",
            "-s",
            "-j1",
        ]
        log = work / "said"
        command = [program, *words, _STENCILS, _CLEAN]
        done = process.run(command, env={"PATH": path}, timeout=_TIMEOUT_SECONDS, stdout_to=log)
        said = log.read_text("utf-8", "replace")
        if done.returncode:
            raise BuildFolderError(
                "make cannot say how the stencils are made here",
                where=str(folder / _MAKEFILE),
                details="\n".join(line for line in said.splitlines() if "***" in line),
                fix="see that `make -n regen-jit` works there (with GNU make), or run configure again",
            )
        return _Answer(
            values=_values(said),
            jit=_records(work / "jit"),
            clean=_records(work / "clean"),
            variables=dict(entry.partition("=")[::2] for entry in _records(work / "env")),
            needs=_needs(said),
        )


def _question() -> str:
    shells = [f"{goal}: SHELL := stencilkit-{name}" for goal, name in ((_STENCILS, "jit"), (_CLEAN, "clean"))]
    # A goal that the makefile does not have is none that fails.
    goals = [f"{_STENCILS} {_CLEAN}:"]
    return "\n".join([*shells, *goals, *(f"$(info {_MARK}{name}=$({name}))" for name in _VARIABLES), ""])


def _records(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text("utf-8", "replace").split("\0")[:-1]) if path.is_file() else ()


def _values(printed: str) -> dict[str, str]:
    lines = [line.removeprefix(_MARK) for line in printed.splitlines() if line.startswith(_MARK)]
    return {name: value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _needs(printed: str) -> dict[str, list[str]]:
    """Read make's list of rules: goal -> what it needs."""
    rules = (line.partition(":") for line in printed.splitlines() if line[:1] not in ("", "\t", "#", " "))
    return {goal: needs.replace("|", " ").split() for goal, colon, needs in rules if colon and "=" not in goal + needs}


def _host(values: Mapping[str, str]) -> str:
    """Name what was configured for; with --with-universal-archs it is the universal platform."""
    archs = [
        word.removeprefix(_UNIVERSAL) for word in shlex.split(values["CONFIG_ARGS"]) if word.startswith(_UNIVERSAL)
    ]
    host = values["HOST_GNU_TYPE"]
    return f"{archs[-1]}-apple-darwin" if host and archs else host


def _is_pgo(answer: _Answer) -> bool:
    """Return whether a plain `make` is a PGO build."""
    seen: dict[str, None] = {answer.values[".DEFAULT_GOAL"]: None}
    for goal in seen.copy():
        seen |= dict.fromkeys(answer.needs.get(goal, ()))
    return "profile-opt" in seen


def _deletes(text: str) -> bool:
    """Return whether a command deletes the stencils; of one that only a shell understands, whether it may."""
    try:
        found = shell.commands(text.replace("*", "\\*").replace("?", "\\?").replace("[", "\\["), {})
    except shell.ShellError:
        return "rm " in text and "jit_stencils" in text
    return any(words[0] == "rm" and any(fnmatchcase(_STENCILS, word) for word in words[1:]) for words in found)


def _jit(folder: Path, answer: _Answer) -> JitCommand | None:
    """Understand the command that makes the stencils."""
    texts = dict.fromkeys(text for text in answer.jit if GENERATOR in text)
    if not texts:
        return None
    try:
        return _only(_command(folder, text, answer.variables) for text in texts)
    except (NotUnderstoodError, shell.ShellError) as problem:
        raise BuildFolderError(
            f"the command that makes the stencils is not understood: {problem}",
            where=str(folder / _MAKEFILE),
            details="\n".join(texts),
            fix="give CFLAGS_JIT to configure (its value ends up in that command), or simplify the makefile's rule",
        ) from None


def _only(commands: Iterable[JitCommand]) -> JitCommand:
    found = set(commands)
    if len(found) != 1:
        raise NotUnderstoodError("the makefile has several such commands")
    return found.pop()


def _command(folder: Path, text: str, variables: Mapping[str, str]) -> JitCommand:
    words = [words for words in shell.commands(text, variables) if any(is_generator(word) for word in words)]
    if len(words) != 1 or len(shell.commands(text, variables)) != 1:
        raise NotUnderstoodError("there is another command beside it")
    start = next(number for number, word in enumerate(words[0]) if is_generator(word))
    # `LLVM_VERSION=21 python3 build.py ...`, and python-build-standalone's builds, whose build.py reads that variable
    before = dict(word.partition("=")[::2] for word in words[0][:start] if "=" in word)
    found = parse(words[0][start + 1 :], {**variables, **before})
    for option, place in (("--output-dir", found.output), ("--pyconfig-dir", found.pyconfig)):
        if (folder / place).resolve() != folder.resolve():
            raise NotUnderstoodError(f"{option} {place} is another folder")
    return replace(found, output=".", pyconfig=".", force=False)
