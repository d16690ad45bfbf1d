"""What somebody demands of a header: read, asked of a manifest, and the verdict."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final, get_args

from stencilkit.errors import PolicyError
from stencilkit.model.attestation import Demand, Signer
from stencilkit.model.manifest import Manifest
from stencilkit.model.verdict import Check, Kind, Policy, Verdict
from stencilkit.model.version import MajorRange
from stencilkit.support.fields import Fields, document

DEFAULT_POLICY: Final = Policy()
CONSISTENT: Final = "consistent; not compared with anything that others made"
_POLICY_SCHEMA: Final = 1
# Headers of mingw's that any Windows program includes, whatever a manifest calls their origin:
_MINGW: Final = re.compile(r"(?:^|/)_mingw\w*\.h$")
# The next step; the commands are named because those that only sign (attest) have no such option.
_KNOWN: Final = "build it with a stencilkit that knows that; verify, pack and install accept it with --provisional"
_SDK: Final = (
    "build it with a Windows SDK (stencilkit build --sysroot); verify, pack and install accept it with --allow-mingw"
)
_SIGNER: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,80}")
_NEEDS: Final[Mapping[Kind, str]] = {
    "canonical": "the header could not be read",
    "manifest": "there is no manifest (--manifest)",
    "tree": "no tree was given (--cpython, --pyconfig-dir)",
    "witness": "the runtime's compiler was not asked (--witness)",
    "ledger": "no ledger was given (--ledger)",
    "rebuild": "nothing was built again (--rebuild)",
    "attested": "no attestation was given (--attestation, --attestations)",
    "binary": "no program was given (--binary)",
    "policy": "the policy demands nothing of a manifest",
}
# What is compared with what a manifest says.
_BY_MANIFEST: Final[tuple[Kind, ...]] = ("tree", "witness", "ledger", "rebuild")


def parse_policy(text: str, where: str) -> Policy:
    """Read a policy; `where` is the file's name, for messages.

    Raises: PolicyError with the path to the bad field, or if it demands nothing.
    """
    root = document(text, name=where, schema=_POLICY_SCHEMA, error=PolicyError)
    require: tuple[Any, ...] = root.texts("require")
    for kind in require:
        if kind not in get_args(Kind):
            raise root.fail("require", f"{kind!r} is not one of {', '.join(get_args(Kind))}")
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
        provisional=root.boolean("provisional", False),  # noqa: FBT003  # the default
        demand=demand,
    )
    root.done()
    if not policy.require:
        raise root.fail(
            "require", 'demands nothing, so every header would pass; name what is required: "canonical", ...'
        )
    return policy


def _demand(table: Fields) -> Demand:
    """Read whose attestations count, and how many of them must agree."""
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
        what = "it was built differently from CPython's own generator"
        yield Check(kind="policy", status="failed", what=what, details=details)
    if not policy.provisional and manifest.doubts:
        details = (*manifest.doubts, *(f"{item.what}: {item.why}" for item in manifest.differences), _KNOWN)
        what = "it is provisional: stencilkit did not know what it was built from"
        yield Check(kind="policy", status="failed", what=what, details=details)
    if not policy.mingw and (found := mingw_headers(manifest)):
        what = "it was compiled with mingw's headers, which is good for checks, and not for an msvc build"
        yield Check(kind="policy", status="failed", what=what, details=(*found, _SDK))


def mingw_headers(manifest: Manifest) -> tuple[str, ...]:
    """List what shows that mingw's headers went into stencils, whatever their manifest calls them."""
    marked = ('the manifest says headers = "mingw"',) if manifest.headers == "mingw" else ()
    return (*marked, *(file.name for file in manifest.includes if _MINGW.search(file.name)))


def _unasked(kind: Kind, checks: Collection[Check]) -> str:
    """Say why there is no answer: the first of what it takes that is missing."""
    if any(check.kind == "canonical" and check.status == "failed" for check in checks):
        return "it takes a header that holds nothing but stencils"
    without_manifest = kind in _BY_MANIFEST and all(check.kind != "manifest" for check in checks)
    return _NEEDS["manifest" if without_manifest else kind]


def conclude(subject: str, checks: Iterable[Check], digests: Mapping[str, str], policy: Policy, stamp: str) -> Verdict:
    """Gather the checks; what the policy requires and was not checked is a failure."""
    found = list(checks)
    answered = {check.kind for check in found if check.status != "noted"}
    found += [
        Check(kind=kind, status="failed", what=f"not checked: {_unasked(kind, found)}")
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
