"""What is included is what was hashed: headers that are saved while clang reads them are read again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from stencilkit.compiler import closure
from stencilkit.errors import SourceError
from stencilkit.model.build import Closure
from stencilkit.support import environ, files, process
from tests import fakes, samples

MINUTE = 60_000_000_000


def read_by_clang(monkeypatch: pytest.MonkeyPatch, header: Path, then: Callable[[int], None]) -> list[bytes]:
    """Stand for a clang that includes a header; `then` is what is done behind each reading of it, by its number."""
    read: list[bytes] = []

    def run(command: Sequence[str], *, cwd: Path, timeout: float) -> process.Completed:
        source = cwd / command[command.index("-MF") + 2]
        source.with_suffix(".d").write_text(f"closure.o: {source.name} {header}\n")
        read.append(header.read_bytes())
        then(len(read))
        return process.Completed(command=(), returncode=0, stdout=read[-1], stderr=b"")

    monkeypatch.setattr(process, "run", run)
    return read


def find(
    here: Path, monkeypatch: pytest.MonkeyPatch, saved: Iterable[str], *, age: int = 0
) -> tuple[Closure, list[bytes]]:
    """Look for what is included; the header is saved each time that clang has read it, before it is hashed."""
    plan = fakes.plan(here, (fakes.unit("_A"),))
    header, texts = plan.tree.root / "Include/Python.h", iter(saved)
    header.parent.mkdir(exist_ok=True)
    header.write_text("at first")

    def save(_: int) -> None:
        if (text := next(texts, None)) is not None:
            header.write_text(text)

    moment = environ.moment() + age
    monkeypatch.setattr(environ, "moment", lambda: moment)
    read = read_by_clang(monkeypatch, header, save)
    return closure.find(plan, here), read


@pytest.mark.parametrize("saved", [["other"], ["other", "a third"]])
def test_a_header_that_is_saved_meanwhile_is_read_again(
    saved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, read = find(tmp_path, monkeypatch, saved)
    assert read[: len(saved) + 1] == [b"at first", *(text.encode() for text in saved)]
    (header,) = (file for file in found.files if file.name == "Include/Python.h")
    assert header.sha256 == found.digest == samples.digest(saved[-1].encode())


def test_a_header_that_does_not_stay_as_it_is_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="changed again and again") as caught:
        find(tmp_path, monkeypatch, map(str, range(100)))
    assert caught.value.where.endswith("/Include/Python.h")


def test_headers_that_are_older_than_the_build_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(tmp_path, monkeypatch, [], age=MINUTE)[1] == [b"at first"]


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("second"))


def rename(path: Path) -> None:
    path.rename(path.with_name("before"))
    path.with_name("second").rename(path)


@pytest.mark.parametrize(
    ("place", "swap"), [("Include", rename), ("Include/sub", rename), ("Include", link), ("Include/sub/Python.h", link)]
)
def test_an_old_header_that_takes_the_place_of_another_is_found(
    place: str, swap: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is renamed, or a link leads elsewhere: no time of its own says so."""
    plan = fakes.plan(tmp_path, (fakes.unit("_A"),))
    header, path = plan.tree.root / "Include/sub/Python.h", plan.tree.root / place
    shutil.rmtree(plan.tree.root / "Include", ignore_errors=True)
    for name in ("first", "second"):
        made = path.with_name(name) / header.relative_to(path)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(name)
    if swap is link:
        path.symlink_to(path.with_name("first"))
    else:
        path.with_name("first").rename(path)
    read = read_by_clang(monkeypatch, header, lambda number: swap(path) if number == 1 else None)
    monkeypatch.setattr(files, "_CLOCKS", 0)
    time.sleep(0.1)  # file systems count time in steps
    assert closure.find(plan, tmp_path).digest == samples.digest(b"second")
    assert read[:2] == [b"first", b"second"]
