"""Output folders, and bundles of them: what is where in a bundle, and how it is read back.

A bundle is a tar whose files are in Tools/jit/stencils/, as PEP 774 wants it: <triple>.h for the release flavour of the
LLVM that is the default, debug/ below for the other flavour, llvm-<version>/ below for other LLVMs. Beside each header
are the other files of that build and its manifest; SHA256SUMS and BUILDINFO are about all of them.

Refuses files that are not what their manifest or SHA256SUMS says, and files that neither names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import HALVES, MANIFEST_NAME, FileRole, Manifest
from stencilkit.model.target import Kind
from stencilkit.support import files, limits

ROOT: Final = PurePosixPath("Tools/jit/stencils")
SUMS: Final = str(ROOT / "SHA256SUMS")
BUILDINFO: Final = str(ROOT / "BUILDINFO")
# A header has 0.4 to 1 MB, 3.15 five files; a hundred builds of one CPython are more than there are.
_MEMBERS: Final = 1_000
_BYTES: Final = 512 << 20
SUFFIXES: Final[Mapping[FileRole, str]] = {
    "stencils": ".h",
    "dispatcher": ".dispatcher.h",
    "shim": ".shim.o",
    "unwind": ".unwind.h",
    "unwind-dispatcher": ".unwind-dispatcher.h",
}
# PEP 774 has a place for the release flavour alone.
_KINDS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "release": (),
    "debug": ("debug",),
    "release-hardened": ("hardened",),
    "debug-hardened": ("hardened", "debug"),
}
_LINE_1: Final = re.compile(rb"// [0-9a-f]{64}\n")
_CHECKSUMS: Final = "Checksums-Sha256:\n"
_PACKED_BY: Final = re.compile(r"^Packed-By: (stencilkit [0-9A-Za-z.+]{1,40})$", re.MULTILINE)
_MANIFEST_SUFFIX: Final = ".manifest.toml"
# Fedora's sources carry these names (SPECS/python3.15.spec); theirs has the header alone.
_FEDORA_FLAVOURS: Final = {"release": "optimized", "debug": "debug"}
_FEDORA_NAMES: Final[Mapping[FileRole, str]] = {
    "stencils": "jit_stencils.h",
    "shim": "jit_shim.o",
    "unwind": "jit_unwind_info.h",
}


def manifests(root: Path) -> tuple[Path, ...]:
    """Find every manifest below a folder, in path order.

    Raises: BundleError if there is none.
    """
    found = tuple(path for path in files.walk(root) if path.name == MANIFEST_NAME or fnmatchcase(path.name, HALVES))
    if not found:
        raise BundleError(
            f"{root} has no output folder of stencilkit build in it",
            fix=f"give a folder with {MANIFEST_NAME}, or one above such folders",
        )
    return found


def load(folder: Path, manifest: Manifest, text: bytes, own: Mapping[str, bytes]) -> Artifact:
    """Read the files that a manifest names out of a folder; `own` stand in for those that a half shares there.

    Raises: BundleError for one that is missing or has another digest.
    """
    names = {record.name: folder / record.name for record in manifest.files}
    contents = {
        name: files.read_bytes(path, error=BundleError, limit=limits.OUTPUT)
        for name, path in names.items()
        if path.is_file()
    } | dict(own)
    return _checked(str(folder), manifest, text, {r.role: (r.name, contents.get(r.name)) for r in manifest.files})


def _checked(
    where: str, manifest: Manifest, text: bytes, found: Mapping[FileRole, tuple[str, bytes | None]]
) -> Artifact:
    contents: dict[FileRole, bytes] = {}
    for record in manifest.files:
        name, data = found[record.role]
        if data is None:
            raise BundleError(f"{name} is missing", where=where, fix="build again, or get all of it again")
        # `pack --stamp` and `install` put another build's input digest on line 1; what was built had the manifest's.
        contents[record.role] = restamped(data, manifest.input_digest)
        if _sha256(contents[record.role]) != record.sha256:
            raise BundleError(f"{name} is not what its manifest says", where=where, fix="build again, or get it again")
    return Artifact(where=where, manifest=manifest, manifest_text=text, contents=contents)


def restamped(data: bytes, stamp: str) -> bytes:
    """Put an input digest on line 1 of a file that has one there; others stay as they are."""
    return _LINE_1.sub(f"// {stamp}\n".encode(), data, count=1) if is_stamped(data) else data


def is_stamped(data: bytes) -> bool:
    """Return whether a file has an input digest on line 1."""
    return _LINE_1.match(data) is not None


def stamps(contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """Name the files that vouch for the others of their folder: manifests, and what carries an input digest."""
    return tuple(
        name
        for name, data in contents.items()
        if name == MANIFEST_NAME or fnmatchcase(name, HALVES) or is_stamped(data)
    )


def choose(
    artifacts: Iterable[Artifact], *, version: str, triple: str, flavour: str, llvm: str = ""
) -> tuple[Artifact, ...]:
    """Choose the artifacts of one CPython, target and flavour, and of one LLVM ("20" or "20.1.2") if it is named.

    Raises: BundleError that lists what there is.
    """
    everything = tuple(artifacts)
    chosen = tuple(
        item
        for item in everything
        if (item.manifest.cpython, item.manifest.triple, item.manifest.flavour) == (version, triple, flavour)
        and f"{item.manifest.toolchain.version}.".startswith(f"{llvm}." if llvm else "")
    )
    if not chosen:
        raise BundleError(
            f"there are no {flavour} stencils of CPython {version} for {triple}" + (f" by LLVM {llvm}" if llvm else ""),
            fix="there is: " + "; ".join(item.title for item in everything),
        )
    return chosen


def lay_out(artifacts: Sequence[Artifact], default: Sequence[Artifact], generator: str) -> dict[str, bytes]:
    """Name the files of a bundle; `default` are the artifacts that are where PEP 774 looks.

    Raises: BundleError for artifacts of several CPythons, or two of the same target, flavour and LLVM.
    """
    if len(versions := sorted({item.manifest.cpython for item in artifacts})) > 1:
        raise BundleError(
            f"a bundle is for one CPython, and these are for {', '.join(versions)}", fix="make a bundle of each"
        )
    contents: dict[str, bytes] = {}
    for item in artifacts:
        stem = _stem(item, plain=item in default)
        parts = {f"{stem}{SUFFIXES[role]}": data for role, data in item.contents.items()}
        parts[f"{stem}{_MANIFEST_SUFFIX}"] = item.manifest_text
        if twice := sorted(parts.keys() & contents.keys()):
            raise BundleError(f"there are two of {item.title}", where=twice[0], fix="leave one of them out")
        contents |= parts
    contents[BUILDINFO] = _buildinfo(artifacts, contents, generator).encode()
    contents[SUMS] = "".join(f"{_sha256(data)}  {name}\n" for name, data in sorted(contents.items())).encode()
    return contents


def _stem(item: Artifact, *, plain: bool) -> str:
    folder = ROOT if plain else ROOT / f"llvm-{item.manifest.toolchain.version}"
    return str(folder.joinpath(*_KINDS[item.manifest.kind], item.manifest.triple))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _buildinfo(artifacts: Sequence[Artifact], contents: Mapping[str, bytes], generator: str) -> str:
    """Describe a bundle in the manner of Debian's .buildinfo (deb-buildinfo(5))."""
    lines = ["Format: 1.0", "Source: cpython", f"Version: {artifacts[0].manifest.cpython}"]
    lines += [f"Architecture: {' '.join(sorted({item.manifest.triple for item in artifacts}))}"]
    lines += [f"Packed-By: {generator}", "Stencils:"]
    for item in artifacts:
        m = item.manifest
        lines.append(
            f" {m.triple} {m.flavour} content={m.content_digest} stencils={len(m.stencils)}"
            f" headers={m.headers} stencilkit={m.provenance.stencilkit}"
        )
    lines.append("Installed-Build-Depends:")
    tools = {(m.toolchain.vendor, m.toolchain.version, m.toolchain.program) for m in (a.manifest for a in artifacts)}
    lines += [f" clang (= {version}), {vendor}, sha256:{program}" for vendor, version, program in sorted(tools)]
    return "".join(f"{line}\n" for line in lines) + _checksums(contents)


def _checksums(contents: Mapping[str, bytes]) -> str:
    lines = [f" {_sha256(data)} {len(data)} {name}\n" for name, data in sorted(contents.items())]
    return "".join([_CHECKSUMS, *lines])


def check_buildinfo(where: str, contents: Mapping[str, bytes], artifacts: Sequence[Artifact] | None) -> None:
    """Check that BUILDINFO says what follows from the bundle: of all artifacts, in their order, or of the files alone.

    `contents` are all files but SHA256SUMS.

    Raises: BundleError.
    """
    text = contents.get(BUILDINFO, b"").decode("utf-8", "replace")
    files = {name: data for name, data in contents.items() if name != BUILDINFO}
    if artifacts is None:
        fits = text.endswith(_checksums(files)) and text.count(_CHECKSUMS) == 1
    else:
        packed_by = _PACKED_BY.search(text)
        fits = packed_by is not None and text == _buildinfo(artifacts, files, packed_by[1])
    if not fits:
        raise BundleError(f"{BUILDINFO} is not about this bundle", where=where, fix="do not use this bundle")


def read_bundle(path: Path) -> dict[str, bytes]:
    """Read a bundle's files, after its SHA256SUMS.

    Raises: BundleError for an archive that is not a bundle, or is damaged or hostile.
    """
    from stencilkit.support import archive  # noqa: PLC0415  # every build loads this module, and few read a bundle

    contents = archive.read_tar(path, archive.Bounds(members=_MEMBERS, size=_BYTES), BundleError)
    sums = contents.pop(SUMS, None)
    if sums is None:
        raise BundleError(
            f"it has no {SUMS}, so it is not a bundle", where=str(path), fix="give what stencilkit pack made"
        )
    expected = _sums(sums, path)
    for name, data in sorted(contents.items()):
        if expected.get(name) != _sha256(data):
            what = "is not what SHA256SUMS says" if name in expected else "is not in SHA256SUMS"
            raise BundleError(f"{name} {what}", where=str(path), fix="get the bundle again")
    if missing := sorted(expected.keys() - contents.keys()):
        raise BundleError(f"{missing[0]} is missing", where=str(path), fix="get the bundle again")
    return contents


def _sums(text: bytes, path: Path) -> dict[str, str]:
    found = {}
    # Not splitlines, for which other characters end lines, too.
    *lines, end = text.decode("utf-8", "backslashreplace").split("\n")
    for line in lines if not end else (*lines, end):
        digest, _, name = line.partition("  ")
        if not name or name in found or not name.isprintable() or line == end:
            raise BundleError(f"SHA256SUMS has the line {line!r}", where=str(path), fix="get the bundle again")
        found[name] = digest
    return found


def stems(contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """List the builds in a bundle by the path of their manifest, without its suffix."""
    return tuple(sorted(n.removesuffix(_MANIFEST_SUFFIX) for n in contents if n.endswith(_MANIFEST_SUFFIX)))


def manifest_name(stem: str) -> str:
    """Name the manifest of a build in a bundle."""
    return f"{stem}{_MANIFEST_SUFFIX}"


def names(stem: str) -> tuple[str, ...]:
    """Name all files that a build can have in a bundle."""
    return (manifest_name(stem), *(f"{stem}{suffix}" for suffix in SUFFIXES.values()))


def unpack(where: str, contents: Mapping[str, bytes], manifests_: Mapping[str, Manifest]) -> tuple[Artifact, ...]:
    """Take a bundle's files apart; `manifests_` are the ones read, by stem.

    Raises: BundleError where a place does not agree with what is there, or a file belongs to no build.
    """
    taken = {BUILDINFO}
    found = []
    for stem, manifest in manifests_.items():
        parts = {record.role: f"{stem}{SUFFIXES[record.role]}" for record in manifest.files}
        taken |= {manifest_name(stem), *parts.values()}
        item = _checked(
            f"{where}: {stem}",
            manifest,
            contents[manifest_name(stem)],
            {role: (name, contents.get(name)) for role, name in parts.items()},
        )
        if stem not in (_stem(item, plain=True), _stem(item, plain=False)):
            raise BundleError(
                f"the files of {stem} are those of {item.title}", where=where, fix="do not use this bundle"
            )
        found.append(item)
    if strange := sorted(contents.keys() - taken):
        raise BundleError(f"{strange[0]} belongs to no stencils", where=where, fix="do not use this bundle")
    if not found:
        raise BundleError("the bundle is empty", where=where, fix="get it again")
    return tuple(found)


def fedora_names(artifacts: Sequence[Artifact]) -> dict[str, bytes]:
    """Name headers, shim objects and unwind headers as Fedora's sources do.

    Raises: BundleError where two would have one name.
    """
    found: dict[str, bytes] = {}
    for item in artifacts:
        m = item.manifest
        prefix = f"Python-{m.cpython}-{m.triple.partition('-')[0]}-{_FEDORA_FLAVOURS[m.flavour]}"
        for role, suffix in _FEDORA_NAMES.items():
            if role in item.contents:
                name = f"{prefix}-{suffix}"
                if name in found:
                    raise BundleError(
                        f"these have the same name in Fedora's scheme: {name}", fix="export one LLVM and one system"
                    )
                found[name] = item.contents[role]
    return found
