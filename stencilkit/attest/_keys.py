"""The one door to securesystemslib and to cryptography: key files, and DSSE envelopes that are signed with them.

https://github.com/secure-systems-lab/dsse/blob/v1.0.0/envelope.md. The key id is SHA-256 of the public key's DER
(SubjectPublicKeyInfo): `openssl pkey -pubin -outform DER | sha256sum` prints it. Ed25519 and ECDSA over NIST's curves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib import dsse
from securesystemslib.signer import CryptoSigner, SSlibKey

from stencilkit.errors import AttestationError
from stencilkit.model.attestation import Signer
from stencilkit.support import jsontext

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_KINDS: Final = "give an Ed25519 key, or an ECDSA key over P-256, P-384 or P-521, as PEM"


def sign(payload: bytes, private: bytes, passphrase: str, where: str) -> bytes:
    """Sign a statement; return the envelope as JSON. `private` is a PEM file's content, `where` its name.

    Raises: AttestationError for a key that cannot be used; what it holds is never in the message.
    """
    try:
        key = serialization.load_pem_private_key(private, passphrase.encode() or None)
    except TypeError:
        needs = "needs a passphrase" if not passphrase else "has no passphrase, and one was given"
        raise AttestationError(
            f"this private key {needs}", where=where, fix="set (or unset) STENCILKIT_KEY_PASSPHRASE"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        what = "this is not a private key, or the passphrase is wrong"
        raise AttestationError(what, where=where, fix=_KINDS) from None
    public = key.public_key()
    if not _is_known(public):
        raise AttestationError("stencilkit does not sign with this kind of key", where=where, fix=_KINDS)
    envelope = dsse.Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key, _sslib(public)))
    return jsontext.write(envelope.to_dict())


def _is_known(public: object) -> bool:
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.curve.name in _CURVES
    return isinstance(public, ed25519.Ed25519PublicKey)


def _sslib(public: Any) -> SSlibKey:  # noqa: ANN401  # any of cryptography's public keys
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest())


def _public(pem: bytes, where: str) -> SSlibKey:
    try:
        public = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise AttestationError("this is not a public key", where=where, fix=_KINDS) from None
    if not _is_known(public):
        raise AttestationError("stencilkit does not verify with this kind of key", where=where, fix=_KINDS)
    return _sslib(public)


def key_id(pem: bytes, where: str) -> str:
    """Return the id of a public key.

    Raises: AttestationError.
    """
    return str(_public(pem, where).keyid)


def verify(document: Mapping[str, Any], signers: Iterable[Signer], where: str) -> tuple[bytes, tuple[str, ...]]:
    """Verify an envelope with the signers' keys; return the payload and the names of those who signed it.

    Raises: AttestationError for an envelope that is damaged.
    """
    try:
        envelope = dsse.Envelope.from_dict({**document, "signatures": [dict(row) for row in document["signatures"]]})
        again = envelope.to_dict()
    except Exception as problem:  # noqa: BLE001  # whatever hostile JSON makes the library raise, it is not an envelope
        raise AttestationError(f"not a DSSE envelope: {problem!r:.120}", where=where) from None
    # Base64 with other bits, unknown fields, which the library keeps: what is not signed must not vary.
    if again != document or any(row.keys() != {"keyid", "sig"} for row in document["signatures"]):
        raise AttestationError("the envelope has more than payload, payloadType and signatures", where=where)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise AttestationError(f"the payload is {str(envelope.payload_type)[:80]!r}, not {PAYLOAD_TYPE}", where=where)
    names = [signer.name for signer in signers if _has_signed(envelope, _public(signer.key, signer.name))]
    return envelope.payload, tuple(dict.fromkeys(names))


def _has_signed(envelope: dsse.Envelope, key: SSlibKey) -> bool:
    try:
        envelope.verify([key], 1)
    except Exception:  # noqa: BLE001  # fail closed: whatever the library raises, this key did not sign
        return False
    return True
