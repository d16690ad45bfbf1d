"""The one door to in-toto's library: a statement of ours <-> an in-toto Statement v1 with SLSA provenance v1.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance;
which field says what is docs/attestations.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement as InToto

from stencilkit import __version__
from stencilkit.errors import AttestationError
from stencilkit.model.attestation import Build, Claim, Material, Statement
from stencilkit.model.target import Flavour
from stencilkit.support import jsontext
from stencilkit.support.fields import Fields

PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "pkg:pypi/stencilkit#build/v1"
# A bundle of a hundred builds, with thirty materials each, has less than a megabyte.
BOUNDS: Final = jsontext.Bounds(size=4 << 20, depth=16)
_SHA256: Final = re.compile("[0-9a-f]{64}")
_NAME: Final = re.compile(r"[\w.+~-]{1,100}", re.ASCII)
_AGAIN: Final = "ask who signed it for one as the documentation (attestations) describes it"
_MANIFEST, _INTERFACE, _RESULTS = "manifest.toml", "interface", "reproducibility"


def encode(statement: Statement) -> bytes:
    """Write a statement as the JSON that is signed; the same statement is always the same bytes.

    Raises: AttestationError for what in-toto's library refuses.
    """
    builds = statement.builds
    subjects = [_descriptor(build.claim.place, sha256=build.claim.content) for build in builds]
    subjects += [_descriptor(name, sha256=sha256) for name, sha256 in sorted(statement.files.items())]
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"builds": [_parameters(build) for build in builds]},
            "resolvedDependencies": [item for build in builds for item in _materials(build)],
        },
        "runDetails": {
            "builder": {"id": statement.builder, "version": {"stencilkit": __version__}},
            "byproducts": [item for build in builds for item in _byproducts(build)],
        },
    }
    try:
        # in-toto's own classes say whether these are the fields of SLSA's predicate.
        json_format.ParseDict(predicate, provenance_pb2.Provenance())
        made = InToto([json_format.ParseDict(item, ResourceDescriptor().pb) for item in subjects], PREDICATE, predicate)
        made.validate()
    except (ValueError, json_format.Error) as problem:
        raise AttestationError(f"this cannot be said in a statement: {problem}", fix="report this") from None
    return jsontext.write(json_format.MessageToDict(made.pb))


def readable(statement: Statement) -> bytes:
    """Write a statement, and read it again: only what can be read is signed.

    Raises: AttestationError.
    """
    payload = encode(statement)
    if decode(payload, "the statement") != statement:
        raise AttestationError("the statement would be read as another one", fix="report this")
    return payload


def _parameters(build: Build) -> dict[str, str]:
    claim = build.claim
    return {
        "cpython": claim.cpython,
        "triple": claim.triple,
        "flavour": claim.flavour,
        "llvm": claim.llvm,
        "spelling": build.spelling,
        "cflags": build.cflags,
    }


def _descriptor(name: str, *, uri: str = "", sha256: str = "", **annotations: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name}
    found |= {"uri": uri} if uri else {}
    found |= {"digest": {"sha256": sha256}} if sha256 else {}
    return found | ({"annotations": annotations} if annotations else {})


def _materials(build: Build) -> Iterator[dict[str, Any]]:
    for item in build.materials:
        yield _descriptor(f"{build.claim.place}/{item.name}", uri=item.uri, sha256=item.sha256)


def _byproducts(build: Build) -> Iterator[dict[str, Any]]:
    place = build.claim.place
    yield _descriptor(f"{place}/{_INTERFACE}", sha256=build.claim.interface)
    if build.manifest:
        yield _descriptor(f"{place}/{_MANIFEST}", sha256=build.manifest)
    if build.results:
        yield _descriptor(f"{place}/{_RESULTS}", **build.results)


def decode(payload: bytes, where: str) -> Statement:
    """Read the JSON that was signed.

    Raises: AttestationError for what is not such a statement; the message names the field.
    """
    document = jsontext.read(payload, BOUNDS, where=where, error=AttestationError)
    try:
        message = json_format.ParseDict(document, statement_pb2.Statement())
        InToto.copy_from_pb(message).validate()
        predicate = json_format.ParseDict(
            json_format.MessageToDict(message.predicate), provenance_pb2.Provenance(), max_recursion_depth=BOUNDS.depth
        )
    except (ValueError, TypeError, RecursionError, json_format.Error) as problem:
        raise AttestationError(f"not an in-toto statement with SLSA provenance: {problem}", where=where) from None
    definition, run = predicate.build_definition, predicate.run_details
    for what, found, expected in (
        ("predicateType", message.predicate_type, PREDICATE),
        ("buildType", definition.build_type, BUILD_TYPE),
    ):
        if found != expected:
            raise AttestationError(f"its {what} is {found[:80]!r}, and not {expected}", where=where, fix=_AGAIN)
    reader = _Reader(
        where=where,
        subjects=_named(message.subject, where),
        byproducts=_named(run.byproducts, where),
        materials=_named(definition.resolved_dependencies, where),
    )
    parameters = Fields(
        json_format.MessageToDict(definition.external_parameters),
        path="externalParameters",
        document=where,
        error=AttestationError,
    )
    builds = tuple(reader.build(row) for row in parameters.tables("builds"))
    parameters.done()
    places = [build.claim.place for build in builds]
    if not builds or len(set(places)) != len(places):
        raise AttestationError("it must be about at least one build, and about none twice", where=where, fix=_AGAIN)
    files = {name: reader.digest(name, item) for name, item in reader.subjects.items() if name not in places}
    return Statement(builder=run.builder.id, builds=builds, files=files)


def _named(descriptors: Any, where: str) -> dict[str, Any]:  # noqa: ANN401  # protobuf's container
    found = {item.name: item for item in descriptors}
    if len(found) != len(descriptors) or "" in found:
        raise AttestationError("a name is missing or occurs twice", where=where, fix=_AGAIN)
    return found


class _Reader:
    """The parts of one statement, by name."""

    def __init__(
        self, *, where: str, subjects: Mapping[str, Any], byproducts: Mapping[str, Any], materials: Mapping[str, Any]
    ) -> None:
        self._where = where
        self.subjects = subjects
        self._byproducts = byproducts
        self._materials = materials

    def build(self, row: Fields) -> Build:
        """Read one build: its parameters, and what the other parts say about it."""
        names = {key: row.text(key) for key in ("cpython", "triple", "llvm")}
        for key, value in names.items():
            if not _NAME.fullmatch(value):
                raise row.fail(key, f"is not a name: {value[:40]!r}")
        bare = Claim(**names, flavour=row.choice("flavour", get_args(Flavour)), content="", interface="")
        place = bare.place
        claim = Claim(
            **names,
            flavour=bare.flavour,
            content=self.digest(place, self.subjects.get(place)),
            interface=self.digest(f"{place}/{_INTERFACE}", self._byproducts.get(f"{place}/{_INTERFACE}")),
        )
        spelling, cflags = row.text("spelling"), row.text("cflags")
        row.done()
        manifest = self._byproducts.get(f"{place}/{_MANIFEST}")
        results = self._byproducts.get(f"{place}/{_RESULTS}")
        return Build(
            claim=claim,
            spelling=spelling,
            cflags=cflags,
            manifest=self.digest(f"{place}/{_MANIFEST}", manifest) if manifest else "",
            materials=tuple(
                Material(name=name.removeprefix(f"{place}/"), uri=item.uri, sha256=item.digest.get("sha256", ""))
                for name, item in self._materials.items()
                if name.startswith(f"{place}/")
            ),
            results=self._texts(f"{place}/{_RESULTS}", results) if results else {},
        )

    def digest(self, name: str, item: Any) -> str:  # noqa: ANN401  # protobuf's ResourceDescriptor
        """Return the SHA-256 of a part."""
        found = dict(item.digest) if item is not None else {}
        if set(found) != {"sha256"} or not _SHA256.fullmatch(found["sha256"]):
            raise AttestationError(
                f"it has no SHA-256, and nothing else, of {name[:120]!r}", where=self._where, fix=_AGAIN
            )
        return str(found["sha256"])

    def _texts(self, name: str, item: Any) -> dict[str, str]:  # noqa: ANN401  # protobuf's ResourceDescriptor
        table = {name: json_format.MessageToDict(item.annotations)}
        return Fields(table, path="byproducts", document=self._where, error=AttestationError).mapping(name)
