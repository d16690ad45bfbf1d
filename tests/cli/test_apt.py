"""apt itself judges the indexes that hashes come from: unsigned ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stencilkit.errors import FetchError
from stencilkit.support import apt

pytestmark = [pytest.mark.process]
SOURCES = """\
Package: python3.15
Format: 3.0 (quilt)
Binary: python3.15
Architecture: any
Version: 3.15.2-1
Directory: pool/main/p/python3.15
Checksums-Sha256:
 {digest} 100 python3.15_3.15.2.orig.tar.xz

"""


@pytest.mark.parametrize("signed", ["no Release", "unsigned Release", "nonsense for a signature"])
def test_an_index_that_nobody_signed_is_refused(signed: str, tmp_path: Path) -> None:
    suite = tmp_path / "mirror/dists/sid"
    (suite / "main/source").mkdir(parents=True)
    (suite / "main/source/Sources").write_text(SOURCES.format(digest="0" * 64))
    if signed != "no Release":
        (suite / "Release").write_text("Origin: Debian\nSuite: sid\nCodename: sid\nComponents: main\n")
    if signed == "nonsense for a signature":
        (suite / "Release.gpg").write_text("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n")
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(b"")
    where = [apt.Archive(uri=f"file:{tmp_path}/mirror", suite="sid", keyring=keyring)]
    with pytest.raises(FetchError, match="no source index that apt has checked") as caught:
        apt.source_files("python3.15", where, tmp_path / "state")
    assert caught.value.details
    assert "--sha256" in caught.value.fix
