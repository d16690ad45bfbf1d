"""toolchains install and remove as commands: which versions they take, and what they print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from stencilkit import cli, provision


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, list[int]]]:
    """Return what is installed and removed, which is nothing."""
    found: list[tuple[str, list[int]]] = []

    def take(name: str) -> object:
        def do(majors: Sequence[int], *_: object, **__: object) -> list[Path]:
            found.append((name, list(majors)))
            return [tmp_path / f"llvm-{major}" for major in majors]

        return do

    monkeypatch.setenv("STENCILKIT_DATA", str(tmp_path))
    for name in ("install", "remove"):
        monkeypatch.setattr(provision, name, take(name))
    return found


def test_ranges_and_several_are_taken_once(
    asked: list[tuple[str, list[int]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["toolchains", "install", "19..21", "20", "22"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"llvm-{major}") for major in (19, 20, 21, 22)]
    assert cli.main(["toolchains", "remove", "19"]) == 0
    assert capsys.readouterr().out == f"removed {tmp_path / 'llvm-19'}\n"
    assert asked == [("install", [19, 20, 21, 22]), ("remove", [19])]


@pytest.mark.parametrize("name", ["install", "remove"])
@pytest.mark.parametrize("version", ["/usr/bin/clang", "19.1.7"])
def test_only_major_versions_are_taken(
    name: str, version: str, asked: list[tuple[str, list[int]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["toolchains", name, version]) == 2
    said = capsys.readouterr().err
    assert f"toolchains {name} takes major versions" in said
    assert f"next:  stencilkit toolchains {name} 19 20 21" in said
    assert asked == []
