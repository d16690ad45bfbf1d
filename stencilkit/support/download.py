"""Fetch a URL whose SHA-256 is known, and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError
from stencilkit.support import files
from stencilkit.support.progress import SILENT, Progress, counting

_CHUNK: Final = 1 << 18
_TIMEOUT_SECONDS: Final = 60
_ATTEMPTS: Final = 3
# A CPython release has 25 MB. A mirror is asked over plain http, and the hash is known only at the end.
_LARGEST: Final = 128 << 20
_NETWORK_ERRORS: Final = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class _Problem:
    """What went wrong with one URL; `other` says that it had another content."""

    text: str
    other: bool = False


class _TooLargeError(Exception):
    """A server does not stop."""


def fetch(urls: tuple[str, ...], sha256: str, target: Path, *, progress: Progress = SILENT) -> None:
    """Download the first URL that answers with the content that the hash names, to `target`.

    Raises: FetchError, listing what each URL answered.
    """
    problems = []
    with files.fresh_beside(target) as folder:
        for url in urls:
            problem = _try(url, sha256, folder / target.name, progress)
            if problem is None:
                (folder / target.name).replace(target)
                return
            problems.append((url, problem))
    other = any(problem.other for _, problem in problems)
    raise FetchError(
        f"what was downloaded is not what the hash says: {target.name}" if other else f"cannot download {target.name}",
        details="\n".join(f"{url}: {problem.text}" for url, problem in problems),
        fix=(
            "check the hash where the file was published, or get the file from somewhere else and give its path"
            if other
            else "check the network, or download the file by hand and give its path"
        ),
    )


def _try(url: str, sha256: str, temporary: Path, progress: Progress) -> _Problem | None:
    """Download one URL; return what went wrong, or None."""
    problem = "no attempt"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(attempt)
        try:
            found = _download(url, temporary, progress)
        except urllib.error.HTTPError as error:
            # An answer, and a final one: the next URL may do better.
            return _Problem(f"HTTP status {error.code}")
        except _TooLargeError:
            return _Problem(f"it is larger than any release ({_LARGEST >> 20} MiB)")
        except _NETWORK_ERRORS as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            continue
        if found == sha256:
            return None
        return _Problem(f"its SHA-256 is {found}, not {sha256}", other=True)
    return _Problem(problem)


def _download(url: str, temporary: Path, progress: Progress) -> str:
    hasher = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "stencilkit"})
    with (
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer,
        files.naming(temporary),
        temporary.open("wb") as file,
    ):
        length = answer.headers["Content-Length"] or ""
        expected = int(length) if length.isdecimal() else 0
        received = 0
        with counting(progress, f"fetching {url.rsplit('/', 1)[-1]}", expected):
            while chunk := answer.read(_CHUNK):
                hasher.update(chunk)
                file.write(chunk)
                received += len(chunk)
                if received > _LARGEST:
                    raise _TooLargeError
                progress.advance(len(chunk))
    if received < expected:
        raise ConnectionError(f"the connection ended after {received} of {expected} bytes")
    return hasher.hexdigest()


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
