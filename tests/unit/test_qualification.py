"""What cells, checks and verdicts mean, how they are kept in files, and how a run goes on after it was stopped."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import __version__, results
from stencilkit.errors import OutputError, ProcessError, ResultError
from stencilkit.model.qualification import QUESTIONS, Cell, Job, Result
from stencilkit.pipeline import scheduling
from stencilkit.pipeline.scheduling import Board, Run
from stencilkit.support import process
from tests import answers
from tests.results import cell, checks, differing, result


@pytest.mark.parametrize(
    ("outcomes", "verdict", "why"),
    [
        ({}, "qualified", ""),
        ({"built": "noted"}, "qualified, with notes", "builds: a reason for noted"),
        ({"generator": "not asked"}, "qualified, with notes", "own generator: not asked: a reason"),
        ({"audit": "failed", "built": "noted"}, "not qualified", "audit: a reason for failed"),
        ({"proof": "failed"}, "not qualified", "upstream's LLVM is proved: a reason for failed"),
        ({"built": "not asked"}, "not qualified", ""),
    ],
)
def test_a_verdict_is_what_its_checks_make_it(outcomes: dict[str, str], verdict: str, why: str) -> None:
    found = result(checks=checks(**outcomes))
    assert found.verdict == verdict
    assert why in found.why
    assert bool(found.why) == bool(why)


def test_nothing_that_was_not_asked_counts_as_passed() -> None:
    for name in QUESTIONS:
        found = result(depth="run", checks=checks(**{**dict.fromkeys(QUESTIONS, "passed"), name: "not asked"}))
        assert found.verdict != "qualified", name
    assert result(depth="build").verdict == "qualified"
    assert result(depth="prove").verdict == "qualified, with notes"
    assert result(checks=()).verdict == "not qualified"
    assert result(finished=False).verdict == "not finished"


def test_a_result_is_read_as_it_was_written() -> None:
    for found in (
        result(),
        result(sizes=None, before=None, identical=None),
        result(finished=False),
        result(cell=cell(flavour="release-hardened"), speed={"19.1.7": 1.25}),
    ):
        written = results.render(found)
        answers.check(json.loads(written))
        assert results.parse(written, "x") == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("depth"), "depth: missing"),
        (lambda d: d.update(schema=2), "schema: is 2, and this stencilkit reads 1; a newer stencilkit wrote it"),
        (lambda d: d.update(kind="results"), "kind: must be one of cell"),
        (lambda d: d.update(verdict="not qualified"), "its checks make it 'qualified'"),
        (lambda d: d["checks"][0].update(outcome="yes"), r"checks\[0\].outcome: must be one of passed"),
        (lambda d: d["checks"][0].update(more=1), r"checks\[0\].more: unknown field"),
        (lambda d: d["checks"].insert(0, {**d["checks"][4], "outcome": "failed"}), "checks: audit is answered twice"),
        (lambda d: d["cell"].update(llvm="\x1b[31m"), "cell.llvm: has control characters"),
        (lambda d: d["differing"][0].update(code=[1]), r"code: must be two sizes"),
        (lambda d: d["differing"][0].update(rows=[["a", 1, True]]), r"rows: must be two lines"),
        (lambda d: d["seconds"].update(built=True), r"seconds.built: must be a number"),
    ],
)
def test_a_damaged_result_is_trouble(change: Callable[[dict[str, object]], object], message: str) -> None:
    document = json.loads(results.render(result()))
    change(document)
    with pytest.raises(ResultError, match=message):
        results.parse(json.dumps(document).encode(), "x")


def test_a_cut_result_is_trouble() -> None:
    data = results.render(result())
    for size in range(0, len(data) - 2, 97):
        with pytest.raises(ResultError):
            results.parse(data[:size], "x")


def test_a_file_that_is_another_cells_is_refused(tmp_path: Path) -> None:
    with results.claimed(tmp_path, __version__, resume=False):
        results.write(tmp_path, result())
    other = tmp_path / cell(llvm="20.1.2").place
    (tmp_path / cell().place).rename(other)
    with pytest.raises(ResultError, match=r"this is the result of CPython 3\.14\.7, LLVM 22\.1\.8"):
        list(results.read_all(tmp_path))


def test_a_damaged_file_has_a_way_on(tmp_path: Path) -> None:
    with results.claimed(tmp_path, __version__, resume=False):
        results.write(tmp_path, result())
    (tmp_path / cell().place).write_text('{"schema": 1')
    with pytest.raises(ResultError) as cut:
        list(results.read_all(tmp_path))
    assert "remove this file" in cut.value.fix
    (tmp_path / results.MARK).write_text("")
    with pytest.raises(ResultError) as unmarked:
        claim(tmp_path, resume=True)
    assert "name another folder with --out" in unmarked.value.fix


def claim(folder: Path, version: str = __version__, *, resume: bool = False) -> None:
    with results.claimed(folder, version, resume=resume):
        pass


def test_a_folder_is_one_runs(tmp_path: Path) -> None:
    with results.claimed(tmp_path / "out", __version__, resume=False), pytest.raises(ResultError, match="at work"):
        claim(tmp_path / "out", resume=True)
    claim(tmp_path / "out")
    with pytest.raises(ResultError, match=f"stencilkit {__version__} wrote these results, and this is 9.9"):
        claim(tmp_path / "out", "9.9", resume=True)
    results.write(tmp_path / "out", result())
    with pytest.raises(ResultError, match="there are results in this folder already"):
        claim(tmp_path / "out")
    claim(tmp_path / "out", resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(ResultError, match="something other than results"):
        claim(tmp_path / "other", resume=True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["letter.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        claim(tmp_path / "file" / "below")


class Quiet:
    """A board that remembers."""

    def __init__(self) -> None:
        self.done: list[Cell] = []
        self.ended_: list[Cell] = []
        self.said: list[str] = []
        self.closed = False

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        self.done = list(done)

    def say(self, text: str) -> None:
        self.said.append(text)

    def started(self, cell: Cell) -> None:
        pass

    def ended(self, result: Result) -> None:
        self.ended_.append(result.cell)

    def close(self) -> None:
        self.closed = True


def job(llvm: str, **fields: object) -> Job:
    base = {"tree": "t", "pyconfig": "p", "program": llvm, "reference": "", "ledger": {}, "sample": 0, "jobs": 1}
    return Job(**{"cell": cell(llvm=llvm), "depth": "build", **base, **fields})  # type: ignore[arg-type]  # as in a Job


def test_a_job_is_read_as_it_was_written() -> None:
    asked = job("19.1.7", ledger={"a.toml": 'x = "1"\n'}, cached=False)
    assert results.parse_job(results.render_job(asked), "x") == asked


JOBS = [job("19.1.7"), job("20.1.2"), job("21.1.0")]


def doing(outcomes: dict[str, Result | BaseException]) -> Callable[..., Iterator[Result]]:
    def do(jobs: Sequence[Job], asked: Run, board: Board) -> Iterator[Result]:
        for item in jobs:
            outcome = outcomes[item.cell.llvm]
            if isinstance(outcome, BaseException):
                raise outcome
            yield replace(outcome, cell=item.cell)

    return do


def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    def run(do: Callable[..., Iterator[Result]], board: Quiet, *, resume: bool) -> tuple[Result, ...]:
        return scheduling.run(JOBS, Run(folder=tmp_path, jobs=1, timeout=1, resume=resume), board, do)

    board = Quiet()
    bad = scheduling.unfinished(cell(), "build", "no such LLVM")
    with pytest.raises(KeyboardInterrupt):
        run(doing({"19.1.7": result(), "20.1.2": bad, "21.1.0": KeyboardInterrupt()}), board, resume=False)
    assert board.closed
    again = Quiet()
    first = (tmp_path / JOBS[0].cell.place).read_bytes()
    found = run(doing({"20.1.2": result(identical=3), "21.1.0": result()}), again, resume=True)
    # What was not finished is done again; what was, is not.
    assert again.done == [JOBS[0].cell]
    assert again.ended_ == [JOBS[1].cell, JOBS[2].cell]
    assert [item.cell for item in found] == [item.cell for item in JOBS]
    assert found[1].identical == 3
    assert (tmp_path / JOBS[0].cell.place).read_bytes() == first
    # A deeper question is asked again, one that is less deep is not.
    deeper = [replace(item, depth="prove") for item in JOBS]
    asked = Run(folder=tmp_path, jobs=1, timeout=1, resume=True)
    board = Quiet()
    scheduling.run(deeper, asked, board, doing(dict.fromkeys(("19.1.7", "20.1.2", "21.1.0"), result(depth="prove"))))
    assert board.done == []
    board = Quiet()
    scheduling.run(JOBS, asked, board, doing({}))
    assert len(board.done) == 3


def test_what_was_asked_of_something_else_is_asked_again(tmp_path: Path) -> None:
    """A tree that was changed since, say: nobody wants to read that the old one was qualified."""
    asked = Run(folder=tmp_path, jobs=1, timeout=1, resume=True)
    first = [replace(item, inputs="before") for item in JOBS]
    scheduling.run(first, asked, Quiet(), doing(dict.fromkeys(("19.1.7", "20.1.2", "21.1.0"), result())))
    board = Quiet()
    mixed = [first[0], replace(first[1], inputs="after"), first[2]]
    found = scheduling.run(mixed, asked, board, doing({"20.1.2": result(identical=3)}))
    assert board.ended_ == [JOBS[1].cell]
    assert [line.partition(" is done again: ")[0] for line in board.said] == [JOBS[1].cell.label]
    assert [(item.inputs, item.identical) for item in found] == [("before", 285), ("after", 3), ("before", 285)]
    assert [item.inputs for item in results.read_all(tmp_path)] == ["before", "after", "before"]


def test_a_full_disk_ends_a_run_and_leaves_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def do(jobs: Sequence[Job], asked: Run, board: Board) -> Iterator[Result]:
        yield replace(result(), cell=jobs[0].cell)
        monkeypatch.setattr(os, "fsync", full)
        yield replace(result(), cell=jobs[1].cell)

    with pytest.raises(OutputError, match="No space left"):
        scheduling.run(JOBS, Run(folder=tmp_path, jobs=1, timeout=1, resume=False), Quiet(), do)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.rglob("*.json")] != []
    assert [item.cell for item in results.read_all(tmp_path)] == [JOBS[0].cell]


def test_a_cell_that_hangs_or_dies_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own way; one does its work."""

    def run(command: Sequence[str], **_: object) -> process.Completed:
        asked = results.parse_job(Path(command[-2]).read_bytes(), "x")
        if asked.cell.llvm == "19.1.7":
            raise ProcessError(f"{command[0]} did not end within 1 second")
        if asked.cell.llvm == "20.1.2":
            return process.Completed(command=(), returncode=-9, stdout=b"", stderr=b"")
        Path(command[-1]).write_bytes(results.render(replace(result(), cell=asked.cell)))
        return process.Completed(command=(), returncode=0, stdout=b"", stderr=b"")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STENCILKIT_DATA", str(tmp_path / "data"))
    asked = Run(folder=tmp_path / "out", jobs=2, timeout=1, resume=False)
    hung, killed, good = scheduling.run(JOBS, asked, Quiet())
    assert (hung.finished, killed.finished, good.finished) == (False, False, True)
    assert (hung.verdict, hung.why) == ("not finished", "the cell did not end within 1 second")
    assert "was killed by SIGKILL" in killed.why
    assert good.verdict == "qualified"
    assert threading.active_count() < 10


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("stencilkit: error: there is no room\n  next:  make some", "there is no room"),
        ("Traceback:\nValueError: x\nstencilkit: this is a bug; report it", "its process ended with 2: ValueError: x"),
        ("", "its process ended with 2"),
    ],
)
def test_what_a_process_said_is_the_reason(stderr: str, said: str) -> None:
    done = process.Completed(command=(), returncode=2, stdout=b"", stderr=stderr.encode())
    assert scheduling._said(done) == said


def test_differing_stencils_keep_their_listings() -> None:
    (item,) = results.parse(results.render(result(differing=(differing(length=5),))), "x").differing
    assert item == differing(length=5)
    assert sum(not row.same for row in item.rows) == 2
