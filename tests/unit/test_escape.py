"""What others wrote is shown, and changes nothing around it: terminals, XML, markdown, workflow logs."""

from __future__ import annotations

import ast
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stencilkit.cli import _render, _verdicts
from stencilkit.errors import ManifestError, PolicyError
from stencilkit.model.verdict import Check, Verdict
from stencilkit.support import escape
from stencilkit.support.fields import document
from tests import samples

HOSTILE = "a\x1b[2J\x00b\x7f\x9b31m\u202ec\ud800|d`<img src=x>[l](u)\n::set-env name=X::1\n  ::error::no\n##[group]"
CLI = Path(_render.__file__).parent


def verdict() -> Verdict:
    check = Check(kind="manifest", status="failed", what=HOSTILE, details=(HOSTILE,))
    return Verdict(subject=HOSTILE, checks=(check,), digests={"content": HOSTILE}, stamp=HOSTILE)


@pytest.mark.parametrize("form", ["text", "markdown", "junit"])
def test_nothing_hostile_comes_through(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    _verdicts.show([verdict()], form, quiet=False)
    said = capsys.readouterr().out
    assert "set-env" in said
    assert not escape.CONTROL.search(said)
    assert not [line for line in said.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in said
    if form == "junit":
        ET.fromstring(said)
    if form == "markdown":
        rows = [line for line in said.splitlines() if line.startswith("| FAILED")]
        assert len(rows) == 1
        assert rows[0].replace("\\|", "").count("|") == 4
        assert "| <img" not in rows[0].replace("\\<", "")


def test_ordinary_text_stays_what_it_is() -> None:
    for text in ("", "a b\tc\nd", "std::vector", "caf\u00e9 \u65e5\u672c", "# heading", "a: b"):
        assert escape.terminal(text) == text
        assert escape.xml(text) == text


def test_there_is_one_door_to_the_terminal() -> None:
    """_progress draws on a terminal, _render prints; every other command goes through these."""
    for path in sorted(CLI.glob("*.py")):
        if path.name in ("_render.py", "_progress.py"):
            continue
        called = {
            f"{node.func.value.id}.{node.func.attr}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        }
        assert not called & {"click.echo", "click.secho", "sys.stdout", "sys.stderr"}, path.name


@pytest.mark.parametrize(
    "text", ['vendor = "a\\u001b[2Jb"', 'vendor = "\\u202e"', '"a\\u001b" = "b"', '"a\\nb" = "b"', 'x = ["\\u0000"]']
)
def test_names_are_validated_where_they_are_read(text: str) -> None:
    root = document(f"schema = 1\n[t]\n{text}\n", name="d", schema=1, error=PolicyError).table("t")
    with pytest.raises(PolicyError, match="control characters") as caught:
        if text.startswith("x"):
            root.texts("x")
        elif text.startswith("vendor"):
            root.text("vendor")
        else:
            document(f"schema = 1\n[t]\n{text}\n", name="d", schema=1, error=PolicyError).mapping("t")
    assert not escape.CONTROL.search(caught.value.as_text())


def test_a_manifest_with_an_escape_in_a_vendor_is_refused() -> None:
    assert samples.TRIPLE
    with pytest.raises(ManifestError, match="control characters"):
        document('schema = 1\nv = "\\u001b"\n', name="m", schema=1, error=ManifestError).text("v")
