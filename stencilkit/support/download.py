"""Fetch a URL whose hash is known, and nothing else."""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.errors import ContentError, FetchError
from stencilkit.support import files, together, words
from stencilkit.support.progress import SILENT, Progress, counting

_CHUNK: Final = 1 << 18
_TIMEOUT_SECONDS: Final = 60
_ATTEMPTS: Final = 3
# A CPython release has 25 MB. A mirror is asked over plain http, and the hash is known only at the end.
_LARGEST: Final = 128 << 20
# Python refuses to read numbers of thousands of digits.
_LENGTH: Final = re.compile("[0-9]{1,18}")
_NETWORK_ERRORS: Final = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class _Problem:
    """What went wrong with one URL; `other` says that it had another content."""

    text: str
    other: bool = False


class _TooLargeError(Exception):
    """A server does not stop."""


def fetch(
    urls: tuple[str, ...], hashes: Mapping[str, str], target: Path, *, size: int = 0, progress: Progress = SILENT
) -> None:
    """Download the first URL that answers with the content that the hashes name, to `target`.

    `hashes` are hex digits by hashlib's names; there is at least one. `size` is how many bytes it must have, 0 if that
    is not known.

    Raises: FetchError, listing what each URL answered; ContentError where any of them had another content.
    """
    if not hashes:
        raise FetchError(f"no hash of {target.name} is known", fix="give one: nothing is downloaded without")
    problems = []
    with files.fresh_beside(target) as folder:
        for url in urls:
            problem = _try(url, hashes, folder / target.name, size, progress)
            if problem is None:
                (folder / target.name).replace(target)
                return
            problems.append((url, problem))
    other = any(problem.other for _, problem in problems)
    details = "\n".join(f"{url}: {problem.text}" for url, problem in problems)
    if other:
        raise ContentError(
            f"what was downloaded is not what the hash says: {target.name}",
            details=details,
            fix="check the hash where the file was published, or get the file from somewhere else and give its path",
        )
    raise FetchError(
        f"cannot download {target.name}",
        details=details,
        fix="check the network, or download the file by hand and give its path",
    )


def _try(url: str, hashes: Mapping[str, str], temporary: Path, size: int, progress: Progress) -> _Problem | None:
    """Download one URL; return what went wrong, or None."""
    problem = "no attempt"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(attempt)
        try:
            _download(url, temporary, size or _LARGEST, progress)
        except urllib.error.HTTPError as error:
            # An answer, and a final one: the next URL may do better.
            return _Problem(f"HTTP status {error.code}")
        except _TooLargeError:
            return _too_large(size)
        except _NETWORK_ERRORS as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            continue
        received = temporary.stat().st_size
        if size not in (0, received):
            return _Problem(f"it has {received} bytes, not {size}", other=True)
        return _other_content(temporary, hashes)
    return _Problem(problem)


def _other_content(file: Path, hashes: Mapping[str, str]) -> _Problem | None:
    for name, value in hashes.items():
        found = files.digest(file, name)
        if found != value:
            return _Problem(f"its {words.of_hash(name)} is {found}, not {value}", other=True)
    return None


def _too_large(size: int) -> _Problem:
    if size:
        return _Problem(f"it has more than {size} bytes", other=True)
    return _Problem(f"it is larger than any release ({_LARGEST >> 20} MiB)")


def _download(url: str, temporary: Path, largest: int, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "stencilkit"})
    with (
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer,
        together.naming(temporary),
        temporary.open("wb") as file,
    ):
        length = answer.headers["Content-Length"] or ""
        expected = int(length) if _LENGTH.fullmatch(length) else 0
        received = 0
        with counting(progress, f"fetching {url.rsplit('/', 1)[-1]}", expected):
            for chunk in _chunks(answer):
                file.write(chunk)
                received += len(chunk)
                if received > largest:
                    raise _TooLargeError
                progress.advance(len(chunk))
    if received < expected:
        raise ConnectionError(f"the connection ended after {received} of {expected} bytes")


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Read what a server sends. What is wrong with the network is an error of the network, not of the file.

    Raises: ConnectionError; http.client.HTTPException.
    """
    try:
        while chunk := answer.read(_CHUNK):
            yield chunk
    except OSError as error:
        # Without a number: TLS has numbers of its own, and 1 is not "Operation not permitted" there.
        raise ConnectionError(error.strerror or str(error) or type(error).__name__) from None


def read_text(url: str) -> str:
    """Download a small text, such as an index.

    Raises: FetchError.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "stencilkit", "Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            return str(answer.read(8 << 20).decode("utf-8", "replace"))
    except (*_NETWORK_ERRORS, urllib.error.HTTPError) as error:
        raise FetchError(f"cannot read {url}: {error}", fix="check the network") from None
