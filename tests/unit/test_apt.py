"""What apt is asked for, and how its answers are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit.errors import FetchError
from stencilkit.support import apt, process

ONE, TWO, LONG = "1" * 64, "2" * 64, "3" * 128
SHOWN = f"""\
Package: python3.15
Version: 3.15.2-1
Checksums-Sha1:
 {"a" * 40} 100 python3.15_3.15.2.orig.tar.xz
Checksums-Sha256:
 {ONE} 100 python3.15_3.15.2-1.dsc
 {TWO} 100 python3.15_3.15.2.orig.tar.xz
Checksums-Sha512:
 {LONG} 100 python3.15_3.15.2.orig.tar.xz
 {TWO} 100 of-another-length.tar.xz
 {LONG} {"9" * 5000} too-large.tar.xz
Directory: pool/main/p/python3.15

Package: python3.15
Checksums-Sha256:
 {ONE} 100 outside.tar.xz
Directory: pool/../../etc

Package: python3.15
Checksums-Sha256:
 {ONE} 100 no-folder.tar.xz
 short 100 short.tar.xz
"""
WHERE = [apt.Archive(origin="Debian", uri="http://a/debian/", suite="sid", keyring=Path("/k.gpg"))]


class Apt:
    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.update = 0
        self.show = 0
        self.indexed = "http://a/debian/ sid\n"
        self.said = b"E: not signed"

    def run(self, command: list[str], **_: object) -> process.Completed:
        self.commands.append(command)
        code = self.update if "update" in command else self.show
        out = self.indexed if "indextargets" in command else SHOWN
        return process.Completed(command=tuple(command), returncode=code, stdout=out.encode(), stderr=self.said)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Apt:
    found = Apt()
    monkeypatch.setattr(process, "run", found.run)
    return found


def test_paragraphs_are_read(fake: Apt, tmp_path: Path) -> None:
    pool = "pool/main/p/python3.15/"
    dsc, tarball = "python3.15_3.15.2-1.dsc", "python3.15_3.15.2.orig.tar.xz"
    read = apt.source_files("python3.15", WHERE, tmp_path / "apt")
    assert read.files == (
        apt.SourceFile(archive=WHERE[0], name=dsc, pool=pool + dsc, hashes=(("sha256", ONE),), size=100),
        apt.SourceFile(
            archive=WHERE[0], name=tarball, pool=pool + tarball, hashes=(("sha256", TWO), ("sha512", LONG)), size=100
        ),
    )
    assert read.archives == tuple(WHERE)
    fake.show = 100
    assert apt.source_files("python3.99", WHERE, tmp_path / "apt").files == ()


def test_apt_may_take_nothing_unsigned_and_keeps_to_its_folder(fake: Apt, tmp_path: Path) -> None:
    state = tmp_path / "apt"
    apt.source_files("python3.15", WHERE, state)
    for command in fake.commands:
        for setting in ("AllowInsecureRepositories=false", "AllowDowngradeToInsecureRepositories=false"):
            assert f"Acquire::{setting}" in command
        assert "APT::Update::Error-Mode=any" in command
        assert f"Dir::State::lists={state}/lists" in command
        assert "Dir::Etc::sourceparts=/dev/null" in command
    assert (state / "sources.list").read_text() == "deb-src [signed-by=/k.gpg] http://a/debian/ sid main\n"


def test_a_failed_check_is_no_answer(fake: Apt, tmp_path: Path) -> None:
    fake.update = 100
    with pytest.raises(FetchError, match="no source index that apt has checked") as caught:
        apt.source_files("python3.15", WHERE, tmp_path / "apt")
    assert caught.value.details == "E: not signed"
    assert "disk" in caught.value.fix


@pytest.mark.parametrize("word", ["E", "Error"])
def test_a_suite_that_a_mirror_does_not_carry_is_asked_no_more(word: str, fake: Apt, tmp_path: Path) -> None:
    """In both manners of apt 3."""
    fake.said = f"{word}: The repository 'http://a/debian testing Release' does not have a Release file.\n".encode()
    fake.update = 100
    where = [*WHERE, replace(WHERE[0], suite="testing")]
    with pytest.raises(FetchError) as caught:
        apt.source_files("python3.15", where, tmp_path / "apt")
    # Of the second time, that is: this one fails for what is left, too.
    assert caught.value.where == "http://a/debian/ sid"


def configured(monkeypatch: pytest.MonkeyPatch, rows: str, tmp_path: Path) -> tuple[apt.Archive, ...]:
    """Say which archives are asked on a machine with these indexes, and the keyrings of both distributions."""
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    known = {name: replace(one, keyring=keyring) for name, one in apt._DISTRIBUTIONS.items()}
    monkeypatch.setattr(apt, "_DISTRIBUTIONS", known)

    def run(command: list[str], **_: object) -> process.Completed:
        return process.Completed(command=tuple(command), returncode=0, stdout=rows.encode(), stderr=b"")

    monkeypatch.setattr(process, "run", run)
    return apt.archives()


DEBIAN = """\
Debian\thttp://d/debian/\tbookworm
Debian\thttp://d/debian/\tbookworm-updates
Debian\thttp://d/debian-security/\tbookworm-security
"""
UBUNTU = """\
Ubuntu\thttp://security.u/ubuntu/\tresolute-security
Ubuntu\thttp://u/ubuntu/\tresolute
Ubuntu\thttp://u/ubuntu/\tresolute
Somebody\thttp://s/\tresolute
Ubuntu\thttp://u/ubuntu/
"""


def test_debian_is_asked_for_the_suites_with_the_newest_cpythons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = configured(monkeypatch, DEBIAN, tmp_path)
    assert [(one.uri, one.suite) for one in asked] == [
        ("http://d/debian/", suite) for suite in ("sid", "testing", "stable")
    ]


def test_ubuntu_is_asked_for_its_own_suites_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = configured(monkeypatch, UBUNTU, tmp_path)
    assert [(one.uri, one.suite) for one in asked] == [
        ("http://u/ubuntu/", "devel"),
        ("http://u/ubuntu/", "resolute"),
        ("http://security.u/ubuntu/", "resolute-security"),
    ]
    # Of a series that is not Ubuntu's default, the package is there:
    assert {one.components for one in asked} == {("main", "universe")}
    assert {one.origin for one in configured(monkeypatch, UBUNTU + DEBIAN, tmp_path)} == {"Debian", "Ubuntu"}
    assert configured(monkeypatch, UBUNTU.splitlines()[0], tmp_path) == ()


def test_a_file_of_a_pool_is_looked_for_in_all_components(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configured(monkeypatch, UBUNTU + DEBIAN, tmp_path)
    rest = "p/python3.15/python3.15_3.15.2.orig.tar.xz"
    assert apt.urls(f"pool/main/{rest}")[:4] == (
        f"http://d/debian/pool/main/{rest}",
        f"http://u/ubuntu/pool/main/{rest}",
        f"http://u/ubuntu/pool/universe/{rest}",
        f"http://d/debian-security/pool/main/{rest}",
    )
    assert apt.urls(f"pool/universe/{rest}")[:3] == (
        f"http://d/debian/pool/universe/{rest}",
        f"http://d/debian/pool/main/{rest}",
        f"http://u/ubuntu/pool/universe/{rest}",
    )
