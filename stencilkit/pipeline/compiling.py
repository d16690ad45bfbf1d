"""Units -> object files: from the cache where it has them, else compiled in batches by several workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, get_args

from stencilkit import asmopt, compiler, merge, objects
from stencilkit.compiler import Account, Session
from stencilkit.errors import ObjectError
from stencilkit.model.build import Closure, Driver, Emits, Plan
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.source import Unit
from stencilkit.model.target import Step
from stencilkit.model.toolchain import Identity
from stencilkit.objects import stored
from stencilkit.pipeline.remembering import Inputs
from stencilkit.support import process, resources
from stencilkit.support.cache import Store
from stencilkit.support.progress import Progress

# The code between a unit and its ObjectFile: a change there makes old cache entries useless.
_CODE: Final = (
    *("asmopt", "compiler", "dialects/_ghccc.py", "merge.py", "objects", "pipeline/compiling.py"),
    *("model/build.py", "model/objectfile.py", "model/source.py"),
)
# A batch costs the start of a compiler (30 ms), and the last one keeps one worker busy while the others have nothing.
_LARGEST_BATCH: Final = 96
_SMALLEST_BATCH: Final = 8
# With its dead code, a unit takes as long as ten.
_SENSITIVE_BATCH: Final = 3
_FRAMES: Final[Mapping[str, asmopt.Frames]] = {
    "-mframe-pointer=reserved": "reserved",
    "-mframe-pointer=all": "all",
}
# The first byte of a cache entry says which driver compiled it.
_MARKS: Final[Mapping[bytes, Driver]] = {b"b": "batched", b"p": "plain"}
# What stands under the key of a unit whose bytes may depend on its dead code: the entry has the other key. The second
# is of one that clang was asked about: without its dead code, it is not compiled again.
_UNASKED: Final = b"d"
_SENSITIVE: Final = b"s"


_Parsed = tuple[Mapping[str, ObjectFile], Account]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The object files of all units but the shim's, in the order of the plan; the shim's bytes; the driver.

    `notes` say what was done the slow way.
    """

    objects: Mapping[str, ObjectFile]
    shim: bytes | None
    driver: Driver
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What came of some units: raw bytes of those that stay objects, parsed files of the others; how."""

    objects: Mapping[str, ObjectFile]
    raw: Mapping[str, bytes]
    account: Account = field(default_factory=Account)

    def __len__(self) -> int:
        return len(self.objects) + len(self.raw)

    def driver_of(self, name: str) -> Driver:
        """Return the driver that compiled a unit."""
        return "plain" if name in self.account.alone else "batched"


@dataclass(frozen=True, slots=True)
class _Key:
    """The cache keys of a unit: by its text without dead code, and by its whole text. Often they are the same."""

    short: str
    whole: str


def compile_all(inputs: Inputs, work: Path, store: Store, progress: Progress) -> Compiled:
    """Get every unit's object file; what has to be compiled is compiled in the folder `work`.

    Raises: CompileError with the diagnostics of all units that failed; AssemblyError; ObjectError.
    """
    plan, request = inputs.plan, inputs.request
    keys = _keys(plan, inputs.closure, inputs.identity, inputs.told.unasked)
    progress.begin(plan.label, len(plan.units))
    notes: tuple[str, ...] = ()
    try:
        batches = [_recall(unit, keys[unit.name], store) for unit in plan.units]
        progress.advance(sum(map(len, batches)))
        missing = [unit for unit, batch in zip(plan.units, batches, strict=True) if not len(batch)]
        if missing:
            single = sum(unit.role == "uop" for unit in missing) == 1
            session = compiler.prepare(plan, work, batched=request.batched, single=single)
            missing = [_known(unit, keys[unit.name], store) for unit in missing]
            made = _compile_missing(session, missing, request.jobs, keys, store, progress)
            account = sum((batch.account for batch in made), Account(notes=session.notes))
            compiler.check_failures(plan, account.failures)
            batches += made
            notes = account.notes
    finally:
        progress.end()
    found = {name: obj for batch in batches for name, obj in batch.objects.items()}
    uops = {unit.name for unit in plan.units if unit.role == "uop"}
    plain = any(batch.driver_of(name) == "plain" for batch in batches for name in uops & batch.objects.keys())
    return Compiled(
        objects={unit.name: found[unit.name] for unit in plan.units if unit.role != "object"},
        shim=next((data for batch in batches for data in batch.raw.values()), None),
        driver="plain" if plain else "batched",
        notes=notes,
    )


def _compile_missing(
    session: Session, units: Sequence[Unit], jobs: int, keys: Mapping[str, _Key], store: Store, progress: Progress
) -> list[_Batch]:
    """Compile units, and keep what comes of them as it comes; return it in the order of the batches."""
    made: dict[int, _Batch] = {}
    # Closed before this function ends, so that no worker outlives the folder that it works in:
    with contextlib.closing(_run(session, units, jobs)) as batches:
        try:
            for number, batch in batches:
                _keep(batch, keys, store)
                made[number] = batch
                progress.advance(len(batch))
        except KeyboardInterrupt:
            # It may arrive here as well as among the workers.
            process.stop_all()
            raise
    return [made[number] for number in sorted(made)]


def _keys(plan: Plan, closure: Closure, identity: Identity, unasked: Sequence[str]) -> dict[str, _Key]:
    """Make the cache keys of every unit: all that its object depends on, and no path."""
    shared = json.dumps(
        [
            resources.code_digest(*_CODE),
            plan.tree.version.series,
            plan.target.code_key,
            plan.flavour,
            str(plan.toolchain.version),
            plan.toolchain.vendor,
            identity.program,
            sorted(identity.libraries.items()),
            # With the order, and the step that each flag is for.
            [plan.line(entry=entry, step=step) for entry in (False, True) for step in get_args(Step)],
            plan.cflags,
            # A wrapper may take its flags from anywhere:
            list(unasked),
            plan.headers.origin,
            closure.digest,
        ]
    )
    base = hashlib.sha256(shared.encode())
    # Units of one build may share a body of hundreds of kilobytes (3.13's dead cases): it is hashed once.
    bodies: dict[str, bytes] = {}
    keys = {}
    for unit in plan.units:
        hasher = base.copy()
        hasher.update(unit.short_tail.encode())
        short = hasher.hexdigest()
        if unit.short_body is not None:
            if unit.body not in bodies:
                bodies[unit.body] = hashlib.sha256(unit.body.encode()).digest()
            hasher.update(bodies[unit.body])
        keys[unit.name] = _Key(short=short, whole=hasher.hexdigest())
    return keys


def _recall(unit: Unit, key: _Key, store: Store) -> _Batch:
    """Take a unit's object from the store; nothing where there is nothing of use."""
    name, entry = key.short, store.get(key.short)
    if entry in (_UNASKED, _SENSITIVE):
        name, entry = key.whole, store.get(key.whole)
    if entry is None:
        return _Batch(objects={}, raw={})
    try:
        return _stored(unit, entry)
    except ObjectError:
        # Somebody wrote it who computed a digest: it is compiled again.
        store.forget(name)
        return _Batch(objects={}, raw={})


def _known(unit: Unit, key: _Key, store: Store) -> Unit:
    """Take its short body from a unit that is known to need its dead code."""
    return replace(unit, short_body=None) if unit.short_body and store.get(key.short) == _SENSITIVE else unit


def _stored(unit: Unit, entry: bytes) -> _Batch:
    driver, content = _MARKS.get(entry[:1]), entry[1:]
    if driver is None:
        raise ObjectError("no driver compiles to this")
    account = Account(alone=frozenset({unit.name} if driver == "plain" else ()))
    if unit.role == "object":
        return _Batch(objects={}, raw={unit.name: content}, account=account)
    return _Batch(objects={unit.name: stored.load(content)}, raw={}, account=account)


def _keep(batch: _Batch, keys: Mapping[str, _Key], store: Store) -> None:
    contents = {name: stored.dump(obj) for name, obj in batch.objects.items()} | dict(batch.raw)
    for name, content in contents.items():
        mark = next(mark for mark, driver in _MARKS.items() if driver == batch.driver_of(name))
        key = keys[name]
        if name not in batch.account.shortened and key.short != key.whole:
            store.put(key.short, _UNASKED if batch.driver_of(name) == "plain" else _SENSITIVE)
            store.put(key.whole, mark + content)
        else:
            store.put(key.short, mark + content)


def _run(session: Session, units: Sequence[Unit], jobs: int) -> Generator[tuple[int, _Batch]]:
    with process.workers(jobs) as pool:
        started = {pool.submit(_compile, session, batch): n for n, batch in enumerate(_batches(units, jobs))}
        for future in as_completed(started):
            yield started[future], future.result()


def _batches(units: Sequence[Unit], jobs: int) -> list[Sequence[Unit]]:
    """Cut the work: slow single units first, then pieces that get smaller, so that all workers end together."""
    batches: list[Sequence[Unit]] = [[unit] for unit in units if unit.role != "uop"]
    uops = [unit for unit in units if unit.role == "uop"]
    if any(unit.short_body is not None for unit in uops):
        whole = [unit for unit in uops if unit.short_body is None]
        batches += [whole[start : start + _SENSITIVE_BATCH] for start in range(0, len(whole), _SENSITIVE_BATCH)]
        uops = [unit for unit in uops if unit.short_body is not None]
    while uops:
        size = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, -(-len(uops) // (2 * jobs))))
        batches.append(uops[:size])
        uops = uops[size:]
    return batches


def _compile(session: Session, units: Sequence[Unit]) -> _Batch:
    emitted = session.emit(units)
    stay = {unit.name for unit in units if unit.role == "object"}
    raw = {name: data for name, data in emitted.data.items() if name in stay}
    rest = {name: data for name, data in emitted.data.items() if name not in stay}
    parsed, account = _ROUTES[session.plan.emits](session, rest) if rest else ({}, Account())
    return _Batch(objects=parsed, raw=raw, account=emitted.account + account)


def _from_objects(session: Session, outputs: Mapping[str, bytes]) -> _Parsed:
    return {name: _parse(session, name, data) for name, data in outputs.items()}, Account()


def _parse(session: Session, name: str, data: bytes) -> ObjectFile:
    try:
        return objects.parse(data, session.plan.target)
    except ObjectError as error:
        raise ObjectError(
            error.what,
            where=f"uop {name}, {session.plan.toolchain.label}",
            fix=error.fix or "look for a flag that causes it (--cflags), or report this with the uop's name",
        ) from None


def _from_ir(session: Session, outputs: Mapping[str, bytes]) -> _Parsed:
    edit = session.plan.tree.python.dialect.edit_ir
    finished = session.finish_ir({name: edit(text.decode("utf-8")) for name, text in outputs.items()})
    return _from_objects(session, finished.data)[0], finished.account


def _from_assembly(session: Session, outputs: Mapping[str, bytes]) -> _Parsed:
    plan = session.plan
    arguments = plan.driver_arguments(entry=False, step="emit")
    frames: asmopt.Frames = next((_FRAMES[word] for word in arguments if word in _FRAMES), "any")
    texts = {name: asmopt.rewrite(name, text.decode("utf-8"), plan.target, frames) for name, text in outputs.items()}
    if session.driver == "plain" or not plan.target.text_section:
        return _one_by_one(session, texts)
    merged = f"merged-{next(iter(texts))}"
    assembled = session.assemble({merged: merge.merge(texts, plan.target)})
    if merged not in assembled.data:
        # One of them has a mistake: assembled alone, it says which.
        said = assembled.account.failures[merged].splitlines() or ["the assembler did not say why"]
        return _one_by_one(session, texts, f"merged assembly was refused: {said[0]}")
    try:
        return merge.split(_parse(session, merged, assembled.data[merged]), list(texts)), assembled.account
    except ObjectError as error:
        # A section that cannot be distinguished (.data, .bss): alone, each has its own, or the error names the uop.
        return _one_by_one(session, texts, f"merged assembly could not be taken apart: {error.what}")


def _one_by_one(session: Session, texts: Mapping[str, str], *notes: str) -> _Parsed:
    assembled = session.assemble(texts)
    return _from_objects(session, assembled.data)[0], Account(notes=notes) + assembled.account


_ROUTES: Final[Mapping[Emits, Callable[[Session, Mapping[str, bytes]], _Parsed]]] = {
    "object": _from_objects,
    "llvm-ir": _from_ir,
    "assembly": _from_assembly,
}
