"""From two headers or output folders to a proof for each stencil that differs, or what stands in its way."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from stencilkit import disassemble, prove
from stencilkit.errors import UsageError
from stencilkit.model import digest
from stencilkit.model.machine import Operation
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.proof import Difference, Proof, Proofs, Prototype, Verdict
from stencilkit.model.stencil import HoleValue, Patch, StencilGroup
from stencilkit.pipeline import accounting, admitting, bundling, opening
from stencilkit.pipeline.opening import Opened
from stencilkit.prove import Setting, emulate, solver
from stencilkit.support import fields, files, forks, resources
from stencilkit.support.cache import DAMAGE, NoStore, Store
from stencilkit.support.progress import SILENT, Progress, counting

_AROUND: Final = 6
_PROTOTYPES: Final = "prove/prototypes.toml"
# Where a word has 64 bits and `long` has 32: PyThreadState.native_thread_id takes less room.
_LAYOUTS: Final = dict.fromkeys(("x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc"), "-windows")
_PROTOTYPE: Final = re.compile(r"(?P<result>[\w{}, ]+?)\((?P<arguments>[^()]*)\)(?P<ends> noreturn)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How to prove: which uops (all if none is named), with what budget of z3's units, how many at once.

    `runs` is how often both are run where no proof is found. `ledger` is the folder of a ledger that the proofs are
    compared with, or written to where `update` says so.
    """

    uops: tuple[str, ...] = ()
    budget: int = prove.BUDGET
    runs: int = prove.RUNS
    jobs: int = 1
    triple: str | None = None
    itself: bool = False
    ledger: Path | None = None
    update: bool = False


def run(
    paths: Sequence[Path], request: Request, *, store: Store | None = None, progress: Progress = SILENT
) -> tuple[Proofs, ...]:
    """Prove the first against each of the others, or against itself.

    Raises: UsageError where they cannot be compared, or z3 is missing; HeaderError, ManifestError, TargetError.
    """
    if len(paths) != 1 if request.itself else len(paths) < 2:
        raise UsageError(
            "--self takes one path" if request.itself else "prove takes two or more paths, or --self and one",
            fix="name headers or output folders",
        )
    solver.load()
    if request.runs:
        emulate.load()
    if request.update and request.ledger is None:
        raise UsageError("--update writes to a ledger", fix="give --ledger DIR")
    if request.ledger is not None and (request.itself or request.uops):
        raise UsageError("the ledger is about all stencils of two builds", fix="leave out --self and --uop")
    first, *others = (_opened(path, request.triple) for path in paths)
    found = []
    for other in others or [first]:
        proofs = _pair(first, other, request, store or NoStore(), progress)
        if request.ledger is not None:
            unlike = accounting.unlike(first, other, proofs, request.ledger, update=request.update)
            proofs = replace(proofs, unlike=unlike)
        found.append(proofs)
    return tuple(found)


def _opened(path: Path, triple: str | None) -> Opened:
    """Open a header, an output folder, or the one build in a bundle that is for a target.

    Raises: UsageError where a bundle has several; BundleError, and what `admitting.header` raises.
    """
    if path.suffix == ".h" or not path.is_file():
        return admitting.header(path, triple)
    found = [item for item in bundling.open_all(path) if triple in (None, item.manifest.triple)]
    if len(found) != 1:
        raise UsageError(
            f"{path} has {len(found)} builds that could be meant",
            fix="name one by --target, or unpack the bundle and give a folder",
        )
    with files.scratch("prove") as folder:
        files.write_together(folder, {**found[0].files, MANIFEST_NAME: found[0].manifest_text})
        return replace(admitting.header(folder), label=str(path))


def _pair(first: Opened, second: Opened, request: Request, store: Store, progress: Progress) -> Proofs:
    opening.check_comparable(first, second)
    names = _names(first, second, request.uops)
    setting = _setting(first, request)
    found: dict[str, Proof] = {}
    todo: list[tuple[StencilGroup, StencilGroup]] = []
    for name in names:
        left, right = first.header.stencils.find(name), second.header.stencils.find(name)
        if left is None or right is None:
            where = second.label if left is None else first.label
            found[name] = Proof(name=name, verdict=Verdict.NOT_PROVED, why=f"unsupported: it is in {where} alone")
        elif not request.itself and digest.canonical_group(left) == digest.canonical_group(right):
            found[name] = Proof(name=name, verdict=Verdict.IDENTICAL)
        else:
            todo.append((left, right))
    found |= _proved(todo, setting, request.jobs, store, progress)
    return Proofs(
        first=first.label,
        second=second.label,
        series=first.header.format.series,
        triple=first.target.triple,
        assumptions=prover(),
        proofs=tuple(found[name] for name in sorted(found)),
    )


def _names(first: Opened, second: Opened, wanted: tuple[str, ...]) -> list[str]:
    names = {group.name for opened in (first, second) for group in opened.header.stencils.groups}
    for name in wanted:
        if name not in names:
            raise UsageError(f"there is no uop {name} here", fix="stencilkit show lists the uops of a header")
    return sorted(wanted or names)


def prover() -> str:
    """Name the prover: a digest of what its code does, its assumptions and the prototypes."""
    code = resources.logic_digest("prove", "disassemble.py", "model/machine.py", "model/alignment.py")
    return hashlib.sha256(f"{code}\n{resources.text(_PROTOTYPES)}".encode()).hexdigest()


def _setting(opened: Opened, request: Request) -> Setting:
    arch = opened.target.arch

    def decode(group: StencilGroup) -> tuple[Operation, ...]:
        return disassemble.operations(group.code, arch)

    prototypes, alignments = _known(table_name(opened))
    return Setting(
        series=opened.header.format.series,
        triple=opened.target.triple,
        arch=arch,
        entry=opened.header.format.entry,
        prototypes=prototypes,
        alignments=alignments,
        layout=_sizes(layout_name(opened)),
        decode=decode,
        budget=request.budget,
        runs=request.runs,
    )


def table_name(opened: Opened) -> str:
    """Name the table of prototypes for some stencils: by the series, and by the width of pointers if it is not 64."""
    bits = 8 * opened.target.pointer_bytes
    return opened.header.format.series + ("" if bits == 64 else f"-{bits}")


def layout_name(opened: Opened) -> str:
    """Name the table of the layout of CPython's types, which is one of its own where `long` is no word."""
    return table_name(opened) + _LAYOUTS.get(opened.target.triple, "")


def _known(name: str) -> tuple[Mapping[str, Prototype], Mapping[str, int]]:
    """Read prototypes, and alignments of objects."""
    functions, objects = (_section(name, section) for section in ("functions", "objects"))
    return (
        {name: _prototype(text) for name, text in functions.items()},
        {name: int(bytes_) for name, bytes_ in objects.items()},
    )


def _sizes(name: str) -> Mapping[str, int]:
    """Read sizes of types and offsets of fields."""
    return {name: int(bytes_) for name, bytes_ in _section(name, "layout").items()}


def _section(name: str, section: str) -> Mapping[str, str]:
    """Read a part of the table of prototypes; there is nothing for a CPython that is not in it."""
    root = fields.document(resources.text(_PROTOTYPES), name=_PROTOTYPES, schema=1, error=UsageError)
    table = next(root.optional(name), None)
    return table.mapping(section) if table is not None else {}


def _prototype(text: str) -> Prototype:
    match = _PROTOTYPE.fullmatch(text)
    if match is None:
        raise UsageError(f"{_PROTOTYPES}: {text} is not a prototype", fix="make the table again")
    arguments = [one for one in match["arguments"].split(", ") if one]
    return Prototype(
        result=match["result"],
        arguments=tuple(one for one in arguments if one != "..."),
        variadic="..." in arguments,
        returns=not match["ends"],
    )


def _proved(
    todo: Sequence[tuple[StencilGroup, StencilGroup]], setting: Setting, jobs: int, store: Store, progress: Progress
) -> dict[str, Proof]:
    keys = {left.name: _key(left, right, setting) for left, right in todo}
    kept = {name: store.read(key, functools.partial(_parsed, name), *DAMAGE) for name, key in keys.items()}
    found = {name: proof for name, proof in kept.items() if proof is not None}
    rest = [pair for pair in todo if pair[0].name not in found]

    def one(pair: tuple[StencilGroup, StencilGroup]) -> bytes:
        return _written(prove.prove(*pair, setting))

    with counting(progress, "stencils proved", len(rest)):
        answers = forks.each(one, rest, jobs=jobs, done=progress.advance)
    for (left, _), answer in zip(rest, answers, strict=True):
        proof = None if answer is None else _parsed(left.name, answer)
        found[left.name] = proof or Proof(name=left.name, verdict=Verdict.NOT_PROVED, why="limit (its process died)")
        if answer is not None and proof is not None:
            store.put(keys[left.name], answer)
    return {left.name: _listed(found[left.name], left, right, setting.arch) for left, right in todo}


def _listed(proof: Proof, left: StencilGroup, right: StencilGroup, arch: str) -> Proof:
    """Add the code of both sides around the place of a difference."""
    if proof.difference is None:
        return proof
    sides = zip((left, right), proof.difference.places, strict=True)
    one, other = (_around(group, place, arch) for group, place in sides)
    return replace(proof, difference=replace(proof.difference, listings=(one, other)))


def _around(group: StencilGroup, place: int, arch: str) -> tuple[str, ...]:
    """List some instructions before and behind an offset, which is marked, with what is patched into them."""
    found = disassemble.instructions(group.code, arch)
    rows = [
        (item.offset, "  ; ".join((item.text, *(_hole(group.code.patches[index]) for index in item.patches))))
        for item in found
    ]
    at = next((number for number, (offset, _) in enumerate(rows) if offset >= place), len(rows))
    near = rows[max(0, at - _AROUND) : at + _AROUND + 1]
    return tuple(f"{'>' if offset == place else ' '} {offset:4x}:  {text}" for offset, text in near)


def _hole(patch: Patch) -> str:
    rows = [patch.symbol or "", patch.value.value if patch.value is not HoleValue.ZERO else ""]
    return " + ".join(filter(None, rows)) or f"{patch.addend:#x}"


def _key(left: StencilGroup, right: StencilGroup, setting: Setting) -> str:
    rows = [
        prover(),
        solver.version(),
        disassemble.version(),
        emulate.version() if setting.runs else "",
        setting.series,
        setting.triple,
        f"{setting.budget} {setting.runs}",
        *(digest.canonical_group(group) for group in (left, right)),
    ]
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()


def _written(proof: Proof) -> bytes:
    difference = proof.difference
    rows: dict[str, Any] = {
        "verdict": proof.verdict.value,
        "why": proof.why,
        "facts": list(proof.facts),
        "spent": proof.spent,
        "runs": proof.runs,
        "difference": None
        if difference is None
        else [difference.what, difference.left, difference.right, *difference.places],
    }
    return json.dumps(rows).encode()


def _parsed(name: str, content: bytes) -> Proof:
    rows = json.loads(content)
    found = rows["difference"]
    return Proof(
        name=name,
        verdict=Verdict(rows["verdict"]),
        why=rows["why"],
        facts=tuple(rows["facts"]),
        spent=rows["spent"],
        runs=rows["runs"],
        difference=None
        if found is None
        else Difference(what=found[0], left=found[1], right=found[2], places=(found[3], found[4])),
    )
