"""What is beside the stencil header, where a CPython has such files: the shim object and unwind information."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stencilkit import emit, objects, unwind
from stencilkit.errors import ObjectError
from stencilkit.model.manifest import FileRole
from stencilkit.model.objectfile import ObjectFile, SectionRole
from stencilkit.model.target import Target
from stencilkit.model.unwind import UnwindInfo
from stencilkit.support import resources
from stencilkit.support.cache import DAMAGE, Store, key_of

# They read objects and instructions.
_LIBRARIES: Final = ("capstone", "elftools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """The shim's bytes, the constants derived from it, and the digest of each one's content.

    `producer` is what the shim says of its compiler, "" where it says nothing.
    """

    shim: bytes | None
    unwind: tuple[tuple[str, int], ...]
    digests: Mapping[str, str]
    producer: str = ""

    def files(self, line1: str, line2: str) -> dict[FileRole, bytes]:
        """Render the files."""
        if self.shim is None:
            return {}
        text = emit.constants(line1, line2, self.unwind)
        return {"shim": self.shim, "unwind": text.encode()}


def derive(target: Target, shim: bytes | None) -> Companions:
    """Derive everything from the shim object.

    Raises: ObjectError, also where the object is more than the shim: make links all of it into python.
    """
    if shim is None:
        return Companions(shim=None, unwind=(), digests={})
    try:
        return _derive(target, shim)
    except ObjectError as error:
        raise ObjectError(error.what, where=error.where or unwind.SHIM, fix=error.fix or unwind.FIX) from None


def derived(target: Target, shim: bytes | None, code: str, store: Store) -> Companions:
    """Derive everything, or recall what came of the same shim: a changed uop leaves it alone, and capstone unloaded.

    `code` is the digest of stencilkit itself.

    Raises: ObjectError.
    """
    if shim is None:
        return derive(target, shim)
    # No field of a target is a set, whose order would differ from run to run.
    key = key_of("companions", code, resources.installed(*_LIBRARIES), repr(target), _digest(shim.hex()))
    known = store.read(key, lambda entry: _stored(entry, shim), *DAMAGE)
    if known is None:
        known = derive(target, shim)
        store.put(key, json.dumps([known.unwind, dict(known.digests), known.producer]).encode())
    return known


def _stored(entry: bytes, shim: bytes) -> Companions:
    rows, digests, producer = json.loads(entry)
    unwind = tuple((name, value) for name, value in rows)
    texts = [producer, *digests, *digests.values(), *(name for name, _ in unwind)]
    if not all(type(text) is str for text in texts) or not all(type(value) is int for _, value in unwind):
        raise ValueError("these are not constants")
    return Companions(shim=shim, unwind=unwind, digests=digests, producer=producer)


def _derive(target: Target, shim: bytes) -> Companions:
    obj = objects.parse(shim, target, unwind=True)
    linked = objects.account(shim, target)
    constants = unwind.rows(_unwind(obj, shim, target))
    return Companions(
        shim=shim,
        unwind=constants,
        digests={
            "shim": _digest(canonical_object(obj, linked.varying)),
            "unwind": _digest(canonical_constants(constants)),
        },
        producer=linked.producer,
    )


def _unwind(obj: ObjectFile, shim: bytes, target: Target) -> UnwindInfo | None:
    table = objects.frame_table(shim, target)
    if table is None:
        return None
    from stencilkit import disassemble  # noqa: PLC0415  # CPythons without a shim need none of it

    code = b"".join(section.data for section in obj.sections if section.role is SectionRole.CODE)
    return unwind.derive(table, disassemble.calls(code, target.arch), target.arch)


def canonical_object(obj: ObjectFile, varying: Sequence[str] = ()) -> str:
    """Spell what is loaded of an object, and what else may vary in it; the compiler's name for itself is left out.

    `objects.account` checks that there is nothing else.
    """
    lines = []
    for section in obj.sections:
        lines.append(f"section {section.name} {section.role.value} {section.data.hex() or '-'}")
        lines += [f"symbol {symbol.name} {symbol.offset:#x}" for symbol in section.symbols]
        lines += [f"relocation {r.offset:#x} {r.kind} {r.symbol} {r.addend:#x}" for r in section.relocations]
    return "".join(f"{line}\n" for line in (*lines, *varying))


def canonical_constants(constants: tuple[tuple[str, int], ...]) -> str:
    """Spell the constants."""
    return "".join(f"{name} {value}\n" for name, value in constants)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
