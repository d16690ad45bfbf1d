"""Downloads: several places, pinned hashes, connections that break. No network: the opener is replaced."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import os
import ssl
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from stencilkit.errors import ContentError, FetchError
from stencilkit.support import download

CONTENT = b"what is wanted"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answer(io.BytesIO):
    def __init__(self, content: bytes, length: str | None) -> None:
        super().__init__(content)
        self.headers = Message()
        if length is not None:
            self.headers["Content-Length"] = length


class Places:
    """URLs, and what each answers, one answer after the other."""

    def __init__(self, **answers: list[object]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def open(self, request: urllib.request.Request, timeout: float) -> object:
        assert timeout
        name = request.full_url.rsplit("/", 1)[-1]
        self.asked.append(name)
        answer = self.answers[name].pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def fetch(monkeypatch: pytest.MonkeyPatch, places: Places, folder: Path) -> Path:
    monkeypatch.setattr(urllib.request, "urlopen", places.open)
    target = folder / "deep" / "file"
    download.fetch(tuple(f"https://host/{name}" for name in places.answers), {"sha256": SHA256}, target)
    return target


def good(length: str | None = str(len(CONTENT))) -> Answer:
    return Answer(CONTENT, length)


def missing() -> urllib.error.HTTPError:
    return urllib.error.HTTPError("u", 404, "no", Message(), None)


@pytest.mark.parametrize("length", [str(len(CONTENT)), None, "", "many", "-5", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_content_with_the_right_hash_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: str) -> None:
    target = fetch(monkeypatch, Places(a=[good(length)]), tmp_path)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_the_next_place_is_asked_where_one_has_not_got_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places = Places(a=[missing()], b=[Answer(b"something else", None)], c=[good()])
    assert fetch(monkeypatch, places, tmp_path).read_bytes() == CONTENT
    assert places.asked == ["a", "b", "c"]


@pytest.mark.parametrize(
    "break_",
    [
        urllib.error.URLError("unreachable"),
        TimeoutError("slow"),
        ConnectionResetError("reset"),
        http.client.IncompleteRead(b""),
        ssl.SSLError("bad record"),
        Answer(CONTENT[:5], str(len(CONTENT))),
    ],
)
def test_a_broken_connection_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, break_: object) -> None:
    places = Places(a=[break_, good()])
    assert fetch(monkeypatch, places, tmp_path).read_bytes() == CONTENT
    assert places.asked == ["a", "a"]


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ssl.SSLError(1, "[SSL] record layer failure"), "[SSL] record layer failure"),
        (OSError(errno.ENETDOWN, "Network is down"), "Network is down"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"),
        (TimeoutError("The read operation timed out"), "The read operation timed out"),
        (http.client.IncompleteRead(b"x", 5), "IncompleteRead(1 bytes read, 5 more expected)"),
    ],
)
def test_a_connection_that_breaks_midway_is_not_blamed_on_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: Exception, said: str
) -> None:
    class Broken(Answer):
        def read(self, *_: object) -> bytes:
            raise problem

    places = Places(a=[Broken(b"", None), Broken(b"", None), Broken(b"", None)])
    with pytest.raises(FetchError, match="cannot download file") as caught:
        fetch(monkeypatch, places, tmp_path)
    assert caught.value.details == f"https://host/a: {said}"
    assert "check the network" in caught.value.fix
    assert fetch(monkeypatch, Places(b=[Broken(b"", None), good()]), tmp_path).read_bytes() == CONTENT


def test_a_full_disk_is_not_blamed_on_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: Full() if mode == "wb" else real(path, mode))
    with pytest.raises(OSError, match="No space left on device") as caught:
        fetch(monkeypatch, Places(a=[good()]), tmp_path)
    assert str(caught.value.filename).endswith("/file")


def test_all_that_went_wrong_is_told_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = hashlib.sha256(b"wrong").hexdigest()
    places = Places(a=[missing()], b=[Answer(b"wrong", None)], c=[TimeoutError("slow")] * 3)
    with pytest.raises(FetchError) as caught:
        fetch(monkeypatch, places, tmp_path)
    assert caught.value.details.splitlines() == [
        "https://host/a: HTTP status 404",
        f"https://host/b: its SHA-256 is {wrong}, not {SHA256}",
        "https://host/c: slow",
    ]
    assert not list((tmp_path / "deep").iterdir())


def test_a_server_that_does_not_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "_LARGEST", 1 << 20)
    places = Places(a=[Answer(bytes(3 << 20), None)], b=[good()])
    assert fetch(monkeypatch, places, tmp_path).read_bytes() == CONTENT
    assert places.asked == ["a", "b"]


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
@pytest.mark.parametrize("length", [str(len(CONTENT)), None])
def test_content_of_another_size_than_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, length: str | None
) -> None:
    """The hash is right: what named both contradicts itself, and is not believed."""
    monkeypatch.setattr(urllib.request, "urlopen", Places(a=[good(length)]).open)
    with pytest.raises(ContentError) as caught:
        download.fetch(("https://host/a",), {"sha256": SHA256}, tmp_path / "file", size=size)
    assert str(size) in caught.value.details
    assert not (tmp_path / "file").exists()


def test_no_more_is_read_than_the_known_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "_CHUNK", 8)
    endless = Answer(bytes(1 << 20), None)
    monkeypatch.setattr(urllib.request, "urlopen", Places(a=[endless]).open)
    read = []
    monkeypatch.setattr(endless, "close", lambda: read.append(endless.tell()))
    with pytest.raises(ContentError, match="is not what the hash says"):
        download.fetch(("https://host/a",), {"sha256": SHA256}, tmp_path / "file", size=len(CONTENT))
    assert read[0] <= len(CONTENT) + 8


def test_an_interruption_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Interrupted(Answer):
        def read(self, *_: object) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(monkeypatch, Places(a=[Interrupted(CONTENT, None)]), tmp_path)
    assert not list((tmp_path / "deep").iterdir())


def test_an_index_is_read_as_far_as_it_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", Places(a=[Answer(b'{"a": "\xff"}', None)]).open)
    assert download.read_text("https://host/a") == '{"a": "\N{REPLACEMENT CHARACTER}"}'


@pytest.mark.parametrize(
    "problem", [missing(), urllib.error.URLError("unreachable"), TimeoutError("slow"), ssl.SSLError(1, "[SSL] alert")]
)
def test_an_index_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", Places(a=[problem]).open)
    with pytest.raises(FetchError, match="cannot read https://host/a: ") as caught:
        download.read_text("https://host/a")
    assert caught.value.fix == "check the network"


def test_every_hash_that_is_known_must_be_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sha512 = hashlib.sha512(CONTENT).hexdigest()
    monkeypatch.setattr(urllib.request, "urlopen", Places(a=[good(), good()]).open)
    target = tmp_path / "file"
    download.fetch(("https://host/a",), {"sha256": SHA256, "sha512": sha512}, target)
    assert target.read_bytes() == CONTENT
    with pytest.raises(ContentError) as caught:
        download.fetch(("https://host/a",), {"sha256": SHA256, "sha512": "0" * 128}, tmp_path / "other")
    assert caught.value.details == f"https://host/a: its SHA-512 is {sha512}, not {'0' * 128}"
    with pytest.raises(FetchError, match="no hash of other is known"):
        download.fetch(("https://host/a",), {}, tmp_path / "other")
    assert not (tmp_path / "other").exists()
