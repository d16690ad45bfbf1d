"""The words of included files: what is kept of them is what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from stencilkit import source
from stencilkit.model.build import Closure, FileOrigin, IncludedFile
from stencilkit.pipeline import making
from stencilkit.support.cache import NoStore, Store

FILES: Mapping[str, tuple[FileOrigin, str]] = {
    source.CASES: ("tree", "case _NOP: one();"),
    "Include/x.h": ("tree", "#define TWO 2"),
    "stdio.h": ("system", "int three; int TWO;"),
    "stddef.h": ("compiler", "four"),
}


def included(here: Path, **changed: str) -> Closure:
    paths = []
    for name, (origin, text) in FILES.items():
        path = here / name.replace("/", "_")
        path.write_text(changed.get(path.name.partition(".")[0], text))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        paths.append((path, IncludedFile(origin=origin, name=name, sha256=sha256)))
    return Closure(files=(), digest="", paths=tuple(paths))


def test_words_are_those_of_the_files_whether_kept_or_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    first = making._words(included(tmp_path), store)
    assert first.tree == {"case", "_NOP", "one", "define", "TWO"}
    assert first.foreign == {"int", "three", "TWO", "four"}
    assert making._words(included(tmp_path), store) == first
    kept = len(store.added())
    changes = ({"Python_executor_cases": "zero"}, {"Include_x": "zero"}, {"stdio": "zero"}, {"stddef": "zero"})
    for changed in changes:
        found = making._words(included(tmp_path, **changed), store)
        assert found == making._words(included(tmp_path, **changed), NoStore())
        assert "zero" in found.tree | found.foreign
        assert found != first
    # One group is read again for each of the last three changes; for the first one, nothing but the uops.
    assert len(store.added()) == kept + 3
