"""Run one module of CPython's test suite with regrtest, and count executors; write JSON.

Arguments: the file for the JSON, then regrtest's own. Runs inside the CPython that is tested, with its standard
library alone: 3.13 and newer.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import executors


def main() -> None:
    """Run regrtest on this process' arguments; what is counted is the most that was alive at once."""
    out = Path(sys.argv.pop(1)).absolute()
    # The tests must not find our modules where they look for theirs.
    sys.path.pop(0)
    single: Any = importlib.import_module("test.libregrtest.single")
    most = {"executors": 0, "compiled": 0, "code_bytes": 0}
    process = os.getpid()

    def count() -> None:
        # Children that a test forked end here too.
        if os.getpid() == process:
            now = executors.live()
            for key, value in now.items():
                most[key] = max(most[key], value)
            out.write_text(json.dumps(most), encoding="utf-8")

    run_suite = single._run_suite  # noqa: SLF001  # regrtest has no hook at the end of a module

    def run_and_count(suite: object) -> object:
        try:
            return run_suite(suite)
        finally:
            count()

    single._run_suite = run_and_count  # noqa: SLF001  # as above
    atexit.register(count)
    importlib.import_module("test.libregrtest.main").main()


main()
