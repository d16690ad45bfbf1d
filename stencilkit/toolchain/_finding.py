"""Find the toolchains of this machine."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.model.toolchain import Found, Origin, Rejected, Toolchain
from stencilkit.support import environ, process
from stencilkit.support.cache import Store
from stencilkit.toolchain._asking import NAME, identify, real

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
VARIABLE: Final = "STENCILKIT_LLVM"
# Prefixes whose bin folder may have a clang. The first is what CPython 3.15 calls an LLVM that goes before PATH
# (Tools/jit/README.md); the others name where one may be, as a distribution's folder does: CMake's and conda's.
_PREFIX_BEFORE_PATH: Final = "LLVM_TOOLS_INSTALL_DIR"
_PREFIXES: Final = ("LLVM_ROOT", "CONDA_PREFIX")
_ORIGINS: Final[tuple[Origin, ...]] = ("named", "path", "folder", "pypi")
_ORDERED: Final[tuple[Origin, ...]] = ("named", "path")


def discover(data: Path, store: Store) -> Found:
    """Find every toolchain of this machine: PATH, the distributions' folders, and installed ziglang wheels.

    The environment variable STENCILKIT_LLVM may list more folders or programs. The newest major comes first; of one
    major, those that the user put into an order are in that order (what a variable names, then PATH, whatever their
    versions), and then the newest of the others.
    """
    different: dict[Path, tuple[Origin, Path]] = {}
    for origin, program in _candidates(data):
        different.setdefault(real(program), (origin, program))
    with process.workers() as pool:
        found = list(pool.map(lambda candidate: identify(candidate[1], candidate[0], store), different.values()))
    toolchains = sorted((item for item in found if isinstance(item, Toolchain)), key=_preference)  # stable: as found
    rejected = [item for item in found if isinstance(item, Rejected)]
    absent = [place for place in environ.search_path(VARIABLE) if not place.exists()]
    rejected += [Rejected(program=place, why=f"{VARIABLE} names it, and it is not there") for place in absent]
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
    for place in environ.search_path(VARIABLE):
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
        paths = sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
    except OSError:
        return []
    return [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
