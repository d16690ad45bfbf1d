#!/usr/bin/env python3
"""Check or install what `make test` needs of the machine, beyond Python itself.

    needs.py            install what is missing: as root, or with sudo
    needs.py --check    report what is missing, within a second; exit 2 if anything is

Both report a disk that is too full for `make test`, which would fail in hundreds of places.
Standard library alone: this runs before there is a virtual environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# What proves that it is there (a program, a file, or a module of this Python), Debian's package, and what it is for.
NEEDS = (
    ("git", "git", "the tests of source archives"),
    ("make", "make", "builds of CPython"),
    ("gcc", "build-essential", "builds of CPython"),
    ("/usr/include/stdio.h", "build-essential", "the C library's headers, for stencils and CPython"),
    ("python:ensurepip", "python3-venv", "virtual environments"),
    ("pkg-config", "pkg-config", "configure of CPython"),
    ("/usr/include/zlib.h", "zlib1g-dev", "CPython's modules"),
    ("/usr/include/openssl/ssl.h", "libssl-dev", "CPython's modules"),
    ("/usr/include/*/ffi.h", "libffi-dev", "CPython's modules"),
    ("/usr/include/bzlib.h", "libbz2-dev", "CPython's modules"),
    ("/usr/include/lzma.h", "liblzma-dev", "CPython's modules"),
    ("/usr/include/readline/readline.h", "libreadline-dev", "CPython's modules"),
    ("/usr/include/sqlite3.h", "libsqlite3-dev", "CPython's modules"),
    ("gdb", "gdb", "CPython's tests of unwinding"),
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "the aarch64 rows"),
    ("/usr/aarch64-linux-gnu/include/stdio.h", "libc6-dev-arm64-cross", "the aarch64 rows"),
    ("qemu-aarch64-static", "qemu-user-static", "the aarch64 rows, run on another machine"),
    ("/usr/share/keyrings/debian-archive-keyring.*", "debian-archive-keyring", "LLVMs from Debian's archive"),
    ("gpg", "gnupg", "the tests of signed source indexes"),
    ("musl-gcc", "musl-tools", "CPythons for musl"),
    ("patchelf", "patchelf", "LLVMs from Debian's archive"),
    ("xz", "xz-utils", "release tarballs"),
    ("zstd", "zstd", "pkgcheck, which reads Gentoo's metadata"),
    ("/usr/lib/*/libarchive.so.13", "libarchive13", "packages that stencilkit identify reads"),
    ("rpmbuild", "rpm", "the recipes for Fedora and openSUSE"),
    ("nix-build", "nix-bin", "the recipe for Nix"),
    ("dpkg-buildpackage", "dpkg-dev", "the recipes for Debian"),
    ("dh", "debhelper", "the recipes for Debian"),
    ("dh_python3", "dh-python", "the recipes for Debian"),
    ("/usr/share/perl5/Debian/Debhelper/Sequence/python3.pm", "dh-python", "the recipes for Debian"),
    ("/usr/lib/python3/dist-packages/hatchling", "python3-hatchling", "the recipes for Debian"),
    ("/usr/share/doc/pybuild-plugin-pyproject", "pybuild-plugin-pyproject", "the recipes for Debian"),
    ("/usr/share/doc/python3-all", "python3-all", "the recipes for Debian"),
    ("chromium", "chromium", "the pages of stencilkit report, opened by a browser"),
    ("zsh", "zsh", "the tests of completion"),
    ("fish", "fish", "the tests of completion"),
    ("mandoc", "mandoc", "the tests of man pages"),
    ("faketime", "faketime", "the gate, which varies the clock"),
)
# GiB, measured: trees and LLVMs, which are kept, and what tests write beside them.
TO_KEEP = 6
TO_WORK = 3
HERE = Path(__file__).resolve().parents[1]


def temporary() -> Path:
    """Name the folder of temporary files; tempfile passes over a full one, and fails where there is no other."""
    named = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    if found := next((Path(name) for name in named if name and Path(name).is_dir()), None):
        return found
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        # The current folder is the last one that it tries.
        return Path.cwd()


def too_full() -> str:
    """Say which disk has no room for a run of the tests, "" if all have."""
    cache = Path(os.environ.get("STENCILKIT_TEST_CACHE") or HERE / ".cache" / "tests")
    # What was kept by an earlier run is not fetched again.
    wanted = [(temporary(), TO_WORK), *([] if cache.is_dir() else [(cache, TO_KEEP)])]
    needs: dict[int, int] = {}
    places: dict[int, Path] = {}
    for path, size in wanted:
        place = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
        disk = place.stat().st_dev
        needs[disk] = needs.get(disk, 0) + size
        places[disk] = place
    for disk, size in needs.items():
        free = shutil.disk_usage(places[disk]).free / 2**30
        if free < size:
            return f"the tests write {size} GiB to the disk of {places[disk]}, which has {free:.1f} GiB free"
    return ""


def there(proof: str) -> bool:
    """Report whether a program, a file or a module can be found."""
    if proof.startswith("python:"):
        return importlib.util.find_spec(proof.removeprefix("python:")) is not None
    if proof.startswith("/"):
        return any(Path("/").glob(proof.lstrip("/")))
    return shutil.which(proof) is not None


def install(packages: list[str]) -> int:
    """Install Debian packages; return apt's exit status."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run([*sudo, *quiet, *words], stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return done.returncode
    return 0


def main(arguments: list[str]) -> int:
    """Check, or install and check."""
    if problem := too_full():
        print(
            f"error: {problem}\n  next:  make room, or set TMPDIR and STENCILKIT_TEST_CACHE to folders that have it",
            file=sys.stderr,
        )
        return 2
    missing = [need for need in NEEDS if not there(need[0])]
    if not missing:
        return 0
    packages = list(dict.fromkeys(package for _, package, _ in missing))
    can_install = shutil.which("apt-get") and (os.geteuid() == 0 or shutil.which("sudo"))
    if "--check" not in arguments and can_install:
        print(f"installing {' '.join(packages)}", flush=True)
        if (status := install(packages)) != 0:
            print(f"error: apt-get ended with status {status}; what it printed is above", file=sys.stderr)
            return 2
        missing = [need for need in NEEDS if not there(need[0])]
        if not missing:
            return 0
    print("error: the tests need programs and headers that this machine does not have:", file=sys.stderr)
    for proof, package, purpose in missing:
        print(f"  {proof.removeprefix('python:'):40} {package:26} {purpose}", file=sys.stderr)
    print(f"  next:  {next_step(packages)}", file=sys.stderr)
    return 2


def next_step(packages: list[str]) -> str:
    """Say which command brings them, on this machine and for this user."""
    if not shutil.which("apt-get"):
        return "install them (the second column is Debian's name for each), or run `make unit`, which needs none"
    if os.geteuid() == 0 or shutil.which("sudo"):
        return "make setup"
    return f"as root: apt-get install --no-install-recommends {' '.join(packages)}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
