"""From a path that somebody names to every file below it: to be verified, ignored for a reason, or refused.

Nothing is passed over. Links to folders are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from stencilkit.errors import ManifestError, SourceError, StencilkitError, TargetError, UsageError
from stencilkit.model.manifest import HALVES, MANIFEST_NAME, half_name
from stencilkit.pipeline import knowing, opening
from stencilkit.support import files, limits, words

# What make takes, whatever the CPython, and what says what that is.
_TAKEN: Final = ("jit_stencils*.h", "jit_shim*.o", "jit_unwind_info*.h", MANIFEST_NAME, HALVES)
_HEADERS: Final = ("jit_stencils.h", "jit_stencils-*.h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is below a path.

    `subjects` are the headers and output folders to verify; `covered` counts the files that verifying them reads.
    `ignored` and `refused` map the other files to the reason.
    """

    path: Path
    subjects: tuple[Path, ...]
    covered: int = 0
    ignored: Mapping[Path, str] = field(default_factory=dict)
    refused: Mapping[Path, str] = field(default_factory=dict)


def survey(path: Path) -> Survey:
    """Look at everything below a folder; a header stands for itself.

    A header without a manifest is a subject like any other: it is verified, and refused for that.

    Raises: UsageError where there is more than anybody could mean.
    """
    if not path.is_dir():
        return Survey(path=path, subjects=(path,))
    book = _Book()
    book.look(path)
    subjects = tuple(book.subjects)
    if not subjects and not book.refused:
        # Whoever opens it says what is missing there.
        subjects = (path,)
    return Survey(path=path, subjects=subjects, covered=len(book.covered), ignored=book.ignored, refused=book.refused)


def demand(path: Path) -> tuple[Path, ...]:
    """List the subjects below a path, where nothing else is there that make could take.

    Raises: ManifestError that names what nobody would have looked at; UsageError.
    """
    found = survey(path)
    if found.refused:
        what = words.counted(len(found.refused), "file", "belong")
        raise ManifestError(
            f"below {path}, {what} to no stencils that could be verified",
            details="\n".join(f"{place}: {why}" for place, why in found.refused.items()),
            fix="name the output folders one by one, or move those files away",
        )
    return found.subjects


def read_only(path: Path) -> tuple[Path, ...]:
    """List the subjects below a path for a command that only shows them.

    A folder that CPython's own generator wrote to has no manifest; it stands for its header.

    Raises: ManifestError, UsageError as `demand` does.
    """
    if path.is_dir() and not (path / MANIFEST_NAME).exists() and any(path.glob("jit_stencils*.h")):
        return (path,)
    return demand(path)


class _Book:
    """What was found so far."""

    def __init__(self) -> None:
        self.subjects: list[Path] = []
        self.covered: set[Path] = set()
        self.ignored: dict[Path, str] = {}
        self.refused: dict[Path, str] = {}
        self._seen = 0

    def look(self, folder: Path) -> None:
        """Account for one folder, then for those in it, in the order of names."""
        try:
            inner = sorted(folder.iterdir())
        except OSError as error:
            self.refused[folder] = f"cannot be read: {error.strerror}"
            return
        self._seen += len(inner)
        if self._seen > limits.FOUND:
            raise UsageError(f"more than {limits.FOUND} files are below the folder", fix="name a folder of stencils")
        folders = [path for path in inner if path.is_dir()]
        self._files(folder, [path for path in inner if path not in set(folders)])
        for path in folders:
            if path.is_symlink():
                self.refused[path] = "a link to a folder, which is not followed: name the folder itself"
            else:
                self.look(path)

    def _files(self, folder: Path, inner: list[Path]) -> None:
        taken = [path for path in inner if any(fnmatchcase(path.name, pattern) for pattern in _TAKEN)]
        self.ignored |= dict.fromkeys((path for path in inner if path not in set(taken)), "no CPython's build takes it")
        for path in list(taken):
            if not path.is_file():
                self.refused[path] = "a link to nothing" if path.is_symlink() else "not a file"
                taken.remove(path)
        self._subjects(folder, taken)

    def _subjects(self, folder: Path, taken: list[Path]) -> None:
        """Find out what verifying the stencils of one folder reads, and what is left."""
        names = {path.name for path in taken}
        known = set[str]()
        if MANIFEST_NAME in names:
            self.subjects.append(folder)
            known |= {MANIFEST_NAME, *_named(folder / MANIFEST_NAME)}
        for name in sorted(name for name in names if fnmatchcase(name, HALVES)):
            known |= {name, *self._half(folder, name, names)}
        headers = [name for name in sorted(names - known) if any(fnmatchcase(name, form) for form in _HEADERS)]
        alone = [name for name in headers if name != _HEADERS[0]] or headers
        if alone and not known and len(alone) == 1:
            self.subjects.append(folder)
        elif alone:
            self.subjects += [folder / name for name in alone]
        known |= set(alone)
        self.covered |= {folder / name for name in known & names}
        for name in sorted(names - known):
            self.refused[folder / name] = "no manifest names it"

    def _half(self, folder: Path, name: str, names: set[str]) -> Iterator[str]:
        """List the files of one half of a universal platform, and see that the other half is there."""
        found = tuple(_named(folder / name))
        triple = name.removeprefix("manifest-").removesuffix(".toml")
        yield from found
        header = next((one for one in found if fnmatchcase(one, _HEADERS[1])), f"jit_stencils-{triple}.h")
        yield header
        self.subjects.append(folder / header)
        for other in _halves_of(triple):
            if half_name(other) not in names:
                self.refused[folder / half_name(other)] = f"missing: {name} is one half of a universal platform"


def _named(path: Path) -> Iterator[str]:
    """List the files that a manifest names; of one that cannot be read, verify says why."""
    try:
        described = opening.read_manifest(files.read_text(path, error=ManifestError, limit=limits.MANIFEST), str(path))
    except (ManifestError, SourceError, TargetError):
        return
    yield from (record.name for record in described.manifest.files)


def _halves_of(triple: str) -> tuple[str, ...]:
    try:
        platform = knowing.target(triple).target.universal
    except StencilkitError:
        return ()
    return tuple(target.triple for target in knowing.known_targets() if platform and target.universal == platform)
