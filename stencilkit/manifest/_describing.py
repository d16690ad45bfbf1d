"""What went into a build and what came out of it -> a manifest, and the digests of stencils in one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from stencilkit import __version__
from stencilkit.model import digest
from stencilkit.model.build import Closure, Driver, Plan
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
    UsedFile,
    VariantRecord,
)
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.request import BuildRequest
from stencilkit.model.source import Variant
from stencilkit.model.stencil import StencilSet
from stencilkit.model.toolchain import Identity
from stencilkit.support import environ


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
