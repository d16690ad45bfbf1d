"""From a bundle to a configured CPython build: verify, stamp, place; nothing is written unless all of it fits."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stencilkit import artifact, verify
from stencilkit.errors import InstallError
from stencilkit.model.artifact import Artifact
from stencilkit.model.attestation import Attestations
from stencilkit.model.verdict import Kind, Policy, Verdict
from stencilkit.pipeline import bundling, placing, verifying, witnessing
from stencilkit.pipeline.evidence import Subject
from stencilkit.support import files

# What mingw's headers went into has been refused, or allowed, before.
_REQUIRED: Final = Policy(require=(*verify.DEFAULT_POLICY.require, "tree"), mingw=True, provisional=True)
KEEPER: Final = "stencilkit-keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The result: a verdict per target, the files with whether each changed, and the make variable to pass.

    `notes` say where they are other stencils than the build folder asks for. Nothing was placed if a verdict refuses.
    """

    verdicts: tuple[Verdict, ...]
    files: tuple[tuple[str, bool], ...]
    make_argument: str
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Return whether everything fits and was placed."""
        return bool(self.verdicts) and all(verdict.accepted for verdict in self.verdicts)


def install(
    place: placing.Place,
    artifacts: Sequence[Artifact],
    *,
    llvm: str,
    mingw: bool,
    provisional: bool = False,
    check: bool = False,
    witness: bool = False,
    attestations: Attestations | None = None,
) -> Installed:
    """Place stencils in a configured build folder.

    `mingw` allows stencils that were compiled with mingw's headers, `provisional` those that are provisional; `check`
    places nothing. `witness` asks the compiler of the build folder, too. `attestations` must say the same, if there are
    any.

    Raises: BundleError where there is nothing that is good for this build; InstallError where it cannot be placed.
    """
    version = str(place.tree.version)
    candidates = [
        artifact.choose(artifacts, version=version, triple=request.target.triple, flavour=place.flavour, llvm=llvm)
        for request in place.requests
    ]
    chosen = [bundling.preferred(_asked_for(place, _same_flags(place, items))) for items in candidates]
    bundling.check_marks(chosen, mingw=mingw, provisional=provisional)
    runtime = witnessing.runtime(place.tree, place.folder) if witness else None
    verdicts = tuple(_verify(place, item, attestations, runtime) for item in chosen)
    if not all(verdict.accepted for verdict in verdicts):
        return Installed(verdicts=verdicts, files=(), make_argument="")
    contents = placing.left_alone(place.folder, placing.files_for(place, chosen))
    _check_unbuilt(place, contents)
    if place.build.deletes_stencils:
        _check_keeper(place)
    if check:
        return Installed(verdicts=verdicts, files=(), make_argument="")
    # What make looks at comes last of all.
    argument = _keep(place, contents) if place.build.deletes_stencils else ""
    changed = placing.write(place, contents)
    return Installed(
        verdicts=verdicts,
        files=tuple(sorted(changed.items())),
        make_argument=argument,
        notes=(*_other_llvms(place, chosen), *_unknown_to_configure(place)),
    )


def _unknown_to_configure(place: placing.Place) -> Iterator[str]:
    """Return what make must be given where configure does not know the target."""
    for request in place.requests:
        if words := place.dialect.make_arguments(request.target):
            what = f"this CPython's configure does not know {request.target.triple}"
            yield f"{what}: give make, each time, {' '.join(words)}"


def _same_flags(place: placing.Place, items: Sequence[Artifact]) -> Sequence[Artifact]:
    """Choose those with the build folder's CFLAGS_JIT, all where there are none: others may be hardened."""
    return [item for item in items if item.manifest.cflags == place.build.cflags] or items


def _asked_for(place: placing.Place, items: Sequence[Artifact]) -> Sequence[Artifact]:
    """Choose those of the LLVM that the build folder asks for, all where there are none."""
    return [item for item in items if _is_asked_for(place, item)] or items


def _is_asked_for(place: placing.Place, item: Artifact) -> bool:
    wanted = place.build.jit.llvm if place.build.jit else ""
    return not wanted or f"{item.manifest.toolchain.version}.".startswith(f"{wanted}.")


def _other_llvms(place: placing.Place, chosen: Sequence[Artifact]) -> Iterator[str]:
    for item in chosen:
        if not _is_asked_for(place, item):
            asked = f"{place.folder} asks for LLVM {place.build.jit and place.build.jit.llvm}"
            yield f"{asked}, and these stencils were made by LLVM {item.manifest.toolchain.version}"


def stamp(
    places: Sequence[placing.Place], artifacts: Sequence[Artifact]
) -> tuple[tuple[Artifact, ...], tuple[Verdict, ...]]:
    """Put the input digest of a build folder on line 1 of the stencils that are for it, after verifying them.

    Whoever unpacks them needs no stencilkit; stencils for none of the folders stay the objects that they are.

    Raises: BundleError where there are none for one of the folders.
    """
    found = list(artifacts)
    verdicts = []
    for place in places:
        for request in place.requests:
            version, triple = str(place.tree.version), request.target.triple
            found_here = artifact.choose(artifacts, version=version, triple=triple, flavour=place.flavour)
            for item in _same_flags(place, found_here):
                verdicts.append(_verify(place, item))
                digest = placing.input_digest(place, request)
                contents = {role: artifact.restamped(data, digest) for role, data in item.contents.items()}
                found[artifacts.index(item)] = replace(item, contents=contents)
    return tuple(found), tuple(verdicts)


def _verify(
    place: placing.Place,
    item: Artifact,
    attestations: Attestations | None = None,
    runtime: witnessing.Runtime | None = None,
) -> Verdict:
    """Compare one artifact with the tree and the build folder, with its compiler, and with what was signed."""
    asked: dict[Kind, object] = {"witness": runtime, "attested": attestations}
    more = tuple(kind for kind, value in asked.items() if value is not None)
    subject = Subject(
        path=place.folder,
        tree=place.tree,
        pyconfig=place.folder,
        attestations=attestations,
        runtime=runtime,
        policy=replace(_REQUIRED, require=(*_REQUIRED.require, *more)),
    )
    return verifying.run_artifact(item, subject)


def _check_unbuilt(place: placing.Place, contents: dict[str, bytes]) -> None:
    """Refuse a folder that was built on other stencils.

    Raises: InstallError.
    """
    built = place.folder / "Python" / "jit.o"
    others = [n for n, data in contents.items() if not _has(place.folder / n, data)]
    if built.exists() and others:
        raise InstallError(
            f"{place.folder} has already been built, on other stencils: {others[0]} differs",
            where=str(built),
            fix="run `make clean` there, then install again",
        )


def _has(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _check_keeper(place: placing.Place) -> None:
    """Refuse to keep copies where a link would have us write elsewhere.

    Raises: InstallError.
    """
    keeper = place.folder.resolve() / KEEPER
    for folder in (keeper, keeper / "files"):
        if folder.is_symlink():
            raise InstallError(f"{folder} is a link, and what is behind it is not ours", fix="remove it")


def _keep(place: placing.Place, contents: dict[str, bytes]) -> str:
    """Keep copies, and a script that make can run in place of the generator; return the argument that makes it so.

    The makefile's rule for jit_stencils.h runs `$(PYTHON_FOR_REGEN) Tools/jit/build.py`: where the makefile has deleted
    the files, the script brings them back, and everything else goes to the real python.
    """
    keeper = place.folder.resolve() / KEEPER
    files.write_together(keeper / "files", contents, stamps=artifact.stamps(contents))
    script = (
        "#!/bin/sh\n"
        "# Written by stencilkit install: this makefile deletes the JIT's stencils between the passes of a PGO build.\n"
        'case "$1" in\n'
        f"*/Tools/jit/build.py) exec cp {shlex.quote(str(keeper / 'files'))}/* . ;;\n"
        "esac\n"
        f'exec {place.build.python or "python3"} "$@"\n'
    )
    files.write(keeper / "python", script.encode(), executable=True)
    # The recipe gives it to a shell, and make expands it first.
    return "PYTHON_FOR_REGEN=" + shlex.quote(str(keeper / "python")).replace("$", "$$")
