"""Units -> object files: from the cache where it has them, else compiled in batches by several workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from typing import Final, get_args

from stencilkit import asmopt, merge, objects
from stencilkit.compiler import Session
from stencilkit.errors import ObjectError
from stencilkit.model.build import Closure, Driver, Emits, Plan
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.request import BuildRequest
from stencilkit.model.source import Unit
from stencilkit.model.target import Step
from stencilkit.model.toolchain import Identity
from stencilkit.objects import stored
from stencilkit.support import process, resources
from stencilkit.support.cache import Store
from stencilkit.support.progress import Progress, counting

# The code between a unit and its ObjectFile: a change there makes old cache entries useless.
_CODE: Final = (
    *("asmopt", "compiler", "dialects/_ghccc.py", "merge.py", "objects", "pipeline/compiling.py"),
    *("model/build.py", "model/objectfile.py", "model/source.py"),
)
# A batch costs the start of a compiler (30 ms), and the last one keeps one worker busy while the others have nothing.
_LARGEST_BATCH: Final = 96
_SMALLEST_BATCH: Final = 8
_FRAMES: Final[Mapping[str, asmopt.Frames]] = {
    "-mframe-pointer=reserved": "reserved",
    "-mframe-pointer=all": "all",
}
# The first byte of a cache entry says which driver compiled it.
_MARKS: Final[Mapping[bytes, Driver]] = {b"b": "batched", b"p": "plain"}
# What stands under the key of a unit whose bytes may depend on its dead code: the entry has the other key.
_SENSITIVE: Final = b"d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The object files of all units but the shim's, in the order of the plan; the shim's bytes; the driver.

    `notes` say what was done the slow way.
    """

    objects: Mapping[str, ObjectFile]
    shim: bytes | None
    driver: Driver
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Results:
    """What has been compiled so far: raw bytes for units that stay objects, parsed files for the others."""

    objects: dict[str, ObjectFile] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.objects or name in self.raw

    def __len__(self) -> int:
        return len(self.objects) + len(self.raw)


@dataclass(frozen=True, slots=True)
class _Key:
    """The cache keys of a unit: by its text without dead code, and by its whole text. Often they are the same."""

    short: str
    whole: str


def compile_all(
    session: Session,
    closure: Closure,
    identity: Identity,
    unasked: Sequence[str],
    request: BuildRequest,
    store: Store,
    progress: Progress,
) -> Compiled:
    """Get every unit's object file.

    Raises: CompileError with the diagnostics of all units that failed; AssemblyError; ObjectError.
    """
    plan = session.plan
    keys = _keys(plan, closure, identity, unasked)
    drivers: dict[str, Driver] = {}
    results = _Results()
    with counting(progress, f"{plan.target.triple} {plan.flavour} llvm-{plan.toolchain.version}", len(plan.units)):
        for unit in plan.units:
            driver = _recall(unit, keys[unit.name], store, results)
            if driver is not None:
                drivers[unit.name] = driver
        progress.advance(len(results))
        missing = [unit for unit in plan.units if unit.name not in results]
        if missing:
            session.prepare(batched=request.batched)
            # Closed before this function ends, so that no worker outlives the folder that it works in:
            with contextlib.closing(_run(session, missing, request.jobs)) as batches:
                try:
                    for batch in batches:
                        _keep(batch, keys, session, store, drivers)
                        results.objects.update(batch.objects)
                        results.raw.update(batch.raw)
                        progress.advance(len(batch))
                except KeyboardInterrupt:
                    # It may arrive here as well as among the workers.
                    process.stop_all()
                    raise
            session.raise_failures()
            store.trim()
    uops = {unit.name for unit in plan.units if unit.role == "uop"}
    return Compiled(
        objects={unit.name: results.objects[unit.name] for unit in plan.units if unit.role != "object"},
        shim=next(iter(results.raw.values()), None),
        driver="plain" if any(drivers[name] == "plain" for name in uops) else "batched",
        # Workers add to them, each when it comes to that.
        notes=tuple(sorted(session.notes)),
    )


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


def _recall(unit: Unit, key: _Key, store: Store, results: _Results) -> Driver | None:
    """Take a unit's object from the store; return the driver that compiled it, None where there is nothing of use."""
    name, entry = key.short, store.get(key.short)
    if entry == _SENSITIVE:
        name, entry = key.whole, store.get(key.whole)
    if entry is None:
        return None
    try:
        return _use(unit, entry, results)
    except ObjectError:
        # Somebody wrote it who computed a digest: it is compiled again.
        store.forget(name)
        return None


def _use(unit: Unit, entry: bytes, results: _Results) -> Driver:
    driver, content = _MARKS.get(entry[:1]), entry[1:]
    if driver is None:
        raise ObjectError("no driver compiles to this")
    if unit.role == "object":
        results.raw[unit.name] = content
    else:
        results.objects[unit.name] = stored.load(content)
    return driver


def _keep(
    batch: _Results, keys: Mapping[str, _Key], session: Session, store: Store, drivers: dict[str, Driver]
) -> None:
    contents = {name: stored.dump(obj) for name, obj in batch.objects.items()} | batch.raw
    for name, content in contents.items():
        drivers[name] = "plain" if name in session.fallbacks else "batched"
        mark = next(mark for mark, driver in _MARKS.items() if driver == drivers[name])
        key = keys[name]
        if name not in session.shortened and key.short != key.whole:
            store.put(key.short, _SENSITIVE)
            store.put(key.whole, mark + content)
        else:
            store.put(key.short, mark + content)


def _run(session: Session, units: Sequence[Unit], jobs: int) -> Generator[_Results]:
    with process.workers(jobs) as pool:
        for future in as_completed([pool.submit(_compile, session, batch) for batch in _batches(units, jobs)]):
            yield future.result()


def _batches(units: Sequence[Unit], jobs: int) -> list[Sequence[Unit]]:
    """Cut the work: slow single units first, then pieces that get smaller, so that all workers end together."""
    uops = [unit for unit in units if unit.role == "uop"]
    batches: list[Sequence[Unit]] = [[unit] for unit in units if unit.role != "uop"]
    while uops:
        size = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, -(-len(uops) // (2 * jobs))))
        batches.append(uops[:size])
        uops = uops[size:]
    return batches


def _compile(session: Session, units: Sequence[Unit]) -> _Results:
    outputs = session.emit(units)
    raw = {unit.name: outputs.pop(unit.name) for unit in units if unit.role == "object" and unit.name in outputs}
    return _Results(objects=_ROUTES[session.plan.emits](session, outputs) if outputs else {}, raw=raw)


def _from_objects(session: Session, outputs: Mapping[str, bytes]) -> dict[str, ObjectFile]:
    return {name: _parse(session, name, data) for name, data in outputs.items()}


def _parse(session: Session, name: str, data: bytes) -> ObjectFile:
    try:
        return objects.parse(data, session.plan.target)
    except ObjectError as error:
        raise ObjectError(
            error.what,
            where=f"uop {name}, {session.plan.toolchain.label}",
            fix=error.fix or "look for a flag that causes it (--cflags), or report this with the uop's name",
        ) from None


def _from_ir(session: Session, outputs: Mapping[str, bytes]) -> dict[str, ObjectFile]:
    edit = session.plan.tree.python.dialect.edit_ir
    edited = {name: edit(text.decode("utf-8")) for name, text in outputs.items()}
    return _from_objects(session, session.finish_ir(edited))


def _from_assembly(session: Session, outputs: Mapping[str, bytes]) -> dict[str, ObjectFile]:
    plan = session.plan
    target = plan.target
    arguments = plan.driver_arguments(entry=False, step="emit")
    frames: asmopt.Frames = next((_FRAMES[word] for word in arguments if word in _FRAMES), "any")
    texts = {name: asmopt.rewrite(name, text.decode("utf-8"), target, frames) for name, text in outputs.items()}
    if session.driver == "plain" or not target.text_section:
        return _from_objects(session, session.assemble(texts))
    merged = f"merged-{next(iter(texts))}"
    data = session.assemble({merged: merge.merge(texts, target)}).get(merged)
    if data is None:
        # One of them has a mistake: assembled alone, it says which.
        said = session.failures.pop(merged).splitlines() or ["the assembler did not say why"]
        session.notes.append(f"merged assembly was refused: {said[0]}")
        return _from_objects(session, session.assemble(texts))
    try:
        return merge.split(_parse(session, merged, data), list(texts))
    except ObjectError as error:
        # A section that cannot be told apart (.data, .bss): alone, each has its own, or the error names the uop.
        session.notes.append(f"merged assembly could not be taken apart: {error.what}")
        return _from_objects(session, session.assemble(texts))


_ROUTES: Final[Mapping[Emits, Callable[[Session, Mapping[str, bytes]], dict[str, ObjectFile]]]] = {
    "object": _from_objects,
    "llvm-ir": _from_ir,
    "assembly": _from_assembly,
}
