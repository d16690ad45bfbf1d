"""The one door to SPDX's library: a bill -> SPDX 2.3 as JSON (https://spdx.github.io/spdx-spec/v2.3/)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from license_expression import get_spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    File,
    Package,
    PackagePurpose,
    PackageVerificationCode,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)

from stencilkit import __version__
from stencilkit.model.sbom import Bill, Item, ListedFile, Part
from stencilkit.support import environ, jsontext

_DOCUMENT: Final = "SPDXRef-DOCUMENT"
_ROOT: Final = "SPDXRef-root"
_PURPOSES: Final[dict[Part, PackagePurpose]] = {
    "stencils": PackagePurpose.LIBRARY,
    "source": PackagePurpose.SOURCE,
    "headers": PackagePurpose.SOURCE,
    "compiler": PackagePurpose.APPLICATION,
    "generator": PackagePurpose.APPLICATION,
}


def render(bill: Bill) -> bytes:
    """Write a bill."""
    ids = {item.key: f"SPDXRef-item-{number}" for number, item in enumerate(bill.items, start=1)}
    files = [file for item in bill.items for file in item.files]
    names = {file.name: f"SPDXRef-file-{number}" for number, file in enumerate(files, start=1)}
    root = Package(
        spdx_id=_ROOT,
        name=bill.name,
        version=bill.version,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=_sha256(bill.sha256),
    )
    document = Document(
        creation_info=CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=bill.name,
            document_namespace=f"https://spdx.org/spdxdocs/stencilkit-{bill.digest}",
            creators=[Actor(ActorType.TOOL, f"stencilkit-{__version__}")],
            # The standard wants a time: without SOURCE_DATE_EPOCH, that of 1970, which nobody takes for one.
            created=environ.source_time(),
        ),
        packages=[root, *(_package(item, ids[item.key]) for item in bill.items)],
        files=[
            File(
                name=f"./{file.name}",
                spdx_id=names[file.name],
                checksums=[Checksum(ChecksumAlgorithm.SHA1, file.sha1), *_sha256(file.sha256)],
            )
            for file in files
        ],
        relationships=list(_relationships(bill, ids, names)),
    )
    return jsontext.write(DocumentConverter().convert(document))  # type: ignore[no-untyped-call]  # it has no annotations


def _package(item: Item, spdx_id: str) -> Package:
    licence = get_spdx_licensing().parse(item.licence) if item.licence else SpdxNoAssertion()
    facts = [f"stencilkit:{name}={value}" for name, value in item.facts]
    purl = ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", item.purl)
    return Package(
        spdx_id=spdx_id,
        name=item.name,
        version=item.version or None,
        download_location=SpdxNoAssertion(),
        files_analyzed=bool(item.files),
        verification_code=_verification(item.files) if item.files else None,
        checksums=_sha256(item.sha256),
        license_concluded=licence,
        license_declared=licence,
        comment="\n".join(filter(None, (item.note, *facts))),
        external_references=[purl] if item.purl else [],
        primary_package_purpose=_PURPOSES[item.part],
    )


def _verification(files: Sequence[ListedFile]) -> PackageVerificationCode:
    """Digest the files of a package as section 7.9 of SPDX 2.3 says: over their SHA-1s, sorted."""
    joined = "".join(sorted(file.sha1 for file in files))
    return PackageVerificationCode(hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest())


def _sha256(digest: str) -> list[Checksum]:
    return [Checksum(ChecksumAlgorithm.SHA256, digest)] if digest else []


def _relationships(bill: Bill, ids: dict[str, str], names: dict[str, str]) -> Iterator[Relationship]:
    yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _ROOT)
    tools = {item.key for item in bill.items if item.part in ("compiler", "generator")}
    for item in bill.items:
        if item.part == "stencils":
            yield Relationship(_ROOT, RelationshipType.CONTAINS, ids[item.key])
        for file in item.files:
            yield Relationship(ids[item.key], RelationshipType.CONTAINS, names[file.name])
        for key in item.uses:
            if key in tools:
                yield Relationship(ids[key], RelationshipType.BUILD_TOOL_OF, ids[item.key])
            else:
                yield Relationship(ids[item.key], RelationshipType.GENERATED_FROM, ids[key])
