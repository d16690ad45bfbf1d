"""From a path to stencils that have been verified: the one door for every command that uses them.

What verify asks without a tree is asked here, too: is it stencils and nothing else, and what its manifest says? A
digest that a command shows was computed from the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit import verify
from stencilkit.errors import RefusedError
from stencilkit.model.artifact import Artifact
from stencilkit.model.verdict import Policy, Verdict
from stencilkit.pipeline import opening, questions, surveying, verifying
from stencilkit.pipeline.evidence import Found, Subject
from stencilkit.pipeline.opening import Opened

# Whether mingw's headers are good enough is for the command to say.
ITSELF: Final = Policy(require=("canonical", "manifest"), mingw=True, provisional=True)
_FIX: Final = "do not use them: build them again, or get them again; stencilkit verify lists every check"


def header(path: Path, triple: str | None = None) -> Opened:
    """Open a header of stencilkit's or of CPython's own generator, or the one in an output folder.

    What it is for is `triple`, or what manifest, file name or line 2 say. One of CPython's own generator has no
    manifest, so only its form is checked.

    Raises: RefusedError; HeaderError, ManifestError, TargetError; UsageError where nothing says what the code is for.
    """
    opened = opening.open_header(path, triple)
    if opened.manifest is not None:
        refuse(verifying.run(Subject(path=path, policy=ITSELF)))
    else:
        found = Found(
            name=opened.path.name,
            original=opened.original.encode(),
            header=opened.header,
            python=opened.python,
            arch="",
        )
        checks = questions.is_it_a_generators_header(found)
        refuse(verify.conclude(str(path), checks, {}, Policy(require=("canonical",)), ""))
    return opened


def each(paths: Sequence[Path]) -> tuple[Opened, ...]:
    """Open all stencils below some paths.

    Raises: RefusedError, and all that `header` raises; ManifestError where other files of make's are there.
    """
    return tuple(header(found) for path in paths for found in surveying.demand(path))


def artifact(item: Artifact) -> Artifact:
    """Verify what was read out of a bundle or a folder, and return it.

    Raises: RefusedError.
    """
    refuse(verifying.run_artifact(item, Subject(path=Path(item.where), policy=ITSELF)))
    return item


def refuse(verdict: Verdict) -> None:
    """Stop a command that was given stencils which verify would refuse.

    Raises: RefusedError.
    """
    failed = [check for check in verdict.checks if check.status == "failed"]
    if failed:
        raise RefusedError(
            f"these stencils are refused: {failed[0].what}",
            where=verdict.subject,
            details="\n".join(line for check in failed for line in (check.what, *check.details)[check is failed[0] :]),
            fix=_FIX,
        )
