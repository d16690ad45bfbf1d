"""qualify on a cluster whose workers are this process, and what is made of a scheduler's answers."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import cli, provision, results
from stencilkit.errors import ClusterError, UsageError
from stencilkit.model.qualification import Result
from stencilkit.pipeline import clustering
from stencilkit.support import cluster, environ
from stencilkit.support.cluster import Asked, Cluster, Function, Task
from tests import results as made
from tests.standin import Machine

Answers = Iterator[tuple[int, bytes | None, str]]


class Workers:
    """A cluster of one worker, which has what this machine has; `change` what it says and does."""

    def __init__(self) -> None:
        self.arrival: Callable[[bytes], bytes] = lambda answer: answer
        self.send: Callable[[bytes], bytes] = lambda packed: packed
        self.answer: Callable[[bytes], tuple[bytes | None, str]] = lambda found: (found, "")

    def ask(self, function: Asked, question: bytes) -> dict[str, bytes]:
        return {"tcp://w:1": self.arrival(function(question))}

    def do(self, function: Function, tasks: Sequence[Task], shared: Mapping[str, bytes]) -> Answers:
        for number, task in enumerate(tasks):
            yield number, *self.answer(function(task.own, self.send(shared[task.shared])))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    made = Workers()

    @contextlib.contextmanager
    def connected(address: str) -> Iterator[Workers]:
        assert address == "tcp://scheduler:1"
        yield made

    monkeypatch.setattr(cluster, "connected", connected)
    monkeypatch.setattr(provision, "install", lambda *_, **__: ())
    return made


def qualify(machine: Machine, *words: str, out: str = "qualified") -> tuple[int, list[Result]]:
    folder = machine.out.with_name(out)
    places = ["--llvm", "19", "--out", str(folder), "--jobs", "1", "--depth", "build", "--no-cache"]
    code = cli.main(["qualify", *machine.words(*places, *words)])
    return code, list(results.read_all(folder)) if (folder / results.MARK).is_file() else []


def on_workers(machine: Machine, out: str = "qualified") -> tuple[int, Result]:
    code, (result,) = qualify(machine, "--scheduler", "tcp://scheduler:1", out=out)
    return code, result


def test_a_worker_gives_the_answers_of_this_machine(judged: Machine, workers: Workers) -> None:
    code, (here,) = qualify(judged)
    there_code, there = on_workers(judged, "there")
    assert (code, there_code) == (0, 0)
    assert results.summary(here) == results.summary(there)
    # A second cell finds the tree in the worker's cache.
    trees = judged.out.parent / "cache" / "trees"
    (tree,) = [path for path in trees.iterdir() if path.is_dir()]
    (tree / "Include" / "mark").touch()
    assert on_workers(judged, "again")[0] == 0
    assert (tree / "Include" / "mark").is_file()


def other(answer: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(answer), **changes}).encode()


@pytest.mark.parametrize(
    ("arrival", "message"),
    [
        (lambda _: b"ModuleNotFoundError: stencilkit", "cannot say which stencilkit it has: ModuleNotFoundError"),
        (lambda answer: other(answer, code="9.9 a"), "the worker tcp://w:1 has another stencilkit: 9.9, and this is"),
        (
            lambda answer: other(answer, code=clustering.code() + "0"),
            "with other code",
        ),
    ],
)
def test_other_code_is_refused(
    arrival: Callable[[bytes], bytes],
    message: str,
    judged: Machine,
    workers: Workers,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workers.arrival = arrival
    code, found = qualify(judged, "--scheduler", "tcp://scheduler:1")
    assert (code, found) == (2, [])
    assert message in capsys.readouterr().err


def test_a_worker_without_the_llvm_does_nothing_with_it(
    judged: Machine, workers: Workers, capsys: pytest.CaptureFixture[str]
) -> None:
    workers.arrival = lambda answer: other(answer, lacks={"19.1.7": "LLVM 19.1.7 is not installed"})
    code, result = on_workers(judged)
    assert (code, result.finished) == (2, False)
    assert result.checks[0].reason == "worker tcp://w:1: LLVM 19.1.7 is not installed"
    assert "1 of 1 cells could not be finished" in capsys.readouterr().err


def test_another_build_of_an_llvm_is_not_that_llvm(judged: Machine, workers: Workers) -> None:
    question = json.dumps([["19.1.7", "0" * 64], ["21.1.1", "0" * 64]]).encode()
    assert json.loads(clustering.on_arrival(question))["lacks"] == {
        "19.1.7": "LLVM 19.1.7 is another build of it than the one that asks",
        "21.1.1": "LLVM 21.1.1 is not installed",
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: (None, "KilledWorker: it died"), "KilledWorker: it died"),
        (lambda _: (b"{", ""), "a worker's answer: "),
        (lambda _: (results.render(made.result(cell=made.cell(llvm="9.1.0"))), ""), "a worker answered about CPython"),
    ],
)
def test_an_answer_that_is_none_leaves_the_cell_open(
    answer: Callable[[bytes], tuple[bytes | None, str]], reason: str, judged: Machine, workers: Workers
) -> None:
    workers.answer = answer
    code, result = on_workers(judged)
    assert (code, result.finished) == (2, False)
    assert result.checks[0].reason.startswith(reason)


def test_a_tree_that_was_damaged_on_its_way_is_not_used(judged: Machine, workers: Workers) -> None:
    workers.send = lambda packed: packed[:-1]
    code, result = on_workers(judged)
    assert (code, result.checks[0].reason) == (2, "a tree was damaged on its way")


class Future:
    def __init__(self, status: str, value: Any = None) -> None:
        self.status, self.value = status, value

    def done(self) -> bool:
        return self.status != "pending"

    def result(self) -> Any:
        return self.value

    def exception(self) -> Any:
        return self.value


class Client:
    """Stands for Dask's: has `futures` for what is submitted, and these workers."""

    status = "running"

    def __init__(self, *futures: Future, workers: Sequence[str] = ("tcp://w:1",)) -> None:
        self.futures = list(futures)
        self.workers = workers
        self.asked: dict[str, Any] = {}
        self.cancelled: list[Future] = []
        self.limits: list[Any] = []

    def wait_for_workers(self, _count: int, timeout: float) -> None:
        if not self.workers:
            raise TimeoutError

    def run(self, _function: Any, _question: bytes, on_error: str) -> dict[str, Any]:
        return self.asked

    def submit(self, function: Any, *_: Any, key: str = "", workers: Any = None, **__: Any) -> Any:
        self.limits.append(workers)
        return key or self.futures.pop(0)

    def as_current(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": dict.fromkeys(self.workers)}

    def cancel(self, futures: list[Future], force: bool) -> None:
        self.cancelled += futures

    def close(self, timeout: float) -> None:
        raise OSError("gone")


@pytest.fixture(autouse=True)
def _dask(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: str, **_: object) -> Client:
        if address == "tcp://nowhere:1":
            raise OSError("Timed out")
        return Client()

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(wait=lambda *_, **__: None, Client=connect))


def do(client: Client, *workers: str) -> list[tuple[int, bytes | None, str]]:
    tasks = [Task(own=b"", shared="s", workers=workers) for _ in client.futures]
    return list(Cluster(client, "tcp://s:1").do(lambda _own, _shared: b"", tasks, {"s": b""}))


def test_answers_come_with_their_numbers() -> None:
    client = Client(Future("finished", b"one"), Future("error", ValueError("no")))
    assert do(client) == [(0, b"one", ""), (1, None, "ValueError: no")]
    assert client.limits == [None, None, None]
    assert len(client.cancelled) == 2
    client = Client(Future("finished", b"one"))
    do(client, "tcp://w:1")
    assert client.limits == [None, ["tcp://w:1"]]


def test_a_scheduler_that_went_away_is_said() -> None:
    with pytest.raises(ClusterError, match="the scheduler tcp://s:1 went away, and with it what was being done"):
        do(Client(Future("cancelled")))


@pytest.mark.parametrize("workers", [(), ("tcp://other:1",)])
def test_without_workers_that_can_it_does_not_wait_forever(
    workers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr(environ, "seconds", lambda: float(next(clock)))
    with pytest.raises(ClusterError, match="no worker of tcp://s:1 is left that could go on"):
        do(Client(Future("pending"), workers=workers), "tcp://w:1")


def test_workers_are_asked() -> None:
    client = Client()
    client.asked = {"tcp://w:2": ImportError("no stencilkit"), "tcp://w:1": b"{}"}
    found = Cluster(client, "tcp://s:1").ask(lambda answer: answer, b"?")
    assert found == {"tcp://w:1": b"{}", "tcp://w:2": b"ImportError: no stencilkit"}
    with pytest.raises(ClusterError, match="tcp://s:1 has no workers") as caught:
        Cluster(Client(workers=()), "tcp://s:1").ask(lambda answer: answer, b"?")
    assert "dask worker ADDRESS --nthreads 1" in caught.value.fix


def test_a_scheduler_that_is_not_there_is_said() -> None:
    with (
        pytest.raises(ClusterError, match="cannot reach a Dask scheduler at tcp://nowhere:1: Timed out"),
        cluster.connected("tcp://nowhere:1"),
    ):
        pass
    with cluster.connected("tcp://s:1") as found:
        assert isinstance(found, Cluster)


@pytest.mark.parametrize("address", ["", "host", "host:", "http://host:8786", "tcp://host:8786/x", "tcp://:8786x"])
def test_what_is_not_an_address_is_refused_before_dask_waits_for_it(address: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a scheduler"), cluster.connected(address):
        pass
