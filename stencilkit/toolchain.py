"""Find, identify and choose LLVM toolchains.

Refuses what only looks like a clang: Apple's (its version numbers and assembly are its own), gcc under clang's
name, and a program whose version is not the one in its name.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.errors import ProcessError, ToolchainError, UsageError
from stencilkit.model.toolchain import Found, Identity, Origin, Rejected, Toolchain, Wanted
from stencilkit.model.version import LlvmVersion, MajorRange
from stencilkit.support import environ, files, process
from stencilkit.support.cache import Store

_VERSION: Final = re.compile(r"^(?P<vendor>.*\b(?:clang|LLVM) version (?P<version>\d+\.\d+\.\d+)\S*.*)$", re.MULTILINE)
_NAME: Final = re.compile(r"clang(?:-(?P<major>\d+))?(?:\.exe)?")
# clang's and zig's own names. The program that `clang -###` starts a compilation with is quoted, at the line's start.
_PROGRAM: Final = re.compile(r"clang(?:-\d+)?(?:\.exe)?|zig(?:\.exe)?")
_CC1: Final = re.compile(r'^ *"(?P<program>[^"]+)" "-cc1"', re.MULTILINE)
_CONFIGURATION: Final = re.compile(r"^Configuration file: (.+)$", re.MULTILINE)
# Where distributions put LLVMs that are not on PATH; * is sorted.
_FOLDERS: Final = (
    "/usr/lib/llvm-*/bin",  # Debian, Ubuntu
    "/usr/lib/llvm[0-9]*/bin",  # Alpine, Arch
    "/usr/lib64/llvm*/bin",  # Fedora, openSUSE
    "/usr/lib/llvm/*/bin",  # Gentoo
    "/opt/homebrew/opt/llvm*/bin",  # Homebrew on Apple silicon
    "/usr/local/opt/llvm*/bin",  # Homebrew on Intel
    "/opt/local/libexec/llvm-*/bin",  # MacPorts
    "/usr/local/llvm*/bin",  # FreeBSD
    "/Program Files/LLVM/bin",  # LLVM's own installer on Windows
)
# More folders or programs, before all others:
_VARIABLE: Final = "STENCILKIT_LLVM"
# Prefixes whose bin folder may have a clang. The first is what CPython 3.15 calls an LLVM that goes before PATH
# (Tools/jit/README.md); the others name where one may be, as a distribution's folder does: CMake's and conda's.
_PREFIX_BEFORE_PATH: Final = "LLVM_TOOLS_INSTALL_DIR"
_PREFIXES: Final = ("LLVM_ROOT", "CONDA_PREFIX")
_OTHERS: Final = "stencilkit toolchains lists what there is; name a version of it, or the path of another clang"
_ORIGINS: Final[tuple[Origin, ...]] = ("named", "path", "folder", "pypi")
_ORDERED: Final[tuple[Origin, ...]] = ("named", "path")
_BINARY_MAGICS: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_SHARED_LLVM: Final = re.compile(r"(?P<path>/\S*/lib(?:LLVM|clang-cpp)[^/\s]*)")
# `clang -print-targets` names -> the arch column of targets.toml. An x86-64 back end also does i686.
_ARCHS: Final = {"x86-64": "x86_64", "x86": "i686", "aarch64": "aarch64"}


def parse_wanted(text: str) -> tuple[Wanted, ...]:
    """Read --llvm: "19", "19..21", "19,21", "19.1.7", or a path to a clang, separated by commas.

    Raises: UsageError.
    """
    return tuple(_wanted(part.strip()) for part in text.split(","))


def majors(wanted: Sequence[Wanted]) -> tuple[int, ...]:
    """List the major versions that are asked for; a program that is named may have any."""
    found: list[int] = []
    for want in wanted:
        found += [want.exact.major] if want.exact else want.majors or ()
    return tuple(found)


def _wanted(part: str) -> Wanted:
    if "/" in part or "\\" in part:
        # Compilers run in a folder of their own, so the path must not depend on this one.
        return Wanted(program=Path(part).absolute())
    exact = LlvmVersion.parse(part)
    if exact is not None:
        return Wanted(exact=exact)
    majors = MajorRange.parse(part)
    if majors is None:
        raise UsageError(
            f"{part!r} is not a version of LLVM", fix="write 19, 19..21, 19,21, 19.1.7 or the path of a clang"
        )
    return Wanted(majors=majors)


def discover(data: Path, store: Store) -> Found:
    """Find every toolchain of this machine: PATH, the distributions' folders, and installed ziglang wheels.

    The environment variable STENCILKIT_LLVM may list more folders or programs. The newest major comes first; of one
    major, those that the user put into an order are in that order (what a variable names, then PATH, whatever their
    versions), and then the newest of the others.
    """
    different: dict[Path, tuple[Origin, Path]] = {}
    for origin, program in _candidates(data):
        different.setdefault(_real(program), (origin, program))
    with process.workers() as pool:
        found = list(pool.map(lambda candidate: identify(candidate[1], candidate[0], store), different.values()))
    toolchains = sorted((item for item in found if isinstance(item, Toolchain)), key=_preference)  # stable: as found
    rejected = [item for item in found if isinstance(item, Rejected)]
    absent = [place for place in environ.search_path(_VARIABLE) if not place.exists()]
    rejected += [Rejected(program=place, why=f"{_VARIABLE} names it, and it is not there") for place in absent]
    return Found(toolchains=tuple(toolchains), rejected=tuple(rejected))


@dataclass(frozen=True)
class Machine:
    """The toolchains of this machine, looked for when somebody first asks: each one found costs three processes.

    `wheels` are the majors that `stencilkit toolchains install` has.
    """

    data: Path
    store: Store
    wheels: frozenset[int] = frozenset()

    @functools.cached_property
    def found(self) -> Found:
        """Discover them."""
        return discover(self.data, self.store)

    def __iter__(self) -> Iterator[Toolchain]:
        return iter(self.found.toolchains)


def _preference(toolchain: Toolchain) -> tuple[object, ...]:
    version, origin = toolchain.version, toolchain.origin
    newest = () if origin in _ORDERED else (-version.minor, -version.patch, toolchain.program)
    return (-version.major, _ORIGINS.index(origin), newest)


def _candidates(data: Path) -> Iterator[tuple[Origin, Path]]:
    for place in environ.search_path(_VARIABLE):
        yield from (("named", program) for program in ([place] if place.is_file() else _clangs(place)))
    for prefix in environ.search_path(_PREFIX_BEFORE_PATH):
        yield from (("named", program) for program in _clangs(prefix / "bin"))
    for folder in environ.search_path("PATH"):
        yield from (("path", program) for program in _clangs(folder))
    for folder in _folders():
        yield from (("folder", program) for program in _clangs(folder))
    for wheel in sorted(data.glob("toolchains/*/ziglang")):
        yield from (("pypi", program) for program in (wheel / "zig", wheel / "zig.exe") if program.is_file())
    spec = importlib.util.find_spec("ziglang")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        programs = (Path(location, "zig"), Path(location, "zig.exe"))
        yield from (("pypi", program) for program in programs if program.is_file())


def _folders() -> Iterator[Path]:
    for pattern in _FOLDERS:
        root = Path(pattern).anchor or "/"
        yield from sorted(Path(root).glob(pattern.lstrip("/")))
    for variable in _PREFIXES:
        yield from (prefix / "bin" for prefix in environ.search_path(variable))


def _clangs(folder: Path) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []
    return [path for path in paths if path.is_file() and os.access(path, os.X_OK)]


def identify(program: Path, origin: Origin, store: Store) -> Toolchain | Rejected:
    """Ask a program what it is."""
    zig = _is_zig(program)
    lib = program.parent / "lib"
    command = _command(program)
    try:
        version = _ask(program, (*command, "--version"), store)
        problem = _problem(program, version)
        match = _VERSION.search(version)
        parsed = LlvmVersion.parse(match["version"]) if match else None
        if problem or match is None or parsed is None:
            said = version.strip().partition("\n")[0][:80] or "nothing"
            return Rejected(program=program, why=problem or f"it is no clang: --version says {said!r}")
        archs = _ask(program, (*command, "-print-targets"), store)
        resource = str(lib) if zig else _ask(program, (*command, "-print-resource-dir"), store).strip()
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
    named = _NAME.fullmatch(program.name)
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
    known = store.get(key) if key else None
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
    """Make a key from a binary's path, size and time; "" for a script, whose answer is somebody else's."""
    path = Path(words[1]).resolve()
    try:
        status = path.stat()
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError:
        return ""
    if not magic.startswith(_BINARY_MAGICS):
        return ""
    text = json.dumps([*map(str, words), str(path), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(text.encode()).hexdigest()


def select(wanted: Sequence[Wanted], machine: Machine, *, skip_missing: bool = False) -> tuple[Toolchain, ...]:
    """Choose one toolchain for each version that is asked for, in the order asked.

    Where programs are named, nothing is looked for.

    Raises: ToolchainError for a version that is absent (unless `skip_missing`), saying how to get it.
    """
    chosen: list[Toolchain] = []
    missing: list[str] = []
    for want in wanted:
        if want.program is not None:
            chosen.append(_named(want.program, machine.store))
        elif want.exact is not None:
            exact = [tool for tool in machine if tool.version == want.exact]
            chosen.extend(exact[:1])
            missing.extend([] if exact else [str(want.exact)])
        for major in want.majors or ():
            fitting = [tool for tool in machine if tool.version.major == major]
            chosen.extend(fitting[:1])
            missing.extend([] if fitting else [str(major)])
    if missing and not (skip_missing and chosen):
        raise _absent(missing, machine, others=bool(chosen))
    return _each_once(chosen)


def choice(chosen: Toolchain, machine: Machine) -> str:
    """Say which toolchain is used, and which others of its major version were not chosen.

    Where it was named, nobody else was asked.
    """
    major = chosen.version.major
    others = [] if chosen.origin == "named" else [tool for tool in machine if tool.version.major == major]
    rest = ", ".join(f"{tool.version} ({tool.program})" for tool in others if tool.program != chosen.program)
    return f"using {chosen.label}" + (f", and not {rest}" if rest else "")


def beside(chosen: Toolchain, name: str, others: Iterable[Toolchain]) -> Path | None:
    """Find another program of LLVM's: that of a toolchain, else that of the nearest LLVM of others."""
    near = sorted(others, key=lambda tool: abs(tool.version.major - chosen.version.major))  # stable: the best first
    for tool in (chosen, *near):
        for folder in dict.fromkeys((tool.program.parent, tool.program.resolve().parent)):
            for program in (folder / name, folder / f"{name}-{tool.version.major}"):
                if program.is_file() and os.access(program, os.X_OK):
                    return program
    return None


def _each_once(chosen: Sequence[Toolchain]) -> tuple[Toolchain, ...]:
    """Drop repetitions; refuse two clangs of one version, which would write to one folder.

    Raises: UsageError.
    """
    by_version: dict[LlvmVersion, Toolchain] = {}
    for tool in chosen:
        first = by_version.setdefault(tool.version, tool)
        if _real(first.program) != _real(tool.program):
            raise UsageError(
                f"two of the LLVMs asked for have the version {tool.version}: {first.program} and {tool.program}",
                fix="build with one, then with the other and another --out",
            )
    return tuple(by_version.values())


def _real(program: Path) -> Path:
    """Follow a link to a clang; ccache and friends are links under clang's name, and not the same clang."""
    real = program.resolve()
    return real if _NAME.fullmatch(real.name) else program


def _named(program: Path, store: Store) -> Toolchain:
    if program.is_dir():
        inside = next((path for path in (program / "clang", program / "bin" / "clang") if path.is_file()), "")
        raise ToolchainError(f"{program} is a folder", fix=f"give the path of a clang{inside and f': {inside}'}")
    if not program.is_file():
        raise ToolchainError(f"there is no program {program}", fix="give the path of a clang, or a version")
    identified = identify(program, "named", store)
    if isinstance(identified, Rejected):
        raise ToolchainError(f"{program} cannot be used: {identified.why}", fix=_OTHERS)
    return identified


def _absent(missing: Sequence[str], machine: Machine, *, others: bool) -> ToolchainError:
    present = ", ".join(sorted({str(tool.version) for tool in machine})) or "none"
    rejected = [f"{item.program}: {item.why}" for item in machine.found.rejected]
    majors = sorted({int(version.split(".")[0]) for version in missing})
    packages = "your distribution's " + " ".join(f"clang-{major}" for major in majors)
    wheels = " ".join(str(major) for major in majors if major in machine.wheels)
    ways = [f"stencilkit toolchains install {wheels} (from PyPI, no root)"] if wheels else []
    ways += [packages, f"{_VARIABLE} for one that is elsewhere"]
    ways += ["--skip-missing to build with the others"] if others else []
    return ToolchainError(
        f"LLVM {', '.join(missing)} not found (available: {present})",
        details="\n".join(rejected),
        fix=", or ".join(ways),
    )


def check_arch(toolchain: Toolchain, arch: str) -> None:
    """Refuse a toolchain that was built without the back end for an architecture.

    Raises: ToolchainError.
    """
    if toolchain.archs and arch not in toolchain.archs:
        raise ToolchainError(
            f"{toolchain.label} has no back end for {arch}",
            fix=f"use another LLVM {toolchain.version.major}: {_OTHERS}",
        )


def identity(toolchain: Toolchain, store: Store) -> Identity:
    """Hash a toolchain's program and the LLVM libraries that it loads.

    Of a wrapper (ccache, a script), the clang that it calls counts as one of them: it can change alone. So does a
    configuration file (Gentoo and Homebrew have some), whose flags apply to every uop.
    """
    program = toolchain.program.resolve()
    called = _called(toolchain, program)
    parts = (program, called, *_libraries(called), *_configuration(toolchain))
    digests = {path: _digest(path, store) for path in parts}
    libraries = {path.name: digest for path, digest in digests.items() if path != program}
    return Identity(program=digests[program], libraries=dict(sorted(libraries.items())))


def starts(toolchain: Toolchain) -> tuple[str, ...]:
    """Give the command of the clang itself: of a wrapper (ccache, a script), that of the program that it starts."""
    program = toolchain.program.resolve()
    called = _called(toolchain, program)
    return toolchain.command if called == program else _command(called)


def _configuration(toolchain: Toolchain) -> list[Path]:
    """List the configuration files that clang says it takes, and those that they include.

    They change without the program, so its answer is not remembered (clang's manual, Configuration files).
    """
    said = process.run((*toolchain.command, "--version"), timeout=30).out
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
        return sorted({Path(match["path"]).resolve() for match in _SHARED_LLVM.finditer(listing)})
    return []


def _digest(path: Path, store: Store) -> str:
    key = _stat_key("sha256", path)
    known = store.get(key) if key else None
    if known is not None:
        return known.decode("ascii")
    digest = files.sha256(path)
    if key:
        store.put(key, digest.encode("ascii"))
    return digest
