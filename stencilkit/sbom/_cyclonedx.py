"""The one door to CycloneDX's library: a bill -> CycloneDX 1.6 as JSON (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import json
import uuid
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from stencilkit.model.sbom import Bill, Item, ListedFile, Part
from stencilkit.support import environ, jsontext

_TYPES: Final[dict[Part, ComponentType]] = {
    "stencils": ComponentType.LIBRARY,
    "source": ComponentType.LIBRARY,
    "headers": ComponentType.LIBRARY,
    "compiler": ComponentType.APPLICATION,
    "generator": ComponentType.APPLICATION,
}


def render(bill: Bill) -> bytes:
    """Write a bill."""
    root = Component(
        name=bill.name,
        version=bill.version,
        type=ComponentType.LIBRARY,
        bom_ref="root",
        hashes=_hashes(bill.sha256),
    )
    bom = Bom(serial_number=uuid.UUID(bill.digest[:32], version=5), metadata=BomMetaData(component=root))
    made = {item.key: _component(item) for item in bill.items}
    bom.components.update(made.values())
    bom.register_dependency(root, [made[item.key] for item in bill.items if item.part == "stencils"])
    for item in bill.items:
        bom.register_dependency(made[item.key], [made[key] for key in item.uses])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    time = environ.source_date()
    # The library always writes the time that it is.
    del document["metadata"]["timestamp"]
    if time:
        document["metadata"]["timestamp"] = time
    return jsontext.write(document)


def _component(item: Item) -> Component:
    properties = [Property(name=f"stencilkit:{name}", value=value) for name, value in item.facts]
    return Component(
        name=item.name,
        version=item.version or None,
        type=_TYPES[item.part],
        bom_ref=item.key,
        # What is used to build and is not in the result:
        scope=ComponentScope.REQUIRED if item.part in ("stencils", "source") else ComponentScope.EXCLUDED,
        purl=PackageURL.from_string(item.purl) if item.purl else None,
        hashes=_hashes(item.sha256),
        licenses=[LicenseExpression(item.licence)] if item.licence else [],
        description=item.note or None,
        properties=properties,
        components=[_file(file) for file in item.files],
    )


def _file(file: ListedFile) -> Component:
    return Component(name=file.name, type=ComponentType.FILE, bom_ref=f"file {file.name}", hashes=_hashes(file.sha256))


def _hashes(sha256: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []
