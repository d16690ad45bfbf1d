"""Fuzz every reader for a time, guided by coverage (atheris) or by seeds alone; count the cases, keep the faults.

    python -m tests.fuzz.campaign --seconds 600 [--reader NAME] [--seeded] [--seed N]

What a reader does not survive is written to tests/fuzz/corpus/NAME/, to be fixed and committed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="for all readers together")
    parser.add_argument("--reader", action="append", help="only this one")
    parser.add_argument("--seeded", action="store_true", help="without coverage: many more cases a second")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--guide", help=argparse.SUPPRESS)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)) if options.seeded else None
    if options.guide:
        return guide(options.guide, options.seconds)
    from tests.fuzz.readers import READERS

    names = options.reader or list(READERS)
    faults = 0
    for name in names:
        seconds = options.seconds / len(names)
        count, found = (seeded if options.seeded else guided)(name, seconds, options.seed)
        faults += found
        print(f"{name}: {count} cases, {found} faults", flush=True)
    return 1 if faults else 0


def keep(name: str, data: bytes, why: str) -> None:
    path = HERE / "corpus" / name / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"FAULT {path}\n{why}", flush=True)


def seeded(name: str, seconds: float, seed: int) -> tuple[int, int]:
    from tests.fuzz import cases

    end, count, faults = time.monotonic() + seconds, 0, set[str]()
    for data in cases.generate(name, seed):
        if time.monotonic() > end:
            break
        count += 1
        try:
            cases.run(name, data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # that is what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "/stencilkit/" in frame.filename]
            place = f"{type(error).__name__} {ours[-1].filename}:{ours[-1].lineno}" if ours else repr(error)
            if place not in faults:
                faults.add(place)
                keep(name, data, "".join(traceback.format_exception(error)[-8:]))
    return count, len(faults)


def guided(name: str, seconds: float, _seed: int) -> tuple[int, int]:
    """Run one reader in a process of its own: libFuzzer ends it at the first fault."""
    count, faults, end = 0, 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1 and faults < 5:
        command = [sys.executable, "-m", "tests.fuzz.campaign", "--guide", name, "--seconds", str(left)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        executed = re.findall(r"stat::number_of_executed_units: (\d+)|^#(\d+)\s", done.stderr, re.MULTILINE)
        count += int(next(filter(None, executed[-1]))) if executed else 0
        if done.returncode == 0:
            break
        if not executed:
            print(done.stderr[-3000:])
            raise SystemExit("atheris did not start: pip install -e '.[fuzz]' (Linux)")
        faults += 1
        print("\n".join(done.stderr.splitlines()[-40:]))
    return count, faults


def guide(name: str, seconds: float) -> int:
    import atheris

    with atheris.instrument_imports(include=["stencilkit"]):
        from tests.fuzz import cases, mutations, readers
    one = readers.READERS[name]
    known = cases.seeds(name)

    def test(data: bytes) -> None:
        cases.run(name, data)

    def mutator(data: bytes, size: int, seed: int) -> bytes:
        rand = random.Random(seed)
        changed = mutations.mutate(data, known, one.tokens, rand)
        return (one.repair(changed) if rand.random() < 0.5 else changed)[:size]

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(known):
            Path(folder, str(number)).write_bytes(data)
        (HERE / "corpus" / name).mkdir(parents=True, exist_ok=True)
        words = [sys.argv[0], f"-max_total_time={int(seconds)}", "-print_final_stats=1", "-max_len=131072"]
        words += ["-rss_limit_mb=3000", f"-artifact_prefix={HERE / 'corpus' / name}{os.sep}", folder]
        atheris.Setup(words, test, custom_mutator=mutator)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
