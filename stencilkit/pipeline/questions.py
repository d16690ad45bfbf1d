"""The questions that verify asks: each takes the evidence and yields checks, and none depends on another's answer.

What few ask for (a second build, a program, a compiler) is loaded when it is asked: it takes as long as the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from stencilkit import attest, ledger, verify
from stencilkit.model.attestation import Claim
from stencilkit.model.ledger import Entry
from stencilkit.model.verdict import Check
from stencilkit.pipeline import gathering, rendering
from stencilkit.pipeline.evidence import Evidence, Found


def is_it_stencils_and_nothing_else(found: Found) -> Iterator[Check]:
    """Render the header again; it must be the same bytes."""
    header = found.header
    rendered = rendering.render_header(
        found.dialect,
        found.arch,
        header.stencils,
        line1=header.line1,
        line2=header.line2,
        # Only with --comments does a build write any; they must be the disassembly of these stencils.
        comments=bool(header.comments and found.arch),
    )
    yield verify.canonical(found.original, rendered, header)


def is_it_a_generators_header(found: Found) -> Iterator[Check]:
    """Render a header of CPython's own generator again; its comments are its own."""
    header = found.header
    rendered = rendering.render_header(
        found.dialect, found.arch, header.stencils, line1=header.line1, line2=header.line2, comments=False
    )
    yield verify.generators_own(found.original, rendered, header)


def could_all_of_it_be_read(known: Evidence) -> Iterator[Check]:
    """Report what was wrong with the files beside the header, or missing."""
    yield from known.problems


def is_it_what_the_manifest_says(known: Evidence) -> Iterator[Check]:
    """Compare every stencil, the digests and line 1 with the manifest's."""
    yield from verify.claims(known.header, known.summary, known.manifest)
    yield verify.line_1(known.header, known.manifest, known.facts)


def are_the_files_those_of_the_manifest(known: Evidence) -> Iterator[Check]:
    """Compare the bytes of every file with the manifest, as they were before install and make changed line 1."""
    # The manifest has no digests of dispatchers for both halves, or another spelling: those are rendered again.
    roles = () if known.has_own_dispatchers else rendering.DISPATCHERS
    names = [record.name for record in known.manifest.files if record.role not in roles]
    stamped, original = f"// {known.header.line1}\n".encode(), f"// {known.manifest.input_digest}\n".encode()
    found: dict[str, str | None] = dict.fromkeys(names) if known.whole else {}
    written_by = f"stencilkit {known.manifest.provenance.stencilkit}"
    for name in names:
        if name in known.contents:
            data = known.contents[name]
            data = original + data[len(stamped) :] if data.startswith(stamped) else data
            before = rendering.before_make(data, written_by)
            found[name] = hashlib.sha256(before).hexdigest()
    yield verify.written_files(found, known.manifest)


def does_the_shim_name_the_same_compiler(known: Evidence) -> Iterator[Check]:
    """Compare what the shim says of its compiler, which no digest covers, with the manifest."""
    found, recorded = known.beside.producer if known.beside else "", known.manifest.toolchain.vendor
    if found and found != recorded:
        what = f"the shim was compiled by {found}, and the manifest says {recorded}"
        yield Check(kind="manifest", status="failed", what=what)


def is_the_unwind_header_canonical(known: Evidence) -> Iterator[Check]:
    """Render what is derived from the shim again."""
    if known.beside is None:
        return
    rendered = known.beside.files(known.header.line1, known.header.line2)
    for record in known.manifest.files:
        if record.role == "unwind" and record.name in known.contents:
            yield from verify.small_file(record.name, known.contents[record.name], rendered["unwind"])


def are_the_dispatchers_canonical(known: Evidence) -> Iterator[Check]:
    """Render dispatchers again, as the version of stencilkit that they name."""
    for record in known.manifest.files:
        if record.role not in rendering.DISPATCHERS:
            continue
        data = known.contents.get(record.name)
        if data is not None:
            generator = rendering.generator_of(data)
            rendered = rendering.dispatchers(known.described.dialect, known.sharing, generator) if generator else {}
            yield from verify.small_file(record.name, data, rendered.get(record.name))
        elif known.whole and not known.has_own_dispatchers:
            yield Check(kind="manifest", status="failed", what=f"{record.name}, which is for both halves, is missing")


def does_it_fit_the_tree(known: Evidence) -> Iterator[Check]:
    """Compare with the tree that was named."""
    if known.facts is not None:
        yield from verify.fits(known.header, known.manifest, known.facts)


def is_the_runtime_laid_out_so(known: Evidence) -> Iterator[Check]:
    """Ask the compiler of the runtime for the numbers that the stencils have compiled in."""
    if known.subject.runtime is not None:
        from stencilkit.pipeline import witnessing  # noqa: PLC0415  # few ask this

        yield from witnessing.ask(known.described, known.subject.runtime)


def is_it_what_the_ledger_expects(known: Evidence) -> Iterator[Check]:
    """Compare with the ledger that was named: digests of the header, not of its manifest."""
    if known.subject.ledger is not None:
        entry = Entry.of(
            replace(
                known.manifest,
                content_digest=known.summary.content,
                interface_digest=known.summary.interface,
                stencils=known.summary.stencils,
                extras=known.summary.extras,
            )
        )
        yield from ledger.check(entry, ledger.find(known.subject.ledger, known.manifest))


def do_others_say_the_same(known: Evidence) -> Iterator[Check]:
    """Count the signers whose statements agree with what was computed here, whatever the manifest says."""
    if known.subject.attestations is not None:
        claim = replace(Claim.of(known.manifest), content=known.summary.content, interface=known.summary.interface)
        yield from attest.judge(claim, known.subject.attestations)


def is_it_in_the_binary(known: Evidence) -> Iterator[Check]:
    """Look for the stencils in the program that was named."""
    if known.subject.binary is not None:
        from stencilkit.pipeline import identifying  # noqa: PLC0415  # few ask this

        yield from identifying.is_it_in_the_binary(known, known.subject.binary)


def does_the_policy_accept_it(known: Evidence) -> Iterator[Check]:
    """Obey the policy."""
    yield from verify.obey(known.subject.policy, known.manifest)


def is_a_second_build_the_same(known: Evidence) -> Iterator[Check]:
    """Build again. Minutes; of a tree that it does not fit, something else would come."""
    subject = known.subject
    if subject.rebuild is not None and subject.tree is not None:
        from stencilkit.pipeline import rebuilding  # noqa: PLC0415  # few ask this

        folder = gathering.config_folder(subject, subject.tree, known.described)
        second = rebuilding.again(known.described, subject.tree, folder, subject.rebuild, subject.store)
        yield verify.rebuilt(known.summary, second.manifest, second.request.toolchain)
        yield from verify.laid_out(known.manifest, second.manifest)
