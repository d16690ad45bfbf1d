"""Ask stencilkit's door to sigstore about the bundles of sigstore's own conformance suite; nothing of it is kept here.

    git clone https://github.com/sigstore/sigstore-conformance
    python -m tests.conformance sigstore-conformance/test/assets/bundle-verify

Prints where an answer is not the suite's, and exits with 1 if a bundle was accepted that must be refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stencilkit.attest import _keyless
from stencilkit.errors import AttestationError
from stencilkit.model.attestation import Signer

BEACON = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
SUITE = Signer(
    name="the suite's",
    identity=f"{BEACON}/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main",
    issuer="https://token.actions.githubusercontent.com",
)


def accepted(folder: Path) -> tuple[bool, str]:
    """Verify one case of the suite; say why not."""
    root, own = folder / "trusted_root.json", folder / "artifact"
    data = (folder / "bundle.sigstore.json").read_bytes()
    try:
        trusted = _keyless.verifier(root if root.exists() else None)
        if b"dsseEnvelope" in data:
            return bool(_keyless.verify(data, [SUITE], trusted, folder.name)[1]), "the identity or the proof"
        artifact = own if own.exists() else folder.parent / "a.txt"
        _keyless.verify_file(artifact.read_bytes(), data, SUITE, trusted, folder.name)
    except AttestationError as error:
        return False, error.what
    return True, ""


def main() -> int:
    same, wrong = 0, 0
    for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        found, why = accepted(folder)
        expected = not folder.name.endswith("_fail")
        same += found == expected
        wrong += found and not expected
        if found != expected:
            print(f"{folder.name}: {'accepted' if found else f'refused: {why}'}")
    print(f"{same} answers are the suite's; {wrong} bundles were accepted that must be refused")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
