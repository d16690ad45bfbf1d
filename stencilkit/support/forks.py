"""Work in forked processes, one for each item: nothing that an item leaves behind reaches the next.

Not threads and not `support.process`: what is handed over is a function of this program, not another program. Answers
are bytes; they come back in the order of the items.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import TypeVar

Item = TypeVar("Item")


def each(
    function: Callable[[Item], bytes], items: Sequence[Item], *, jobs: int, done: Callable[[], None] = lambda: None
) -> list[bytes | None]:
    """Run a function on each item in a process of its own, `jobs` at once; None for one whose process died.

    `done` is called after each. Where this ends early (Ctrl-C), the processes are ended too.
    """
    context = multiprocessing.get_context("fork")
    answers: list[bytes | None] = [None] * len(items)
    running: dict[Connection, tuple[int, ForkProcess]] = {}
    waiting = iter(range(len(items)))
    try:
        while True:
            while len(running) < jobs and (number := next(waiting, None)) is not None:
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(there, function, items[number]), daemon=True)
                process.start()
                there.close()
                running[here] = number, process
            if not running:
                return answers
            readable = wait(list(running))
            for ready in [one for one in running if one in readable]:
                number, process = running.pop(ready)
                answers[number] = _received(ready)
                process.join()
                done()
    finally:
        for _, process in running.values():
            process.kill()


def _run(there: Connection, function: Callable[[Item], bytes], item: Item) -> None:
    there.send_bytes(function(item))


def _received(here: Connection) -> bytes | None:
    try:
        return here.recv_bytes()
    except EOFError:
        return None
    finally:
        here.close()
