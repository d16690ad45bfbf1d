"""Artifacts -> a bill of materials, and that as CycloneDX or SPDX.

The bill says no more than manifests do, which have the list of every file; here are their numbers and digests. The same
artifacts give the same bytes: serial numbers follow from the content, and the time is SOURCE_DATE_EPOCH's or left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from stencilkit.model.artifact import Artifact
from stencilkit.model.digest import files_digest
from stencilkit.model.ledger import place
from stencilkit.model.manifest import Manifest
from stencilkit.model.sbom import Bill, Item, ListedFile
from stencilkit.support.extras import needing

Form = Literal["cyclonedx", "spdx"]
# What is compiled from CPython is CPython's, whoever compiles it (docs/packaging.md).
_PYTHON: Final = "PSF-2.0"
_LLVM: Final = "Apache-2.0 WITH LLVM-exception"
_OWN: Final = "Apache-2.0"
_NOTES: Final[Mapping[str, str]] = {
    "compiler": "Compiled with it; no part of LLVM's runtime libraries is in stencils.",
    "clang's headers": "Declarations, macros and types; functions in them that stencils use are inlined.",
    "C library's headers": "Declarations, macros and types; functions in them that stencils use are inlined.",
}


def bill(name: str, sha256: str, artifacts: Sequence[Artifact]) -> Bill:
    """List what artifacts are and what they were made from; `name` and `sha256` are of the file that holds them."""
    items: dict[str, Item] = {}
    for artifact in artifacts:
        for item in _items(artifact):
            items.setdefault(item.key, item)
    ordered = tuple(items[key] for key in sorted(items))
    return Bill(
        name=name,
        version=artifacts[0].manifest.cpython,
        sha256=sha256,
        digest=hashlib.sha256(repr((name, sha256, ordered)).encode()).hexdigest(),
        items=ordered,
    )


def _items(artifact: Artifact) -> Iterator[Item]:
    m = artifact.manifest
    inputs = tuple(_inputs(m))
    name = str(place(m.cpython, m.triple, m.kind, m.toolchain.version)).removesuffix(".toml")
    yield Item(
        key=f"stencils {name}",
        part="stencils",
        name=f"CPython JIT stencils, {m.triple}, {m.kind}, LLVM {m.toolchain.version}",
        version=m.cpython,
        licence=_PYTHON,
        facts=(
            ("content-digest", m.content_digest),
            ("interface-digest", m.interface_digest),
            ("manifest-sha256", hashlib.sha256(artifact.manifest_text).hexdigest()),
            ("triple", m.triple),
            ("flavour", m.flavour),
        ),
        files=tuple(
            ListedFile(
                name=f"{name}/{file}",
                sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
                sha256=hashlib.sha256(data).hexdigest(),
            )
            for file, data in sorted(artifact.files.items())
        ),
        uses=tuple(item.key for item in inputs),
    )
    yield from inputs


def _inputs(m: Manifest) -> Iterator[Item]:
    """List what one build was made from and with."""
    tree = {file.name: file.sha256 for file in m.used}
    tree |= {file.name: file.sha256 for file in m.includes if file.origin == "tree"}
    yield _group(
        m,
        tree,
        part="source",
        name="CPython",
        version=m.cpython,
        purl=f"pkg:generic/cpython@{m.cpython}",
        licence=_PYTHON,
        sha256=m.source.sha256 if m.source else "",
    )
    for origin, name, licence in (("compiler", "clang's headers", _LLVM), ("system", "C library's headers", "")):
        found = {file.name: file.sha256 for file in m.includes if file.origin == origin}
        if found:
            version = m.toolchain.version if origin == "compiler" else ""
            yield _group(m, found, part="headers", name=name, version=version, licence=licence)
    yield Item(
        key=f"compiler {m.toolchain.program}",
        part="compiler",
        name="clang",
        version=m.toolchain.version,
        purl=f"pkg:generic/llvm@{m.toolchain.version}",
        sha256=m.toolchain.program,
        licence=_LLVM,
        note=_NOTES["compiler"],
        facts=(
            ("vendor", m.toolchain.vendor),
            *((f"library {n}", d) for n, d in sorted(m.toolchain.libraries.items())),
        ),
    )
    yield Item(
        key=f"generator {m.provenance.stencilkit}",
        part="generator",
        name="stencilkit",
        version=m.provenance.stencilkit,
        purl=f"pkg:pypi/stencilkit@{m.provenance.stencilkit}",
        licence=_OWN,
    )


def _group(m: Manifest, named: Mapping[str, str], **fields: str) -> Item:
    """Make one item of many files: how many they are, and their digest."""
    digest = files_digest(named)
    facts = [("files", str(len(named))), ("files-digest", digest)]
    facts += [("pyconfig-sha256", m.pyconfig_sha256)] if fields["part"] == "source" else []
    return Item(
        key=f"{fields['part']} {fields['name']} {digest}",
        note=_NOTES.get(fields["name"], ""),
        facts=tuple(facts),
        **fields,  # type: ignore[arg-type]  # part is one of the literals above
    )


def render(found: Bill, form: Form) -> bytes:
    """Write a bill as JSON of one of the standards.

    Raises: UsageError without the packages.
    """
    with needing("sbom", "a bill of materials"):
        return _RENDERERS[form](found)


def _as_cyclonedx(found: Bill) -> bytes:
    from stencilkit.sbom import _cyclonedx

    return _cyclonedx.render(found)


def _as_spdx(found: Bill) -> bytes:
    from stencilkit.sbom import _spdx

    return _spdx.render(found)


_RENDERERS: Final[Mapping[Form, Callable[[Bill], bytes]]] = {"cyclonedx": _as_cyclonedx, "spdx": _as_spdx}
