"""Options that several commands share, and how their values are understood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from stencilkit.cli import _completion
from stencilkit.errors import OutputError, UsageError
from stencilkit.model.source import SourceTree
from stencilkit.pipeline import knowing
from stencilkit.support import environ, files
from stencilkit.support.cache import ENTRIES, NoStore, Store
from stencilkit.support.progress import Progress

Command = Callable[..., Any]
_C = TypeVar("_C", bound=Command)
# The parts of the cache; the first holds compiled uops and is bounded.
CACHE_PARTS: Final = (ENTRIES, "pyconfig", "trees", "tarballs", "zig")


class _Place(click.Path):
    """A path; an empty one, which an unset variable of a script gives, would mean the current folder."""

    def __init__(self, **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  # click's interface
        """Refuse an empty path, and one that is missing or of the other kind, of which click names only the manual."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        path, where = Path(value), param.get_error_hint(ctx).strip("'") if param and ctx else ""
        if self.exists and not path.exists():
            raise files.missing(path, UsageError, where)
        if not self.dir_okay and path.is_dir():
            raise UsageError(f"{path} is a folder", where=where, fix="name a file")
        if not self.file_okay and path.exists() and not path.is_dir():
            raise UsageError(f"{path} is not a folder", where=where, fix="name a folder")
        return super().convert(value, param, ctx)


class _Seconds(click.FloatRange):
    """A time limit in seconds: at most a year, because no system waits for "inf" or "nan"."""

    def __init__(self) -> None:
        super().__init__(min=1, max=365 * 24 * 3600)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401  # click's interface
        """Refuse what is not a number, which no bound excludes."""
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value} is not a time in seconds", param, ctx)
        return found


ANY_PATH: Final = _Place()
EXISTING_PATH: Final = _Place(exists=True)
EXISTING_FILE: Final = _Place(exists=True, dir_okay=False)
FOLDER: Final = _Place(file_okay=False)
EXISTING_FOLDER: Final = _Place(exists=True, file_okay=False)


# What several commands have, spelt and read alike; a command may say in its own words what it is good for there.
SHARED: Final[Mapping[str, Mapping[str, Any]]] = {
    "--cpython": {
        "metavar": "DIR|TARBALL|VERSION",
        "help": "CPython's source. [default: the current folder]",
        "shell_complete": _completion.pythons,
    },
    "--target": {
        "metavar": "TRIPLE",
        "help": "Triple of the code. [default: as the files say]",
        "shell_complete": _completion.triples,
    },
    "--llvm": {"metavar": "VERSION", "shell_complete": _completion.llvms},
    "--debug": {"is_flag": True, "help": "Build for a CPython that is configured --with-pydebug."},
    "--pyconfig-dir": {"type": EXISTING_FOLDER, "help": "Folder with pyconfig.h. [default: run configure, once]"},
    "--flavour": {},
    "--build-dir": {"type": EXISTING_FOLDER, "help": "Where configure was run. [default: the source tree]"},
    "--hardened": {
        "is_flag": True,
        "help": "Add the target's hardening flags to CFLAGS_JIT: landing pads, signed returns.",
    },
    "--cflags": {"metavar": "FLAGS"},
    "--witness": {
        "is_flag": True,
        "help": "Check that the build folder's compiler lays out structures as expected.",
    },
    "--sysroot": {"type": FOLDER, "help": "Root of the target's headers. [default: look for them]"},
    "--jobs": {
        "type": click.IntRange(min=1),
        "metavar": "N",
        "help": "Compilers to run at once. [default: one per processor]",
    },
    "--no-cache": {"is_flag": True, "help": "Do not use the cache of compiled uops."},
    "--allow-driver-flags": {"is_flag": True, "help": "Accept flags that a wrapper of clang adds, and record them."},
    "--allow-mingw": {"is_flag": True, "help": "Accept Windows stencils that were compiled with mingw's headers."},
    "--provisional": {
        "is_flag": True,
        "help": "Accept a CPython or LLVM that is too new for stencilkit, treated as the newest it knows.",
    },
    "--ledger": {"type": EXISTING_FOLDER, "help": "Folder of expected digests to compare with."},
    "--policy": {"type": ANY_PATH},
    "--against": {"type": ANY_PATH},
    "--check": {"is_flag": True},
    "--trusted-root": {
        "type": EXISTING_FILE,
        "help": "Sigstore's trusted_root.json. [default: that of the public sigstore]",
    },
    "--update": {"is_flag": True},
    "--output": {"type": ANY_PATH},
    "--out": {"type": FOLDER},
    "--sha256": {"metavar": "HEX"},
    "--skip-missing": {"is_flag": True, "help": "Skip LLVMs of the range that are not installed."},
    "--timeout": {"type": _Seconds(), "metavar": "SECONDS", "show_default": True},
}


def shared(name: str, *names: str, **changes: Any) -> Callable[[_C], _C]:  # noqa: ANN401  # click's interface
    """Add an option that several commands have; `names` and `changes` are as for click.option."""
    return click.option(name, *names, **{**SHARED[name], **changes})


def format_option(*formats: str) -> Callable[[Command], Command]:
    """Add --format."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output format. Only text shows progress, on stderr.",
    )


def store(*, use: bool = True) -> Store:
    """Open the cache; without `use`, one that holds nothing, and knows the programs that the cache knows.

    Raises: UsageError, OutputError where it is wanted, and there is none that is safe to use.
    """
    try:
        kept = Store(environ.cache_root() / ENTRIES)
    except (UsageError, OutputError):
        if use:
            raise
        return NoStore()
    return kept if use else NoStore(programs=kept)


def open_tree(given: str | None, progress: Progress, *, provisional: bool = False) -> SourceTree:
    """Understand --cpython: a folder, a tarball, a version, or (not given) the folder one is in.

    Raises: SourceError, FetchError, UsageError.
    """
    return knowing.tree(_tree_folder(given, progress), provisional=provisional)


def _tree_folder(given: str | None, progress: Progress) -> Path:
    if given is None:
        return Path.cwd()
    if not given:
        raise UsageError("--cpython is empty", fix="leave it out for the current folder, or name a source")
    path = Path(given)
    if path.is_dir():
        return path.resolve()
    # Loading the modules for downloads takes time, and is for those who download.
    from stencilkit import fetch, pins

    if path.is_file():
        with progress.during(f"unpacking {path.name}"):
            return fetch.unpack_cached(path, environ.cache_root())
    if "/" in given or given.endswith((".xz", ".gz", ".tgz", ".bz2", ".zst", ".zip", ".tar")):
        raise UsageError(
            f"--cpython {given}: there is no such folder or file",
            fix="give a source tree, a release tarball, or a version like 3.14.7",
        )
    return fetch.fetch(given, pins.load(), environ.cache_root(), progress=progress)
