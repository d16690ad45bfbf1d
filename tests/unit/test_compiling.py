"""Assembly of many uops in one file, where that does not work out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stencilkit import targets
from stencilkit.compiler import Account, Outputs
from stencilkit.errors import ObjectError
from stencilkit.model.build import Closure
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.toolchain import Identity
from stencilkit.pipeline import compiling
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
            target=TARGET, driver_arguments=lambda **_: ("-O3",), toolchain=SimpleNamespace(label="LLVM 21")
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


def test_accounts_are_in_the_order_of_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers end when they end; what is said of their batches must not depend on that."""
    made = [compiling._Batch(objects={}, raw={}, account=Account(notes=(f"of batch {n}",))) for n in range(3)]
    monkeypatch.setattr(compiling, "_run", lambda *_: (item for item in ((2, made[2]), (0, made[0]), (1, made[1]))))
    session: Any = None
    found = compiling._compile_missing(session, (), 1, {}, NoStore(), SILENT)
    assert sum((batch.account for batch in found), Account()).notes == ("of batch 0", "of batch 1", "of batch 2")


CLOSURE = Closure(files=(), digest="0", paths=())
IDENTITY = Identity(program="1", libraries={})
NAMES = ("_INSENSITIVE", "_SENSITIVE", "_UNASKED")


def test_what_needs_its_dead_code_is_remembered(tmp_path: Path) -> None:
    """What else changes then costs one compilation of it and not two; a unit that nobody asked about is asked about."""
    store = Store(tmp_path / "entries")
    before = fakes.plan(tmp_path, tuple(fakes.unit(name, body="dead\n", short_body="short\n") for name in NAMES))
    after = replace(before, units=tuple(replace(unit, body="changed\n") for unit in before.units))
    keys, changed = (compiling._keys(plan, CLOSURE, IDENTITY, ()) for plan in (before, after))
    made = compiling._Batch(
        objects=dict.fromkeys(NAMES, ObjectFile(sections=())),
        raw={},
        account=Account(shortened=frozenset({"_INSENSITIVE"}), alone=frozenset({"_UNASKED"})),
    )
    compiling._keep(made, keys, store)
    found = {unit.name: len(compiling._recall(unit, keys[unit.name], store)) for unit in before.units}
    assert found == dict.fromkeys(NAMES, 1)
    found = {unit.name: len(compiling._recall(unit, changed[unit.name], store)) for unit in after.units}
    assert found == {"_INSENSITIVE": 1, "_SENSITIVE": 0, "_UNASKED": 0}
    known = [compiling._known(unit, changed[unit.name], store) for unit in after.units]
    assert [unit.short_body for unit in known] == ["short\n", None, "short\n"]


def test_units_that_need_their_dead_code_are_in_small_batches() -> None:
    whole = [fakes.unit(f"_W{number}") for number in range(5)]
    short = [fakes.unit(f"_S{number}", short_body="short\n") for number in range(9)]
    shim = fakes.unit("shim", role="object")
    batches = compiling._batches([*short, shim, *whole], 2)
    assert [[unit.name for unit in batch] for batch in batches[:3]] == [["shim"], ["_W0", "_W1", "_W2"], ["_W3", "_W4"]]
    assert [len(batch) for batch in batches[3:]] == [8, 1]
    assert [len(batch) for batch in compiling._batches(whole, 2)] == [5], "where no unit has any, they are ordinary"
