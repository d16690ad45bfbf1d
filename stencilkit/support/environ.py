"""The one door to environment variables and to the clock."""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path


def variable(name: str) -> str:
    """Return an environment variable, "" if it is not set."""
    return os.environ.get(name, "")


def search_path(name: str) -> tuple[Path, ...]:
    """Return the folders or files that an environment variable lists."""
    return tuple(Path(part) for part in variable(name).split(os.pathsep) if part)


def source_date() -> str:
    """Return SOURCE_DATE_EPOCH as an ISO 8601 time, "" if it is not set or is no number.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    epoch = variable("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC).isoformat() if epoch.isdigit() else ""


def seconds() -> float:
    """Read a clock that only goes forward, to time things with."""
    return time.monotonic()


def host() -> str:
    """Describe this machine in one line."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def command_line() -> tuple[str, ...]:
    """Return the words of the command that runs."""
    return tuple(sys.argv)


def cpus() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_root() -> Path:
    """Name the cache folder: STENCILKIT_CACHE, or the platform's place for caches."""
    if named := variable("STENCILKIT_CACHE"):
        return Path(named)
    base = variable("XDG_CACHE_HOME") or variable("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "stencilkit"


def data_root() -> Path:
    """Name the folder for installed toolchains: STENCILKIT_DATA, or the platform's place for data."""
    if named := variable("STENCILKIT_DATA"):
        return Path(named)
    base = variable("XDG_DATA_HOME") or variable("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".local" / "share") / "stencilkit"


def variables(prefix: str) -> dict[str, str]:
    """Return the environment variables whose names start with a prefix."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(prefix)}


def multiarch() -> str:
    """Name this machine as Debian and CPython do ("x86_64-linux-gnu"), "" where there is no such name."""
    return str(getattr(sys.implementation, "_multiarch", ""))


def is_native(name: str) -> bool:
    """Tell whether a multiarch name is this machine's."""
    return sys.platform == "linux" and name == multiarch()
