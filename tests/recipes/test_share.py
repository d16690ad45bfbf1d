"""What packages install below share/: completion as bash, zsh and fish do it, and man pages."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from stencilkit.cli import _completion

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "share"
pytestmark = pytest.mark.process
SCRIPTS = {
    "bash": SHARE / "bash-completion/completions/stencilkit",
    "zsh": SHARE / "zsh/site-functions/_stencilkit",
    "fish": SHARE / "fish/vendor_completions.d/stencilkit.fish",
}
PROGRAM = Path(sys.executable).with_name("stencilkit")
# The start of a line, and what the shell makes of it.
LINES = [
    ("stencilkit iden", "identify"),
    ("stencilkit build --skip", "--skip-missing"),
    ("stencilkit build --target i686", "i686-pc-windows-msvc"),
    ("stencilkit fetch 3.14", "3.14.7"),
    ("stencilkit compare --format mark", "markdown"),
]
_SECONDS = 30


def environment(here: Path) -> dict[str, str]:
    return {
        "PATH": f"{PROGRAM.parent}:/usr/bin:/bin",
        "HOME": str(here),
        "TERM": "dumb",
        "STENCILKIT_DATA": str(here),
        "LC_ALL": "C.UTF-8",
    }


def typed(command: list[str], setup: str, line: str, word: str, here: Path) -> bool:
    """Type a line and TAB into a shell on a terminal; return whether it then added what was left of the word."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(here)
        os.execve(command[0], command, environment(here))
    try:
        os.write(terminal, f"{setup}; echo rea''dy\n".encode())
        _until(terminal, "ready\r\n")
        os.write(terminal, f"{line}\t".encode())
        added = word.removeprefix(line.rpartition(" ")[2])
        return added in _until(terminal, added)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _until(terminal: int, expected: str) -> str:
    seen, end = "", time.monotonic() + _SECONDS
    while expected not in seen and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen


def test_bash(tmp_path: Path) -> None:
    shell = ["/bin/bash", "--norc", "--noprofile", "-i"]
    missing = [line for line, word in LINES if not typed(shell, f"source {SCRIPTS['bash']}", line, word, tmp_path)]
    assert missing == []


def test_zsh(tmp_path: Path) -> None:
    shell = [str(shutil.which("zsh")), "-f", "-i"]
    setup = f"fpath=({SCRIPTS['zsh'].parent} $fpath); autoload -U compinit; compinit -u -D"
    missing = [line for line, word in LINES if not typed(shell, setup, line, word, tmp_path)]
    assert missing == []


def test_fish(tmp_path: Path) -> None:
    asked = "; ".join(f"complete -C '{line}'" for line, _ in LINES)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {SCRIPTS['fish']}; {asked}"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert {word for _, word in LINES} <= set(done.stdout.split())
    assert done.stderr == ""


@pytest.mark.parametrize("shell", _completion.SHELLS)
def test_the_command_prints_what_packages_install(shell: str, tmp_path: Path) -> None:
    done = subprocess.run([PROGRAM, "completion", shell], env=environment(tmp_path), capture_output=True, check=True)
    assert done.stdout == SCRIPTS[shell].read_bytes()


@pytest.mark.parametrize(
    ("words", "number", "instruction"),
    [
        ("stencilkit nonsense --x ", "3", "bash_complete"),
        ("stencilkit 'a", "1", "zsh_complete"),
        ("", "x", "fish_complete"),
        ("stencilkit b", "1", "nushell_complete"),
    ],
)
def test_a_line_without_sense_has_no_traceback(words: str, number: str, instruction: str, tmp_path: Path) -> None:
    variables = {"COMP_WORDS": words, "COMP_CWORD": number, _completion.VARIABLE: instruction}
    done = subprocess.run(
        [PROGRAM], env={**environment(tmp_path), **variables}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_completing_a_command_imports_no_command(tmp_path: Path) -> None:
    """It is waited for: names come from a list, and only the command that is named is imported."""
    code = (
        "import sys; from stencilkit.cli import group, _completion; _completion.answer(group, 'bash_complete');"
        "print([name for name in sys.modules if name.startswith('stencilkit.pipeline') or name in HEAVY])"
    )
    heavy = "HEAVY = {'z3', 'unicorn', 'lief', 'sigstore', 'cryptography', 'rich', 'capstone', 'elftools', 'jinja2'}; "
    done = subprocess.run(
        [sys.executable, "-c", heavy + code],
        env={**environment(tmp_path), "COMP_WORDS": "stencilkit ver", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["plain,verify", "[]"]


def test_mandoc_finds_no_fault() -> None:
    pages = sorted((SHARE / "man" / "man1").iterdir())
    done = subprocess.run(["mandoc", "-Tlint", *pages], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_wheel_has_them(tmp_path: Path) -> None:
    """hatchling is Debian's, as for the recipe: nothing is downloaded."""
    code = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        ["/usr/bin/python3", "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        names = [name.partition(".data/data/")[2] for name in wheel.namelist()]
    expected = [f"share/{path.relative_to(SHARE).as_posix()}" for path in SHARE.rglob("*") if path.is_file()]
    assert sorted(filter(None, names)) == sorted(expected)
