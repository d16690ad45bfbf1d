"""compare on builds that differ in one thing: it says why line 1 is another one, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from stencilkit import cli
from tests import standin
from tests.standin import Machine

CONFIG = standin.CONFIG


def config(text: str) -> Callable[[Machine], object]:
    return lambda machine: (machine.config / "pyconfig.h").write_text(text)


@pytest.mark.parametrize(
    ("change", "words", "causes"),
    [
        (lambda _: None, ["--cflags=-DA"], ["CFLAGS_JIT: '' and '-DA'"]),
        (
            lambda machine: machine.edit("Tools/jit/template.c", "CASE\n", "CASE\n\n"),
            [],
            ["Tools/jit/template.c: other content"],
        ),
        (
            config(CONFIG.replace("WITH_PYMALLOC 1", "WITH_PYMALLOC 2")),
            [],
            ["pyconfig.h: WITH_PYMALLOC, which stencils can see"],
        ),
        (
            config(CONFIG.replace("#define HAVE_SOME", "#define NOBODY_ASKS 1\n#define HAVE_SOME")),
            [],
            ["pyconfig.h: #define NOBODY_ASKS 1, which no stencil can see"],
        ),
        (config(CONFIG + "/* the end */\n"), [], ["pyconfig.h: comments, or names that are not defined"]),
    ],
    ids=["cflags", "template", "a macro", "another macro", "a comment"],
)
def test_why_line_1_differs(
    change: Callable[[Machine], object],
    words: list[str],
    causes: list[str],
    machine: Machine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine.build()
    first = machine.out.with_name("first")
    shutil.copytree(machine.folder(), first)
    change(machine)
    assert machine.build(*words) == 0
    capsys.readouterr()
    assert cli.main(["compare", str(first), str(machine.folder()), "--format", "json"]) in (0, 1)
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["line1_causes"] == causes
    assert pair["changes"] == []
