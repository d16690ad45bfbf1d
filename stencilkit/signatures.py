"""Signatures of stencils -> JSON that a person can review, one file per series, target and flavour; and back.

A row is one body of a stencil's code: its size, the CRC-32 of its first and of its last 32 bytes, its SHA-256, and
which builds have it. Rows of code below 32 bytes and of data, which are not looked for, are shorter and have no names.
Releases of a series and LLVMs share most bodies, so a file with all of them is hardly larger than with one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, get_args

from stencilkit.errors import LedgerError
from stencilkit.model.signature import SHORTEST, Candidate, Filler, Made, Signature, fill, sign
from stencilkit.model.stencil import StencilSet
from stencilkit.model.target import Kind
from stencilkit.model.version import LlvmVersion, PythonVersion
from stencilkit.support import files, resources

SCHEMA: Final = 1
FOLDER: Final = "signatures"
_ROW: Final = re.compile(
    r"(\d{2,7}) ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{64}) (\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*)"
)
_FILLER: Final = re.compile(r"(\d{1,7}) ([0-9a-f]{32}) (\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*)")
_KEYS: Final = {"schema", "series", "triple", "flavour", "builds", "short", "data", "stencils"}
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,200}")
_TRIPLE: Final = re.compile(r"[a-z0-9_]+(?:-[a-z0-9_]+){2,3}")
_AGAIN: Final = "restore the ledger, or write it again: stencilkit gate --update"


def of(made: Made, stencils: StencilSet, source: str = "") -> Candidate:
    """Sign stencils: code that is long enough to be found, and what else of theirs is stored in a program.

    `source` is a path that the user named.
    """
    signed = {group.name: sign(group.code.body) for group in stencils.groups}
    return Candidate(
        made=made,
        signatures={name: signature for name, signature in sorted(signed.items()) if signature is not None},
        short=frozenset(fill(group.code.body) for group in stencils.groups if 0 < len(group.code.body) < SHORTEST),
        data=frozenset(fill(group.data.body) for group in stencils.groups if group.data.body),
        source=source,
        codes={group.name: group.code.body for group in stencils.groups},
    )


def place(made: Made) -> PurePosixPath:
    """Name the file of a build, below the folder of signatures."""
    series = _version(made.cpython).series
    return PurePosixPath(series, f"{made.triple}-{made.flavour}.json")


def render(candidates: Iterable[Candidate]) -> str:
    """Write the candidates of one series, target and flavour."""
    ordered = sorted(candidates, key=_order)
    rows: dict[str, dict[Signature, list[int]]] = {}
    for number, candidate in enumerate(ordered):
        for name, signature in candidate.signatures.items():
            rows.setdefault(name, {}).setdefault(signature, []).append(number)
    first = ordered[0].made
    head = {
        "schema": SCHEMA,
        "series": _version(first.cpython).series,
        "triple": first.triple,
        "flavour": first.flavour,
        "builds": [f"{candidate.made.cpython} {candidate.made.llvm}" for candidate in ordered],
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    lines += [
        *_render_fillers("short", [candidate.short for candidate in ordered]),
        *_render_fillers("data", [candidate.data for candidate in ordered]),
    ]
    stencils = [
        f"    {json.dumps(name)}: [\n"
        + ",\n".join(f"      {json.dumps(_row(signature, numbers))}" for signature, numbers in rows[name].items())
        + "\n    ]"
        for name in sorted(rows)
    ]
    return "{\n" + "\n".join(lines) + '\n  "stencils": {\n' + ",\n".join(stencils) + "\n  }\n}\n"


def _render_fillers(key: str, builds: Sequence[frozenset[Filler]]) -> Iterator[str]:
    rows = [
        f"{filler.size} {filler.sha256} {_ranges([number for number, build in enumerate(builds) if filler in build])}"
        for filler in sorted(frozenset[Filler]().union(*builds))
    ]
    yield f"  {json.dumps(key)}: ["
    yield from (f"    {json.dumps(row)}{',' if row != rows[-1] else ''}" for row in rows)
    yield "  ],"


def _order(candidate: Candidate) -> tuple[object, ...]:
    version, llvm = _version(candidate.made.cpython), LlvmVersion.parse(candidate.made.llvm)
    return (version.age, str(candidate.made.cpython), llvm or LlvmVersion(0, 0, 0), candidate.made.llvm)


def _row(signature: Signature, numbers: list[int]) -> str:
    return f"{signature.size} {signature.head:08x} {signature.tail:08x} {signature.sha256} {_ranges(numbers)}"


def _ranges(numbers: list[int]) -> str:
    """Spell increasing numbers as 0-3,5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def parse(text: str, where: str) -> tuple[Candidate, ...]:
    """Read a file of signatures; `where` is its name, for messages.

    Raises: LedgerError.
    """
    try:
        return tuple(_parse(json.loads(text)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise LedgerError(f"the signatures cannot be read: {error!s:.200}", where=where, fix=_AGAIN) from None


def _parse(root: dict[str, Any]) -> Iterator[Candidate]:
    if root.keys() != _KEYS or root["schema"] != SCHEMA:
        raise ValueError(f"it is not of schema {SCHEMA}")
    triple, flavour = root["triple"], root["flavour"]
    if not _TRIPLE.fullmatch(triple) or flavour not in get_args(Kind):
        raise ValueError("it names no target and flavour")
    made = [_made(text, triple, flavour) for text in root["builds"]]
    if any(_version(item.cpython).series != root["series"] for item in made):
        raise ValueError("it has builds of another series")
    found: list[dict[str, Signature]] = [{} for _ in made]
    for name, rows in root["stencils"].items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r:.40} is not the name of a stencil")
        for row in rows:
            signature, numbers = _signature(row)
            for number in numbers:
                found[number][name] = signature
    short, data = _fillers(root["short"], len(made)), _fillers(root["data"], len(made))
    for item, signatures, *fillers in zip(made, found, short, data, strict=True):
        yield Candidate(made=item, signatures=signatures, short=fillers[0], data=fillers[1])


def _fillers(rows: list[str], builds: int) -> list[frozenset[Filler]]:
    found: list[set[Filler]] = [set() for _ in range(builds)]
    for row in rows:
        match = _FILLER.fullmatch(row)
        if match is None:
            raise ValueError(f"{row!r:.40} is not a size, the start of a SHA-256, and builds")
        for number in _numbers(match[3]):
            found[number].add(Filler(size=int(match[1]), sha256=match[2]))
    return [frozenset(fillers) for fillers in found]


def _made(text: str, triple: str, flavour: Kind) -> Made:
    cpython, _, llvm = text.partition(" ")
    if PythonVersion.parse(cpython) is None or LlvmVersion.parse(llvm) is None:
        raise ValueError(f"{text!r:.40} is not a CPython and an LLVM")
    return Made(cpython=cpython, triple=triple, flavour=flavour, llvm=llvm)


def _signature(row: str) -> tuple[Signature, list[int]]:
    match = _ROW.fullmatch(row)
    if match is None:
        raise ValueError(f"{row!r:.40} is not a signature")
    signature = Signature(size=int(match[1]), head=int(match[2], 16), tail=int(match[3], 16), sha256=match[4])
    return signature, _numbers(match[5])


def _numbers(text: str) -> list[int]:
    """Read increasing numbers that are spelled as 0-3,5."""
    numbers: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        numbers += range(int(low), int(high or low) + 1)
    return numbers


def _version(text: str) -> PythonVersion:
    version = PythonVersion.parse(text)
    if version is None:
        raise LedgerError(f"{text!r} is not a CPython version", fix=_AGAIN)
    return version


class Shelf:
    """The files of signatures of a ledger, by target, each read when it is asked for: a program is for one target.

    Raises: LedgerError where there are none at all.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, list[Path]] = {}
        for path in sorted(folder.glob("*/*.json")):
            self._files.setdefault(_triple(path), []).append(path)
        if not self._files:
            raise LedgerError(
                f"{folder} holds no signatures of stencils",
                fix="give the folder of a ledger, or headers and output folders with --against",
            )

    def read(self, triples: Collection[str]) -> Iterator[Candidate]:
        """Read the signatures of stencils for some targets.

        Raises: LedgerError.
        """
        for triple in sorted(self._files.keys() & set(triples)):
            for path in self._files[triple]:
                yield from parse(files.read_text(path, error=LedgerError, fix=_AGAIN), str(path))


def of_ledger(ledger: Path) -> Shelf:
    """Open a ledger's signatures.

    Raises: LedgerError where there are none at all.
    """
    return Shelf(ledger / FOLDER)


def packaged() -> Shelf:
    """Open the signatures that come with stencilkit.

    Raises: LedgerError.
    """
    return Shelf(resources.folder(f"data/{FOLDER}", f"reproducibility/ledger/{FOLDER}"))


def _triple(path: Path) -> str:
    """Take the flavour from a file's name: what is left names the target."""
    kinds = [kind for kind in get_args(Kind) if path.stem.endswith(f"-{kind}")]
    return path.stem.removesuffix(f"-{max(kinds, key=len, default='')}")


def write(folder: Path, candidates: Iterable[Candidate]) -> tuple[Path, ...]:
    """Add builds to a ledger's files of signatures; those that are there already are written anew.

    Raises: LedgerError where a file that is there cannot be read; OutputError.
    """
    groups: dict[PurePosixPath, dict[Made, Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(place(candidate.made), {})[candidate.made] = candidate
    written = []
    for name, added in sorted(groups.items()):
        path = folder / FOLDER / name
        there = parse(files.read_text(path, error=LedgerError), str(path)) if path.is_file() else ()
        merged = {**{item.made: item for item in there}, **added}
        files.write(path, render(merged.values()).encode())
        written.append(path)
    return tuple(written)
