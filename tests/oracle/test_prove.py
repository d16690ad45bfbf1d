"""A stencil that was changed, in a bundle whose digests are good: what it does gives it away."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests import workbench as wb

pytestmark = [pytest.mark.process, pytest.mark.network, pytest.mark.oracle]
VERSION, UOP = "3.15.0rc1", "_RESUME_CHECK_r00"


def bundle(here: Path, edit: dict[str, str] | None = None) -> Path:
    """Build some uops, and pack them."""
    tree = wb.small_tree(VERSION, here / "tree", uops=8, edit=edit)
    built = wb.built(VERSION, 21, here / "out", "--pyconfig-dir", wb.pyconfig(VERSION), source_tree=tree)
    wb.stencilkit("pack", built, "--output", here / "stencils.tar.gz")
    return here / "stencils.tar.gz"


def test_a_condition_that_was_turned_round_is_shown_by_a_run(tmp_path: Path) -> None:
    cases = (wb.tree(VERSION) / "Python/executor_cases.c.h").read_text("utf-8")
    case = cases[cases.index(f"        case {UOP}: {{") :]
    case = case[: case.index("        }\n\n") + len("        }\n\n")]
    assert case.count("if (eval_breaker != version)") == 1
    turned = case.replace("if (eval_breaker != version)", "if (eval_breaker == version)")
    good, bad = bundle(tmp_path / "good"), bundle(tmp_path / "bad", {UOP: turned})
    for path in (good, bad):
        wb.stencilkit("inspect", path)
    done = wb.stencilkit("prove", good, bad, "--no-cache", "--format", "json", check=False)
    assert done.returncode == 1, done.stderr
    (pair,) = json.loads(done.stdout)["pairs"]
    found = {proof["name"]: proof for proof in pair["proofs"]}
    assert {name for name, proof in found.items() if proof["verdict"] != "identical"} == {UOP}
    assert found[UOP]["verdict"] == "differs"
    text = "\n".join(found[UOP]["difference"])
    assert "a run in unicorn" in text
    # Both sides with what they did, and the code around the place.
    assert text.count("exit ") >= 2
    assert text.count(">") >= 2


@pytest.mark.parametrize("triple", [wb.X86, wb.WIN_X86])
def test_floats_are_negated_wherever_data_is(triple: str, tmp_path: Path) -> None:
    """LLVM 19 flips the sign by 16 bytes of data that it takes for aligned, which crashes (adr/0010)."""
    tree = wb.small_tree(VERSION, tmp_path / "tree", only="_UNARY_NEGATIVE_FLOAT_INPLACE")
    config = wb.config_for(VERSION, triple, "release", tmp_path / "config")
    built = [
        wb.built(VERSION, major, tmp_path / str(major), "--pyconfig-dir", config, triple=triple, source_tree=tree)
        for major in (21, 19)
    ]
    deviations = tomllib.loads((built[1] / "manifest.toml").read_text("utf-8"))["build"]["deviation"]
    assert "constants of 16 bytes are read wherever they are" in [row["what"] for row in deviations]
    assert "movups" in wb.stencilkit("show", "_UNARY_NEGATIVE_FLOAT_INPLACE_r12", built[1]).stdout
    wb.stencilkit("audit", built[1])
    assert "3 proved" in wb.stencilkit("prove", *built, "--no-cache").stdout
