"""What the stencils of a plan have compiled in of a CPython's structures, asked of the clang that compiles them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stencilkit import manifest, source, witness
from stencilkit.compiler import Session, frontend, shared_prefix
from stencilkit.errors import REPORT, CompileError, ManifestError
from stencilkit.model.build import Closure, Plan
from stencilkit.model.layout import Layout, Row
from stencilkit.model.source import Uop
from stencilkit.model.toolchain import Identity
from stencilkit.support import process, resources
from stencilkit.support.cache import DAMAGE, Store, key_of
from stencilkit.witness import Common, Part

_CODE: Final = (
    *("witness", "compiler", "dialects", "manifest", "model/layout.py"),
    *("pipeline/recording.py", "pipeline/keeping.py"),
)
# Lines that clang refuses are taken out.
_ROUNDS: Final = 4
_NOTHING: Final = Uop(name="", text="", line=0)
Begin = Callable[[], Session | None]


def _no_session() -> None:
    """Have nothing precompiled."""


def record(
    plan: Plan,
    included: Closure,
    words: Callable[[], frozenset[str]],
    identity: Identity,
    store: Store,
    work: Path,
    begin: Begin = _no_session,
) -> Layout:
    """Ask clang what the stencils of a plan have compiled in; `words` gives those of the tree's included files.

    `begin` begins a session with what all uops include precompiled, where that is kept.

    Raises: CompileError.
    """
    shared = _shared(plan, included, identity)
    key = key_of("layout", *shared, [(file.origin, file.name, file.sha256) for file in included.files])
    kept = store.read(key, lambda entry: manifest.parse_layout(entry.decode()), ManifestError, *DAMAGE)
    if kept is not None:
        return kept
    used = _used(plan, shared, included, store, work, begin)
    draft = witness.find(used.parts, used.common, words=words())
    rows = list(draft.rows())
    found = witness.measured(draft, _measured(shared, plan, used.prefix, rows, store, work))
    store.put(key, manifest.render_layout(found).encode())
    return found


@dataclass(frozen=True, slots=True)
class _Used:
    """What uops use, what holds for whatever uops, and what a text includes that asks for numbers."""

    parts: Sequence[Part]
    common: Common
    prefix: str


def _used(
    plan: Plan, shared: Sequence[object], included: Closure, store: Store, work: Path, begin: Begin = _no_session
) -> _Used:
    """Find what each uop uses: ask of those alone that changed since the last time."""
    tree, uops = plan.tree, source.uops(plan.tree)
    digests = [hashlib.sha256(uop.text.encode()).hexdigest() for uop in uops]
    frame = tree.python.dialect.every_uop(tree, (_NOTHING,), plan.target)
    headers = [(file.origin, file.name, file.sha256) for file in included.files if file.name != source.CASES]
    key = key_of("uses", *shared, frame.whole, headers)
    places = (tree.root, plan.pyconfig, plan.build, plan.headers.root, plan.toolchain.resource)
    common_key = key_of("types", *shared, frame.whole, headers, list(map(str, places)))
    apart = source.are_apart(uops)
    known = _stored(key, store) if apart else {}
    new = {digest: uop for digest, uop in zip(digests, uops, strict=True) if digest not in known}
    kept = _kept(common_key, str(tree.root), store) if apart else None
    asked = _ask_quickly(plan, new, kept[0], work, begin) if kept else None
    if kept and asked is not None:
        common, base = kept
    else:
        # One at least, for the template's own sake.
        common, base, asked, are_plain = _ask(plan, new or {digests[0]: uops[0]}, work)
        if apart and are_plain:
            store.put(common_key, f"{witness.dump({'': base})}\n{witness.dump_common(common)}".encode())
    used = {digest: asked.get(digest) or known[digest] for digest in dict.fromkeys(digests)}
    if apart and used.keys() != known.keys():
        store.put(key, witness.dump(used).encode())
    return _Used([base, *used.values()], common, frame.prefix)


def _ask(plan: Plan, new: Mapping[str, Uop], work: Path) -> tuple[Common, Part, Mapping[str, Part], bool]:
    """Ask clang about uops with all headers.

    Return what holds for whatever uops, what all have, and what these use; whether none of them declares a type.
    """
    tree = plan.tree
    unit = tree.python.dialect.every_uop(tree, tuple(new.values()), plan.target)
    with process.workers(2) as pool:
        reading = pool.submit(frontend.preprocessed, plan, unit.whole, work, "words")
        ir = frontend.ir(plan, unit.whole, work, "layout")
    preprocessed = reading.result()
    own = (str(tree.root), str(plan.pyconfig), *([str(plan.build)] if plan.build else []))
    common = witness.read(ir, preprocessed, root=str(tree.root), own=own, mark=unit.name)
    found = witness.parts(ir, preprocessed, common, mark=unit.name, pointer=plan.target.pointer_bytes)
    asked = _by_digest(new, found)
    if len(asked) < len(new):
        raise CompileError("what clang says of some uops is not where it should be", fix=REPORT)
    return common, found[""], asked, not witness.declares(preprocessed, unit.name)


def _ask_quickly(
    plan: Plan, new: Mapping[str, Uop], common: Common, work: Path, begin: Begin
) -> Mapping[str, Part] | None:
    """Ask clang about uops alone, whose headers are precompiled; None where it takes all of these to know.

    Nobody has tried it with flags of the user's.
    """
    if not new:
        return {}
    if plan.cflags or not common.macros:
        return None
    unit = plan.tree.python.dialect.every_uop(plan.tree, tuple(new.values()), plan.target)
    session = begin() if unit.prefix == shared_prefix(plan.units) else None
    if session is None:
        return None
    with process.workers(1) as pool:
        expanding = pool.submit(frontend.expanded, plan, f"{common.macros}{unit.tail}", work, "words")
        ir = session.unoptimised(unit.tail, "uses")
    text = expanding.result()
    if not ir or not text or witness.declares(text, unit.name):
        return None
    found = _by_digest(new, witness.parts(ir, text, common, mark=unit.name, pointer=plan.target.pointer_bytes))
    return found if len(found) == len(new) else None


def _by_digest(new: Iterable[str], found: Mapping[str, Part]) -> Mapping[str, Part]:
    return {digest: found[str(number)] for number, digest in enumerate(new) if str(number) in found}


def _kept(key: str, root: str, store: Store) -> tuple[Common, Part] | None:
    """Recall what holds for whatever uops, and what all have."""

    def read(entry: bytes) -> tuple[Common, Part]:
        base, _, common = entry.decode().partition("\n")
        return witness.load_common(common, root), witness.load(base)[""]

    return store.read(key, read, *DAMAGE)


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
