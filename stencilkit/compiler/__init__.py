"""Units -> objects, LLVM IR or assembly: batched, parallel, with one process for dozens of units.

What all uops include is compiled once into a precompiled header; `clang -cc1` then takes many inputs and writes
one output beside each. The bytes are those of one driver process per unit, which stays as the fallback for a clang
that refuses this (a wrapper that does not pass -cc1 on, say); which driver was used is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stencilkit.compiler import completeness, live, phis, splice
from stencilkit.compiler.outcome import Account, Outputs, alone, check_failures, failed
from stencilkit.compiler.splice import Front
from stencilkit.errors import ProcessError
from stencilkit.model import cc1
from stencilkit.model.build import Driver, Emits, Plan
from stencilkit.model.source import Unit
from stencilkit.model.target import Step
from stencilkit.support import process

__all__ = ["Account", "Front", "Outputs", "Session", "ask", "check_failures", "prepare", "shared_prefix"]

# What the driver is told to make, and the suffix of the result:
_EMIT: Final[dict[Emits, tuple[tuple[str, ...], str]]] = {
    "object": (("-c",), ".o"),
    "llvm-ir": (("-S", "-emit-llvm"), ".ll"),
    "assembly": (("-S",), ".s"),
}
# cc1 options that describe the driver's single input; a batch has its own. All take a value.
_PER_INPUT: Final = ("-main-file-name", "-o", "-x", "-dumpdir")
# -disable-free leaks what belongs to one input, which is right for a process that ends after it; where dozens follow,
# it costs hundreds of megabytes.
_UNWANTED: Final = ("-disable-free",)
# Where the first of several texts was compiled without names of values, LLVM 24 refuses to read the second. They are in
# no object.
_NAMELESS: Final = "-discard-value-names"
_EMIT_ACTIONS: Final = ("-emit-obj", "-emit-llvm", "-S")
# Each has a megabyte of LLVM IR; all 235 of a debug build would be in memory and on the disk at once.
_SPLICED: Final = 16
# What the front end makes, as text.
_UNOPTIMISED: Final = ("-emit-llvm", "-disable-llvm-passes")
_TIMEOUT_SECONDS: Final = 600.0


def ask(plan: Plan, work: Path, *, batched: bool = True) -> Session:
    """Ask the driver in an empty folder how it would call the compiler, or find that it wants one process per unit."""
    plain = Session(plan=plan, work=work)
    if not batched:
        return plain
    try:
        session = replace(plain, driver="batched", cc1=plain.extract_cc1("probe.c", "emit"))
        if plan.emits == "llvm-ir":
            session = replace(session, second_cc1=session.extract_cc1("probe.ll", "finish"))
    except (ProcessError, _RefusedError) as refusal:
        return _refused(plain, refusal)
    return session


def prepare(session: Session, *, single: bool = False, kept: bytes | None = None) -> Session:
    """Compile the prefix that units share, or take what an earlier build has made of the same: `kept`.

    For a `single` unit, to compile it would take longer than to compile the unit with it.
    """
    if session.driver == "plain" or (single and kept is None):
        return session
    try:
        if kept is None:
            session.precompile()
        else:
            session.prefix.write_bytes(kept)
    except (ProcessError, _RefusedError) as refusal:
        return _refused(Session(plan=session.plan, work=session.work), refusal)
    return replace(session, precompiled=True)


def _refused(plain: Session, refusal: Exception) -> Session:
    return replace(plain, notes=(f"one compiler process per uop: {refusal}",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One build's work folder and how the compiler is called in it. Its methods may run in several threads.

    `driver` is what turned out to work, `notes` say what did not. `cc1` are the arguments of a batch, `second_cc1`
    those of the second step, where there is one. `precompiled` says that the prefix is. `front` will be what the front
    end makes of all units with dead code, where somebody works on that (`find_front`).
    """

    plan: Plan
    work: Path
    driver: Driver = "plain"
    notes: tuple[str, ...] = ()
    cc1: tuple[str, ...] = ()
    second_cc1: tuple[str, ...] = ()
    precompiled: bool = False
    front: Future[Front | None] | None = None

    def extract_cc1(self, probe: str, step: Step) -> tuple[str, ...]:
        """Ask the driver how it would call cc1, and keep what is not about one input."""
        emit = _EMIT[self.plan.emits][0] if step == "emit" else ("-c",)
        arguments = self.plan.driver_arguments(entry=False, step=step, files=(*emit, "-o", "probe.out", probe))
        command = [*self.plan.toolchain.command, *arguments, "-###"]
        (self.work / probe).touch()
        found = cc1.commands(process.run(command, cwd=self.work, timeout=60).err)
        if len(found) != 1:
            raise _RefusedError("clang -### names no single -cc1 command")
        kept = ["-cc1"]
        skip = False
        for word in found[0]:
            if skip or word in _PER_INPUT:
                skip = not skip
            elif word not in (probe, *_UNWANTED):
                kept.append(word)
        return tuple(kept)

    def _run_cc1(
        self, arguments: Sequence[str], folder: Path, *, given: Path | None = None, printed: Path | None = None
    ) -> process.Completed:
        # -### names the program as it sees itself, which behind a wrapper is not what can be called.
        command = [*_without_resource(self.plan.toolchain.command), *arguments]
        return process.run(command, cwd=folder, timeout=_TIMEOUT_SECONDS, stdin_from=given, stdout_to=printed)

    def _run_cc1_on_ir(self, arguments: Sequence[str], names: Sequence[str], folder: Path) -> process.Completed:
        return self._run_cc1([word for word in arguments if word != _NAMELESS] + ["-x", "ir", *names], folder)

    @property
    def prefix(self) -> Path:
        """Name the file of the precompiled prefix."""
        return self.work / "prefix.pch"

    def precompile(self) -> None:
        """Compile what all units share.

        clang reads it from its standard input: a precompiled header wants all files again that it was made of, and
        this folder is gone when another build takes it from the cache.
        """
        text = self.work / "prefix.h"
        prefix = shared_prefix(self.plan.units)
        if prefix is None:
            raise _RefusedError("the units share no prefix")
        text.write_text(prefix, "utf-8")
        action = [word for word in self.cc1 if word not in _EMIT_ACTIONS]
        words = [*action, "-emit-pch", "-o", self.prefix.name, "-x", "c-header", "-"]
        done = self._run_cc1(words, self.work, given=text)
        if done.returncode or not self.prefix.is_file():
            raise _RefusedError(f"clang -cc1 -emit-pch failed: {done.err.strip()[:200]}")

    def emit(self, units: Sequence[Unit]) -> Outputs:
        """Compile units one step. Entry units get their own process."""
        batch = [unit for unit in units if unit.role == "uop"] if self.driver == "batched" else []
        outputs = self._emit_batch(batch) if batch else Outputs()
        return sum((self._emit_plain(unit) for unit in units if unit.name not in outputs.data), outputs)

    def _emit_batch(self, units: Sequence[Unit]) -> Outputs:
        """Compile units in one process; leave out those that failed."""
        # In a debug build every unit has assertions, which are never insensitive to dead code (compiler/phis.py).
        release = self.plan.flavour == "release"
        shortened = [unit for unit in units if unit.short_body is not None and release]
        short = {unit.name: self._before(unit) + unit.short_tail for unit in shortened}
        outputs = self._emit_short(short) if short else Outputs()
        rest = [unit for unit in units if unit.name not in outputs.data]
        front = self.front.result() if self.front and rest else None
        if front is not None and all(map(front.is_of, rest)):
            return outputs + self._emit_spliced(front, rest)
        texts = {unit.name: self._before(unit) + unit.tail for unit in rest}
        return outputs + self._emit_texts("full", texts)[0] if texts else outputs

    def _before(self, unit: Unit) -> str:
        """Give what stands before the text of a unit: its prefix, where that is not precompiled."""
        return "" if self.precompiled else unit.prefix

    def _precompiled(self) -> Sequence[str]:
        return ("-include-pch", str(self.prefix)) if self.precompiled else ()

    def _emit_short(self, texts: Mapping[str, str]) -> Outputs:
        """Compile texts without dead code; keep those for which that makes no difference."""
        outputs, printed = self._emit_texts("short", texts, phis.ARGUMENTS)
        same = phis.insensitive(printed, list(texts))
        kept = {name: data for name, data in outputs.data.items() if name in same}
        return Outputs(data=kept, account=outputs.account + Account(shortened=frozenset(kept)))

    def _emit_texts(self, purpose: str, texts: Mapping[str, str], more: Sequence[str] = ()) -> tuple[Outputs, str]:
        """Compile texts in one process; return the outputs that are whole, and what clang printed."""
        folder = self._new_folder(purpose, next(iter(texts)))
        for name, text in texts.items():
            (folder / f"{name}.c").write_text(text, "utf-8")
        # LLVM prints functions in hundreds of thousands of pieces, each of which would wake the reader of a pipe.
        printed = folder / "printed" if more else None
        done = self._run_cc1(
            [*self.cc1, *more, *self._precompiled(), "-x", "c", *(f"{name}.c" for name in texts)],
            folder,
            printed=printed,
        )
        said = printed.read_text("utf-8", "replace") if printed else done.err
        return self._collect(done, folder, texts, self.plan.emits), said

    def find_front(self, unit: Unit, names: Sequence[str]) -> Front | None:
        """Have the front end read what units with dead code share, once for all of them; None where that is no help."""
        asking = splice.asking(unit, names) if self.driver == "batched" else None
        if asking is None:
            return None
        made = self.unoptimised(self._before(asking) + asking.tail, "front")
        return splice.read(made, unit, names) if made else None

    def unoptimised(self, text: str, purpose: str) -> str:
        """Have the front end read a text; return its LLVM IR before anything is optimised, "" where there is none."""
        folder = self._new_folder(purpose, "all")
        (folder / "all.c").write_text(text, "utf-8")
        action = [word for word in self.cc1 if word not in _EMIT_ACTIONS]
        words = [*action, *_UNOPTIMISED, *self._precompiled(), "-x", "c", "all.c"]
        made = self._collect(self._run_cc1(words, folder), folder, ["all"], "llvm-ir").data
        return made["all"].decode("utf-8") if made else ""

    def _emit_spliced(self, front: Front, units: Sequence[Unit]) -> Outputs:
        """Compile units from what the front end made of the text that they share, a few at a time."""
        pieces = [units[start : start + _SPLICED] for start in range(0, len(units), _SPLICED)]
        return sum((self._emit_ir({unit.name: front.ir(unit.name) for unit in piece}) for piece in pieces), Outputs())

    def _emit_ir(self, texts: Mapping[str, str]) -> Outputs:
        folder = self._new_folder("spliced", next(iter(texts)))
        inputs = [folder / f"{name}.ir" for name in texts]
        for path, text in zip(inputs, texts.values(), strict=True):
            path.write_text(text, "utf-8")
        done = self._run_cc1_on_ir(self.cc1, [path.name for path in inputs], folder)
        for path in inputs:
            path.unlink()
        return self._collect(done, folder, texts, self.plan.emits)

    def live(self, unit: Unit, names: Sequence[str]) -> Mapping[str, str]:
        """Digest what the bytes of uops can depend on, of a unit with all of them; nothing where that is not known."""
        if self.driver != "batched":
            return {}
        asking = live.asking(unit, names)
        outputs, printed = self._emit_texts("live", {unit.name: self._before(asking) + asking.tail}, phis.ARGUMENTS)
        return live.digests(printed, names) if outputs.data else {}

    def _emit_plain(self, unit: Unit) -> Outputs:
        """Compile a unit in a process of its own."""
        emits: Emits = "object" if unit.role == "object" else self.plan.emits
        folder = self._new_folder("plain", unit.name)
        source = folder / f"{unit.name}.c"
        source.write_text(unit.whole, "utf-8")
        files = (*_EMIT[emits][0], "-o", f"{unit.name}{_EMIT[emits][1]}", source.name)
        arguments = self.plan.driver_arguments(entry=unit.role != "uop", step="emit", files=files)
        return alone(unit.name) + self._run_driver(arguments, source, emits)

    def _run_driver(self, arguments: Sequence[str], source: Path, emits: Emits) -> Outputs:
        """Compile or assemble one file, named after its unit."""
        output, name = source.with_suffix(_EMIT[emits][1]), source.stem
        command = [*self.plan.toolchain.command, *arguments]
        done = process.run(command, cwd=source.parent, timeout=_TIMEOUT_SECONDS)
        if done.returncode or not output.is_file():
            killed = [f"clang {done.ending}"] if done.returncode < 0 or not done.err.strip() else []
            return failed(name, "\n".join([*killed, done.err.strip()]).strip())
        data = output.read_bytes()
        if cut := completeness.problem(emits, self.plan.target.format, data):
            return failed(name, f"clang wrote {output.name} in part, although it ended with 0: {cut}")
        return Outputs(data={name: data})

    def _collect(self, done: process.Completed, folder: Path, names: Iterable[str], emits: Emits) -> Outputs:
        """Return the outputs of a batch that are whole; of one that ended with anything but 0, none.

        A compiler that dies may leave a part of an output behind. What is missing is compiled alone.
        """
        if done.returncode:
            why = next((f": {line}" for line in done.err.splitlines() if "error: " in line), "")
            return Outputs(account=Account(notes=(f"a batch was thrown away: clang {done.ending}{why}",)))
        paths = {name: folder / f"{name}{_EMIT[emits][1]}" for name in names}
        found = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        form = self.plan.target.format
        return Outputs(data={name: data for name, data in found.items() if not completeness.problem(emits, form, data)})

    def finish_ir(self, texts: Mapping[str, str]) -> Outputs:
        """Compile edited LLVM IR to objects."""
        units = [unit for unit in self.plan.units if unit.name in texts]
        if not units:
            return Outputs()
        folder = self._new_folder("finish", units[0].name)
        for unit in units:
            (folder / f"{unit.name}.ll").write_text(texts[unit.name], "utf-8")
        outputs = Outputs()
        if self.driver == "batched":
            done = self._run_cc1_on_ir(self.second_cc1, [f"{unit.name}.ll" for unit in units], folder)
            outputs = self._collect(done, folder, texts, "object")
        return sum((self._finish_plain(unit, folder) for unit in units if unit.name not in outputs.data), outputs)

    def _finish_plain(self, unit: Unit, folder: Path) -> Outputs:
        source = folder / f"{unit.name}.ll"
        files = ("-c", "-o", f"{unit.name}.o", source.name)
        arguments = self.plan.driver_arguments(entry=unit.role != "uop", step="finish", files=files)
        return alone(unit.name) + self._run_driver(arguments, source, "object")

    def assemble(self, texts: Mapping[str, str]) -> Outputs:
        """Assemble every text to an object of its own.

        One driver takes them all, where one does; those that it leaves out say why in a process of their own.
        """
        folder = self._new_folder("assemble", next(iter(texts)))
        for name, text in texts.items():
            (folder / f"{name}.s").write_text(text, "utf-8")
        arguments = [f"--target={self.plan.target.triple}", "-c"]
        outputs = Outputs()
        if self.driver == "batched" and len(texts) > 1:
            command = [*self.plan.toolchain.command, *arguments, *(f"{name}.s" for name in texts)]
            done = process.run(command, cwd=folder, timeout=_TIMEOUT_SECONDS)
            outputs = self._collect(done, folder, texts, "object")
        rest = [name for name in texts if name not in outputs.data]
        words = {name: [*arguments, "-o", f"{name}.o", f"{name}.s"] for name in rest}
        return sum((self._run_driver(words[name], folder / f"{name}.s", "object") for name in rest), outputs)

    def _new_folder(self, purpose: str, name: str) -> Path:
        # Of the units in a batch, the first one's name makes it unique.
        folder = self.work / f"{purpose}-{name}"
        folder.mkdir()
        return folder


class _RefusedError(Exception):
    """This clang does not take the fast path."""


def _without_resource(command: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the driver's -resource-dir: the -cc1 command has its own, and -cc1 must be the first argument."""
    return command[: command.index("-resource-dir")] if "-resource-dir" in command else command


def shared_prefix(units: Sequence[Unit]) -> str | None:
    """Return the prefix that all uops have, None where they have several."""
    prefixes = {unit.prefix for unit in units if unit.role == "uop"}
    return prefixes.pop() if len(prefixes) == 1 else None
