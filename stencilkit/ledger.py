"""Stage 14: the ledger of expected digests: TOML that a person can review, and no machine code.

An entry that is missing, empty or not as it should be is an error or a refusal, never a pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, get_args

from stencilkit.errors import LedgerError
from stencilkit.model.ledger import SHORT, Entry, place
from stencilkit.model.manifest import Manifest
from stencilkit.model.target import Flavour
from stencilkit.model.verdict import Check
from stencilkit.support import files
from stencilkit.support.fields import Fields, document

_SCHEMA: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHORT_DIGEST: Final = re.compile(rf"[0-9a-f]{{{SHORT}}}")
_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_SHOWN: Final = 8


def render(entry: Entry) -> str:
    """Write an entry as TOML."""
    lines = [f"schema = {_SCHEMA}"]
    lines += [f'{key} = "{value}"' for key, value in _texts(entry).items()]
    lines += [f"code-bytes = {entry.code_bytes}", f"data-bytes = {entry.data_bytes}"]
    for title, table in (("extras", entry.extras), ("stencils", entry.stencils)):
        lines += ["", f"[{title}]", *(f'{name} = "{digest}"' for name, digest in sorted(table.items()))]
    return "\n".join(lines) + "\n"


def _texts(entry: Entry) -> dict[str, str]:
    return {
        "cpython": entry.cpython,
        "triple": entry.triple,
        "flavour": entry.flavour,
        "llvm": entry.llvm,
        "content": entry.content,
        "interface": entry.interface,
    }


def parse(text: str, where: str) -> Entry:
    """Read an entry; `where` is the file's name, for messages.

    Raises: LedgerError with the path to the bad field.
    """
    root = document(text, name=where, schema=_SCHEMA, error=LedgerError)
    entry = Entry(
        cpython=root.text("cpython"),
        triple=root.text("triple"),
        flavour=root.choice("flavour", get_args(Flavour)),
        llvm=root.text("llvm"),
        content=_matching(root, "content", root.text("content"), _DIGEST),
        interface=_matching(root, "interface", root.text("interface"), _DIGEST),
        code_bytes=root.integer("code-bytes"),
        data_bytes=root.integer("data-bytes"),
        extras=_digests(root, "extras", _DIGEST),
        stencils=_digests(root, "stencils", _SHORT_DIGEST),
    )
    root.done()
    if not entry.stencils:
        raise root.fail("stencils", "an entry without stencils expects nothing")
    return entry


def _digests(root: Fields, key: str, pattern: re.Pattern[str]) -> Mapping[str, str]:
    table = root.mapping(key)
    for name, value in table.items():
        _matching(root, f"{key}.{name}", name, _NAME)
        _matching(root, f"{key}.{name}", value, pattern)
    return table


def _matching(root: Fields, key: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise root.fail(key, f"is not what belongs here: {value!r}")
    return value


def find(folder: Path, manifest: Manifest) -> Entry | None:
    """Find the entry that a manifest must agree with, None if the ledger has none.

    Raises: LedgerError where the ledger is empty, or the entry is in the wrong place or cannot be read.
    """
    known = sorted(folder.glob("*/*.toml"))
    if not known:
        raise LedgerError(
            f"{folder} holds no entries, so it expects nothing",
            fix="give a folder like reproducibility/ledger, or fill it: reproducibility/gate --update",
        )
    wanted = place(manifest.cpython, manifest.triple, manifest.flavour, manifest.toolchain.version)
    path = folder / wanted
    if path not in known:
        return None
    entry = parse(files.read_text(path, error=LedgerError), str(path))
    if entry.place != wanted:
        raise LedgerError(f"the entry is that of {entry.place}", where=str(path), fix="move it there, or restore it")
    return entry


def read_all(folder: Path) -> Iterator[Entry]:
    """Read every entry of a ledger, in the order of their files.

    Raises: LedgerError.
    """
    for path in sorted(folder.glob("*/*.toml")):
        yield parse(files.read_text(path, error=LedgerError), str(path))


def check(found: Entry, expected: Entry | None) -> Iterator[Check]:
    """Hold what was found against the ledger."""
    what = f"CPython {found.cpython}, {found.triple}, {found.flavour}, LLVM {found.llvm}"
    if expected is None:
        yield Check(kind="ledger", status="failed", what=f"the ledger has no entry for {what}")
        return
    differing = tuple(_differing(found, expected))
    if differing or found != expected:
        details = differing or ("the same stencils: a digest, an extra or a size differs",)
        yield Check(
            kind="ledger", status="failed", what=f"the ledger expects something else of {what}", details=details
        )
    else:
        yield Check(kind="ledger", status="passed", what=f"the ledger expects exactly this of {what}")


def _differing(found: Entry, expected: Entry) -> Iterator[str]:
    names = found.stencils.keys() | expected.stencils.keys()
    differing = sorted(name for name in names if found.stencils.get(name) != expected.stencils.get(name))
    for name in differing[:_SHOWN]:
        there = "differs" if name in found.stencils else "is missing"
        yield f"{name} {there if name in expected.stencils else 'is not in the ledger'}"
    if len(differing) > _SHOWN:
        yield f"and {len(differing) - _SHOWN} more"
    yield from (
        f"{role} differs"
        for role in sorted(found.extras.keys() | expected.extras.keys())
        if found.extras.get(role) != expected.extras.get(role)
    )
