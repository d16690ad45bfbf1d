"""From words (a version, a triple, a folder) to all that stencilkit knows of what they name.

Here, and nowhere else, a dialect and a row of targets.toml are looked up: what is opened carries them along.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stencilkit import dialects, source, targets
from stencilkit.errors import SourceError
from stencilkit.model.dialect import Python
from stencilkit.model.novelty import Provisional
from stencilkit.model.source import SourceTree
from stencilkit.model.target import SpelledTarget, Target


@functools.cache
def pythons() -> Mapping[str, Python]:
    """Return every CPython minor version, the oldest first."""
    table = targets.load().pythons
    return {series: Python(dialect=dialects.dialect_for(series), support=table[series]) for series in dialects.KNOWN}


def python(series: str) -> Python:
    """Find a minor version, as in "3.14".

    Raises: SourceError.
    """
    found = pythons().get(series)
    if found is None:
        raise SourceError(f"stencilkit does not know CPython {series}", fix=f"it knows {', '.join(pythons())}")
    return found


def tree(root: Path, *, provisional: bool = False) -> SourceTree:
    """Open a folder that is a CPython source tree.

    With `provisional`, a CPython that is newer than all that are known is taken for the newest of them, and any newer
    LLVM for the newest that was checked.

    Raises: SourceError; with the reason, where what can be seen of the tree shows that no stencil would be right.
    """
    if not provisional:
        return source.open_tree(root, pythons())
    newest = list(pythons())[-1]
    opened = source.open_tree(root, pythons(), newer=pythons()[newest])
    unknown = opened.version.series not in pythons()
    support = opened.python.support.beyond()
    python_ = replace(opened.python, support=replace(support, series=opened.version.series))
    return replace(opened, python=python_, provisional=_provisional(root, newest) if unknown else None)


def _provisional(root: Path, series: str) -> Provisional:
    """Compare a tree with the minor version that it is taken for.

    Raises: SourceError.
    """
    from stencilkit import novelty  # noqa: PLC0415  # nobody needs it who has a CPython that is known

    differences = novelty.differences(novelty.read(root), novelty.known(series))
    blocking = [item for item in differences if item.weight == "blocking"]
    if blocking:
        raise SourceError(
            f"this CPython cannot be built as {series}: {blocking[0].what}",
            where=str(root),
            details="\n".join(f"{item.weight}: {item.what} ({item.why})" for item in differences),
            fix="use a stencilkit that knows this CPython",
        )
    return Provisional(series=series, differences=differences)


def known_targets() -> tuple[Target, ...]:
    """List every target."""
    return targets.load().targets


def target(spelling: str) -> SpelledTarget:
    """Find the target that a triple means, in whatever vendor's spelling.

    Raises: TargetError.
    """
    return targets.resolve(targets.load(), spelling)


def targets_of(spelling: str, series: str) -> tuple[SpelledTarget, ...]:
    """Find the targets that one --target means: a triple, a universal platform, or "all" of a minor version.

    Raises: TargetError.
    """
    return targets.resolve_all(targets.load(), spelling, series)


def is_upstreams(series: str, llvm: str) -> bool:
    """Return whether an LLVM ("19.1.7") is of the major version that a CPython's own generator asks for."""
    return targets.is_pinned(targets.load(), series, llvm)
