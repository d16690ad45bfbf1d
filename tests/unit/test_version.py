"""Versions and ranges."""

from __future__ import annotations

import pytest

from stencilkit.model.version import LlvmVersion, MajorRange, PythonVersion


def test_llvm_versions() -> None:
    version = LlvmVersion.parse("19.1.7")
    assert version == LlvmVersion(19, 1, 7)
    assert str(version) == "19.1.7"
    assert LlvmVersion(9, 0, 0) < LlvmVersion(19, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "19", "19.1", "19.1.7rc1", " 19.1.7", "19.1.7\n", "-1.0.0", "1٩.1.7", "19.1.7.0", "9" * 5000 + ".0.0"]
)
def test_what_is_no_llvm_version(text: str) -> None:
    assert LlvmVersion.parse(text) is None


def test_ranges() -> None:
    one, many = MajorRange.parse("19"), MajorRange.parse("19..21")
    assert one == MajorRange(19, 19)
    assert many is not None
    assert list(many) == [19, 20, 21]
    assert (19 in many, 21 in many, 18 in many, 22 in many, "19" in many) == (True, True, False, False, False)
    assert (str(one), str(many)) == ("19", "19..21")


@pytest.mark.parametrize("text", ["", "..", "19..", "..19", "21..19", "19...21", "19-21", "a", "19..1e9", "1" * 20])
def test_what_is_no_range(text: str) -> None:
    assert MajorRange.parse(text) is None


@pytest.mark.parametrize(
    "text",
    ["3.14.7", "3.15.0rc1", "3.15.0a3+", "3.13.15", "3.16.0b1", "3.14.7+debian", "3.15.0rc1+dev", "3.14.7+1.el9_4-x"],
)
def test_python_versions(text: str) -> None:
    version = PythonVersion.parse(text)
    assert str(version) == text
    assert version is not None
    assert version.series == text[:4]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3.14",
        "3.14.x",
        "3.14.7-dev",
        "python3.14.7",
        "3.14.7c1",
        "3.14.7\n",
        "3.14.7+a b",
        "3.14.7+../x",
        "3.14.7+" + "x" * 41,
    ],
)
def test_what_is_no_python_version(text: str) -> None:
    assert PythonVersion.parse(text) is None


def test_cpythons_sort_by_age() -> None:
    texts = [
        "3.9.25",
        "3.13.15",
        "3.14.0a1",
        "3.14.0b4",
        "3.14.0rc3",
        "3.14.0rc12",
        "3.14.0",
        "3.14.7",
        "3.14.10",
        "3.15.0a1+",
    ]
    versions = [found for text in texts if (found := PythonVersion.parse(text)) is not None]
    assert len(versions) == len(texts)
    backwards = versions[::-1]
    assert sorted(backwards, key=lambda version: version.age) == versions
