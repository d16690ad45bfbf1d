"""From a request to the files of one output folder: what they are made from, and whether that was made before."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from stencilkit import cc1, compiler, dialects, source, toolchain
from stencilkit.compiler import closure
from stencilkit.errors import ConfigureError, FlagError, TargetError, ToolchainError
from stencilkit.model import cflags
from stencilkit.model.build import Closure, Plan
from stencilkit.model.manifest import Use, UsedFile
from stencilkit.model.pyconfig import PyConfig
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import SourceTree
from stencilkit.model.target import PythonSupport, SpelledTarget
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import asking, remembering
from stencilkit.pipeline.remembering import Begun, Early, Inputs
from stencilkit.support import environ, escape, files, process, resources
from stencilkit.support.cache import NoStore, Store
from stencilkit.support.progress import SILENT, Progress

# In C23's and LLVM's words: #include, __has_include, #embed, __has_embed, .incbin.
_READING: Final = ("include", "embed", "incbin")


def build(request: BuildRequest, store: Store, *, progress: Progress = SILENT) -> Build:
    """Build the stencils of one request, or recall them where all that they are made from is as it was.

    Raises: StencilkitError of the stage that refuses; SourceError where a file changes meanwhile.
    """
    check(request.tree, request.asked, request.toolchain, request.cflags)
    notes = (*_doubts(request), *check_threading(request.tree.python.support, request.pyconfig))
    # Digested before they are read, so that a change in between is found.
    moment = environ.moment()
    stamps = remembering.stamps(request.tree.root / name for name in dialects.digested_files(request.tree))
    used = _used(request.tree)
    plan = plan_of(request)
    if reading := _reading(plan):
        store = NoStore(programs=store.programs)
        notes += (f"nothing is cached: {reading} may include a file, and what a uop alone includes is in no key",)
    with files.scratch("build") as work, process.workers(1) as beside:
        early = _begin(plan, request, work, beside) if store.keeps and remembering.is_new(request, store) else None
        inputs = _gather(request, plan, used, store, work)
        key = remembering.key(inputs)
        known = remembering.recall(key, request, store)
        if known is not None:
            progress.begin(plan.label, len(plan.units))
            progress.advance(len(plan.units))
            progress.end()
            return replace(known, notes=notes)
        from stencilkit.pipeline import making  # noqa: PLC0415  # loading it takes as long as the rest of such an answer

        begun = Begun(moment, stamps, functools.partial(closure.find, plan, work))
        with remembering.unchanged(inputs, store, begun):
            made = making.make(inputs, store, work, progress, early)
    if not made.unrecorded:
        remembering.keep(key, made.build, store)
    store.trim()
    return replace(made.build, notes=(*notes, *made.build.notes, *made.unrecorded))


def _begin(plan: Plan, request: BuildRequest, work: Path, beside: ThreadPoolExecutor) -> Early | None:
    """Begin to precompile what all uops include: most of them will have to be compiled, and a processor is idle."""
    if sum(unit.role == "uop" for unit in plan.units) < 2:
        return None
    moment = environ.moment()
    return Early(moment=moment, session=beside.submit(_precompile, plan, work, batched=request.batched))


def _precompile(plan: Plan, work: Path, *, batched: bool) -> compiler.Session:
    return compiler.prepare(compiler.ask(plan, work, batched=batched))


def _reading(plan: Plan) -> str:
    """Name a unit whose text behind the headers may read a file, "" where none does; no CPython has had one."""
    # Units of one build may share a text of hundreds of kilobytes (3.13's dead cases).
    texts = {text: unit.name for unit in plan.units for text in (unit.body, unit.short_body or "")}
    return next((name for text, name in texts.items() if any(word in text for word in _READING)), "")


def _gather(request: BuildRequest, plan: Plan, used: tuple[UsedFile, ...], store: Store, work: Path) -> Inputs:
    """Ask clang and the tree for all that decides what will be made; `used` was digested before the plan was made."""
    tree = request.tree
    # None of these needs another, and each waits for programs; what needs none is done meanwhile. The closure is last.
    with process.workers() as pool:
        closing = pool.submit(closure.find, plan, work)
        asked = asking.begin(plan, work, pool)
        identifying = pool.submit(toolchain.identity, request.toolchain, store, asked.said)
        code = resources.whole_digest()
        variants = dialects.variants(tree)
        line1 = tree.python.dialect.input_digest(
            tree, request.pyconfig.content, request.asked, request.flavour, request.cflags
        )
        told = asking.find(asked, allow=request.allow_driver_flags)
        included, identity = closing.result(), identifying.result()
    return Inputs(
        request=request,
        plan=plan,
        told=told,
        heard=asked.digest(),
        closure=included,
        identity=identity,
        used=(*used, *_conditional(plan, included)),
        variants=variants,
        line1=line1,
        code=code,
    )


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


def _used(tree: SourceTree) -> tuple[UsedFile, ...]:
    """Digest what line 1 covers, and the code that runs the stencils."""
    return (
        *(_digested(tree, "line-1", name) for name in dialects.digested_files(tree)),
        _digested(tree, "runtime", source.PATCH_SOURCE),
    )


def _conditional(plan: Plan, closure: Closure) -> Iterator[UsedFile]:
    """Digest what is included under other conditions."""
    included = {file.name for file in closure.files if file.origin == "tree"}
    for name in source.mentioned(plan.tree, included, (flag.text for flag in plan.used_flags())):
        if name not in included:
            yield _digested(plan.tree, "conditional", name)


def _digested(tree: SourceTree, use: Use, name: str) -> UsedFile:
    return UsedFile(use=use, name=name, sha256=files.sha256(tree.root / name))


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
    if words := shlex.split(cflags):
        cc1.check_words(cc1.load(), words)


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
