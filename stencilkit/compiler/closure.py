"""What the units of a build include: the list of files, and a digest of what the preprocessor makes of them."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from stencilkit.errors import CompileError, FlagError, SourceError, StencilkitError
from stencilkit.model.build import Closure, FileOrigin, IncludedFile, Plan
from stencilkit.support import environ, files, process

_TIMEOUT_SECONDS: Final = 600.0
_PYCONFIG: Final = "pyconfig.h"
_READINGS: Final = 5
"""How often files may change while they are read."""


def find(plan: Plan, work: Path) -> Closure:
    """Preprocess everything that the units include; list the files that it really includes.

    The files that the units' own text comes from are listed too. A file may be saved between clang's reading it and our
    hashing it, or others take its place: where something is young, all is preprocessed once more, so that the digest is
    that of the files that were hashed before and behind it.

    Raises: CompileError with clang's diagnostics; SourceError where files do not stay as they are.
    """
    kinds = _kinds(plan)
    before: object = None
    young: list[Path] = []
    for _ in range(_READINGS):
        moment = environ.moment()
        found, digest = _read(plan, work, kinds)
        closure = _listed(plan, found, digest)
        hashed = closure.files, closure.paths
        young = files.young((*sorted(found), *sorted(_ways(plan, found))), moment)
        if not young or hashed == before:
            return closure
        before = hashed
    raise SourceError(
        "a file that all uops include is changed again and again",
        where=str(young[0]),
        fix="build again when nothing else works on it; nothing was written",
    )


def _read(plan: Plan, work: Path, kinds: Mapping[bool, str]) -> tuple[set[Path], str]:
    """Preprocess what units of each kind include; return the files that were read, and the digest of the results."""
    sources = [work / f"closure-{number}.c" for number in range(len(kinds))]
    with process.workers() as pool:
        done = list(pool.map(lambda source, kind: _preprocess(plan, source, *kind), sources, kinds.items()))
    found = {path for _, paths in done for path in paths}
    return found, hashlib.sha256(b"\0".join(text for text, _ in done)).hexdigest()


def _listed(plan: Plan, found: Iterable[Path], digest: str) -> Closure:
    """Hash the files that were read, and those of the units' own text."""
    paths = sorted(_resolved({*found, *(plan.tree.root / name for name in plan.sources)}))
    included = dict(zip(paths, _included(_places(plan), paths), strict=True))
    return Closure(
        files=tuple(sorted(included.values(), key=lambda file: (file.origin, file.name))),
        digest=digest,
        paths=tuple((path, file) for path, file in included.items() if file.origin != "pyconfig"),
    )


def _resolved(paths: Iterable[Path]) -> set[Path]:
    """Follow links as Path.resolve does; hundreds of headers are in few folders, which are followed once."""
    folders: dict[Path, Path] = {}
    found = set()
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
        place = folders[path.parent] / path.name
        found.add(place.resolve() if path.name == ".." or place.is_symlink() else place)
    return found


def _ways(plan: Plan, paths: Iterable[Path]) -> set[Path]:
    """List the tree's folders, and all links, on the way to files: old files may take the place of others with them.

    Other folders do not count: in some of those above a tree (/tmp), something is new all the time.
    """
    ways = {way for folder in {path.parent for path in paths} for way in (folder, *folder.parents)}
    return {way for way in ways if way.is_relative_to(plan.tree.root) or way.is_symlink()}


def _kinds(plan: Plan) -> dict[bool, str]:
    """Map whether a unit is the entry to all that such units include: 3.15's shim has other macros.

    Where the two are compiled alike, the uops' part has it all.
    """
    kinds: dict[bool, dict[str, None]] = {False: {}, True: {}}
    alike = plan.line(entry=False, step="emit") == plan.line(entry=True, step="emit")
    for unit in plan.units:
        kinds[unit.role != "uop" and not alike][unit.prefix] = None
    return {entry: "\n".join(prefixes) for entry, prefixes in kinds.items() if prefixes}


def _preprocess(plan: Plan, source: Path, entry: bool, text: str) -> tuple[bytes, set[Path]]:  # noqa: FBT001  # private
    """Preprocess a text; return the result with all macro definitions, and the files that it includes."""
    source.write_text(text, "utf-8")
    rule = source.with_suffix(".d")
    done = _run(plan, source, rule, entry=entry)
    if done.returncode:
        raise _explained(done.err, plan, source, rule, entry=entry)
    names = _dependencies(rule.read_text("utf-8"))
    return done.stdout, {source.parent / name for name in names if name != source.name}


def _run(plan: Plan, source: Path, rule: Path, *, entry: bool) -> process.Completed:
    made = ("-E", "-P", "-dD", "-MD", "-MF", rule.name, source.name)
    words = plan.driver_arguments(entry=entry, step="emit", files=made)
    return process.run([*plan.toolchain.command, *words], cwd=source.parent, timeout=_TIMEOUT_SECONDS)


def _explained(printed: str, plan: Plan, source: Path, rule: Path, *, entry: bool) -> StencilkitError:
    """Find out whether it is the user's flags that clang does not take: without them, it would go on."""
    if plan.cflags and _run(replace(plan, cflags=()), source, rule, entry=entry).returncode == 0:
        return FlagError(
            "clang cannot preprocess what all uops include with these flags, and can without them",
            where=f"--cflags (CPython's CFLAGS_JIT): {shlex.join(plan.cflags)}",
            details=printed,
            fix="correct the flags, or leave out what this clang does not know",
        )
    return CompileError(
        "clang cannot preprocess what all uops include",
        where=plan.toolchain.label,
        details=printed,
        fix="check that the headers it names are installed, and that pyconfig.h is for this target",
    )


def _dependencies(rule: str) -> list[str]:
    """Read the prerequisites of a makefile rule as clang writes it (spaces, # and $ are escaped)."""
    _, _, text = rule.replace("\\\n", " ").partition(": ")
    words = re.findall(r"(?:\\.|[^\s\\])+", text)
    return [re.sub(r"\\(.)", r"\1", word).replace("$$", "$") for word in words]


def _places(plan: Plan) -> tuple[tuple[FileOrigin, Path], ...]:
    """List where files come from, the most particular first; pyconfig.h is a file, the others are folders."""
    roots: list[tuple[FileOrigin, Path]] = [("tree", plan.tree.root.resolve())]
    if plan.build is not None:
        roots.append(("build", plan.build.resolve()))
    return (
        # It may be a link to a file of another name.
        ("pyconfig", (plan.pyconfig / _PYCONFIG).resolve()),
        ("compiler", plan.toolchain.resource.resolve() / "include"),
        # One may be in the other; where they are one, it is the tree.
        *sorted(roots, key=lambda place: -len(place[1].parts)),
        ("system", plan.headers.root.resolve()),
    )


def _included(places: Sequence[tuple[FileOrigin, Path]], paths: Iterable[Path]) -> Iterator[IncludedFile]:
    """Say where each file comes from; hundreds are in few folders, each of which is looked for once."""
    (config, pyconfig), *folders = places
    known: dict[Path, tuple[FileOrigin, str]] = {}
    for path in paths:
        if path == pyconfig:
            yield IncludedFile(origin=config, name=_PYCONFIG, sha256=files.sha256(path))
            continue
        if path.parent not in known:
            known[path.parent] = _folder(folders, path.parent)
        origin, start = known[path.parent]
        yield IncludedFile(origin=origin, name=f"{start}{path.name}", sha256=files.sha256(path))


def _folder(places: Sequence[tuple[FileOrigin, Path]], folder: Path) -> tuple[FileOrigin, str]:
    """Find the place that a folder is below; return that, and the start of its files' names there."""
    anywhere: tuple[FileOrigin, Path] = ("system", Path(folder.anchor))
    origin, root = next((origin, root) for origin, root in (*places, anywhere) if folder.is_relative_to(root))
    return origin, "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
