"""Which of clang's answers about structures are taken from the cache, and which are asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stencilkit.model.build import Closure, Plan
from stencilkit.model.layout import Row
from stencilkit.model.toolchain import Identity
from stencilkit.pipeline import recording
from stencilkit.support.cache import Store
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
