"""What .github may do: actions pinned by commit, least permissions, nothing of a stranger's in a script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GITHUB = Path(__file__).parents[2] / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FILES = [*WORKFLOWS, *sorted(GITHUB.glob("actions/*/action.yml"))]


def name(path: Path) -> str:
    return path.relative_to(GITHUB).as_posix()


def test_they_are_there() -> None:
    assert [path.stem for path in WORKFLOWS] == ["gate", "native", "release", "tests"]
    assert "actions/verify/action.yml" in map(name, FILES)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_pin() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for action, pin in re.findall(r"uses: ([\w/-]+)@(.*)", path.read_text()):
            pins.setdefault(action, set()).add(pin)
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_nothing_is_allowed_that_a_job_does_not_ask_for(path: Path) -> None:
    text = path.read_text()
    assert "\npermissions: {}\n" in text
    jobs = text.partition("\njobs:\n")[2]
    assert len(re.findall(r"^  [\w-]+:$", jobs, re.MULTILINE)) == jobs.count("\n    permissions:\n")
    assert jobs.count("uses: actions/checkout@") == jobs.count("persist-credentials: false")
    assert jobs.count("runs-on:") == jobs.count("timeout-minutes:")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_expression_is_pasted_into_a_script(path: Path) -> None:
    """What an expression gives is data: it comes to a script through its environment."""
    for block in re.findall(r"^( *)(?:- )?run: (?:\|\n((?:\1 +.*\n|\n)*)|(.*)\n)", path.read_text(), re.MULTILINE):
        assert "${{" not in "".join(block)
