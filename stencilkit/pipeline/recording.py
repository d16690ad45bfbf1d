"""What the stencils of a plan have compiled in of a CPython's structures, asked of the clang that compiles them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from stencilkit import manifest, source, witness
from stencilkit.compiler import frontend
from stencilkit.errors import REPORT, CompileError, ManifestError
from stencilkit.model.build import Closure, Plan
from stencilkit.model.layout import Layout, Row
from stencilkit.model.source import Unit, Uop
from stencilkit.model.toolchain import Identity
from stencilkit.support import process, resources
from stencilkit.support.cache import DAMAGE, Store, key_of
from stencilkit.witness import Part

_CODE: Final = ("witness", "compiler/frontend.py", "dialects", "manifest", "model/layout.py", "pipeline/recording.py")
# Lines that clang refuses are taken out.
_ROUNDS: Final = 4
_NOTHING: Final = Uop(name="", text="", line=0)


def record(
    plan: Plan, included: Closure, words: Callable[[], frozenset[str]], identity: Identity, store: Store, work: Path
) -> Layout:
    """Ask clang what the stencils of a plan have compiled in; `words` gives those of the tree's included files.

    Raises: CompileError.
    """
    shared = _shared(plan, included, identity)
    key = key_of("layout", *shared, [(file.origin, file.name, file.sha256) for file in included.files])
    kept = store.read(key, lambda entry: manifest.parse_layout(entry.decode()), ManifestError, *DAMAGE)
    if kept is not None:
        return kept
    unit, used, preprocessed = _used(plan, shared, included, store, work)
    own = (str(plan.tree.root), str(plan.pyconfig), *([str(plan.build)] if plan.build else []))
    draft = witness.find(used, preprocessed, own=own, words=words())
    rows = list(draft.rows())
    found = witness.measured(draft, _measured(shared, plan, unit.prefix, rows, store, work))
    store.put(key, manifest.render_layout(found).encode())
    return found


def _used(
    plan: Plan, shared: Sequence[object], included: Closure, store: Store, work: Path
) -> tuple[Unit, Iterable[Part], str]:
    """Find what each uop uses: ask of those alone that changed since the last time, and of the template.

    Return also the unit that was asked, and what the preprocessor made of it.
    """
    tree, uops = plan.tree, source.uops(plan.tree)
    digests = [hashlib.sha256(uop.text.encode()).hexdigest() for uop in uops]
    dialect = tree.python.dialect
    frame = dialect.every_uop(tree, (_NOTHING,), plan.target).whole
    headers = [(file.origin, file.name, file.sha256) for file in included.files if file.name != source.CASES]
    key = key_of("uses", *shared, frame, headers)
    apart = source.are_apart(uops)
    known = _stored(key, store) if apart else {}
    # One at least, for the template's own sake.
    new = {digest: uop for digest, uop in zip(digests, uops, strict=True) if digest not in known} or {
        digests[0]: uops[0]
    }
    unit = dialect.every_uop(tree, tuple(new.values()), plan.target)
    with process.workers(2) as pool:
        preprocessed = pool.submit(frontend.preprocessed, plan, unit.whole, work, "words")
        ir = frontend.ir(plan, unit.whole, work, "layout")
    found = witness.parts(
        ir, preprocessed.result(), root=str(tree.root), mark=unit.name, pointer=plan.target.pointer_bytes
    )
    asked = {digest: found[str(number)] for number, digest in enumerate(new) if str(number) in found}
    if len(asked) < len(new):
        raise CompileError("what clang says of some uops is not where it should be", fix=REPORT)
    used = {digest: asked.get(digest) or known[digest] for digest in dict.fromkeys(digests)}
    if apart:
        store.put(key, witness.dump(used).encode())
    return unit, [found[""], *used.values()], preprocessed.result()


def _stored(key: str, store: Store) -> Mapping[str, Part]:
    """Recall what uops use, by the digest of their text."""
    return store.read(key, lambda kept: witness.load(kept.decode()), *DAMAGE) or {}


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
    key = key_of("numbers", *shared, [(name, row.expression) for name, row in zip(names, rows, strict=True)])
    values = store.read(key, _numbers, *DAMAGE)
    if values is not None:
        return {row: values[name] for name, row in zip(names, rows, strict=True) if name in values}
    found = _measure(plan, prefix, rows, work)
    known = {name: found[row] for name, row in zip(names, rows, strict=True) if row in found}
    store.put(key, json.dumps(known).encode())
    return found


def _numbers(entry: bytes) -> Mapping[str, int]:
    found = json.loads(entry)
    if not all(type(value) is int for value in found.values()):
        raise ValueError("not numbers")
    return dict(found)


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
    what = "clang cannot compute the sizes and offsets that the stencils have compiled in"
    raise CompileError(what, where=plan.toolchain.label, details=said[:2000], fix=REPORT)
