"""Time identify: a program of 8 MB against all signatures of the ledger, and a package of 60 MB.

    python -m tests.bench_identify [--rounds N]

The program is Debian's python3.14, with as many constants behind it as 8 MB take; the package has it beside
other files. Beside seconds stands the ratio to the time that Python's zlib.crc32 takes for every 16th place of the same
bytes, in turn: on a busy machine, that is what to quote.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

from tests import workbench as wb
from tests.bench import timed


def debians_python(work: Path) -> Path:
    """Unpack the program of Debian's package."""
    package = wb.debian_package("python3.14-minimal", "amd64")
    subprocess.run(["dpkg-deb", "--extract", package, work / "deb"], check=True)
    return work / "deb/usr/bin/python3.14"


def grown(program: Path, to: Path, size: int) -> Path:
    """Copy a program, and let its last data be larger: what is behind the sections is not looked at, but parsed."""
    content = program.read_bytes()
    to.write_bytes(content + random.Random(1).randbytes(max(0, size - len(content))))
    return to


def package(program: Path, to: Path) -> Path:
    """Make a wheel of 60 MB: the program, and files without CPython's runtime."""
    drawn = random.Random(2)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.write(program, "bin/python3.14")
        for number in range(52):
            wheel.writestr(f"lib/{number}.bin", drawn.randbytes(1 << 19) * 2)
    return to


def yardstick(content: bytes) -> float:
    """Time what any search of this kind must do at least, in seconds."""
    started = time.process_time()
    for offset in range(0, len(content), 16):
        zlib.crc32(content[offset : offset + 32])
    return time.process_time() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| identify | bound | seconds | of them processor | times the yardstick | MiB, own process |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="stencilkit-bench-") as folder:
        work = Path(folder)
        program = grown(debians_python(work), work / "python3.14", 8 << 20)
        for path, bound in ((program, "2 s, 200 MiB"), (package(program, work / "a.whl"), "5 s")):
            rows = []
            for _ in range(arguments.rounds):
                least = yardstick(program.read_bytes())
                before = os.times()
                command: list[str | Path] = [sys.executable, "-m", "stencilkit", "identify", path]
                sample = timed(command, cwd=work, env=wb.environment(), answers=(0, 1))
                after = os.times()
                used = after.children_user + after.children_system - before.children_user - before.children_system
                rows.append((sample.seconds, used, used / least, sample.memory))
            median = [statistics.median(column) for column in zip(*rows, strict=True)]
            print(
                f"| {path.name}, {path.stat().st_size >> 20} MB | {bound} | {median[0]:.2f} | {median[1]:.2f} | "
                f"{median[2]:.1f} | {median[3]:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
