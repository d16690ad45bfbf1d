"""What the stencils of a plan have compiled in of a CPython's structures, asked of the clang that compiles them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from stencilkit import manifest, source, witness
from stencilkit.compiler import frontend
from stencilkit.errors import CompileError
from stencilkit.model.build import Closure, Plan
from stencilkit.model.layout import Layout, Row
from stencilkit.model.toolchain import Identity
from stencilkit.support import process, resources
from stencilkit.support.cache import Store

_CODE: Final = ("witness", "compiler/frontend.py", "dialects", "manifest", "model/layout.py", "pipeline/recording.py")
# Lines that clang refuses are taken out.
_ROUNDS: Final = 4


def record(
    plan: Plan, included: Closure, words: Callable[[], frozenset[str]], identity: Identity, store: Store, work: Path
) -> Layout:
    """Ask clang what the stencils of a plan have compiled in; `words` gives those of the tree's included files.

    Raises: CompileError.
    """
    shared = _shared(plan, included, identity)
    key = _key("layout", *shared, [(file.origin, file.name, file.sha256) for file in included.files])
    kept = store.get(key)
    if kept is not None:
        return manifest.parse_layout(kept.decode())
    tree = plan.tree
    unit = tree.python.dialect.every_uop(tree, source.uops(tree), plan.target)
    with process.workers(2) as pool:
        preprocessed = pool.submit(frontend.preprocessed, plan, unit.whole, work, "words")
        ir = frontend.ir(plan, unit.whole, work, "layout")
    own = (str(tree.root), str(plan.pyconfig), *([str(plan.build)] if plan.build else []))
    pointer = plan.target.pointer_bytes
    draft = witness.find(ir, preprocessed.result(), root=str(tree.root), own=own, words=words(), pointer=pointer)
    rows = list(draft.rows())
    found = witness.measured(draft, _measured(shared, plan, unit.prefix, rows, store, work))
    store.put(key, manifest.render_layout(found).encode())
    return found


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _shared(plan: Plan, included: Closure, identity: Identity) -> list[object]:
    """Say what all answers of this clang depend on: the code, the flags, and the text of all that is included."""
    return [
        resources.code_digest(*_CODE),
        plan.target.triple,
        plan.flavour,
        str(plan.toolchain.version),
        identity.program,
        sorted(identity.libraries.items()),
        plan.line(entry=False, step="emit"),
        plan.cflags,
        plan.headers.origin,
        included.digest,
    ]


def _measured(
    shared: Sequence[object], plan: Plan, prefix: str, rows: Sequence[Row], store: Store, work: Path
) -> dict[Row, int]:
    """Recall the numbers of some rows, or have clang compute them: a changed uop seldom touches something new."""
    names = [f"{row.kind} {row.subject}" for row in rows]
    key = _key("numbers", *shared, [(name, row.expression) for name, row in zip(names, rows, strict=True)])
    kept = store.get(key)
    if kept is not None:
        values: dict[str, int] = json.loads(kept)
        return {row: values[name] for name, row in zip(names, rows, strict=True) if name in values}
    found = _measure(plan, prefix, rows, work)
    known = {name: found[row] for name, row in zip(names, rows, strict=True) if row in found}
    store.put(key, json.dumps(known).encode())
    return found


def _measure(plan: Plan, prefix: str, rows: Sequence[Row], work: Path) -> dict[Row, int]:
    """Have clang compute the numbers; what it refuses is left out."""
    said = ""
    for number in range(_ROUNDS):
        text = witness.measuring(rows, {}, prefix)
        data, said = frontend.obj(plan, text.text, work, f"numbers-{number}")
        if data:
            values = witness.numbers(data)
            return {row: values[index] for index, row in enumerate(rows) if index in values}
        refused, _ = text.failed(said)
        rows = [row for row in rows if row not in refused]
    raise CompileError("clang cannot compute the numbers", where=plan.toolchain.label, details=said[:2000])
