"""What is said before the tests of a machine that cannot run them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import scripts


class Usage(NamedTuple):
    free: int


@pytest.fixture(name="needs")
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for name in ("TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("STENCILKIT_TEST_CACHE", str(tmp_path / "cache"))
    return scripts.script(".ci/needs.py")


@pytest.mark.parametrize(("kept", "size"), [(False, 9), (True, 3)])
def test_a_full_disk_is_named(
    kept: bool,
    size: int,
    needs: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def none_usable() -> str:
        # It writes a file to find out.
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=0))
    if kept:
        (tmp_path / "cache").mkdir()
    assert needs.main(["--check"]) == 2
    said = f"error: the tests write {size} GiB to the disk of {tmp_path}, which has 0.0 GiB free\n"
    assert capsys.readouterr().err.startswith(said)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=size << 30))
    assert needs.too_full() == ""
    monkeypatch.delenv("TMPDIR")
    monkeypatch.chdir(tmp_path)
    assert needs.temporary() == tmp_path


def test_a_folder_that_is_not_there_is_not_asked(needs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEMP", str(tmp_path))
    for name in ("", str(tmp_path / "none")):
        monkeypatch.setenv("TMPDIR", name)
        assert needs.temporary() == tmp_path
