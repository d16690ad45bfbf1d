"""What a shell is offered for the word under the cursor; tests/recipes/test_share.py types into real shells."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from stencilkit import cli, pins
from stencilkit.cli import _completion
from tests import samples


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in an empty folder, on a machine with a few programs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("clang-19", "clang-22", "clang-12", "llvm-ar-23", "clang"):
        (programs / name).touch()
    monkeypatch.setenv("PATH", f"{programs}:{tmp_path / 'nothing here'}")
    monkeypatch.setenv("STENCILKIT_DATA", str(tmp_path / "data"))
    (tmp_path / "data/toolchains/llvm-21").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def offered(*words: str) -> list[str]:
    """Return what completes the last word."""
    asked = BashComplete(cli.group, {}, "stencilkit", _completion.VARIABLE)
    return [item.value for item in asked.get_completions(list(words[:-1]), words[-1]) if item.type == "plain"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bui"], ["build"]),
        (["pi"], ["pins"]),
        (["ver"], ["verify"]),
        (["--ver"], ["--version"]),
        # Another command starts it, and nobody else.
        (["cel"], []),
        (["toolchains", "i"], ["install"]),
        (["build", "--skip"], ["--skip-missing"]),
        (["build", "--target", "i686"], ["i686-pc-windows-msvc"]),
        (["build", "--target", "universal2"], ["universal2-apple-darwin"]),
        (["compare", "--format", "mark"], ["markdown"]),
        (["show", "_LOAD"], []),
    ],
    ids=" ".join,
)
def test_words(words: list[str], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_versions_are_those_that_can_be_had() -> None:
    assert offered("fetch", "3.14") == [str(pin.version) for pin in pins.load().sources if pin.version.minor == 14]
    assert offered("build", "--cpython", "2") == []
    assert offered("toolchains", "install", "2") == [
        str(pin.version.major) for pin in pins.load().wheels if pin.version.major >= 20
    ]


def test_llvms_are_those_of_this_machine_that_some_cpython_supports() -> None:
    found = [major for major in offered("build", "--llvm", "") if not Path(f"/usr/lib/llvm-{major}").exists()]
    assert {"19", "21", "22"} >= set(found)
    assert {"19", "21", "22"} <= set(offered("build", "--llvm", ""))
    assert "12" not in offered("build", "--llvm", "")
    assert offered("build", "--llvm", "19") == ["19"]


def test_uops_are_those_of_the_first_build_below_this_folder(tmp_path: Path) -> None:
    samples.folder(Path("stencils/3.14/x/release/llvm-19"), samples.tree(tmp_path / "tree"))
    names = sorted(group.name for group in samples.stencils().groups if group.name.startswith("_"))
    assert offered("show", "_") == names
    assert offered("show", names[0][:-1])[0] == names[0]


def test_a_line_that_makes_no_sense_has_no_completions_and_no_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _completion.answer(cli.group, "bash_complete")  # without COMP_WORDS
    _completion.answer(cli.group, "nothing_complete")
    monkeypatch.setenv("COMP_WORDS", "stencilkit nothing --cpython")
    monkeypatch.setenv("COMP_CWORD", "2")
    _completion.answer(cli.group, "bash_complete")
    said = capsys.readouterr()
    assert (said.out.strip(), said.err) == ("", "")


@pytest.mark.parametrize("shell", _completion.SHELLS)
def test_the_script_asks_this_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert f"{_completion.VARIABLE}={shell}_complete" in printed
    assert printed == _completion.script(cli.group, shell)


def test_every_command_is_offered() -> None:
    assert offered("") == list(cli._COMMANDS)
