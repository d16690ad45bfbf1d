"""Time qualify: the release matrix cold and with its answers in the cache, a cluster against the pool, and a report.

    python -m tests.bench_qualify [--only cold,cached,cluster,report]

The matrix is three CPythons with LLVM 18 to 23 for two Linux targets, --depth build. The cluster has two workers of one
core each, and does one CPython's cells; it and the pool start with empty caches, in turn. Beside seconds stand those of
the processors, of all processes together.
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
LEDGER = wb.ROOT / "reproducibility" / "ledger"
Row = tuple[str, str, float, float]


def environment(here: Path) -> Mapping[str, str]:
    """Use a cache of its own, and Debian's LLVM for what PyPI does not have."""
    programs = [str(wb.debian_llvm(major)) for major in (19, max(wb.DEBIAN))]
    return {"STENCILKIT_CACHE": str(here / "cache"), "STENCILKIT_LLVM": os.pathsep.join(programs)}


def words(versions: Sequence[str], targets: Sequence[str], out: Path, *more: str) -> list[str | Path]:
    """Spell a run of qualify."""
    found: list[str | Path] = [sys.executable, "-m", "stencilkit", "qualify", "--ledger", LEDGER, "--out", out]
    for version in versions:
        found += ["--cpython", wb.tree(version)]
    for target in targets:
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


def matrix(here: Path, *, cold: bool, cached: bool) -> Iterator[Row]:
    """Time the matrix twice."""
    configured(here)
    cells = 2 * (6 + 5 + 5)
    found = qualified(here, words(VERSIONS, TARGETS, here / "one"))
    if cold:
        yield (f"{cells} cells, cold", "360 s on two cores", *found)
    if cached:
        yield (f"{cells} cells, cached", "30 s", *qualified(here, words(VERSIONS, TARGETS, here / "two")))


def cluster(here: Path) -> Iterator[Row]:
    """Time one CPython's cells by the pool and by a cluster of two workers, all with empty caches."""
    (here / "pool").mkdir()
    configured(here / "pool")
    command = words(VERSIONS[1:2], TARGETS, here / "pool" / "out")
    pool = qualified(here / "pool", command)
    yield ("10 cells, pool", "", *pool)
    started = Cluster(here, environment)
    try:
        started.schedule()
        for name in ("one", "two"):
            started.work(name)
        (here / "asks").mkdir()
        configured(here / "asks")
        command = words(VERSIONS[1:2], TARGETS, here / "asks" / "out", "--scheduler", started.address)
        seconds, _ = qualified(here / "asks", command)
    finally:
        started.end()
    yield (f"10 cells, cluster: {seconds / pool[0]:.2f} times the pool's", "1.3 times", seconds, float("nan"))


def report(here: Path) -> Iterator[Row]:
    """Time a report of 500 cells."""
    found = list(results.matrix(cpythons=25, per=12))
    seconds, used = measured(lambda: reporting.write(found, here / "site"))
    size = sum(path.stat().st_size for path in (here / "site").rglob("*") if path.is_file())
    yield (f"report of {len(found)} cells, {size / 1e6:.1f} MB", "10 s, 25 MB", seconds, used)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="report,cold,cached,cluster")
    asked = parser.parse_args().only.split(",")
    print("| qualify | bound | seconds | of the processors |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="stencilkit-bench-") as folder:
        rows: dict[str, Callable[[Path], Iterator[Row]]] = {
            "report": report,
            "matrix": lambda here: matrix(here, cold="cold" in asked, cached="cached" in asked),
            "cluster": cluster,
        }
        for name, make in rows.items():
            if name in asked or (name == "matrix" and {"cold", "cached"} & set(asked)):
                here = Path(folder, name)
                here.mkdir()
                for what, bound, seconds, used in make(here):
                    print(f"| {what} | {bound} | {seconds:.1f} | {used:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
