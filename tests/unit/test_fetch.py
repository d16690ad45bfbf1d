"""A version -> its tarball -> a tree; downloads are replaced by small tarballs of our own."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from stencilkit import cli, fetch
from stencilkit.errors import ContentError, FetchError, ProcessError, SourceError, UsageError
from stencilkit.model.pins import Pins, SourcePin
from stencilkit.pipeline import knowing
from stencilkit.support import apt, archive, download, process
from tests import fakes


def tarball(text: str = "text") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as file:
        info = tarfile.TarInfo("Python-3.14.7/Include/patchlevel.h")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


TARBALL = tarball()
SHA256 = hashlib.sha256(TARBALL).hexdigest()
SHA512 = hashlib.sha512(TARBALL).hexdigest()
PINS = Pins(
    sources=(SourcePin(version=fetch.release("3.14.7"), pool="pool/x", path="3.14.7/x", sha256=SHA256),), wheels=()
)


class Downloads:
    def __init__(self) -> None:
        self.urls: list[tuple[str, ...]] = []
        self.content = TARBALL

    def fetch(self, urls: tuple[str, ...], hashes: Mapping[str, str], target: Path, **_: object) -> None:
        self.urls.append(urls)
        assert hashes
        if any(hashlib.new(name, self.content).hexdigest() != value for name, value in hashes.items()):
            raise ContentError("it is not what the hash says", details=urls[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.content)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Downloads:
    found = Downloads()
    monkeypatch.setattr(download, "fetch", found.fetch)
    rows = ("Debian b/debian", "Debian security/debian", "Debian a/debian", "Other c", "x x")
    mirrors = "".join(f"{origin}\thttp://{host}/\tsid\n" for origin, host in (row.split() for row in rows))

    def apt(command: list[str], **_: object) -> process.Completed:
        return process.Completed(command=tuple(command), returncode=0, stdout=mirrors.encode(), stderr=b"")

    monkeypatch.setattr(process, "run", apt)
    return found


def test_a_pinned_version_is_fetched_once(tmp_path: Path, downloads: Downloads) -> None:
    folder = fetch.fetch("3.14.7", PINS, tmp_path)
    assert (folder / "Include/patchlevel.h").read_text() == "text"
    assert fetch.fetch("3.14.7", PINS, tmp_path) == folder
    assert downloads.urls == [
        (
            "http://a/debian/pool/x",
            "http://b/debian/pool/x",
            "http://security/debian/pool/x",
            "https://www.python.org/ftp/python/3.14.7/x",
        )
    ]


def test_without_apt_python_org_is_asked(tmp_path: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_apt(*_: object, **__: object) -> None:
        raise ProcessError("cannot run apt-get")

    monkeypatch.setattr(process, "run", no_apt)
    fetch.fetch("3.14.7", PINS, tmp_path)
    assert downloads.urls == [("https://www.python.org/ftp/python/3.14.7/x",)]


def test_a_damaged_tarball_in_the_cache_is_fetched_again(tmp_path: Path, downloads: Downloads) -> None:
    stored = tmp_path / "tarballs" / f"Python-3.14.7-{SHA256[:16]}.tar.xz"
    stored.parent.mkdir()
    stored.write_bytes(TARBALL[:50])
    fetch.fetch("3.14.7", PINS, tmp_path)
    assert len(downloads.urls) == 1
    assert stored.read_bytes() == TARBALL


@pytest.mark.parametrize(
    ("version", "pool", "path"),
    [
        ("3.14.8", "python3.14/python3.14_3.14.8.orig", "3.14.8/Python-3.14.8.tar.xz"),
        ("3.15.0rc2", "python3.15/python3.15_3.15.0~rc2.orig", "3.15.0/Python-3.15.0rc2.tar.xz"),
        ("3.15.0a1", "python3.15/python3.15_3.15.0~a1.orig", "3.15.0/Python-3.15.0a1.tar.xz"),
    ],
)
def test_other_releases_need_a_hash(tmp_path: Path, downloads: Downloads, version: str, pool: str, path: str) -> None:
    with pytest.raises(UsageError, match="no hash is known") as caught:
        fetch.fetch(version, PINS, tmp_path)
    assert "3.14.7" in caught.value.fix
    fetch.fetch(version, PINS, tmp_path, sha256=SHA256)
    assert downloads.urls[0][0] == f"http://a/debian/pool/main/p/{pool}.tar.xz"
    assert downloads.urls[0][-1] == f"https://www.python.org/ftp/python/{path}"


def test_a_release_that_was_fetched_with_a_hash_is_found_again_without(tmp_path: Path, downloads: Downloads) -> None:
    folder = fetch.fetch("3.14.8", PINS, tmp_path, sha256=SHA256)
    assert fetch.fetch("3.14.8", PINS, tmp_path) == folder
    assert len(downloads.urls) == 1


def test_of_two_trees_of_one_release_neither_is_taken(tmp_path: Path, downloads: Downloads) -> None:
    fetch.fetch("3.14.8", PINS, tmp_path, sha256=SHA256)
    (tmp_path / "trees" / f"Python-3.14.8-{'0' * 16}").mkdir()
    with pytest.raises(UsageError, match="no hash is known"):
        fetch.fetch("3.14.8", PINS, tmp_path)


def test_a_mistyped_release_gets_a_suggestion(tmp_path: Path, downloads: Downloads) -> None:
    with pytest.raises(UsageError, match="no hash is known") as caught:
        fetch.fetch("3.14.77", PINS, tmp_path)
    assert caught.value.fix == "did you mean 3.14.7?"


@pytest.mark.parametrize("version", ["3.14", "latest", "../../etc", "", "3.14.7/.."])
def test_what_is_no_version(tmp_path: Path, version: str) -> None:
    with pytest.raises(UsageError, match="is not a CPython version"):
        fetch.fetch(version, PINS, tmp_path, sha256=SHA256)


@pytest.mark.parametrize("sha256", ["", "abc", SHA256.upper(), SHA256 + "0"])
def test_what_is_no_hash(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(UsageError, match="not a SHA-256"):
        fetch.fetch("3.14.8", PINS, tmp_path, sha256=sha256)


def test_a_folder_of_the_users_is_never_touched(tmp_path: Path, downloads: Downloads) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    with pytest.raises(FetchError, match="exists"):
        fetch.fetch("3.14.7", PINS, tmp_path, to=mine)
    assert [path.name for path in mine.iterdir()] == ["file"]
    assert fetch.fetch("3.14.7", PINS, tmp_path, to=tmp_path / "deep" / "new") == tmp_path / "deep" / "new"


def test_an_archive_that_is_none_leaves_nothing(tmp_path: Path, downloads: Downloads) -> None:
    downloads.content = b"<html>not found</html>"
    with pytest.raises(SourceError, match="cannot unpack"):
        fetch.fetch("3.14.8", PINS, tmp_path, sha256=hashlib.sha256(downloads.content).hexdigest(), to=tmp_path / "new")
    assert not list(tmp_path.rglob("*new*"))


def test_two_at_once_end_with_one_tree(tmp_path: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process finishes between our unpacking and our renaming."""
    real = archive.unpack_source
    stored = tmp_path / "x.tar.xz"
    stored.write_bytes(TARBALL)
    folder = tmp_path / "tree"

    def slow(tar: Path, to: Path, marker: str) -> None:
        real(tar, to, marker)
        real(tar, folder, marker)

    monkeypatch.setattr(archive, "unpack_source", slow)
    assert fetch.unpack(stored, folder) == folder
    assert [path.name for path in tmp_path.iterdir() if "tree" in path.name] == ["tree"]


def test_a_tarball_of_the_users_is_unpacked_once_per_content(tmp_path: Path) -> None:
    mine = tmp_path / "mine.tar.xz"
    mine.write_bytes(TARBALL)
    first = fetch.unpack_cached(mine, tmp_path / "cache")
    assert fetch.unpack_cached(mine, tmp_path / "cache") == first
    mine.write_bytes(tarball("other"))
    assert (fetch.unpack_cached(mine, tmp_path / "cache") / "Include/patchlevel.h").read_text() == "other"


SID = apt.Archive(origin="Debian", uri="http://a/debian/", suite="sid", keyring=Path("/k"))


class Index:
    """What a signed source index lists, and which tarballs are there."""

    def __init__(self) -> None:
        self.files: list[apt.SourceFile] = []
        self.absent: set[str] = set()

    def add(self, version: str, sha256: str = SHA256, suffix: str = ".orig.tar.xz", **others: str) -> None:
        name = f"python3.15_{version}{suffix}"
        pool = f"pool/main/p/python3.15/{name}"
        hashes = {"sha256": sha256, **others}
        known = tuple((function, value) for function, value in hashes.items() if value)
        self.files.append(apt.SourceFile(archive=SID, name=name, pool=pool, hashes=known, size=len(TARBALL)))


@pytest.fixture
def index(downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> Index:
    found = Index()
    monkeypatch.setattr(apt, "archives", lambda: (SID,))
    monkeypatch.setattr(apt, "source_files", lambda *_: apt.Listing(files=tuple(found.files), archives=(SID,)))

    def fetch_present(urls: tuple[str, ...], hashes: Mapping[str, str], target: Path, **_: object) -> None:
        if any(name in urls[0] for name in found.absent):
            raise FetchError("cannot download it", details=f"{urls[0]}: HTTP status 404")
        downloads.fetch(urls, hashes, target)

    monkeypatch.setattr(download, "fetch", fetch_present)
    return found


def test_a_release_of_a_signed_index_needs_no_hash(tmp_path: Path, downloads: Downloads, index: Index) -> None:
    index.add("3.15.2-1", "0" * 64, ".dsc")
    index.add("3.15.2")
    index.add("3.15.0~rc2", "1" * 64)
    index.add("3.15.1+dfsg", "2" * 64)
    assert (fetch.fetch("3.15.2", PINS, tmp_path) / "Include/patchlevel.h").is_file()
    assert downloads.urls[0][0] == "http://a/debian/pool/main/p/python3.15/python3.15_3.15.2.orig.tar.xz"
    assert downloads.urls[0][-1] == "https://www.python.org/ftp/python/3.15.2/Python-3.15.2.tar.xz"
    # What a distribution has repacked is not the release.
    with pytest.raises(UsageError, match=r"no hash is known for CPython 3\.15\.1: it is not pinned"):
        fetch.fetch("3.15.1", PINS, tmp_path)


def test_indexes_that_do_not_agree_are_refused(tmp_path: Path, index: Index) -> None:
    index.add("3.15.2")
    index.add("3.15.2", "3" * 64)
    with pytest.raises(FetchError, match=r"do not agree about the hash of CPython 3\.15\.2") as caught:
        fetch.fetch("3.15.2", PINS, tmp_path)
    assert "3" * 64 in caught.value.details
    # What the message advises works; a pin of it would be of a release that nobody knows.
    assert "fetch 3.15.2 --sha256 HEX" in caught.value.fix
    for given in (SHA256, "3" * 64):
        with pytest.raises(FetchError, match="do not agree"):
            fetch.named(fetch.release("3.15.2"), given, PINS, tmp_path)
    assert fetch.fetch("3.15.2", PINS, tmp_path, sha256=SHA256).is_dir()


def test_an_index_may_have_sha512_alone(tmp_path: Path, index: Index) -> None:
    """Those of the coming Ubuntu have nothing else; the tree and the manifest have the SHA-256 all the same."""
    index.add("3.15.2", "", sha512=SHA512)
    found = fetch.newest("3.15", PINS, tmp_path / "cache")
    assert found.pin.hashes == {"sha256": SHA256, "sha512": SHA512}
    assert found.tree.name == f"Python-3.15.2-{SHA256[:16]}"
    assert found.tree.with_name(f"{found.tree.name}.vouched").read_text() == f"index {SHA256}\n"
    assert fetch.newest("3.15", PINS, tmp_path / "cache").tree == found.tree
    assert fetch.fetch("3.15.2", PINS, tmp_path / "cache", to=tmp_path / "mine") == tmp_path / "mine"
    # The user's own hash is not enough where the index has another one.
    assert fetch.named(fetch.release("3.15.2"), SHA256, PINS, tmp_path / "third").pin.sha512 == SHA512
    index.files.clear()
    index.add("3.15.2", "", sha512="4" * 128)
    with pytest.raises(ContentError, match=r"lists CPython 3\.15\.2, and the tarball of that name is another one"):
        fetch.fetch("3.15.2", PINS, tmp_path / "other")
    # In the third, the tree is there already.
    for cache in ("other", "third"):
        with pytest.raises(ContentError):
            fetch.named(fetch.release("3.15.2"), SHA256, PINS, tmp_path / cache)
    index.absent.add("3.15.2")
    with pytest.raises(FetchError) as caught:
        fetch.fetch("3.15.2", PINS, tmp_path / "other")
    assert f"(SHA-512 {'4' * 128})" in caught.value.fix


def test_indexes_that_have_different_hashes_of_one_tarball_are_both_heeded(tmp_path: Path, index: Index) -> None:
    index.add("3.15.2")
    index.add("3.15.2", "", sha512=SHA512)
    assert fetch.newest("3.15", PINS, tmp_path / "cache").pin.hashes == {"sha256": SHA256, "sha512": SHA512}
    index.add("3.15.2", sha512="4" * 128)
    with pytest.raises(FetchError, match="do not agree") as caught:
        fetch.fetch("3.15", PINS, tmp_path / "cache")
    assert "4" * 128 in caught.value.details


def test_a_listed_release_that_no_mirror_holds(tmp_path: Path, index: Index) -> None:
    index.add("3.15.2")
    index.absent.add("3.15.2")
    with pytest.raises(FetchError, match=r"index lists CPython 3\.15\.2, but its tarball is not available") as caught:
        fetch.fetch("3.15.2", PINS, tmp_path)
    assert "HTTP status 404" in caught.value.details
    assert SHA256 in caught.value.fix


def test_a_series_is_its_newest_release_that_is_there(tmp_path: Path, index: Index) -> None:
    for version in ("3.15.0~rc1", "3.15.10", "3.15.9", "3.15.0"):
        index.add(version)
    index.absent |= {"3.15.10"}
    assert fetch.fetch("3.15", PINS, tmp_path).name.startswith("Python-3.15.9-")
    index.absent |= {"3.15.9", "3.15.0.", "~rc1"}
    with pytest.raises(FetchError, match=r"lists CPython 3\.15\.10, but"):
        fetch.fetch("3.15", PINS, tmp_path / "other")


def test_a_listed_tarball_that_is_not_of_a_release_is_passed_over(tmp_path: Path, index: Index) -> None:
    for version in ("3.15", "3.15.2.1", "3.15.1"):
        index.add(version)
    assert fetch.fetch("3.15", PINS, tmp_path).name.startswith("Python-3.15.1-")


def test_a_series_is_not_an_older_release_where_the_newest_has_other_content(tmp_path: Path, index: Index) -> None:
    """A mirror that has something else under the name of the newest must not choose what is built."""
    index.add("3.15.2", "4" * 64)
    index.add("3.15.1")
    with pytest.raises(ContentError, match=r"lists CPython 3\.15\.2, and the tarball of that name is another one"):
        fetch.fetch("3.15", PINS, tmp_path)
    index.add("3.15.2")
    with pytest.raises(FetchError, match="do not agree"):
        fetch.fetch("3.15", PINS, tmp_path)


def test_what_is_absent_is_said_with_the_next_step(tmp_path: Path, index: Index) -> None:
    for version in ("3.15.4", "3.15.3", "3.15.2", "3.15.1"):
        index.add(version)
    index.absent |= {"3.15.4", "3.15.3", "3.15.2"}
    told = fakes.Told()
    found = fetch.newest("3.15", PINS, tmp_path, progress=told)
    assert (str(found.pin.version), found.absent) == ("3.15.1", ("3.15.4", "3.15.3", "3.15.2"))
    (line,) = [text for text in told.lines if text.startswith("CPython 3.15.1 is not the newest: ")]
    assert "lists CPython 3.15.4, but its tarball is not available" in line
    assert "; without a tarball, too: 3.15.3, 3.15.2; try again when the mirror has caught up, or download " in line
    assert f"Python-3.15.4.tar.xz (SHA-256 {SHA256})" in line


def test_a_hash_of_the_users_is_not_taken_against_a_signed_index(tmp_path: Path, index: Index) -> None:
    index.add("3.15.2", "5" * 64)
    with pytest.raises(UsageError, match=r"is not that of CPython 3\.15\.2 in a signed source index"):
        fetch.named(fetch.release("3.15.2"), SHA256, PINS, tmp_path)
    assert fetch.named(fetch.release("3.15.1"), SHA256, PINS, tmp_path).pin.vouched == "whoever gave it as --sha256"


def test_a_series_of_the_pins_alone(tmp_path: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "archives", tuple)
    assert fetch.fetch("3.14", PINS, tmp_path).name.startswith("Python-3.14.7-")
    with pytest.raises(UsageError, match=r"no release of CPython 3\.15 is pinned"):
        fetch.fetch("3.15", PINS, tmp_path)


def test_what_vouched_for_the_tarball_is_noted_beside_the_tree(
    tmp_path: Path, downloads: Downloads, index: Index
) -> None:
    def noted(folder: Path) -> str:
        return folder.with_name(f"{folder.name}.vouched").read_text()

    index.add("3.15.2")
    assert noted(fetch.fetch("3.14.7", PINS, tmp_path / "cache")) == f"pin {SHA256}\n"
    assert noted(fetch.fetch("3.15.2", PINS, tmp_path / "cache")) == f"index {SHA256}\n"
    assert noted(fetch.fetch("3.14.6", PINS, tmp_path / "cache", sha256=SHA256)) == f"sha256 {SHA256}\n"
    fetch.fetch("3.14.7", PINS, tmp_path / "cache", to=tmp_path / "mine")
    assert not (tmp_path / "mine.vouched").exists()
    # What is beside a tree and has another form does not reach a manifest.
    tree = fakes.tree(tmp_path / "trees", "3.14.7")
    for text, expected in ((f"index {SHA256}\n", f"index {SHA256}"), ("trust me\n", ""), ("", "")):
        tree.with_name(f"{tree.name}.vouched").write_text(text)
        assert knowing.tree(tree).vouched == expected


def test_the_command_prints_the_folder_of_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetched(version: str, *_: object, sha256: str | None, to: Path | None, **__: object) -> Path:
        assert (version, sha256) == ("3.14.7", None)
        return to or tmp_path / "cached"

    monkeypatch.setattr(fetch, "fetch", fetched)
    assert cli.main(["fetch", "3.14.7"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cached'}\n"
    assert cli.main(["fetch", "3.14.7", "--to", str(tmp_path / "here"), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["version"], answer["folder"]) == ("3.14.7", str(tmp_path / "here"))
