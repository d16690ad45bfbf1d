"""`qualify` as a user runs it, on a CPython of half a dozen uops: what is planted is found, what was stopped goes on.

The cluster is started as README.md and docs/qualify.md say, on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from stencilkit import results
from stencilkit.model.qualification import Result
from tests import answers
from tests import workbench as wb
from tests.clusters import Cluster

pytestmark = pytest.mark.network
VERSION = "3.14.7"
PLANTED = "        case _NOP: {\n            *(volatile int *)frame = 1;\n            break;\n        }\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for llvm in (19, 22):
        wb.pypi_llvm(llvm)
    return wb.small_tree(VERSION, tmp_path_factory.mktemp("small") / "cpython", uops=5)


def environment(here: Path) -> dict[str, str]:
    """Use a cache of its own, and the LLVM whose llvm-readobj CPython's generator takes."""
    return {"STENCILKIT_CACHE": str(here / "cache"), "STENCILKIT_LLVM": str(wb.debian_llvm(19))}


def words(tree: Path, out: Path, *more: str | Path) -> list[str | Path]:
    base: list[str | Path] = ["qualify", "--cpython", tree, "--target", wb.X86, "--pyconfig-dir", wb.pyconfig(VERSION)]
    return [*base, "--out", out, *more]


def qualify(
    tree: Path, out: Path, *more: str | Path, here: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return wb.stencilkit(*words(tree, out, *more), check=False, env={**environment(here), **(env or {})})


def untimed(folder: Path) -> dict[str, dict[str, object]]:
    """Read the results of a folder without what a clock says."""
    found = {}
    for path in sorted(folder.glob("*/*.json")):
        document = json.loads(path.read_text())
        found[path.name] = {name: value for name, value in document.items() if name not in ("seconds", "speed")}
    return found


def read(folder: Path) -> list[Result]:
    for path in (folder / results.MARK, *folder.glob("*/*.json")):
        answers.check(json.loads(path.read_text()))
    return list(results.read_all(folder))


def test_a_planted_difference_is_found_and_named(small: Path, tmp_path: Path) -> None:
    """A ledger is made of the tree; then one stencil changes in one cell."""
    ledger, out = tmp_path / "ledger", tmp_path / "out"
    ledger.mkdir()
    zig = wb.pypi_llvm(22)
    gate: list[str | Path] = [
        "gate",
        "--cpython",
        small,
        "--llvm",
        zig,
        "--target",
        wb.X86,
        "--pyconfig-dir",
        wb.pyconfig(VERSION),
    ]
    harmless = tmp_path / "variations.toml"
    harmless.write_text('schema = 1\n[[variation]]\nname = "time zone"\nwhy = "x"\nenvironment = { TZ = "UTC" }\n')
    wb.stencilkit(*gate, "--ledger", ledger, "--variations", harmless, "--update")
    done = qualify(small, out / "good", "--llvm", zig, "--ledger", ledger, "--sample", "2", here=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (good,) = read(out / "good")
    # Where a container lets nobody be another user, that is a note.
    assert good.verdict == "qualified" or "not varied: user" in good.why, good.why
    figures = {check.name: check.figure for check in good.checks}
    assert figures["generator"] == "2 of 5 uops"
    assert figures["varied"].endswith(" variations at once, 2 of 5 uops")
    tree = wb.small_tree(VERSION, tmp_path / "planted", uops=5, edit={"_NOP": PLANTED})
    done = qualify(tree, out / "bad", "--llvm", zig, "--ledger", ledger, "--sample", "0", here=tmp_path)
    assert done.returncode == 1, done.stderr
    assert re.search(r"not qualified \(as the ledger says: .*_NOP differs", done.stderr)
    (bad,) = read(out / "bad")
    # Its own generator makes the same of that tree: the two checks do not stand for each other.
    outcomes = {check.name: check.outcome for check in bad.checks}
    figures = {check.name: check.figure for check in bad.checks}
    assert figures["generator"] == "5 of 5 uops"
    assert figures["varied"].endswith(" variations at once")
    assert (outcomes["ledger"], outcomes["generator"]) == ("failed", "passed")
    assert outcomes["varied"] == {check.name: check.outcome for check in good.checks}["varied"] != "failed"
    wb.stencilkit("report", out / "bad", "--out", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.count('role="cell" class="no"') == 1
    assert "_NOP differs" in page


# What the generator makes of all of them is compared in the test above.
TWO = ("--llvm", "19,22", "--sample", "1", "--depth", "prove")


@pytest.fixture(scope="module")
def alone(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells on this machine, of which the first was done by a run that ended with kill -9; return their folder.

    What is there stays, byte for byte, and nothing goes on in the background.
    """
    here = tmp_path_factory.mktemp("alone")
    out = here / "out"
    running = subprocess.Popen(
        [sys.executable, "-m", "stencilkit", *map(str, words(small, out, *TWO, "--jobs", "1"))],
        env=wb.environment(environment(here)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "1 of 2" in line:
            break
    other = qualify(small, out, *TWO, "--resume", here=here)
    assert other.returncode == 2
    assert "another stencilkit qualify is at work in this folder" in other.stderr
    running.kill()
    running.wait()
    running.stderr.close()
    (first,) = out.glob("*/*.json")
    before = first.read_bytes(), first.stat().st_mtime_ns
    assert qualify(small, out, *TWO, here=here).returncode == 2  # without --resume
    done = qualify(small, out, *TWO, "--resume", here=here)
    assert done.returncode == 0, done.stderr
    assert "2 cells, 1 of them done already" in done.stderr
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    return out


def test_a_killed_run_goes_on(alone: Path) -> None:
    found = read(alone)
    assert [result.finished for result in found] == [True, True]
    proofs = [check for result in found for check in result.checks if check.name == "proof"]
    assert [(check.outcome, check.reason) for check in proofs] == [
        ("passed", "upstream asks for this LLVM"),
        ("passed", ""),
    ]
    assert not list(alone.rglob("*.tmp"))


def test_a_cell_that_takes_too_long_is_given_up(small: Path, tmp_path: Path) -> None:
    done = qualify(small, tmp_path / "out", "--llvm", "19", "--timeout", "1", here=tmp_path)
    assert done.returncode == 2
    assert "1 of 1 cells could not be finished" in done.stderr
    (found,) = read(tmp_path / "out")
    assert (found.verdict, found.why) == ("not finished", "the cell did not end within 1 second")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    started = Cluster(tmp_path, environment)
    started.schedule()
    yield started
    started.end()


def test_a_cluster_makes_the_same_and_outlives_a_worker(
    small: Path, alone: Path, tmp_path: Path, cluster: Cluster
) -> None:
    """One of two workers is killed while it works; its cell is done again by the other."""
    for name in ("one", "two"):
        cluster.work(name)
    running = started(words(small, tmp_path / "cluster", *TWO, "--scheduler", cluster.address), tmp_path)
    victim = busy(cluster)
    os.kill(cluster.processes[victim].pid, signal.SIGKILL)
    _, said = running.communicate(timeout=600)
    assert running.returncode == 0, said
    assert len(untimed(tmp_path / "cluster")) == 2
    assert untimed(tmp_path / "cluster") == untimed(alone)
    # The tree travelled by its hash, once to each.
    for name in ("one", "two"):
        trees = [path for path in (cluster.here / name / "cache" / "trees").glob("sha256-*") if path.is_dir()]
        assert len(trees) <= 1


def started(arguments: Sequence[str | Path], here: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stencilkit", *map(str, arguments)],
        env=wb.environment(environment(here)),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def busy(cluster: Cluster) -> str:
    """Wait until a worker has begun to build; name it."""
    for _ in range(1200):
        for name in cluster.processes:
            with contextlib.suppress(OSError):
                if any((cluster.here / name / "cache" / "trees").glob("sha256-*/Python")):
                    return name
        time.sleep(0.1)
    raise AssertionError("no worker began")


def test_a_worker_with_another_stencilkit_is_refused(small: Path, tmp_path: Path, cluster: Cluster) -> None:
    other = tmp_path / "other"
    package = other / "stencilkit"
    other.mkdir()
    subprocess.run(["cp", "-r", str(wb.ROOT / "stencilkit"), str(package)], check=True)
    shutil.copy(wb.ROOT / "targets.toml", other)
    init = package / "__init__.py"
    init.write_text(re.sub(r'(__version__: Final = )"[^"]+"', r'\1"0.0.1"', init.read_text()))
    cluster.work("old", {"PYTHONPATH": str(other)})
    done = qualify(small, tmp_path / "out", "--llvm", "19", "--scheduler", cluster.address, here=tmp_path)
    assert done.returncode == 2
    assert "has another stencilkit: 0.0.1, and this is" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.matrix
def test_a_worker_without_an_llvm_does_other_cells(small: Path, tmp_path: Path, cluster: Cluster) -> None:
    """PyPI cannot be reached from there, so nobody can do LLVM 22's; and then the scheduler dies."""
    data = tmp_path / "data"
    (data / "toolchains").mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    (data / "toolchains" / "llvm-19.1.7").symlink_to(wb.pypi_llvm(19).parents[1])
    cluster.work("poor", {"STENCILKIT_DATA": str(data), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull})
    arguments = ["--llvm", f"{wb.pypi_llvm(19)},{wb.pypi_llvm(22)}", "--scheduler", cluster.address]
    done = qualify(small, tmp_path / "out", *arguments, here=tmp_path)
    assert done.returncode == 2, done.stderr
    assert re.search(r"the worker tcp://\S+ does nothing with LLVM 22", done.stderr)
    first, second = read(tmp_path / "out")
    assert (first.cell.llvm, first.finished) == ("19.1.7", True)
    assert (second.cell.llvm, second.finished) == ("22.1.8", False)
    cluster.processes["scheduler"].kill()
    done = qualify(small, tmp_path / "out", *arguments, "--resume", here=tmp_path)
    assert done.returncode == 2
    assert "cannot reach a Dask scheduler" in done.stderr


@pytest.mark.matrix
@pytest.mark.parametrize("victim", ["scheduler", "one"])
def test_a_cluster_that_goes_away_ends_the_run(small: Path, tmp_path: Path, cluster: Cluster, victim: str) -> None:
    """The scheduler, or the only worker, is killed while a cell is done; the run goes on without a cluster."""
    cluster.work("one")
    running = started(words(small, tmp_path / "out", *TWO, "--scheduler", cluster.address), tmp_path)
    assert busy(cluster) == "one"
    cluster.processes[victim].kill()
    begun = time.monotonic()
    _, said = running.communicate(timeout=400)
    print(f"{victim}: ended after {time.monotonic() - begun:.0f} s")
    assert running.returncode == 2, said
    assert "stencilkit: error: " in said
    assert "Traceback" not in said
    done = qualify(small, tmp_path / "out", *TWO, "--resume", here=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [result.finished for result in read(tmp_path / "out")] == [True, True]


@pytest.mark.matrix
def test_a_full_disk_leaves_a_cell_unfinished(small: Path, tmp_path: Path) -> None:
    """Not "not qualified": it is not the stencils' fault. A file system of 6 MB has no room for one build."""
    place = tmp_path / "small disk"
    place.mkdir()
    arguments = words(small, tmp_path / "out", "--llvm", "19")
    mounted = f'mount -t tmpfs -o size=6m tmpfs "{place}" && exec "$@"'
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "stencilkit", *map(str, arguments)],
        env=wb.environment({**environment(tmp_path), "TMPDIR": str(place)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (found,) = read(tmp_path / "out")
    assert not found.finished
    assert re.search("no room|No space left", found.why), found.why
    assert qualify(small, tmp_path / "out", "--llvm", "19", "--resume", here=tmp_path).returncode == 0


@pytest.mark.jit
@pytest.mark.matrix
def test_depth_run_builds_a_cpython_and_runs_it(tmp_path: Path) -> None:
    """All of 3.15 with another LLVM than upstream's: proved, tested, and timed against upstream's."""
    version, ledger = "3.15.0rc1", wb.ROOT / "reproducibility" / "ledger"
    base: list[str | Path] = ["qualify", "--cpython", wb.tree(version), "--target", wb.X86, "--ledger", ledger]
    more: list[str | Path] = ["--pyconfig-dir", wb.pyconfig(version), "--llvm", wb.pypi_llvm(22), "--depth", "run"]
    wb.pypi_llvm(wb.PINNED[version])
    env = {"STENCILKIT_LLVM": str(wb.debian_llvm(19))}
    done = wb.stencilkit(*base, *more, "--out", tmp_path / "out", check=False, env=env, timeout=7200)
    (found,) = read(tmp_path / "out")
    for check in found.checks:
        seconds = (found.seconds or {}).get(check.name, 0)
        print(f"{check.name}: {check.outcome} {check.figure} {check.reason} ({seconds:.0f} s)")
    print(f"JIT off over on: {found.speed}")
    assert done.returncode == 0, done.stderr
    outcomes = {check.name: check.outcome for check in found.checks}
    assert outcomes.pop("proof") in ("passed", "noted")
    # A busy machine times badly.
    assert outcomes.pop("speed") in ("passed", "noted")
    assert set(outcomes.values()) == {"passed"}
    assert found.speed is not None
    assert sorted(found.speed) == ["21.1.0", "22.1.8"]
    assert min(found.speed.values()) > 1
