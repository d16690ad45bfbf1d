"""Runs that are killed (SIGKILL: nothing is undone) or find the disk full: no torn file, no mixture vouched for.

Half of the kills come at a time of their own, the others when the command begins to write to where its results lie: a
compiler runs for seconds, and files get their names in milliseconds. A full disk is a limit on the size of files, which
needs no privileges: write(2) then fails as on a full disk. Where file systems can be mounted, it is also a small one.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stencilkit import ledger, manifest
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME
from tests import signing
from tests import workbench as wb

pytestmark = pytest.mark.network
VERSION = "3.14.7"
MAKEFILE = """\
HOST_GNU_TYPE=  x86_64-pc-linux-gnu
PYTHON_FOR_REGEN?=python3.11
srcdir= {tree}
all: build_all
jit_stencils.h:
\t$(PYTHON_FOR_REGEN) $(srcdir)/Tools/jit/build.py {triple} --output-dir . --pyconfig-dir . --cflags=""
"""
# Of each command, the files that vouch for the others: they are not there while those change.
VOUCHING = {
    "build": ("manifest.toml", f"jit_stencils-{wb.X86}.h"),
    "install": (f"jit_stencils-{wb.X86}.h",),
    "pack": ("b.tar.intoto.json",),
    "gate": (),
    "attest": (),
}
# What is in a build folder before, and may be larger than all that comes there.
GIVEN = ("Makefile", "pyconfig.h")
UOPS = {"old": 2, "new": 3}
GATE = 'schema = 1\n[[variation]]\nname = "jobs"\nwhy = "other batches"\narguments = ["--jobs", "1"]\n'


@dataclass(frozen=True)
class Scene:
    """Commands whose results are one of two sets of files, and where those lie.

    `between` are the files of a set that may be new where the others are old.
    """

    old: list[str]
    new: list[str]
    place: Path
    environment: Mapping[str, str]
    between: tuple[str, ...] = ()
    known: dict[str, dict[str, bytes]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def start(self, words: list[str], limit: int = 0) -> subprocess.Popen[bytes]:
        def limited() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            [sys.executable, "-m", "stencilkit", *words],
            env=dict(self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=limited if limit else None,  # noqa: PLW1509  # no threads here
            start_new_session=True,
        )

    def run(self, words: list[str], limit: int = 0) -> int:
        process = self.start(words, limit)
        _, said = process.communicate(timeout=600)
        assert b"Traceback" not in said, said
        return process.returncode

    def kill(self, words: list[str], after: float, *, writing: bool) -> bool:
        """Kill a run `after` some seconds, counted from its first change of the place if `writing`."""
        process = self.start(words)
        before, end = self.names(), time.monotonic() + after
        while process.poll() is None and (time.monotonic() < end or writing):
            if writing and self.names() != before:
                time.sleep(after)
                break
            time.sleep(0 if writing else 0.005)
        killed = process.poll() is None
        if killed:
            # Its compilers, too, which would go on and write to its temporary folder.
            os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=600)
        assert b"Traceback" not in said, said
        return killed

    def names(self) -> list[tuple[str, int]]:
        """List all files, temporary ones too, with their inodes, as far as they stay while they are listed."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.place.rglob("*"):
                with contextlib.suppress(OSError):
                    found.append((path.name, path.stat().st_ino))
        return sorted(found)

    def state(self) -> dict[str, bytes]:
        found = [path for path in self.place.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return {str(path.relative_to(self.place)): path.read_bytes() for path in found if path.name not in GIVEN}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Build two trees, so that the cache is warm, and make of each what the other commands start from."""
    here = tmp_path_factory.mktemp("torn")
    environment = wb.environment({"STENCILKIT_CACHE": str(here / "cache")})
    trees = {
        "old": wb.small_tree(VERSION, here / "cpython", uops=2),
        "new": wb.small_tree(VERSION, here / "other", uops=3),
    }
    base = ["--llvm", str(wb.pypi_llvm(19)), "--target", wb.X86, "--pyconfig-dir", str(wb.pyconfig(VERSION))]
    signing.write_key(here / "key.pem")
    sign = ["--sign-key", str(here / "key.pem"), "--builder", signing.BUILDER]
    (here / "variations.toml").write_text(GATE)
    folders = {name: here / name for name in ("out", "packed", "installed", "ledger", "attested")}
    for folder in folders.values():
        folder.mkdir()
    shutil.copy(wb.pyconfig(VERSION) / "pyconfig.h", folders["installed"])
    (folders["installed"] / "Makefile").write_text(MAKEFILE.format(tree=trees["old"], triple=wb.X86))
    commands: dict[str, dict[str, list[str]]] = {name: {} for name in VOUCHING}
    for name, tree in trees.items():
        build = ["build", "--cpython", str(tree), *base, "--out"]
        more = ["--comments"] if name == "new" else []
        subprocess.run([sys.executable, "-m", "stencilkit", *build, str(here / name)], env=environment, check=True)
        (found,) = (here / name).rglob(MANIFEST_NAME)
        entry = Entry.of(manifest.parse(found.read_text(), name))
        ledger.write(here / f"ledger-{name}", entry, 19)
        commands["build"][name] = [*build, str(folders["out"]), *more]
        packed = str(folders["packed"] / "b.tar")
        commands["pack"][name] = ["pack", "--output", packed, str(here / name), "--attest", *sign]
        gate = ["gate", "--cpython", str(tree), *base, "--ledger", str(folders["ledger"]), "--update"]
        commands["gate"][name] = [*gate, "--variations", str(here / "variations.toml")]
        place = str(here / f"ledger-{name}" / entry.place)
        signed = str(folders["attested"] / "a.intoto.json")
        commands["attest"][name] = ["attest", place, "--built", str(found.parent), "--output", signed, *sign]
    # The stencils of one tree, without and with comments: both fit it.
    commented = ["build", "--cpython", str(trees["old"]), *base, "--comments", "--out", str(here / "commented")]
    subprocess.run([sys.executable, "-m", "stencilkit", *commented], env=environment, check=True)
    install = ["install", "--cpython", str(trees["old"]), "--build-dir", str(folders["installed"])]
    commands["install"] = {"old": [*install, str(here / "old")], "new": [*install, str(here / "commented")]}
    places = dict(zip(commands, ("out", "installed", "packed", "ledger", "attested"), strict=True))
    between = {"gate": (f"signatures/3.14/{wb.X86}-release.json",)}
    return {
        name: Scene(words["old"], words["new"], folders[places[name]], environment, between.get(name, ()))
        for name, words in commands.items()
    }


def judge(scene: Scene, name: str, found: dict[str, bytes]) -> bool:
    """Return whether files are neither the old nor the new ones; if so, nothing may vouch for them."""
    old, new = scene.known["old"], scene.known["new"]
    if found in (old, new, {**old, **{path: new[path] for path in scene.between}}):
        return False
    for path, data in found.items():
        assert data in (old.get(path), new.get(path)), f"{path} is torn"
    assert not [path for path in found if Path(path).name in VOUCHING[name]], sorted(found)
    assert VOUCHING[name], sorted(found)
    return True


def undisturbed(scene: Scene) -> float:
    """Learn both sets of files, once; return the seconds that the new ones take. The old ones are there then."""
    if scene.seconds:
        return scene.seconds[0]
    assert scene.run(scene.new) == 0
    scene.known["new"] = scene.state()
    assert scene.run(scene.old) == 0
    scene.known["old"] = scene.state()
    assert scene.known["old"] != scene.known["new"]
    started = time.monotonic()
    assert scene.run(scene.new) == 0
    assert scene.state() == scene.known["new"]
    scene.seconds.append(time.monotonic() - started)
    again(scene)
    return scene.seconds[0]


def again(scene: Scene, number: int = 0) -> None:
    """Put the old files back: by a run, which ends well whatever the last one left, or four times of five by hand."""
    if number % 5 == 0:
        assert scene.run(scene.old) == 0
        # It writes the same files, and removes what a killed run left of them; but gate does not write what the ledger
        # says already.
        assert scene.between or not list(scene.place.rglob(".*.tmp"))
    else:
        for path in scene.state():
            (scene.place / path).unlink()
        for path, data in scene.known["old"].items():
            (scene.place / path).parent.mkdir(parents=True, exist_ok=True)
            (scene.place / path).write_bytes(data)
    assert scene.state() == scene.known["old"]


def rows(few: int, many: int) -> list[object]:
    """List how often each command is disturbed: a few times in `make test`, but for the gate, which builds twice."""
    some = [pytest.param(name, few, id=f"{name}-few") for name in VOUCHING if name != "gate"]
    return [*some, *(pytest.param(name, many, id=f"{name}-many", marks=pytest.mark.matrix) for name in VOUCHING)]


@pytest.mark.parametrize(("name", "runs"), rows(2, 40))
def test_a_kill_leaves_nothing_torn(name: str, runs: int, scenes: dict[str, Scene]) -> None:
    scene = scenes[name]
    seconds = undisturbed(scene)
    killed = neither = 0
    for number in range(runs):
        writing = number % 2 == 0
        after = 0.002 * number / runs if writing else seconds * (0.3 + 0.7 * number / runs)
        killed += scene.kill(scene.new, after, writing=writing)
        neither += judge(scene, name, scene.state())
        again(scene, number)
    print(f"{name}: {killed} of {runs} killed before their end, {neither} left files that nothing vouches for")
    assert killed


@contextlib.contextmanager
def small_disk(scene: Scene, size: int) -> Iterator[bool]:
    """Put the place on a file system of some bytes, with what is there; yield whether that can be done here."""
    # Not the temporary files that a kill left behind.
    lying = [path for path in scene.place.rglob("*") if path.is_file() and not path.name.startswith(".")]
    kept = {path.relative_to(scene.place): path.read_bytes() for path in lying}
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(scene.place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        for path, data in kept.items():
            (scene.place / path).parent.mkdir(parents=True, exist_ok=True)
            (scene.place / path).write_bytes(data)
        yield True
    finally:
        subprocess.run(["umount", str(scene.place)], check=True)


def pages(files: Mapping[str, bytes]) -> int:
    """Return what files take on a disk, in bytes; folders take a page."""
    return sum(-(-len(data) // 4096) * 4096 + 8192 for data in files.values())


@pytest.mark.parametrize(("name", "runs"), rows(2, 12))
def test_a_full_disk_leaves_the_old_files(name: str, runs: int, scenes: dict[str, Scene]) -> None:
    scene = scenes[name]
    undisturbed(scene)
    old, new = scene.known["old"], scene.known["new"]
    given = sum((scene.place / name).stat().st_size + 4096 for name in GIVEN if (scene.place / name).is_file())
    failed = mounted = 0
    for number in range(runs):
        if number % 2:
            room = pages(new) * (number + 1) // (2 * runs)
            with small_disk(scene, pages(old) + given + room) as can:
                mounted += can
                failed += can and scene.run(scene.new) != 0
                found = scene.state()
        else:
            failed += (
                scene.run(scene.new, limit=max(4096, max(map(len, new.values())) * (number + 1) // (runs + 1))) != 0
            )
            found = scene.state()
        assert found in (old, new, {**old, **{path: new[path] for path in scene.between}}), sorted(found)
        again(scene, number)
    print(f"{name}: {failed} of {runs} ended for want of room; {mounted} of them on a small file system")
    assert failed
