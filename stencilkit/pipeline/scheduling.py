"""From jobs to a folder of results: on the processors of this machine, or on a cluster.

Each cell is done by a process of its own, which is ended when it takes too long; what ends it, or keeps it from being
done, is that cell's result, and no other's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from stencilkit import __version__, results
from stencilkit.errors import ProcessError, ResultError
from stencilkit.model import qualification
from stencilkit.model.qualification import DEPTHS, Cell, Check, Depth, Job, Result
from stencilkit.support import environ, files, process

_ERROR: Final = "stencilkit: error: "


class Board(Protocol):
    """Where people see how far a run is. Calls may come from several threads."""

    def plan(self, cells: Sequence[Cell], done: Sequence[Cell]) -> None:
        """Show what is to be done, and what was done by an earlier run."""

    def say(self, text: str) -> None:
        """Report one thing, in one line."""

    def started(self, cell: Cell) -> None:
        """Show that a cell is being worked on."""

    def ended(self, result: Result) -> None:
        """Show what came of a cell."""

    def close(self) -> None:
        """Show nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How jobs are done: into which folder, how many at once, in how many seconds each, and whether to go on."""

    folder: Path
    jobs: int
    timeout: float
    resume: bool


Doer = Callable[[Sequence[Job], Run, Board], Iterator[Result]]
"""Does jobs, and yields each result when it is there."""


def run(jobs: Sequence[Job], asked: Run, board: Board, do: Doer | None = None) -> tuple[Result, ...]:
    """Do all jobs, but those that an earlier run finished; return the results of all, in the order of the jobs.

    What an earlier run asked of other files, or with another ledger or sample, is asked again.

    Raises: ResultError where the folder cannot be used; OutputError where a result cannot be written.
    """
    with results.claimed(asked.folder, __version__, resume=asked.resume):
        earlier = {job.cell: result for job in jobs for result in _earlier(job, asked.folder)}
        inputs = {job.cell: job.inputs for job in jobs}
        found = {cell: result for cell, result in earlier.items() if result.inputs == inputs[cell]}
        rest = [job for job in jobs if job.cell not in found]
        board.plan([job.cell for job in jobs], list(found))
        for cell in earlier.keys() - found.keys():
            board.say(f"{cell.label} is done again: tree, pyconfig.h, LLVM, ledger, sample or stencilkit was another")
        try:
            for done in (do or pool)(rest, asked, board):
                result = replace(done, inputs=inputs[done.cell])
                results.write(asked.folder, result)
                found[result.cell] = result
                board.ended(result)
        except BaseException:
            process.stop_all()
            raise
        finally:
            board.close()
    return tuple(found[job.cell] for job in jobs)


def _earlier(job: Job, folder: Path) -> Iterator[Result]:
    path = folder / job.cell.place
    if path.is_file():
        result = results.read(folder, path)
        if result.finished and DEPTHS.index(result.depth) >= DEPTHS.index(job.depth):
            yield result


def pool(jobs: Sequence[Job], asked: Run, board: Board) -> Iterator[Result]:
    """Do jobs on this machine."""

    def one(job: Job) -> Result:
        board.started(job.cell)
        return alone(job, asked.timeout)

    with process.workers(asked.jobs) as threads:
        futures: list[Future[Result]] = [threads.submit(one, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()


def alone(job: Job, timeout: float) -> Result:
    """Do one job in a process of its own; return its result, or what became of the process."""
    with files.scratch("job") as scratch:
        asked, answer = scratch / "job.json", scratch / "result.json"
        asked.write_bytes(results.render_job(job))
        (scratch / "tmp").mkdir()
        environment = {
            **environ.variables("STENCILKIT_"),
            "STENCILKIT_DATA": str(environ.data_root()),
            "STENCILKIT_CACHE": str(environ.cache_root()),
            "TMPDIR": str(scratch / "tmp"),
        }
        command = [sys.executable, "-m", "stencilkit", "cell", str(asked), str(answer)]
        try:
            done = process.run(command, env=environment, timeout=timeout)
        except ProcessError as error:
            return unfinished(job.cell, job.depth, error.what.replace(command[0], "the cell"))
        if done.returncode or not answer.is_file():
            return unfinished(job.cell, job.depth, _said(done))
        try:
            return results.parse(answer.read_bytes(), str(answer))
        except ResultError as error:
            return unfinished(job.cell, job.depth, error.what)


def _said(done: process.Completed) -> str:
    """Describe how a process ended that gave no result: its own error message, or its exit status."""
    lines = [line for line in done.err.strip().splitlines() if not line.startswith("stencilkit: this is a bug")]
    said = next((line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)), "")
    return said or f"its process {done.ending}" + (f": {lines[-1][:200]}" if lines else "")


def unfinished(cell: Cell, depth: Depth, why: str) -> Result:
    """Make the result of a cell that could not be done, through no fault of its stencils."""
    checks = qualification.alone(Check(name="built", outcome="not asked", reason=why), "the cell was not finished")
    return Result(cell=cell, depth=depth, checks=checks, finished=False, stencilkit=__version__)
