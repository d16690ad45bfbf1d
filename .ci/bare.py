#!/usr/bin/env python3
"""Follow the README on a bare Debian 12 and 13: in a debootstrap root with python3-venv, git and make, and no more.

    bare.py [--suite bookworm] [--folder .cache/bare] [make's goals]

Each suite gets a fresh root and a clone of this repository's HEAD. As root, because debootstrap and mounts need it.
Standard library alone: this runs without a virtual environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SUITES = ("bookworm", "trixie")
GOALS = ("demo", "unit")
# ca-certificates is in every image that anybody starts from; without it git and pip cannot use HTTPS.
PACKAGES = "python3-venv,git,make,ca-certificates"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PASSED = ("http_proxy", "https_proxy", "no_proxy")
# Mounts are the namespace's own: they are gone with its last process, however that ends.
ENTER = """\
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$@"
"""


def trouble(what: str, fix: str) -> int:
    print(f"bare.py: error: {what}\n  next:  {fix}", file=sys.stderr)
    return 2


def missing() -> int:
    """Report what this needs of the machine, 0 if it is all there."""
    if os.geteuid():
        return trouble("debootstrap and chroot need root", f"run: sudo {sys.executable} {' '.join(sys.argv)}")
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("git", "git")):
        if shutil.which(program) is None:
            return trouble(
                f"{program} is missing", f"run: apt-get install {package}, or your distribution's equivalent"
            )
    return 0


def prepare(root: Path, suite: str) -> None:
    """Make a fresh root with a clone of HEAD in it."""
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root], check=True)
    for name in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES):
        if Path(name).is_file():
            # A mirror in the house has a certificate that only this machine knows.
            shutil.copy(name, root / name[1:])
    # Of a folder that may be another user's:
    git = ["git", "-c", f"safe.directory={HERE}", "-c", f"safe.directory={HERE / '.git'}"]
    subprocess.run([*git, "clone", "--quiet", f"file://{HERE}", root / "root" / "stencilkit"], check=True)


def make(root: Path, goal: str) -> int:
    """Run one goal of make in a root; return its exit code."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), CERTIFICATES),
        **{name: os.environ[name] for name in PASSED if name in os.environ},
    }
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", root]
    return subprocess.run([*command, "make", "-C", "/root/stencilkit", goal], check=False, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one")
    parser.add_argument("--folder", type=Path, default=HERE / ".cache" / "bare", help="where the roots are made")
    parser.add_argument("goals", nargs="*", default=GOALS)
    options = parser.parse_args()
    if code := missing():
        return code
    rows = []
    for suite in options.suite or SUITES:
        root = options.folder.resolve() / suite
        prepare(root, suite)
        for goal in options.goals:
            started = time.monotonic()
            code = make(root, goal)
            rows.append(
                f"Debian {suite}, make {goal}: {'passed' if code == 0 else f'FAILED ({code})'}, "
                f"{time.monotonic() - started:.0f} s"
            )
    print("\n".join(rows))
    return int(any("FAILED" in row for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
