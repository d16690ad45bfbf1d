"""Keys, statements and damaged copies of them, for the tests of attestations."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

BUILDER = "https://builders.example.org/python"


def write_key(path: Path, key: Any = None, passphrase: str = "") -> Path:
    """Write a private key, and the public one beside it (.pub); return the latter."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return public


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the path of everything in a JSON document, the root left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def damaged(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield a document with one thing changed, again and again: every value, every key, every element."""
    for path in places(document):
        value = _at(document, path)
        label = "/".join(map(str, path))
        for what, other in _others(value):
            changed = copy.deepcopy(document)
            _at(changed, path[:-1])[path[-1]] = other
            yield f"{label} {what}", changed
        changed = copy.deepcopy(document)
        del _at(changed, path[:-1])[path[-1]]
        yield f"{label} left out", changed
    for path in [(), *places(document)]:
        changed = copy.deepcopy(document)
        value = _at(changed, path)
        if isinstance(value, dict):
            value["unheard-of"] = "x"
            yield f"{'/'.join(map(str, path))} with one more", changed
        elif isinstance(value, list) and value:
            value.append(copy.deepcopy(value[0]))
            yield f"{'/'.join(map(str, path))} with the first again", changed


def _others(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str):
        yield "longer", value + "A"
        yield "other at the start", ("B" if value[:1] != "B" else "C") + value[1:]
        yield "shorter", value[:-1]
        for at in range(0, len(value), max(1, len(value) // 7)):
            yield f"other at {at}", value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        yield "with a newline", value + "\n"
        # The last character of unpadded base64 has bits that nobody reads:
        bare = value.rstrip("=")
        if bare and bare != value:
            yield "with other bits", bare[:-1] + chr(ord(bare[-1]) + 1) + "=" * (len(value) - len(bare))
    elif isinstance(value, int):
        yield "one more", value + 1
    for other in (None, 7, True, [], {}, "", ["x"], {"x": "y"}, 1.5):
        if other != value:
            yield f"of type {type(other).__name__}", other


def dump(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path
