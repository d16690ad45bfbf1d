"""The ledger: read and written without loss, and never a yes where it expects nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli, ledger, manifest, verify
from stencilkit.errors import LedgerError
from stencilkit.model.ledger import SHORT, Entry, Proven
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.verdict import Policy, Verdict
from stencilkit.pipeline import verifying
from stencilkit.pipeline.evidence import Subject
from tests import samples


@pytest.fixture
def header(tmp_path: Path) -> Path:
    return samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree"))


@pytest.fixture
def entry(header: Path) -> Entry:
    text = header.with_name(MANIFEST_NAME).read_text()
    return Entry.of(manifest.parse(text, "sample"))


def write(folder: Path, entry: Entry, text: str | None = None) -> Path:
    path = folder / entry.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ledger.render(entry) if text is None else text)
    return folder


def verdict(header: Path, folder: Path) -> Verdict:
    policy = Policy(require=(*verify.DEFAULT_POLICY.require, "ledger"))
    return verifying.run(Subject(path=header.parent, ledger=folder, policy=policy))


def failure(found: Verdict) -> str:
    assert not found.accepted
    (check,) = [check for check in found.checks if check.status == "failed"]
    assert check.kind == "ledger"
    return "; ".join((check.what, *check.details))


def test_what_is_written_is_read(entry: Entry) -> None:
    assert ledger.parse(ledger.render(entry), "sample") == entry


def test_what_is_expected_passes(header: Path, entry: Entry, tmp_path: Path) -> None:
    folder = write(tmp_path / "ledger", entry)
    found = verdict(header, folder)
    assert found.accepted
    assert "the ledger expects exactly this" in next(c.what for c in found.checks if c.kind == "ledger")
    assert cli.main(["verify", str(header.parent), "--ledger", str(folder)]) == 0


def test_what_differs_is_named(header: Path, entry: Entry, tmp_path: Path) -> None:
    stencils = {**entry.stencils, "_NOP": "0" * 16, "_MORE": "1" * 16}
    folder = write(tmp_path / "ledger", replace(entry, stencils=stencils, content="0" * 64))
    assert failure(verdict(header, folder)).endswith("_MORE is missing; _NOP differs")
    assert cli.main(["verify", str(header.parent), "--ledger", str(folder)]) == 1


@pytest.mark.parametrize("field", ["content", "interface", "code_bytes", "data_bytes", "extras"])
def test_every_field_counts(field: str, header: Path, entry: Entry, tmp_path: Path) -> None:
    other: dict[str, Any] = {"content": "0" * 64, "interface": "0" * 64, "code_bytes": 1, "data_bytes": 1}
    other["extras"] = {"shim": "0" * 64}
    folder = write(tmp_path / "ledger", replace(entry, **{field: other[field]}))
    assert "the ledger expects something else" in failure(verdict(header, folder))


def test_no_entry_is_no_yes(header: Path, entry: Entry, tmp_path: Path) -> None:
    folder = write(tmp_path / "ledger", replace(entry, llvm="20.1.2"))
    assert "the ledger has no entry for CPython 3.14.7" in failure(verdict(header, folder))


def test_an_empty_ledger_is_trouble(header: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ledger").mkdir()
    assert cli.main(["verify", str(header.parent), "--ledger", str(tmp_path / "ledger")]) == 2
    assert "holds no entries, so it expects nothing" in capsys.readouterr().err


def test_an_entry_in_the_wrong_place_is_trouble(header: Path, entry: Entry, tmp_path: Path) -> None:
    folder = write(tmp_path / "ledger", entry, ledger.render(replace(entry, llvm="20.1.2")))
    with pytest.raises(LedgerError, match="the entry is that of"):
        verdict(header, folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('_NOP = "', '_NOP = "x', "is not what belongs here"),
        ("[stencils]\n", '[stencils]\n"a b" = "0123456789abcdef"\n', "is not what belongs here"),
        ("schema = 1", "schema = 2", "schema: is 2"),
        ("code-bytes", "bytes", "code-bytes: missing"),
        ('flavour = "release"', 'flavour = "new"', "must be one of release, debug"),
    ],
)
def test_bad_entries_are_refused(old: str, new: str, message: str, entry: Entry) -> None:
    with pytest.raises(LedgerError, match=message):
        ledger.parse(ledger.render(entry).replace(old, new, 1), "sample")
    with pytest.raises(LedgerError, match="expects nothing"):
        ledger.parse(ledger.render(replace(entry, stencils={})), "sample")


def proven(entry: Entry, base: Entry, **changes: Any) -> Proven:
    values: dict[str, Any] = {"prover": "a" * 64, "content": entry.content, "base": base.content, "proved": 1}
    return Proven(**{**values, "otherwise": {}, **changes})


def pair(entry: Entry) -> tuple[Entry, Entry]:
    """Make an entry of another LLVM in which two stencils differ."""
    names = sorted(entry.stencils)[:2]
    other = replace(
        entry, llvm="23.1.0", content="c" * 64, stencils={**entry.stencils, **dict.fromkeys(names, "0" * SHORT)}
    )
    return replace(other, proofs=proven(other, entry, otherwise={names[0]: "proved given size-not-negative"})), entry


def test_what_was_proved_is_kept_with_what_it_was_proved_of(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    other, base = pair(entry)
    pinned = int(base.llvm.partition(".")[0])
    for item in (base, other):
        ledger.write(folder, item, pinned)
    (read,) = (item for item in ledger.read_all(folder) if item.llvm == other.llvm)
    assert read.proofs == other.proofs
    # The same stencils are written again by one who proves nothing: what is known stays.
    ledger.write(folder, replace(other, proofs=None), pinned)
    assert ledger.read(folder / other.place).proofs == other.proofs
    # Other stencils: what was proved is not of them.
    ledger.write(folder, replace(other, content="d" * 64, proofs=None), pinned)
    assert ledger.read(folder / other.place).proofs is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"content": "d" * 64}, "something else was proved"),
        ({"base": "d" * 64}, "something else was proved"),
        ({"proved": 2}, "2 stencils differ"),
        ({"proved": 0}, "2 stencils differ"),
        ({"otherwise": {"_NOT_THERE": "differs"}}, "does not differ"),
        ({"prover": "a"}, "not what belongs here"),
    ],
)
def test_a_ledger_that_says_too_much_of_proofs_is_refused(entry: Entry, change: dict[str, Any], said: str) -> None:
    other, base = pair(entry)
    assert other.proofs is not None
    text = ledger.render(other, base)
    wrong = ledger.render(replace(other, proofs=replace(other.proofs, **change)), base)
    if wrong == ledger.render(replace(other, proofs=None), base):  # not written at all: write it by hand
        (key, value), *_ = change.items()
        head, mark, rest = text.partition("[proofs]")
        wrong = head + mark + rest.replace(f'{key} = "{getattr(other.proofs, key)}"', f'{key} = "{value}"')
    with pytest.raises(LedgerError, match=said):
        ledger.parse(wrong, "entry.toml", lambda _: base)
    assert ledger.parse(text, "entry.toml", lambda _: base).proofs == other.proofs


def test_only_the_exact_llvm_has_an_entry(entry: Entry, tmp_path: Path) -> None:
    folder = write(tmp_path / "ledger", entry)
    build = (entry.cpython, entry.triple, entry.flavour)
    assert ledger.has(folder, *build, entry.llvm)
    assert not ledger.has(folder, *build, "19.1.0")
    assert not ledger.has(folder, entry.cpython, "aarch64-unknown-linux-gnu", entry.flavour, entry.llvm)


def test_an_entry_is_read_by_its_file(entry: Entry, tmp_path: Path) -> None:
    folder = write(tmp_path / "ledger", entry)
    assert ledger.read(folder / entry.place) == entry
    with pytest.raises(LedgerError, match="no such entry"):
        ledger.read(folder / entry.place.parent / "gone.toml")


def test_a_base_is_the_pinned_llvm_or_the_oldest(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    for llvm in ("20.1.2", "21.1.0", "22.1.8"):
        write(folder, replace(entry, llvm=llvm))
    assert ledger.base_of(folder, entry, 21).llvm == "21.1.0"
    assert ledger.base_of(folder, entry, 19).llvm == "20.1.2"
    with pytest.raises(LedgerError, match="has no entry for"):
        ledger.base_of(folder, replace(entry, triple="aarch64-unknown-linux-gnu"), 21)


def test_of_many_stencils_that_differ_a_few_are_named(entry: Entry) -> None:
    more = {f"_UOP_{number:02}": "0" * 16 for number in range(30)}
    (check,) = ledger.check(entry, replace(entry, stencils={**entry.stencils, **more}))
    assert check.status == "failed"
    assert check.details[0] == "_UOP_00 is missing"
    assert check.details[-1] == f"and {30 - len(check.details) + 1} more"
