"""From jobs to results on a Dask cluster: the same cells, each in a process of its own, on other machines.

Workers need stencilkit of the same code and toolchains from PyPI, which they install by themselves, by hash. Trees and
pyconfig.h files travel by hash, once to each worker, and stay in its cache. Refuses a worker with other code, and a
toolchain that is not, byte for byte, the one of this machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from stencilkit import __version__, fetch, pins, provision, results, toolchain
from stencilkit.errors import ClusterError, ResultError, StencilkitError, ToolchainError
from stencilkit.model.qualification import Job, Result
from stencilkit.model.source import STENCIL_PARTS
from stencilkit.model.toolchain import Toolchain
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import requesting, scheduling
from stencilkit.pipeline.scheduling import Board, Doer, Run
from stencilkit.support import archive, cluster, environ, files, private, resources
from stencilkit.support.cache import ENTRIES, Store
from stencilkit.support.cluster import Cluster, Task

_CONFIG: Final = "pyconfig.h"


def doer(address: str) -> Doer:
    """Do jobs on the cluster of a scheduler."""

    def do(jobs: Sequence[Job], asked: Run, board: Board) -> Iterator[Result]:
        if jobs:
            with cluster.connected(address) as workers:
                yield from _do(jobs, asked, board, workers)

    return do


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    """A toolchain by what it is: its exact version, and the digest of its program and of what that loads."""

    version: str
    program: str

    @classmethod
    def of(cls, tool: Toolchain, store: Store) -> _Tool:
        """Ask a toolchain what it is."""
        identity = toolchain.identity(tool, store)
        # Distributions' clangs are a few kilobytes, the same in each of their builds; LLVM is in the libraries.
        parts = json.dumps([identity.program, sorted(identity.libraries.items())])
        return cls(version=str(tool.version), program=hashlib.sha256(parts.encode()).hexdigest())


def code() -> str:
    """Name what answers: the version of stencilkit, and a digest of all of it."""
    return f"{__version__} {resources.whole_digest()}"


def _do(jobs: Sequence[Job], asked: Run, board: Board, workers: Cluster) -> Iterator[Result]:
    store = Store(environ.cache_root() / ENTRIES)
    tools = {program: _tool(program, store) for job in jobs for program in (job.program, job.reference) if program}
    able = _able(workers, sorted(set(tools.values()), key=lambda tool: tool.version), board)
    trees: dict[str, str] = {}
    shared: dict[str, bytes] = {}
    tasks, doable = [], []
    for job in jobs:
        needed = [tools[program] for program in (job.program, job.reference) if program]
        fit = tuple(name for name, why in able.items() if not any(tool.version in why for tool in needed))
        if not fit:
            reasons = {why[tool.version] for why in able.values() for tool in needed if tool.version in why}
            yield scheduling.unfinished(job.cell, job.depth, "; ".join(sorted(reasons)))
            continue
        if job.tree not in trees:
            packed = _packed(Path(job.tree), whole=job.depth == "run")
            trees[job.tree] = hashlib.sha256(packed).hexdigest()
            shared[trees[job.tree]] = packed
        doable.append(job)
        own = _message(job, trees[job.tree], tools, asked.timeout)
        tasks.append(Task(own=own, shared=trees[job.tree], workers=fit if len(fit) < len(able) else ()))
    for number, answer, why in workers.do(on_worker, tasks, shared):
        job = doable[number]
        yield _result(job, answer) if answer is not None else scheduling.unfinished(job.cell, job.depth, why)


def _result(job: Job, answer: bytes) -> Result:
    try:
        found = results.parse(answer, "a worker's answer")
    except ResultError as error:
        return scheduling.unfinished(job.cell, job.depth, f"{error.where}: {error.what}")
    if (found.cell, found.depth) != (job.cell, job.depth):
        why = f"a worker answered about {found.cell.label} (--depth {found.depth})"
        return scheduling.unfinished(job.cell, job.depth, why)
    return found


def _tool(program: str, store: Store) -> _Tool:
    return _Tool.of(requesting.at(program, store), store)


def _able(workers: Cluster, tools: Sequence[_Tool], board: Board) -> dict[str, dict[str, str]]:
    """Ask every worker for its code and its toolchains; return what it lacks, by the LLVM's version.

    Raises: ClusterError where one has other code.
    """
    question = json.dumps([[tool.version, tool.program] for tool in tools]).encode()
    found: dict[str, dict[str, str]] = {}
    for name, text in workers.ask(on_arrival, question).items():
        if not text.startswith(b"{"):
            raise ClusterError(
                f"the worker {name} cannot say which stencilkit it has: {text.decode()}",
                fix="install the same stencilkit[cluster] on all machines",
            )
        answer = json.loads(text)
        if answer["code"] != code():
            theirs, ours = answer["code"].partition(" ")[0], __version__
            raise ClusterError(
                f"the worker {name} has another stencilkit: {theirs}, and this is {ours}"
                + (" with other code" if theirs == ours else ""),
                fix="install the same on all machines",
            )
        found[name] = {version: f"worker {name}: {why}" for version, why in answer["lacks"].items()}
        for version, why in answer["lacks"].items():
            board.say(f"the worker {name} does nothing with LLVM {version}: {why}")
    return found


def on_arrival(question: bytes) -> bytes:
    """Say, on a worker, which code it has and which toolchains it lacks; install those that PyPI has."""
    lacks = {}
    for version, program in json.loads(question):
        try:
            _here(_Tool(version=version, program=program))
        except StencilkitError as error:
            lacks[version] = error.what
    return json.dumps({"code": code(), "lacks": lacks}).encode()


def _here(tool: _Tool) -> Toolchain:
    """Find a toolchain on this machine, or install it from PyPI.

    Raises: ToolchainError where another build of it is here; FetchError, UsageError where it cannot be had.
    """
    store = Store(environ.cache_root() / ENTRIES)
    exact = LlvmVersion.parse(tool.version)
    wheel = pins.load().wheel(exact.major) if exact else None
    if wheel is not None and wheel.version == exact:
        provision.install([wheel.version.major], pins.load(), environ.data_root())
    machine = requesting.machine(store)
    same = [found for found in machine if str(found.version) == tool.version]
    for found in same:
        if _Tool.of(found, store) == tool:
            return found
    what = "another build of it than the one that asks" if same else "not installed"
    raise ToolchainError(f"LLVM {tool.version} is {what}", fix="use a toolchain of PyPI's: it is the same everywhere")


def _packed(tree: Path, *, whole: bool) -> bytes:
    """Pack what is needed of a tree: all of it where CPython is built, else what stencils are made from."""
    roots = [tree] if whole else [tree / part for part in STENCIL_PARTS]
    found = [path for root in roots for path in files.walk(root) if path.suffix != ".pyc"]
    contents = {path.relative_to(tree).as_posix(): path.read_bytes() for path in found}
    return archive.write_tar(contents, compress=True)


def _message(job: Job, tree: str, tools: dict[str, _Tool], timeout: float) -> bytes:
    def spelt(program: str) -> list[str]:
        return [tools[program].version, tools[program].program] if program else []

    content = {
        "code": code(),
        "job": results.render_job(replace(job, tree="", pyconfig="", program="", reference="")).decode(),
        "tree": tree,
        "pyconfig": base64.b64encode(Path(job.pyconfig, _CONFIG).read_bytes()).decode(),
        "program": spelt(job.program),
        "reference": spelt(job.reference),
        "timeout": timeout,
    }
    return json.dumps(content).encode()


def on_worker(message: bytes, packed: bytes) -> bytes:
    """Do one job, on a worker, with what it has in its cache or is sent; return the result's file."""
    asked: dict[str, Any] = json.loads(message)
    job = results.parse_job(asked["job"].encode(), "a job")
    try:
        if asked["code"] != code():
            raise ClusterError("this worker has another stencilkit than the one that asks")
        job = replace(
            job,
            tree=str(_tree(asked["tree"], packed)),
            pyconfig=str(_pyconfig(base64.b64decode(asked["pyconfig"]))),
            program=_program(asked["program"]),
            reference=_program(asked["reference"]),
        )
    except StencilkitError as error:
        return results.render(scheduling.unfinished(job.cell, job.depth, error.what))
    return results.render(scheduling.alone(job, asked["timeout"]))


def _program(tool: Sequence[str]) -> str:
    return str(_here(_Tool(version=tool[0], program=tool[1])).program) if tool else ""


def _tree(digest: str, packed: bytes) -> Path:
    """Unpack a tree into the cache, once.

    Raises: ClusterError where it is not what its digest says.
    """
    if hashlib.sha256(packed).hexdigest() != digest:
        raise ClusterError("a tree was damaged on its way")
    cache = private.make(environ.cache_root())
    folder = cache / "trees" / f"sha256-{digest[:32]}"
    with files.locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            with files.scratch("tree") as scratch:
                tarball = scratch / "tree.tar.gz"
                tarball.write_bytes(packed)
                fetch.unpack(tarball, folder)
            for path in files.walk(folder):
                if files.starts_with(path, b"#!"):
                    path.chmod(0o755)
    return folder


def _pyconfig(content: bytes) -> Path:
    folder = private.make(environ.cache_root()) / "pyconfig" / f"sha256-{hashlib.sha256(content).hexdigest()[:32]}"
    files.write(folder / _CONFIG, content)
    return folder
