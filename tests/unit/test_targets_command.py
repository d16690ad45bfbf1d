"""`stencilkit targets`: every triple of targets.toml, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stencilkit import targets, toolchain
from stencilkit.cli import main
from stencilkit.model.toolchain import Found

TABLE = targets.load()


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be a machine without any LLVM."""
    monkeypatch.setenv("STENCILKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(toolchain, "discover", lambda *_: Found(toolchains=(), rejected=()))


def test_text_has_a_line_for_every_target_and_every_refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(TABLE.targets) + 1]] == [
        target.triple for target in TABLE.targets
    ]
    assert "3.15 (19..23)" in lines[1]
    assert sum(line.startswith("refused: ") for line in lines) == len(TABLE.refused_targets)


def test_json_says_what_targets_toml_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["kind"]) == (1, "targets")
    rows = {row["triple"]: row for row in answer["targets"]}
    assert list(rows) == [target.triple for target in TABLE.targets]
    assert rows["aarch64-apple-darwin"] == {
        "triple": "aarch64-apple-darwin",
        "spellings": ["aarch64-apple-darwin*", "arm64-apple-darwin*"],
        "universal": "universal2-apple-darwin",
        "tier": "PEP 11 tier 1",
        "format": "macho",
        "headers": "",
        "pyconfig": "configure",
        "cpython": {
            "3.13": {"llvm": "18..23", "upstream": 18},
            "3.14": {"llvm": "19..23", "upstream": 19},
            "3.15": {"llvm": "19..23", "upstream": 21},
        },
    }
    assert [row["pattern"] for row in answer["refused"]] == [refusal.pattern for refusal in TABLE.refused_targets]
