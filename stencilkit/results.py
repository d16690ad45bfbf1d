"""Cells and what came of them <-> JSON files in a folder: one file a cell, written whole.

Refuses a folder that another version wrote, one in which another run is at work, and a file that does not say what its
name says.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from stencilkit.errors import ResultError
from stencilkit.model.comparison import Likeness, Row
from stencilkit.model.manifest import Deviation
from stencilkit.model.qualification import DEPTHS, QUESTIONS, Cell, Check, Differing, Job, Outcome, Result, Sizes
from stencilkit.model.target import Kind
from stencilkit.support import fields, files, jsontext
from stencilkit.support.fields import Fields

SCHEMA: Final = 1
MARK: Final = "results.json"
LOCK: Final = ".results.lock"
# Debug stencils that all differ make 30 MB.
_BOUNDS: Final = jsontext.Bounds(size=128 << 20, depth=8)
_AFRESH: Final = "name another folder with --out, or remove this one"


@contextlib.contextmanager
def claimed(folder: Path, version: str, *, resume: bool) -> Iterator[None]:
    """Claim a folder for one run, so that no other one writes there; mark it as this version's.

    Raises: ResultError where another run has it, another version wrote it, or results are there and `resume` is not
    set; OutputError.
    """
    with files.claimed(folder / LOCK) as free:
        if not free:
            raise ResultError(
                "another stencilkit qualify is at work in this folder",
                where=str(folder),
                fix="wait for it, or name another folder with --out",
            )
        if (folder / MARK).is_file():
            check(folder, version)
        elif any(path.name != LOCK for path in sorted(folder.iterdir())):
            raise ResultError("this folder holds something else than results", where=str(folder), fix=_AFRESH)
        if not resume and any(folder.glob("*/*.json")):
            raise ResultError(
                "there are results in this folder already",
                where=str(folder),
                fix="go on with them: --resume; or name another folder with --out",
            )
        files.write(folder / MARK, _text({"schema": SCHEMA, "kind": "results", "stencilkit": version}))
        yield


def check(folder: Path, version: str) -> None:
    """See that a folder holds results which this version can go on with.

    Raises: ResultError.
    """
    mark = _document(folder / MARK, "results")
    found = mark.text("stencilkit")
    mark.done()
    if found != version:
        raise ResultError(
            f"stencilkit {found} wrote these results, and this is {version}", where=str(folder), fix=_AFRESH
        )


def write(folder: Path, result: Result) -> None:
    """Write the file of one cell, whole or not at all.

    Raises: OutputError.
    """
    files.write(folder / result.cell.place, render(result))


def read_all(folder: Path) -> Iterator[Result]:
    """Read every result of a folder, in the order of their files.

    Raises: ResultError.
    """
    _document(folder / MARK, "results")
    for path in sorted(folder.glob("*/*.json")):
        yield read(folder, path)


def read(folder: Path, path: Path) -> Result:
    """Read the file of one cell.

    Raises: ResultError, also where it is not the cell that its name says.
    """
    result = parse(files.read_bytes(path, error=ResultError, limit=_BOUNDS.size), str(path))
    if folder / result.cell.place != path:
        raise ResultError(
            f"this is the result of {result.cell.label}", where=str(path), fix="remove it, or give it its name"
        )
    return result


def is_folder(path: Path) -> bool:
    """Return whether a folder is one of results."""
    return (path / MARK).is_file()


def _text(content: Mapping[str, Any]) -> bytes:
    # One line for each key of the top level: people look at it with a pager, and it stays small.
    lines = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def render(result: Result) -> bytes:
    """Write a result as JSON."""
    content = {"schema": SCHEMA, "kind": "cell", **summary(result)}
    return _text({**content, "differing": [differing(item) for item in result.differing], **_times(result)})


def summary(result: Result) -> dict[str, Any]:
    """Return all of a result but its differing stencils and times, for JSON."""
    return {
        "stencilkit": result.stencilkit,
        "cell": _cell_fields(result.cell),
        "depth": result.depth,
        "verdict": result.verdict,
        "finished": result.finished,
        "checks": [
            {"name": check.name, "outcome": check.outcome, "figure": check.figure, "reason": check.reason}
            for check in result.checks
        ],
        "pinned": result.pinned,
        "vendor": result.vendor,
        "content": result.content,
        "sizes": _sizes(result.sizes),
        "reference": result.reference,
        "before": _sizes(result.before),
        "identical": result.identical,
        "deviations": [{"what": item.what, "why": item.why, "cost": item.cost} for item in result.deviations],
    }


def _cell_fields(cell: Cell) -> dict[str, str]:
    return {"cpython": cell.cpython, "llvm": cell.llvm, "target": cell.target, "flavour": cell.flavour}


def _times(result: Result) -> dict[str, Any]:
    return {
        "seconds": {name: round(value, 2) for name, value in (result.seconds or {}).items()},
        "speed": {name: round(value, 4) for name, value in (result.speed or {}).items()},
    }


def differing(item: Differing) -> dict[str, Any]:
    """Return what differs in a stencil, for JSON."""
    return {
        "name": item.name,
        "likeness": item.likeness,
        "code": list(item.code),
        "data": list(item.data_size),
        "rows": [[row.left, row.right, row.same] for row in item.rows],
        "holes": list(item.holes),
        "symbols": list(item.symbols),
        "data_bytes": list(item.data),
        "proof": item.proof,
        "why": item.why,
    }


def _sizes(sizes: Sizes | None) -> dict[str, int] | None:
    return None if sizes is None else {"stencils": sizes.stencils, "code": sizes.code, "data": sizes.data}


def _document(path: Path, kind: str) -> Fields:
    return _fields(files.read_bytes(path, error=ResultError, limit=_BOUNDS.size, fix=_AFRESH), str(path), kind)


def _fields(data: bytes, where: str, kind: str) -> Fields:
    table = jsontext.read(data, _BOUNDS, where=where, error=ResultError)
    root = fields.top(table, name=where, schema=SCHEMA, error=ResultError)
    root.choice("kind", (kind,))
    return root


def parse(data: bytes, where: str) -> Result:
    """Read a result; `where` is the file's name, for messages.

    Raises: ResultError with the path to the bad field.
    """
    root = _fields(data, where, "cell")
    identical = None if root.null("identical") else root.integer("identical")
    result = Result(
        cell=_cell(root.table("cell")),
        depth=root.choice("depth", DEPTHS),
        checks=tuple(_check(row) for row in root.tables("checks")),
        finished=root.boolean("finished"),
        pinned=root.boolean("pinned"),
        stencilkit=root.text("stencilkit"),
        vendor=root.text("vendor"),
        content=root.text("content"),
        sizes=_read_sizes(root, "sizes"),
        reference=root.text("reference"),
        before=_read_sizes(root, "before"),
        identical=identical,
        deviations=tuple(
            Deviation(what=row.text("what"), why=row.text("why"), cost=row.text("cost"))
            for row in root.tables("deviations")
        ),
        differing=tuple(_differing(row) for row in root.tables("differing")),
        seconds=root.numbers("seconds"),
        speed=root.numbers("speed"),
    )
    if root.text("verdict") != result.verdict:
        raise root.fail("verdict", f"its checks make it {result.verdict!r}")
    root.done()
    return result


def _cell(row: Fields) -> Cell:
    cell = Cell(
        cpython=row.text("cpython"),
        llvm=row.text("llvm"),
        target=row.text("target"),
        flavour=row.choice("flavour", get_args(Kind)),
    )
    row.done()
    return cell


def _check(row: Fields) -> Check:
    check = Check(
        name=row.choice("name", tuple(QUESTIONS)),
        outcome=row.choice("outcome", get_args(Outcome)),
        figure=row.text("figure"),
        reason=row.text("reason"),
    )
    row.done()
    return check


def _read_sizes(root: Fields, key: str) -> Sizes | None:
    if root.null(key):
        return None
    row = root.table(key)
    sizes = Sizes(stencils=row.integer("stencils"), code=row.integer("code"), data=row.integer("data"))
    row.done()
    return sizes


def _differing(row: Fields) -> Differing:
    item = Differing(
        name=row.text("name"),
        likeness=row.choice("likeness", get_args(Likeness)),
        code=_pair(row, "code"),
        data_size=_pair(row, "data"),
        rows=tuple(_row(row, found) for found in row.items("rows")),
        holes=row.texts("holes"),
        symbols=row.texts("symbols"),
        data=row.texts("data_bytes"),
        proof=row.text("proof"),
        why=row.text("why"),
    )
    row.done()
    return item


def _pair(row: Fields, key: str) -> tuple[int | None, int | None]:
    match row.items(key):
        case [int() | None as first, int() | None as second]:
            return first, second
        case _:
            raise row.fail(key, "must be two sizes")


def _row(row: Fields, found: object) -> Row:
    match found:
        case [str() as left, str() as right, bool() as same]:
            return Row(left, right, same)
        case _:
            raise row.fail("rows", "must be two lines, and whether they are the same")


def render_job(job: Job) -> bytes:
    """Write what a process of its own is to do."""
    return _text(
        {
            "schema": SCHEMA,
            "kind": "job",
            "cell": _cell_fields(job.cell),
            "depth": job.depth,
            "tree": job.tree,
            "pyconfig": job.pyconfig,
            "program": job.program,
            "reference": job.reference,
            "ledger": dict(job.ledger),
            "sample": job.sample,
            "jobs": job.jobs,
            "cached": job.cached,
        }
    )


def parse_job(data: bytes, where: str) -> Job:
    """Read what is to be done.

    Raises: ResultError.
    """
    root = _fields(data, where, "job")
    job = Job(
        cell=_cell(root.table("cell")),
        depth=root.choice("depth", DEPTHS),
        tree=root.text("tree"),
        pyconfig=root.text("pyconfig"),
        program=root.text("program"),
        reference=root.text("reference"),
        ledger=root.mapping("ledger"),
        sample=root.integer("sample"),
        jobs=root.integer("jobs"),
        cached=root.boolean("cached"),
    )
    root.done()
    return job
