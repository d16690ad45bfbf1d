"""Time stencilkit against CPython's own generator, in turn, on the same tree, pyconfig.h and LLVM.

    python -m tests.bench [--rounds N] [--only 3.14.7] [--without prove]

Per CPython: upstream's build.py (forced), stencilkit with an empty cache, with nothing changed, and with one uop
changed; then verify against the tree, compare with another LLVM's, and prove that those do the same. Prints medians,
the ratio round by round, and the peak memory of stencilkit's own process. Machines are noisy: the
ratio is what to quote.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import workbench as wb

# What upstream's generator does, too, and what it has nothing like.
BUILDS = ("upstream", "cold", "nothing changed", "one uop changed")
ROWS = (*BUILDS, "verify", "compare", "prove")
# The LLVM whose stencils are compared with the pinned one's.
OTHER = 22


@dataclass(frozen=True)
class Sample:
    """One run: wall time in seconds, peak memory of the process itself in MiB."""

    seconds: float
    memory: float


def timed(command: Sequence[str | Path], *, cwd: Path, env: dict[str, str], answers: tuple[int, ...] = (0,)) -> Sample:
    """Run a command that ends with one of some codes; its children's memory is not counted."""
    # An installed program's modules are compiled once, which this variable forbids; a build.py's, too.
    env = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env.setdefault("PYTHONPYCACHEPREFIX", str(wb.CACHE / "bench-pycache"))
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in answers:
        raise SystemExit(f"{command} failed:\n{errors.decode()[-2000:]}")
    return Sample(time.monotonic() - started, usage.ru_maxrss / 1024)


class Bench:
    """One CPython with its pinned LLVM."""

    def __init__(self, version: str, work: Path) -> None:
        self.version = version
        self.major = wb.PINNED[version]
        self.config = wb.pyconfig(version)
        self.work = work
        self.tree = work / "tree"
        shutil.copytree(wb.tree(version), self.tree, symlinks=True)
        self.out = work / "upstream"
        self.out.mkdir()
        shutil.copy(self.config / "pyconfig.h", self.out)
        self.cases = self.tree / "Python/executor_cases.c.h"

    def upstream(self) -> Sample:
        """Run build.py by force."""
        path = f"{wb.debian_llvm(self.major)}{os.pathsep}{os.environ['PATH']}"
        arguments: list[str | Path] = [sys.executable, self.tree / "Tools/jit/build.py", wb.X86, "--force"]
        if not self.version.startswith("3.13"):
            arguments += ["--output-dir", self.out, "--pyconfig-dir", self.config]
        return timed(arguments, cwd=self.out, env={**os.environ, "PATH": path})

    def build(self, cache: Path, major: int = 0) -> Sample:
        """Run stencilkit build with a cache folder."""
        clang = wb.debian_llvm(major or self.major) / "clang"
        arguments: list[str | Path] = ["--cpython", self.tree, "--llvm", clang, "--target", wb.X86, "--pyconfig-dir"]
        return self._stencilkit(cache, "build", *arguments, self.config, "--out", self.work / "ours")

    def verify(self, cache: Path) -> Sample:
        """Verify what was built, and that it fits the tree."""
        return self._stencilkit(
            cache,
            "verify",
            "--consistent",
            self._folder(self.major),
            "--cpython",
            self.tree,
            "--pyconfig-dir",
            self.config,
        )

    def compare(self, cache: Path) -> Sample:
        """Compare it with what another LLVM made."""
        return self._stencilkit(cache, "compare", self._folder(self.major), self._folder(OTHER), answers=(1,))

    def prove(self, cache: Path) -> Sample:
        """Prove that it does the same as what another LLVM made, with nothing in the cache."""
        return self._stencilkit(cache, "prove", self._folder(self.major), self._folder(OTHER), answers=(0, 1))

    def _folder(self, major: int) -> Path:
        (folder,) = (self.work / "ours").glob(f"*/*/*/llvm-{major}.*")
        return folder

    def _stencilkit(self, cache: Path, *words: str | Path, answers: tuple[int, ...] = (0,)) -> Sample:
        command = [sys.executable, "-m", "stencilkit", *words]
        return timed(command, cwd=self.work, env=wb.environment({"STENCILKIT_CACHE": str(cache)}), answers=answers)

    def change_one_uop(self, round_number: int) -> None:
        """Add a statement that does nothing to one uop, another one each time."""
        text = self.cases.read_text()
        self.cases.write_text(
            re.sub(r"(case _(?:NOP|POP_TOP)\w*: \{\n)", rf"\g<1>            (void){round_number};\n", text, count=1)
        )


def measure(version: str, rounds: int, without: Sequence[str]) -> dict[str, list[Sample]]:
    """Run everything in turn, but for what nothing else needs and nobody wants."""
    rows: dict[str, list[Sample]] = {name: [] for name in ROWS if name not in without}
    with tempfile.TemporaryDirectory(prefix="stencilkit-bench-") as folder:
        bench = Bench(version, Path(folder))
        for number in range(rounds):
            cache = Path(folder, f"cache-{number}")
            rows["upstream"].append(bench.upstream())
            rows["cold"].append(bench.build(cache))
            rows["nothing changed"].append(bench.build(cache))
            bench.change_one_uop(number)
            rows["one uop changed"].append(bench.build(cache))
            bench.build(cache, OTHER)
            for name, run in (("verify", bench.verify), ("compare", bench.compare), ("prove", bench.prove)):
                if name not in without:
                    rows[name].append(run(cache))
    return rows


def lines(version: str, rows: dict[str, list[Sample]]) -> list[str]:
    """Lay the medians out as rows of a markdown table."""
    laid_out = []
    for name, samples in rows.items():
        ratios = [theirs.seconds / ours.seconds for theirs, ours in zip(rows["upstream"], samples, strict=True)]
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})" if name in BUILDS else ""
        laid_out.append(
            f"| {version}, LLVM {wb.PINNED[version]} | {name} | "
            f"{statistics.median(sample.seconds for sample in samples):.2f} | "
            f"{ratio} | "
            f"{max(sample.memory for sample in samples):.0f} |"
        )
    return laid_out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=sorted(wb.PINNED))
    parser.add_argument("--without", action="append", default=[], choices=("verify", "compare", "prove"))
    arguments = parser.parse_args()
    print("| CPython | run | seconds (median) | times faster than upstream (median, range) | MiB, own process |")
    print("| --- | --- | --- | --- | --- |")
    for version in arguments.only or sorted(wb.PINNED):
        for line in lines(version, measure(version, arguments.rounds, arguments.without)):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
