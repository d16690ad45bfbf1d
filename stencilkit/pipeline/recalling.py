"""What the answers about a cell depend on -> a key, under which answers and stencils are kept in the cache.

Where trees and toolchains are is part of no key: what is in them is, and what their headers are preprocessed to.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from stencilkit import generator, toolchain
from stencilkit.compiler import closure
from stencilkit.model.build import Closure
from stencilkit.model.gate import Variation
from stencilkit.model.qualification import Cell, Job
from stencilkit.model.source import STENCIL_PARTS
from stencilkit.pipeline import building, configuring, requesting, varying
from stencilkit.support import files, resources
from stencilkit.support.cache import DAMAGE, Store, key_of

# The files of an output folder as JSON, which has no bytes: each byte is a character.
_BYTES = "latin-1"


def answers(job: Job, varied: tuple[Variation, ...], store: Store) -> str:
    """Make the key of all answers about a cell."""
    works, fails = varying.usable(varied)
    programs = [program for program in (job.program, job.reference) if program]
    return key_of(
        "answers",
        *_inputs(job),
        [[_identity(program, store), _included(job, program, store)] for program in programs],
        [*(item.name for item in works), *fails],
        _lent(job, store),
        [str(job.cell), job.depth, job.sample, sorted(job.ledger.items())],
    )


def stencils(job: Job, store: Store) -> str:
    """Make the key of the stencils that the LLVM makes which upstream pins."""
    compiler = [_identity(job.reference, store), _included(job, job.reference, store)]
    return key_of("stencils", *_inputs(job), compiler, job.cell.target, job.cell.flavour)


def inputs(job: Job, store: Store) -> str:
    """Digest what a job is about: what an interrupted run goes on with must be the same.

    What the C library's headers say is not in it: it takes a compiler for each cell to find out.
    """
    programs = [program for program in (job.program, job.reference) if program]
    identities = [_identity(program, store) for program in programs]
    return key_of("job", *_inputs(job), identities, _lent(job, store), job.sample, sorted(job.ledger.items()))


def put_folder(key: str, folder: Path, store: Store) -> None:
    """Keep the files of an output folder."""
    content = {path.name: path.read_bytes().decode(_BYTES) for path in files.walk(folder)}
    store.put(key, json.dumps(content).encode())


def get_folder(key: str, folder: Path, store: Store) -> Path | None:
    """Write the files that are kept into a new folder; None where there are none."""
    found = store.read(key, _contents, *DAMAGE)
    if found is None:
        return None
    files.write_together(folder, found)
    return folder


def _contents(entry: bytes) -> Mapping[str, bytes]:
    found = {name: text.encode(_BYTES) for name, text in json.loads(entry).items()}
    if strange := [name for name in found if not name.strip(".") or Path(name).name != name]:
        raise ValueError(f"{strange[0]!r} is not the name of a file")
    return found


def _inputs(job: Job) -> list[str]:
    config = files.sha256(Path(job.pyconfig, "pyconfig.h"))
    return [resources.whole_digest(), _tree(Path(job.tree)), config]


@functools.cache
def _tree(tree: Path) -> str:
    hasher = hashlib.sha256()
    for path in (path for part in STENCIL_PARTS for path in files.walk(tree / part)):
        hasher.update(f"{path.relative_to(tree)} {files.sha256(path)}\n".encode())
    return hasher.hexdigest()


@functools.cache
def _identity(program: str, store: Store) -> list[object]:
    identity = toolchain.identity(requesting.at(program, store), store)
    return [identity.program, *sorted(identity.libraries.items())]


def _lent(job: Job, store: Store) -> list[list[str]]:
    """Digest the programs of LLVM's that the tree's own generator calls: where one is not here, it is not asked."""
    return [list(item) for item in _programs(job.tree, job.program, store)]


@functools.cache
def _programs(tree: str, program: str, store: Store) -> tuple[tuple[str, str], ...]:
    tool, others = requesting.at(program, store), requesting.machine(store)
    found = {name: toolchain.beside(tool, name, others) for name in generator.programs(Path(tree))}
    return tuple((name, files.sha256(path) if path else "") for name, path in found.items())


def _included(job: Job, program: str, store: Store) -> list[object]:
    """Say what stencils include, with a compiler: headers of the C library and of clang belong to no tree."""
    found = _closure(job.cell, job.tree, job.pyconfig, program, store)
    return [found.digest, [(file.origin, file.name, file.sha256) for file in found.files]]


@functools.cache
def _closure(cell: Cell, tree: str, pyconfig: str, program: str, store: Store) -> Closure:
    request = configuring.request(configuring.configuration(cell, tree, pyconfig, program, store), "", 1, store)
    with files.scratch("closure") as work:
        return closure.find(building.plan_of(request), work)
