"""Results and jobs <-> JSON: what is in each file, field by field.

Refuses what is not complete, has a field that is unknown, or a verdict that its checks do not make.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, get_args

from stencilkit.errors import ResultError
from stencilkit.model.comparison import Likeness, Row
from stencilkit.model.manifest import Deviation
from stencilkit.model.qualification import DEPTHS, QUESTIONS, Cell, Check, Differing, Job, Outcome, Result, Sizes
from stencilkit.model.target import Kind
from stencilkit.support import fields, jsontext
from stencilkit.support.fields import Fields

SCHEMA: Final = 1
# Debug stencils that all differ make 30 MB.
BOUNDS: Final = jsontext.Bounds(size=128 << 20, depth=8)


def lines(content: Mapping[str, Any]) -> bytes:
    """Write JSON with a line for each key of the top level: people look at it with a pager, and it stays small."""
    written = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content.items())
    return ("{\n" + ",\n".join(written) + "\n}\n").encode()


def render(result: Result) -> bytes:
    """Write a result as JSON."""
    content = {"schema": SCHEMA, "kind": "cell", **summary(result)}
    found = {"differing": [differing(item) for item in result.differing], "inputs": result.inputs}
    return lines({**content, **found, **_times(result)})


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


def root(data: bytes, where: str, kind: str) -> Fields:
    """Read JSON of a kind; `where` is the file's name, for messages.

    Raises: ResultError.
    """
    table = jsontext.read(data, BOUNDS, where=where, error=ResultError)
    top = fields.top(table, name=where, schema=SCHEMA, error=ResultError)
    top.choice("kind", (kind,))
    return top


def parse(data: bytes, where: str) -> Result:
    """Read a result; `where` is the file's name, for messages.

    Raises: ResultError with the path to the bad field.
    """
    top = root(data, where, "cell")
    identical = None if top.null("identical") else top.integer("identical")
    result = Result(
        cell=_cell(top.table("cell")),
        depth=top.choice("depth", DEPTHS),
        checks=_checks(top),
        finished=top.boolean("finished"),
        pinned=top.boolean("pinned"),
        stencilkit=top.text("stencilkit"),
        vendor=top.text("vendor"),
        content=top.text("content"),
        sizes=_read_sizes(top, "sizes"),
        reference=top.text("reference"),
        before=_read_sizes(top, "before"),
        identical=identical,
        deviations=tuple(
            Deviation(what=row.text("what"), why=row.text("why"), cost=row.text("cost"))
            for row in top.tables("deviations")
        ),
        differing=tuple(_differing(row) for row in top.tables("differing")),
        inputs=top.text("inputs"),
        seconds=top.numbers("seconds"),
        speed=top.numbers("speed"),
    )
    if top.text("verdict") != result.verdict:
        raise top.fail("verdict", f"its checks make it {result.verdict!r}")
    top.done()
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


def _checks(top: Fields) -> tuple[Check, ...]:
    found = tuple(_check(row) for row in top.tables("checks"))
    twice = [check.name for number, check in enumerate(found) if check.name in {item.name for item in found[:number]}]
    if twice:
        # The later answer would hide the first, which may have been a failure.
        raise top.fail("checks", f"{twice[0]} is answered twice")
    return found


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
    return lines(
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
    top = root(data, where, "job")
    job = Job(
        cell=_cell(top.table("cell")),
        depth=top.choice("depth", DEPTHS),
        tree=top.text("tree"),
        pyconfig=top.text("pyconfig"),
        program=top.text("program"),
        reference=top.text("reference"),
        ledger=top.mapping("ledger"),
        sample=top.integer("sample"),
        jobs=top.integer("jobs"),
        cached=top.boolean("cached"),
    )
    top.done()
    return job
