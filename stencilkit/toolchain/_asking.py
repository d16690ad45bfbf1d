"""Ask a program what it is, and what it is made of.

Refuses what only looks like a clang: Apple's (its version numbers and assembly are its own), gcc under clang's
name, and a program whose version is not the one in its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import ProcessError, ToolchainError
from stencilkit.model.toolchain import Identity, Origin, Rejected, Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.support import files, process
from stencilkit.support.cache import Store, key_of

_VERSION: Final = re.compile(r"^(?P<vendor>.*\b(?:clang|LLVM) version (?P<version>\d+\.\d+\.\d+)\S*.*)$", re.MULTILINE)
NAME: Final = re.compile(r"clang(?:-(?P<major>\d+))?(?:\.exe)?")
# clang's and zig's own names. The program that `clang -###` starts a compilation with is quoted, at the line's start.
_PROGRAM: Final = re.compile(r"clang(?:-\d+)?(?:\.exe)?|zig(?:\.exe)?")
_CC1: Final = re.compile(r'^ *"(?P<program>[^"]+)" "-cc1"', re.MULTILINE)
_CONFIGURATION: Final = re.compile(r"^Configuration file: (.+)$", re.MULTILINE)
# Answers that are remembered of a program.
_QUESTIONS: Final = ("--version", "-print-targets", "-print-resource-dir")
_BINARY_MAGICS: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
# A line of ldd's ("libLLVM.so.21.1 => /usr/lib/libLLVM.so.21.1 (0x7f...)") or of otool's. An LLVM that was built with
# BUILD_SHARED_LIBS has dozens of them.
_SHARED_LLVM: Final = re.compile(
    r"^\s+(?:\S.* => )?(?P<path>\S.*/(?:lib)?(?:LLVM|clang|Polly)[^/]*?)(?: \((?:0x|compatibility).*)?$", re.MULTILINE
)
# `clang -print-targets` names -> the arch column of targets.toml. An x86-64 back end also does i686.
_ARCHS: Final = {"x86-64": "x86_64", "x86": "i686", "aarch64": "aarch64"}


def identify(program: Path, origin: Origin, store: Store) -> Toolchain | Rejected:
    """Ask a program what it is."""
    zig = _is_zig(program)
    lib = program.parent / "lib"
    command = _command(program)
    try:
        version = _ask(program, (*command, _QUESTIONS[0]), store)
        problem = _problem(program, version)
        match = _VERSION.search(version)
        parsed = LlvmVersion.parse(match["version"]) if match else None
        if problem or match is None or parsed is None:
            said = version.strip().partition("\n")[0][:80] or "nothing"
            return Rejected(program=program, why=problem or f"it is not a clang: --version says {said!r}")
        archs = _ask(program, (*command, _QUESTIONS[1]), store)
        resource = str(lib) if zig else _ask(program, (*command, _QUESTIONS[2]), store).strip()
    except ProcessError as error:
        return Rejected(program=program, why=error.what)
    return Toolchain(
        version=parsed,
        vendor=match["vendor"].strip(),
        origin=origin,
        program=program,
        command=command,
        resource=Path(resource),
        libc=lib / "libc" / "include" if zig else None,
        archs=frozenset(_ARCHS[name] for name in re.findall(r"^ +(\S+) +- ", archs, re.MULTILINE) if name in _ARCHS),
    )


def _is_zig(program: Path) -> bool:
    return program.name in ("zig", "zig.exe")


def _command(program: Path) -> tuple[str, ...]:
    """Give the words that make a program clang; zig is one with its first argument."""
    lib = program.parent / "lib"
    return (str(program), "clang", "-resource-dir", str(lib)) if _is_zig(program) else (str(program),)


def _problem(program: Path, version: str) -> str:
    if "Apple" in version.split("\n", 1)[0]:
        return (
            "it is Apple's clang, whose versions are not LLVM's and whose assembly has directives that CPython's "
            "passes cannot keep (CPython #146475, #148560)"
        )
    named = NAME.fullmatch(program.name)
    if "Free Software Foundation" in version and (named or version.startswith(("gcc ", "cc ", program.name))):
        return ("it is gcc under clang's name" if named else "it is gcc") + "; stencils need clang's musttail"
    match = _VERSION.search(version)
    if named and named["major"] and match and match["version"].split(".")[0] != named["major"]:
        return f"its name says {named['major']}, but it is version {match['version']}"
    return ""


def _ask(program: Path, command: Sequence[str], store: Store) -> str:
    """Run a program that only answers a question, or recall what the same file answered before.

    Raises: ProcessError where it cannot be run, or fails.
    """
    key = _stat_key("ask", program, *command[1:])
    known = store.programs.get(key) if key else None
    if known is not None:
        return known.decode("utf-8", "replace")
    done = process.run(command, timeout=30)
    if done.returncode:
        # Not stored: a library that is missing now can be there tomorrow.
        said = next(iter(done.err.strip().splitlines()), "")
        raise ProcessError(f"{program.name} {command[-1]} {done.ending}" + (f": {said[:200]}" if said else ""))
    if key:
        store.put(key, done.stdout)
    return done.out


def _stat_key(*words: str | Path) -> str:
    """Make a key from a binary's path, size and time; "" for a script, which passes on another program's answer."""
    path = Path(words[1]).resolve()
    try:
        status = path.stat()
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError:
        return ""
    if not magic.startswith(_BINARY_MAGICS):
        return ""
    # Of two files in one place, images and packages whose times are all set to one differ in the time of their change.
    return key_of(*map(str, words), str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def real(program: Path) -> Path:
    """Follow a link to a clang; ccache and friends are links under clang's name, and not the same clang."""
    real = program.resolve()
    return real if NAME.fullmatch(real.name) else program


def identity(toolchain: Toolchain, store: Store, heard: Callable[[], str] | None = None) -> Identity:
    """Hash a toolchain's program and the LLVM libraries that it loads.

    `heard` gives what the program says of itself where it is asked something else just now: all answers to -### begin
    with its version and its configuration files.

    Of a wrapper (ccache, a script), the clang that it calls counts as one of them: it can change alone. So does a
    configuration file (Gentoo and Homebrew have some), whose flags apply to every uop.

    Raises: ToolchainError where the program has become another version since it was identified.
    """
    said = heard() if heard else process.run((*toolchain.command, "--version"), timeout=30).out
    match = _VERSION.search(said)
    if match is None or match["vendor"].strip() != toolchain.vendor:
        raise _outdated(toolchain, said, store)
    program = toolchain.program.resolve()
    called = _called(toolchain, program)
    parts = dict.fromkeys((program, called, *_libraries(called), *_configuration(said)))
    stamps = {path: files.stamp(path) for path in parts}
    digests = {path: _digest(path, store) for path in parts}
    libraries = {path.name: digest for path, digest in digests.items() if path != program}
    return Identity(
        program=digests[program],
        libraries=dict(sorted(libraries.items())),
        stamps=tuple((path, stamps[path], digests[path]) for path in parts),
    )


def _outdated(toolchain: Toolchain, said: str, store: Store) -> ToolchainError:
    """Forget what a program answered before: a library that it loads, or what it starts, was replaced."""
    for question in _QUESTIONS:
        if key := _stat_key("ask", toolchain.program, *toolchain.command[1:], question):
            store.programs.forget(key)
    return ToolchainError(
        f"{toolchain.program} was {toolchain.vendor}, and is another one now",
        details=said.strip().partition("\n")[0][:200],
        fix="run the command again; the cached answer about it was removed",
    )


def replaced(identity: Identity) -> tuple[Path, ...]:
    """List the files of a toolchain that somebody has replaced since it was asked for its identity.

    A new link to a file changes its time of change, too: uv makes one wherever it installs the same toolchain.
    """
    return tuple(
        path
        for path, stamp, digest in identity.stamps
        if files.stamp(path) != stamp and not (path.is_file() and files.sha256(path) == digest)
    )


def starts(toolchain: Toolchain) -> tuple[str, ...]:
    """Give the command of the clang itself: of a wrapper (ccache, a script), that of the program that it starts."""
    program = toolchain.program.resolve()
    called = _called(toolchain, program)
    return toolchain.command if called == program else _command(called)


def _configuration(said: str) -> list[Path]:
    """List the configuration files that clang says it takes, and those that they include.

    They change without the program, so its answer is not remembered (clang's manual, Configuration files).
    """
    todo = [Path(path) for path in _CONFIGURATION.findall(said)]
    found: list[Path] = []
    while todo:
        path = todo.pop().resolve()
        if path not in found and path.is_file():
            found.append(path)
            words = path.read_text("utf-8", "replace").split()
            todo += [path.parent / word.removeprefix("@") for word in words if word.startswith("@")]
    return found


def _called(toolchain: Toolchain, program: Path) -> Path:
    """Find the program that compiles: clang itself, or the one that a wrapper's -### names."""
    if _stat_key("called", program) and _PROGRAM.fullmatch(program.name):
        return program
    command = (*toolchain.command, "-###", "-x", "c", "-c", os.devnull, "-o", os.devnull)
    match = _CC1.search(process.run(command, timeout=30).err)
    called = Path(match["program"]) if match else program
    return called.resolve() if called.is_file() else program


def _libraries(program: Path) -> list[Path]:
    for lister in (("ldd",), ("otool", "-L")):
        try:
            listing = process.run((*lister, str(program)), timeout=30).out
        except ProcessError:
            continue
        return loaded(listing, program)
    return []


def loaded(listing: str, program: Path) -> list[Path]:
    """List LLVM's libraries among those that ldd or otool names; an @rpath is taken for the folder beside clang's."""
    found = [Path(match["path"]) for match in _SHARED_LLVM.finditer(listing)]
    own = program.parent.with_name("lib")
    places = {(own / path.name if path.parts[0].startswith("@") else path).resolve() for path in found}
    return sorted(path for path in places if path.is_file())


def _digest(path: Path, store: Store) -> str:
    key = _stat_key("sha256", path)
    known = store.programs.get(key) if key else None
    if known is not None:
        return known.decode("ascii")
    digest = files.sha256(path)
    if key:
        store.put(key, digest.encode("ascii"))
    return digest
