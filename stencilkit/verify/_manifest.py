"""A header and its files beside a manifest: its own, or that of a second build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stencilkit.model.header import ReadHeader
from stencilkit.model.layout import Layout
from stencilkit.model.manifest import Manifest, StencilRecord, Summary
from stencilkit.model.toolchain import Toolchain
from stencilkit.model.verdict import Check, TreeFacts
from stencilkit.verify._lines import some
from stencilkit.verify._texts import content_claim


def claims(header: ReadHeader, summary: Summary, manifest: Manifest) -> Iterator[Check]:
    """Check what a manifest says of a header's content."""
    if summary.stencils != manifest.stencils:
        details = tuple(some(tuple(_stencils(summary.stencils, manifest.stencils))))
        yield Check(kind="manifest", status="failed", what="stencils differ from the manifest's", details=details)
    extras = tuple(_extras_differing(summary, manifest))
    if extras:
        what = "what is beside the header differs from the manifest's"
        yield Check(kind="manifest", status="failed", what=what, details=extras)
    if summary.interface != manifest.interface_digest:
        yield Check(kind="manifest", status="failed", what="the interface digest is not the manifest's")
    if content_claim(header) not in ("", summary.content):
        yield Check(kind="manifest", status="failed", what="line 2 names another content digest")
    if header.format.series != manifest.dialect:
        what = f"it is a header of CPython {header.format.series}, and the manifest is of {manifest.cpython}"
        yield Check(kind="manifest", status="failed", what=what)
    if summary.content == manifest.content_digest:
        yield Check(kind="manifest", status="passed", what=f"the content is the manifest's, {summary.content[:16]}")
    else:
        yield Check(kind="manifest", status="failed", what="the content digest is not the manifest's")


def line_1(header: ReadHeader, manifest: Manifest, facts: TreeFacts | None) -> Check:
    """Check the input digest: the manifest's, or that of the tree that the header was installed in."""
    if header.line1 == manifest.input_digest:
        return Check(kind="manifest", status="passed", what=f"line 1 is the manifest's, {header.line1[:16]}")
    if facts is not None and header.line1 == facts.stamp:
        return Check(kind="manifest", status="noted", what="line 1 was restamped for this tree; the content is equal")
    return Check(
        kind="manifest",
        status="failed",
        what="line 1 is not the manifest's input digest",
        details=(f"found {header.line1}", f"manifest {manifest.input_digest}"),
    )


def written_files(found: Mapping[str, str | None], manifest: Manifest) -> Check:
    """Check the SHA-256 of each file of a folder; None stands for a file that is missing."""
    wrong = tuple(
        f"{record.name} {'is missing' if found[record.name] is None else 'has other bytes'}"
        for record in manifest.files
        if record.name in found and found[record.name] != record.sha256
    )
    if wrong:
        return Check(kind="manifest", status="failed", what="files are not those of the manifest", details=wrong)
    what = f"{len(found)} of {len(manifest.files)} files have the manifest's bytes"
    return Check(kind="manifest", status="passed" if found else "failed", what=what)


def rebuilt(found: Summary, second: Manifest, toolchain: Toolchain) -> Check:
    """Check that a second build with a toolchain of this machine, whose manifest is given, has the same content."""
    tool = f"{toolchain.vendor} ({toolchain.program})"
    if found.content == second.content_digest:
        what = f"building again with {tool} gives the same content"
        return Check(kind="rebuild", status="passed", what=what)
    stencils = tuple(_stencils(found.stencils, second.stencils, "the second build"))
    details = (*some(stencils), *_extras_differing(found, second))
    what = f"building again with {tool} gives something else"
    return Check(kind="rebuild", status="failed", what=what, details=details)


def laid_out(manifest: Manifest, second: Manifest) -> Iterator[Check]:
    """Check that a manifest's layout is that of a second build: witness believes it, and no ledger has it.

    Constants of system headers may be others here, and another LLVM may touch other members.
    """
    if manifest.layout is None or second.layout is None:
        return
    ours, theirs = _numbers(manifest.layout), _numbers(second.layout)
    wrong = [
        f"{name}: {ours[name]} in the manifest, {value} here"
        for name, value in theirs.items()
        if ours.get(name, value) != value
    ]
    if manifest.toolchain.version == second.toolchain.version:
        wrong += [f"{name}: not in the manifest" for name in theirs if name not in ours]
    if wrong:
        what = "building again gives another layout for stencilkit witness"
        yield Check(kind="rebuild", status="failed", what=what, details=tuple(some(wrong)))


def _numbers(layout: Layout) -> Mapping[str, int]:
    found = {f"{row.kind} {row.subject}": row.value for row in layout.rows() if row.kind != "macro"}
    found |= {f"first bit of {name}": span.start for name, span in layout.bits.items()}
    return found | {f"bits of {name}": span.size for name, span in layout.bits.items()}


def _differ(role: str, summary: Summary, manifest: Manifest) -> bool:
    return summary.extras.get(role) != manifest.extras.get(role)


def _extras_differing(found: Summary, other: Manifest) -> Iterator[str]:
    return (
        f"the {role} differs"
        for role in sorted(found.extras.keys() | other.extras.keys())
        if _differ(role, found, other)
    )


def _stencils(
    found: Iterable[StencilRecord], recorded: Iterable[StencilRecord], other: str = "the manifest"
) -> Iterator[str]:
    """Name the stencils that differ, and how."""
    ours = {record.name: record for record in found}
    theirs = {record.name: record for record in recorded}
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    for name in names:
        if name not in ours:
            yield f"{name} is missing"
        elif name not in theirs:
            yield f"{name} is not in {other}"
        elif ours[name].content == theirs[name].content:
            yield f"{name}: the sizes or the number of holes differ"
        else:
            yield f"{name}: code, data or holes differ"
