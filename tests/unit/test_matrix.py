"""The tables that targets.toml, pins.toml and a ledger give, and folders of builds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stencilkit import cli, ledger, manifest
from stencilkit.model.ledger import Entry
from stencilkit.model.manifest import MANIFEST_NAME
from tests import samples


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return samples.folder(tmp_path / "out", samples.tree(tmp_path / "tree")).parent


@pytest.fixture
def entries(out: Path, tmp_path: Path) -> Path:
    """A ledger of one CPython with two LLVMs, of which upstream asks for the first."""
    first = Entry.of(manifest.parse((out / MANIFEST_NAME).read_text(), "sample"))
    changed = dict(first.stencils, _NOP="0" * 16)
    second = replace(first, llvm="22.1.8", stencils=changed)
    for entry in (second, first):
        path = tmp_path / "ledger" / entry.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ledger.render(entry))
    return tmp_path / "ledger"


def test_the_support_table(entries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(entries), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["cells"]
    shown = [(row["cell"]["llvm"], row["identical"], row["pinned"]) for row in rows]
    assert shown == [("19.1.7", 3, True), ("22.1.8", 2, False)]
    assert cli.main(["report", str(entries), "--format", "markdown"]) == 0
    assert "| 3.14.7 | 22.1.8 | x86_64-unknown-linux-gnu | release | 3 | 2 | 31 | " in capsys.readouterr().out
    assert cli.main(["report", str(entries.parent / "tree")]) == 2


def test_the_build_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["qualify", "--target", "x86_64-*-linux-gnu", "--format", "github"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    rows = json.loads(out)["include"]
    assert [row["llvm"] for row in rows if row["cpython"].startswith("3.14")] == [19, 20, 21, 22, 23]
    assert {row["cpython"] for row in rows if row["pinned"]} == {row["cpython"] for row in rows}
    words = ["qualify", "--format", "github", "--wheels", "--cpython", "3.15.0rc1", "--llvm", "20..22"]
    assert cli.main(words) == 0
    rows = json.loads(capsys.readouterr().out)["include"]
    assert {(row["cpython"], row["llvm"], row["wheel"]) for row in rows} == {
        ("3.15.0rc1", llvm, True) for llvm in (20, 21, 22)
    }
    assert cli.main(["qualify", "--target", "vax*", "--format", "github"]) == 2
    assert cli.main(["qualify", "--llvm", "12", "--format", "github"]) == 2
    assert cli.main(["qualify", "--wheels"]) == 2


def test_a_folder_stands_for_all_below_it(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.folder(tmp_path / "more" / "one", samples.tree(tmp_path / "tree1"))
    samples.folder(tmp_path / "more" / "two" / "deep", samples.tree(tmp_path / "tree2"))
    assert cli.main(["verify", "--consistent", str(tmp_path / "more")]) == 0
    assert capsys.readouterr().out.count(": accepted") == 2
    (tmp_path / "more" / "one" / MANIFEST_NAME).unlink()
    assert cli.main(["verify", "--consistent", str(tmp_path / "more")]) == 1
    assert "not checked: there is no manifest" in capsys.readouterr().out
