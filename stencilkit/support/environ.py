"""The one door to environment variables and to the clock."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stencilkit.errors import OutputError, UsageError
from stencilkit.support import escape, private

# Where nothing else is known: a teletype's, and what logs and mails are read in.
_COLUMNS: Final = 80


def variable(name: str) -> str:
    """Return an environment variable, "" if it is not set."""
    return os.environ.get(name, "")


def search_path(name: str) -> tuple[Path, ...]:
    """Return the folders or files that an environment variable lists."""
    return tuple(Path(part) for part in variable(name).split(os.pathsep) if part)


def source_date() -> str:
    """Return SOURCE_DATE_EPOCH as an ISO 8601 time, "" if it is not set or empty.

    Raises: UsageError.
    """
    return source_time().isoformat() if variable("SOURCE_DATE_EPOCH") else ""


def source_time() -> datetime:
    """Return SOURCE_DATE_EPOCH, or the start of 1970.

    https://reproducible-builds.org/specs/source-date-epoch/, which wants malformed values refused.

    Raises: UsageError.
    """
    epoch = variable("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.fromtimestamp(0, UTC)
    # The last second of the year 9999:
    if not re.fullmatch(r"[0-9]{1,12}", epoch) or int(epoch) > 253402300799:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {epoch[:40]!r}, which is not a time",
            fix="set it to seconds since 1970 (date +%s), or leave it unset",
        )
    return datetime.fromtimestamp(int(epoch), UTC)


def today() -> str:
    """Return the day in ISO 8601: that of SOURCE_DATE_EPOCH, or of the clock.

    Raises: UsageError.
    """
    return (source_date() or datetime.now(UTC).isoformat())[: len("2026-11-21")]


def moment() -> int:
    """Return the time as file systems count it, in nanoseconds since 1970."""
    return time.time_ns()


def seconds() -> float:
    """Read a clock that only goes forward, to time things with."""
    return time.monotonic()


def host() -> str:
    """Describe this machine in one line."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def command_line() -> tuple[str, ...]:
    """Return the words of the command that runs, with escapes for control characters and for what is not UTF-8."""
    words = (word.encode("utf-8", "backslashreplace").decode() for word in sys.argv)
    return tuple(escape.plain(word).replace("\n", "\\n") for word in words)


def columns() -> int:
    """Count the columns to write for: COLUMNS, or those of the terminal on standard output, or 80."""
    named = variable("COLUMNS")
    if re.fullmatch("[0-9]{1,5}", named) and int(named) > 0:
        return int(named)
    try:
        # Where nobody has set a size, terminals report 0.
        return os.get_terminal_size(1).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def wants_colour(*, terminal: bool) -> bool:
    """Report whether to colour what goes to a stream: https://no-color.org, https://force-color.org, and terminals."""
    if variable("NO_COLOR"):
        return False
    return bool(variable("FORCE_COLOR")) or (terminal and variable("TERM") != "dumb")


def cpus() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_root() -> Path:
    """Name the cache folder: STENCILKIT_CACHE, or the platform's place for caches.

    Raises: UsageError where there is none; OutputError where others can write to it.
    """
    return private.check(_root("STENCILKIT_CACHE", "XDG_CACHE_HOME", ".cache"))


def data_root() -> Path:
    """Name the folder for installed toolchains: STENCILKIT_DATA, or the platform's place for data.

    Raises: UsageError where there is none; OutputError where others can write to it.
    """
    return private.check(_root("STENCILKIT_DATA", "XDG_DATA_HOME", ".local/share"))


def moved_by(path: Path) -> str:
    """Name the variable that moves the folder of ours that a path is in, "" where it is in none."""
    for variable_, root in (("STENCILKIT_CACHE", cache_root), ("STENCILKIT_DATA", data_root)):
        try:
            if path.is_relative_to(root()):
                return variable_
        except (UsageError, OutputError):
            # Without a home there is no such folder, and the path is elsewhere.
            continue
    return ""


def _root(own: str, shared: str, below_home: str) -> Path:
    """Find one of our folders. It is absolute: compilers run in a folder of their own.

    Raises: UsageError where there is no home folder (a container's user without an entry in /etc/passwd).
    """
    if named := variable(own):
        return Path(named).absolute()
    base = variable(shared) or variable("LOCALAPPDATA")
    # "All paths must be absolute ... the path should be ignored" (XDG Base Directory Specification)
    if base and Path(base).is_absolute():
        return Path(base) / "stencilkit"
    try:
        return Path.home().absolute() / below_home / "stencilkit"
    except RuntimeError:
        raise UsageError("this user has no home folder", fix=f"set {own} to a folder to use instead") from None


def variables(prefix: str) -> dict[str, str]:
    """Return the environment variables whose names start with a prefix."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(prefix)}


_SYSTEMS: Final = {"Darwin": "darwin", "FreeBSD": "freebsd", "Windows": "windows"}
_MACHINES: Final = {"arm64": "aarch64", "amd64": "x86_64", "AMD64": "x86_64", "ARM64": "aarch64", "x86": "i686"}


def native() -> str:
    """Name this machine: on Linux as Debian and CPython do ("x86_64-linux-gnu"), else as in "aarch64-darwin".

    "" where there is no such name.
    """
    if platform.system() == "Linux":
        return str(getattr(sys.implementation, "_multiarch", ""))
    machine, system = platform.machine(), _SYSTEMS.get(platform.system())
    return f"{_MACHINES.get(machine, machine)}-{system}" if system else ""


def is_native(name: str) -> bool:
    """Return whether a name is this machine's."""
    return bool(name) and name == native()


def runs(name: str) -> bool:
    """Return whether this machine runs programs for a name: its own, or those for another C library (musl)."""
    return bool(name) and name.rpartition("-")[0] == native().rpartition("-")[0]


def is_system(name: str) -> bool:
    """Return whether this machine is of a system ("darwin", "freebsd", "windows"), whatever its architecture."""
    return bool(name) and native().endswith(f"-{name}")
