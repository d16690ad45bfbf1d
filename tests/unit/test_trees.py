"""Whether paths are files, of which thousands are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.support import trees


@pytest.fixture
def places(tmp_path: Path) -> trees.Places:
    (tmp_path / "Include" / "internal").mkdir(parents=True)
    (tmp_path / "Include" / "Python.h").touch()
    (tmp_path / "Include" / "link.h").symlink_to("Python.h")
    (tmp_path / "Include" / "dangling.h").symlink_to("nothing.h")
    (tmp_path / "linked").symlink_to("Include")
    return trees.Places()


@pytest.mark.parametrize(
    ("name", "is_file"),
    [
        ("Include/Python.h", True),
        ("Include/link.h", True),
        ("linked/Python.h", True),
        ("Include/internal", False),
        ("Include/dangling.h", False),
        ("Include/other.h", False),
        ("nowhere/Python.h", False),
        ("Include/Python.h/x.h", False),
    ],
)
def test_they_are_what_the_file_system_says(name: str, is_file: bool, places: trees.Places, tmp_path: Path) -> None:
    place = f"{tmp_path.as_posix()}/{name}"
    assert places.is_file(place) is is_file
    assert Path(place).is_file() is is_file
    assert places.is_file(place) is is_file, "and it is so when it is asked again"


def test_a_file_system_without_case_has_the_last_word(
    places: trees.Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: path.name.lower() == "python.h")
    assert places.is_file(f"{tmp_path.as_posix()}/Include/PYTHON.h")
    assert not places.is_file(f"{tmp_path.as_posix()}/Include/OTHER.h")


def test_the_root_is_a_folder_too(places: trees.Places) -> None:
    assert not places.is_file("/stencilkit-no-such-file.h")
