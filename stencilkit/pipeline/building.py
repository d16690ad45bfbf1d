"""From a request to the files of one output folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stencilkit import (
    cc1,
    dialects,
    holes,
    manifest,
    source,
    toolchain,
)
from stencilkit.compiler import closure
from stencilkit.errors import CompileError, ConfigureError, FlagError, RelocationError, TargetError, ToolchainError
from stencilkit.model import cflags, pyconfig
from stencilkit.model.build import Closure, Plan
from stencilkit.model.layout import Layout
from stencilkit.model.manifest import MANIFEST_NAME, Use, UsedFile
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import SourceTree, Variant
from stencilkit.model.stencil import StencilSet
from stencilkit.model.target import PythonSupport, SpelledTarget
from stencilkit.model.toolchain import Identity, Toolchain
from stencilkit.pipeline import asking, companions, compiling, recording, rendering
from stencilkit.support import escape, files, process
from stencilkit.support.cache import Store
from stencilkit.support.progress import SILENT, Progress


def build(request: BuildRequest, store: Store, *, progress: Progress = SILENT) -> Build:
    """Build the stencils of one request.

    Raises: StencilkitError of the stage that refuses.
    """
    dialect = request.tree.python.dialect
    check(request.tree, request.asked, request.toolchain, request.cflags)
    notes = (*_doubts(request), *check_threading(request.tree.python.support, request.pyconfig))
    plan = plan_of(request)
    with files.scratch("build") as work, process.workers(1) as helper:
        # Hashing a toolchain takes as long as preprocessing the headers, and neither needs the other.
        identifying = helper.submit(toolchain.identity, request.toolchain, store)
        told = asking.find(plan, work, allow=request.allow_driver_flags)
        included = closure.find(plan, work)
        identity = identifying.result()
        seen = _words(included)
        layouts = helper.submit(_layout, plan, included, seen.tree, identity, store, work) if request.layout else None
        compiled = compiling.compile_all(plan, work, included, identity, told.unasked, request, store, progress)
        layout, layout_notes = layouts.result() if layouts else (None, ())
    variants = dialects.variants(request.tree)
    stencils = _finish(request, variants, compiled.objects)
    beside = companions.derive(request.target, compiled.shim)
    summary = manifest.summarise(stencils, beside.digests)
    digest = dialect.input_digest(
        request.tree, request.pyconfig.content, request.asked, request.flavour, request.cflags
    )
    outputs = rendering.render(
        dialect,
        request.asked,
        stencils,
        beside,
        line1=digest,
        line2=f"{rendering.GENERATOR}, content sha256:{summary.content}",
        comments=request.comments,
    )
    described = manifest.describe(
        request,
        plan,
        included,
        identity,
        driver=compiled.driver,
        cpu=told.cpu,
        more_deviations=told.deviations(),
        input_digest=digest,
        summary=summary,
        visible=pyconfig.visible(request.pyconfig.content.decode("utf-8", "replace"), seen.tree | seen.foreign),
        foreign_words=seen.foreign,
        used=_used(plan, included),
        layout=layout,
        variants=variants,
        files={role: (name, outputs[name]) for role, name in dialect.file_names(request.asked).items()},
    )
    outputs[MANIFEST_NAME] = manifest.render(described).encode()
    return Build(
        request=request,
        stencils=stencils,
        manifest=described,
        files=outputs,
        notes=(*notes, *compiled.notes, *layout_notes),
    )


def _layout(
    plan: Plan,
    included: Closure,
    words: frozenset[str],
    identity: Identity,
    store: Store,
    work: Path,
) -> tuple[Layout | None, tuple[str, ...]]:
    """Record what the stencils have compiled in, or return a note that says why not: they are as good without it."""
    try:
        return recording.record(plan, included, words, identity, store, work), ()
    except CompileError as error:
        return None, (f"no layout for stencilkit witness was recorded: {error.what}",)


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of the included files of the tree, and those of all others."""

    tree: frozenset[str]
    foreign: frozenset[str]


def _words(included: Closure) -> _Words:
    # Most words are in many files, so all files are read as one.
    texts: dict[bool, list[bytes]] = {True: [], False: []}
    for path, file in included.paths:
        texts[file.origin == "tree"].append(path.read_bytes())
    return _Words(*(pyconfig.words(b"\n".join(texts[own])) for own in (True, False)))


def _doubts(request: BuildRequest) -> Iterator[str]:
    """Describe what makes a build provisional, and what to do about it."""
    tree, version = request.tree, request.toolchain.version
    newest = tree.python.support.newest_checked
    if tree.provisional is not None:
        yield f"CPython {tree.version} is built as {tree.provisional.series}: provisional; --check-upstream compares"
        yield from (f"{item.weight}: {item.what} ({item.why})" for item in tree.provisional.differences)
    if newest is not None and version.major > newest:
        snapshot = f", a snapshot of LLVM's development branch (releases start at {version.major}.1.0)"
        what = f"LLVM {version}{snapshot if version.is_snapshot else ''}"
        yield f"{what} is taken for {newest}: provisional; --check-upstream compares"


def _used(plan: Plan, closure: Closure) -> tuple[UsedFile, ...]:
    """Digest what line 1 covers, the code that runs the stencils, and what is included under other conditions."""
    tree = plan.tree
    uses: list[tuple[Use, str]] = [("line-1", name) for name in dialects.digested_files(tree)]
    uses.append(("runtime", source.PATCH_SOURCE))
    included = {file.name for file in closure.files if file.origin == "tree"}
    mentioned = source.mentioned(tree, included, (flag.text for flag in plan.used_flags()))
    uses += [("conditional", name) for name in mentioned if name not in included]
    return tuple(UsedFile(use=use, name=name, sha256=files.sha256(tree.root / name)) for use, name in uses)


def check(tree: SourceTree, asked: SpelledTarget, tool: Toolchain, cflags: str) -> None:
    """Refuse combinations that cannot work, before any work is done.

    Raises: TargetError, ToolchainError, FlagError.
    """
    support = tree.python.support
    if asked.target.triple not in support.targets:
        raise TargetError(
            f"CPython {support.series} has no JIT for {asked.target.triple}",
            fix="it has one for " + ", ".join(support.targets),
        )
    check_llvm(support, tool.version.major)
    toolchain.check_arch(tool, asked.target.arch)
    if "\n" in cflags or escape.CONTROL.search(cflags):
        raise FlagError(
            "the flags for the JIT have a line end or another control character",
            where="--cflags (CPython's CFLAGS_JIT)",
            fix="write them on one line, with spaces between them",
        )
    cc1.check_words(cc1.load(), shlex.split(cflags))


def check_llvm(support: PythonSupport, major: int) -> None:
    """Refuse an LLVM outside a CPython's range, with the reason.

    Raises: ToolchainError.
    """
    if major not in support.llvm:
        why = support.too_old if major < support.llvm.first else support.too_new
        raise ToolchainError(
            f"LLVM {major} cannot build the stencils of CPython {support.series}: {why}",
            fix=f"use one of LLVM {support.llvm} (upstream uses {support.pinned})"
            + (", or try it: --provisional" if major > support.llvm.last else ""),
        )


def check_threading(support: PythonSupport, config: PyConfig) -> tuple[str, ...]:
    """Refuse a free-threaded build where upstream's JIT is of no use in it; return upstream's warning where it warns.

    Raises: ConfigureError.
    """
    if config.macros.get("Py_GIL_DISABLED") is None:
        return ()
    if support.free_threading_refused:
        raise ConfigureError(
            f"no stencils for a free-threaded CPython {support.series}: {support.free_threading_refused}",
            where=str(config.folder / "pyconfig.h"),
            fix="configure without --disable-gil, or without the JIT",
        )
    return (f"Py_GIL_DISABLED: {support.free_threading_note}",) if support.free_threading_note else ()


def plan_of(request: BuildRequest) -> Plan:
    """Gather all that decides what a compiler makes of a request."""
    target, dialect, support = request.target, request.tree.python.dialect, request.tree.python.support
    major = request.toolchain.version.major
    words = tuple(shlex.split(request.cflags))
    build = request.pyconfig.folder if request.pyconfig.origin == "given" else None
    if build is None and (paths := cflags.relative(words)):
        raise FlagError(
            f"{paths[0]} is relative to the folder that CPython is built in, and none was named",
            where="--cflags (CPython's CFLAGS_JIT)",
            fix="name that folder with --pyconfig-dir, or write the whole path",
        )
    return Plan(
        tree=request.tree,
        target=target,
        flavour=request.flavour,
        toolchain=request.toolchain,
        headers=request.headers,
        pyconfig=request.pyconfig.folder,
        order=support.order,
        entry_order=support.entry_order,
        flags=support.flags_for(target),
        cflags=words,
        units=dialect.units(request.tree, source.uops(request.tree), target),
        emits=dialect.emits(target),
        build=build,
        deviations=tuple(known for known in support.targets[target.triple].deviations if major in known.llvm),
    )


def _finish(request: BuildRequest, variants: tuple[Variant, ...], objects: Mapping[str, ObjectFile]) -> StencilSet:
    """Turn object files into stencils, which call no function that this CPython does not have.

    Raises: ObjectError, RelocationError.
    """
    target, dialect, support = request.target, request.tree.python.dialect, request.tree.python.support
    values = frozenset(dialect.HEADER.values)
    lowered = [holes.lower(name, obj, values) for name, obj in objects.items()]
    for unit in lowered:
        holes.check_entry(unit, *dialect.ENTRY_SYMBOLS)
    stencils = dialect.finish(lowered, target, support.targets[target.triple], variants)
    available = source.patch_functions(request.tree)
    for group in stencils.groups:
        for patch in group.patches:
            if patch.func and patch.func not in available:
                raise RelocationError(
                    f"{patch.func} is needed, but this CPython's Python/jit.c does not have it",
                    where=f"uop {group.name}, {request.tree.root}",
                    fix="use a CPython release that stencilkit knows, or report this one",
                )
    return stencils
