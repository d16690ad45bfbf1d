"""The one door to Dask: functions of ours, called with bytes on the workers of a cluster.

Nothing is scheduled here; Dask does that. A worker that dies has its tasks done again by others; what is sent to many
tasks travels once to each worker.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final

from stencilkit.errors import ClusterError, UsageError
from stencilkit.support import environ
from stencilkit.support.extras import needing

_TIMEOUT: Final = 30.0
# How often to look whether there still are a scheduler and workers, and how long to wait for a worker to come (back).
_LOOK_SECONDS: Final = 2.0
_PATIENCE: Final = 60.0
# They print tracebacks about a connection that is lost, which is our message's business.
_LOGGERS: Final = ("distributed", "distributed.client")
_START: Final = "dask scheduler, and on each machine: dask worker ADDRESS --nthreads 1"

# Dask takes a host and a port for TCP.
_ADDRESS: Final = re.compile(r"(?:(?:tcp|tls|ws|wss)://)?[^\s/]+:[0-9]{1,5}")

Asked = Callable[[bytes], bytes]
Function = Callable[[bytes, bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one call is about: the bytes for it alone, and the name of what several calls share.

    `workers` are the addresses of those that can do it; () stands for all.
    """

    own: bytes
    shared: str
    workers: tuple[str, ...] = ()


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect to a scheduler.

    Raises: ClusterError where it cannot be reached; UsageError where it is not an address, or Dask is not installed.
    """
    if not _ADDRESS.fullmatch(address):
        # Dask waits for a minute, and prints a traceback.
        raise UsageError(f"{address!r} is not the address of a scheduler", fix="write it like tcp://host:8786")
    with needing("cluster", "a cluster"):
        import distributed

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"cannot reach a Dask scheduler at {address}: {error}", fix=f"start one, and workers: {_START}"
        ) from None
    try:
        yield Cluster(client, address)
    finally:
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to say
            client.close(timeout=5)


class Cluster:
    """The workers of a scheduler."""

    def __init__(self, client: Any, address: str) -> None:  # noqa: ANN401  # Dask is optional
        self._client = client
        self._address = address

    def ask(self, function: Asked, question: bytes) -> dict[str, bytes]:
        """Call a function once on every worker; return the answers by the workers' addresses.

        Raises: ClusterError where there is no worker.
        """
        with self._reachable():
            self._client.wait_for_workers(1, timeout=_PATIENCE)
            answers: dict[str, Any] = self._client.run(function, question, on_error="return")
        return {
            name: answer if isinstance(answer, bytes) else f"{type(answer).__name__}: {answer}".encode()
            for name, answer in sorted(answers.items())
        }

    def do(
        self, function: Function, tasks: Sequence[Task], shared: Mapping[str, bytes]
    ) -> Iterator[tuple[int, bytes | None, str]]:
        """Call a function for each task; yield its number and the answer as they come, or None and why there is none.

        Raises: ClusterError where the scheduler is gone, or no worker is left that could go on.
        """
        with self._reachable():
            # As a task, and not scattered: it can be made again where the worker that held it died.
            blobs = {name: self._client.submit(_same, data, key=f"stencilkit-{name}") for name, data in shared.items()}
            futures = {
                self._client.submit(
                    function,
                    task.own,
                    blobs[task.shared],
                    pure=False,
                    workers=list(task.workers) or None,
                ): number
                for number, task in enumerate(tasks)
            }
        try:
            yield from self._answers(futures, tasks)
        finally:
            with contextlib.suppress(Exception):  # nobody is left to be told
                self._client.cancel(list(futures), force=True)

    def _answers(self, futures: dict[Any, int], tasks: Sequence[Task]) -> Iterator[tuple[int, bytes | None, str]]:
        import distributed

        seen = environ.seconds()
        rest = set(futures)
        while rest:
            with self._reachable(), contextlib.suppress(TimeoutError), self._client.as_current():
                distributed.wait(rest, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
            done = {future for future in rest if future.done()}
            for future in sorted(done, key=lambda future: futures[future]):
                yield futures[future], *self._answer(future)
            rest -= done
            if self._has_workers([tasks[futures[future]] for future in rest]):
                seen = environ.seconds()
            elif rest and environ.seconds() - seen > _PATIENCE:
                raise ClusterError(
                    f"no worker of {self._address} is left that could go on",
                    fix="start workers, and go on with --resume",
                )

    def _answer(self, future: Any) -> tuple[bytes | None, str]:  # noqa: ANN401  # Dask is optional
        if future.status == "finished":
            answer: bytes = future.result()
            return answer, ""
        if future.status == "cancelled":
            raise self._gone()
        error = future.exception()
        return None, f"{type(error).__name__}: {error}"

    def _has_workers(self, tasks: Sequence[Task]) -> bool:
        with self._reachable():
            if self._client.status != "running":
                return False
            there = set(self._client.scheduler_info(n_workers=-1)["workers"])
        return bool(there) and all(not task.workers or there & set(task.workers) for task in tasks)

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise ClusterError(f"{self._address} has no workers", fix=f"start some: {_START}") from None
        except (OSError, CancelledError):
            raise self._gone() from None

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the scheduler {self._address} went away, and with it what was being done",
            fix="start it again, with its workers, and go on with --resume",
        )


def _same(data: bytes) -> bytes:
    """Be the task that other tasks get their data from."""
    return data
