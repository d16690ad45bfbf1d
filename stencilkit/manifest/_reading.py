"""TOML -> a manifest, if it is one that stencilkit wrote.

Refuses unknown fields, other schemas and digests that do not fit the rest, and names the path to the bad field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from stencilkit.errors import ManifestError
from stencilkit.manifest import _layout
from stencilkit.manifest._describing import content_digest
from stencilkit.manifest._writing import SCHEMA, SEAL, render
from stencilkit.model.build import Driver, FileOrigin, HeaderOrigin, IncludedFile
from stencilkit.model.cc1 import Cpu
from stencilkit.model.layout import Layout
from stencilkit.model.manifest import (
    Deviation,
    FileRecord,
    FileRole,
    FlagRecord,
    Manifest,
    Provenance,
    StencilRecord,
    ToolchainRecord,
    Use,
    UsedFile,
    VariantRecord,
)
from stencilkit.model.novelty import Difference, Weight
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.source import ReleaseSignature
from stencilkit.model.target import Flavour
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.support import limits
from stencilkit.support.fields import Fields, document, top

_FILE_NAME: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_TREE_NAME: Final = re.compile(r"(?!\.\.?(?:/|$)|.*/\.\.?(?:/|$))[^/\\\0\n]+(?:/[^/\\\0\n]+)*")
_FEATURE: Final = re.compile(r"[+-][\w.-]+")
_STENCIL: Final = re.compile(
    r"(?P<content>[0-9a-f]{64}) (?P<code>[0-9]{1,18}) (?P<data>[0-9]{1,18}) (?P<holes>[0-9]{1,18})"
)


@limits.bounded(ManifestError)
def parse(text: str, where: str) -> Manifest:
    """Read a manifest; `where` is the file's name, for messages.

    Raises: ManifestError with the path to the bad field; with that of the seal, if each field alone is good.
    """
    root = document(text, name=where, schema=SCHEMA, error=ManifestError, line_ends=False)
    manifest = _manifest(root, sealed=True)
    root.done()
    _check_sums(manifest, root)
    lookups = len(manifest.flags) * sum(file.name.count("/") + 1 for file in manifest.includes)
    if lookups > limits.LOOKUPS:
        raise root.fail("include", f"there are {lookups} places to look for these files: no build has so many")
    if render(manifest) != text:
        raise ManifestError(
            "the seal does not fit, or this is not how stencilkit writes a manifest: it was changed",
            where=f"{where}: provenance.{SEAL}",
            fix="build it again, or restore it from where it came from",
        )
    return manifest


@limits.bounded(ManifestError)
def read(table: Mapping[str, Any], where: str) -> Manifest:
    """Read the tables of a manifest without a seal, as `document` spells them.

    Raises: ManifestError.
    """
    return _manifest(top(table, name=where, schema=SCHEMA, error=ManifestError), sealed=False)


def _manifest(root: Fields, *, sealed: bool) -> Manifest:
    artifact, build, pyconfig = root.table("artifact"), root.table("build"), root.table("pyconfig")
    toolchain = root.table("toolchain")
    provisional_llvm = toolchain.text("provisional", "")
    manifest = Manifest(
        cpython=artifact.text("cpython"),
        triple=artifact.text("triple"),
        spelling=artifact.text("spelling"),
        flavour=artifact.choice("flavour", get_args(Flavour)),
        input_digest=artifact.sha256("input-digest"),
        content_digest=artifact.sha256("content-digest"),
        interface_digest=artifact.sha256("interface-digest"),
        extras=_digests(root, "extras"),
        files=tuple(_file(row) for row in root.tables("file")),
        toolchain=_toolchain(toolchain),
        driver=build.choice("driver", get_args(Driver)),
        headers=build.choice("headers", get_args(HeaderOrigin)),
        cpu=next((_cpu(row) for row in root.optional("cpu")), None),
        cflags=build.text("cflags"),
        deviations=tuple(_deviation(row) for row in build.tables("deviation")),
        variants=tuple(_variant(row) for row in build.tables("variant", [])),
        flags=tuple(_flag(row) for row in build.tables("flag")),
        includes=tuple(_includes(root)),
        pyconfig_sha256=pyconfig.sha256("sha256"),
        used=tuple(_used(row) for row in root.tables("used")),
        visible=VisibleConfig(
            macros=pyconfig.mapping("macros"),
            undefined=pyconfig.texts("undefined"),
            guarded=pyconfig.texts("guarded"),
            hidden=pyconfig.texts("hidden"),
        ),
        foreign_words=tuple(pyconfig.text("foreign-words").split()),
        stencils=tuple(_stencil(root, name, row) for name, row in root.mapping("stencil").items()),
        provenance=_provenance(root.table("provenance"), sealed=sealed),
        provisional=artifact.text("provisional", ""),
        provisional_llvm=provisional_llvm,
        differences=tuple(_difference(row) for row in build.tables("difference", [])),
        source=_source(root.table("source")) if root.has("source") else None,
        hardened=build.boolean("hardened", False),  # noqa: FBT003  # the default
        layout=next((_layout.read(row) for row in root.optional("layout")), None),
    )
    for key, value in (
        ("stencils", len(manifest.stencils)),
        ("code-bytes", manifest.code_bytes),
        ("data-bytes", manifest.data_bytes),
    ):
        if artifact.integer(key) != value:
            raise artifact.fail(key, f"says {artifact.integer(key)}, but the stencils listed add up to {value}")
    for table in (artifact, build, pyconfig):
        table.done()
    return manifest


def _check_sums(manifest: Manifest, root: Fields) -> None:
    if not manifest.stencils:
        raise root.fail("stencil", "a manifest without stencils describes nothing")
    if PythonVersion.parse(manifest.cpython) is None:
        raise root.fail("artifact.cpython", f"is not a CPython version: {manifest.cpython[:40]!r}")
    roles = [file.role for file in manifest.files]
    if "stencils" not in roles or len(set(roles)) != len(roles):
        raise root.fail("file", "must have one of the role stencils, and no role twice")
    names = [stencil.name for stencil in manifest.stencils]
    if names != sorted(names):
        raise root.fail("stencil", "must be in name order")
    included = {file.name: file.sha256 for file in manifest.includes if file.origin == "tree"}
    for file in manifest.used:
        if included.get(file.name, file.sha256) != file.sha256:
            raise root.fail("used", f"{file.name} has another digest than among the included files")
    if content_digest(manifest.stencils, manifest.extras) != manifest.content_digest:
        raise root.fail("artifact.content-digest", "does not follow from the digests of the stencils")


def _digests(row: Fields, key: str, *default: dict[str, str]) -> dict[str, str]:
    values = row.mapping(key, *default)
    for name, value in values.items():
        row.as_sha256(f"{key}.{name}", value)
    return values


def _path(row: Fields, key: str, value: str) -> str:
    if len(value) > limits.PATH or not value.isprintable() or not _TREE_NAME.fullmatch(value):
        raise row.fail(key, f"is not a path below a folder: {value!r}")
    return value


def _toolchain(row: Fields) -> ToolchainRecord:
    version = row.text("version")
    if LlvmVersion.parse(version) is None:
        raise row.fail("version", f"is not an exact LLVM version: {version[:40]!r}")
    record = ToolchainRecord(
        version=version,
        vendor=row.text("vendor"),
        program=row.sha256("program"),
        libraries=_digests(row, "libraries"),
    )
    row.done()
    return record


def _cpu(row: Fields) -> Cpu:
    found = Cpu(name=row.text("name"), tune=row.text("tune"), features=row.texts("features"), abi=row.text("abi"))
    row.done()
    for feature in found.features:
        if not _FEATURE.fullmatch(feature):
            raise row.fail("features", f"must be of the form +avx2 or -avx2, not {feature[:40]!r}")
    return found


def _source(row: Fields) -> ReleaseSignature:
    record = ReleaseSignature(
        tarball=row.text("tarball"),
        sha256=row.sha256("sha256"),
        identity=row.text("identity"),
        issuer=row.text("issuer"),
    )
    row.done()
    if not _FILE_NAME.fullmatch(record.tarball):
        raise row.fail("tarball", f"is not the name of a file: {record.tarball[:80]!r}")
    return record


def _file(row: Fields) -> FileRecord:
    record = FileRecord(role=row.choice("role", get_args(FileRole)), name=row.text("name"), sha256=row.sha256("sha256"))
    row.done()
    if not _FILE_NAME.fullmatch(record.name):
        raise row.fail("name", f"is not the name of a file: {record.name!r}")
    return record


def _deviation(row: Fields) -> Deviation:
    record = Deviation(what=row.text("what"), why=row.text("why"), cost=row.text("cost"))
    row.done()
    return record


def _difference(row: Fields) -> Difference:
    found = Difference(what=row.text("what"), weight=row.choice("weight", get_args(Weight)), why=row.text("why"))
    row.done()
    return found


def _variant(row: Fields) -> VariantRecord:
    record = VariantRecord(name=row.text("name"), why=row.text("why"))
    row.done()
    return record


def _flag(row: Fields) -> FlagRecord:
    record = FlagRecord(flag=row.text("flag"), why=row.text("why"))
    row.done()
    return record


def _includes(root: Fields) -> Iterator[IncludedFile]:
    table = root.table("include")
    for origin in sorted(get_args(FileOrigin)):
        for name, sha256 in _digests(table, origin, {}).items():
            yield IncludedFile(origin=origin, name=_path(table, origin, name), sha256=sha256)
    table.done()


def _used(row: Fields) -> UsedFile:
    record = UsedFile(
        use=row.choice("use", get_args(Use)), name=_path(row, "name", row.text("name")), sha256=row.sha256("sha256")
    )
    row.done()
    return record


def _stencil(root: Fields, name: str, row: str) -> StencilRecord:
    match = _STENCIL.fullmatch(row)
    if match is None:
        raise root.fail(f"stencil.{name}", f"is not a SHA-256 and three numbers: {row!r}")
    code, data, holes = map(int, match.group("code", "data", "holes"))
    return StencilRecord(name=name, content=match["content"], code=code, data=data, holes=holes)


def _provenance(row: Fields, *, sealed: bool) -> Provenance:
    record = Provenance(
        stencilkit=row.text("stencilkit"),
        host=row.text("host"),
        time=row.text("time"),
        command=row.texts("command"),
        source=row.text("source", ""),
    )
    if sealed:
        row.sha256(SEAL)
    row.done()
    return record


def parse_layout(text: str) -> Layout:
    """Read it back.

    Raises: ManifestError.
    """
    root = document(text, name="layout", schema=SCHEMA, error=ManifestError, line_ends=False)
    return _layout.read(root.table("layout"))
