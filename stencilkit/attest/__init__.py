"""Signed statements about stencils, made and verified; how many builders say the same.

A signature says who wrote a statement, and nothing else: what it says is compared with what was computed. Nothing is
trusted that the caller does not name. Refuses statements of other kinds, and what is too large to be one.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import AttestationError
from stencilkit.model.attestation import Attestations, Attested, Claim, Demand, Signer, Statement
from stencilkit.model.source import ReleaseSignature
from stencilkit.model.verdict import Check
from stencilkit.support import files, jsontext
from stencilkit.support.extras import needing

SUFFIXES: Final = (".intoto.json", ".sigstore.json")
SOURCE_SUFFIX: Final = ".sigstore"
_BUNDLES: Final = "application/vnd.dev.sigstore.bundle"
# Rebuilders of one bundle are a handful; a folder of a thousand statements is a ledger of its own.
MOST_FILES: Final = 1_000
MOST_SIGNATURES: Final = 64
_SHOWN: Final = 8
_BOUNDS: Final = jsontext.Bounds(size=8 << 20, depth=16)
_GET_AGAIN: Final = "get it again from where it was published"
_PURPOSE: Final = "signing and verifying statements"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def sign_with_key(statement: Statement, path: Path, passphrase: str) -> bytes:
    """Sign with a private key (PEM); return a DSSE envelope.

    Raises: AttestationError for a key that others may read, or that cannot be used; UsageError without the packages.
    """
    with needing("attest", _PURPOSE):
        from stencilkit.attest import _keys, _statement
    private = _read_private(path)
    return _keys.sign(_statement.readable(statement), private, passphrase, str(path))


def _read_private(path: Path) -> bytes:
    """Read a private key through one descriptor, so that what was checked is what is read."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        # Windows has access lists, and no such bits.
        if hasattr(os, "getuid") and found.st_mode & _OTHERS:
            raise AttestationError(
                f"others may read or write this private key (mode {stat.S_IMODE(found.st_mode):04o})",
                where=str(path),
                fix=f"chmod 600 {path}, and consider whether somebody has read it",
            )
        return file.read(1 << 16)


def sign_with_identity(statement: Statement, token: str, trust: Path | None) -> bytes:
    """Sign with the identity of a CI job; return a sigstore bundle. Needs the network.

    Raises: AttestationError; UsageError without the packages.
    """
    with needing("attest", _PURPOSE):
        from stencilkit.attest import _keyless, _statement
    return _keyless.sign(_statement.readable(statement), token, trust)


def key_signer(path: Path) -> Signer:
    """Name the signer that a public key (PEM) stands for: by the key's id, so that copies of one key are one signer.

    Raises: AttestationError; UsageError without the packages.
    """
    with needing("attest", _PURPOSE):
        from stencilkit.attest import _keys
    pem = files.read_text(path, error=AttestationError, fix="give a public key (PEM)").encode()
    return Signer(name=f"key {_keys.key_id(pem, str(path))[:16]}", key=pem)


def count(signers: Sequence[Signer]) -> int:
    """Count the builders that signers stand for.

    Raises: AttestationError where one key or identity stands for two; UsageError without the packages.
    """
    with needing("attest", _PURPOSE):
        from stencilkit.attest import _keys
    owners: dict[str, str] = {}
    for signer in signers:
        mark = _keys.key_id(signer.key, signer.name) if signer.key else signer.identity
        if owners.setdefault(mark, signer.name) != signer.name:
            raise AttestationError(
                f"{owners[mark]} and {signer.name} are one: they have the same key or identity",
                fix="name each builder once; one with several keys or identities has one name for all",
            )
    return len(set(owners.values()))


def gather(paths: Iterable[Path], demand: Demand, root: Path | None) -> Attestations:
    """Read statements, and keep those with a signature that counts; return also why others do not count.

    `root` is a trusted root of sigstore's.

    Raises: AttestationError where the demand cannot be met by anything; UsageError without the packages.
    """
    known = list(dict.fromkeys(paths))
    if len(known) > MOST_FILES:
        raise AttestationError(
            f"there are {len(known)} attestations, and at most {MOST_FILES} are read",
            fix="name those of the builders that you trust",
        )
    attested, rejected = [], []
    reader = _Reader(demand, root)
    for path in known:
        try:
            attested.append(reader.read(path))
        except AttestationError as error:
            rejected.append(f"{path}: {_line(error.what)}")
    return Attestations(demand=demand, attested=tuple(attested), rejected=tuple(rejected))


def _line(text: str) -> str:
    """Write a library's message as one line."""
    return "".join(character if character.isprintable() else " " for character in text)


class _Reader:
    """Reads attestations on behalf of those whose word counts."""

    def __init__(self, demand: Demand, root: Path | None) -> None:
        with needing("attest", _PURPOSE):
            from stencilkit.attest import _keys, _statement
        self._keys, self._statement = _keys, _statement
        for signer in demand.signers:
            if signer.key:
                _keys.key_id(signer.key, signer.name)
        self._demand = demand
        self._people = [signer for signer in demand.signers if signer.identity]
        self._trusted = None
        if self._people:
            with needing("attest", _PURPOSE):
                from stencilkit.attest import _keyless
            self._keyless = _keyless
            self._trusted = _keyless.verifier(root)

    def read(self, path: Path) -> Attested:
        where = str(path)
        data = read_bounded(path, _BOUNDS.size)
        document = jsontext.read(data, _BOUNDS, where=where, error=AttestationError)
        if str(document.get("mediaType", "")).startswith(_BUNDLES):
            payload, names = self._bundle(data, where)
        else:
            payload, names = self._envelope(document, where)
        if not names:
            raise AttestationError("none of the builders that you named has signed it", where=where)
        return Attested(where=where, statement=self._statement.decode(payload, where), signers=names)

    def _bundle(self, data: bytes, where: str) -> tuple[bytes, tuple[str, ...]]:
        if self._trusted is None:
            return b"", ()
        return self._keyless.verify(data, self._people, self._trusted, where)

    def _envelope(self, document: dict[str, object], where: str) -> tuple[bytes, tuple[str, ...]]:
        rows = document.get("signatures")
        if not isinstance(rows, list) or not rows or len(rows) > MOST_SIGNATURES:
            what = f"it has no signatures, or more than the {MOST_SIGNATURES} that are read"
            raise AttestationError(what, where=where)
        return self._keys.verify(document, [signer for signer in self._demand.signers if signer.key], where)


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file of a stranger's: a regular one, of at most so many bytes.

    Raises: AttestationError.
    """
    try:
        if not path.is_file():
            raise AttestationError("this is not a regular file", where=str(path), fix=_GET_AGAIN)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as problem:
        what = f"cannot read it: {problem.strerror or problem}"
        raise AttestationError(what, where=str(path), fix="check its permissions") from None
    if len(data) > most:
        raise AttestationError(f"it has more than {most} bytes, which are not read", where=str(path), fix=_GET_AGAIN)
    return data


def judge(claim: Claim, evidence: Attestations) -> Iterator[Check]:
    """Count the signers who agree with what was computed of a build; name those who do not."""
    agree, differ = dict[str, None](), dict[str, str]()
    for item in evidence.attested:
        for build in item.statement.builds:
            if build.claim.place != claim.place:
                continue
            for name in item.signers:
                if build.claim == claim:
                    agree[name] = None
                else:
                    differ[name] = f"{name} says content {build.claim.content[:16]} ({item.where})"
    # Who says both says nothing.
    names = [name for name in agree if name not in differ]
    threshold = evidence.demand.threshold
    named = len({signer.name for signer in evidence.demand.signers})
    what = f"{len(names)} of {named} say that this is {claim.place}"
    details = (*sorted(names), *sorted(differ.values()))
    enough = len(names) >= threshold
    yield Check(
        kind="attested",
        status="passed" if enough else "failed",
        what=what if enough else f"{what}; {threshold} must",
        details=details,
    )
    if evidence.rejected:
        what = "attestations that do not count"
        yield Check(kind="attested", status="noted", what=what, details=evidence.rejected[:_SHOWN])


def verify_source(tarball: Path, signer: Signer, root: Path | None) -> ReleaseSignature:
    """Verify the sigstore bundle that is beside a release tarball, as python.org publishes them.

    Raises: AttestationError where there is none, or it is not this signer's for this file; UsageError without the
    packages.
    """
    with needing("attest", "verifying a release's signature"):
        from stencilkit.attest import _keyless
    bundle = tarball.with_name(tarball.name + SOURCE_SUFFIX)
    if not bundle.exists():
        raise AttestationError(
            f"there is no {bundle.name} beside the tarball",
            where=str(tarball),
            fix=f"get it from python.org, where it is beside {tarball.name}, or leave --verify-source out",
        )
    data = read_bounded(bundle, _BOUNDS.size)
    content = tarball.read_bytes()
    _keyless.verify_file(content, data, signer, _keyless.verifier(root), str(bundle))
    return ReleaseSignature(
        tarball=tarball.name,
        sha256=hashlib.sha256(content).hexdigest(),
        identity=signer.identity,
        issuer=signer.issuer,
    )
