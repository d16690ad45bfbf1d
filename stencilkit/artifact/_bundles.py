"""Bundles: what is where in one, and how it is read back.

A bundle is a tar whose files are in Tools/jit/stencils/, as PEP 774 wants it: <triple>.h for the release flavour of the
LLVM that is the default, debug/ below for the other flavour, llvm-<version>/ below for other LLVMs. Beside each header
are the other files of that build and its manifest; SHA256SUMS and BUILDINFO are about all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from stencilkit.artifact._contents import checked, sha256
from stencilkit.errors import BundleError
from stencilkit.model.artifact import Artifact
from stencilkit.model.manifest import FileRole, Manifest
from stencilkit.model.target import Kind

ROOT: Final = PurePosixPath("Tools/jit/stencils")
SUMS: Final = str(ROOT / "SHA256SUMS")
BUILDINFO: Final = str(ROOT / "BUILDINFO")
# A header has 0.4 to 1 MB, 3.15 five files; a hundred builds of one CPython are more than there are.
_MEMBERS: Final = 1_000
_BYTES: Final = 512 << 20
_SUFFIXES: Final[Mapping[FileRole, str]] = {
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
_CHECKSUMS: Final = "Checksums-Sha256:\n"
_PACKED_BY: Final = re.compile(r"^Packed-By: (stencilkit [0-9A-Za-z.+]{1,40})$", re.MULTILINE)
_MANIFEST_SUFFIX: Final = ".manifest.toml"


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
        parts = {f"{stem}{_SUFFIXES[role]}": data for role, data in item.contents.items()}
        parts[f"{stem}{_MANIFEST_SUFFIX}"] = item.manifest_text
        if twice := sorted(parts.keys() & contents.keys()):
            raise BundleError(f"there are two of {item.title}", where=twice[0], fix="leave one of them out")
        contents |= parts
    contents[BUILDINFO] = _buildinfo(artifacts, contents, generator).encode()
    contents[SUMS] = "".join(f"{sha256(data)}  {name}\n" for name, data in sorted(contents.items())).encode()
    return contents


def _stem(item: Artifact, *, plain: bool) -> str:
    folder = ROOT if plain else ROOT / f"llvm-{item.manifest.toolchain.version}"
    return str(folder.joinpath(*_KINDS[item.manifest.kind], item.manifest.triple))


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
    lines = [f" {sha256(data)} {len(data)} {name}\n" for name, data in sorted(contents.items())]
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
        raise BundleError(f"{BUILDINFO} does not describe this bundle", where=where, fix="do not use this bundle")


def read_bundle(path: Path) -> dict[str, bytes]:
    """Read a bundle's files, after its SHA256SUMS.

    Raises: BundleError for an archive that is not a bundle, or is damaged or hostile.
    """
    from stencilkit.support import archive  # noqa: PLC0415  # every build loads this module, and few read a bundle

    contents = archive.read_tar(path, archive.Bounds(members=_MEMBERS, size=_BYTES), BundleError)
    sums = contents.pop(SUMS, None)
    if sums is None:
        raise BundleError(
            f"it has no {SUMS}, so it is not a bundle", where=str(path), fix="give a bundle that stencilkit pack made"
        )
    expected = _sums(sums, path)
    for name, data in sorted(contents.items()):
        if expected.get(name) != sha256(data):
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
    return (manifest_name(stem), *(f"{stem}{suffix}" for suffix in _SUFFIXES.values()))


def unpack(where: str, contents: Mapping[str, bytes], manifests_: Mapping[str, Manifest]) -> tuple[Artifact, ...]:
    """Take a bundle's files apart; `manifests_` are the ones read, by stem.

    Raises: BundleError where a place does not agree with what is there, or a file belongs to no build.
    """
    taken = {BUILDINFO}
    found = []
    for stem, manifest in manifests_.items():
        parts = {record.role: f"{stem}{_SUFFIXES[record.role]}" for record in manifest.files}
        taken |= {manifest_name(stem), *parts.values()}
        item = checked(
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
