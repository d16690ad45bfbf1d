"""A folder -> a CPython source tree with a JIT, and its uops.

Refuses a folder that is no CPython, a CPython without a JIT, and cases of a shape that it does not know: a uop
that is overlooked would be a crash at run time.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from stencilkit.errors import SourceError
from stencilkit.model.dialect import Python
from stencilkit.model.source import VOUCHED, SourceTree, Uop
from stencilkit.model.version import PythonVersion
from stencilkit.support import files, trees

CASES: Final = "Python/executor_cases.c.h"
PATCH_SOURCE: Final = "Python/jit.c"
_PATCHLEVEL: Final = "Include/patchlevel.h"
_JIT: Final = "Tools/jit/template.c"
STENCIL_SOURCES: Final = (CASES, _JIT)
# CPython's Tools/jit/_targets.py finds the same cases, with .*? where this goes on by lines, in a fifth of the time:
_CASE: Final = re.compile(r"\n {8}(case (\w+): \{\n(?:.*\n)+? {8}\})")
_ANY_CASE: Final = re.compile(r"\n {8}case (\w+): *\{?")
# The last line that the cases generator writes: without it, cases are missing.
_END: Final = re.compile(r"\n#undef TIER_TWO(?:\n|\Z)")
_INCLUDE: Final = b"include"
_INCLUDED: Final = re.compile(rb'[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)')
_FOLDER: Final = re.compile(r"-(?:I|iquote|isystem) ?\{tree\}/(.+)")
_NOTE: Final = re.compile(r"(?:pin|index|sha256) [0-9a-f]{64}")
_PATCH_FUNCTION: Final = re.compile(r"^(patch_\w+)\(", re.MULTILINE)


def open_tree(root: Path, known: Mapping[str, Python], *, newer: Python | None = None) -> SourceTree:
    """Check that a folder is a CPython that stencilkit knows; `known` maps series as in "3.14", the oldest first.

    `newer` is what a newer one is built as; without it, that is refused.

    Raises: SourceError.
    """
    patchlevel = root / _PATCHLEVEL
    if not patchlevel.is_file():
        raise SourceError(
            f"{root} is not a CPython source tree: it has no {_PATCHLEVEL}",
            fix="give the folder that holds configure and Include/, or a release tarball, or a version",
        )
    version = _version(patchlevel)
    python = known.get(version.series) or (newer if _is_newer(version, known) else None)
    if python is None:
        raise SourceError(_unknown(version, tuple(known)), where=str(root), fix=_what_is_known(version, known))
    for needed in (_JIT, CASES, PATCH_SOURCE):
        if not (root / needed).is_file():
            raise SourceError(
                f"CPython {version} has no JIT here: {needed} is missing",
                where=str(root),
                fix=trees.COMPLETE,
            )
    return SourceTree(root=root, version=version, python=python, vouched=_vouched(root))


def _vouched(root: Path) -> str:
    """Read what fetch noted beside the tree; "" where fetch did not make it."""
    note = root.with_name(f"{root.name}{VOUCHED}")
    if not note.is_file():
        return ""
    text = files.read_text(note, error=SourceError, fix="remove it").strip()
    return text if _NOTE.fullmatch(text) else ""


def _is_newer(version: PythonVersion, known: Iterable[str]) -> bool:
    this = (version.major, version.minor)
    return all(tuple(map(int, series.split("."))) < this for series in known)


def _what_is_known(version: PythonVersion, known: Iterable[str]) -> str:
    text = f"stencilkit knows CPython {', '.join(known)}"
    return f"{text}; build --provisional builds it as the newest of these" if _is_newer(version, known) else text


def _unknown(version: PythonVersion, known: tuple[str, ...]) -> str:
    first, last, this = (tuple(map(int, series.split("."))) for series in (known[0], known[-1], version.series))
    if this < first:
        return f"CPython {version} has no copy-and-patch JIT; the first one with it is {known[0]}"
    if this > last:
        return f"CPython {version} is newer than this stencilkit, which cannot know how its JIT patches stencils"
    return f"CPython {version} is not one that stencilkit knows"


def _version(patchlevel: Path) -> PythonVersion:
    text = files.read_text(patchlevel, error=SourceError, fix=trees.COMPLETE)
    match = re.search(r'^#define PY_VERSION\s+"([^"]+)"', text, re.MULTILINE)
    version = PythonVersion.parse(match[1]) if match else None
    if version is None:
        raise SourceError(
            f"PY_VERSION is not a version: {match[1][:60]!r}" if match else "PY_VERSION is missing",
            where=str(patchlevel),
            fix="write it as CPython does, a vendor's words behind a plus sign: 3.14.7, 3.15.0rc1, 3.14.7+vendor.1",
        )
    return version


def uops(tree: SourceTree) -> tuple[Uop, ...]:
    """List the uops in the order of the file.

    Raises: SourceError where a case is not of the shape that the cases generator writes.
    """
    found, problem = _understood(trees.read(tree, CASES))
    if problem:
        raise SourceError(
            problem, where=str(tree.root / CASES), fix="regenerate it (make regen-cases), or report this tree"
        )
    return found


@functools.lru_cache(maxsize=1)
def _understood(text: str) -> tuple[tuple[Uop, ...], str]:
    """Read uops, and say what is wrong with them; a build asks for those of the same text several times."""
    found = tuple(_cases(text))
    names = [uop.name for uop in found]
    # Every line begins behind a line end, also the first one: looking for that is faster than re.MULTILINE.
    lines = f"\n{text}"
    expected = [match[1] for match in _ANY_CASE.finditer(lines)]
    problem = ""
    if not found:
        problem = "there are no uops"
    elif names != expected:
        odd = next(b for a, b in zip([*names, ""], expected, strict=False) if a != b)
        problem = f"a case has a shape that stencilkit does not know: {odd}"
    elif len(set(names)) != len(names):
        problem = f"a uop occurs twice: {next(name for name in names if names.count(name) > 1)}"
    elif not _END.search(lines):
        problem = f"the file ends too early, after {names[-1]}"
    return found, problem


def _cases(text: str) -> Iterator[Uop]:
    line, counted = 1, 0
    for match in _CASE.finditer(text):
        start = match.start(1)
        line += text.count("\n", counted, start)
        counted = start
        yield Uop(name=match[2], text=match[1], line=line)


def are_apart(uops: Iterable[Uop]) -> bool:
    """Return whether the case of each uop means the same without those before it: none defines a macro, say."""
    return not any(uop.alters_others for uop in uops)


def only(text: str, names: Container[str]) -> str:
    """Leave those cases of executor_cases.c.h that are not of `names` out of its text."""
    return _CASE.sub(lambda match: match[0] if match[2] in names else "", text)


def patch_functions(tree: SourceTree) -> frozenset[str]:
    """List the patch functions that this CPython's Python/jit.c defines."""
    return frozenset(_PATCH_FUNCTION.findall(trees.read(tree, PATCH_SOURCE)))


def mentioned(
    tree: SourceTree, names: Iterable[str], flags: Iterable[str], contents: Mapping[str, bytes | None] | None = None
) -> tuple[str, ...]:
    """List the files of the tree that `names` and all that they include name in an #include, whatever its condition.

    `flags` say where an #include looks, as in "-I{tree}/Include". No preprocessor runs, so this is more than was
    included, and never less, but for an #include of a macro. Files that are not there are left out, those of `names`
    too. `contents` are files that were read already.
    """
    folders = [match[1] for flag in flags if (match := _FOLDER.fullmatch(flag))]
    known = contents or {}
    places, root = trees.Places(), tree.root.as_posix()

    def is_file(name: str) -> bool:
        return places.is_file(f"{root}/{name}")

    found = set[str]()
    left = [name for name in names if is_file(name)]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            data = known.get(name)
            if data is None:
                data = files.read_bytes(tree.root / name, error=SourceError)
            left += _included(data, name, folders, is_file)
    return tuple(sorted(found))


def _included(data: bytes, name: str, folders: list[str], is_file: Callable[[str], bool]) -> Iterator[str]:
    for line in _lines_with(_INCLUDE, data):
        match = _INCLUDED.match(line)
        if match is None:
            continue
        quoted, angled = ((part or b"").decode("utf-8", "replace") for part in match.groups())
        for folder in ([posixpath.dirname(name)] if quoted else []) + folders:
            place = posixpath.normpath(posixpath.join(folder, quoted or angled))
            if not place.startswith(("..", "/")) and is_file(place):
                yield place
                break


def _lines_with(word: bytes, data: bytes) -> Iterator[bytes]:
    """Find the lines that have a word: ten times faster than to match every line."""
    at = data.find(word)
    while at >= 0:
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[data.rfind(b"\n", 0, at) + 1 : end]
        at = data.find(word, end)
