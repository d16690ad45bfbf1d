"""What was read, computed and recorded -> checks, each one question with its answer.

Judges values; reads no file. Fails closed: what is not known to be harmless is a failure, and a verdict without a
check that passed is no yes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import Any, Final, get_args

from stencilkit.errors import PolicyError
from stencilkit.model.attestation import Demand, Signer
from stencilkit.model.header import ReadHeader
from stencilkit.model.manifest import Manifest, StencilRecord, Summary
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.stencil import Patch, Stencil, StencilGroup
from stencilkit.model.toolchain import Toolchain
from stencilkit.model.verdict import Check, Kind, Policy, TreeFacts, Verdict
from stencilkit.model.version import MajorRange
from stencilkit.support.fields import Fields, document

DEFAULT_POLICY: Final = Policy()
CONSISTENT: Final = "consistent; not compared with anything that others made"
_POLICY_SCHEMA: Final = 1
_PROVENANCE: Final = re.compile(r"stencilkit [0-9A-Za-z.+]{1,40}, content sha256:([0-9a-f]{64})")
_CARRIED_ON: Final = re.compile(rb"(?:\\|\?\?/)[ \t\v\f\r]*$")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
# CPython: Tools/jit/build.py writes the command that it was run with.
_COMMAND: Final = re.compile(r"[ -~]{1,4000}")
_COMMENT_LINE: Final = re.compile(rb"^ *//[^\n]*\n", re.MULTILINE)
# Headers of mingw's that any Windows program includes, whatever a manifest calls their origin:
_MINGW: Final = re.compile(r"(?:^|/)_mingw\w*\.h$")
_SHOWN: Final = 8
_SIGNER: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,80}")
_WIDTHS: Final[Mapping[str, int]] = {"patch_64": 8}
_INSTRUCTION: Final = 4
# Python/jit.c: this one rewrites the opcode and ModRM in the two bytes before its place, too, to relax a load, call or
# jump through a slot. A direct call or jump (COFF has one kind for both) has one byte, and nothing to relax.
_RELAXING: Final = "patch_x86_64_32rx"
_REWRITTEN: Final = 2
_DIRECT: Final = (b"\xe8", b"\xe9")
_PRINTED: Final = 100


def canonical(original: bytes, rendered: str, header: ReadHeader) -> Check:
    """Check that a header is exactly what its stencils look like when they are rendered again.

    So it carries no other C, hidden statement or stray byte.
    """
    problems = tuple(_not_canonical(original, rendered.encode(), header))
    if problems:
        return Check(kind="canonical", status="failed", what="it holds more than stencils", details=problems)
    outside = tuple(_outside(header.stencils.groups))
    if outside:
        return Check(kind="canonical", status="failed", what="it patches what is not its own", details=outside)
    count = len(header.stencils.groups)
    return Check(kind="canonical", status="passed", what=f"{count} stencils of CPython {header.format.series}, no more")


def _not_canonical(original: bytes, again: bytes, header: ReadHeader) -> Iterator[str]:
    if _PROVENANCE.fullmatch(header.line2) is None:
        yield f"line 2 is not what stencilkit writes there: {_printable(header.line2.encode())}"
    if original == again:
        return
    bare, bare_again = (b"".join(_COMMENT_LINE.split(data)) for data in (original, again))
    if bare == bare_again:
        yield f"{header.comments} comment lines are not stencilkit's disassembly"
    else:
        yield _first(*((original, again) if not header.comments else (bare, bare_again)))


def foreign_text(original: bytes, again: bytes) -> Iterator[str]:
    """Find what a header of any generator holds beside its stencils and comments.

    `again` are its stencils, rendered. A comment may not carry on in the next line: C joins a line with the next one at
    a backslash, which C11 also spells ??/ (6.4.2.1, 5.2.1.1), and compilers allow blanks behind it.
    """
    for number, line in enumerate(original.split(b"\n"), start=1):
        if _CARRIED_ON.search(line):
            yield f"line {number} carries on in the next one: {_printable(line)}"
        elif _CONTROL.search(line):
            yield f"line {number} has a control character: {_printable(line)}"
    bare, bare_again = (b"".join(_COMMENT_LINE.split(data)) for data in (original, again))
    if bare != bare_again:
        yield _first(bare, bare_again)


def generators_own(original: bytes, rendered: str, header: ReadHeader) -> Check:
    """Check that a header is what CPython's own generator writes: comment lines aside, the same bytes again."""
    problems = []
    if _PROVENANCE.fullmatch(header.line2) is None and _COMMAND.fullmatch(header.line2) is None:
        problems.append(f"line 2 is neither CPython's nor stencilkit's: {_printable(header.line2.encode())}")
    problems += foreign_text(original, rendered.encode())
    problems += _outside(header.stencils.groups)
    if problems:
        return Check(kind="canonical", status="failed", what="it holds more than stencils", details=tuple(problems))
    count = len(header.stencils.groups)
    return Check(kind="canonical", status="passed", what=f"{count} stencils of CPython {header.format.series}, no more")


def content_claim(header: ReadHeader) -> str:
    """Return the content digest that line 2 names, "" if it names none."""
    match = _PROVENANCE.fullmatch(header.line2)
    return match[1] if match else ""


def _first(original: bytes, again: bytes) -> str:
    pairs = zip_longest(original.split(b"\n"), again.split(b"\n"), fillvalue=b"(the end)")
    number, (left, right) = next((n, p) for n, p in enumerate(pairs, start=1) if p[0] != p[1])
    return f"line {number} is {_printable(left)}, and should be {_printable(right)}"


def _printable(line: bytes) -> str:
    text = ascii(line[:_PRINTED].decode("utf-8", "replace"))
    return text + ("..." if len(line) > _PRINTED else "")


def _outside(groups: Iterable[StencilGroup]) -> Iterator[str]:
    """Name the patches that would write past the end of their stencil, or before its start."""
    for group in groups:
        for part, stencil in (("code", group.code), ("data", group.data)):
            for patch in stencil.patches:
                if patch.func and any(end > len(stencil.body) for end in _ends(patch)):
                    yield f"{group.name}: {patch.func} writes past the end of the {part}"
                # Upstream has such places at the start of data (3.13's jump tables on Windows); code comes before it.
                elif patch.func == _RELAXING and part == "code" and _rewrites_before(stencil, patch):
                    yield f"{group.name}: {patch.func} rewrites what is before the start of the {part}"


def _rewrites_before(stencil: Stencil, patch: Patch) -> bool:
    return any(stencil.body[:offset] not in _DIRECT for offset in patch.offsets if offset < _REWRITTEN)


def _ends(patch: Patch) -> Iterator[int]:
    width = _WIDTHS.get(patch.func, _INSTRUCTION)
    return (offset + width for offset in patch.offsets)


def small_file(name: str, original: bytes, rendered: bytes | None) -> Iterator[Check]:
    """Check a file that lies beside the header against what stencilkit writes; nothing is said where it is that."""
    if original != rendered:
        detail = "cannot be understood" if rendered is None else _first(original, rendered)
        yield Check(kind="canonical", status="failed", what=f"{name} is not what stencilkit writes", details=(detail,))


def claims(header: ReadHeader, summary: Summary, manifest: Manifest) -> Iterator[Check]:
    """Check what a manifest says of a header's content."""
    if summary.stencils != manifest.stencils:
        details = tuple(_stencils(summary.stencils, manifest.stencils))
        yield Check(kind="manifest", status="failed", what="stencils differ from the manifest's", details=details)
    extras = tuple(_extras_differing(summary, manifest))
    if extras:
        what = "what lies beside the header differs from the manifest's"
        yield Check(kind="manifest", status="failed", what=what, details=extras)
    if summary.interface != manifest.interface_digest:
        yield Check(kind="manifest", status="failed", what="the interface digest is not the manifest's")
    if content_claim(header) not in ("", summary.content):
        yield Check(kind="manifest", status="failed", what="line 2 names another content digest")
    if header.format.series != manifest.series:
        what = f"it is a header of CPython {header.format.series}, and the manifest is of {manifest.cpython}"
        yield Check(kind="manifest", status="failed", what=what)
    if summary.content == manifest.content_digest:
        yield Check(kind="manifest", status="passed", what=f"the content is the manifest's, {summary.content[:16]}")
    else:
        yield Check(kind="manifest", status="failed", what="the content digest is not the manifest's")


def _differ(role: str, summary: Summary, manifest: Manifest) -> bool:
    return summary.extras.get(role) != manifest.extras.get(role)


def _stencils(
    found: Iterable[StencilRecord], recorded: Iterable[StencilRecord], other: str = "the manifest"
) -> Iterator[str]:
    ours = {record.name: record for record in found}
    theirs = {record.name: record for record in recorded}
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    for name in names[:_SHOWN]:
        if name not in ours:
            yield f"{name} is missing"
        elif name not in theirs:
            yield f"{name} is not in {other}"
        elif ours[name].content == theirs[name].content:
            yield f"{name}: the sizes or the number of holes differ"
        else:
            yield f"{name}: code, data or holes differ"
    if len(names) > _SHOWN:
        yield f"and {len(names) - _SHOWN} more"


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


def fits(header: ReadHeader, manifest: Manifest, facts: TreeFacts) -> tuple[Check, ...]:
    """Check that stencils were made from what this tree would make them from."""
    failures = tuple(_misfits(manifest, facts))
    if failures:
        return failures
    passed = Check(
        kind="tree",
        status="passed",
        what=(
            f"it fits CPython {facts.version}: {facts.compared} files of the tree are those that the stencils were "
            f"made from, and {len(facts.config.macros)} macros of pyconfig.h that they can see have the same values"
        ),
    )
    return (passed, *_notes(manifest, facts), _stamp(header, facts))


def _misfits(manifest: Manifest, facts: TreeFacts) -> Iterator[Check]:
    for what, found, recorded in (
        ("version", facts.version, manifest.cpython),
        ("triple", facts.triple, manifest.triple),
        ("flavour", facts.flavour, manifest.flavour),
        ("CFLAGS_JIT", facts.cflags, manifest.cflags),
    ):
        if found != recorded:
            yield _misfit(f"{what}: the tree has {found!r}, the stencils are for {recorded!r}")
    macros = tuple(_visible_differences(manifest.visible, facts.config))
    names = {record.name for record in manifest.stencils}
    units = [*(f"{name}: only in the tree" for name in sorted(facts.units - names))]
    units += [f"{name}: not in the tree" for name in sorted(names - facts.units)]
    for what, details in (
        ("the stencils are not those of the tree's uops", tuple(_some(units))),
        ("files that the stencils were made from differ", facts.changed),
        ("files of the tree would be included in place of those recorded", facts.shadows),
        ("the code that runs the stencils differs", facts.runtime),
        ("Python/jit.c lacks patch functions that the stencils call", facts.missing_functions),
        ("the stencils need a processor that the tree's CFLAGS_JIT does not ask for", facts.beyond),
        ("pyconfig.h differs in what a stencil can see", macros),
    ):
        if details:
            yield _misfit(what, *details)
    if facts.compared == 0:
        yield _misfit("the manifest names no file of the tree, so nothing was compared")
    if manifest.pyconfig_sha256 == facts.config_sha256 and manifest.visible != facts.config and not facts.changed:
        yield _misfit("the manifest says of this very pyconfig.h what is not in it")
    if not facts.changed and _same_inputs(manifest, facts) != (facts.claimed == manifest.input_digest):
        yield _misfit("the manifest's input digest does not follow from what it says went in")


def _same_inputs(manifest: Manifest, facts: TreeFacts) -> bool:
    """Tell whether all files that line 1 covers are what the manifest says."""
    return not facts.line1 and facts.config_sha256 == manifest.pyconfig_sha256


def _some(lines: list[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {len(lines) - _SHOWN} more"


def _misfit(what: str, *details: str) -> Check:
    return Check(kind="tree", status="failed", what=what, details=details)


def _visible_differences(then: VisibleConfig, now: VisibleConfig) -> Iterator[str]:
    for name in sorted(then.macros.keys() | now.macros.keys()):
        if then.macros.get(name) != now.macros.get(name):
            yield f"{name}: {_value(then, name)} when built, {_value(now, name)} here"
    for text in sorted(set(then.guarded) ^ set(now.guarded)):
        yield f"{'only when built' if text in then.guarded else 'only here'}: {text}"
    if set(then.guarded) == set(now.guarded) and then.guarded != now.guarded:
        yield "statements under conditions are in another order"


def _value(config: VisibleConfig, name: str) -> str:
    return repr(config.macros[name]) if name in config.macros else "not defined"


def _notes(manifest: Manifest, facts: TreeFacts) -> Iterator[Check]:
    """Name what enters line 1 and differs, but cannot change a stencil."""
    if facts.config_sha256 != manifest.pyconfig_sha256:
        hidden = _hidden_differences(manifest.visible, facts.config) or (
            "only comments, or names that are not defined",
        )
        what = "pyconfig.h differs, in what no stencil can see"
        yield Check(kind="tree", status="noted", what=what, details=hidden)
    if facts.line1:
        what = "files of CPython's own generator differ, and these stencils were not made with it"
        yield Check(kind="tree", status="noted", what=what, details=facts.line1)
    if facts.spelling != manifest.spelling:
        what = f"the triple is spelt {facts.spelling} here, and {manifest.spelling} when built"
        yield Check(kind="tree", status="noted", what=what)


def _hidden_differences(then: VisibleConfig, now: VisibleConfig) -> tuple[str, ...]:
    return tuple(
        f"{'only when built' if text in then.hidden else 'only here'}: {text}"
        for text in sorted(set(then.hidden) ^ set(now.hidden))
    )


def _stamp(header: ReadHeader, facts: TreeFacts) -> Check:
    if header.line1 == facts.stamp:
        return Check(kind="tree", status="passed", what="line 1 is what this tree's build computes")
    return Check(
        kind="tree",
        status="noted",
        what="line 1 differs; content equal: this tree's build computes another input digest",
        details=(f"line 1 must be {facts.stamp}", "stencilkit install writes it"),
    )


def rebuilt(found: Summary, second: Manifest, toolchain: Toolchain) -> Check:
    """Check that a second build with a toolchain of this machine, whose manifest is given, has the same content."""
    tool = f"{toolchain.vendor} ({toolchain.program})"
    if found.content == second.content_digest:
        what = f"building again with {tool} gives the same content"
        return Check(kind="rebuild", status="passed", what=what)
    details = (*_stencils(found.stencils, second.stencils, "the second build"), *_extras_differing(found, second))
    what = f"building again with {tool} gives something else"
    return Check(kind="rebuild", status="failed", what=what, details=details)


def _extras_differing(found: Summary, other: Manifest) -> Iterator[str]:
    return (
        f"the {role} differs"
        for role in sorted(found.extras.keys() | other.extras.keys())
        if _differ(role, found, other)
    )


def obey(policy: Policy, manifest: Manifest) -> Iterator[Check]:
    """Check what a policy demands of a manifest."""
    if policy.llvm is not None and int(manifest.toolchain.version.partition(".")[0]) not in policy.llvm:
        what = f"LLVM {manifest.toolchain.version} is not one of {policy.llvm}"
        yield Check(kind="policy", status="failed", what=what)
    vendor = manifest.toolchain.vendor
    if policy.vendors and not any(fnmatchcase(vendor, pattern) for pattern in policy.vendors):
        yield Check(kind="policy", status="failed", what=f"{vendor} is not one of the vendors that the policy names")
    if not policy.deviations and manifest.deviations:
        details = tuple(f"{item.what}: {item.why}" for item in manifest.deviations)
        what = "it was built otherwise than CPython's own generator does"
        yield Check(kind="policy", status="failed", what=what, details=details)
    if not policy.mingw and (found := mingw_headers(manifest)):
        what = (
            "it was compiled with mingw's headers, which is good for checks, and not for an msvc build (--allow-mingw)"
        )
        yield Check(kind="policy", status="failed", what=what, details=found)


def mingw_headers(manifest: Manifest) -> tuple[str, ...]:
    """Say what shows that mingw's headers went into stencils, whatever their manifest calls them."""
    marked = ('the manifest says headers = "mingw"',) if manifest.headers == "mingw" else ()
    return (*marked, *(file.name for file in manifest.includes if _MINGW.search(file.name)))


def parse_policy(text: str, where: str) -> Policy:
    """Read a policy; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field, or if it demands nothing.
    """
    root = document(text, name=where, schema=_POLICY_SCHEMA, error=PolicyError)
    require: tuple[Any, ...] = root.texts("require")
    for kind in require:
        if kind not in get_args(Kind):
            raise root.fail("require", f"{kind!r} is none of {', '.join(get_args(Kind))}")
    llvm = root.text("llvm", "")
    versions = MajorRange.parse(llvm) if llvm else None
    if llvm and versions is None:
        raise root.fail("llvm", f"is not a version or a range like 19..22: {llvm!r}")
    demand = _demand(root.table("attestations")) if root.has("attestations") else None
    policy = Policy(
        # Who names signers wants to hear from them.
        require=require if demand is None or "attested" in require else (*require, "attested"),
        llvm=versions,
        vendors=root.texts("vendors", ()),
        deviations=root.boolean("deviations", True),  # noqa: FBT003  # the default
        mingw=root.boolean("mingw", False),  # noqa: FBT003  # the default
        demand=demand,
    )
    root.done()
    if not policy.require:
        raise root.fail("require", 'demands nothing, so every header would pass; name what must hold: "canonical", ...')
    return policy


def _demand(table: Fields) -> Demand:
    """Read whose attestations count, and how many of them must say the same."""
    signers = tuple(_signer(row) for row in table.tables("signer"))
    names = {signer.name for signer in signers}
    threshold = table.integer("threshold")
    table.done()
    if not 1 <= threshold <= len(names):
        raise table.fail("threshold", f"must be from 1 to the number of builders named, {len(names)}")
    return Demand(signers=signers, threshold=threshold)


def _signer(row: Fields) -> Signer:
    found = Signer(
        name=row.text("name"),
        key=row.text("key", "").encode(),
        identity=row.text("identity", ""),
        issuer=row.text("issuer", ""),
    )
    row.done()
    if not _SIGNER.fullmatch(found.name):
        raise row.fail("name", "must be 1 to 80 printable characters")
    if bool(found.key) == bool(found.identity) or bool(found.identity) != bool(found.issuer):
        raise row.fail("", "must have a key (PEM), or an identity with its issuer, and not both")
    return found


def conclude(subject: str, checks: Iterable[Check], digests: Mapping[str, str], policy: Policy, stamp: str) -> Verdict:
    """Gather the checks; what the policy requires and nobody could check is a failure."""
    found = list(checks)
    answered = {check.kind for check in found if check.status != "noted"}
    found += [
        Check(kind=kind, status="failed", what=f"not checked: {_NEEDS[kind]}")
        for kind in policy.require
        if kind not in answered
    ]
    verdict = Verdict(subject=subject, checks=tuple(found), digests=digests, stamp=stamp)
    if verdict.accepted and verdict.scope == "consistent" and not policy.consistent:
        detail = (
            "name a --ledger or an --attestation, build it again (--rebuild), or say that it is enough (--consistent)"
        )
        found.append(Check(kind="policy", status="failed", what=CONSISTENT, details=(detail,)))
        verdict = replace(verdict, checks=tuple(found))
    return verdict if verdict.accepted else replace(verdict, stamp="")


_NEEDS: Final[Mapping[Kind, str]] = {
    "canonical": "the header could not be read",
    "manifest": "there is no manifest (--manifest)",
    "tree": "no tree was given (--cpython, --pyconfig-dir)",
    "ledger": "no ledger was given (--ledger)",
    "rebuild": "nothing was built again (--rebuild)",
    "attested": "no attestation was given (--attestation, --attestations)",
    "binary": "no program was given (--binary)",
    "policy": "the policy demands nothing of a manifest",
}
