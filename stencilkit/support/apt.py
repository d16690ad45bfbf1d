"""The one door to apt: which mirrors it is configured with, and what its archives' signed source indexes list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError, ProcessError
from stencilkit.support import files, process

# The keys that the distributions' own packages install, and the suites that carry the newest CPythons.
_KEYRINGS: Final[Mapping[str, Path]] = {
    "Debian": Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    "Ubuntu": Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
_SUITES: Final[Mapping[str, tuple[str, ...]]] = {"Debian": ("sid", "trixie"), "Ubuntu": ("devel",)}
_TIMEOUT_SECONDS: Final = 300.0
_CHECKSUM: Final = re.compile(r"^ (?P<sha256>[0-9a-f]{64}) +(?P<size>\d+) +(?P<name>[^/\s]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A mirror of a distribution, with a slash at the end."""

    origin: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One suite of a distribution's mirror, and the keyring that its index must be signed by."""

    origin: str
    uri: str
    suite: str
    keyring: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that a source index lists; `pool` is its path on the mirror, `size` is in bytes."""

    name: str
    pool: str
    sha256: str
    size: int


def mirrors() -> tuple[Mirror, ...]:
    """List the package mirrors that apt is configured with, those of Debian and Ubuntu themselves; none without apt."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    try:
        answer = process.run(command, timeout=30)
    except ProcessError:
        return ()
    rows = (line.split(" ", 1) for line in sorted(set(answer.out.splitlines())) if " " in line)
    found = [Mirror(origin=origin, uri=uri) for origin, uri in rows if origin in _KEYRINGS and uri.startswith("http")]
    # Security mirrors carry old point releases: ask them last.
    return tuple(sorted(found, key=lambda mirror: ("security" in mirror.uri, mirror.uri)))


def archives() -> tuple[Archive, ...]:
    """List the archives whose source indexes can be checked here: a mirror is configured, and its keyring is there."""
    main = {mirror.origin: mirror for mirror in reversed(mirrors()) if "security" not in mirror.uri}
    return tuple(
        Archive(origin=origin, uri=mirror.uri, suite=suite, keyring=_KEYRINGS[origin])
        for origin, mirror in sorted(main.items())
        if _KEYRINGS[origin].is_file()
        for suite in _SUITES[origin]
    )


def source_files(package: str, where: Sequence[Archive], state: Path) -> tuple[SourceFile, ...]:
    """List the files of a source package's versions, from indexes whose signature apt has checked.

    apt keeps all of it in the folder `state`: the machine's own package state is neither read nor changed, and needs no
    deb-src line.

    Raises: FetchError where an index is unsigned, signed by somebody else, or cannot be had.
    """
    with files.locked(state.with_name(f"{state.name}.lock")):
        options = _private(where, state)
        try:
            updated = process.run(["apt-get", *options, "-qq", "update"], timeout=_TIMEOUT_SECONDS)
            if updated.returncode:
                raise _refused(where, updated.err)
            shown = process.run(["apt-cache", *options, "showsrc", "--only-source", package], timeout=60)
        except ProcessError as problem:
            raise _refused(where, problem.as_text()) from None
    # apt-cache fails for a package that no index has.
    return tuple(dict.fromkeys(_listed(shown.out))) if shown.returncode == 0 else ()


def _refused(where: Sequence[Archive], said: str) -> FetchError:
    return FetchError(
        "there is no source index that apt has checked the signature of",
        where=", ".join(f"{archive.uri} {archive.suite}" for archive in where),
        details="\n".join(said.strip().splitlines()[:6]),
        fix="check the network and the archive keyring, or give the hash that python.org publishes: --sha256",
    )


def _private(where: Sequence[Archive], state: Path) -> list[str]:
    """Make the folder, and the options with which apt works in it."""
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    files.write(state / "status", b"")
    lines = [f"deb-src [signed-by={archive.keyring}] {archive.uri} {archive.suite} main\n" for archive in where]
    files.write(state / "sources.list", "".join(lines).encode())
    settings = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Acquire::Languages": "none",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        # Without it, apt takes the index of last time where the new one's signature is bad, and succeeds.
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _listed(printed: str) -> Iterator[SourceFile]:
    """Read the paragraphs of `apt-cache showsrc` (deb-src-control(5): Directory, Checksums-Sha256)."""
    for paragraph in printed.split("\n\n"):
        folder = re.search(r"^Directory: ([\w./+~-]+)$", paragraph, re.MULTILINE)
        sums = re.search(r"^Checksums-Sha256:[ \t]*((?:\n .*)+)", paragraph, re.MULTILINE)
        if folder and sums and ".." not in folder[1]:
            for match in _CHECKSUM.finditer(sums[1]):
                name = match["name"]
                pool = f"{folder[1]}/{name}"
                yield SourceFile(name=name, pool=pool, sha256=match["sha256"], size=int(match["size"]))
