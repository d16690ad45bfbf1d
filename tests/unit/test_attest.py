"""Signed statements: made, verified, counted; every byte that somebody may have changed is refused."""

from __future__ import annotations

import base64
import json
import re
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from securesystemslib import dsse
from securesystemslib.signer import CryptoSigner

from stencilkit import attest, ledger, manifest, pins
from stencilkit.attest import _keyless, _keys, _statement
from stencilkit.cli import main
from stencilkit.errors import AttestationError, ExitCode, UsageError
from stencilkit.model.attestation import Attestations, Build, Claim, Demand, Material, Signer, Statement
from stencilkit.model.ledger import Entry
from stencilkit.model.source import ReleaseSignature, SourceTree
from stencilkit.pipeline import attesting, bundling, knowing
from tests import samples, signing, sigstand

WHO = "somebody@example.org"
CLAIM = Claim(
    cpython="3.14.7",
    triple="x86_64-unknown-linux-gnu",
    flavour="release",
    llvm="19.1.7",
    content="c" * 64,
    interface="1" * 64,
)
STATEMENT = Statement(
    builder=signing.BUILDER,
    builds=(
        Build(
            claim=CLAIM,
            spelling="x86_64-pc-linux-gnu",
            cflags="-O2",
            manifest="a" * 64,
            materials=(
                Material(name="clang", uri="pkg:generic/llvm@19.1.7", sha256="d" * 64),
                Material(name="stencilkit", uri="pkg:pypi/stencilkit@0.1.0"),
            ),
            results={"ledger": "same", "ledger-content": "c" * 64},
        ),
    ),
    files={"stencils.tar": "f" * 64},
)


@pytest.fixture
def sigstore() -> sigstand.Sigstore:
    return sigstand.Sigstore()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signing.write_key(tmp_path / "one.pem")
    return tmp_path / "one.pem"


def demand(*keys: Path, threshold: int | None = None) -> Demand:
    return attesting.demand([attest.key_signer(path.with_suffix(".pub")) for path in keys], threshold)


def gather(path: Path, *keys: Path) -> Attestations:
    return attest.gather([path], demand(*keys), None)


def counts(path: Path, wanted: Demand, root: Path | None = None) -> bool:
    """Return whether a file makes anybody say what CLAIM says."""
    (check, *_) = attest.judge(CLAIM, attest.gather([path], wanted, root))
    return check.status == "passed"


# What is said.


def test_a_statement_is_read_as_it_was_written() -> None:
    written = _statement.encode(STATEMENT)
    assert _statement.decode(written, "here") == STATEMENT
    assert _statement.encode(STATEMENT) == written


def test_a_statement_is_slsa_provenance() -> None:
    document = json.loads(_statement.encode(STATEMENT))
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {item["name"]: item["digest"] for item in document["subject"]} == {
        CLAIM.place: {"sha256": CLAIM.content},
        "stencils.tar": {"sha256": "f" * 64},
    }
    assert document["predicate"]["runDetails"]["builder"]["id"] == signing.BUILDER


def test_a_statement_names_what_went_in(tmp_path: Path) -> None:
    samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))
    said = attesting.describe(signing.BUILDER, bundling.open_all(tmp_path / "out"), {})
    (build,) = said.builds
    materials = {item.name: item for item in build.materials}
    assert materials["clang"].sha256 == samples.digest(b"")
    assert materials["pyconfig.h"].sha256 == samples.digest(samples.PYCONFIG.encode())
    assert materials["files of origin tree"].uri == "pkg:generic/cpython@3.14.7"
    # What anybody gets from `sha256sum` of the one system header:
    line = f"{samples.digest(b'errno')}  usr/include/errno.h\n"
    assert materials["files of origin system"].sha256 == samples.digest(line.encode())
    assert len(materials["stencilkit"].sha256) == 64


def test_a_statement_of_another_kind_is_not_read() -> None:
    for field, other in (("predicateType", "https://slsa.dev/verification_summary/v1"), ("_type", "x")):
        document = json.loads(_statement.encode(STATEMENT)) | {field: other}
        with pytest.raises(AttestationError):
            _statement.decode(json.dumps(document).encode(), "here")


# Keys.


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1, None])
def test_keys_sign_and_verify(tmp_path: Path, curve: Any) -> None:
    path = tmp_path / "key.pem"
    signing.write_key(path, ec.generate_private_key(curve()) if curve else None)
    signed = tmp_path / "a.intoto.json"
    signed.write_bytes(attest.sign_with_key(STATEMENT, path, ""))
    (found,) = gather(signed, path).attested
    assert found.statement == STATEMENT
    assert counts(signed, demand(path))


@pytest.mark.parametrize(
    "key",
    [lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP256K1())],
    ids=["rsa", "secp256k1"],
)
def test_other_keys_are_refused(tmp_path: Path, key: Any) -> None:
    public = signing.write_key(tmp_path / "key.pem", key())
    with pytest.raises(AttestationError, match="kind of key"):
        attest.sign_with_key(STATEMENT, tmp_path / "key.pem", "")
    with pytest.raises(AttestationError, match="kind of key"):
        attest.key_signer(public)


def test_a_passphrase_unlocks_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    signing.write_key(path, passphrase="very secret")
    assert attest.sign_with_key(STATEMENT, path, "very secret")
    for given in ("", "wrong and secret"):
        with pytest.raises(AttestationError) as caught:
            attest.sign_with_key(STATEMENT, path, given)
        assert "secret" not in caught.value.as_text()
        assert "PRIVATE" not in caught.value.as_text()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_key_that_others_may_use_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(AttestationError, match="others may read or write") as caught:
        attest.sign_with_key(STATEMENT, key, "")
    assert "chmod 600" in caught.value.fix


def test_a_public_key_does_not_sign(key: Path) -> None:
    public = key.with_suffix(".pub")
    public.chmod(0o600)
    with pytest.raises(AttestationError, match="not a private key"):
        attest.sign_with_key(STATEMENT, public, "")


# Tampering. Everything in an envelope, in a bundle and in the statement within is changed, one at a time.


def test_every_change_of_a_signed_envelope_is_refused(tmp_path: Path, key: Path) -> None:
    document = json.loads(attest.sign_with_key(STATEMENT, key, ""))
    wanted = demand(key)
    assert counts(signing.dump(tmp_path / "a", document), wanted)
    cases = list(signing.damaged(document))
    assert len(cases) > 90
    assert [what for what, other in cases if counts(signing.dump(tmp_path / "a", other), wanted)] == []


def test_every_change_of_the_statement_in_an_envelope_is_refused(tmp_path: Path, key: Path) -> None:
    document = json.loads(attest.sign_with_key(STATEMENT, key, ""))
    wanted = demand(key)
    cases = list(signing.damaged(json.loads(base64.b64decode(document["payload"]))))
    assert len(cases) > 600
    for what, other in cases:
        changed = document | {"payload": base64.b64encode(json.dumps(other).encode()).decode()}
        assert not counts(signing.dump(tmp_path / "a", changed), wanted), what


# Paths in a statement that are not about what was built: whoever signs may write there what he likes.
_FREE = ("stencils.tar", "resolvedDependencies", "builder", "byproducts/1", "byproducts/2", "spelling", "cflags")


def test_what_the_signer_himself_says_otherwise_is_another_claim(tmp_path: Path, key: Path) -> None:
    """A good signature makes nothing true: the claim is compared with what was computed."""
    payload = json.loads(_statement.encode(STATEMENT))
    accepted = []
    for what, other in signing.damaged(payload):
        signed = _keys.sign(json.dumps(other).encode(), key.read_bytes(), "", "key")
        (tmp_path / "a").write_bytes(signed)
        if counts(tmp_path / "a", demand(key)):
            accepted.append(what)
    odd = [what for what in accepted if "/1" not in what and not any(word in what for word in _FREE)]
    assert odd == []


_CHECKPOINT = "verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope"


def test_every_change_of_a_sigstore_bundle_is_refused(tmp_path: Path, sigstore: sigstand.Sigstore) -> None:
    document = json.loads(sigstore.sign_statement(_statement.encode(STATEMENT), WHO))
    root = tmp_path / "trusted_root.json"
    root.write_text(sigstore.trusted_root())
    people = [Signer(name=WHO, identity=WHO, issuer=sigstand.ISSUER)]
    trusted = _keyless.verifier(root)

    def accepted(other: Any) -> bool:
        try:
            return bool(_keyless.verify(json.dumps(other).encode(), people, trusted, "a")[1])
        except AttestationError:
            return False

    assert accepted(document)
    # An empty field is as good as none: that is JSON's form of the same message.
    cases = [
        (what, other) for what, other in signing.damaged(document) if _keyless._bare(other) != _keyless._bare(document)
    ]
    assert len(cases) > 400
    # The log's name before its signature is read by nobody: its key is found by an id, and the name is also above.
    proof = document["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    name = re.search("\u2014 (\\S+)", proof["checkpoint"]["envelope"])
    assert name is not None
    harmless = {f"{_CHECKPOINT} other at {at}" for at in range(*name.span(1))}
    assert {what for what, other in cases if accepted(other)} <= harmless


def test_every_change_of_the_statement_in_a_bundle_is_refused(tmp_path: Path, sigstore: sigstand.Sigstore) -> None:
    document = json.loads(sigstore.sign_statement(_statement.encode(STATEMENT), WHO))
    root = tmp_path / "trusted_root.json"
    root.write_text(sigstore.trusted_root())
    trusted = _keyless.verifier(root)
    people = [Signer(name=WHO, identity=WHO, issuer=sigstand.ISSUER)]
    payload = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    for what, other in signing.damaged(payload):
        document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(other).encode()).decode()
        assert _keyless.verify(json.dumps(document).encode(), people, trusted, "a")[1] == (), what


# Identities.


@pytest.mark.parametrize(
    ("identity", "issuer", "counted"),
    [
        (WHO, sigstand.ISSUER, True),
        ("somebody.else@example.org", sigstand.ISSUER, False),
        (WHO, "https://issuer.example.com", False),
    ],
)
def test_an_identity_and_its_issuer_count(
    tmp_path: Path, sigstore: sigstand.Sigstore, identity: str, issuer: str, counted: bool
) -> None:
    path, root = tmp_path / "a.sigstore.json", tmp_path / "trusted_root.json"
    path.write_text(sigstore.sign_statement(_statement.encode(STATEMENT), WHO))
    root.write_text(sigstore.trusted_root())
    wanted = attesting.demand([Signer(name="they", identity=identity, issuer=issuer)], 1)
    assert counts(path, wanted, root) is counted


def test_another_sigstore_is_not_trusted(tmp_path: Path, sigstore: sigstand.Sigstore) -> None:
    path, root = tmp_path / "a.sigstore.json", tmp_path / "trusted_root.json"
    path.write_text(sigstand.Sigstore().sign_statement(_statement.encode(STATEMENT), WHO))
    root.write_text(sigstore.trusted_root())
    wanted = attesting.demand([Signer(name="they", identity=WHO, issuer=sigstand.ISSUER)], 1)
    assert not counts(path, wanted, root)


def test_a_trusted_root_that_is_none_is_an_error(tmp_path: Path) -> None:
    for text in ("", "{}", "[1]", '{"mediaType": "x"}'):
        (tmp_path / "root").write_text(text)
        wanted = attesting.demand([Signer(name="they", identity=WHO, issuer=sigstand.ISSUER)], 1)
        with pytest.raises(AttestationError, match="not a trusted root"):
            attest.gather([], wanted, tmp_path / "root")


# Counting.


def sign(folder: Path, name: str, key: Path, statement: Statement = STATEMENT) -> Path:
    path = folder / f"{name}.intoto.json"
    path.write_bytes(attest.sign_with_key(statement, key, ""))
    return path


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{name}.pem" for name in ("debian", "fedora", "gentoo")]
    for path in found:
        signing.write_key(path)
    return found


def verdict(paths: list[Path], wanted: Demand) -> tuple[str, str]:
    (check, *_) = attest.judge(CLAIM, attest.gather(paths, wanted, None))
    return check.status, "\n".join((check.what, *check.details))


DISSENT = replace(STATEMENT, builds=(replace(STATEMENT.builds[0], claim=replace(CLAIM, content="e" * 64)),))


def test_two_of_three_say_the_same(tmp_path: Path, keys: list[Path]) -> None:
    paths = [sign(tmp_path, "a", keys[0])]
    wanted = demand(*keys, threshold=2)
    assert verdict(paths, wanted)[0] == "failed"
    paths += [sign(tmp_path, "b", keys[1])]
    assert verdict(paths, wanted) == ("passed", verdict(paths, wanted)[1])
    assert "2 of 3" in verdict(paths, wanted)[1]
    assert verdict(paths, demand(*keys))[0] == "failed"


def test_builders_are_counted_and_not_files(tmp_path: Path, keys: list[Path]) -> None:
    other = replace(STATEMENT, files={"another.tar": "0" * 64}, builder="https://another.example.org")
    paths = [sign(tmp_path, "a", keys[0]), sign(tmp_path, "b", keys[0]), sign(tmp_path, "c", keys[0], other)]
    assert verdict(paths, demand(*keys, threshold=2))[0] == "failed"


def test_one_key_in_two_files_is_one_builder(tmp_path: Path, keys: list[Path]) -> None:
    copy = tmp_path / "copy.pub"
    copy.write_bytes(b"a comment before it\n" + keys[0].with_suffix(".pub").read_bytes() + b"\n")
    signers = [attest.key_signer(path) for path in (keys[0].with_suffix(".pub"), copy)]
    with pytest.raises(AttestationError, match="2 builders must say the same, and 1 are named"):
        attesting.demand(signers, 2)
    renamed = [replace(signer, name=name) for signer, name in zip(signers, ("one", "two"), strict=True)]
    with pytest.raises(AttestationError, match="one and two are one"):
        attesting.demand(renamed, 2)


def test_one_builder_with_two_keys_counts_once(tmp_path: Path, keys: list[Path]) -> None:
    signers = [replace(attest.key_signer(path.with_suffix(".pub")), name="distribution") for path in keys[:2]]
    third = attest.key_signer(keys[2].with_suffix(".pub"))
    paths = [sign(tmp_path, "a", keys[0]), sign(tmp_path, "b", keys[1])]
    assert verdict(paths, attesting.demand([*signers, third], 2))[0] == "failed"
    paths += [sign(tmp_path, "c", keys[2])]
    assert verdict(paths, attesting.demand([*signers, third], 2))[0] == "passed"


def test_one_person_of_two_issuers_is_one_builder() -> None:
    people = [Signer(name=name, identity=WHO, issuer=f"https://{name}.example.org") for name in ("a", "b")]
    with pytest.raises(AttestationError, match="are one"):
        attesting.demand(people, 2)


def test_who_got_something_else_is_named(tmp_path: Path, keys: list[Path]) -> None:
    paths = [sign(tmp_path, "a", keys[0]), sign(tmp_path, "b", keys[1]), sign(tmp_path, "c", keys[2], DISSENT)]
    status, text = verdict(paths, demand(*keys, threshold=2))
    assert status == "passed"
    assert "says content eeeeeeeeeeeeeeee" in text
    assert verdict(paths, demand(*keys))[0] == "failed"


def test_who_says_both_says_nothing(tmp_path: Path, keys: list[Path]) -> None:
    paths = [sign(tmp_path, "a", keys[0]), sign(tmp_path, "b", keys[0], DISSENT)]
    assert verdict(paths, demand(keys[0]))[0] == "failed"


def test_another_build_does_not_count(tmp_path: Path, keys: list[Path]) -> None:
    changes: tuple[dict[str, Any], ...] = (
        *({"flavour": "debug"}, {"llvm": "20.1.2"}, {"cpython": "3.14.6"}, {"interface": "2" * 64}),
    )
    for change in changes:
        other = replace(STATEMENT, builds=(replace(STATEMENT.builds[0], claim=replace(CLAIM, **change)),))
        assert verdict([sign(tmp_path, "a", keys[0], other)], demand(keys[0]))[0] == "failed", change


def test_a_statement_of_many_builds_counts_for_each(tmp_path: Path, keys: list[Path]) -> None:
    other = replace(STATEMENT.builds[0], claim=replace(CLAIM, flavour="debug", content="e" * 64))
    both = replace(STATEMENT, builds=(other, STATEMENT.builds[0]))
    assert verdict([sign(tmp_path, "a", keys[0], both)], demand(keys[0]))[0] == "passed"


# Files of strangers.


def hostile() -> dict[str, bytes]:
    envelope = {
        "payloadType": "application/vnd.in-toto+json",
        "payload": "e30=",
        "signatures": [{"keyid": "", "sig": ""}],
    }
    row = {"keyid": "0" * 64, "sig": "AAAA"}
    return {
        "empty": b"",
        "not JSON": b"\0\1\2",
        "not text": b'{"payload": "\xff"}',
        "a list": b"[]",
        "a number": b"7",
        "deep": b"[" * 200_000,
        "deep and closed": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        "deep objects": b'{"a":' * 200_000,
        "digits": b'{"payload": ' + b"9" * 100_000 + b"}",
        "digits of a fraction": b'{"payload": 0.' + b"9" * 100_000 + b"}",
        "NaN": b'{"payload": NaN}',
        "a key twice": b'{"payload": "", "payload": ""}',
        "thousands of signatures": json.dumps(envelope | {"signatures": [row] * 5_000}).encode(),
        "one signature twice": json.dumps(envelope | {"signatures": [row, row]}).encode(),
        "no signatures": json.dumps(envelope | {"signatures": []}).encode(),
        "signatures of another type": json.dumps(envelope | {"signatures": {"a": 1}}).encode(),
        "signatures that are numbers": json.dumps(envelope | {"signatures": [1, 2]}).encode(),
        "signatures without fields": json.dumps(envelope | {"signatures": [{}]}).encode(),
        "a payload of another type": json.dumps(envelope | {"payload": 5}).encode(),
        "a type of another type": json.dumps(envelope | {"payloadType": [1]}).encode(),
        "a lone surrogate": json.dumps(envelope | {"payload": "\ud800", "payloadType": "\ud800"}).encode(),
        "a bundle of nothing": b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}',
        "a media type of another type": b'{"mediaType": ["application/vnd.dev.sigstore.bundle"]}',
        "huge": b" " * (9 << 20),
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_do_not_count(tmp_path: Path, key: Path, sigstore: sigstand.Sigstore, name: str) -> None:
    path, root = tmp_path / "a.intoto.json", tmp_path / "trusted_root.json"
    path.write_bytes(hostile()[name])
    root.write_text(sigstore.trusted_root())
    people = Signer(name="they", identity=WHO, issuer=sigstand.ISSUER)
    wanted = attesting.demand([attest.key_signer(key.with_suffix(".pub")), people], 1)
    found = attest.gather([path], wanted, root)
    assert not found.attested
    assert len(found.rejected) == 1
    assert len(found.rejected[0]) < 600
    assert all(character.isprintable() for character in found.rejected[0])


def test_what_a_trusted_key_signs_is_read_as_carefully(tmp_path: Path, key: Path) -> None:
    good = json.loads(_statement.encode(STATEMENT))
    for name, payload in {
        **hostile(),
        "the same subject twice": json.dumps(good | {"subject": good["subject"] * 2}).encode(),
        "no subject": json.dumps(good | {"subject": []}).encode(),
        "numbers for texts": json.dumps(good | {"predicateType": 7}).encode(),
        "a predicate of a list": json.dumps(good | {"predicate": [1]}).encode(),
    }.items():
        if name != "huge":
            (tmp_path / "a").write_bytes(_keys.sign(payload, key.read_bytes(), "", "key"))
            found = gather(tmp_path / "a", key)
            assert not found.attested, name
            assert len(found.rejected) == 1, name


def test_too_many_files_are_refused(tmp_path: Path, key: Path) -> None:
    with pytest.raises(AttestationError, match="at most 1000"):
        attest.gather([tmp_path / str(number) for number in range(1001)], demand(key), None)


def test_a_folder_is_not_an_attestation(tmp_path: Path, key: Path) -> None:
    assert "not a regular file" in gather(tmp_path, key).rejected[0]


# Without the packages.


@pytest.mark.parametrize("package", ["securesystemslib", "in_toto_attestation"])
def test_without_the_extra_the_message_says_so(monkeypatch: pytest.MonkeyPatch, key: Path, package: str) -> None:
    for name in [name for name in sys.modules if name.startswith(("stencilkit.attest._", package))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("_keys", "_statement"):
        monkeypatch.delattr(attest, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the Python package {package}") as caught:
        attest.sign_with_key(STATEMENT, key, "")
    assert "stencilkit[attest]" in caught.value.fix


# The command line.


@pytest.fixture
def built(tmp_path: Path) -> Path:
    samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))
    return tmp_path / "out"


def test_pack_signs_and_verify_counts(tmp_path: Path, built: Path, keys: list[Path], capsys: Any) -> None:
    bundle = tmp_path / "stencils.tar"
    common = [str(built), "-o", str(bundle), "--attest", "--builder", signing.BUILDER]
    assert main(["pack", *common, "--sign-key", str(keys[0])]) == ExitCode.OK
    signed = tmp_path / "stencils.tar.intoto.json"
    payload = json.loads(base64.b64decode(json.loads(signed.read_text())["payload"]))
    assert {"name": bundle.name, "digest": {"sha256": samples.digest(bundle.read_bytes())}} in payload["subject"]
    public = [str(path.with_suffix(".pub")) for path in keys]
    given = ["verify", str(built), "--attestation", str(signed)]
    assert main([*given, "--key", public[0]]) == ExitCode.OK
    assert main([*given, "--key", public[1]]) == ExitCode.DIFFERENT
    assert main([*given, "--key", public[0], "--key", public[1]]) == ExitCode.DIFFERENT
    assert main([*given, "--key", public[0], "--key", public[1], "--threshold", "1"]) == ExitCode.OK
    assert "1 of 2 say that this is" in capsys.readouterr().out


def test_attestations_are_asked_for_also_under_a_policy_that_does_not(tmp_path: Path, built: Path, key: Path) -> None:
    """A header without its manifest: nobody can compare it with a statement."""
    policy = tmp_path / "policy.toml"
    policy.write_text('schema = 1\nrequire = ["canonical"]\n')
    (built / "manifest.toml").unlink()
    header = str(next(built.glob("jit_stencils-*.h")))
    assert main(["verify", header, "--policy", str(policy)]) == ExitCode.OK
    given = ["--attestation", str(sign(tmp_path, "a", key)), "--key", str(key.with_suffix(".pub"))]
    assert main(["verify", header, "--policy", str(policy), *given]) == ExitCode.DIFFERENT


def test_what_nobody_would_read_is_not_signed(key: Path) -> None:
    changes: tuple[dict[str, Any], ...] = ({"cpython": "3.14 7"}, {"content": "x"}, {"interface": ""})
    for change in changes:
        other = replace(STATEMENT, builds=(replace(STATEMENT.builds[0], claim=replace(CLAIM, **change)),))
        with pytest.raises(AttestationError):
            attest.sign_with_key(other, key, "")


def test_each_build_is_attested_on_its_own(tmp_path: Path, key: Path, capsys: Any) -> None:
    tree = samples.tree(tmp_path / "tree")
    for name in ("one", "two"):
        samples.folder(tmp_path / "out" / name, tree)
    (item,) = bundling.open_all(tmp_path / "out" / "one")
    entry = Entry.of(item.manifest)
    ledger.write(tmp_path / "ledger", entry, 19)
    words = ["attest", str(tmp_path / "ledger" / entry.place), "--built", str(tmp_path / "out"), "--builder", "a:b"]
    assert main([*words, "--sign-key", str(key), "-o", str(tmp_path / "a.intoto.json")]) == ExitCode.TROUBLE
    assert "has 2 builds" in capsys.readouterr().err


def test_rebuilders_attest_an_entry_of_the_ledger(tmp_path: Path, built: Path, keys: list[Path], capsys: Any) -> None:
    (item,) = bundling.open_all(built)
    entry = Entry.of(item.manifest)
    ledger.write(tmp_path / "ledger", entry, 19)
    place = tmp_path / "ledger" / entry.place
    folder = tmp_path / "attestations"
    folder.mkdir()
    for name, key in zip(("debian", "fedora"), keys, strict=False):
        words = ["attest", str(place), "--built", str(built), "--builder", f"https://{name}.example.org"]
        assert main([*words, "--sign-key", str(key), "-o", str(folder / f"{name}.intoto.json")]) == ExitCode.OK
    assert "the ledger expects exactly this" in capsys.readouterr().out
    signers = [word for key in keys for word in ("--key", str(key.with_suffix(".pub")))]
    given = ["verify", str(built), "--attestations", str(folder), *signers]
    assert main([*given, "--threshold", "2"]) == ExitCode.OK
    assert main([*given, "--threshold", "3"]) == ExitCode.DIFFERENT
    assert main([*given, "--threshold", "4"]) == ExitCode.TROUBLE
    said = attest.gather([folder / "fedora.intoto.json"], demand(keys[1]), None).attested[0].statement
    assert said.builder == "https://fedora.example.org"
    assert said.builds[0].results == {"ledger": "same", "ledger-content": entry.content}


def test_only_what_was_verified_and_is_meant_is_attested(tmp_path: Path, built: Path, key: Path, capsys: Any) -> None:
    (item,) = bundling.open_all(built)
    entry = Entry.of(item.manifest)
    ledger.write(tmp_path / "ledger", entry, 19)
    place, output = tmp_path / "ledger" / entry.place, tmp_path / "a.intoto.json"
    words = ["attest", str(place), "--built", str(built), "--builder", signing.BUILDER]
    assert main([*words, "-o", str(output)]) == ExitCode.TROUBLE
    assert "next:  add --sign-key FILE, or --sigstore" in capsys.readouterr().err
    words += ["--sign-key", str(key)]
    assert main([*words, "-o", str(tmp_path / "a.json")]) == ExitCode.TROUBLE
    assert "a.json must end in .intoto.json" in capsys.readouterr().err
    assert main([*words, "-o", str(output), "--format", "json"]) == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    assert (answer["what"], answer["content"], answer["same"]) == (
        "3.14.7/x86_64-unknown-linux-gnu-release-llvm-19.1.7",
        entry.content,
        True,
    )
    assert answer["sha256"] == samples.digest(output.read_bytes())
    output.unlink()
    elsewhere = replace(entry, llvm="21.1.0")
    ledger.write(tmp_path / "ledger", elsewhere, 19)
    words[1] = str(tmp_path / "ledger" / elsewhere.place)
    assert main([*words, "-o", str(output)]) == ExitCode.TROUBLE
    printed = capsys.readouterr().err
    assert "is 3.14.7/x86_64-unknown-linux-gnu-release-llvm-19.1.7, and the entry is 3.14.7/" in printed
    assert "next:  name the entry of that" in printed
    words[1] = str(place)
    header = built / f"jit_stencils-{samples.TRIPLE}.h"
    data = header.read_bytes().replace(b"0x90", b"0xcc", 1)
    header.write_bytes(data)
    records = tuple(
        replace(file, sha256=samples.digest(data)) if file.role == "stencils" else file for file in item.manifest.files
    )
    (built / "manifest.toml").write_text(manifest.render(replace(item.manifest, files=records)))
    assert main([*words, "-o", str(output)]) == ExitCode.TROUBLE
    assert "these stencils are refused: stencils differ from the manifest's" in capsys.readouterr().err
    assert not output.exists(), "what was refused is not signed"


def test_a_build_that_verify_refuses_is_not_attested(tmp_path: Path, built: Path, key: Path, capsys: Any) -> None:
    (item,) = bundling.open_all(built)
    entry = Entry.of(item.manifest)
    ledger.write(tmp_path / "ledger", entry, 19)
    (built / "manifest.toml").write_text(manifest.render(replace(item.manifest, headers="mingw")))
    words = ["attest", str(tmp_path / "ledger" / entry.place), "--built", str(built), "--builder", signing.BUILDER]
    output = tmp_path / "a.intoto.json"
    assert main([*words, "--sign-key", str(key), "-o", str(output)]) == ExitCode.DIFFERENT
    printed = capsys.readouterr().out
    assert "it was compiled with mingw's headers" in printed
    assert "build it with a Windows SDK (stencilkit build --sysroot)" in printed
    assert "(--allow-mingw)" not in printed, "attest has no such option"
    assert not output.exists()


def test_pack_signs_what_it_was_told_to_accept(tmp_path: Path, built: Path, key: Path) -> None:
    (item,) = bundling.open_all(built)
    (built / "manifest.toml").write_text(manifest.render(replace(item.manifest, headers="mingw")))
    words = ["pack", str(built), "-o", str(tmp_path / "b.tar"), "--attest", "--builder", signing.BUILDER]
    assert main([*words, "--sign-key", str(key)]) == ExitCode.TROUBLE
    assert main([*words, "--sign-key", str(key), "--allow-mingw"]) == ExitCode.OK
    assert (tmp_path / "b.tar.intoto.json").is_file()


def test_a_passphrase_for_a_key_without_one_is_named(key: Path) -> None:
    with pytest.raises(AttestationError, match="has no passphrase, and one was given") as caught:
        attest.sign_with_key(STATEMENT, key, "secret")
    assert "unset" in caught.value.fix
    assert "secret" not in caught.value.as_text()


@pytest.mark.parametrize("kind", ["text/plain", "", "application/vnd.in-toto+jsonx"])
def test_a_signed_payload_of_another_type_does_not_count(tmp_path: Path, key: Path, kind: str) -> None:
    """Whoever is trusted for statements did not sign one with this."""
    private = CryptoSigner(serialization.load_pem_private_key(key.read_bytes(), None))
    envelope = dsse.Envelope(_statement.encode(STATEMENT), kind, {})
    envelope.sign(private)
    signing.dump(tmp_path / "a", envelope.to_dict())
    found = gather(tmp_path / "a", key)
    assert found.attested == ()
    assert f"the payload is {kind!r}, not application/vnd.in-toto+json" in found.rejected[0]


def test_a_rebuilder_who_got_something_else_says_so(tmp_path: Path, built: Path, key: Path, capsys: Any) -> None:
    (item,) = bundling.open_all(built)
    entry = replace(Entry.of(item.manifest), content="0" * 64)
    ledger.write(tmp_path / "ledger", entry, 19)
    output = tmp_path / "a.intoto.json"
    words = ["attest", str(tmp_path / "ledger" / entry.place), "--built", str(built), "--builder", signing.BUILDER]
    assert main([*words, "--sign-key", str(key), "-o", str(output)]) == ExitCode.DIFFERENT
    assert "expects something else" in capsys.readouterr().out
    said = gather(output, key).attested[0].statement
    assert said.builds[0].results == {"ledger": "different", "ledger-content": "0" * 64}


def test_a_policy_demands_two_of_three(tmp_path: Path, built: Path, keys: list[Path]) -> None:
    (item,) = bundling.open_all(built)
    said = attesting.describe(signing.BUILDER, [item], {})
    folder = tmp_path / "attestations"
    folder.mkdir()
    rows = "".join(
        f'[[attestations.signer]]\nname = "{key.stem}"\nkey = """\n{key.with_suffix(".pub").read_text()}"""\n'
        for key in keys
    )
    policy = tmp_path / "policy.toml"
    policy.write_text(f'schema = 1\nrequire = ["canonical", "manifest"]\n[attestations]\nthreshold = 2\n{rows}')
    given = ["verify", str(built), "--policy", str(policy)]
    assert main(given) == ExitCode.DIFFERENT
    sign(folder, "a", keys[0], said)
    assert main([*given, "--attestations", str(folder)]) == ExitCode.DIFFERENT
    sign(folder, "b", keys[2], said)
    assert main([*given, "--attestations", str(folder)]) == ExitCode.OK
    key = str(keys[0].with_suffix(".pub"))
    assert main([*given, "--attestations", str(folder), "--key", key]) == ExitCode.TROUBLE


@pytest.mark.parametrize(
    "signers",
    [
        "",
        'threshold = 1\n[[attestations.signer]]\nname = "a"',
        'threshold = 2\n[[attestations.signer]]\nname = "a"\nkey = "x"',
        'threshold = 0\n[[attestations.signer]]\nname = "a"\nkey = "x"',
        'threshold = 1\n[[attestations.signer]]\nname = "a"\nidentity = "x"',
        'threshold = 1\n[[attestations.signer]]\nname = "a"\nkey = "x"\nidentity = "x"\nissuer = "y"',
        'threshold = 1\n[[attestations.signer]]\nname = "a\\u001b"\nkey = "x"',
        'threshold = 1\n[[attestations.signer]]\nname = "a"\nkey = "not a key"',
    ],
)
def test_a_policy_that_cannot_be_met_is_trouble(tmp_path: Path, built: Path, key: Path, signers: str) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'schema = 1\nrequire = ["canonical"]\n[attestations]\n{signers}\n')
    signed = sign(tmp_path, "a", key)
    assert main(["verify", str(built), "--policy", str(policy), "--attestation", str(signed)]) == ExitCode.TROUBLE


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "{built}", "--key", "{public}"],
        ["verify", "{built}", "--attestation", "{signed}"],
        ["verify", "{built}", "--attestation", "{signed}", "--identity", "a@example.org"],
        ["verify", "{built}", "--attestations", "{built}", "--key", "{public}"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--attest", "--sign-key", "{key}"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--attest", "--sign-key", "{key}", "--builder", "me"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--attest", "--sign-key", "{key}", "--sigstore", "--builder", "a:b"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--attest", "--sign-key", "{public}", "--builder", "a:b"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--attest", "--sign-key", "{root}/no", "--builder", "a:b"],
        [
            "pack",
            "{built}",
            "-o",
            "{root}/x",
            "--names",
            "fedora",
            "--attest",
            "--sign-key",
            "{key}",
            "--builder",
            "a:b",
        ],
        ["pack", "{built}", "-o", "{root}/x.tar", "--attest"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--sign-key", "{key}", "--builder", "a:b"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--trust-config", "{public}"],
        ["pack", "{built}", "-o", "{root}/x.tar", "--ledger", "{root}"],
        ["attest", "{signed}", "--built", "{built}", "-o", "{root}/x.intoto.json"],
        ["attest", "{signed}", "--built", "{built}", "-o", "{root}/x.json", "--sign-key", "{key}", "--builder", "a:b"],
    ],
)
def test_options_that_do_not_go_together_are_trouble(
    tmp_path: Path, built: Path, key: Path, words: list[str], capsys: Any
) -> None:
    names = {
        "built": built,
        "public": key.with_suffix(".pub"),
        "key": key,
        "root": tmp_path,
        "signed": sign(tmp_path, "a", key),
    }
    assert main([word.format(**names) for word in words]) == ExitCode.TROUBLE
    shown = capsys.readouterr()
    assert "next:" in shown.err
    assert not list(tmp_path.glob("x*"))


@pytest.mark.network
def test_sigstore_signs_with_the_identity_of_a_job(
    tmp_path: Path, built: Path, sigstore: sigstand.Sigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for Fulcio and Rekor on this machine: signing goes through HTTP, verifying through nothing."""
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", sigstore.token(WHO))
    root, trust, bundle = tmp_path / "root.json", tmp_path / "trust.json", tmp_path / "stencils.tar"
    root.write_text(sigstore.trusted_root())
    with sigstore.serve() as config:
        trust.write_text(config)
        words = ["pack", str(built), "-o", str(bundle), "--attest", "--sigstore", "--trust-config", str(trust)]
        assert main([*words, "--builder", signing.BUILDER]) == ExitCode.OK
    given = ["verify", str(built), "--attestation", f"{bundle}.sigstore.json", "--trusted-root", str(root)]
    assert main([*given, "--identity", WHO, "--issuer", sigstand.ISSUER]) == ExitCode.OK
    assert main([*given, "--identity", "else@example.org", "--issuer", sigstand.ISSUER]) == ExitCode.DIFFERENT


# Release tarballs.


@pytest.fixture
def release(tmp_path: Path, sigstore: sigstand.Sigstore) -> tuple[Path, Path]:
    """A tarball of a sample tree with its sigstore bundle, as python.org names them, and the trusted root."""
    tree = samples.tree(tmp_path / "Python-3.14.7")
    tarball, root = tmp_path / "Python-3.14.7.tar.xz", tmp_path / "trusted_root.json"
    with tarfile.open(tarball, "w:xz") as archive:
        archive.add(tree.root, arcname=tree.root.name)
    manager = pins.load().manager("3.14")
    assert manager is not None
    sigstore.issuer = manager.issuer
    tarball.with_name(f"{tarball.name}.sigstore").write_text(sigstore.sign_file(tarball.read_bytes(), manager.identity))
    root.write_text(sigstore.trusted_root())
    return tarball, root


def opened(tarball: Path) -> SourceTree:
    return knowing.tree(tarball.parent / "Python-3.14.7")


def test_a_release_is_verified_and_recorded(release: tuple[Path, Path]) -> None:
    tarball, root = release
    tree = attesting.verify_source(opened(tarball), tarball, root)
    assert tree.signature == ReleaseSignature(
        tarball="Python-3.14.7.tar.xz",
        sha256=samples.digest(tarball.read_bytes()),
        identity="hugo@python.org",
        issuer="https://github.com/login/oauth",
    )
    described = replace(samples.describe(tree, samples.FILES, samples.stencils(), "0" * 64), source=tree.signature)
    text = manifest.render(described)
    assert '[source]\ntarball = "Python-3.14.7.tar.xz"' in text
    assert manifest.parse(text, "here").source == tree.signature


@pytest.mark.parametrize("what", ["tarball", "bundle", "missing", "series"])
def test_a_release_that_is_not_the_manager_s_is_refused(release: tuple[Path, Path], what: str) -> None:
    tarball, root = release
    bundle = tarball.with_name(f"{tarball.name}.sigstore")
    tree = opened(tarball)
    if what == "tarball":
        tarball.write_bytes(tarball.read_bytes() + b"\0")
    elif what == "bundle":
        document = json.loads(bundle.read_text())
        document["messageSignature"]["signature"] = base64.b64encode(b"another one").decode()
        bundle.write_text(json.dumps(document))
    elif what == "missing":
        bundle.unlink()
    else:
        # Signed by 3.14's release manager, and unpacked to a 3.13.
        tree = replace(tree, version=replace(tree.version, minor=13))
    with pytest.raises(AttestationError) as caught:
        attesting.verify_source(tree, tarball, root)
    assert "python.org" in caught.value.as_text()


def test_every_change_of_a_release_s_bundle_is_refused(release: tuple[Path, Path]) -> None:
    tarball, root = release
    document = json.loads(tarball.with_name(f"{tarball.name}.sigstore").read_text())
    manager = pins.load().manager("3.14")
    assert manager is not None
    signer = Signer(name="they", identity=manager.identity, issuer=manager.issuer)
    content, trusted = tarball.read_bytes(), _keyless.verifier(root)

    def accepted(other: Any) -> bool:
        try:
            _keyless.verify_file(content, json.dumps(other).encode(), signer, trusted, "a")
        except AttestationError:
            return False
        return True

    assert accepted(document)
    cases = [
        (what, other) for what, other in signing.damaged(document) if _keyless._bare(other) != _keyless._bare(document)
    ]
    # The digest beside the signature is a hint, which may be left out; the log's name is read by nobody.
    hints = (
        "messageSignature/messageDigest left out",
        "messageSignature/messageDigest of type NoneType",
        f"{_CHECKPOINT} other at",
    )
    assert [what for what, other in cases if accepted(other) and not what.startswith(hints)] == []


def test_only_a_tarball_has_a_signature(tmp_path: Path, capsys: Any) -> None:
    tree = samples.tree(tmp_path / "tree").root
    assert main(["build", "--cpython", str(tree), "--verify-source"]) == ExitCode.TROUBLE
    assert "is for a release tarball" in capsys.readouterr().err
