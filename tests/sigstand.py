"""A local stand-in for sigstore's services, so that its own library signs and verifies without the network.

It has what the public instance has: an authority that certifies identities (Fulcio), a certificate log whose timestamp
is in every certificate, and a log of signatures with inclusion proofs, checkpoints and promises (Rekor v1). The keys
are made anew each time; nothing of it is anybody's identity.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from sigstore import dsse
from sigstore._internal.fulcio.client import FulcioCertificateSigningResponse
from sigstore._internal.rekor.client import RekorClient
from sigstore.models import TransparencyLogEntry, TrustedRoot
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore_models.trustroot import v1 as trustroot_v1

ISSUER = "https://issuer.example.org"
# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md and RFC 6962, section 3.3:
_ISSUER_OID = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_SCT_OID = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ALWAYS = {"start": "2020-01-01T00:00:00Z"}


def _der(key: Any) -> bytes:
    found: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _canonical(value: object) -> bytes:
    # RFC 8785 for what is in log entries: ASCII strings and integers.
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Log:
    """A log's key."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = hashlib.sha256(_der(self.key.public_key())).digest()

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def describe(self, url: str) -> dict[str, Any]:
        public = {
            "rawBytes": _b64(_der(self.key.public_key())),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": _ALWAYS,
        }
        return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": {"keyId": _b64(self.id)}}


class Sigstore:
    """All services of one instance."""

    def __init__(self) -> None:
        self.certificates, self.entries = Log(), Log()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.issuer = ISSUER
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._root = self._make_root()

    def _make_root(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(self._now - timedelta(days=1))
            .not_valid_after(self._now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def token(self, identity: str) -> str:
        now = int(datetime.now(UTC).timestamp())
        claims = {
            "iss": self.issuer,
            "email": identity,
            "sub": identity,
            "aud": "sigstore",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        }
        return jwt.encode(claims, "a secret of at least thirty-two bytes", "HS256")

    def certify(self, csr: x509.CertificateSigningRequest, identity: str) -> list[x509.Certificate]:
        """Certify an identity, as Fulcio does: the certificate log's timestamp is embedded."""
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign"), False
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(csr.public_key())
            .serial_number(2)
            .not_valid_before(self._now - timedelta(minutes=5))
            .not_valid_after(self._now + timedelta(minutes=5))
            .add_extension(
                x509.KeyUsage(
                    **usage, digital_signature=True, crl_sign=False, encipher_only=False, decipher_only=False
                ),
                critical=True,
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_OID, self.issuer.encode()), critical=False)
        )
        before = builder.sign(self._key, hashes.SHA256())
        embedded = x509.UnrecognizedExtension(_SCT_OID, self._timestamp(before.tbs_certificate_bytes))
        return [builder.add_extension(embedded, critical=False).sign(self._key, hashes.SHA256()), self._root]

    def _timestamp(self, tbs: bytes) -> bytes:
        """Sign a certificate without its timestamp (RFC 6962, section 3.2), and write the list of one timestamp."""
        milliseconds = int(self._now.timestamp()) * 1000
        issuer = hashlib.sha256(_der(self._key.public_key())).digest()
        entry = issuer + len(tbs).to_bytes(3, "big") + tbs
        signature = self.certificates.sign(struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0")
        sct = struct.pack("!B32sQHBBH", 0, self.certificates.id, milliseconds, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        assert len(listed) < 128
        return bytes([4, len(listed)]) + listed

    def record(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Record a signature, as Rekor does."""
        if proposed["kind"] == "dsse":
            content = proposed["spec"]["proposedContent"]
            envelope = json.loads(content["envelope"])
            spec = {
                "envelopeHash": {
                    "algorithm": "sha256",
                    "value": hashlib.sha256(content["envelope"].encode()).hexdigest(),
                },
                "payloadHash": {
                    "algorithm": "sha256",
                    "value": hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest(),
                },
                "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}],
            }
            proposed = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}
        body = _canonical(proposed)
        other = hashlib.sha256(b"\0somebody else's entry").digest()
        root = hashlib.sha256(b"\1" + other + hashlib.sha256(b"\0" + body).digest()).digest()
        note = f"rekor.example.org - 1\n2\n{_b64(root)}\n"
        signed = self.entries.id[:4] + self.entries.sign(note.encode())
        entry: dict[str, Any] = {
            "body": _b64(body),
            "integratedTime": int(self._now.timestamp()),
            "logID": self.entries.id.hex(),
            "logIndex": 1,
        }
        proof = {
            "checkpoint": f"{note}\n\u2014 rekor.example.org {_b64(signed)}\n",
            "hashes": [other.hex()],
            "logIndex": 1,
            "rootHash": root.hex(),
            "treeSize": 2,
        }
        promise = _b64(self.entries.sign(_canonical(entry)))
        return {"uuid": {**entry, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}

    def trusted_root(self) -> str:
        """Write what whoever verifies must trust."""
        authority = {
            "subject": {"organization": "stand-in", "commonName": "stand-in"},
            "uri": "https://fulcio.example.org",
            "certChain": {"certificates": [{"rawBytes": _b64(self._root.public_bytes(serialization.Encoding.DER))}]},
            "validFor": _ALWAYS,
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [self.entries.describe("https://rekor.example.org")],
                "certificateAuthorities": [authority],
                "ctlogs": [self.certificates.describe("https://ct.example.org")],
            }
        )

    @contextlib.contextmanager
    def signer(self, identity: str) -> Iterator[Any]:
        """Sign with sigstore's library, in this process."""
        context = SigningContext(
            fulcio=_Fulcio(self, identity),  # type: ignore[arg-type]  # it stands in for the client
            rekor=_Rekor(self),
            trusted_root=TrustedRoot(trustroot_v1.TrustedRoot.from_json(self.trusted_root())),
        )
        with context.signer(IdentityToken(self.token(identity))) as signer:
            yield signer

    def sign_statement(self, payload: bytes, identity: str) -> str:
        with self.signer(identity) as signer:
            signed: str = signer.sign_dsse(dsse.Statement(payload)).to_json()
        return signed

    def sign_file(self, data: bytes, identity: str) -> str:
        with self.signer(identity) as signer:
            signed: str = signer.sign_artifact(data).to_json()
        return signed

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """Serve Fulcio's and Rekor's HTTP on this machine; yield a ClientTrustConfig that leads there."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service = {
            "url": f"http://127.0.0.1:{server.server_address[1]}",
            "majorApiVersion": 1,
            "validFor": _ALWAYS,
            "operator": "stand-in",
        }
        config = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service],
            "rekorTlogUrls": [service],
            "rekorTlogConfig": {"selector": "ANY"},
        }
        try:
            yield json.dumps(
                {
                    "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                    "trustedRoot": json.loads(self.trusted_root()),
                    "signingConfig": config,
                }
            )
        finally:
            server.shutdown()
            server.server_close()


class _Fulcio:
    def __init__(self, stand_in: Sigstore, identity: str) -> None:
        self._stand_in, self._identity = stand_in, identity

    @property
    def signing_cert(self) -> _Fulcio:
        return self

    def post(self, csr: x509.CertificateSigningRequest, _token: object) -> FulcioCertificateSigningResponse:
        leaf, *chain = self._stand_in.certify(csr, self._identity)
        return FulcioCertificateSigningResponse(leaf, chain)


class _Rekor(RekorClient):
    def __init__(self, stand_in: Sigstore) -> None:
        super().__init__("https://rekor.example.org")
        self._stand_in = stand_in

    def create_entry(self, request: Any) -> TransparencyLogEntry:
        return TransparencyLogEntry._from_v1_response(self._stand_in.record(request))


def _handler(stand_in: Sigstore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/v2/signingCert":
                token = self.headers["Authorization"].removeprefix("Bearer ")
                identity = jwt.decode(token, options={"verify_signature": False}, audience="sigstore")["sub"]
                csr = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
                chain = [c.public_bytes(serialization.Encoding.PEM).decode() for c in stand_in.certify(csr, identity)]
                answer: dict[str, Any] = {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
            else:
                assert self.path == "/api/v1/log/entries", self.path
                answer = stand_in.record(request)
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_args: object) -> None:
            pass

    return Handler
