"""The reproducibility gate on real trees: a pass, and what is planted is caught."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import workbench as wb

GATE = wb.ROOT / "reproducibility" / "gate"


def gate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [GATE, *map(str, words)], env=wb.environment({"PATH": path}), capture_output=True, text=True, check=False
    )


@pytest.mark.matrix
@pytest.mark.parametrize(("version", "llvm"), [("3.13.15", 18), ("3.14.7", 19), ("3.15.0rc1", 21)])
def test_our_ledger_has_debug(version: str, llvm: int) -> None:
    wb.pypi_llvm(llvm)
    words: list[str | Path] = ["--cpython", wb.tree(version), "--llvm", str(llvm), "--target", wb.X86, "--debug"]
    done = gate(*words, "--pyconfig-dir", wb.pyconfig(version, wb.X86, "debug"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("version", "llvm", "triple"),
    [
        ("3.14.7", 19, wb.X86),
        *(
            pytest.param(version, llvm, triple, marks=pytest.mark.matrix)
            for version, llvms in (("3.13.15", range(18, 23)), ("3.14.7", range(19, 23)), ("3.15.0rc1", range(19, 23)))
            for llvm in llvms
            for triple in (wb.X86, wb.ARM)
            if (version, llvm, triple) != ("3.14.7", 19, wb.X86)
        ),
    ],
)
def test_our_ledger(version: str, llvm: int, triple: str, tmp_path: Path) -> None:
    wb.pypi_llvm(llvm)
    words: list[str | Path] = ["--cpython", wb.tree(version), "--llvm", str(llvm), "--target", triple]
    done = gate(*words, "--pyconfig-dir", wb.pyconfig(version, triple), "--report", tmp_path / "report.md")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as expected" in done.stdout
    said = " ".join(done.stdout.split())
    assert re.search(r"varied, all at once: folder, file times, file order, locale, .*umask", said)
    assert "| as expected |" in (tmp_path / "report.md").read_text()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """A tree of a few uops, so that it can be built often."""
    wb.pypi_llvm(19)
    tree = wb.small_tree("3.14.7", tmp_path_factory.mktemp("small") / "tree")
    return ["--cpython", tree, "--llvm", "19", "--target", wb.X86, "--pyconfig-dir", wb.pyconfig("3.14.7")]


def test_a_planted_difference_is_caught(small: list[str | Path], tmp_path: Path) -> None:
    """Once in the ledger, and once in what a variation does."""
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    harmless = tmp_path / "harmless.toml"
    harmless.write_text(
        'schema = 1\n[[variation]]\nname = "jobs"\nwhy = "other batches"\narguments = ["--jobs", "1"]\n'
    )
    words = [*small, "--ledger", ledger, "--variations", harmless]
    assert gate(*words).returncode == 2  # an empty ledger expects nothing
    done = gate(*words, "--update")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = ledger.glob("*/*.toml")
    text = path.read_text()
    digest = re.search(r'^_NOP = "([0-9a-f]{16})"$', text, re.MULTILINE)
    assert digest
    path.write_text(text.replace(digest[0], f'_NOP = "{digest[1][::-1]}"'))
    done = gate(*words)
    assert done.returncode == 1
    assert "UNEXPECTED" in done.stdout
    assert "_NOP differs" in done.stdout
    guilty = tmp_path / "guilty.toml"
    guilty.write_text(
        harmless.read_text()
        + '[[variation]]\nname = "flag"\nwhy = "planted"\narguments = ["--cflags=-fno-jump-tables -O1"]\n'
    )
    done = gate(*words, "--variations", guilty, "--update")
    assert done.returncode == 1
    assert "VARIES" in done.stdout
    said = " ".join(done.stdout.split())
    assert "varies with flag (planted): " in said
    assert "varies with jobs" not in said
    assert "left alone: " in done.stdout
    assert path.read_text() != text
    assert gate(*words, "--update").returncode == 0
    assert path.read_text() == text
