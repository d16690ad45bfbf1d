"""Signatures of stencils, written and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stencilkit import ledger, signatures
from stencilkit.errors import LedgerError
from stencilkit.model.signature import SHORTEST, Candidate, Made, sign
from stencilkit.model.target import Kind
from stencilkit.pipeline import gate

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"


def code(seed: int, size: int = 80) -> bytes:
    return bytes((seed * 31 + number * number) % 251 for number in range(size))


def candidate(cpython: str, llvm: str, triple: str = X86, kind: Kind = "release", **codes: int) -> Candidate:
    signed = {name: sign(code(seed)) for name, seed in codes.items()}
    made = Made(cpython=cpython, triple=triple, flavour=kind, llvm=llvm)
    return Candidate(made=made, signatures={name: item for name, item in signed.items() if item})


def read(ledger: Path, *triples: str) -> tuple[Candidate, ...]:
    return tuple(signatures.of_ledger(ledger).read(triples))


NEW = candidate("3.14.7", "21.1.0", _A=1, _B=3, _C=4)
OLD = candidate("3.14.7", "19.1.7", _A=1, _B=2)
NEXT = candidate("3.14.10", "19.1.7", _A=1, _B=2, _D=5)


def test_short_code_is_not_signed() -> None:
    assert sign(bytes(SHORTEST - 1)) is None
    assert sign(bytes(SHORTEST)) is not None


def test_what_was_written_is_read_back_in_the_order_of_releases() -> None:
    text = signatures.render([NEXT, NEW, OLD])
    assert signatures.parse(text, "here") == (OLD, NEW, NEXT)
    assert json.loads(text)["builds"] == ["3.14.7 19.1.7", "3.14.7 21.1.0", "3.14.10 19.1.7"]


def test_a_body_that_builds_share_is_one_row() -> None:
    rows = json.loads(signatures.render([OLD, NEW, NEXT]))["stencils"]
    assert [len(rows[name]) for name in ("_A", "_B", "_C", "_D")] == [1, 2, 1, 1]
    assert rows["_A"][0].endswith(" 0-2")
    assert {row.rsplit(" ", 1)[1] for row in rows["_B"]} == {"0,2", "1"}


def test_files_are_added_to(tmp_path: Path) -> None:
    signatures.write(tmp_path, [OLD, candidate("3.14.7", "19.1.7", ARM, _A=9)])
    written = signatures.write(tmp_path, [NEW])
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [f"signatures/3.14/{X86}-release.json"]
    assert read(tmp_path, X86) == (OLD, NEW)
    assert len(read(tmp_path, X86, ARM)) == 3
    again = candidate("3.14.7", "21.1.0", _A=7)
    signatures.write(tmp_path, [again])
    assert read(tmp_path, X86) == (OLD, again), "a build that is there already is replaced"


def test_hardened_stencils_have_signatures_of_their_own(tmp_path: Path) -> None:
    hardened = candidate("3.14.7", "19.1.7", kind="release-hardened", _A=8)
    signatures.write(tmp_path, [OLD, hardened])
    assert sorted(path.name for path in (tmp_path / "signatures" / "3.14").iterdir()) == [
        f"{X86}-release-hardened.json",
        f"{X86}-release.json",
    ]
    assert sorted(read(tmp_path, X86), key=lambda item: item.made.flavour) == [OLD, hardened]


def test_only_the_files_of_the_targets_asked_for_are_read(tmp_path: Path) -> None:
    (written,) = signatures.write(tmp_path, [candidate("3.14.7", "19.1.7", ARM, "debug-hardened", _A=9)])
    written.write_text("damaged")
    signatures.write(tmp_path, [OLD])
    assert read(tmp_path, X86) == (OLD,)
    with pytest.raises(LedgerError, match="cannot be read"):
        read(tmp_path, ARM)


def test_a_ledger_without_signatures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no signatures"):
        signatures.of_ledger(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema": 1', '"schema": 2'),
        ('"series": "3.14"', '"series": "3.15"'),
        (f'"triple": "{X86}"', '"triple": "../x"'),
        ('"flavour": "release"', '"flavour": "fast"'),
        ('"3.14.7 19.1.7"', '"3.14.7 19"'),
        ('"3.14.7 19.1.7"', "7"),
        ('"80 ', '"80000000 '),
        (' 0-2"', ' 0-9"'),
        (' 0-2"', ' 0-9999999999999999999"'),
        ('"_A"', '"_A\\u001b[31m"'),
        ('"stencils": {', '"stencils": [{'),
        ("{", ""),
    ],
)
def test_a_damaged_file_is_refused(old: str, new: str) -> None:
    text = signatures.render([OLD, NEW, NEXT])
    assert old in text
    with pytest.raises(LedgerError, match="the signatures cannot be read"):
        signatures.parse(text.replace(old, new, 1), "here")


def test_every_entry_of_our_ledger_has_signatures() -> None:
    """What `gate` and `build` wrote, by hand or by --update, can be identified."""
    folder = Path(__file__).parents[2] / "reproducibility" / "ledger"
    entries = list(ledger.read_all(folder))
    signed = {item.made: item for item in signatures.of_ledger(folder).read({entry.triple for entry in entries})}
    assert len(entries) > 40
    for entry in filter(gate.is_signed, entries):
        made = Made(cpython=entry.cpython, triple=entry.triple, flavour=entry.flavour, llvm=entry.llvm)
        assert made in signed, f"stencilkit build --signatures reproducibility/ledger, or gate --update: {made}"
        assert signed[made].signatures.keys() <= entry.stencils.keys(), made
