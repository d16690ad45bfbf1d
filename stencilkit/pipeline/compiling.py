"""Units -> object files: from the cache where it has them, else compiled in batches by several workers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stencilkit import compiler, merge, objects, source
from stencilkit.compiler import Account, Session
from stencilkit.errors import ObjectError
from stencilkit.model.build import Driver, Emits, Plan
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.request import BuildRequest
from stencilkit.model.source import Unit
from stencilkit.pipeline import keeping, remembering
from stencilkit.pipeline.keeping import Batch, Calls, Entry, Kept, Prefix
from stencilkit.pipeline.packing import Packed
from stencilkit.pipeline.remembering import Early, Inputs
from stencilkit.support import process
from stencilkit.support.cache import Store
from stencilkit.support.progress import Progress

if TYPE_CHECKING:
    from stencilkit.asmopt import Frames

# A batch costs the start of a compiler (40 ms with what is precompiled, as much as four uops), and the last one keeps
# a worker busy while the others have nothing.
_LARGEST_BATCH: Final = 160
_SMALLEST_BATCH: Final = 16
# With its dead code, a unit takes as long as ten.
_SENSITIVE_BATCH: Final = 3
# To have the front end read what such units share takes as long as three of them save. In a release build, about one in
# ten needs its dead code.
_MANY: Final = 4
_SHARE: Final = 10
_FRAMES: Final[Mapping[str, Frames]] = {
    "-mframe-pointer=reserved": "reserved",
    "-mframe-pointer=all": "all",
}
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


def compile_all(inputs: Inputs, work: Path, store: Store, progress: Progress, early: Early | None = None) -> Compiled:
    """Get every unit's object file; what has to be compiled is compiled in the folder `work`, where `early` works, too.

    Raises: CompileError with the diagnostics of all units that failed; AssemblyError; ObjectError.
    """
    plan = inputs.plan
    packed = Packed(store, remembering.place(inputs.request, "pack"))
    kept = Kept(packed, keeping.keys(plan, inputs.closure, inputs.identity, inputs.told.unasked))
    progress.begin(plan.label, len(plan.units))
    notes: tuple[str, ...] = ()
    try:
        entries: list[Entry] = []
        missing: list[Unit] = []
        with process.workers(1) as beside:
            asked: Future[Session] | None = None
            for unit in plan.units:
                known = kept.find(unit)
                if known:
                    entries.append(known)
                else:
                    missing.append(unit)
                    # The driver answers while the others are looked for.
                    asked = asked or beside.submit(_ask_driver, inputs, work, store, early)
        recalled = functools.cache(functools.partial(_recalled, kept, entries, progress))
        make = functools.partial(_make, inputs, kept, store, progress, recalled)
        made = make(asked.result(), missing) if asked else []
        damaged = [entry.unit for entry, batch in zip(entries, recalled(), strict=True) if not len(batch)]
        if damaged:
            made += make(asked.result() if asked else _ask_driver(inputs, work, store, early), damaged)
        batches = [*recalled(), *made]
        notes = sum((batch.account for batch in made), Account()).notes
    finally:
        progress.end()
    packed.pack()
    found = {name: obj for batch in batches for name, obj in batch.objects.items()}
    uops = {unit.name for unit in plan.units if unit.role == "uop"}
    plain = any(batch.driver_of(name) == "plain" for batch in batches for name in uops & batch.objects.keys())
    return Compiled(
        objects={unit.name: found[unit.name] for unit in plan.units if unit.role != "object"},
        shim=next((data for batch in batches for data in batch.raw.values()), None),
        driver="plain" if plain else "batched",
        notes=notes,
    )


def _recalled(kept: Kept, entries: Sequence[Entry], progress: Progress) -> list[Batch]:
    """Read what the store has, in its order; nothing of what is of no use."""
    found = [kept.read(entry) for entry in entries]
    progress.advance(sum(map(len, found)))
    return found


def _make(
    inputs: Inputs,
    kept: Kept,
    store: Store,
    progress: Progress,
    meanwhile: Callable[[], object],
    begun: Session,
    missing: Sequence[Unit],
) -> list[Batch]:
    """Compile units; do something else while the compilers run.

    Raises: CompileError with the diagnostics of all units that failed; AssemblyError; ObjectError.
    """
    plan = inputs.plan
    prefix = Prefix(store, keeping.prefix_key(plan, inputs.closure, inputs.identity, inputs.told.unasked))
    made = _Making(plan, inputs.request, kept, progress, prefix, begun, meanwhile).make(missing)
    compiler.check_failures(plan, sum((batch.account for batch in made), Account()).failures)
    return made


def _ask_driver(inputs: Inputs, work: Path, store: Store, early: Early | None) -> Session:
    """Take the session that was begun, or begin one where that may have read what was there before."""
    plan, batched = inputs.plan, inputs.request.batched
    calls = Calls(store, keeping.calls_key(plan, inputs.identity, inputs.heard if batched else ""))
    if early:
        # Wait for it, even if it is of no use.
        begun = early.session.result()
        if remembering.is_older(inputs, early.moment):
            calls.keep(begun)
            return begun
    known = calls.recall(Session(plan=plan, work=work))
    if known is None:
        known = compiler.ask(plan, work, batched=batched)
        calls.keep(known)
    return known


@dataclass(frozen=True, slots=True)
class _Making:
    """How those units of a build are made that the store does not have by their own text."""

    plan: Plan
    request: BuildRequest
    kept: Kept
    progress: Progress
    prefix: Prefix
    begun: Session
    meanwhile: Callable[[], object]

    def make(self, missing: Sequence[Unit]) -> list[Batch]:
        """Compile units, but for those of which all that is live is as it was, although other uops have changed."""
        known = [unit for unit in missing if self.kept.is_sensitive(unit)]
        others = [unit for unit in missing if unit not in known]
        obscure = [unit for unit in known if self.kept.is_obscure(unit)]
        at_once = [_whole(unit) for unit in obscure]
        waiting = [unit for unit in known if unit not in obscure]
        concerned = [unit for unit in missing if unit.short_body is not None]
        self.kept.recall_live()
        asked = concerned[0] if concerned and not self.kept.live and self._may_ask() else None
        # One of each is compiled as quickly with its prefix.
        session = self._session(max(others, at_once, key=len)) if others or at_once or asked else None
        batches = [*_batches(others, self.request.jobs), *_pieces(at_once, self.request.jobs)]
        made = self._compile(session, batches, asked, self._shared(concerned, at_once)) if session else []
        recalled = [self.kept.recall(unit) for unit in waiting]
        self.progress.advance(sum(map(len, recalled)))
        rest = [_whole(unit) for unit, batch in zip(waiting, recalled, strict=True) if not len(batch)]
        if rest and (session is None or (len(rest) > 1 and not session.precompiled)):
            session = self._session(rest)
        pieces = _pieces(rest, self.request.jobs)
        again = self._compile(session, pieces, None, self._shared((), rest)) if session and rest else []
        notes = Batch(account=Account(notes=session.notes if session else ()))
        return [notes, *made, *recalled, *again]

    def _shared(self, concerned: Sequence[Unit], whole: Sequence[Unit]) -> Unit | None:
        """Return a unit whose text is to be read for all that are compiled with their dead code, None where few are.

        Nobody has tried to go on from there with flags of the user's.
        """
        if self.plan.cflags or self.request.allow_driver_flags:
            return None
        share = 1 if self.plan.flavour == "debug" else _SHARE
        several = len(whole) + len(concerned) // share >= _MANY
        return next(iter((*whole, *concerned)), None) if several else None

    def _may_ask(self) -> bool:
        """Return whether it is of use, and right, to ask what is live: not where cases alter those behind them."""
        if self.plan.flavour != "release" or not self.kept.store.keeps:
            return False
        return source.are_apart(source.uops(self.plan.tree))

    def _session(self, units: Sequence[Unit]) -> Session:
        uops = sum(unit.role == "uop" for unit in units)
        kept = self.prefix.recall() if uops and not self.begun.precompiled else None
        session = self.begun if self.begun.precompiled else compiler.prepare(self.begun, single=uops < 2, kept=kept)
        if session.precompiled and kept is None:
            self.prefix.keep(session.prefix)
        return session

    def _compile(
        self, session: Session, units: Sequence[Sequence[Unit]], asked: Unit | None, shared: Unit | None
    ) -> list[Batch]:
        """Compile batches of units, and keep what comes of them as it comes; return it in their order.

        Where a unit is asked, find out what is live for each; where one is shared, have its text read once for all.
        """
        made: dict[int, Batch] = {}
        # Closed before this function ends, so that no worker outlives the folder that it works in:
        with contextlib.closing(_run(session, units, self.request.jobs, asked, shared, self.meanwhile)) as batches:
            try:
                for number, batch in batches:
                    self.kept.keep(batch)
                    made[number] = batch
                    self.progress.advance(len(batch))
            except KeyboardInterrupt:
                # It may arrive here as well as among the workers.
                process.stop_all()
                raise
        self.kept.keep_waiting()
        return [made[number] for number in sorted(made)]


def _run(
    session: Session,
    batches: Sequence[Sequence[Unit]],
    jobs: int,
    asked: Unit | None,
    shared: Unit | None,
    meanwhile: Callable[[], object],
) -> Generator[tuple[int, Batch]]:
    with process.workers(jobs) as pool:
        if shared is not None:
            # Batches wait for it, and begin after it.
            session = replace(session, front=pool.submit(session.find_front, shared, _with_dead_code(session.plan)))
        started = {pool.submit(_ask, session, asked): -1} if asked is not None else {}
        started |= {pool.submit(_compile, session, batch): number for number, batch in enumerate(batches)}
        meanwhile()
        for future in as_completed(started):
            yield started[future], future.result()


def _ask(session: Session, unit: Unit) -> Batch:
    """Find out what is live for each uop, with the text of a unit in which all of them are."""
    return Batch(live=session.live(unit, _with_dead_code(session.plan)))


def _with_dead_code(plan: Plan) -> list[str]:
    return [unit.name for unit in plan.units if unit.short_body is not None]


def _batches(units: Sequence[Unit], jobs: int) -> list[Sequence[Unit]]:
    """Cut the work: slow single units first, then pieces that get smaller, so that all workers end together."""
    batches: list[Sequence[Unit]] = [[unit] for unit in units if unit.role != "uop"]
    uops = [unit for unit in units if unit.role == "uop"]
    while uops:
        # Two thirds of a worker's part.
        size = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, -(-2 * len(uops) // (3 * jobs))))
        batches.append(uops[:size])
        uops = uops[size:]
    return batches


def _pieces(units: Sequence[Unit], jobs: int) -> list[Sequence[Unit]]:
    """Cut units with all their dead code into pieces, few where there are many of them."""
    size = max(_SENSITIVE_BATCH, -(-len(units) // (2 * jobs)))
    return [units[start : start + size] for start in range(0, len(units), size)]


def _whole(unit: Unit) -> Unit:
    """Have a unit compiled with all its dead code."""
    return replace(unit, short_body=None)


def _compile(session: Session, units: Sequence[Unit]) -> Batch:
    emitted = session.emit(units)
    stay = {unit.name for unit in units if unit.role == "object"}
    raw = {name: data for name, data in emitted.data.items() if name in stay}
    rest = {name: data for name, data in emitted.data.items() if name not in stay}
    parsed, account = _ROUTES[session.plan.emits](session, rest) if rest else ({}, Account())
    return Batch(objects=parsed, raw=raw, account=emitted.account + account)


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
    from stencilkit import asmopt  # noqa: PLC0415  # loading it takes as long as a uop, and few builds emit assembly

    plan = session.plan
    arguments = plan.driver_arguments(entry=False, step="emit")
    frames: Frames = next((_FRAMES[word] for word in arguments if word in _FRAMES), "any")
    texts = {
        name: asmopt.rewrite(name, text.decode("utf-8"), plan.target, frames, unaligned=plan.unaligned)
        for name, text in outputs.items()
    }
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
