"""Which of clang's answers about structures are taken from the cache, and which are asked for again."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
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
        # Of another text, nobody knows which macros are defined.
        self.preprocessed = ""
        self.begun = 0
        monkeypatch.setattr(frontend, "preprocessed", lambda plan, text, work, name: self.preprocessed)
        monkeypatch.setattr(frontend, "expanded", lambda plan, text, work, name: text)
        monkeypatch.setattr(witness, "parts", self._parts)

    def _parts(self, ir: str, *_: object, **__: object) -> dict[str, Part]:
        found = dict(re.findall(r"stencilkit_uop = (\d+);\n +use\((\w+)\)", ir))
        self.asked += sorted(found.values())
        return {"": part("common"), **{number: part(name) for number, name in found.items()}}

    def begin(self) -> Any:  # a stand-in
        """Begin a session that knows what all uops include."""
        self.begun += 1
        return SimpleNamespace(unoptimised=lambda text, purpose: text)

    def said(self) -> list[str]:
        """Return what was asked about since the last time."""
        found, self.asked = self.asked, []
        return found

    def used(
        self, *uses: str, digest: str = "0", cases: str = "0", template: str = "", cflags: tuple[str, ...] = ()
    ) -> list[str]:
        """Give uops these uses; return what is found to be used by all."""
        texts = (CASE.format(name=f"_U{number}", text=f"use({use});") for number, use in enumerate(uses))
        plan = replace(fakes.plan(self._here, ()), cflags=cflags)
        (plan.tree.root / source.CASES).write_text("".join(["\n", *texts, "#undef TIER_TWO\n"]))
        (plan.tree.root / "Tools/jit/template.c").write_text(f"#include <x.h>\n{template}\nCASE\n")
        prefix = plan.tree.python.dialect.every_uop(plan.tree, source.uops(plan.tree), plan.target).prefix
        plan = replace(plan, units=(fakes.unit("_A", prefix=prefix),))
        files = (("tree", source.CASES, cases), ("tree", "Include/x.h", digest))
        included = Closure(
            files=tuple(IncludedFile(origin="tree", name=name, sha256=sha256) for _, name, sha256 in files),
            digest="0",
            paths=(),
        )
        shared = recording._shared(plan, included, Identity(program="1", libraries={}))
        found = recording._used(plan, shared, included, self.store, self._here, self.begin)
        return sorted(name for part in found.parts for name in part.types)


def part(name: str) -> Part:
    return Part(types=frozenset({name}), members={}, bits={}, enumerators=frozenset())


def test_clang_is_asked_about_uops_that_are_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    assert clang.used("a", "b", "c") == ["a", "b", "c", "common"]
    assert clang.said() == ["a", "b", "c"]
    assert clang.used("a", "d", "c", cases="1") == ["a", "c", "common", "d"]
    # The same text under another name is another uop.
    assert clang.said() == ["d"]
    assert clang.used("a", "d", cases="2") == ["a", "common", "d"]
    assert clang.said() == [], "what all have is kept"
    assert clang.used("a", "d", "c", cases="1") == ["a", "c", "common", "d"]
    assert clang.said() == ["c"], "what is not there any more is forgotten"


@pytest.mark.parametrize(("digest", "template"), [("1", ""), ("0", "int x;")])
def test_what_uops_use_depends_on_headers_and_template(
    digest: str, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.used("a", "b")
    assert clang.said() == ["a", "b"]
    clang.used("a", "b", digest=digest, template=template)
    assert clang.said() == ["a", "b"]


def test_cases_that_alter_others_are_asked_about_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    for _ in range(2):
        clang.used("a", "b);\n#define X\n(c")
        assert clang.said() == ["a", "b"]


@pytest.mark.parametrize("entry", [b"[]", b"[[], []]", b"\xff", b"[" * 100_000])
def test_an_entry_that_says_something_else_is_not_used(
    entry: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.used("a", "b")
    clang.said()
    _, key = clang.store.added()
    clang.store.put(key, entry)
    assert clang.used("a", "b") == ["a", "b", "common"]
    assert clang.said() == ["a", "b"]


def test_what_clang_does_not_say_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    monkeypatch.setattr(witness, "parts", lambda *_, **__: {"": part("common"), "0": part("a")})
    with pytest.raises(CompileError, match="where it should be"):
        clang.used("a", "b")


KNOWN = "#define A 1\nextern int stencilkit_uop;\nint f(void) { stencilkit_uop = 0; }\n"


def test_a_changed_uop_is_asked_about_without_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.preprocessed = KNOWN
    clang.used("a", "b")
    assert (clang.said(), clang.begun) == (["a", "b"], 0)
    assert clang.used("a", "c") == ["a", "c", "common"]
    assert (clang.said(), clang.begun) == (["c"], 1)
    assert clang.used("a", "d") == ["a", "common", "d"]
    assert (clang.said(), clang.begun) == (["d"], 2)


@pytest.mark.parametrize("change", ["header", "template", "types", "user", "nothing precompiled", "no answer"])
def test_where_more_than_a_uop_may_have_changed_all_headers_are_read(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.preprocessed = KNOWN
    clang.used("a", "b", cflags=("-DX",) if change == "user" else ())
    clang.said()
    asked = ["c"]
    headers: list[str] = []

    def ir(plan: Plan, text: str, work: Path, name: str) -> str:
        del plan, work
        headers.append(name)
        return text

    monkeypatch.setattr(frontend, "ir", ir)
    match change:
        case "header" | "template":
            digest, template = ("1", "") if change == "header" else ("0", "int x;")
            clang.used("a", "c", digest=digest, template=template)
            asked = ["a", "c"]
        case "types":
            clang.used("a", "c); struct x { int y; } z = (0")
        case "user":
            clang.used("a", "c", cflags=("-DX",))
        case "nothing precompiled":
            monkeypatch.setattr(clang, "begin", lambda: None)
            clang.used("a", "c")
        case _:
            monkeypatch.setattr(clang, "begin", lambda: SimpleNamespace(unoptimised=lambda text, purpose: ""))
            clang.used("a", "c")
    assert headers == ["layout"]
    assert clang.said() == asked


def test_nothing_is_kept_of_headers_where_a_uop_declares_a_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.preprocessed = KNOWN + "typedef int x;\n"
    clang.used("a", "b")
    clang.used("a", "c")
    assert clang.begun == 0


@pytest.mark.parametrize("entry", [b"[]", b"[[], []]", b'["[]", "[]"]', b"\xff", b"[" * 100_000])
def test_what_is_kept_of_headers_and_cannot_be_read_is_asked_for_again(
    entry: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = Clang(tmp_path, monkeypatch)
    clang.preprocessed = KNOWN
    clang.used("a", "b")
    key, _ = clang.store.added()
    clang.store.put(key, entry)
    assert clang.used("a", "c") == ["a", "c", "common"]
    assert (clang.begun, clang.store.damaged) == (0, 1)
    clang.used("a", "d")
    assert clang.begun == 1
