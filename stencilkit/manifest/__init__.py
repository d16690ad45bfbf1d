"""manifest.toml: what went in, what came out, every digest; and reading it back.

Reading refuses unknown fields, other schemas and digests that do not fit the rest, and names the path to the bad
field.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import tomli_w

from stencilkit import __version__
from stencilkit.errors import ManifestError
from stencilkit.manifest import _layout
from stencilkit.model import digest
from stencilkit.model.build import Closure, Driver, FileOrigin, HeaderOrigin, IncludedFile, Plan
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
    Summary,
    ToolchainRecord,
    Use,
    UsedFile,
    VariantRecord,
)
from stencilkit.model.novelty import Difference, Weight
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.request import BuildRequest
from stencilkit.model.source import ReleaseSignature, Variant
from stencilkit.model.stencil import StencilSet
from stencilkit.model.target import Flavour
from stencilkit.model.toolchain import Identity
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.support import environ, limits
from stencilkit.support.fields import Fields, document

SCHEMA: Final = 1
_FILE_NAME: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_TREE_NAME: Final = re.compile(r"(?!\.\.?(?:/|$)|.*/\.\.?(?:/|$))[^/\\\0\n]+(?:/[^/\\\0\n]+)*")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_FEATURE: Final = re.compile(r"[+-][\w.-]+")
_STENCIL: Final = re.compile(
    r"(?P<content>[0-9a-f]{64}) (?P<code>[0-9]{1,18}) (?P<data>[0-9]{1,18}) (?P<holes>[0-9]{1,18})"
)
# The last field of the last table, [provenance]:
_SEAL: Final = "seal"


def summarise(stencils: StencilSet, extras: Mapping[str, str]) -> Summary:
    """Digest every stencil group, in name order, and all of them together."""
    records = tuple(
        StencilRecord(
            name=group.name,
            content=digest.group_digest(group),
            code=len(group.code.body),
            data=len(group.data.body),
            holes=group.hole_count,
        )
        for group in sorted(stencils.groups, key=lambda group: group.name)
    )
    return Summary(
        stencils=records,
        extras=dict(sorted(extras.items())),
        content=content_digest(records, extras),
        interface=digest.interface_digest(stencils),
    )


def content_digest(stencils: tuple[StencilRecord, ...], extras: Mapping[str, str]) -> str:
    """Combine the stencils' digests."""
    return digest.content_digest({stencil.name: stencil.content for stencil in stencils}, extras)


def describe(  # noqa: PLR0913  # a manifest says everything
    request: BuildRequest,
    plan: Plan,
    closure: Closure,
    identity: Identity,
    *,
    driver: Driver,
    cpu: Cpu,
    more_deviations: tuple[Deviation, ...],
    input_digest: str,
    summary: Summary,
    visible: VisibleConfig,
    foreign_words: frozenset[str],
    used: tuple[UsedFile, ...],
    layout: Layout | None,
    variants: tuple[Variant, ...],
    files: Mapping[FileRole, tuple[str, bytes]],
) -> Manifest:
    """Say what went into a build and what came out.

    `files` maps a role to name and content.
    """
    flags = plan.used_flags()
    provisional, newest = request.tree.provisional, request.tree.python.support.newest_checked
    return Manifest(
        cpython=str(request.tree.version),
        triple=request.target.triple,
        spelling=request.asked.spelling,
        flavour=request.flavour,
        input_digest=input_digest,
        content_digest=summary.content,
        interface_digest=summary.interface,
        extras=summary.extras,
        files=tuple(
            FileRecord(role=role, name=name, sha256=hashlib.sha256(data).hexdigest())
            for role, (name, data) in files.items()
        ),
        toolchain=ToolchainRecord(
            version=str(request.toolchain.version),
            vendor=request.toolchain.vendor,
            program=identity.program,
            libraries=identity.libraries,
        ),
        driver=driver,
        cpu=cpu,
        headers=request.headers.origin,
        cflags=request.cflags,
        deviations=(
            *(Deviation(what=flag.text, why=flag.deviates, cost=flag.cost) for flag in flags if flag.deviates),
            *(Deviation(what=known.what, why=known.why, cost=known.cost) for known in plan.deviations),
            *more_deviations,
        ),
        variants=tuple(VariantRecord(name=variant.name, why=variant.why) for variant in variants),
        flags=tuple(FlagRecord(flag=flag.text, why=flag.why) for flag in flags),
        includes=closure.files,
        used=used,
        pyconfig_sha256=hashlib.sha256(request.pyconfig.content).hexdigest(),
        visible=visible,
        foreign_words=tuple(sorted(foreign_words)),
        stencils=summary.stencils,
        provenance=_provenance_now(request.tree.vouched),
        source=request.tree.signature,
        layout=layout,
        hardened=request.hardened,
        provisional=provisional.series if provisional else "",
        provisional_llvm=str(newest) if newest is not None and request.toolchain.version.major > newest else "",
        differences=provisional.differences if provisional else (),
    )


def _provenance_now(vouched: str) -> Provenance:
    return Provenance(
        stencilkit=__version__,
        host=environ.host(),
        time=environ.source_date(),
        command=environ.command_line(),
        source=vouched,
    )


def render(manifest: Manifest) -> str:
    """Write a manifest as TOML, sealed with a digest of the rest, so that no field changes unnoticed.

    The seal is not a signature: who can write the file can write another seal.
    """
    plain = tomli_w.dumps(_document(manifest))
    return f'{plain}{_SEAL} = "{hashlib.sha256(plain.encode()).hexdigest()}"\n'


def _document(manifest: Manifest) -> dict[str, Any]:
    # Only where it was verified: other manifests have no such table.
    source = {"source": dataclasses.asdict(manifest.source)} if manifest.source else {}
    return {
        "schema": SCHEMA,
        "artifact": {
            "cpython": manifest.cpython,
            **({"provisional": manifest.provisional} if manifest.provisional else {}),
            "triple": manifest.triple,
            "spelling": manifest.spelling,
            "flavour": manifest.flavour,
            "input-digest": manifest.input_digest,
            "content-digest": manifest.content_digest,
            "interface-digest": manifest.interface_digest,
            "stencils": len(manifest.stencils),
            "code-bytes": manifest.code_bytes,
            "data-bytes": manifest.data_bytes,
        },
        **source,
        "extras": dict(manifest.extras),
        "file": [{"role": item.role, "name": item.name, "sha256": item.sha256} for item in manifest.files],
        "toolchain": {
            "version": manifest.toolchain.version,
            **({"provisional": manifest.provisional_llvm} if manifest.provisional_llvm else {}),
            "vendor": manifest.toolchain.vendor,
            "program": manifest.toolchain.program,
            "libraries": dict(manifest.toolchain.libraries),
        },
        **({"cpu": _cpu_document(manifest.cpu)} if manifest.cpu else {}),
        "build": {
            "driver": manifest.driver,
            "headers": manifest.headers,
            "cflags": manifest.cflags,
            **({"hardened": True} if manifest.hardened else {}),
            "deviation": [{"what": item.what, "why": item.why, "cost": item.cost} for item in manifest.deviations],
            # Most releases have none, and their manifests stay as they were.
            **(
                {"variant": [{"name": item.name, "why": item.why} for item in manifest.variants]}
                if manifest.variants
                else {}
            ),
            **(
                {"difference": [dataclasses.asdict(item) for item in manifest.differences]}
                if manifest.differences
                else {}
            ),
            "flag": [{"flag": item.flag, "why": item.why} for item in manifest.flags],
        },
        "pyconfig": {
            "sha256": manifest.pyconfig_sha256,
            "undefined": list(manifest.visible.undefined),
            "guarded": list(manifest.visible.guarded),
            "hidden": list(manifest.visible.hidden),
            "foreign-words": " ".join(manifest.foreign_words),
            "macros": dict(manifest.visible.macros),
        },
        "used": [{"use": item.use, "name": item.name, "sha256": item.sha256} for item in manifest.used],
        # Hundreds of each: one line, and not a table of its own, takes a third of the time to read.
        "include": {
            origin: {item.name: item.sha256 for item in manifest.includes if item.origin == origin}
            for origin in dict.fromkeys(item.origin for item in manifest.includes)
        },
        # Manifests of stencilkit 0.1.0 have none.
        **({"layout": _layout.document(manifest.layout)} if manifest.layout else {}),
        "stencil": {item.name: f"{item.content} {item.code} {item.data} {item.holes}" for item in manifest.stencils},
        "provenance": {
            "stencilkit": manifest.provenance.stencilkit,
            "host": manifest.provenance.host,
            "time": manifest.provenance.time,
            "command": list(manifest.provenance.command),
            **({"source": manifest.provenance.source} if manifest.provenance.source else {}),
        },
    }


def _cpu_document(cpu: Cpu) -> dict[str, Any]:
    return {"name": cpu.name, "tune": cpu.tune, "features": list(cpu.features), "abi": cpu.abi}


def render_layout(layout: Layout) -> str:
    """Write a layout alone as TOML, for the cache."""
    return tomli_w.dumps({"schema": SCHEMA, "layout": _layout.document(layout)})


def parse_layout(text: str) -> Layout:
    """Read it back.

    Raises: ManifestError.
    """
    root = document(text, name="layout", schema=SCHEMA, error=ManifestError, line_ends=False)
    return _layout.read(root.table("layout"))


@limits.bounded(ManifestError)
def parse(text: str, where: str) -> Manifest:
    """Read a manifest; `where` is the file's name, for messages.

    Raises: ManifestError with the path to the bad field; with that of the seal, if each field alone is good.
    """
    root = document(text, name=where, schema=SCHEMA, error=ManifestError, line_ends=False)
    manifest = _manifest(root)
    root.done()
    _check_sums(manifest, root)
    lookups = len(manifest.flags) * sum(file.name.count("/") + 1 for file in manifest.includes)
    if lookups > limits.LOOKUPS:
        raise root.fail("include", f"there are {lookups} places to look for these files: no build has so many")
    if render(manifest) != text:
        raise ManifestError(
            "the seal does not fit, or this is not how stencilkit writes a manifest: it was changed",
            where=f"{where}: provenance.{_SEAL}",
            fix="build it again, or restore it from where it came from",
        )
    return manifest


def _manifest(root: Fields) -> Manifest:
    artifact, build, pyconfig = root.table("artifact"), root.table("build"), root.table("pyconfig")
    toolchain = root.table("toolchain")
    provisional_llvm = toolchain.text("provisional", "")
    manifest = Manifest(
        cpython=artifact.text("cpython"),
        triple=artifact.text("triple"),
        spelling=artifact.text("spelling"),
        flavour=artifact.choice("flavour", get_args(Flavour)),
        input_digest=_sha256(artifact, "input-digest"),
        content_digest=_sha256(artifact, "content-digest"),
        interface_digest=_sha256(artifact, "interface-digest"),
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
        pyconfig_sha256=_sha256(pyconfig, "sha256"),
        used=tuple(_used(row) for row in root.tables("used")),
        visible=VisibleConfig(
            macros=pyconfig.mapping("macros"),
            undefined=pyconfig.texts("undefined"),
            guarded=pyconfig.texts("guarded"),
            hidden=pyconfig.texts("hidden"),
        ),
        foreign_words=tuple(pyconfig.text("foreign-words").split()),
        stencils=tuple(_stencil(root, name, row) for name, row in root.mapping("stencil").items()),
        provenance=_provenance(root.table("provenance")),
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


def _sha256(row: Fields, key: str) -> str:
    value = row.text(key)
    if not _SHA256.fullmatch(value):
        raise row.fail(key, f"not a SHA-256 in lower-case hex: {value!r}")
    return value


def _digests(row: Fields, key: str, *default: dict[str, str]) -> dict[str, str]:
    values = row.mapping(key, *default)
    for name, value in values.items():
        if not _SHA256.fullmatch(value):
            raise row.fail(f"{key}.{name}", f"not a SHA-256 in lower-case hex: {value!r}")
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
        program=_sha256(row, "program"),
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
        sha256=_sha256(row, "sha256"),
        identity=row.text("identity"),
        issuer=row.text("issuer"),
    )
    row.done()
    if not _FILE_NAME.fullmatch(record.tarball):
        raise row.fail("tarball", f"is not the name of a file: {record.tarball[:80]!r}")
    return record


def _file(row: Fields) -> FileRecord:
    record = FileRecord(
        role=row.choice("role", get_args(FileRole)), name=row.text("name"), sha256=_sha256(row, "sha256")
    )
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
        use=row.choice("use", get_args(Use)), name=_path(row, "name", row.text("name")), sha256=_sha256(row, "sha256")
    )
    row.done()
    return record


def _stencil(root: Fields, name: str, row: str) -> StencilRecord:
    match = _STENCIL.fullmatch(row)
    if match is None:
        raise root.fail(f"stencil.{name}", f"is not a SHA-256 and three numbers: {row!r}")
    code, data, holes = map(int, match.group("code", "data", "holes"))
    return StencilRecord(name=name, content=match["content"], code=code, data=data, holes=holes)


def _provenance(row: Fields) -> Provenance:
    record = Provenance(
        stencilkit=row.text("stencilkit"),
        host=row.text("host"),
        time=row.text("time"),
        command=row.texts("command"),
        source=row.text("source", ""),
    )
    _sha256(row, _SEAL)
    row.done()
    return record
