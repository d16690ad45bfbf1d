"""The parts of the reproducibility gate that need no compiler."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stencilkit import cli, ledger, manifest, signatures
from stencilkit.errors import CompileError, LedgerError
from stencilkit.model.gate import Configuration, Examined, Settlement, Variation
from stencilkit.model.ledger import Entry, Proven
from stencilkit.model.manifest import MANIFEST_NAME
from stencilkit.model.signature import Candidate, Made, Signature
from stencilkit.model.target import Kind
from stencilkit.model.version import LlvmVersion
from stencilkit.pipeline import gate, knowing, varying
from stencilkit.support import process
from tests import fakes, samples

ROOT = Path(__file__).parents[2]
OURS = ROOT / "reproducibility" / "variations.toml"
PLAIN = Variation(name="", why="", environment={}, prefix=(), arguments=(), folder="", mtime=None)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree")).parent


@pytest.fixture
def entry(out: Path) -> Entry:
    return Entry.of(manifest.parse((out / MANIFEST_NAME).read_text(), "sample"))


def outcome(entry: Entry, **fields: Any) -> Examined:
    made = Made(cpython=entry.cpython, triple=entry.triple, flavour="release", llvm=entry.llvm)
    signed = Signature(size=64, head=1, tail=2, sha256="0" * 64)
    common: dict[str, Any] = {
        "candidate": Candidate(made=made, signatures={"_NOP": signed}),
        "vendor": "A",
        "unstable": (),
        "unexpected": ("new",),
        "varied": (),
        "not_varied": (),
        "seconds": 0.0,
    }
    return Examined(**{"entry": entry, **common, **fields})


def test_ours_vary_what_they_should_and_say_why() -> None:
    variations = {variation.name: variation for variation in gate.load(OURS)}
    assert list(variations) == [
        *("folder", "file times", "file order", "locale", "time zone", "home", "hash seed", "jobs", "umask"),
        *("clock", "user", "host name"),
    ]
    assert all(len(variation.why) > 10 for variation in variations.values())
    assert Path(variations["file order"].environment["PYTHONPATH"], "sitecustomize.py").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 1\n", "nothing would be varied"),
        ("schema = 2\n", "schema: is 2"),
        ('schema = 1\n[[variation]]\nname = "a"\nwhy = "b"\n', "a varies nothing"),
        ('schema = 1\n[[variation]]\nname = "a"\nwhy = "b"\numask = "077"\n', "umask: unknown field"),
    ],
)
def test_bad_variations_are_trouble(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "variations.toml"
    path.write_text(text)
    words = ["--cpython", "3.14.7", "--llvm", "19", "--ledger", str(tmp_path), "--variations", str(path)]
    assert cli.main(["gate", *words]) == 2
    assert message in capsys.readouterr().err


def test_provenance_does_not_count_and_all_else_does(out: Path, tmp_path: Path) -> None:
    other = samples.folder(tmp_path / "other", samples.tree(tmp_path / "other-tree")).parent
    path = other / MANIFEST_NAME
    text = path.read_text()
    path.write_text(text.replace('host = "sample"', 'host = "another"'))
    assert list(gate._differences(out, other)) == []
    (other / "more.txt").write_text("more")
    assert list(gate._differences(out, other)) == ["more.txt differs"]


def test_a_copied_tree_is_the_same_tree_with_other_times(tmp_path: Path) -> None:
    tree = samples.tree(tmp_path / "tree").root
    assert varying.tree(tree, [PLAIN], tmp_path) == tree
    copy = varying.tree(tree, [replace(PLAIN, folder="a copy"), replace(PLAIN, mtime=7)], tmp_path)
    assert copy == tmp_path / "a copy"
    names = sorted(path.relative_to(copy) for path in copy.rglob("*") if path.is_file())
    assert [str(name) for name in names] == sorted(samples.TREE)
    assert all((copy / name).read_bytes() == (tree / name).read_bytes() for name in names)
    assert {(copy / name).stat().st_mtime for name in names} == {7}


def test_what_does_not_work_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> process.Completed:
        bad = "bad" in command
        return process.Completed(command=(), returncode=int(bad), stdout=b"", stderr=b"not\nallowed\n" if bad else b"")

    monkeypatch.setattr(process, "run", run)
    good, bad = (replace(PLAIN, name=name, prefix=(name, "--")) for name in ("good", "bad"))
    assert varying.usable([PLAIN, bad, good]) == ((PLAIN, good), ("bad: not allowed",))
    assert varying.prefixed(["build"], [good, bad]) == ["bad", "--", "good", "--", "build"]


def test_folders_are_reversed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "bac":
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "listdir", os.listdir)
    monkeypatch.setattr(os, "scandir", os.scandir)
    runpy.run_path(str(ROOT / "reproducibility" / "reversed" / "sitecustomize.py"))
    assert [path.name for path in tmp_path.iterdir()] == ["c", "b", "a"]
    with os.scandir(tmp_path) as entries:
        assert [entry.name for entry in entries] == ["c", "b", "a"]
    ((_, _, names),) = os.walk(tmp_path)
    assert names == ["c", "b", "a"]
    assert sys.modules["os"] is os


def test_an_update_writes_what_is_stable(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    assert gate.settle([outcome(entry), outcome(entry, vendor="B")], folder) == Settlement(written=(entry.place,))
    assert list(ledger.read_all(folder)) == [entry]
    other = replace(entry, content="1" * 64)
    assert gate.settle([outcome(other, unstable=("jobs",))], folder) == Settlement(left=(entry.place,))
    two = [outcome(entry, unexpected=()), outcome(other, vendor="B")]
    assert gate.settle(two, folder) == Settlement(left=(entry.place,))
    assert gate.disagreements(two) == (f"{entry.place}: A and B do not make the same",)
    assert list(ledger.read_all(folder)) == [entry]


@pytest.mark.parametrize(("end", "code"), [(CompileError("no", fix="see above"), 2), (KeyboardInterrupt(), 130)])
def test_a_finished_group_is_in_the_ledger_whatever_becomes_of_the_next(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException, code: int
) -> None:
    opened = samples.tree(tmp_path / "sources")
    folder, first, second = tmp_path / "ledger", entry.triple, "aarch64-unknown-linux-gnu"
    # As if the same CPython were named twice: all its LLVMs are one group.
    asked = [(first, "21.1.0"), (second, "21.1.0"), (first, "22.1.8")]

    def configurations(*_: object, **__: object) -> Iterator[Configuration]:
        for triple, llvm in asked:
            tool = replace(fakes.TOOL, version=LlvmVersion(*map(int, llvm.split("."))))
            yield Configuration(
                tree=opened, asked=knowing.target(triple), flavour="release", toolchain=tool, pyconfig=tmp_path
            )

    def examine(item: Configuration, *_: object) -> Examined:
        if item.asked.target.triple == second:
            raise end
        return outcome(replace(entry, llvm=str(item.toolchain.version)))

    monkeypatch.setattr("stencilkit.cli.gate._configurations", configurations)
    monkeypatch.setattr(gate, "examine", examine)
    words = ["--cpython", str(opened.root), "--ledger", str(folder), "--variations", str(OURS)]
    assert cli.main(["gate", *words, "--update"]) == code
    assert [(found.triple, found.llvm) for found in ledger.read_all(folder)] == [(first, "21.1.0"), (first, "22.1.8")]
    (signed,) = (folder / "signatures").rglob("*.json")
    assert [found.made.llvm for found in signatures.parse(signed.read_text(), str(signed))] == ["21.1.0", "22.1.8"]


def test_signatures_are_of_what_is_shipped(entry: Entry, tmp_path: Path) -> None:
    """Release builds, and the debug builds of upstream's LLVM; none for macOS, which no Mac has confirmed."""
    builds: list[tuple[Kind, str]] = [
        ("release", "19.1.7"),
        ("release", "22.1.8"),
        ("debug", "19.1.7"),
        ("debug", "22.1.8"),
    ]
    builds += [("debug-hardened", "22.1.8")]
    entries = [replace(entry, cpython="3.14.7", flavour=flavour, llvm=llvm) for flavour, llvm in builds]
    assert [gate.is_signed(one) for one in entries] == [True, True, True, False, False]
    assert not gate.is_signed(replace(entries[0], triple="aarch64-apple-darwin"))
    folder = tmp_path / "ledger"
    gate.settle([outcome(entries[3])], folder)
    assert not (folder / "signatures").exists()
    assert list(ledger.read_all(folder)) == [entries[3]]


def test_what_nobody_has_proved_is_said(entry: Entry, tmp_path: Path) -> None:
    pinned = int(entry.llvm.partition(".")[0])
    name = min(entry.stencils)
    other = replace(entry, llvm=f"{pinned + 1}.0.0", content="1" * 64, stencils={**entry.stencils, name: "0" * 16})
    for item in (entry, other):
        ledger.write(tmp_path / "ledger", item, pinned)
    both = [outcome(entry), outcome(other)]
    said = f"{other.place}: 1 stencil differs from those of LLVM {entry.llvm}; none is known to be proved"
    assert list(gate.unproved(both, tmp_path / "ledger")) == [said]
    proofs = Proven(prover="a" * 64, content=other.content, base=entry.content, proved=1, otherwise={})
    ledger.write(tmp_path / "ledger", replace(other, proofs=proofs), pinned)
    assert list(gate.unproved(both, tmp_path / "ledger")) == []


def test_other_llvms_are_written_as_differences(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    stencils = {name: digest for name, digest in entry.stencils.items() if name != "_NOP"} | {"shim": "0" * 16}
    second = replace(entry, llvm="22.1.8", content="2" * 64, stencils=stencils)
    for item in (second, entry):
        ledger.write(folder, item, 19)
    path = folder / second.place
    assert path.read_text().endswith('absent = ["_NOP"]\n\n[extras]\n\n[stencils]\nshim = "0000000000000000"\n')
    assert list(ledger.read_all(folder)) == [entry, second]
    changed = replace(entry, content="3" * 64, stencils={**entry.stencils, "_POP_TOP": "3" * 16})
    ledger.write(folder, changed, 19)
    assert list(ledger.read_all(folder)) == [changed, second]
    # By hand, a base cannot be changed, taken away, or put on another one.
    (folder / changed.place).write_text(ledger.render(entry))
    with pytest.raises(LedgerError, match=r"base-content: LLVM 19\.1\.7's entry, .* was changed since"):
        list(ledger.read_all(folder))
    (folder / changed.place).unlink()
    with pytest.raises(LedgerError, match="an entry that others differ from is missing"):
        list(ledger.read_all(folder))
    with pytest.raises(LedgerError, match="must itself be whole"):
        ledger.parse(path.read_text(), "sample")
