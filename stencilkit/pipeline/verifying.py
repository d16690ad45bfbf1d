"""From a header or an output folder to a verdict: is it what it claims, and does it fit a tree? No compiler needed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from stencilkit import configure, dialects, ledger, manifest, reader, targets, verify
from stencilkit.errors import HeaderError, ManifestError, ObjectError, SourceError, StencilkitError, TargetError
from stencilkit.model import digest
from stencilkit.model.header import ReadHeader
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME, FileRole, Manifest, Summary
from stencilkit.model.source import SourceTree
from stencilkit.model.target import TargetRequest
from stencilkit.model.verdict import Check, Policy, TreeFacts, Verdict
from stencilkit.pipeline import _extras, _fit, _rebuild, _texts, opening
from stencilkit.support import environ
from stencilkit.support.cache import NoStore, Store

_GENERATOR: Final = r"stencilkit [0-9A-Za-z.+]{1,40}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be verified: a header or an output folder, and what it is held against.

    `manifest` is a file; None takes the one that lies there. `tree` and `pyconfig` (the folder of pyconfig.h) belong
    together. `rebuild` says with which LLVM to build again from that tree ("" is the recorded one, None is not at all).
    """

    path: Path
    manifest: Path | None = None
    tree: SourceTree | None = None
    pyconfig: Path | None = None
    ledger: Path | None = None
    rebuild: str | None = None
    store: Store = field(default_factory=NoStore)
    policy: Policy = verify.DEFAULT_POLICY


def run(subject: Subject) -> Verdict:
    """Verify one header with all that lies beside it.

    What is wrong with the header or its manifest is in the verdict.

    Raises: StencilkitError where something needed is missing.
    """
    checks: list[Check] = []
    described = _manifest(subject, checks)
    path = opening.header_of(subject.path, described)
    if subject.path.is_dir() and not path.is_file():
        checks.append(
            Check(kind="manifest", status="failed", what=f"{path.name}, which the manifest names, is missing")
        )
        return verify.conclude(str(subject.path), checks, {}, subject.policy, "")
    original = path.read_bytes()
    header = _read(original, path, checks)
    if header is None:
        return verify.conclude(str(subject.path), checks, {}, subject.policy, "")
    arch = opening.request_of(described).target.arch if described else ""
    checks.append(_canonical(original, header, arch))
    if described is None:
        digests = _digests(header, None)
        return verify.conclude(str(subject.path), checks, digests, subject.policy, "")
    found = _Found(path=path, original=original, header=header, described=described)
    facts = _facts(subject, described, header)
    summary = _check_files(subject, found, facts, checks)
    checks += _check_against(subject, found, facts, summary)
    if subject.rebuild is not None and subject.tree is not None and not any(item.status == "failed" for item in checks):
        # Of a tree that it does not fit, something else would come.
        folder = _config_folder(subject, subject.tree, described)
        second = _rebuild.again(described, subject.tree, folder, subject.rebuild, subject.store)
        checks.append(verify.rebuilt(summary, second))
    checks += verify.obey(subject.policy, described)
    digests = {**_digests(header, described), "content": summary.content}
    return verify.conclude(str(subject.path), checks, digests, subject.policy, facts.stamp if facts else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A header that was read, its bytes, and the manifest that speaks of it."""

    path: Path
    original: bytes
    header: ReadHeader
    described: Manifest


def _check_files(subject: Subject, found: _Found, facts: TreeFacts | None, checks: list[Check]) -> Summary:
    """Hold the header and what lies beside it against the manifest; return the digests of what is there."""
    header, described = found.header, found.described
    # The dispatchers of a universal platform's folder are those of neither half.
    shared = opening.manifest_of(found.path).name != MANIFEST_NAME
    beside = _beside(found.path, described, frozenset(_texts.DISPATCHERS) if shared else frozenset())
    extras, known = _known_extras(beside, described, checks)
    summary = manifest.summarise(header.stencils, known)
    checks += verify.claims(header, summary, described)
    checks.append(verify.line_1(header, described, facts))
    hashes: dict[str, str | None] = {}
    if subject.path.is_dir():
        # In an output folder, every file must be there.
        hashes = {record.name: None for record in described.files}
    hashes |= _hashes({found.path.name: found.original, **beside}, header, described)
    checks.append(verify.written_files(hashes, described))
    checks += _small_files(beside, header, described, extras)
    checks += _shared_dispatchers(found.path.parent, header, described) if shared else ()
    return summary


def _check_against(subject: Subject, found: _Found, facts: TreeFacts | None, summary: Summary) -> Iterator[Check]:
    """Hold it against the tree and the ledger that were named."""
    if facts is not None:
        yield from verify.fits(found.header, found.described, facts)
    if subject.ledger is not None:
        entry = _entry(found.described, summary)
        yield from ledger.check(entry, ledger.find(subject.ledger, found.described))


def _entry(described: Manifest, summary: Summary) -> Entry:
    """Say what was found, in the words of the ledger: digests of the header, not of its manifest."""
    return Entry.of(
        replace(
            described,
            content_digest=summary.content,
            interface_digest=summary.interface,
            stencils=summary.stencils,
            extras=summary.extras,
        )
    )


def _manifest(subject: Subject, checks: list[Check]) -> Manifest | None:
    """Read the manifest that was named, or that of the folder."""
    path = subject.manifest
    if path is None:
        path = opening.manifest_of(subject.path)
        if not path.is_file():
            return None
    try:
        described = opening.read_manifest(path.read_text("utf-8"), str(path))
    except (ManifestError, SourceError, TargetError, UnicodeDecodeError) as error:
        what = error.as_text() if isinstance(error, StencilkitError) else f"{path} is not text"
        checks.append(Check(kind="manifest", status="failed", what="the manifest is invalid", details=(what,)))
        return None
    if subject.manifest is None and subject.path.is_file() and described.file("stencils").name != subject.path.name:
        # It lies there, but speaks of another header.
        return None
    return described


def _read(original: bytes, path: Path, checks: list[Check]) -> ReadHeader | None:
    try:
        return reader.read(original.decode("ascii"), dialects.header_forms(), path.name)
    except UnicodeDecodeError as error:
        line = original.count(b"\n", 0, error.start) + 1
        details: tuple[str, ...] = (f"line {line} has non-ASCII bytes",)
    except HeaderError as error:
        details = (error.what, error.where)
    checks.append(
        Check(kind="canonical", status="failed", what="it is not what a stencil generator writes", details=details)
    )
    return None


def _canonical(original: bytes, header: ReadHeader, arch: str) -> Check:
    dialect = dialects.dialect_for(header.form.series)
    rendered = _texts.render_header(
        dialect,
        arch,
        header.stencils,
        line1=header.line1,
        line2=header.line2,
        # Only with --comments does a build write any; they must be the disassembly of these stencils.
        comments=bool(header.comments and arch),
    )
    return verify.canonical(original, rendered, header)


def _digests(header: ReadHeader, described: Manifest | None) -> dict[str, str]:
    """Tell what a header says of itself; its content is known where nothing that counts lies beside it."""
    digests = {
        "input": header.line1,
        "provenance": header.line2,
        "interface": digest.interface_digest(header.stencils),
    }
    if described is None and not dialects.dialect_for(header.form.series).EXTRAS:
        digests["content"] = manifest.summarise(header.stencils, {}).content
    return digests


def _beside(header: Path, described: Manifest, without: Collection[FileRole]) -> dict[str, bytes]:
    """Read the other files of the manifest that are there."""
    found = {}
    for record in described.files:
        path = header.with_name(record.name)
        if path != header and path.is_file() and record.role not in without:
            found[record.name] = path.read_bytes()
    return found


def _known_extras(
    beside: Mapping[str, bytes], described: Manifest, checks: list[Check]
) -> tuple[_extras.Extras | None, Mapping[str, str]]:
    """Digest the shim that is there; else believe the manifest, and say so."""
    record = next((record for record in described.files if record.role == "shim"), None)
    if record is None:
        return None, {}
    if record.name not in beside:
        what = f"{record.name} is not here, and was not checked"
        checks.append(Check(kind="manifest", status="noted", what=what))
        return None, described.extras
    try:
        extras = _extras.derive(opening.request_of(described).target, beside[record.name])
    except ObjectError as error:
        what = f"{record.name} is not the shim's object"
        checks.append(Check(kind="manifest", status="failed", what=what, details=(error.as_text(),)))
        return None, {}
    return extras, extras.digests


def _hashes(contents: Mapping[str, bytes], header: ReadHeader, described: Manifest) -> dict[str, str]:
    """Digest the files as they were before line 1 was restamped."""
    stamped, original = f"// {header.line1}\n".encode(), f"// {described.input_digest}\n".encode()
    return {
        name: hashlib.sha256(
            original + data[len(stamped) :] if data.startswith(stamped) else data,
        ).hexdigest()
        for name, data in contents.items()
    }


def _small_files(
    beside: Mapping[str, bytes], header: ReadHeader, described: Manifest, extras: _extras.Extras | None
) -> Iterator[Check]:
    """Check the texts beside the header of one target against what stencilkit writes."""
    dispatchers = {}
    for record in described.files:
        data = beside.get(record.name)
        if data is not None and record.role in _texts.DISPATCHERS:
            dispatchers[record.name] = data
        elif data is not None and record.role == "unwind" and extras is not None:
            yield from verify.small_file(record.name, data, extras.files(header.line1, header.line2)["unwind"])
    yield from _dispatchers(dispatchers, header, [opening.request_of(described)])


def _shared_dispatchers(folder: Path, header: ReadHeader, described: Manifest) -> Iterator[Check]:
    """Check the dispatchers that are there against what both halves of a universal platform want."""
    platform = opening.request_of(described).target.universal
    halves = targets.resolve_all(targets.load(), platform, header.form.series) if platform else ()
    names = _texts.dispatchers(dialects.dialect_for(header.form.series), halves)
    found = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    yield from _dispatchers(found, header, halves)


def _dispatchers(found: Mapping[str, bytes], header: ReadHeader, requests: Sequence[TargetRequest]) -> Iterator[Check]:
    """Render dispatchers again, as the version of stencilkit that they name."""
    dialect = dialects.dialect_for(header.form.series)
    for name, data in found.items():
        generator = data.partition(b"\n")[0].decode("ascii", "replace").removeprefix("// ")
        known = re.fullmatch(_GENERATOR, generator)
        rendered = _texts.dispatchers(dialect, requests, generator).get(name) if known else None
        yield from verify.small_file(name, data, rendered)


def _facts(subject: Subject, described: Manifest, header: ReadHeader) -> TreeFacts | None:
    if subject.tree is None:
        return None
    folder = _config_folder(subject, subject.tree, described)
    functions = frozenset(patch.func for group in header.stencils.groups for patch in group.patches if patch.func)
    return _fit.compare(subject.tree, folder, described, functions)


def _config_folder(subject: Subject, tree: SourceTree, described: Manifest) -> Path:
    """Name the folder of pyconfig.h: the user's, the tree of an in-tree build, or where Windows' own one is."""
    if subject.pyconfig is not None:
        return subject.pyconfig
    target = opening.request_of(described).target
    return configure.from_tree(tree, target, environ.cache_root()).folder if target.pyconfig == "tree" else tree.root
