"""What the units of a build include: the list of files, and a digest of what the preprocessor makes of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stencilkit.errors import CompileError
from stencilkit.model.build import Closure, FileOrigin, IncludedFile, Plan
from stencilkit.support import files, process

_TIMEOUT_SECONDS: Final = 600.0


def find(plan: Plan, work: Path) -> Closure:
    """Preprocess everything that the units include; list the files that it really includes.

    The files that the units' own text comes from are listed too.

    Raises: CompileError with clang's diagnostics.
    """
    source = work / "closure.c"
    source.write_text("\n".join(dict.fromkeys(unit.prefix for unit in plan.units)), "utf-8")
    arguments = [*plan.driver_arguments(entry=False, step="emit"), "-E", "-P", "-dD", "-MD", "-MF", "closure.d"]
    done = process.run([*plan.toolchain.command, *arguments, source.name], cwd=work, timeout=_TIMEOUT_SECONDS)
    if done.returncode:
        raise CompileError(
            "clang cannot preprocess what all uops include",
            where=plan.toolchain.label,
            details=done.err,
            fix="check that the headers it names are installed, and that pyconfig.h is for this target",
        )
    names = _dependencies((work / "closure.d").read_text("utf-8"))
    own = {plan.tree.root / name for unit in plan.units for name in unit.sources}
    found = own | {work / name for name in names if name != source.name}
    paths = sorted(path.resolve() for path in found)
    places = _places(plan)
    included = {path: _included(places, path) for path in paths}
    return Closure(
        files=tuple(sorted(included.values(), key=lambda file: (file.origin, file.name))),
        digest=hashlib.sha256(done.stdout).hexdigest(),
        paths=tuple((path, file) for path, file in included.items() if file.origin != "pyconfig"),
    )


def _dependencies(rule: str) -> list[str]:
    """Read the prerequisites of a makefile rule as clang writes it (spaces, # and $ are escaped)."""
    _, _, text = rule.replace("\\\n", " ").partition(": ")
    words = re.findall(r"(?:\\.|[^\s\\])+", text)
    return [re.sub(r"\\(.)", r"\1", word).replace("$$", "$") for word in words]


def _places(plan: Plan) -> tuple[tuple[FileOrigin, Path], ...]:
    """List where files come from, the most particular first; pyconfig.h is a file, the others are folders."""
    return (
        ("pyconfig", plan.pyconfig.resolve() / "pyconfig.h"),
        ("compiler", plan.toolchain.resource.resolve() / "include"),
        ("tree", plan.tree.root.resolve()),
        ("system", plan.headers.root.resolve()),
    )


def _included(places: Sequence[tuple[FileOrigin, Path]], path: Path) -> IncludedFile:
    anywhere: tuple[FileOrigin, Path] = ("system", Path(path.anchor))
    origin, root = next((origin, root) for origin, root in (*places, anywhere) if path.is_relative_to(root))
    name = path.name if path == root else path.relative_to(root).as_posix()
    return IncludedFile(origin=origin, name=name, sha256=files.sha256(path))
