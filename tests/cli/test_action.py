"""The composite action's script, run as GitHub runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from stencilkit.model.manifest import MANIFEST_NAME
from tests import samples

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "verify" / "action.yml"
INPUTS = ("PATHS", "MANIFEST", "CPYTHON", "PYCONFIG", "LEDGER", "POLICY", "CONSISTENT", "AUDIT")


@pytest.fixture
def header(tmp_path: Path) -> Path:
    return samples.folder(tmp_path / "out" / "one", samples.tree(tmp_path / "tree"))


def act(tmp_path: Path, **inputs: str | Path) -> tuple[int, str]:
    script = textwrap.dedent(ACTION.read_text().rpartition("      run: |\n")[2])
    summary = tmp_path / "summary.md"
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # Distributions' builds run the tests on a package that is not installed yet.
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "RUNNER_TEMP": str(tmp_path / "none"),
        "GITHUB_STEP_SUMMARY": str(summary),
        **{key: str(inputs.get(key, "")) for key in INPUTS},
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    written = summary.read_text() if summary.is_file() else ""
    assert written.endswith(done.stdout)
    return done.returncode, done.stdout + done.stderr


def test_it_accepts_and_audits(header: Path, tmp_path: Path) -> None:
    paths, tree = f"{header.parent}\n{tmp_path / 'out'}\n", tmp_path / "tree"
    code, said = act(tmp_path, PATHS=paths, CPYTHON=tree, CONSISTENT="true", AUDIT="true")
    assert code in (0, 1), said  # the sample's code is no real code, which the audit may object to
    assert said.count(": accepted") == 2
    assert "| tree |" in said
    code, said = act(tmp_path, PATHS=header.parent, CONSISTENT="true", AUDIT="false")
    assert code == 0
    code, said = act(tmp_path, PATHS=header.parent, AUDIT="false")
    assert (code, "not compared with anything that others made" in said) == (1, True)


def test_it_refuses(header: Path, tmp_path: Path) -> None:
    header.write_text(header.read_text() + "int evil;\n")
    code, said = act(tmp_path, PATHS=header.parent, AUDIT="true")
    assert code == 1
    assert ": refused" in said
    code, said = act(tmp_path, PATHS=tmp_path / "nothing")
    assert code == 2
    code, said = act(tmp_path, PATHS=header.parent, MANIFEST=header.with_name(MANIFEST_NAME), POLICY=tmp_path / "no")
    assert code == 2


def test_a_path_is_no_option(header: Path, tmp_path: Path) -> None:
    """A path called --policy=FILE made a yes of a no."""
    header.write_text(header.read_text() + "int evil;\n")
    lax = tmp_path / "lax.toml"
    lax.write_text('schema = 1\nrequire = ["manifest"]\n')
    for path in (f"--policy={lax}", "--check", "--help", "--manifest", "-"):
        code, said = act(tmp_path, PATHS=f"{path}\n{header.parent}", AUDIT="false")
        assert code == 2, said
        assert f"{path} does not exist" in said


def test_what_the_action_installs_is_hashed_and_all_that_stencilkit_needs() -> None:
    locked = (ACTION.parent / "requirements.txt").read_text().replace("\\\n", " ")
    rows = [line.split() for line in locked.splitlines() if line and not line.startswith("#")]
    for name, *rest in rows:
        assert "==" in name, name
        assert any(word.startswith("--hash=sha256:") for word in rest), name
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    names = {re.split(r"[^\w.-]", word)[0].lower() for word in needed}
    assert names <= {row[0].partition("==")[0] for row in rows}, "run .github/actions/verify/lock"
