"""A build -> what the tree's own generator makes of the same tree, pyconfig.h, clang and flags, compared.

Equal means: every file has the same lines once those that start with `//` are dropped, objects the same bytes.
Needs a POSIX shell. Refuses nothing by itself: what comes out is a `Judgement`.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from stencilkit import dialects, generator, reader, source, toolchain
from stencilkit.errors import HeaderError
from stencilkit.model import cflags, digest
from stencilkit.model.build import Plan
from stencilkit.model.judgement import Allowed, Call, ComparedFile, Judgement, Sample
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import STENCIL_PARTS
from stencilkit.model.stencil import StencilGroup
from stencilkit.model.toolchain import Toolchain
from stencilkit.pipeline import building, knowing, sampling
from stencilkit.support import files
from stencilkit.support.cache import Store
from stencilkit.support.progress import SILENT, Progress

# How many lines of a difference are kept of each file.
_LINES: Final = 40


def judge(
    build: Build,
    others: Iterable[Toolchain],
    store: Store,
    sample: Sample | None = None,
    *,
    progress: Progress = SILENT,
) -> Judgement:
    """Run the generator of a build's tree, on all uops or on a sample, and compare its files with the build's.

    For a sample, stencilkit builds the same few uops again, and their stencils are compared with the build's too.
    `others` are the toolchains of this machine, which lend the programs beside clang that the build's has not.

    Raises: ToolchainError where a program of LLVM's is missing; SourceError, CompileError where the generator fails.
    """
    if sample is None:
        return judge_by(build, build, others, progress=progress)
    with files.scratch("sample") as work:
        tree = sampling.shrink(build.request.tree, sample, work / "tree")
        small = building.build(replace(build.request, tree=tree), store)
        return judge_by(build, small, others, seed=sample.seed, progress=progress)


def judge_by(
    build: Build, small: Build, others: Iterable[Toolchain], *, seed: str = "", progress: Progress = SILENT
) -> Judgement:
    """Run the generator on the tree of `small`, which is a build of some of the uops of `build`, or that build itself.

    `seed` chose the uops, "" where they are all.

    Raises: ToolchainError where a program of LLVM's is missing; SourceError, CompileError where the generator fails.
    """
    request = small.request
    call = call_of(request, others)
    uops, all_ = len(source.uops(request.tree)), len(source.uops(build.request.tree))
    progress.say(f"running the tree's own Tools/jit/build.py on {uops} of {all_} uops")
    with files.scratch("judge") as work:
        copy = work / "tree"
        files.copy_parts(request.tree.root, copy, STENCIL_PARTS)
        made = generator.run(call, copy, work)
    ours = small.files
    theirs = _renamed(made.files, call, request, ours)
    header = request.tree.python.dialect.file_names(request.asked)["stencils"]
    different = different_uops(ours.get(header, b""), theirs.get(header, b""))
    return Judgement(
        uops=uops,
        of=all_,
        files=compare(ours, theirs),
        different=tuple(sorted({*different, *sampling.strays(build.manifest, small.manifest)})),
        allowed=(*allowed(building.plan_of(request)), *made.allowed),
        programs=call.programs,
        seed=seed,
    )


def _renamed(
    theirs: Mapping[str, bytes], call: Call, request: BuildRequest, ours: Mapping[str, bytes]
) -> Mapping[str, bytes]:
    """Give the files for a target that upstream has not the names and the condition that they have here."""
    target = request.target
    if not target.like:
        return theirs
    spelt = next((name for name in (request.asked.spelling, target.triple) if any(name in n for n in ours)), "")
    names = (call.spelling.encode(), spelt.encode())
    conditions = (knowing.target(target.like).target.condition.encode(), target.condition.encode())
    return {
        name.replace(call.spelling, spelt): data.replace(*names).replace(*conditions) for name, data in theirs.items()
    }


def call_of(request: BuildRequest, others: Iterable[Toolchain]) -> Call:
    """Spell the run of the generator that is to make the same as a request."""
    plan = building.plan_of(request)
    names = generator.programs(request.tree.root)
    found = [(name, toolchain.beside(request.toolchain, name, others)) for name in names]
    like, triple = request.target.like, request.target.triple
    return Call(
        # Upstream does not know this target: it makes the one that is like it, with a clang that is given this triple.
        spelling=like or request.asked.spelling,
        flavour=request.flavour,
        llvm=request.toolchain.version.major,
        clang=request.toolchain.command,
        programs={name: path for name, path in found if path is not None},
        pyconfig=request.pyconfig.folder,
        cflags=plan.cflags if plan.build is None else cflags.absolute(plan.cflags, plan.build),
        headers=plan.headers.arguments,
        more=[
            *([f"--target={triple}"] if like else []),
            *(flag.text for flag in plan.used_flags() if flag.deviates),
        ],
        leaves_out=[known.leaves_out for known in plan.deviations if known.leaves_out],
    )


def allowed(plan: Plan) -> tuple[Allowed, ...]:
    """List what the generator is made to do as stencilkit does it."""
    flags = [Allowed(what=flag.text, why=flag.deviates) for flag in plan.used_flags() if flag.deviates]
    target = plan.target
    flags += [Allowed(what=f"--target={target.triple}", why=target.why)] if target.like else []
    return (*flags, *(Allowed(what=known.what, why=known.why) for known in plan.deviations if known.leaves_out))


def compare(ours: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> tuple[ComparedFile, ...]:
    """Compare the files of both generators, our manifest aside; one that only one of them has is different."""
    names = sorted({*ours, *theirs} - {MANIFEST_NAME})
    return tuple(ComparedFile(name=name, lines=_difference(name, ours.get(name), theirs.get(name))) for name in names)


def _difference(name: str, ours: bytes | None, theirs: bytes | None) -> tuple[str, ...]:
    if ours is None or theirs is None:
        return ("only upstream's generator writes it" if ours is None else "upstream's generator does not write it",)
    if not name.endswith(".h"):
        return () if ours == theirs else (f"other bytes: {len(ours)} of stencilkit's, {len(theirs)} of upstream's",)
    upstreams, stencilkits = without_comments(theirs), without_comments(ours)
    if upstreams == stencilkits:
        return ()
    lines = difflib.unified_diff(upstreams, stencilkits, "upstream", "stencilkit", lineterm="", n=2)
    return tuple(itertools.islice(lines, _LINES))


def without_comments(data: bytes) -> list[str]:
    """Split a header into lines, without those that are comments."""
    return [line for line in data.decode("utf-8", "replace").split("\n") if not line.lstrip().startswith("//")]


def different_uops(ours: bytes, theirs: bytes) -> set[str]:
    """Name the stencils that differ between two headers; none where one of them cannot be read."""
    try:
        one, two = ({group.name: digest.group_digest(group) for group in _stencils(data)} for data in (ours, theirs))
    except HeaderError:
        return set()
    return {name for name in {*one, *two} if one.get(name) != two.get(name)}


def _stencils(data: bytes) -> tuple[StencilGroup, ...]:
    text = data.decode("utf-8", "replace")
    return reader.read(text, dialects.header_forms(), "a header").stencils.groups
