"""What is included is what was hashed: headers that are saved while clang reads them are read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from stencilkit.compiler import closure
from stencilkit.errors import SourceError
from stencilkit.model.build import Closure
from stencilkit.support import environ, process
from tests import fakes

MINUTE = 60_000_000_000


def of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def find(
    here: Path, monkeypatch: pytest.MonkeyPatch, saved: Iterable[str], *, age: int = 0
) -> tuple[Closure, list[bytes]]:
    """Look for what is included; the header is saved each time that clang has read it, before it is hashed."""
    plan = fakes.plan(here, (fakes.unit("_A"),))
    header, texts = plan.tree.root / "Include/Python.h", iter(saved)
    header.parent.mkdir(exist_ok=True)
    header.write_text("at first")
    read: list[bytes] = []

    def run(command: Sequence[str], *, cwd: Path, timeout: float) -> process.Completed:
        source = cwd / command[command.index("-MF") + 2]
        source.with_suffix(".d").write_text(f"closure.o: {source.name} {header}\n")
        read.append(header.read_bytes())
        if (text := next(texts, None)) is not None:
            header.write_text(text)
        return process.Completed(command=(), returncode=0, stdout=read[-1], stderr=b"")

    moment = environ.moment() + age
    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(environ, "moment", lambda: moment)
    return closure.find(plan, here), read


@pytest.mark.parametrize("saved", [["other"], ["other", "a third"]])
def test_a_header_that_is_saved_meanwhile_is_read_again(
    saved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, read = find(tmp_path, monkeypatch, saved)
    assert read[: len(saved) + 1] == [b"at first", *(text.encode() for text in saved)]
    (header,) = (file for file in found.files if file.name == "Include/Python.h")
    assert header.sha256 == found.digest == of(saved[-1].encode())


def test_a_header_that_does_not_stay_as_it_is_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="changed again and again") as caught:
        find(tmp_path, monkeypatch, map(str, range(100)))
    assert caught.value.where.endswith("/Include/Python.h")


def test_headers_that_are_older_than_the_build_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(tmp_path, monkeypatch, [], age=MINUTE)[1] == [b"at first"]
