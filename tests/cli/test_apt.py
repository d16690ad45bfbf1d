"""apt itself judges the indexes that hashes come from: only what a keyring's key has signed is believed.

The archive, its tarballs and its keys are made here.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli, fetch, pins
from stencilkit.errors import ContentError, FetchError, StencilkitError, UsageError
from stencilkit.model.pins import Pins, SourcePin
from stencilkit.pipeline import pinning
from stencilkit.support import apt
from tests import answers, fakes
from tests.unit.test_fetch import SHA256, SHA512, TARBALL

pytestmark = [pytest.mark.process]
POOL = "pool/main/p/python3.15"
# Before the releases of the archive here.
PINNED = """\
# What people read.
schema = 1

[[cpython]]
version = "3.15.0rc1"
pool = "pool/x"
path = "3.15.0/x"
sha256 = "{digest}"

# Behind it.
[[llvm]]
version = "19.1.7"
package = "ziglang==0.14.1"
sha256 = ["{digest}"]
"""


@dataclass(frozen=True)
class Keys:
    """A keyring that the machine trusts, and the folder of gpg's with that key and one that nobody trusts."""

    home: Path
    keyring: Path

    def gpg(self, *words: str | Path) -> bytes:
        environment = {**os.environ, "GNUPGHOME": str(self.home)}
        command = ["gpg", "--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *words]
        return subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout

    def sign(self, release: Path, name: str) -> None:
        self.gpg("--local-user", name, "--output", release.with_name("InRelease"), "--clearsign", release)


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    """Make two keys; the path is short, because gpg-agent listens on a socket in it."""
    with tempfile.TemporaryDirectory(prefix="gpg") as folder:
        made = Keys(home=Path(folder), keyring=Path(folder) / "trusted.gpg")
        made.home.chmod(0o700)
        for name in ("archive@example.org", "mallory@example.org"):
            made.gpg("--quick-generate-key", name, "ed25519", "sign", "never")
        made.keyring.write_bytes(made.gpg("--export", "archive@example.org"))
        made.keyring.chmod(0o644)
        yield made
        environment = {**os.environ, "GNUPGHOME": folder}
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True, timeout=60)


class Archive:
    """A mirror in a folder: tarballs, an index of sources, and the signed file that names the index's hash."""

    def __init__(self, root: Path, keys: Keys) -> None:
        self.keys = keys
        self.root = root
        self.suites = ["sid"]
        self.codename = "sid"
        self.suite = root / "dists" / "sid"
        self.sources = self.suite / "main" / "source" / "Sources"
        self.sources.parent.mkdir(parents=True)
        (root / POOL).mkdir(parents=True)
        self.paragraphs: list[str] = []

    def add(
        self,
        version: str,
        *,
        digest: str = SHA256,
        size: int = len(TARBALL),
        content: bytes | None = TARBALL,
        function: str = "Sha256",
    ) -> None:
        name = f"python3.15_{version}.orig.tar.xz"
        if content is not None:
            (self.root / POOL / name).write_bytes(content)
        fields = {"Package": "python3.15", "Format": "3.0 (quilt)", "Binary": "python3.15", "Architecture": "any"}
        fields |= {"Version": f"{version}-1", "Directory": POOL, f"Checksums-{function}": f"\n {digest} {size} {name}"}
        self.paragraphs.append("".join(f"{key}: {value}\n" for key, value in fields.items()))

    def publish(self, signer: str = "archive@example.org") -> None:
        self.sources.write_text("\n".join(self.paragraphs))
        data = self.sources.read_bytes()
        entry = f" {hashlib.sha256(data).hexdigest()} {len(data)} main/source/Sources"
        release = self.suite / "Release"
        date = email.utils.formatdate(usegmt=True)
        head = f"Origin: Debian\nSuite: sid\nCodename: {self.codename}\nComponents: main\nDate: {date}\n"
        release.write_text(f"{head}SHA256:\n{entry}\n")
        if signer:
            self.keys.sign(release, signer)

    def copy(self, suite: str, *changes: tuple[str, str]) -> None:
        """Publish what is published now as another suite, too."""
        self.suites.append(suite)
        folder = self.root / "dists" / suite
        shutil.copytree(self.suite, folder)
        text = (folder / "Release").read_text()
        for old, new in (("Suite: sid", f"Suite: {suite}"), *changes):
            text = text.replace(old, new)
        (folder / "Release").write_text(text)
        self.keys.sign(folder / "Release", "archive@example.org")

    def where(self) -> tuple[apt.Archive, ...]:
        return tuple(
            apt.Archive(origin="Debian", uri=f"file:{self.root}/", suite=suite, keyring=self.keys.keyring)
            for suite in self.suites
        )


@pytest.fixture
def archive(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Archive:
    made = Archive(tmp_path / "mirror", keys)
    monkeypatch.setattr(apt, "archives", made.where)
    monkeypatch.setattr(apt, "mirrors", lambda: (apt.Mirror(origin="Debian", uri=f"file:{made.root}/"),))
    monkeypatch.setattr(fetch, "_PYTHON_ORG", f"file:{tmp_path}/python.org/")
    monkeypatch.setattr("time.sleep", lambda _: None)
    return made


NOTHING_PINNED = Pins(sources=(), wheels=())


def test_a_release_of_an_index_that_a_trusted_key_signed(archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1")
    archive.add("3.15.2", content=None)
    archive.publish()
    found = fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache")
    assert (str(found.pin.version), found.absent) == ("3.15.1", ("3.15.2",))
    assert found.pin.vouched == "the signed source index of Debian sid"
    assert (found.tree / "Include/patchlevel.h").is_file()
    with pytest.raises(FetchError, match=r"lists CPython 3\.15\.2, but its tarball is not available"):
        fetch.fetch("3.15.2", NOTHING_PINNED, tmp_path / "cache")


def test_a_release_of_an_index_that_has_sha512_alone(archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1", digest=SHA512, function="Sha512")
    archive.publish()
    assert fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache").pin.sha256 == SHA256
    archive.add("3.15.2", digest="1" * 128, function="Sha512")
    archive.publish()
    with pytest.raises(ContentError):
        fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache")


def test_a_release_whose_sha512_is_listed_is_pinned_with_its_sha256(archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1", digest=SHA512, function="Sha512")
    archive.publish()
    file = tmp_path / "pins.toml"
    given: list[tuple[list[str], dict[str, str]]] = [(["3.15"], {}), ([], {"3.15.1": SHA256})]
    for number, (series, hashes) in enumerate(given):
        file.write_text(PINNED.format(digest="1" * 64))
        pinning.update(file, series, hashes, tmp_path / f"cache{number}")
        (pin,) = pins.parse(file.read_text()).sources
        assert (str(pin.version), pin.sha256) == ("3.15.1", SHA256)


def nothing(archive: Archive) -> None:
    """Leave the mirror without the suite."""
    archive.suites.append("testing")


def packages_alone(archive: Archive) -> None:
    """Sign a suite that has no sources, of which apt says nothing but a warning."""
    archive.copy("testing", ("main/source/Sources", "main/binary-amd64/Packages"))


def another_suite(archive: Archive) -> None:
    """Serve one suite's signed files under another's name, as somebody on the network can."""
    archive.copy("testing", ("Suite: testing", "Suite: sid"))


@pytest.mark.parametrize("publish", [nothing, packages_alone, another_suite])
def test_a_suite_that_the_mirror_does_not_carry_is_left_out_and_named(
    publish: Callable[[Archive], None], archive: Archive, tmp_path: Path
) -> None:
    archive.add("3.15.1")
    archive.publish()
    publish(archive)
    said = fakes.Told()
    found = fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache", progress=said)
    assert str(found.pin.version) == "3.15.1"
    assert found.pin.vouched == "the signed source index of Debian sid"
    assert found.unasked == (f"file:{archive.root}/ testing",)
    line = f"there is no source index of {found.unasked[0]}: a release that is there alone is not seen"
    assert line in said.lines
    # That is no way around a signature.
    by_somebody_else(archive)
    with pytest.raises(FetchError, match="no source index that apt has checked"):
        fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache")


def test_a_suite_may_be_another_release_than_last_time(archive: Archive, tmp_path: Path) -> None:
    """`testing` and `devel` are; apt-get update fails of it unless it is told."""
    archive.codename = "forky"
    archive.add("3.15.1")
    archive.publish()
    assert str(fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache").pin.version) == "3.15.1"
    archive.codename = "duke"
    archive.add("3.15.2")
    archive.publish()
    assert str(fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache").pin.version) == "3.15.2"


def test_those_suites_vouch_that_list_the_tarball(archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1")
    archive.publish()
    archive.copy("testing")
    archive.add("3.15.2")
    archive.publish()
    newest = fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache")
    assert newest.pin.vouched == "the signed source index of Debian sid"
    (archive.root / POOL / "python3.15_3.15.2.orig.tar.xz").unlink()
    before = fetch.newest("3.15", NOTHING_PINNED, tmp_path / "other")
    assert before.pin.vouched == "the signed source index of Debian sid, Debian testing"


def test_without_an_archive_what_is_pinned_is_not_called_the_newest(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No apt, no mirror, or no keyring: there may be newer ones that nobody asked for."""
    monkeypatch.setattr(apt, "archives", lambda: ())
    pin = SourcePin(version=fetch.release("3.15.1"), pool=f"{POOL}/x", path="x", sha256=SHA256)
    (archive.root / POOL / "x").write_bytes(TARBALL)
    said = fakes.Told()
    found = fetch.newest("3.15", Pins(sources=(pin,), wheels=()), tmp_path / "cache", progress=said)
    assert (found.pin, found.unasked) == (pin, ("Debian", "Ubuntu"))
    assert said.lines[0].startswith("no source index is asked")
    assert said.lines[0].endswith("only pinned releases are known")


def test_ubuntus_devel_has_the_name_of_the_coming_release(archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1")
    archive.publish()
    archive.copy("devel", ("Suite: devel", "Suite: tenacious"))
    found = fetch.newest("3.15", NOTHING_PINNED, tmp_path / "cache")
    assert found.pin.vouched == "the signed source index of Debian sid, Debian devel"


def unsigned(archive: Archive) -> None:
    archive.publish(signer="")


def without_release(archive: Archive) -> None:
    archive.publish(signer="")
    (archive.suite / "Release").unlink()


def nonsense(archive: Archive) -> None:
    archive.publish(signer="")
    text = "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"
    (archive.suite / "Release.gpg").write_text(text)


def by_somebody_else(archive: Archive) -> None:
    archive.publish(signer="mallory@example.org")


def changed_afterwards(archive: Archive) -> None:
    archive.publish()
    archive.sources.write_text(archive.sources.read_text().replace(SHA256, "0" * 64))


def of_another_time(archive: Archive) -> None:
    """A good index was there before: it is not taken in place of one that cannot be checked."""
    archive.publish()
    apt.source_files("python3.15", archive.where(), archive.root.parent / "cache" / "apt")
    by_somebody_else(archive)


@pytest.mark.parametrize(
    "publish", [unsigned, without_release, nonsense, by_somebody_else, changed_afterwards, of_another_time]
)
def test_an_index_that_no_trusted_key_signed_is_refused(
    publish: Callable[[Archive], None], archive: Archive, tmp_path: Path
) -> None:
    archive.add("3.15.2")
    publish(archive)
    for version in ("3.15.2", "3.15"):
        with pytest.raises(FetchError, match="no source index that apt has checked") as caught:
            fetch.fetch(version, NOTHING_PINNED, tmp_path / "cache")
        assert caught.value.details
        assert "--sha256" in caught.value.fix
    assert not (tmp_path / "cache" / "trees").exists()


LIES: list[dict[str, Any]] = [{"digest": "0" * 64}, {"size": 10}, {"size": len(TARBALL) + 1}, {"content": b"other"}]


@pytest.mark.parametrize("lie", LIES)
def test_an_index_whose_size_or_hash_is_not_the_tarballs(lie: dict[str, Any], archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1")
    archive.add("3.15.2", **lie)
    archive.publish()
    file = tmp_path / "pins.toml"
    file.write_text(PINNED.format(digest="1" * 64))
    cache = tmp_path / "cache"
    for ask in (
        lambda: fetch.fetch("3.15.2", NOTHING_PINNED, cache),
        # An older one is not taken in its place.
        lambda: fetch.fetch("3.15", NOTHING_PINNED, cache),
        lambda: pinning.update(file, ["3.15"], {}, cache),
    ):
        with pytest.raises(ContentError, match=r"lists CPython 3\.15\.2, and the tarball of that name is another one"):
            ask()
    assert not (cache / "trees").exists()
    assert list((cache / "tarballs").iterdir()) == []
    assert file.read_text() == PINNED.format(digest="1" * 64)


def test_the_newest_is_pinned_with_where_its_hash_came_from(archive: Archive, tmp_path: Path) -> None:
    for version in ("3.15.0~rc2", "3.15.0", "3.15.10", "3.15.9"):
        archive.add(version)
    archive.add("3.15.11", content=None)
    archive.publish()
    file = tmp_path / "pins.toml"
    file.write_text(PINNED.format(digest="1" * 64))
    (done,) = pinning.update(file, ["3.15"], {}, tmp_path / "cache")
    assert (done.changed, str(done.now.version), done.absent) == (True, "3.15.10", ("3.15.11",))
    text = file.read_text()
    assert tomllib.loads(text)["cpython"] == [
        {
            "version": "3.15.10",
            "pool": f"{POOL}/python3.15_3.15.10.orig.tar.xz",
            "path": "3.15.10/Python-3.15.10.tar.xz",
            "sha256": SHA256,
            "vouched": "the signed source index of Debian sid",
        }
    ]
    assert text.startswith("# What people read.\nschema = 1\n\n[[cpython]]\n")
    assert "\n\n# Behind it.\n[[llvm]]\n" in text
    # The second time, there is nothing to do; a pin is not replaced by what is older.
    (again,) = pinning.update(file, ["3.15"], {}, tmp_path / "cache")
    assert not again.changed
    assert file.read_text() == text
    archive.paragraphs.clear()
    archive.add("3.15.9")
    archive.publish()
    for path in (archive.root / POOL).glob("*3.15.10*"):
        path.unlink()
    (kept,) = pinning.update(file, ["3.15"], {}, tmp_path / "other")
    assert (str(kept.now.version), kept.changed) == ("3.15.10", False)
    # What was written is what is read.
    assert pins.parse(text).source(fetch.release("3.15.10")) is not None


def test_a_hash_of_the_users_is_noted_as_that(archive: Archive, tmp_path: Path) -> None:
    archive.add("3.15.1", digest="2" * 64)
    archive.publish()
    (archive.root / POOL / "python3.15_3.15.2.orig.tar.xz").write_bytes(TARBALL)
    file = tmp_path / "pins.toml"
    file.write_text(PINNED.format(digest="1" * 64))
    (done,) = pinning.update(file, [], {"3.15.2": SHA256}, tmp_path / "cache")
    assert done.now.vouched == "whoever gave it as --sha256"
    assert 'vouched = "whoever gave it as --sha256"\n' in file.read_text()
    # Where no index can be checked, it is the way out; the tarball must have it all the same.
    by_somebody_else(archive)
    release = fetch.release("3.15.2")
    assert fetch.named(release, SHA256, NOTHING_PINNED, tmp_path / "another").pin.version == release
    with pytest.raises(ContentError):
        fetch.named(release, "0" * 64, NOTHING_PINNED, tmp_path / "another")
    archive.publish()
    wrong: list[tuple[list[str], dict[str, str], type[StencilkitError]]] = [
        # The index knows better, or the tarball.
        ([], {"3.15.1": SHA256}, UsageError),
        ([], {"3.15.3": SHA256}, FetchError),
        ([], {"3.15.2": "abc"}, UsageError),
        ([], {"3.15": SHA256}, UsageError),
        ([], {"3.15.2": SHA256, "3.15.3": SHA256}, UsageError),
        (["3.15.2"], {}, UsageError),
        (["main"], {}, UsageError),
    ]
    before = file.read_text()
    for series, given, error in wrong:
        with pytest.raises(error):
            pinning.update(file, series, given, tmp_path / "cache")
        assert file.read_text() == before


def test_what_the_command_prints(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.add("3.15.1")
    archive.add("3.15.2", content=None)
    archive.publish()
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "pins.toml"
    file.write_text(PINNED.format(digest="1" * 64))
    words = ["pins", "update", "3.15", "--file", str(file)]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "3.15: 3.15.0rc1 -> 3.15.1, whose hash comes from the signed source index of Debian sid",
        f"wrote {file}",
    ]
    assert "CPython 3.15.1 is not the newest: a signed source index lists CPython 3.15.2" in said.err
    assert cli.main([*words, "--format", "json"]) == 0
    text = capsys.readouterr().out
    answers.check_text(text)
    (row,) = json.loads(text)["pins"]
    assert (row["before"], row["version"], row["changed"], row["absent"]) == ("3.15.1", "3.15.1", False, ["3.15.2"])
    assert row["unasked"] == []
    # Who hides a suite hides what is newer: it is in the answer, and not only among what is said meanwhile.
    archive.suites = ["sid", "testing"]
    assert cli.main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["pins"][0]["unasked"] == [f"file:{archive.root}/ testing"]
    assert cli.main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "3.15.1 stays, the newest that can be had; no mirror has the tarball of 3.15.2; there is no" in printed
    for given in (["3.15.2"], ["3.15.2=1", "3.15.2=2"]):
        assert cli.main([*words, *(word for one in given for word in ("--sha256", one))]) == 2
        assert "give each release once, as in 3.15.2=HEX" in capsys.readouterr().err
