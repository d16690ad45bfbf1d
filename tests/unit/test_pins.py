"""pins update without a network: which release is pinned, what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stencilkit import cli, fetch, pins
from stencilkit.fetch import Fetched
from stencilkit.model.pins import HashOrigin, SourcePin
from stencilkit.pipeline import knowing
from stencilkit.support import resources

SHA256 = "ab" * 32
TEXT = f"""\
# What people read.
schema = 1

[[cpython]]
version = "3.15.0rc1"
pool = "pool/x"
path = "3.15.0/x"
sha256 = "{"1" * 64}"

# Behind it.
[[llvm]]
version = "19.1.7"
package = "ziglang==1"
sha256 = ["{SHA256}"]
"""


def pin(version: str, origin: HashOrigin = "index") -> SourcePin:
    return SourcePin(
        version=fetch.release(version),
        pool=f"pool/{version}",
        path=f"{version}/x",
        sha256=SHA256,
        origin=origin,
        size=7,
        vouched="whoever gave it as --sha256" if origin == "sha256" else "the signed source index of Debian sid",
    )


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a pins.toml, on a machine where 3.15.1 and 3.14.9 are the newest that can be had."""
    newest = {"3.15": ("3.15.1", ("3.15.2",)), "3.14": ("3.14.9", ()), "3.13": ("3.13.20", ())}

    def take(series: str, *_: object, **__: object) -> Fetched:
        version, absent = newest[series]
        return Fetched(pin=pin(version), tree=tmp_path, absent=absent)

    monkeypatch.setattr(fetch, "newest", take)
    monkeypatch.setattr(
        fetch, "named", lambda version, *_, **__: Fetched(pin=pin(str(version), "sha256"), tree=tmp_path)
    )
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "pins.toml"
    path.write_text(TEXT)
    return path


def update(file: Path, *words: str) -> int:
    return cli.main(["pins", "update", *words, "--file", str(file)])


def test_the_newest_takes_the_place_of_the_pinned(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(file, "3.15") == 0
    assert capsys.readouterr().out.splitlines() == [
        "3.15: 3.15.0rc1 -> 3.15.1, whose hash comes from the signed source index of Debian sid",
        f"wrote {file}",
    ]
    head, behind = TEXT.partition("[[cpython]]")[0], TEXT[TEXT.index("\n# Behind it.") :]
    written = file.read_text()
    assert written.startswith(f'{head}[[cpython]]\nversion = "3.15.1"\n')
    assert written.endswith(f'vouched = "the signed source index of Debian sid"\n{behind}')


def test_a_pin_stays_where_nothing_newer_can_be_had(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update(file, "3.15")
    before = file.read_text()
    capsys.readouterr()
    assert update(file, "3.15") == 0
    assert capsys.readouterr().out.splitlines() == [
        "3.15: 3.15.1 stays, the newest that can be had; no mirror has the tarball of 3.15.2"
    ]
    assert file.read_text() == before
    file.write_text(TEXT.replace("3.15.0rc1", "3.15.7"))
    assert update(file, "3.15", "--format", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)["pins"]
    assert (row["before"], row["version"], row["changed"], row["absent"]) == ("3.15.7", "3.15.7", False, ["3.15.2"])


def test_a_series_without_a_pin_joins_the_others(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(file, "3.14", "--format", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)["pins"]
    assert (row["before"], row["version"], row["changed"]) == ("", "3.14.9", True)
    known = pins.parse(file.read_text())
    assert [str(one.version) for one in known.sources] == ["3.15.0rc1", "3.14.9"]


def test_without_a_series_all_that_are_known_are_looked_for(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(file, "--format", "json") == 0
    assert [row["series"] for row in json.loads(capsys.readouterr().out)["pins"]] == list(knowing.pythons())


def test_a_hash_of_the_users_is_noted_as_that(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(file, "--sha256", f"3.15.2={SHA256}") == 0
    assert "3.15: 3.15.0rc1 -> 3.15.2, whose hash comes from whoever gave it" in capsys.readouterr().out
    found = pins.parse(file.read_text()).source(fetch.release("3.15.2"))
    assert found is not None
    assert found.vouched == "whoever gave it as --sha256"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sha256", "3.15.2"], "--sha256 3.15.2 is not understood"),
        (["--sha256", "3.15.2=a", "--sha256", "3.15.2=b"], "give each release once, as in 3.15.2=HEX"),
        (["--sha256", "3.15=a"], "'3.15' is not a CPython version"),
        (["--sha256", "3.15.2=a", "--sha256", "3.15.3=b"], "two releases of one series have a --sha256"),
        (["3.15.2"], "'3.15.2' is not a series"),
        (["main"], "a release needs --sha256 3.15.2=HEX"),
    ],
)
def test_what_is_not_understood_changes_nothing(
    file: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert update(file, *words) == 2
    assert message in capsys.readouterr().err
    assert file.read_text() == TEXT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A key in quotes is not seen, so the old release would stay beside the new one.
        ('version = "3.15.0rc1"', '"version" = "3.15.0rc1"'),
        # A string of two lines ends a release too early.
        ('path = "3.15.0/x"', "path = '''3.15.0/\nx'''"),
        # Nothing can stand beside an array that is written out.
        (TEXT[TEXT.index("[[cpython]]") : TEXT.index("\n# Behind")], "cpython = []\n"),
    ],
)
def test_pins_of_another_layout_are_left_alone(
    file: Path, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXT.replace(old, new)
    assert text != TEXT
    pins.parse(text)
    file.write_text(text)
    assert update(file, "3.15") == 2
    said = capsys.readouterr().err
    assert "CPython 3.15.1 could not be written into these pins" in said
    assert "write each release as [[cpython]] and one line for each key" in said
    assert file.read_text() == text


def test_outside_a_checkout_the_file_must_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resources, "in_checkout", lambda _: None)
    assert cli.main(["pins", "update", "3.15"]) == 2
    assert "name the pins.toml to change: --file" in capsys.readouterr().err
