"""Assembly of many uops in one file, where that does not work out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import compiler, targets
from stencilkit.compiler import Account, Outputs, Session
from stencilkit.errors import ObjectError
from stencilkit.model.build import Closure
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.source import Unit
from stencilkit.model.target import Flavour
from stencilkit.model.toolchain import Identity
from stencilkit.pipeline import compiling, keeping, remembering
from stencilkit.pipeline.keeping import Batch, Kept, Prefix
from stencilkit.support.cache import NoStore, Store
from stencilkit.support.progress import SILENT
from tests import fakes, objectfiles
from tests.objectfiles import Name, Part

TARGET = next(target for target in targets.load().targets if target.triple == "x86_64-pc-windows-msvc")
TEXT = "\t.text\n\t.globl\t_JIT_ENTRY\n_JIT_ENTRY:\n\tincl\thits(%rip)\n\tretq\n\t.data\nhits:\n\t.long\t1\n"
UOPS = {"_A": TEXT.encode(), "_B": TEXT.encode()}
CODE = b"\xff\x05\0\0\0\0\xc3"


def coff(*names: str, machine: int = objectfiles.COFF_AMD64) -> bytes:
    """Assemble sections of these names; what is called .text is code."""
    parts = [
        Part(name, CODE, objectfiles.COFF_CODE)
        if name.endswith(".text")
        else Part(name, b"", objectfiles.COFF_BSS, size=4)
        for name in names
    ]
    return objectfiles.coff(machine, parts, [Name("_JIT_ENTRY", 1)])


class Assembler:
    """Stands for a session: answers `merged` for what is assembled together, `alone` for each uop."""

    def __init__(self, merged: bytes | None, alone: bytes, *, said: str = "") -> None:
        self.plan = SimpleNamespace(
            target=TARGET,
            driver_arguments=lambda **_: ("-O3",),
            toolchain=SimpleNamespace(label="LLVM 21"),
            unaligned=False,
        )
        self.driver = "batched"
        self._merged, self._alone, self._said = merged, alone, said

    def assemble(self, texts: Mapping[str, str]) -> Outputs:
        if list(texts) != ["merged-_A"]:
            return Outputs(data=dict.fromkeys(texts, self._alone))
        if self._merged is None:
            return Outputs(account=Account(failures={"merged-_A": self._said}))
        return Outputs(data={"merged-_A": self._merged})


def sections(session: Assembler) -> tuple[dict[str, list[str]], Account]:
    found, account = compiling._from_assembly(session, UOPS)  # type: ignore[arg-type]
    return {name: [section.name for section in obj.sections] for name, obj in found.items()}, account


def test_assembly_that_is_merged_is_taken_apart() -> None:
    session = Assembler(coff("0:.text", "1:.text"), b"")
    assert sections(session) == ({"_A": [".text"], "_B": [".text"]}, Account())


def test_uops_with_state_are_assembled_alone() -> None:
    """.data and .bss have no name of their own in merged assembly; debugging calls of printf bring some."""
    session = Assembler(coff("0:.text", "1:.text", ".bss"), coff(".text", ".bss"))
    note = "merged assembly could not be taken apart: section '.bss' of merged assembly belongs to no uop"
    assert sections(session) == ({"_A": [".text", ".bss"], "_B": [".text", ".bss"]}, Account(notes=(note,)))


def test_what_is_wrong_with_an_object_is_said_of_the_uop() -> None:
    damaged = coff(".text", machine=objectfiles.COFF_ARM64)
    with pytest.raises(ObjectError, match="not for x86_64") as caught:
        sections(Assembler(damaged, damaged))
    assert caught.value.where == "uop _A, LLVM 21"


@pytest.mark.parametrize(
    ("said", "noted"), [("a.s:1:1: error: no\nmore", "a.s:1:1: error: no"), ("", "the assembler did not say why")]
)
def test_assembly_that_cannot_be_merged_is_assembled_alone(said: str, noted: str) -> None:
    session = Assembler(None, coff(".text"), said=said)
    note = f"merged assembly was refused: {noted}"
    assert sections(session) == ({"_A": [".text"], "_B": [".text"]}, Account(notes=(note,)))


def making(inputs: Any, store: Store) -> compiling._Making:
    keys = keeping.keys(inputs.plan, CLOSURE, IDENTITY, ())
    begun = compiler.Session(plan=inputs.plan, work=Path())
    return compiling._Making(inputs.plan, inputs.request, Kept(store, keys), SILENT, Prefix(store, ""), begun, list)


def inputs(here: Path, *units: Unit, flavour: Flavour = "release") -> Any:  # a stand-in
    plan = fakes.plan(here, units, flavour=flavour)
    return SimpleNamespace(plan=plan, request=SimpleNamespace(jobs=2, batched=True, allow_driver_flags=False))


def test_accounts_are_in_the_order_of_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers end when they end; what is said of their batches must not depend on that."""
    made = [Batch(account=Account(notes=(f"of batch {n}",))) for n in range(3)]
    monkeypatch.setattr(compiling, "_run", lambda *_: (item for item in ((2, made[2]), (0, made[0]), (1, made[1]))))
    session: Any = None
    found = making(inputs(tmp_path), NoStore())._compile(session, (), None, None)
    assert sum((batch.account for batch in found), Account()).notes == ("of batch 0", "of batch 1", "of batch 2")


CLOSURE = Closure(files=(), digest="0", paths=())
IDENTITY = Identity(program="1", libraries={})
NAMES = ("_INSENSITIVE", "_SENSITIVE", "_UNASKED")


class Clang:
    """Stands for sessions: `live` is what is live for each unit of a text, by that text; notes what is compiled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, live: Mapping[str, Mapping[str, str]]) -> None:
        self._live = live
        self.asked: list[str] = []
        self.compiled: list[str] = []
        monkeypatch.setattr(compiler, "prepare", self._prepare)
        monkeypatch.setattr(compiling, "_compile", self._compile)

    def _prepare(self, begun: Session, *, single: bool, **_: object) -> Any:  # a stand-in
        prefix = begun.prefix
        return SimpleNamespace(plan=begun.plan, notes=(), precompiled=not single, live=self._asked, prefix=prefix)

    def _asked(self, unit: Unit, names: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(unit.body)
        return {name: digest for name, digest in self._live.get(unit.body, {}).items() if name in names}

    def _compile(self, _: object, units: Sequence[Unit]) -> Batch:
        names = [unit.name for unit in units]
        self.compiled += names
        account = Account(
            shortened=frozenset({"_INSENSITIVE"} & set(names)), alone=frozenset({"_UNASKED"} & set(names))
        )
        return Batch(objects=dict.fromkeys(names, ObjectFile(sections=())), account=account)

    def said(self) -> tuple[list[str], list[str]]:
        """Return what was asked about and what was compiled since the last time."""
        found = sorted(self.asked), sorted(self.compiled)
        self.asked, self.compiled = [], []
        return found


def built(clang: Clang, store: Store, made: Any) -> tuple[list[str], list[str]]:  # a stand-in
    """Build; return what clang was asked about, and what it compiled."""
    work = making(made, store)
    missing = [unit for unit in made.plan.units if not len(work.kept.recall(unit))]
    if missing:
        batches = work.make(missing)
        assert sorted(name for batch in batches for name in batch.objects) == sorted(unit.name for unit in missing)
    return clang.said()


def shared(here: Path, body: str, flavour: Flavour = "release") -> Any:  # a stand-in
    """Plan units of which each has the text of all."""
    return inputs(here, *(fakes.unit(name, body=body, short_body=f"{name}\n") for name in NAMES), flavour=flavour)


def test_what_needs_its_dead_code_is_compiled_where_that_alters_what_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "entries")
    one, two = dict.fromkeys(NAMES, "1"), {"_INSENSITIVE": "1", "_SENSITIVE": "2", "_UNASKED": "1"}
    clang = Clang(monkeypatch, {"a\n": one, "b\n": one, "c\n": two})
    assert built(clang, store, shared(tmp_path, "a\n")) == (["a\n"], sorted(NAMES))
    assert built(clang, store, shared(tmp_path, "a\n")) == ([], [])
    assert built(clang, store, shared(tmp_path, "b\n")) == (["b\n"], ["_UNASKED"]), "nothing is known of that one"
    assert built(clang, store, shared(tmp_path, "c\n")) == (["c\n"], ["_SENSITIVE", "_UNASKED"])
    assert built(clang, store, shared(tmp_path, "c\n")) == ([], [])
    assert built(clang, store, shared(tmp_path, "a\n")) == ([], []), "both are there"


@pytest.mark.parametrize("flavour", ["release", "debug"])
def test_where_nothing_is_known_of_dead_code_all_of_it_counts(
    flavour: Flavour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """clang may be silent; and of debug builds, it is not asked."""
    store = Store(tmp_path / "entries")
    clang = Clang(monkeypatch, {} if flavour == "release" else dict.fromkeys("ab", dict.fromkeys(NAMES, "1")))
    assert built(clang, store, shared(tmp_path, "a", flavour))[1] == sorted(NAMES)
    assert built(clang, store, shared(tmp_path, "a", flavour))[1] == []
    asked, compiled = built(clang, store, shared(tmp_path, "b", flavour))
    assert asked == (["b"] if flavour == "release" else [])
    assert compiled == ["_SENSITIVE", "_UNASKED"]


def test_what_the_answer_says_nothing_of_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled beside the question; what may be as it was waits for the answer."""
    store = Store(tmp_path / "entries")
    some = {"_INSENSITIVE": "1", "_OTHER": "1"}
    clang = Clang(monkeypatch, {"a\n": some, "b\n": {**some, "_OTHER": "2"}})
    rounds: list[list[str]] = []
    run = compiling._run

    def noting(session: Any, batches: Sequence[Sequence[Unit]], *more: Any) -> Any:
        rounds.append([unit.name for batch in batches for unit in batch])
        return run(session, batches, *more)

    monkeypatch.setattr(compiling, "_run", noting)
    names = ("_INSENSITIVE", "_OTHER", "_SENSITIVE")
    first, second = (
        inputs(tmp_path, *(fakes.unit(name, body=body, short_body=f"{name}\n") for name in names))
        for body in ("a\n", "b\n")
    )
    built(clang, store, first)
    rounds.clear()
    assert built(clang, store, second) == (["b\n"], ["_OTHER", "_SENSITIVE"])
    assert rounds == [["_SENSITIVE"], ["_OTHER"]]


@pytest.mark.parametrize("missing", [["_C"], []])
def test_entries_that_are_of_no_use_are_compiled_behind_what_is_missing(
    missing: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "entries")
    units = [fakes.unit(name) for name in ("_A", "_B", *missing)]
    made = inputs(tmp_path, *units)
    made.closure, made.identity, made.told = CLOSURE, IDENTITY, SimpleNamespace(unasked=())
    clang = Clang(monkeypatch, {})
    begun = compiler.Session(plan=made.plan, work=Path())
    monkeypatch.setattr(remembering, "place", lambda *_: "0" * 64)
    monkeypatch.setattr(compiling, "_ask_driver", lambda *_: begun)
    kept = making(made, store).kept
    kept.keep(Batch(objects={"_A": ObjectFile(sections=())}))
    good = store.get(kept.keys.short["_A"])
    assert good is not None
    store.put(kept.keys.short["_B"], good[:1] + b"no object")
    found = compiling.compile_all(made, Path(), store, SILENT)
    assert list(found.objects) == ["_A", "_B", *missing]
    assert clang.compiled == [*missing, "_B"]
    assert store.get(kept.keys.short["_B"]) == good
    assert compiling.compile_all(made, Path(), store, SILENT) == found
    assert clang.compiled == [*missing, "_B"]


@pytest.mark.parametrize("entry", [b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_an_entry_about_dead_code_that_is_not_one_is_not_used(
    entry: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "entries")
    clang = Clang(monkeypatch, {"a\n": dict.fromkeys(NAMES, "1")})
    made = shared(tmp_path, "a\n")
    store.put(making(made, store).kept.keys.body, entry)
    assert built(clang, store, made) == (["a\n"], sorted(NAMES))
    assert store.damaged == 1


def test_what_needs_its_dead_code_is_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [fakes.unit(f"_S{number}", body="a", short_body=f"{number}\n") for number in range(5)]
    found: list[Sequence[Sequence[Unit]]] = []

    def run(_: object, batches: Sequence[Sequence[Unit]], *__: object) -> Iterator[tuple[int, Batch]]:
        found.append(batches)
        yield from ()

    monkeypatch.setattr(
        compiler, "prepare", lambda *_, **__: SimpleNamespace(notes=(), precompiled=True, prefix=Path())
    )
    monkeypatch.setattr(compiling, "_run", run)
    work = making(inputs(tmp_path, *units), Store(tmp_path / "entries"))
    for unit in units:
        work.kept.store.put(work.kept.keys.short[unit.name], b"s")
    work.make(units)
    assert [[(unit.name, unit.short_body) for unit in batch] for batch in found[1]] == [
        [("_S0", None), ("_S1", None), ("_S2", None)],
        [("_S3", None), ("_S4", None)],
    ]


def test_batches_get_smaller() -> None:
    uops, shim = [fakes.unit(f"_S{number}") for number in range(100)], fakes.unit("shim", role="object")
    assert [len(batch) for batch in compiling._batches([*uops, shim], 2)] == [1, 34, 22, 16, 16, 12]
