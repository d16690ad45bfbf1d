"""The ledger of expected digests: TOML that a person can review, and no machine code.

The entry of the LLVM that upstream pins is whole; those of other LLVMs name the stencils that differ from it.
An entry that is missing, empty or not as it should be is an error or a refusal, never a pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final, get_args

from stencilkit.errors import LedgerError
from stencilkit.model.ledger import SHORT, Entry, Proven, place
from stencilkit.model.manifest import Manifest
from stencilkit.model.target import Kind
from stencilkit.model.verdict import Check
from stencilkit.model.version import LlvmVersion
from stencilkit.support import files, limits, words
from stencilkit.support.fields import Fields, document

_SCHEMA: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHORT_DIGEST: Final = re.compile(rf"[0-9a-f]{{{SHORT}}}")
_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_SHOWN: Final = 8
_PROVE: Final = "prove it again: stencilkit prove --ledger --update"
RESTORE: Final = "restore the ledger, or have it written again: stencilkit gate --update"


def render(entry: Entry, base: Entry | None = None) -> str:
    """Write an entry as TOML; with a base, only the stencils in which it differs from that."""
    lines = [f"schema = {_SCHEMA}"]
    lines += [f'{key} = "{value}"' for key, value in _texts(entry).items()]
    lines += [f"code-bytes = {entry.code_bytes}", f"data-bytes = {entry.data_bytes}"]
    lines += [f"deviations = {json.dumps(entry.deviations)}"] if entry.deviations else []
    stencils = entry.stencils
    if base is not None:
        lines += ["", "# Stencils that are not below are those of the base.", f'base = "{base.llvm}"']
        lines += [f'base-content = "{base.content}"']
        absent = sorted(base.stencils.keys() - entry.stencils.keys())
        lines += [f"absent = {json.dumps(absent)}"] if absent else []
        stencils = {name: value for name, value in entry.stencils.items() if base.stencils.get(name) != value}
        lines += _proofs(entry, base)
    for title, table in (("extras", entry.extras), ("stencils", stencils)):
        lines += ["", f"[{title}]", *(f'{name} = "{digest}"' for name, digest in sorted(table.items()))]
    return "\n".join(lines) + "\n"


def _proofs(entry: Entry, base: Entry) -> Iterator[str]:
    """Write what was proved, unless it is of other stencils."""
    found = entry.proofs
    if found is None or (found.content, found.base) != (entry.content, base.content):
        return
    yield from ("", "# What `stencilkit prove` found of the stencils that differ from the base's.", "[proofs]")
    yield from (f'prover = "{found.prover}"', f'content = "{found.content}"', f'base = "{found.base}"')
    yield f"proved = {found.proved}"
    if found.otherwise:
        yield from ("", "[proofs.otherwise]")
        yield from (f"{name} = {json.dumps(text)}" for name, text in sorted(found.otherwise.items()))


def _texts(entry: Entry) -> dict[str, str]:
    return {
        "cpython": entry.cpython,
        "triple": entry.triple,
        "flavour": entry.flavour,
        "llvm": entry.llvm,
        "content": entry.content,
        "interface": entry.interface,
    }


def _no_base(where: PurePosixPath) -> Entry:
    raise LedgerError("an entry that others differ from must itself be whole", where=str(where), fix=RESTORE)


def parse(text: str, where: str, read_base: Callable[[PurePosixPath], Entry] = _no_base) -> Entry:
    """Read an entry; `where` is the file's name, for messages. `read_base` reads the entry that it differs from.

    Raises: LedgerError with the path to the bad field.
    """
    root = document(text, name=where, schema=_SCHEMA, error=LedgerError)
    entry = Entry(
        cpython=root.text("cpython"),
        triple=root.text("triple"),
        flavour=root.choice("flavour", get_args(Kind)),
        llvm=root.text("llvm"),
        content=_matching(root, "content", root.text("content"), _DIGEST),
        interface=_matching(root, "interface", root.text("interface"), _DIGEST),
        code_bytes=root.integer("code-bytes"),
        data_bytes=root.integer("data-bytes"),
        extras=_digests(root, "extras", _DIGEST),
        stencils=_digests(root, "stencils", _SHORT_DIGEST),
        deviations=root.texts("deviations", ()),
    )
    base = root.text("base", "")
    if base:
        whole = read_base(place(*entry.group, base))
        differing = {name for name, value in entry.stencils.items() if whole.stencils.get(name) != value}
        entry = replace(entry, stencils=_overlaid(root, entry, whole))
        for table in root.optional("proofs"):
            entry = replace(entry, proofs=_proven(table, entry, whole, differing))
    root.done()
    if not entry.stencils:
        raise root.fail("stencils", "an entry without stencils expects nothing")
    return entry


def _overlaid(root: Fields, entry: Entry, base: Entry) -> Mapping[str, str]:
    if root.text("base-content") != base.content:
        raise root.fail("base-content", f"LLVM {base.llvm}'s entry, of which this one is a part, was changed since")
    absent = root.texts("absent", ())
    return {**{name: value for name, value in base.stencils.items() if name not in absent}, **entry.stencils}


def _proven(table: Fields, entry: Entry, base: Entry, differing: set[str]) -> Proven:
    """Read what was proved: of these stencils, and of all that differ."""
    found = Proven(
        prover=_matching(table, "prover", table.text("prover"), _DIGEST),
        content=table.text("content"),
        base=table.text("base"),
        proved=table.integer("proved"),
        otherwise=table.mapping("otherwise", {}),
    )
    table.done()
    for key, one, other in (("content", found.content, entry.content), ("base", found.base, base.content)):
        if one != other:
            raise table.fail(key, f"something else was proved, not what is here; {_PROVE}")
    for name in found.otherwise.keys() - differing:
        raise table.fail(f"otherwise.{name}", "does not differ from the base's")
    if found.proved + len(found.otherwise) != len(differing):
        count = words.counted(len(differing), "stencil", "differ")
        raise table.fail("proved", f"{count}, and each must be counted or listed; {_PROVE}")
    return found


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


def entries(folder: Path) -> list[Path]:
    """List the files of a ledger.

    Raises: LedgerError where there are none.
    """
    known = sorted(folder.glob("*/*.toml"))
    if not known:
        raise LedgerError(
            f"{folder} holds no entries, so it expects nothing",
            fix="give the folder of a ledger, or fill it: stencilkit gate --update",
        )
    return known


def has(folder: Path, cpython: str, triple: str, flavour: Kind, llvm: str) -> bool:
    """Return whether there is a whole entry for a build.

    Raises: LedgerError where the ledger is empty, or the entry cannot be read.
    """
    wanted = place(cpython, triple, flavour, llvm)
    return folder / wanted in entries(folder) and _read(folder, wanted).llvm == llvm


def find(folder: Path, manifest: Manifest) -> Entry | None:
    """Find the entry that a manifest must agree with, None if the ledger has none.

    Raises: LedgerError where the ledger is empty, or the entry is in the wrong place or cannot be read.
    """
    known = entries(folder)
    wanted = place(manifest.cpython, manifest.triple, manifest.kind, manifest.toolchain.version)
    path = folder / wanted
    if path not in known:
        return None
    return _read(folder, wanted)


def _read(folder: Path, wanted: PurePosixPath) -> Entry:
    entry = _read_one(folder, wanted, lambda base: _read_one(folder, base))
    if entry.place != wanted:
        where = str(folder / wanted)
        raise LedgerError(f"the entry is that of {entry.place}", where=where, fix="move it there, or restore it")
    return entry


def _read_one(folder: Path, wanted: PurePosixPath, read_base: Callable[[PurePosixPath], Entry] = _no_base) -> Entry:
    path = folder / wanted
    if not path.is_file():
        raise LedgerError("an entry that others differ from is missing", where=str(path), fix=RESTORE)
    return parse(files.read_text(path, error=LedgerError, limit=limits.MANIFEST), str(path), read_base)


def write(folder: Path, entry: Entry, pinned: int) -> None:
    """Put an entry in its place, and write those that differ from the same base anew.

    The base is the entry of the LLVM that upstream pins, `pinned`, or the lowest.

    Raises: LedgerError where an entry that is there cannot be read; OutputError.
    """
    there = [_read(folder, place(*entry.group, llvm)) for llvm in _llvms(folder, entry)]
    if entry.proofs is None:
        # What was proved of the same stencils stays; `render` leaves out what was proved of others.
        entry = replace(entry, proofs=next((other.proofs for other in there if other.llvm == entry.llvm), None))
    group = sorted((*(other for other in there if other.llvm != entry.llvm), entry), key=_version)
    base = next((item for item in group if _version(item).major == pinned), group[0])
    texts = {item.place.name: render(item, None if item is base else base) for item in group}
    files.write_together(folder / entry.cpython, {name: text.encode() for name, text in texts.items()})


def _llvms(folder: Path, entry: Entry) -> list[str]:
    pattern = place(*entry.group, "*")
    before = pattern.name.partition("*")[0]
    return [path.name.removeprefix(before).removesuffix(".toml") for path in sorted(folder.glob(str(pattern)))]


def _version(entry: Entry) -> LlvmVersion:
    version = LlvmVersion.parse(entry.llvm)
    if version is None:
        raise LedgerError(f"llvm: is not a version: {entry.llvm!r}", where=str(entry.place), fix=RESTORE)
    return version


def base_of(folder: Path, entry: Entry, pinned: int) -> Entry:
    """Return the entry that those of a group differ from, as `write` chooses it.

    Raises: LedgerError where there is none, or one cannot be read.
    """
    group = sorted((_read(folder, place(*entry.group, llvm)) for llvm in _llvms(folder, entry)), key=_version)
    if not group:
        raise LedgerError(f"the ledger has no entry for {entry.place}", where=str(folder), fix=RESTORE)
    return next((item for item in group if _version(item).major == pinned), group[0])


def read(path: Path) -> Entry:
    """Read one entry by its file, which is in a ledger.

    Raises: LedgerError.
    """
    wanted = PurePosixPath(path.absolute().parent.name, path.name)
    if not path.is_file():
        raise LedgerError("there is no such entry of a ledger", where=str(path), fix="name a file below its folder")
    return _read(path.absolute().parents[1], wanted)


def read_all(folder: Path) -> Iterator[Entry]:
    """Read every entry of a ledger, in the order of their files.

    Raises: LedgerError.
    """
    for path in entries(folder):
        yield _read(folder, PurePosixPath(path.relative_to(folder).as_posix()))


def check(found: Entry, expected: Entry | None) -> Iterator[Check]:
    """Compare what was found with the ledger."""
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
