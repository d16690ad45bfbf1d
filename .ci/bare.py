#!/usr/bin/env python3
"""Follow the README on a bare Debian 12 and 13: in a debootstrap root with python3-venv, git and make, and no more.

    bare.py [--suite bookworm] [--user] [--folder .cache/bare] [make's goals]

Each suite gets a fresh root and a clone of this repository's HEAD, where root runs make, or an ordinary user who has
sudo. This itself runs as root, because debootstrap and mounts need it.
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
# A mirror in the house may keep an index for longer than Debian says that it is good.
OF_THE_MIRROR = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
PASSED = ("http_proxy", "https_proxy", "no_proxy")
USER = "packager"
# Mounts are the namespace's own: they are gone with its last process, however that ends.
ENTER = """\
set -e
root="$1"
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
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


def prepare(root: Path, suite: str, home: str, *, user: bool) -> None:
    """Make a fresh root with a clone of HEAD in the home of who runs make there."""
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    packages = f"{PACKAGES},sudo" if user else PACKAGES
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", suite, root], check=True)
    for name in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES):
        if Path(name).is_file():
            # A mirror in the house has a certificate that only this machine knows.
            shutil.copy(name, root / name[1:])
    # Of a folder that may be another user's:
    git = ["git", "-c", f"safe.directory={HERE}", "-c", f"safe.directory={HERE / '.git'}"]
    if shutil.which("apt-config"):
        told = subprocess.run(["apt-config", "dump", *OF_THE_MIRROR], check=True, capture_output=True, text=True)
        (root / "etc/apt/apt.conf.d/90mirror").write_text(told.stdout)
    if user:
        subprocess.run(["chroot", root, "useradd", "--create-home", USER], check=True)
        rule = root / "etc/sudoers.d" / USER
        rule.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        rule.chmod(0o440)
    clone = root / home[1:] / "stencilkit"
    subprocess.run([*git, "clone", "--quiet", f"file://{HERE}", clone], check=True)
    if user:
        subprocess.run(["chroot", root, "chown", "-R", f"{USER}:", home], check=True)


def make(root: Path, goal: str, home: str, *, user: bool) -> int:
    """Run one goal of make in a root; return its exit code."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        **({"USER": USER, "LOGNAME": USER} if user else {}),
        "LANG": "C.UTF-8",
        **dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), CERTIFICATES),
        **{name: os.environ[name] for name in PASSED if name in os.environ},
    }
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", str(root)]
    command += [f"--userspec={USER}"] if user else []
    command += [str(root), "make", "-C", f"{home}/stencilkit", goal]
    return subprocess.run(command, check=False, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one")
    parser.add_argument("--user", action="store_true", help="make is run by an ordinary user who has sudo")
    parser.add_argument("--folder", type=Path, default=HERE / ".cache" / "bare", help="where the roots are made")
    parser.add_argument("goals", nargs="*", default=GOALS)
    options = parser.parse_args()
    if code := missing():
        return code
    home, who = (f"/home/{USER}", "a user") if options.user else ("/root", "root")
    rows = []
    for suite in options.suite or SUITES:
        root = options.folder.resolve() / suite
        prepare(root, suite, home, user=options.user)
        for goal in options.goals:
            started = time.monotonic()
            code = make(root, goal, home, user=options.user)
            rows.append(
                f"Debian {suite}, {who}, make {goal}: {'passed' if code == 0 else f'FAILED ({code})'}, "
                f"{time.monotonic() - started:.0f} s"
            )
    print("\n".join(rows))
    return int(any("FAILED" in row for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
