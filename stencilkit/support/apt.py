"""The one door to apt: which mirrors it is configured with, and what its archives' signed source indexes list."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit.errors import FetchError, ProcessError
from stencilkit.support import files, process

_TIMEOUT_SECONDS: Final = 300.0
# Debian's paragraphs have the first, those of Ubuntu's newest suites the second, and some have both.
_FUNCTIONS: Final = ("sha256", "sha512")
_CHECKSUMS: Final = re.compile(r"^Checksums-(?P<function>\w+):[ \t]*(?P<lines>(?:\n .*)+)", re.MULTILINE)
_CHECKSUM: Final = re.compile(
    # Python refuses to read numbers of thousands of digits.
    r"^ (?P<value>[0-9a-f]{64,128}) +(?P<size>[0-9]{1,18}) +(?P<name>[^/\s]+)$",
    re.MULTILINE,
)
# What apt says of a suite that a mirror does not carry; the second word is apt 3's, for who has set its Output-Version.
_NO_RELEASE: Final = re.compile(
    r"^E(?:rror)?: The repository '(?P<uri>\S+) (?P<suite>\S+) Release' does not have a Release file", re.MULTILINE
)
# And where another suite's files have its name. Somebody on the network can do that: all are signed by the same keys.
_OTHER_SUITE: Final = re.compile(
    r"^W(?:arning)?: Conflicting distribution: (?P<uri>\S+) (?P<suite>\S+) (?:In)?Release \(expected", re.MULTILINE
)
# It calls itself what the release will be called.
_NAMELESS_SUITE: Final = "devel"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Distribution:
    """Whose source indexes have CPythons, and where in them.

    `keyring` is the one of the distribution's own package; `own` adds the suites that the machine is configured with.
    """

    keyring: Path
    suites: tuple[str, ...]
    components: tuple[str, ...]
    own: bool


_DISTRIBUTIONS: Final[Mapping[str, _Distribution]] = {
    # Names that stay when a release is made. oldstable has no CPython with a JIT, and its index is as large as others'.
    "Debian": _Distribution(
        keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
        suites=("sid", "testing", "stable"),
        components=("main",),
        own=False,
    ),
    # Each release has another CPython, and none but its own and the next one's is of use to anybody. A series that is
    # not the distribution's default is in universe.
    "Ubuntu": _Distribution(
        keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
        suites=("devel",),
        components=("main", "universe"),
        own=True,
    ),
}

DISTRIBUTIONS: Final = tuple(_DISTRIBUTIONS)
"""Whose archives may be asked."""


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
    components: tuple[str, ...] = ("main",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that an archive's source index lists; `pool` is its path on the mirror, `size` is in bytes.

    `hashes` has hex digits by hashlib's name of the function.
    """

    archive: Archive
    name: str
    pool: str
    hashes: tuple[tuple[str, str], ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What source indexes list of a package, and the archives whose indexes were read."""

    files: tuple[SourceFile, ...]
    archives: tuple[Archive, ...]


def mirrors() -> tuple[Mirror, ...]:
    """List the package mirrors that apt is configured with, those of Debian and Ubuntu themselves; none without apt."""
    return tuple(dict.fromkeys(mirror for mirror, _ in _configured()))


def urls(pool: str) -> tuple[str, ...]:
    """List where the mirrors may have a file of a pool: of two distributions, one has it in another component."""
    found = []
    for mirror in mirrors():
        components = _DISTRIBUTIONS[mirror.origin].components
        others = [re.sub("^pool/[a-z]+/", f"pool/{component}/", pool) for component in components]
        found += [mirror.uri + path for path in dict.fromkeys([pool, *others])]
    return tuple(found)


def archives() -> tuple[Archive, ...]:
    """List the archives whose source indexes can be checked here: a mirror is configured, and its keyring is there."""
    configured = _configured()
    return tuple(
        Archive(origin=origin, uri=uri, suite=suite, keyring=known.keyring, components=known.components)
        for origin, known in sorted(_DISTRIBUTIONS.items())
        if known.keyring.is_file()
        for uri, suite in _suites(
            known, [(mirror.uri, suite) for mirror, suite in configured if mirror.origin == origin]
        )
    )


def _configured() -> tuple[tuple[Mirror, str], ...]:
    """Ask apt for the mirrors and suites that it is configured with; security mirrors, whose are old, are last."""
    line = "\t".join(f"$({field})" for field in ("ORIGIN", "REPO_URI", "RELEASE"))
    try:
        answer = process.run(["apt-get", "indextargets", "--format", line, "Created-By: Packages"], timeout=30)
    except ProcessError:
        return ()
    rows = (row.split("\t") for row in sorted(set(answer.out.splitlines())))
    found = (
        (Mirror(origin=row[0], uri=row[1]), row[2])
        for row in rows
        if len(row) == 3 and row[0] in _DISTRIBUTIONS and row[1].startswith("http")
    )
    return tuple(sorted(found, key=lambda one: (_is_security(one[0].uri), one[0].uri)))


def _is_security(uri: str) -> bool:
    return "security" in uri


def _suites(known: _Distribution, configured: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """List mirrors and suites to ask of a distribution, each once."""
    main = next((uri for uri, _ in configured if not _is_security(uri)), None)
    if main is None:
        return ()
    return dict.fromkeys([*((main, suite) for suite in known.suites), *(configured if known.own else ())])


def source_files(package: str, where: Sequence[Archive], state: Path) -> Listing:
    """List the files of a source package's versions, from indexes whose signature apt has checked.

    apt keeps all of it in the folder `state`: the machine's own package state is neither read nor changed, and needs no
    deb-src line. A suite that a mirror does not carry, or has no sources of, is left out, unless it carries none; so is
    one that has another's files.

    Raises: FetchError where an index is unsigned, signed by somebody else, or cannot be had.
    """
    with files.locked(state.with_name(f"{state.name}.lock")):
        try:
            there = _with_index(where, _private(_updated(where, state), state))
            # Each alone: apt-cache does not say which index has a paragraph.
            found = [file for archive in there for file in _shown(package, archive, state)]
        except ProcessError as problem:
            raise _refused(where, problem.as_text()) from None
    return Listing(files=tuple(dict.fromkeys(found)), archives=there)


def _shown(package: str, archive: Archive, state: Path) -> Iterable[SourceFile]:
    command = ["apt-cache", *_private([archive], state), "showsrc", "--only-source", package]
    shown = process.run(command, timeout=60)
    # It fails for a package that the index does not have.
    return _listed(shown.out, archive) if shown.returncode == 0 else ()


def _updated(where: Sequence[Archive], state: Path) -> tuple[Archive, ...]:
    """Have apt fetch and check indexes; return the archives that it found."""
    done = process.run(["apt-get", *_private(where, state), "-qq", "update"], timeout=_TIMEOUT_SECONDS)
    absent = {(match["uri"].rstrip("/"), match["suite"]) for match in _NO_RELEASE.finditer(done.err)}
    others = {(match["uri"].rstrip("/"), match["suite"]) for match in _OTHER_SUITE.finditer(done.err)}
    absent |= {(uri, suite) for uri, suite in others if suite != _NAMELESS_SUITE}
    there = [archive for archive in where if (archive.uri.rstrip("/"), archive.suite) not in absent]
    if done.returncode == 0 and len(there) == len(where):
        return tuple(where)
    if len(there) in (0, len(where)):
        raise _refused(where, done.err)
    return _updated(there, state)


def _with_index(where: Sequence[Archive], options: Sequence[str]) -> tuple[Archive, ...]:
    """List the archives that apt has a source index of: a mirror of packages alone is none, and no error of apt's."""
    words = ["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Sources"]
    listed = process.run(["apt-get", *options, *words], timeout=60).out.splitlines()
    return tuple(archive for archive in where if f"{archive.uri} {archive.suite}" in listed)


def _refused(where: Sequence[Archive], said: str) -> FetchError:
    return FetchError(
        "there is no source index that apt has checked the signature of",
        where=", ".join(f"{archive.uri} {archive.suite}" for archive in where),
        details="\n".join(said.strip().splitlines()[:6]),
        # Without room, apt 2.6 does not end.
        fix="check the network, the archive keyring, and that the disk of the cache has room, or give the hash that "
        "python.org publishes: --sha256",
    )


def _private(where: Sequence[Archive], state: Path) -> list[str]:
    """Make the folder, and the options with which apt works in it."""
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    files.write(state / "status", b"")
    lines = [
        f"deb-src [signed-by={archive.keyring}] {archive.uri} {archive.suite} {' '.join(archive.components)}\n"
        for archive in where
    ]
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
        # "testing" and "devel" are another release from one day to the next; the signature says whose.
        "Acquire::AllowReleaseInfoChange": "true",
        # Without it, apt takes the index of last time where the new one's signature is bad, and succeeds.
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _listed(printed: str, archive: Archive) -> Iterator[SourceFile]:
    """Read the paragraphs of `apt-cache showsrc` (Debian Repository Format, "Sources Indices")."""
    for paragraph in printed.split("\n\n"):
        folder = re.search(r"^Directory: ([\w./+~-]+)$", paragraph, re.MULTILINE)
        if folder and ".." not in folder[1]:
            for (name, size), hashes in _checksums(paragraph).items():
                pool = f"{folder[1]}/{name}"
                yield SourceFile(archive=archive, name=name, pool=pool, hashes=tuple(hashes.items()), size=size)


def _checksums(paragraph: str) -> Mapping[tuple[str, int], dict[str, str]]:
    """Collect the hashes of a paragraph's files, by their names and sizes."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    blocks = {block["function"].lower(): block["lines"] for block in _CHECKSUMS.finditer(paragraph)}
    for function in _FUNCTIONS:
        digits = 2 * hashlib.new(function).digest_size
        for match in _CHECKSUM.finditer(blocks.get(function, "")):
            if len(match["value"]) == digits:
                found.setdefault((match["name"], int(match["size"])), {})[function] = match["value"]
    return found
