"""Object files in the cache: what is written is read back, field by field."""

from __future__ import annotations

import json

import pytest

from stencilkit.errors import ObjectError
from stencilkit.model.objectfile import ObjectFile, Relocation, Section, SectionRole, Symbol
from stencilkit.objects import stored

FULL = ObjectFile(
    sections=(
        Section(
            name="__text",
            role=SectionRole.CODE,
            data=bytes(range(256)),
            symbols=(Symbol(name="_JIT_ENTRY", offset=0), Symbol(name="\\udcff", offset=7)),
            relocations=(
                Relocation(offset=4, kind="IMAGE_REL_AMD64_REL32", symbol="PyFoo", addend=-4, indirect=True),
                Relocation(offset=8, kind="R_X86_64_64", symbol="", addend=1 << 63),
            ),
        ),
        Section(name="__const", role=SectionRole.DATA, data=b"", padding=12),
    )
)


def test_an_object_file_survives_the_cache() -> None:
    assert stored.load(stored.dump(FULL)) == FULL
    assert stored.load(stored.dump(ObjectFile(sections=()))) == ObjectFile(sections=())


def test_the_same_object_file_is_stored_as_the_same_bytes() -> None:
    assert stored.dump(FULL) == stored.dump(stored.load(stored.dump(FULL)))


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"\xff",
        b"[[",
        b"9" * 10_000,
        json.dumps({}),
        json.dumps([[]]),
        json.dumps([["__text", "code", "00", 0, [], [], 1]]),
        json.dumps([[7, "code", "00", 0, [], []]]),
        json.dumps([["__text", "nothing", "00", 0, [], []]]),
        json.dumps([["__text", "code", "0", 0, [], []]]),
        json.dumps([["__text", "code", "00", 1 << 40, [], []]]),
        json.dumps([["__text", "code", "00", -1, [], []]]),
        json.dumps([["__text", "code", "00", True, [], []]]),
        json.dumps([["__text", "code", "00", 0, [["a"]], []]]),
        json.dumps([["__text", "code", "00", 0, [["a", "b"]], []]]),
        json.dumps([["__text", "code", "00", 0, [], [[0, "R", "s", 0, 1]]]]),
    ],
)
def test_what_nobody_dumped_is_an_error_of_ours(forged: str | bytes) -> None:
    with pytest.raises(ObjectError, match="not an object file of the cache"):
        stored.load(forged if isinstance(forged, bytes) else forged.encode())


def test_what_is_nested_too_deeply_is_an_error_of_ours() -> None:
    with pytest.raises(ObjectError, match="nested too deeply"):
        stored.load(b"[" * 100_000)
