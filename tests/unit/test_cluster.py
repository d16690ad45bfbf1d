"""What a cluster that goes away does to the one who asks: one message, whatever Dask calls it."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import pytest

from stencilkit.errors import ClusterError
from stencilkit.support.cluster import Cluster, Task


class Losing:
    """A client whose connection is lost where it waits."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def submit(self, *arguments: object, **options: object) -> object:
        return object()

    def as_current(self) -> Any:  # a context manager of Dask's
        raise self.error

    def cancel(self, futures: list[object], *, force: bool) -> None:
        raise self.error


@pytest.mark.parametrize("error", [OSError("connection refused"), CancelledError("scheduler-connection-lost")])
def test_a_scheduler_that_goes_away_is_one_message(error: Exception) -> None:
    cluster = Cluster(Losing(error), "tcp://host:8786")
    with pytest.raises(ClusterError, match="the scheduler tcp://host:8786 went away") as caught:
        list(cluster.do(lambda own, shared: own + shared, [Task(own=b"", shared="tree")], {"tree": b""}))
    assert "--resume" in caught.value.fix
