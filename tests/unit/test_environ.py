"""The door to the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.errors import UsageError
from stencilkit.support import environ


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("0", "1970-01-01T00:00:00+00:00"),
        ("1700000000", "2023-11-14T22:13:20+00:00"),
        ("253402300799", "9999-12-31T23:59:59+00:00"),
    ],
)
def test_source_date(monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert environ.source_date() == expected


@pytest.mark.parametrize("value", ["-1", "1.5", "yesterday", "²", "١٢", " 1", "253402300800", "9" * 5000])
def test_a_malformed_source_date_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    for asked in (environ.source_date, environ.today):
        with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
            asked()


def test_today_is_the_source_date_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert environ.today() == "2023-11-14"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert environ.today() > "2026"


@pytest.mark.parametrize(
    ("machine", "name", "own", "runs"),
    [
        ("x86_64-linux-gnu", "x86_64-linux-gnu", True, True),
        ("x86_64-linux-gnu", "x86_64-linux-musl", False, True),
        ("x86_64-linux-musl", "x86_64-linux-gnu", False, True),
        ("x86_64-linux-gnu", "aarch64-linux-gnu", False, False),
        ("aarch64-linux-gnu", "aarch64-darwin", False, False),
        ("aarch64-darwin", "aarch64-darwin", True, True),
        ("x86_64-linux-gnu", "", False, False),
        ("", "x86_64-linux-gnu", False, False),
    ],
)
def test_what_a_machine_runs(monkeypatch: pytest.MonkeyPatch, machine: str, name: str, own: bool, runs: bool) -> None:
    monkeypatch.setattr(environ, "native", lambda: machine)
    assert (environ.is_native(name), environ.runs(name)) == (own, runs)


def test_roots_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STENCILKIT_CACHE", "here")
    assert environ.cache_root() == tmp_path / "here"
    monkeypatch.delenv("STENCILKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert environ.cache_root() == tmp_path / "xdg" / "stencilkit"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert environ.cache_root() == tmp_path / "home/.cache/stencilkit"
    monkeypatch.delenv("STENCILKIT_DATA", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert environ.data_root() == tmp_path / "home/.local/share/stencilkit"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STENCILKIT_DATA", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError) as caught:
        environ.data_root()
    assert "STENCILKIT_DATA" in caught.value.fix


def test_the_command_line_can_be_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is no UTF-8 reaches Python as surrogates, which no file can hold."""
    monkeypatch.setattr("sys.argv", ["stencilkit", "--out", "a\udcff", "b\xe9", "c\n\x1b"])
    assert environ.command_line() == ("stencilkit", "--out", "a\\udcff", "bé", "c\\n\\x1b")


def test_the_variable_that_moves_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STENCILKIT_DATA", str(tmp_path / "data"))
    assert environ.moved_by(tmp_path / "cache" / "trees") == "STENCILKIT_CACHE"
    assert environ.moved_by(tmp_path / "data") == "STENCILKIT_DATA"
    assert environ.moved_by(tmp_path) == ""


def test_no_home_is_no_trouble_for_a_path_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This is asked while an error is told: another error would hide it."""

    def homeless() -> Path:
        raise RuntimeError

    for name in ("STENCILKIT_CACHE", "STENCILKIT_DATA", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert environ.moved_by(tmp_path) == ""
