"""From folders of results and ledgers to a folder of pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from stencilkit import __version__, report, results
from stencilkit.errors import OutputError, ResultError
from stencilkit.model.qualification import QUESTIONS, Cell, Check, Result, Sizes
from stencilkit.pipeline import matrix
from stencilkit.support import files, words

_MARK: Final = "site.json"
_GIVE: Final = "give folders of results (stencilkit qualify), or a ledger"
_IN_LEDGER: Final = "the gate built it again under variations, always the same"


def gather(paths: Sequence[Path]) -> tuple[Result, ...]:
    """Read results and ledgers; of a cell that occurs several times, results count for more than a ledger.

    Raises: ResultError, LedgerError, also where there is nothing.
    """
    found: dict[Cell, Result] = {}
    for path in sorted(paths, key=lambda path: not _folders(path)):
        for result in _read(path):
            if found.setdefault(result.cell, result) is not result and _folders(path):
                raise ResultError(
                    f"there are two results of {result.cell.label}", where=str(path), fix="leave one of them out"
                )
    if not found:
        raise ResultError("there are no results", where=", ".join(map(str, paths)), fix="make some: stencilkit qualify")
    return tuple(found.values())


def other_versions(found: Sequence[Result]) -> list[str]:
    """List the versions of stencilkit that made results and are not this one; a ledger does not depend on it."""
    return sorted({result.stencilkit for result in found} - {"", __version__})


def _folders(path: Path) -> list[Path]:
    """List the folders of results that a path stands for: itself, or those right below it."""
    return [folder for folder in (path, *sorted(path.glob("*/"))) if results.is_folder(folder)]


def _read(path: Path) -> Iterator[Result]:
    folders = _folders(path)
    for folder in folders:
        yield from results.read_all(folder)
    if not folders and not any(path.glob("*/*.toml")):
        raise ResultError("there are neither results nor a ledger in this folder", where=str(path), fix=_GIVE)
    if not folders:
        yield from map(_of_ledger, matrix.supported(path))


def _of_ledger(item: matrix.Supported) -> Result:
    """Turn an entry of a ledger into a result; what it does not record was not asked."""
    entry = item.entry
    figure = words.counted(len(entry.stencils), "stencil")
    otherwise = ", ".join(entry.deviations)
    known = {
        "built": Check(
            name="built",
            outcome="noted" if otherwise else "passed",
            figure=figure,
            reason=f"differently from upstream's generator: {otherwise}" if otherwise else "",
        ),
        "varied": Check(name="varied", outcome="passed", reason=_IN_LEDGER),
        "ledger": Check(name="ledger", outcome="passed", figure=figure),
    }
    reason = "a ledger does not say"
    return Result(
        cell=Cell(cpython=entry.cpython, llvm=entry.llvm, target=entry.triple, flavour=entry.flavour),
        depth="build",
        checks=tuple(known.get(name) or Check(name=name, outcome="not asked", reason=reason) for name in QUESTIONS),
        pinned=item.pinned,
        content=entry.content,
        sizes=Sizes(stencils=len(entry.stencils), code=entry.code_bytes, data=entry.data_bytes),
        reference=item.reference.llvm if item.reference else "",
        before=Sizes(
            stencils=len(item.reference.stencils), code=item.reference.code_bytes, data=item.reference.data_bytes
        )
        if item.reference
        else None,
        identical=item.same,
    )


def write(found: Sequence[Result], out: Path) -> int:
    """Write the pages into a folder, which is all there or as it was; return how many files there are.

    Raises: OutputError where the folder holds something else; UsageError where the library for plots is missing.
    """
    if out.is_symlink():
        # What it leads to is replaced, as a web server sees it.
        out = out.resolve()
    if any(results.is_folder(above) for above in (out.resolve(), *out.resolve().parents)):
        # Its JSON would be taken for results.
        raise OutputError(f"{out} is in a folder of results", fix="name a folder beside that one with --out")
    if out.exists() and not (out / _MARK).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out} is there already, and is not a report", fix="name another folder with --out")
    count = 0
    try:
        with files.fresh_beside(out.absolute()) as fresh:
            site = fresh / "site"
            for name, content in report.render(found, results.summary, results.differing):
                path = site / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                count += 1
            _give_name(site, out, aside=fresh / "old")
    except OSError as error:
        raise files.unwritable(out, error) from None
    return count


def _give_name(site: Path, out: Path, *, aside: Path) -> None:
    """Put a folder in the place of another, which comes back if that is interrupted."""
    if out.exists():
        out.rename(aside)
    try:
        site.rename(out)
    except BaseException:
        if aside.exists() and not out.exists():
            aside.rename(out)
        raise
