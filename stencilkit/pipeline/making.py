"""From what a build is made from to its files: compile, finish, render, describe."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from stencilkit import holes, manifest, source
from stencilkit.errors import CompileError, RelocationError
from stencilkit.model import pyconfig
from stencilkit.model.build import Closure, IncludedFile
from stencilkit.model.layout import Layout
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.objectfile import ObjectFile
from stencilkit.model.request import Build, BuildRequest
from stencilkit.model.source import Variant
from stencilkit.model.stencil import StencilSet
from stencilkit.pipeline import aligning, companions, compiling, keeping, recording, rendering
from stencilkit.pipeline.remembering import Early, Inputs
from stencilkit.support import process, resources
from stencilkit.support.cache import Store, key_of
from stencilkit.support.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A build whose notes are about how it was compiled, and why no layout was recorded, () where one was."""

    build: Build
    unrecorded: tuple[str, ...]


def make(inputs: Inputs, store: Store, work: Path, progress: Progress, early: Early | None = None) -> Made:
    """Make the files of a build; what has to be compiled is compiled in the folder `work`, where `early` works, too.

    Raises: StencilkitError of the stage that refuses.
    """
    request, plan = inputs.request, inputs.plan
    dialect = request.tree.python.dialect
    with process.workers(2) as helpers:
        # The layout takes the longest where one uop has changed.
        reading = helpers.submit(_words, inputs.closure, store)
        layouts = helpers.submit(_layout, inputs, reading, store, work) if request.layout else None
        compiled = compiling.compile_all(inputs, work, store, progress, early)
        stencils = _finish(request, inputs.variants, compiled.objects)
        aligning.check(stencils, request.target.arch, store)
        beside = companions.derived(request.target, compiled.shim, inputs.code, store)
        summary = manifest.summarise(stencils, beside.digests)
        outputs = rendering.render(
            dialect,
            request.asked,
            stencils,
            beside,
            line1=inputs.line1,
            line2=f"{rendering.GENERATOR}, content sha256:{summary.content}",
            comments=request.comments,
        )
        layout, unrecorded = layouts.result() if layouts else (None, ())
        seen = reading.result()
    described = manifest.describe(
        request,
        plan,
        inputs.closure,
        inputs.identity,
        driver=compiled.driver,
        cpu=inputs.told.cpu,
        more_deviations=inputs.told.deviations(),
        input_digest=inputs.line1,
        summary=summary,
        visible=pyconfig.visible(request.pyconfig.content.decode("utf-8", "replace"), seen.tree | seen.foreign),
        foreign_words=seen.foreign,
        used=inputs.used,
        layout=layout,
        variants=inputs.variants,
        files={role: (name, outputs[name]) for role, name in dialect.file_names(request.asked).items()},
    )
    if request.layout:
        # Nobody else writes one.
        outputs[MANIFEST_NAME] = manifest.render(described).encode()
    build = Build(request=request, manifest=described, files=outputs, notes=compiled.notes)
    return Made(build=build, unrecorded=unrecorded)


def _tree_words(reading: Future[_Words]) -> frozenset[str]:
    return reading.result().tree


def _layout(inputs: Inputs, reading: Future[_Words], store: Store, work: Path) -> tuple[Layout | None, tuple[str, ...]]:
    """Record what the stencils have compiled in, or return a note that says why not: they are as good without it."""
    try:
        words = functools.partial(_tree_words, reading)
        begin = functools.partial(keeping.recalled, inputs, store, work / "uses")
        return recording.record(inputs.plan, inputs.closure, words, inputs.identity, store, work, begin), ()
    except CompileError as error:
        return None, (f"no layout for stencilkit witness was recorded: {error.what}",)


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of the included files of the tree, and those of all others."""

    tree: frozenset[str]
    foreign: frozenset[str]


def _words(included: Closure, store: Store) -> _Words:
    """List words of files; those of all but the uops, which change, are in the store."""
    files: dict[str, list[tuple[Path, IncludedFile]]] = {"uops": [], "tree": [], "foreign": []}
    for path, file in included.paths:
        own = "uops" if file.name == source.CASES else "tree"
        files[own if file.origin == "tree" else "foreign"].append((path, file))
    uops = _read_words([path for path, _ in files["uops"]])
    return _Words(tree=_kept_words(files["tree"], store) | uops, foreign=_kept_words(files["foreign"], store))


def _kept_words(files: Sequence[tuple[Path, IncludedFile]], store: Store) -> frozenset[str]:
    key = key_of("words", resources.code_digest("model/pyconfig.py"), sorted({file.sha256 for _, file in files}))
    kept = store.get(key)
    if kept is not None:
        return frozenset(kept.decode("ascii", "replace").split())
    found = _read_words([path for path, _ in files])
    store.put(key, " ".join(sorted(found)).encode())
    return found


def _read_words(paths: Iterable[Path]) -> frozenset[str]:
    return pyconfig.words(path.read_bytes() for path in paths)


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
