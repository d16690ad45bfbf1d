"""A manifest beside a CPython tree: what the tree would make stencils from is what these were made from."""

from __future__ import annotations

from collections.abc import Iterator

from stencilkit.model.header import ReadHeader
from stencilkit.model.manifest import Manifest
from stencilkit.model.pyconfig import VisibleConfig
from stencilkit.model.verdict import Check, TreeFacts
from stencilkit.verify._lines import some


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
        ("the stencils are not those of the tree's uops", tuple(some(units))),
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
    """Return whether all files that line 1 covers are what the manifest says."""
    return not facts.line1 and facts.config_sha256 == manifest.pyconfig_sha256


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
