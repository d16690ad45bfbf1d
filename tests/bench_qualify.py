"""Time qualify: the release matrix cold and with its answers in the cache, a cluster against the pool, and a report.

    python -m tests.bench_qualify [--only cold,cached,cluster,report]

The matrix is three CPythons with LLVM 18 to 23 for two Linux targets, --depth build. The cluster has two workers of one
core each; like the cold run, it starts with empty caches. Beside seconds stand those of the processors, of all
processes together.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from stencilkit.pipeline import reporting
from tests import results
from tests import workbench as wb
from tests.bench import timed
from tests.clusters import Cluster

VERSIONS = ("3.13.15", "3.14.7", "3.15.0rc1")
LLVMS = "18..23"
TARGETS = (wb.X86, wb.ARM)
CELLS = len(TARGETS) * (6 + 5 + 5)
LEDGER = wb.ROOT / "reproducibility" / "ledger"
Row = tuple[str, str, float, float]


def environment(here: Path) -> Mapping[str, str]:
    """Use a cache of its own, and Debian's LLVM for what PyPI does not have."""
    programs = [str(wb.debian_llvm(major)) for major in (19, max(wb.DEBIAN))]
    return {"STENCILKIT_CACHE": str(here / "cache"), "STENCILKIT_LLVM": os.pathsep.join(programs)}


def words(out: Path, *more: str) -> list[str | Path]:
    """Spell a run of qualify, of the whole matrix."""
    found: list[str | Path] = [sys.executable, "-m", "stencilkit", "qualify", "--ledger", LEDGER, "--out", out]
    for version in VERSIONS:
        found += ["--cpython", wb.tree(version)]
    for target in TARGETS:
        found += ["--target", target]
    return [*found, "--llvm", LLVMS, *more]


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that something takes, and those of the processors."""
    before, started = os.times(), time.monotonic()
    work()
    after = os.times()
    used = sum(after[:4]) - sum(before[:4])
    return time.monotonic() - started, used


def qualified(here: Path, command: Sequence[str | Path]) -> tuple[float, float]:
    """Time a run; what is not qualified is not what is measured."""
    env = wb.environment(environment(here))
    return measured(lambda: timed(command, cwd=here, env=env, answers=(0, 1)))


def configured(here: Path) -> None:
    """Let configure run, of which the bounds do not speak, and PyPI's LLVMs be installed."""
    for version in VERSIONS:
        for target in TARGETS:
            wb.pyconfig(version, target)
    for major in wb.WHEELS:
        wb.pypi_llvm(major)
    (here / "cache").mkdir(mode=0o700)
    shutil.copytree(wb.CACHE / "cache" / "pyconfig", here / "cache" / "pyconfig", symlinks=True)


def pool(here: Path) -> Iterator[Row]:
    """Time the matrix by the processes of this machine, cold."""
    configured(here)
    yield (f"{CELLS} cells, cold", "360 s on two cores", *qualified(here, words(here / "one")))


def again(here: Path) -> Iterator[Row]:
    """Time the matrix once more, with the cache that `pool` left."""
    yield (f"{CELLS} cells, cached", "30 s", *qualified(here, words(here / "two")))


def cluster(here: Path, pools: float) -> Iterator[Row]:
    """Time the matrix by a cluster of two workers with empty caches; `pools` are the seconds of the processes."""
    started = Cluster(here, environment)
    try:
        started.schedule()
        for name in ("first", "second"):
            started.work(name)
        (here / "asks").mkdir()
        configured(here / "asks")
        command = words(here / "asks" / "out", "--scheduler", started.address)
        seconds, _ = qualified(here / "asks", command)
    finally:
        started.end()
    yield (f"{CELLS} cells, cluster: {seconds / pools:.2f} times the pool's", "1.3 times", seconds, float("nan"))


def report(here: Path) -> Iterator[Row]:
    """Time a report of 500 cells."""
    found = list(results.matrix(cpythons=25, per=12))
    seconds, used = measured(lambda: reporting.write(found, here / "site"))
    size = sum(path.stat().st_size for path in (here / "site").rglob("*") if path.is_file())
    yield (f"report of {len(found)} cells, {size / 1e6:.1f} MB", "10 s, 25 MB", seconds, used)


def rows(asked: Sequence[str], folder: Path) -> Iterator[Row]:
    """Time what is asked for; the cache and the seconds of the cold run serve the two after it."""
    if "report" in asked:
        yield from report(folder)
    if set(asked) == {"report"}:
        return
    for row in pool(folder):
        yield row
        if "cached" in asked:
            yield from again(folder)
        if "cluster" in asked:
            yield from cluster(folder, row[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="report,cold,cached,cluster")
    asked = parser.parse_args().only.split(",")
    print("| qualify | bound | seconds | of the processors |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="stencilkit-bench-") as folder:
        for what, bound, seconds, used in rows(asked, Path(folder)):
            print(f"| {what} | {bound} | {seconds:.1f} | {used:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
