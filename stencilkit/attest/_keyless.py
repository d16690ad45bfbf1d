"""The one door to sigstore's library: bundles that are signed with an identity and recorded in a public log.

https://docs.sigstore.dev/about/bundle/. Verifying needs no network: who may certify identities and which logs count
is the trusted root, sigstore's own one as it came with the library, or a file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from sigstore import dsse, oidc
from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from stencilkit.errors import AttestationError
from stencilkit.model.attestation import Signer
from stencilkit.support import jsontext

# Its warnings (that it works offline, which is what was asked of it) are not for our users' terminals.
logging.getLogger("sigstore").addHandler(logging.NullHandler())
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
# A bundle has a certificate, a proof and the payload again, encoded twice.
BOUNDS: Final = jsontext.Bounds(size=8 << 20, depth=16)
_AGAIN: Final = "get it again from where it was published"


def sign(payload: bytes, token: str, trust: Path | None) -> bytes:
    """Sign a statement with the identity in an OIDC token ("" finds that of the CI); return a bundle as JSON.

    `trust` is a ClientTrustConfig of another sigstore than the public one.

    Raises: AttestationError.
    """
    try:
        config = ClientTrustConfig.from_json(trust.read_text("utf-8")) if trust else ClientTrustConfig.production()
        raw = token or oidc.detect_credential() or ""
        with SigningContext.from_trust_config(config).signer(oidc.IdentityToken(raw)) as signer:
            bundle = signer.sign_dsse(dsse.Statement(payload))
    except Exception as problem:
        raise AttestationError(
            f"sigstore did not sign: {type(problem).__name__}: {problem}",
            fix="run it in a CI job that may ask for an OIDC token (GitHub: permissions: id-token: write), with the "
            "network; or set SIGSTORE_ID_TOKEN; or sign with a key file (--sign-key)",
        ) from problem
    return (bundle.to_json() + "\n").encode()


def verifier(root: Path | None) -> Verifier:
    """Trust what sigstore trusts, or the trusted root in a file. Uses no network.

    Raises: AttestationError.
    """
    try:
        trusted = TrustedRoot.from_file(str(root)) if root else ClientTrustConfig.production(offline=True).trusted_root
        return Verifier(trusted_root=trusted)
    except Exception as problem:  # noqa: BLE001  # a file of the user's, read by pydantic, cryptography and sigstore
        raise AttestationError(
            f"not a trusted root of sigstore's: {type(problem).__name__}: {problem!s:.200}",
            where=str(root or "sigstore's own"),
            fix="give a trusted_root.json as sigstore's TUF repository has it",
        ) from None


def verify(data: bytes, signers: Iterable[Signer], trusted: Verifier, where: str) -> tuple[bytes, tuple[str, ...]]:
    """Verify a bundle that holds a statement; return the payload, and whose it is.

    Raises: AttestationError for a bundle that is damaged.
    """
    bundle = _bundle(data, where)
    payload, names = b"", list[str]()
    for signer in signers:
        try:
            kind, payload = trusted.verify_dsse(bundle, _policy(signer))
        except Exception:  # noqa: BLE001, S112  # fail closed: whatever the library raises, this identity did not sign
            continue
        if kind != PAYLOAD_TYPE:
            raise AttestationError(f"the payload is {kind[:80]!r}, not {PAYLOAD_TYPE}", where=where)
        names.append(signer.name)
    return payload, tuple(dict.fromkeys(names))


def verify_file(content: bytes, data: bytes, signer: Signer, trusted: Verifier, where: str) -> None:
    """Verify a bundle that is about a file.

    Raises: AttestationError where this signer did not sign this file.
    """
    bundle = _bundle(data, where)
    try:
        trusted.verify_artifact(content, bundle, _policy(signer))
    except Exception as problem:  # noqa: BLE001  # fail closed: whatever the library raises, this is not verified
        raise AttestationError(
            f"{signer.identity} did not sign this file: {problem!s:.300}",
            where=where,
            fix="get the file and its bundle again from where they were published",
        ) from None


def _policy(signer: Signer) -> policy.Identity:
    return policy.Identity(identity=signer.identity, issuer=signer.issuer)


def _bundle(data: bytes, where: str) -> Bundle:
    document = jsontext.read(data, BOUNDS, where=where, error=AttestationError)
    try:
        bundle = Bundle.from_json(data)
        again = jsontext.read(bundle.to_json().encode(), BOUNDS, where=where, error=AttestationError)
    except AttestationError:
        raise
    except Exception as problem:  # noqa: BLE001  # whatever hostile JSON makes the library raise, it is not a bundle
        raise AttestationError(f"not a sigstore bundle: {problem!s:.200}", where=where, fix=_AGAIN) from None
    envelope = document.get("dsseEnvelope", {})
    hints = [row.get("keyid") for row in envelope.get("signatures", ())] if isinstance(envelope, dict) else []
    # The library reads base64 with other bits and stray characters as the same, and nothing covers a key id.
    if _bare(again) != _bare(document) or any(hints):
        raise AttestationError("this is not how a sigstore bundle is written", where=where, fix=_AGAIN)
    return bundle


def _bare(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Leave out what is empty: clients differ in whether they write it."""
    if isinstance(value, dict):
        return {key: bare for key, item in value.items() if (bare := _bare(item)) not in (None, "", [], {})}
    return [_bare(item) for item in value] if isinstance(value, list) else value
