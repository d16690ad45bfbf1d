"""Which of clang's answers about structures are taken from the cache, and which are asked for again."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stencilkit import source, witness
from stencilkit.compiler import frontend
from stencilkit.errors import CompileError
from stencilkit.model.build import Closure, IncludedFile, Plan
from stencilkit.model.layout import Row
from stencilkit.model.toolchain import Identity
from stencilkit.pipeline import recording
from stencilkit.support.cache import Store
from stencilkit.witness import Part
from tests import fakes

ROWS = [
    Row(kind="type", subject="size of struct _ts", expression="sizeof(struct _ts)", value=0),
    Row(kind="macro", subject="EOF", expression="(EOF)", value=0),
]


def test_numbers_are_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A uop that changes seldom touches another member; where headers or flags change, all numbers may."""
    asked: list[str] = []

    def measure(plan: Plan, prefix: str, rows: Sequence[Row], work: Path) -> dict[Row, int]:
        del plan, prefix, work
        asked.extend(row.subject for row in rows)
        # What clang refuses is left out.
        return {row: number for number, row in enumerate(rows) if row.subject != "EOF"}

    monkeypatch.setattr(recording, "_measure", measure)
    plan, store = fakes.plan(tmp_path, (fakes.unit("_A"),)), Store(tmp_path / "cache")

    def numbers(rows: Sequence[Row], digest: str = "0", program: str = "1", library: str = "1") -> dict[Row, int]:
        included = Closure(files=(), digest=digest, paths=())
        shared = recording._shared(plan, included, Identity(program=program, libraries={"libLLVM.so": library}))
        return recording._measured(shared, plan, "", rows, store, tmp_path)

    first = numbers(ROWS)
    assert first == {ROWS[0]: 0}
    assert numbers(ROWS) == first
    assert len(asked) == 2
    others: tuple[dict[str, Any], ...] = ({"digest": "1"}, {"program": "2"}, {"library": "2"})
    for changes in ({"rows": ROWS[:1]}, *({"rows": ROWS, **other} for other in others)):
        before = len(asked)
        numbers(**changes)
        assert len(asked) > before, changes


@pytest.mark.parametrize("forged", [b"\xff", b"[]", b'{"size Foo": "1"}', b'{"size Foo": true}', b"[" * 100_000])
def test_numbers_that_cannot_be_read_are_asked_for_again(
    forged: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_measure", lambda _plan, _prefix, rows, _work: dict.fromkeys(rows, 7))
    plan, store = fakes.plan(tmp_path, (fakes.unit("_A"),)), Store(tmp_path / "cache")
    measured = functools.partial(recording._measured, ["shared"], plan, "", ROWS, store, tmp_path)
    measured()
    (key,) = store.added()
    store.put(key, forged)
    assert measured() == dict.fromkeys(ROWS, 7)
    assert store.damaged == 1


CASE = "        case {name}: {{\n            {text}\n        }}\n\n"


class Clang:
    """Stands for clang: a uop uses the type that it names; notes which uops it is asked about."""

    def __init__(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.store = Store(here / "cache")
        self._here = here
        monkeypatch.setattr(frontend, "ir", lambda plan, text, work, name: text)
        monkeypatch.setattr(frontend, "preprocessed", lambda plan, text, work, name: "")
        monkeypatch.setattr(witness, "parts", self._parts)

    def _parts(self, ir: str, _: str, **__: object) -> dict[str, Part]:
        found = dict(re.findall(r"stencilkit_uop = (\d+);\n +use\((\w+)\)", ir))
        self.asked = sorted(found.values())
        return {"": part("common"), **{number: part(name) for number, name in found.items()}}

    def used(self, *uses: str, digest: str = "0", cases: str = "0", template: str = "") -> list[str]:
        """Give uops these uses; return what is found to be used by all."""
        texts = (CASE.format(name=f"_U{number}", text=f"use({use});") for number, use in enumerate(uses))
        plan = fakes.plan(self._here, ())
        (plan.tree.root / source.CASES).write_text("".join(["\n", *texts, "#undef TIER_TWO\n"]))
        (plan.tree.root / "Tools/jit/template.c").write_text(f"#include <x.h>\n{template}\nCASE\n")
        files = (("tree", source.CASES, cases), ("tree", "Include/x.h", digest))
        included = Closure(
            files=tuple(IncludedFile(origin="tree", name=name, sha256=sha256) for _, name, sha256 in files),
            digest="0",
            paths=(),
        )
        shared = recording._shared(plan, included, Identity(program="1", libraries={}))
        _, parts, _ = recording._used(plan, shared, included, self.store, self._here)
        return sorted(name for part in parts for name in part.types)


def part(name: str) -> Part:
    return Part(types=frozenset({name}), members={}, bits={}, enumerators=frozenset())


def test_clang_is_asked_about_uops_that_are_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    assert clang.used("a", "b", "c") == ["a", "b", "c", "common"]
    assert clang.asked == ["a", "b", "c"]
    assert clang.used("a", "d", "c", cases="1") == ["a", "c", "common", "d"]
    # The same text under another name is another uop.
    assert clang.asked == ["d"]
    assert clang.used("a", "d", cases="2") == ["a", "common", "d"]
    assert clang.asked == ["a"], "the template is asked about each time"
    assert clang.used("a", "d", "c", cases="1") == ["a", "c", "common", "d"]
    assert clang.asked == ["c"], "what is not there any more is forgotten"


@pytest.mark.parametrize("changes", [{"digest": "1"}, {"template": "int x;"}])
def test_what_uops_use_depends_on_headers_and_template(
    changes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.used("a", "b")
    clang.used("a", "b", **changes)
    assert clang.asked == ["a", "b"]


def test_cases_that_alter_others_are_asked_about_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    for _ in range(2):
        clang.used("a", "b);\n#define X\n(c")
        assert clang.asked == ["a", "b"]


@pytest.mark.parametrize("entry", [b"[]", b"[[], []]", b"\xff", b"[" * 100_000])
def test_an_entry_that_says_something_else_is_not_used(
    entry: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.used("a", "b")
    (key,) = clang.store.added()
    clang.store.put(key, entry)
    assert clang.used("a", "b") == ["a", "b", "common"]
    assert clang.asked == ["a", "b"]


def test_what_clang_does_not_say_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    monkeypatch.setattr(witness, "parts", lambda *_, **__: {"": part("common"), "0": part("a")})
    with pytest.raises(CompileError, match="where it should be"):
        clang.used("a", "b")
