"""Assembly of many uops in one file, where that does not work out."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from stencilkit import targets
from stencilkit.errors import ObjectError
from stencilkit.pipeline import compiling
from tests import objectfiles
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
        self.notes: list[str] = []
        self.failures: dict[str, str] = {}
        self._merged, self._alone, self._said = merged, alone, said

    def assemble(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        if list(texts) != ["merged-_A"]:
            return dict.fromkeys(texts, self._alone)
        if self._merged is None:
            self.failures["merged-_A"] = self._said
            return {}
        return {"merged-_A": self._merged}


def sections(session: Assembler) -> dict[str, list[str]]:
    found = compiling._from_assembly(session, UOPS)  # type: ignore[arg-type]
    return {name: [section.name for section in obj.sections] for name, obj in found.items()}


def test_assembly_that_is_merged_is_taken_apart() -> None:
    session = Assembler(coff("0:.text", "1:.text"), b"")
    assert sections(session) == {"_A": [".text"], "_B": [".text"]}
    assert not session.notes


def test_uops_with_state_are_assembled_alone() -> None:
    """.data and .bss have no name of their own in merged assembly; debugging calls of printf bring some."""
    session = Assembler(coff("0:.text", "1:.text", ".bss"), coff(".text", ".bss"))
    assert sections(session) == {"_A": [".text", ".bss"], "_B": [".text", ".bss"]}
    assert session.notes == [
        "merged assembly could not be taken apart: section '.bss' of merged assembly belongs to no uop"
    ]


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
    assert sections(session) == {"_A": [".text"], "_B": [".text"]}
    assert session.notes == [f"merged assembly was refused: {noted}"]
    assert not session.failures
