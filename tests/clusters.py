"""A Dask cluster on this machine, as README.md and docs/qualify.md say."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests import workbench as wb


class Cluster:
    """A scheduler and workers of Dask's, each with a cache of its own."""

    def __init__(self, here: Path, environment: Callable[[Path], Mapping[str, str]]) -> None:
        """Keep everything below `here`; `environment` is that of the process whose folder it is given."""
        self.here = here
        self.environment = environment
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = ""

    def start(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        place = self.here / name
        place.mkdir()
        with (place / "log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(Path(sys.executable).with_name("dask")), *arguments],
                cwd=place,
                env={**wb.environment(self.environment(place)), **(env or {})},
                stderr=log,
                stdout=subprocess.DEVNULL,
            )

    def schedule(self) -> None:
        self.start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        for _ in range(600):
            if found := re.search(r"Scheduler at: +(tcp://\S+)", (self.here / "scheduler" / "log").read_text()):
                self.address = found[1]
                return
            time.sleep(0.1)
        raise AssertionError((self.here / "scheduler" / "log").read_text())

    def work(self, name: str, env: Mapping[str, str] | None = None) -> None:
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.here / name)]
        self.start(name, "worker", self.address, *options, env=env)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
